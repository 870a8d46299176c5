// From a row program to LLVM IR: what the files of the lowering share. lower_program.cpp has the control flow and the two
// entry points, lower_operation.cpp the operations, lower_reference.cpp those on values that registers point to.
//
// Registers are stack slots (mem2reg makes them values), a null flag and a value each, the value of a NULL always something
// defined: so operations that cannot fail are computed without looking at the flags, and only what raises is guarded.
//
// Promises: no code that could need a relocation beyond its own module: no calls but through the frame, no switch tables.
// Refuses: programs that CheckProgram refuses; they are checked before.
#pragma once

#include <vector>

#include "core/native_code.hpp"
#include "core/program.hpp"
#include "jit/llvm_compat.hpp"

namespace pgstream {

constexpr const char *kRowSymbol = "pgstream_row";
constexpr const char *kImageRowSymbol = "pgstream_image_row";

/// A register's content while operations are put together.
struct Value {
  LLVMValueRef value;
  LLVMValueRef null;  // i1
};

class Lowering {
 public:
  Lowering(LLVMContextRef context, LLVMModuleRef module, const Program &program);
  ~Lowering();
  Lowering(const Lowering &) = delete;
  Lowering &operator=(const Lowering &) = delete;

  /// Puts both entry points into the module.
  void LowerAll();

 private:
  // --- lower_program.cpp
  void LowerRow();
  void LowerImageRow();
  void LowerColumnsAtFixedPlaces(LLVMValueRef image);
  void LowerColumnsInTurn(LLVMValueRef image);
  void LoadColumn(uint32_t column, LLVMValueRef data, LLVMValueRef size);
  void LowerInstruction(uint32_t at);
  void LowerJump(const Instruction &instruction, uint32_t at);
  void LowerCall(const Instruction &instruction);
  void BeginFunction(const char *name, const std::vector<LLVMTypeRef> &parameters);
  bool Needed(uint32_t column) const { return needed_[column]; }
  uint32_t BitmapSize() const { return (program_.ncolumns + 7) / 8; }

  // --- lower_operation.cpp
  Value Compute(const Instruction &instruction);
  Value Arithmetic(const Instruction &instruction, Value a, Value b);
  LLVMValueRef IntegerArithmetic(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known);
  LLVMValueRef IntegerDivision(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known);
  LLVMValueRef FloatArithmetic(Operation operation, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known);
  LLVMValueRef DateArithmetic(Operation operation, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known);
  LLVMValueRef Unary(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef known);
  LLVMValueRef Convert(ValueType from, ValueType to, LLVMValueRef a, LLVMValueRef known);
  LLVMValueRef FloatToInteger(ValueType to, LLVMValueRef a, LLVMValueRef known);
  LLVMValueRef CompareKnown(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known);
  LLVMValueRef Compare(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b);
  LLVMValueRef FloatLess(LLVMValueRef a, LLVMValueRef b);
  LLVMValueRef FloatEqual(LLVMValueRef a, LLVMValueRef b);
  LLVMValueRef IsInfinite(LLVMValueRef a);
  LLVMValueRef IsNan(LLVMValueRef a);
  LLVMValueRef IsZero(LLVMValueRef a);
  LLVMValueRef IsFiniteDate(LLVMValueRef a);
  LLVMValueRef DateTimestamp(LLVMValueRef a);

  // --- lower_reference.cpp
  /// What is compared of a value: two unsigned words.
  struct Wide {
    LLVMValueRef high, low;
  };
  /// What `make` makes where `known` holds, else zero.
  template <class Make>
  LLVMValueRef WhereKnown(LLVMValueRef known, LLVMTypeRef type, Make &&make);
  LLVMValueRef LoadFrom(LLVMTypeRef type, LLVMValueRef word, uint64_t offset);
  Wide WideOfUuid(LLVMValueRef word);
  Wide WideOfInterval(LLVMValueRef word);
  LLVMValueRef WideLess(Wide a, Wide b);
  LLVMValueRef WideEqual(Wide a, Wide b);
  LLVMValueRef CompareReferences(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known);
  LLVMValueRef NumericArithmetic(Operation operation, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known);
  LLVMValueRef IntegerToNumeric(LLVMValueRef a, LLVMValueRef known);

