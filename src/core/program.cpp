// Checking and serialising row programs; see program.hpp.
//
// The serialised form is a header of counts and the arrays one after the other, those of the widest elements first, so that
// each is aligned where the whole is.
#include "core/program.hpp"

#include <cstring>
#include <initializer_list>

namespace pgstream {
namespace {

constexpr uint32_t kProgramMagic = 0x31504750;  // "PGP1"

struct Header {
  uint32_t magic;
  uint32_t ninstructions, ncolumns, nfunctions, narguments, nregisters, nconstants, noutputs;
};
static_assert(sizeof(Header) == 32, "the header keeps instructions aligned");

bool IsJump(Operation operation) noexcept {
  return operation >= Operation::kJump && operation <= Operation::kJumpIfNotNull;
}

/// Which of result, a and b an operation uses.
struct Use {
  bool result, a, b;
};

Use UseOf(Operation operation) noexcept {
  switch (operation) {
    case Operation::kInput:
    case Operation::kConstant:
    case Operation::kNull:
    case Operation::kBoundConstant:
    case Operation::kCall:
      return {true, false, false};
    case Operation::kMove:
    case Operation::kConvert:
    case Operation::kNegate:
    case Operation::kAbsolute:
    case Operation::kBitNot:
    case Operation::kDateTimestamp:
    case Operation::kNot:
    case Operation::kIsNull:
    case Operation::kIsNotNull:
      return {true, true, false};
    case Operation::kJumpIfTrue:
    case Operation::kJumpIfFalse:
    case Operation::kJumpIfNotTrue:
    case Operation::kJumpIfNull:
    case Operation::kJumpIfNotNull:
    case Operation::kOutput:
      return {false, true, false};
    case Operation::kJump:
    case Operation::kAccept:
    case Operation::kReject:
      return {false, false, false};
    default:
      return {true, true, true};
  }
}

class Checker {
 public:
  explicit Checker(const Program &program) noexcept : program_(program) {}

  const char *CheckAll() const noexcept {
    const Program &p = program_;
    for (uint32_t n : {p.ncolumns, p.nregisters, p.ninstructions, p.nfunctions, p.narguments, p.nconstants, p.noutputs})
      if (n > kMaxProgramParts) return "the program is too large";
    for (uint32_t i = 0; i < p.nregisters; i++)
      if (static_cast<int>(p.registers[i]) >= kValueTypes) return "unknown register type";
    for (uint32_t i = 0; i < p.ncolumns; i++)
      if (const char *why = CheckColumn(p.columns[i])) return why;
    for (uint32_t i = 0; i < p.narguments; i++)
      if (p.arguments[i] >= p.nregisters) return "an argument is no register";
    if (p.ninstructions == 0) return "the program is empty";
    const Operation last = p.instructions[p.ninstructions - 1].operation;
    if (last != Operation::kAccept && last != Operation::kReject) return "the program does not end";
    for (uint32_t i = 0; i < p.ninstructions; i++)
      if (const char *why = CheckInstruction(i)) return why;
    return nullptr;
  }

 private:
  static const char *CheckColumn(const InputColumn &column) noexcept {
    if (static_cast<int>(column.type) >= kValueTypes || column.by_value > 1) return "unknown column type";
    int width = 0;
    if (IsReference(column.type)) {
      width = column.type == ValueType::kUuid || column.type == ValueType::kInterval ? 16 : -1;
      return column.by_value == 0 && column.length == width ? nullptr : "a column has another length than its type";
    }
    switch (column.type) {
      case ValueType::kBool:
        width = 1;
        break;
      case ValueType::kInt16:
        width = 2;
        break;
      case ValueType::kInt32:
      case ValueType::kUInt32:
      case ValueType::kFloat32:
        width = 4;
        break;
      case ValueType::kInt64:
      case ValueType::kFloat64:
        width = 8;
        break;
      case ValueType::kWord:
        if (column.by_value == 0) return column.length > 0 || column.length == -1 || column.length == -2 ? nullptr : "invalid column length";
        width = column.length;
        if (width != 1 && width != 2 && width != 4 && width != 8) return "invalid column length";
        break;
      default:
        break;
    }
    return column.by_value == 1 && column.length == width ? nullptr : "a column has another length than its type";
  }

  ValueType TypeOf(uint16_t reg) const noexcept { return program_.registers[reg]; }

