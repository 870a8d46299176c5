// Control flow and entry points of the lowering; see lowering.hpp.
#include <algorithm>

#include "jit/lowering.hpp"

namespace pgstream {

Lowering::Lowering(LLVMContextRef context, LLVMModuleRef module, const Program &program)
    : context_(context), module_(module), builder_(LLVMCreateBuilderInContext(context)), program_(program) {
  i1_ = LLVMInt1TypeInContext(context);
  i8_ = LLVMInt8TypeInContext(context);
  i32_ = LLVMInt32TypeInContext(context);
  i64_ = LLVMInt64TypeInContext(context);
  pointer_ = LLVMPointerTypeInContext(context, 0);
  void_ = LLVMVoidTypeInContext(context);
  const LLVMTypeRef types[kValueTypes] = {i1_,  LLVMInt16TypeInContext(context), i32_, i64_, i32_, LLVMFloatTypeInContext(context),
                                          LLVMDoubleTypeInContext(context), i64_, i64_, i64_, i64_, i64_};
  std::copy(types, types + kValueTypes, types_);
  LLVMTypeRef raise[] = {pointer_, i32_};
  raise_type_ = LLVMFunctionType(void_, raise, 2, 0);
  LLVMTypeRef call[] = {pointer_, i32_, pointer_, pointer_, pointer_};
  call_type_ = LLVMFunctionType(i64_, call, 5, 0);
  LLVMTypeRef make_reference[] = {pointer_, i32_, pointer_, i32_};
  make_reference_type_ = LLVMFunctionType(i64_, make_reference, 4, 0);
  LLVMTypeRef words[] = {pointer_, i64_, i64_};
  equal_texts_type_ = compare_numerics_type_ = LLVMFunctionType(i32_, words, 3, 0);
  make_numeric_type_ = LLVMFunctionType(i64_, words, 2, 0);
  LLVMTypeRef compute_numeric[] = {pointer_, i32_, i64_, i64_};
  compute_numeric_type_ = LLVMFunctionType(i64_, compute_numeric, 4, 0);
  needed_.resize(program.ncolumns);
  for (uint32_t i = 0; i < program.ninstructions; i++)
    if (program.instructions[i].operation == Operation::kInput) needed_[program.instructions[i].constant] = true;
}

Lowering::~Lowering() {
  LLVMDisposeBuilder(builder_);
}

void Lowering::LowerAll() {
  LowerRow();
  LowerImageRow();
}

void Lowering::BeginFunction(const char *name, const std::vector<LLVMTypeRef> &parameters) {
  std::vector<LLVMTypeRef> types = parameters;
  const LLVMTypeRef type = LLVMFunctionType(i32_, types.data(), static_cast<unsigned>(types.size()), 0);
  function_ = LLVMAddFunction(module_, name, type);
  // No idiom may become a call of the C library, no branch a table of addresses.
  for (const char *attribute : {"nounwind"})
    LLVMAddAttributeAtIndex(function_, static_cast<LLVMAttributeIndex>(LLVMAttributeFunctionIndex),
                            llvm_compat::Attribute(context_, attribute));
  for (const char *attribute : {"no-builtins", "no-jump-tables"})
    LLVMAddAttributeAtIndex(function_, static_cast<LLVMAttributeIndex>(LLVMAttributeFunctionIndex),
                            llvm_compat::TextAttribute(context_, attribute, "true"));
  // Nobody else has the memory of these.
  for (unsigned i = 0; i < types.size(); i++)
    LLVMAddAttributeAtIndex(function_, i + 1, llvm_compat::Attribute(context_, "noalias"));
  frame_ = LLVMGetParam(function_, 0);
  std::fill(raise_, raise_ + kProgramErrors, nullptr);
  row_type_ = type;
  ContinueIn(NewBlock());
}

Value Lowering::Read(uint16_t reg) {
  return {LLVMBuildLoad2(builder_, TypeOf(program_.registers[reg]), values_[reg], ""),
          LLVMBuildLoad2(builder_, i1_, nulls_[reg], "")};
}

void Lowering::Write(uint16_t reg, Value value) {
  LLVMBuildStore(builder_, value.value, values_[reg]);
  LLVMBuildStore(builder_, value.null, nulls_[reg]);
}

LLVMValueRef Lowering::CallFrame(unsigned index, LLVMTypeRef type, std::vector<LLVMValueRef> arguments) {
  static_assert(offsetof(NativeFrame, functions) == 0 && sizeof(void *) == 8, "the frame begins with the table of functions");
  const LLVMValueRef table = LLVMBuildLoad2(builder_, pointer_, frame_, "");
  const LLVMValueRef function = LLVMBuildLoad2(builder_, pointer_, At(pointer_, table, Size(index)), "");
  arguments.insert(arguments.begin(), frame_);
  const LLVMValueRef call = LLVMBuildCall2(builder_, type, function, arguments.data(), static_cast<unsigned>(arguments.size()), "");
  LLVMAddCallSiteAttribute(call, static_cast<LLVMAttributeIndex>(LLVMAttributeFunctionIndex), llvm_compat::Attribute(context_, "nounwind"));
  return call;
}

void Lowering::RaiseIf(LLVMValueRef condition, ProgramError error) {
  const int number = static_cast<int>(error);
  const LLVMBasicBlockRef here = LLVMGetInsertBlock(builder_);
  if (raise_[number] == nullptr) {
    const LLVMBasicBlockRef block = NewBlock();
    raise_[number] = LLVMBasicBlockAsValue(block);
    ContinueIn(block);
    const LLVMValueRef call = CallFrame(0, raise_type_, {LLVMConstInt(i32_, static_cast<unsigned>(number), 0)});
    for (const char *attribute : {"noreturn", "cold"})
      LLVMAddCallSiteAttribute(call, static_cast<LLVMAttributeIndex>(LLVMAttributeFunctionIndex),
                               llvm_compat::Attribute(context_, attribute));
    LLVMBuildUnreachable(builder_);
    ContinueIn(here);
  }
  const LLVMBasicBlockRef next = NewBlock();
  LLVMBuildCondBr(builder_, condition, LLVMValueAsBasicBlock(raise_[number]), next);
  ContinueIn(next);
}

// --- The row ---------------------------------------------------------------------------------------------------------

void Lowering::LowerRow() {
  BeginFunction(kRowSymbol, {pointer_, pointer_, pointer_, pointer_, pointer_});
  row_function_ = function_;
  words_ = LLVMGetParam(function_, 1);
  word_nulls_ = LLVMGetParam(function_, 2);
  outputs_ = LLVMGetParam(function_, 3);
  output_nulls_ = LLVMGetParam(function_, 4);
  values_.resize(program_.nregisters);
  nulls_.resize(program_.nregisters);
  for (uint32_t i = 0; i < program_.nregisters; i++) {
    const LLVMTypeRef type = TypeOf(program_.registers[i]);
    values_[i] = LLVMBuildAlloca(builder_, type, "");
    nulls_[i] = LLVMBuildAlloca(builder_, i1_, "");
    Write(static_cast<uint16_t>(i), {LLVMConstNull(type), Bit(true)});
  }
  uint32_t most = 1;
  for (uint32_t i = 0; i < program_.nfunctions; i++) most = std::max<uint32_t>(most, program_.functions[i].narguments);
  if (program_.nfunctions > 0) {
    call_words_ = LLVMBuildArrayAlloca(builder_, i64_, Size(most), "");
    call_nulls_ = LLVMBuildArrayAlloca(builder_, i8_, Size(most), "");
    call_isnull_ = LLVMBuildAlloca(builder_, i8_, "");
  }

  blocks_.assign(program_.ninstructions, nullptr);
  for (uint32_t i = 0; i < program_.ninstructions; i++) {
    const Instruction &instruction = program_.instructions[i];
    if (instruction.target != 0 && blocks_[instruction.target] == nullptr) blocks_[instruction.target] = NewBlock();
  }
  for (uint32_t i = 0; i < program_.ninstructions; i++) {
    if (blocks_[i] != nullptr) {
      if (LLVMGetBasicBlockTerminator(LLVMGetInsertBlock(builder_)) == nullptr) LLVMBuildBr(builder_, blocks_[i]);
      ContinueIn(blocks_[i]);
    } else if (LLVMGetBasicBlockTerminator(LLVMGetInsertBlock(builder_)) != nullptr) {
      ContinueIn(NewBlock());  // behind a jump that nothing leads to
    }
    LowerInstruction(i);
  }
}

void Lowering::LowerInstruction(uint32_t at) {
  const Instruction &instruction = program_.instructions[at];
  switch (instruction.operation) {
    case Operation::kInput: {
      const LLVMValueRef index = Size(static_cast<uint64_t>(instruction.constant));
      const LLVMValueRef flag = LLVMBuildLoad2(builder_, i8_, At(i8_, word_nulls_, index), "");
      const LLVMValueRef null = LLVMBuildICmp(builder_, LLVMIntNE, flag, LLVMConstNull(i8_), "");
      const LLVMValueRef word = LLVMBuildLoad2(builder_, i64_, At(i64_, words_, index), "");
      const ValueType type = program_.registers[instruction.result];
      Write(instruction.result, {FromWord(type, LLVMBuildSelect(builder_, null, Size(0), word, "")), null});
      return;
    }
    case Operation::kBoundConstant: {
      static_assert(offsetof(NativeFrame, constants) == 8, "the frame's second word are the constants");
      const LLVMValueRef constants = LLVMBuildLoad2(builder_, pointer_, At(pointer_, frame_, Size(1)), "");
      const LLVMValueRef place = At(i64_, constants, Size(static_cast<uint64_t>(instruction.constant)));
      Write(instruction.result, {LLVMBuildLoad2(builder_, i64_, place, ""), Bit(false)});
      return;
    }
    case Operation::kOutput: {
      const LLVMValueRef index = Size(static_cast<uint64_t>(instruction.constant));
      const Value value = Read(instruction.a);
      const LLVMValueRef word = ToWord(program_.registers[instruction.a], value.value);
      LLVMBuildStore(builder_, LLVMBuildSelect(builder_, value.null, Size(0), word, ""), At(i64_, outputs_, index));
      LLVMBuildStore(builder_, LLVMBuildZExt(builder_, value.null, i8_, ""), At(i8_, output_nulls_, index));
      return;
    }
    case Operation::kAccept:
    case Operation::kReject:
      LLVMBuildRet(builder_, LLVMConstInt(i32_, instruction.operation == Operation::kAccept, 0));
      return;
    case Operation::kCall:
      LowerCall(instruction);
      return;
    case Operation::kJump:
    case Operation::kJumpIfTrue:
    case Operation::kJumpIfFalse:
    case Operation::kJumpIfNotTrue:
    case Operation::kJumpIfNull:
    case Operation::kJumpIfNotNull:
      LowerJump(instruction, at);
      return;
    default:
      Write(instruction.result, Compute(instruction));
      return;
  }
}

void Lowering::LowerJump(const Instruction &instruction, uint32_t at) {
  const LLVMBasicBlockRef target = blocks_[instruction.target];
  if (instruction.operation == Operation::kJump) {
    LLVMBuildBr(builder_, target);
    return;
  }
  const Value a = Read(instruction.a);
  LLVMValueRef condition = a.null;
  if (instruction.operation == Operation::kJumpIfTrue)
    condition = And(Not(a.null), a.value);
  else if (instruction.operation == Operation::kJumpIfFalse)
    condition = And(Not(a.null), Not(a.value));
  else if (instruction.operation == Operation::kJumpIfNotTrue)
    condition = Or(a.null, Not(a.value));
  else if (instruction.operation == Operation::kJumpIfNotNull)
    condition = Not(a.null);
  if (blocks_[at + 1] == nullptr) blocks_[at + 1] = NewBlock();
  LLVMBuildCondBr(builder_, condition, target, blocks_[at + 1]);
}

void Lowering::LowerCall(const Instruction &instruction) {
  const CalledFunction &function = program_.functions[instruction.constant];
  LLVMValueRef any_null = Bit(false);
  for (uint32_t i = 0; i < function.narguments; i++) {
    const uint16_t reg = program_.arguments[instruction.a + i];
    const Value value = Read(reg);
    LLVMBuildStore(builder_, ToWord(program_.registers[reg], value.value), At(i64_, call_words_, Size(i)));
    LLVMBuildStore(builder_, LLVMBuildZExt(builder_, value.null, i8_, ""), At(i8_, call_nulls_, Size(i)));
    any_null = Or(any_null, value.null);
  }
  const ValueType type = program_.registers[instruction.result];
  const LLVMBasicBlockRef after = NewBlock();
  if (function.strict != 0) {
    const LLVMBasicBlockRef call = NewBlock();
    Write(instruction.result, {LLVMConstNull(TypeOf(type)), Bit(true)});
    LLVMBuildCondBr(builder_, any_null, after, call);
    ContinueIn(call);
  }
  const LLVMValueRef word = CallFrame(
      1, call_type_, {LLVMConstInt(i32_, static_cast<unsigned long long>(instruction.constant), 0), call_words_, call_nulls_, call_isnull_});
  const LLVMValueRef flag = LLVMBuildLoad2(builder_, i8_, call_isnull_, "");
  const LLVMValueRef null = LLVMBuildICmp(builder_, LLVMIntNE, flag, LLVMConstNull(i8_), "");
  Write(instruction.result, {FromWord(type, LLVMBuildSelect(builder_, null, Size(0), word, "")), null});
  LLVMBuildBr(builder_, after);
  ContinueIn(after);
}

// --- The row image ---------------------------------------------------------------------------------------------------

// Decodes the columns that are needed into arrays of words, then goes the way of the other entry, which is inlined.
void Lowering::LowerImageRow() {
  const LLVMTypeRef row_type = row_type_;
  LLVMAddAttributeAtIndex(row_function_, static_cast<LLVMAttributeIndex>(LLVMAttributeFunctionIndex),
                          llvm_compat::Attribute(context_, "alwaysinline"));
  BeginFunction(kImageRowSymbol, {pointer_, pointer_, pointer_, pointer_});
  const LLVMValueRef image = LLVMGetParam(function_, 1);
  const uint32_t n = std::max<uint32_t>(program_.ncolumns, 1);
  words_ = LLVMBuildAlloca(builder_, LLVMArrayType(i64_, n), "");
  word_nulls_ = LLVMBuildAlloca(builder_, LLVMArrayType(i8_, n), "");

  // Most rows have no NULL: then columns up to the first of varying length lie at places known here.
  LLVMValueRef nulls = LLVMConstNull(i8_);
  for (uint32_t i = 0; i < BitmapSize(); i++)
    nulls = Or(nulls, LLVMBuildLoad2(builder_, i8_, At(i8_, image, Size(i)), ""));
  const LLVMBasicBlockRef without = NewBlock(), with = NewBlock(), decoded = NewBlock();
  LLVMBuildCondBr(builder_, LLVMBuildICmp(builder_, LLVMIntEQ, nulls, LLVMConstNull(i8_), ""), without, with);
  ContinueIn(without);
  LowerColumnsAtFixedPlaces(image);
  LLVMBuildBr(builder_, decoded);
  ContinueIn(with);
  LowerColumnsInTurn(image);
  LLVMBuildBr(builder_, decoded);
  ContinueIn(decoded);
  LLVMValueRef arguments[] = {frame_, words_, word_nulls_, LLVMGetParam(function_, 2), LLVMGetParam(function_, 3)};
  LLVMBuildRet(builder_, LLVMBuildCall2(builder_, row_type, row_function_, arguments, 5, ""));
}

// Puts the column whose bytes are at `data` among the words.
void Lowering::LoadColumn(uint32_t column, LLVMValueRef data, LLVMValueRef size) {
  if (!Needed(column)) return;
  const InputColumn &layout = program_.columns[column];
  LLVMValueRef word;
  if (layout.by_value != 0) {
    const LLVMTypeRef type = LLVMIntTypeInContext(context_, static_cast<unsigned>(layout.length) * 8);
    word = LoadUnaligned(type, data);
    if (layout.length < 8) word = LLVMBuildSExt(builder_, word, i64_, "");
  } else {
    word = CallFrame(2, make_reference_type_, {LLVMConstInt(i32_, column, 0), data, LLVMBuildTrunc(builder_, size, i32_, "")});
  }
  LLVMBuildStore(builder_, word, At(i64_, words_, Size(column)));
  LLVMBuildStore(builder_, LLVMConstNull(i8_), At(i8_, word_nulls_, Size(column)));
}

void Lowering::LowerColumnsAtFixedPlaces(LLVMValueRef image) {
  uint64_t offset = BitmapSize();
  LLVMValueRef position = At(i8_, image, Size(offset));
  for (uint32_t i = 0; i < program_.ncolumns; i++) {
    const int16_t length = program_.columns[i].length;
    LLVMValueRef size = Size(static_cast<uint64_t>(length));
    if (length < 0) {
      size = LLVMBuildZExt(builder_, LoadUnaligned(i32_, position), i64_, "");
      position = At(i8_, position, Size(sizeof(uint32_t)));
    }
    LoadColumn(i, position, size);
    position = At(i8_, position, size);
  }
}

void Lowering::LowerColumnsInTurn(LLVMValueRef image) {
  LLVMValueRef position = At(i8_, image, Size(BitmapSize()));
  for (uint32_t i = 0; i < program_.ncolumns; i++) {
    const int16_t length = program_.columns[i].length;
    const LLVMValueRef byte = LLVMBuildLoad2(builder_, i8_, At(i8_, image, Size(i / 8)), "");
    const LLVMValueRef bit = And(byte, LLVMConstInt(i8_, 1u << (i % 8), 0));
    const LLVMBasicBlockRef null = NewBlock(), present = NewBlock(), after = NewBlock();
    LLVMBuildCondBr(builder_, LLVMBuildICmp(builder_, LLVMIntNE, bit, LLVMConstNull(i8_), ""), null, present);
    ContinueIn(null);
    LLVMBuildStore(builder_, Size(0), At(i64_, words_, Size(i)));
    LLVMBuildStore(builder_, LLVMConstInt(i8_, 1, 0), At(i8_, word_nulls_, Size(i)));
    LLVMBuildBr(builder_, after);
    ContinueIn(present);
    LLVMValueRef size = Size(static_cast<uint64_t>(length)), data = position;
    if (length < 0) {
      size = LLVMBuildZExt(builder_, LoadUnaligned(i32_, position), i64_, "");
      data = At(i8_, position, Size(sizeof(uint32_t)));
    }
    LoadColumn(i, data, size);
    const LLVMValueRef behind = At(i8_, data, size);
    const LLVMBasicBlockRef last = LLVMGetInsertBlock(builder_);
    LLVMBuildBr(builder_, after);
    ContinueIn(after);
    const LLVMValueRef next = LLVMBuildPhi(builder_, pointer_, "");
    LLVMValueRef places[] = {position, behind};
    LLVMBasicBlockRef from[] = {null, last};
    LLVMAddIncoming(next, places, from, 2);
    position = next;
  }
}

}  // namespace pgstream