  /// Goes on only where `condition` does not hold; raises `error` where it does.
  void RaiseIf(LLVMValueRef condition, ProgramError error);
  LLVMValueRef FromWord(ValueType type, LLVMValueRef word);
  LLVMValueRef ToWord(ValueType type, LLVMValueRef value);

  // --- Shorthands
  LLVMTypeRef TypeOf(ValueType type) const { return types_[static_cast<int>(type)]; }
  LLVMValueRef Bit(bool value) const { return LLVMConstInt(i1_, value, 0); }
  LLVMValueRef Int(ValueType type, int64_t value) const {
    return LLVMConstInt(TypeOf(type), static_cast<unsigned long long>(value), 1);
  }
  LLVMValueRef Size(uint64_t value) const { return LLVMConstInt(i64_, value, 0); }
  LLVMValueRef And(LLVMValueRef a, LLVMValueRef b) { return LLVMBuildAnd(builder_, a, b, ""); }
  LLVMValueRef Or(LLVMValueRef a, LLVMValueRef b) { return LLVMBuildOr(builder_, a, b, ""); }
  LLVMValueRef Not(LLVMValueRef a) { return LLVMBuildNot(builder_, a, ""); }
  LLVMValueRef At(LLVMTypeRef element, LLVMValueRef pointer, LLVMValueRef index) {
    return LLVMBuildGEP2(builder_, element, pointer, &index, 1, "");
  }
  LLVMValueRef LoadUnaligned(LLVMTypeRef type, LLVMValueRef pointer) {
    const LLVMValueRef load = LLVMBuildLoad2(builder_, type, pointer, "");
    LLVMSetAlignment(load, 1);
    return load;
  }
  Value Read(uint16_t reg);
  void Write(uint16_t reg, Value value);
  LLVMBasicBlockRef NewBlock() { return LLVMAppendBasicBlockInContext(context_, function_, ""); }
  void ContinueIn(LLVMBasicBlockRef block) { LLVMPositionBuilderAtEnd(builder_, block); }
  /// Calls function number `index` of the frame's table.
  LLVMValueRef CallFrame(unsigned index, LLVMTypeRef type, std::vector<LLVMValueRef> arguments);

  LLVMContextRef context_;
  LLVMModuleRef module_;
  LLVMBuilderRef builder_;
  const Program &program_;
  LLVMTypeRef i1_, i8_, i32_, i64_, pointer_, void_;
  LLVMTypeRef types_[kValueTypes];
  LLVMTypeRef raise_type_, call_type_, make_reference_type_, equal_texts_type_, compare_numerics_type_, compute_numeric_type_, make_numeric_type_;
  std::vector<bool> needed_;  // columns that some operation reads

  // Of the function being made.
  LLVMValueRef function_ = nullptr;
  LLVMValueRef frame_ = nullptr;
  LLVMValueRef raise_[kProgramErrors] = {};  // blocks that raise, as values, made when first needed
  std::vector<LLVMValueRef> values_, nulls_;  // registers' slots
  std::vector<LLVMBasicBlockRef> blocks_;     // of jumps' targets
  LLVMValueRef row_function_ = nullptr;
  LLVMTypeRef row_type_ = nullptr;
  LLVMValueRef words_ = nullptr, word_nulls_ = nullptr;  // the input arrays
  LLVMValueRef outputs_ = nullptr, output_nulls_ = nullptr;
  LLVMValueRef call_words_ = nullptr, call_nulls_ = nullptr, call_isnull_ = nullptr;
};

}  // namespace pgstream