  const char *CheckInstruction(uint32_t at) const noexcept {
    const Instruction &i = program_.instructions[at];
    if (static_cast<int>(i.operation) >= kOperations || i.zero != 0 || i.zero_too != 0) return "unknown operation";
    const Use use = UseOf(i.operation);
    const uint32_t n = program_.nregisters;
    if ((use.result && i.result >= n) || (use.a && i.a >= n) || (use.b && i.b >= n)) return "an operand is no register";
    if (IsJump(i.operation) ? i.target <= at || i.target >= program_.ninstructions : i.target != 0)
      return "a jump does not lead forward";
    return TypesAgree(i) ? nullptr : "the types of an operation do not agree";
  }

  bool Indexes(const Instruction &i, uint32_t n) const noexcept { return i.constant >= 0 && i.constant < static_cast<int64_t>(n); }

  bool TypesAgree(const Instruction &i) const noexcept {
    switch (i.operation) {
      case Operation::kInput:
        return Indexes(i, program_.ncolumns) && TypeOf(i.result) == program_.columns[i.constant].type;
      case Operation::kConstant:
        return !IsReference(TypeOf(i.result));
      case Operation::kNull:
      case Operation::kJump:
      case Operation::kJumpIfNull:
      case Operation::kJumpIfNotNull:
      case Operation::kAccept:
      case Operation::kReject:
        return true;
      case Operation::kBoundConstant:
        return Indexes(i, program_.nconstants) && IsPointer(TypeOf(i.result));
      case Operation::kMove:
        return TypeOf(i.result) == TypeOf(i.a) || (IsPointer(TypeOf(i.result)) && IsPointer(TypeOf(i.a)));
      case Operation::kConvert:
        return CanConvert(TypeOf(i.a), TypeOf(i.result));
      case Operation::kAdd:
      case Operation::kSubtract:
      case Operation::kMultiply:
        return Same(i) && (Numeric(TypeOf(i.a)) || TypeOf(i.a) == ValueType::kNumeric);
      case Operation::kDivide:
        return Same(i) && Numeric(TypeOf(i.a));
      case Operation::kModulo:
      case Operation::kBitAnd:
      case Operation::kBitOr:
      case Operation::kBitXor:
        return Same(i) && IsInteger(TypeOf(i.a));
      case Operation::kNegate:
      case Operation::kAbsolute:
        return TypeOf(i.result) == TypeOf(i.a) && Numeric(TypeOf(i.a));
      case Operation::kBitNot:
        return TypeOf(i.result) == TypeOf(i.a) && IsInteger(TypeOf(i.a));
      case Operation::kDateAdd:
      case Operation::kDateSubtract:
      case Operation::kDateDifference:
        return Same(i) && TypeOf(i.a) == ValueType::kInt32;
      case Operation::kDateTimestamp:
        return TypeOf(i.result) == ValueType::kInt64 && TypeOf(i.a) == ValueType::kInt32;
      case Operation::kEqual:
      case Operation::kNotEqual:
      case Operation::kDistinct:
        return TypeOf(i.result) == ValueType::kBool && TypeOf(i.a) == TypeOf(i.b) && TypeOf(i.a) != ValueType::kWord;
      case Operation::kLess:
      case Operation::kLessEqual:
      case Operation::kGreater:
      case Operation::kGreaterEqual:
        return TypeOf(i.result) == ValueType::kBool && TypeOf(i.a) == TypeOf(i.b) && IsOrdered(TypeOf(i.a));
      case Operation::kNot:
        return TypeOf(i.result) == ValueType::kBool && TypeOf(i.a) == ValueType::kBool;
      case Operation::kIsNull:
      case Operation::kIsNotNull:
        return TypeOf(i.result) == ValueType::kBool;
      case Operation::kJumpIfTrue:
      case Operation::kJumpIfFalse:
      case Operation::kJumpIfNotTrue:
        return TypeOf(i.a) == ValueType::kBool;
      case Operation::kCall:
        return Indexes(i, program_.nfunctions) &&
               static_cast<uint32_t>(i.a) + program_.functions[i.constant].narguments <= program_.narguments;
      case Operation::kOutput:
        return Indexes(i, program_.noutputs);
    }
    return false;
  }

  bool Same(const Instruction &i) const noexcept { return TypeOf(i.result) == TypeOf(i.a) && TypeOf(i.a) == TypeOf(i.b); }

  // May hold one.
  static bool IsPointer(ValueType type) noexcept { return type == ValueType::kWord || IsReference(type); }

  static bool Numeric(ValueType type) noexcept { return IsInteger(type) || IsFloat(type); }

  static bool CanConvert(ValueType from, ValueType to) noexcept {
    if (from == to) return false;
    if (Numeric(from) && Numeric(to)) return true;
    if (IsInteger(from) && to == ValueType::kNumeric) return true;
    if (from == ValueType::kUInt32) return to == ValueType::kInt64;
    return (from == ValueType::kBool && to == ValueType::kInt32) || (from == ValueType::kInt32 && to == ValueType::kBool);
  }

  const Program &program_;
};

template <class T>
uint8_t *PutArray(uint8_t *at, const T *array, uint32_t n) noexcept {
  if (n > 0) std::memcpy(at, array, n * sizeof(T));
  return at + n * sizeof(T);
}

/// False when fewer than n elements are left.
template <class T>
bool TakeArray(const uint8_t **at, const uint8_t *end, const T **array, uint32_t n) noexcept {
  if (n > static_cast<size_t>(end - *at) / sizeof(T)) return false;
  *array = reinterpret_cast<const T *>(*at);
  *at += n * sizeof(T);
  return true;
}

constexpr ProgramErrorText kErrors[kProgramErrors] = {
    {"22003", "smallint out of range"},
    {"22003", "integer out of range"},
    {"22003", "bigint out of range"},
    {"22012", "division by zero"},
    {"22003", "value out of range: overflow"},
    {"22003", "value out of range: underflow"},
    {"22008", "date out of range"},
    {"22008", "cannot subtract infinite dates"},
};

}  // namespace

const char *CheckProgram(const Program &program) noexcept {
  return Checker(program).CheckAll();
}

size_t ProgramSize(const Program &p) noexcept {
  return sizeof(Header) + p.ninstructions * sizeof(Instruction) + p.ncolumns * sizeof(InputColumn) +
         p.nfunctions * sizeof(CalledFunction) + p.narguments * sizeof(uint16_t) + p.nregisters * sizeof(ValueType);
}

void WriteProgram(const Program &p, uint8_t *bytes) noexcept {
  const Header header = {kProgramMagic, p.ninstructions, p.ncolumns,   p.nfunctions,
                         p.narguments,  p.nregisters,    p.nconstants, p.noutputs};
  bytes = PutArray(bytes, &header, 1);
  bytes = PutArray(bytes, p.instructions, p.ninstructions);
  bytes = PutArray(bytes, p.columns, p.ncolumns);
  bytes = PutArray(bytes, p.functions, p.nfunctions);
  bytes = PutArray(bytes, p.arguments, p.narguments);
  PutArray(bytes, p.registers, p.nregisters);
}

const char *ReadProgram(const uint8_t *bytes, size_t size, Program *program) noexcept {
  if (reinterpret_cast<uintptr_t>(bytes) % alignof(Instruction) != 0) return "the bytes of the program are not aligned";
  const uint8_t *at = bytes;
  const uint8_t *const end = bytes + size;
  const Header *header;
  if (!TakeArray(&at, end, &header, 1)) return "the program is truncated";
  if (header->magic != kProgramMagic) return "not a program";
  *program = Program();
  program->ninstructions = header->ninstructions;
  program->ncolumns = header->ncolumns;
  program->nfunctions = header->nfunctions;
  program->narguments = header->narguments;
  program->nregisters = header->nregisters;
  program->nconstants = header->nconstants;
  program->noutputs = header->noutputs;
  if (!TakeArray(&at, end, &program->instructions, program->ninstructions) ||
      !TakeArray(&at, end, &program->columns, program->ncolumns) ||
      !TakeArray(&at, end, &program->functions, program->nfunctions) ||
      !TakeArray(&at, end, &program->arguments, program->narguments) ||
      !TakeArray(&at, end, &program->registers, program->nregisters))
    return "the program is truncated";
  if (at != end) return "bytes after the program";
  return CheckProgram(*program);
}

const ProgramErrorText &DescribeError(ProgramError error) noexcept {
  return kErrors[static_cast<int>(error)];
}

ProgramError OutOfRange(ValueType type) noexcept {
  return type == ValueType::kInt16   ? ProgramError::kSmallintOutOfRange
         : type == ValueType::kInt32 ? ProgramError::kIntegerOutOfRange
                                     : ProgramError::kBigintOutOfRange;
}

}  // namespace pgstream
