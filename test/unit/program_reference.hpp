// What unit tests of row programs share: a program that owns its parts, and the plainest evaluation of one, against which
// compiled code is held. Written from PostgreSQL's rules, not from the lowering.
#pragma once

#include <cmath>
#include <cstring>
#include <deque>
#include <optional>
#include <vector>

#include "core/program.hpp"
#include "core/stored_numeric.hpp"

namespace pgstream {

// Values that registers point to: UUIDs and intervals as they are, texts and numerics behind their size (64 bits).
class Values {
 public:
  int64_t Keep(ValueType type, const std::vector<uint8_t> &bytes) {
    const bool sized = type == ValueType::kText || type == ValueType::kNumeric;
    std::vector<uint64_t> kept((sized ? 1 : 0) + (bytes.size() + 7) / 8 + 1);
    if (sized) kept[0] = bytes.size();
    if (!bytes.empty()) std::memcpy(kept.data() + (sized ? 1 : 0), bytes.data(), bytes.size());
    kept_.push_back(std::move(kept));
    return reinterpret_cast<int64_t>(kept_.back().data());
  }
  void Forget() { kept_.clear(); }

 private:
  std::deque<std::vector<uint64_t>> kept_;
};

inline std::vector<uint8_t> BytesOf(ValueType type, int64_t word) {
  const auto *at = reinterpret_cast<const uint8_t *>(word);
  uint64_t size = 16;
  if (type == ValueType::kText || type == ValueType::kNumeric) {
    std::memcpy(&size, at, sizeof(size));
    at += sizeof(size);
  }
  return {at, at + size};
}

// What is not answered of numerics here, the server would answer: all that counts is that it is asked.
inline int NumericOrder(int64_t a, int64_t b) {
  const std::vector<uint8_t> x = BytesOf(ValueType::kNumeric, a), y = BytesOf(ValueType::kNumeric, b);
  int order;
  return CompareStored({x.data(), static_cast<uint32_t>(x.size())}, {y.data(), static_cast<uint32_t>(y.size())}, &order) ? order : 77;
}
inline std::vector<uint8_t> NumericResult(Operation operation, int64_t a, int64_t b) {
  const std::vector<uint8_t> x = BytesOf(ValueType::kNumeric, a), y = BytesOf(ValueType::kNumeric, b);
  std::vector<uint8_t> result(kMostStoredResult);
  const uint32_t size =
      ComputeStored(operation, {x.data(), static_cast<uint32_t>(x.size())}, {y.data(), static_cast<uint32_t>(y.size())}, result.data());
  result.resize(size);
  return size > 0 ? result : std::vector<uint8_t>{0, 0xC0};
}
inline std::vector<uint8_t> NumericOf(int64_t value) {
  std::vector<uint8_t> result(kMostStoredResult);
  result.resize(StoreInteger(value, result.data()));
  return result;
}

struct OwnedProgram {
  std::vector<InputColumn> columns;
  std::vector<ValueType> registers;
  std::vector<Instruction> instructions;
  std::vector<CalledFunction> functions;
  std::vector<uint16_t> arguments;
  uint32_t nconstants = 0, noutputs = 0;

  Program View() const {
    return {columns.data(),   static_cast<uint32_t>(columns.size()),   registers.data(),    static_cast<uint32_t>(registers.size()),
            instructions.data(), static_cast<uint32_t>(instructions.size()), functions.data(), static_cast<uint32_t>(functions.size()),
            arguments.data(), static_cast<uint32_t>(arguments.size()), nconstants,          noutputs};
  }
  uint16_t Register(ValueType type) {
    registers.push_back(type);
    return static_cast<uint16_t>(registers.size() - 1);
  }
  uint32_t Add(Operation operation, uint16_t result = 0, uint16_t a = 0, uint16_t b = 0, int64_t constant = 0, uint32_t target = 0) {
    instructions.push_back({operation, 0, result, a, b, target, 0, constant});
    return static_cast<uint32_t>(instructions.size() - 1);
  }
  uint32_t Next() const { return static_cast<uint32_t>(instructions.size()); }
  // Eight-byte units, as serialised programs are to be aligned.
  std::vector<uint64_t> Bytes() const {
    std::vector<uint64_t> bytes((ProgramSize(View()) + 7) / 8);
    WriteProgram(View(), reinterpret_cast<uint8_t *>(bytes.data()));
    return bytes;
  }
};

struct Word {
  int64_t value = 0;
  bool null = true;
  bool operator==(const Word &other) const { return null == other.null && (null || value == other.value); }
};

struct Outcome {
  std::optional<ProgramError> error;
  bool accepted = false;
  std::vector<Word> outputs;
};

// Function c of every program under test: the sum of its arguments' words (NULL counts as one, were it called with one), and NULL
// where that is divisible by 7.
inline Word TestFunction(const std::vector<Word> &arguments) {
  uint64_t sum = 0;
  for (const Word &argument : arguments) sum += argument.null ? 1 : static_cast<uint64_t>(argument.value);
  if (sum % 7 == 0) return {};
  return {static_cast<int64_t>(sum), false};
}

class Reference {
 public:
  Reference(const Program &program, const std::vector<Word> &columns, const std::vector<int64_t> &constants, Values *values = nullptr)
      : program_(program), columns_(columns), constants_(constants), values_(values), registers_(program.nregisters) {}

  Outcome Run() {
    outcome_.outputs.resize(program_.noutputs);
    for (uint32_t at = 0; !done_ && !outcome_.error;) at = Step(at);
    return outcome_;
  }

 private:
  static float AsFloat(int64_t word) {
    const auto bits = static_cast<uint32_t>(word);
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  static double AsDouble(int64_t word) {
    double value;
    std::memcpy(&value, &word, sizeof(value));
    return value;
  }
  static int64_t Bits(float value) {
    int32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }
  static int64_t Bits(double value) {
    int64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return bits;
  }
  // The value of a word cut to its type.
  static int64_t Cut(ValueType type, int64_t word) {
    switch (type) {
      case ValueType::kBool:
        return (word & 0xFF) != 0;
      case ValueType::kInt16:
        return static_cast<int16_t>(word);
      case ValueType::kInt32:
      case ValueType::kUInt32:
      case ValueType::kFloat32:
        return static_cast<int32_t>(word);
      default:
        return word;
    }
  }

  Word Raise(ProgramError error) {
    outcome_.error = error;
    return {};
  }

  static __int128 Least(ValueType type) {
    return type == ValueType::kInt16 ? INT16_MIN : type == ValueType::kInt32 ? INT32_MIN : static_cast<__int128>(INT64_MIN);
  }
  Word Fitted(ValueType type, __int128 value) {
    if (value < Least(type) || value > -Least(type) - 1) return Raise(OutOfRange(type));
    return {static_cast<int64_t>(value), false};
  }

  Word Integers(Operation operation, ValueType type, int64_t a, int64_t b) {
    const __int128 x = a, y = b;
    switch (operation) {
      case Operation::kAdd:
        return Fitted(type, x + y);
      case Operation::kSubtract:
        return Fitted(type, x - y);
      case Operation::kMultiply:
        return Fitted(type, x * y);
      case Operation::kDivide:
        return b == 0 ? Raise(ProgramError::kDivisionByZero) : Fitted(type, x / y);
      case Operation::kModulo:
        return b == 0 ? Raise(ProgramError::kDivisionByZero) : Word{static_cast<int64_t>(x % y), false};
      case Operation::kBitAnd:
        return {a & b, false};
      case Operation::kBitOr:
        return {a | b, false};
      default:
        return {a ^ b, false};
    }
  }

  template <class T>
  Word Floats(Operation operation, T a, T b) {
    if (operation == Operation::kDivide) {
      if (b == 0 && !std::isnan(a)) return Raise(ProgramError::kDivisionByZero);
      const T result = a / b;
      if (std::isinf(result) && !std::isinf(a)) return Raise(ProgramError::kFloatOverflow);
      if (result == 0 && a != 0 && !std::isinf(b)) return Raise(ProgramError::kFloatUnderflow);
      return {Bits(result), false};
    }
    const T result = operation == Operation::kAdd ? a + b : operation == Operation::kSubtract ? a - b : a * b;
    if (std::isinf(result) && !std::isinf(a) && !std::isinf(b)) return Raise(ProgramError::kFloatOverflow);
    if (operation == Operation::kMultiply && result == 0 && a != 0 && b != 0) return Raise(ProgramError::kFloatUnderflow);
    return {Bits(result), false};
  }

  static int64_t Midnight(int64_t day) {
    if (day == INT32_MIN) return INT64_MIN;
    const __int128 midnight = static_cast<__int128>(day) * kDayMicroseconds;
    if (midnight >= static_cast<__int128>(kEndOfTimestamps) * kDayMicroseconds) return day == INT32_MAX ? INT64_MAX : INT64_MAX - 1;
    return static_cast<int64_t>(static_cast<uint64_t>(midnight));
  }
  static bool InfiniteDate(int64_t day) { return day == INT32_MIN || day == INT32_MAX; }
  Word Dates(Operation operation, int64_t a, int64_t b) {
    if (operation == Operation::kDateDifference) {
      if (InfiniteDate(a) || InfiniteDate(b)) return Raise(ProgramError::kInfiniteDates);
      return {static_cast<int32_t>(a - b), false};
    }
    if (InfiniteDate(a)) return {a, false};
    const int64_t day = operation == Operation::kDateAdd ? a + b : a - b;
    if (day < kFirstDate || day >= kEndOfDates) return Raise(ProgramError::kDateOutOfRange);
    return {day, false};
  }

  static __int128 Length(const std::vector<uint8_t> &interval) {
    int64_t time;
    int32_t day, month;
    std::memcpy(&time, interval.data(), 8);
    std::memcpy(&day, interval.data() + 8, 4);
    std::memcpy(&month, interval.data() + 12, 4);
    return time + (static_cast<__int128>(month) * 30 + day) * kDayMicroseconds;
  }

  static int Order(ValueType type, int64_t a, int64_t b) {
    if (type == ValueType::kNumeric) return NumericOrder(a, b);
    if (IsReference(type)) {
      const std::vector<uint8_t> x = BytesOf(type, a), y = BytesOf(type, b);
      if (type == ValueType::kInterval) return Length(x) < Length(y) ? -1 : Length(x) > Length(y);
      return x < y ? -1 : x > y;
    }
    if (IsFloat(type)) {
      const double x = type == ValueType::kFloat32 ? AsFloat(a) : AsDouble(a), y = type == ValueType::kFloat32 ? AsFloat(b) : AsDouble(b);
      if (std::isnan(x) || std::isnan(y)) return static_cast<int>(std::isnan(x)) - static_cast<int>(std::isnan(y));
      return x < y ? -1 : x > y;
    }
    if (type == ValueType::kUInt32) a = static_cast<uint32_t>(a), b = static_cast<uint32_t>(b);
    return a < b ? -1 : a > b;
  }

  Word Conversion(ValueType from, ValueType to, int64_t a) {
    if (to == ValueType::kNumeric) return {values_->Keep(to, NumericOf(a)), false};
    if (to == ValueType::kBool) return {a != 0, false};
    if (from == ValueType::kBool) return {a, false};
    if (from == ValueType::kUInt32) return {static_cast<uint32_t>(a), false};
    if (IsFloat(from)) {
      const double x = from == ValueType::kFloat32 ? AsFloat(a) : AsDouble(a);
      if (to == ValueType::kFloat64) return {Bits(x), false};
      if (to == ValueType::kFloat32) {
        const auto result = static_cast<float>(x);
        if (std::isinf(result) && !std::isinf(x)) return Raise(ProgramError::kFloatOverflow);
        if (result == 0 && x != 0) return Raise(ProgramError::kFloatUnderflow);
        return {Bits(result), false};
      }
      const double rounded = std::rint(x), limit = -static_cast<double>(Least(to));
      if (!(rounded >= -limit && rounded < limit)) return Raise(OutOfRange(to));
      return {static_cast<int64_t>(rounded), false};
    }
    if (to == ValueType::kFloat32) return {Bits(static_cast<float>(a)), false};
    if (to == ValueType::kFloat64) return {Bits(static_cast<double>(a)), false};
    return Fitted(to, a);
  }

  Word Unary(Operation operation, ValueType type, int64_t a) {
    if (operation == Operation::kBitNot) return {~a, false};
    if (type == ValueType::kFloat32) return {Bits(operation == Operation::kNegate ? -AsFloat(a) : std::fabs(AsFloat(a))), false};
    if (type == ValueType::kFloat64) return {Bits(operation == Operation::kNegate ? -AsDouble(a) : std::fabs(AsDouble(a))), false};
    const __int128 x = a;
    if (operation == Operation::kNegate || a < 0) return Fitted(type, -x);
    return {a, false};
  }

  Word Binary(const Instruction &i, const Word &a, const Word &b) {
    const ValueType type = program_.registers[i.a];
    if (i.operation == Operation::kDistinct)
      return {a.null != b.null || (!a.null && Order(type, a.value, b.value) != 0), false};
    if (a.null || b.null) return {};
    switch (i.operation) {
      case Operation::kDateAdd:
      case Operation::kDateSubtract:
      case Operation::kDateDifference:
        return Dates(i.operation, a.value, b.value);
      case Operation::kEqual:
        return {Order(type, a.value, b.value) == 0, false};
      case Operation::kNotEqual:
        return {Order(type, a.value, b.value) != 0, false};
      case Operation::kLess:
        return {Order(type, a.value, b.value) < 0, false};
      case Operation::kLessEqual:
        return {Order(type, a.value, b.value) <= 0, false};
      case Operation::kGreater:
        return {Order(type, a.value, b.value) > 0, false};
      case Operation::kGreaterEqual:
        return {Order(type, a.value, b.value) >= 0, false};
      default:
        break;
    }
    if (type == ValueType::kNumeric) return {values_->Keep(type, NumericResult(i.operation, a.value, b.value)), false};
    if (type == ValueType::kFloat32) return Floats(i.operation, AsFloat(a.value), AsFloat(b.value));
    if (type == ValueType::kFloat64) return Floats(i.operation, AsDouble(a.value), AsDouble(b.value));
    return Integers(i.operation, type, a.value, b.value);
  }

  Word CallFunction(const Instruction &i) {
    const CalledFunction &function = program_.functions[i.constant];
    std::vector<Word> arguments;
    bool any_null = false;
    for (int n = 0; n < function.narguments; n++) {
      arguments.push_back(registers_[program_.arguments[i.a + n]]);
      any_null |= arguments.back().null;
    }
    if (function.strict != 0 && any_null) return {};
    return TestFunction(arguments);
  }

  uint32_t Step(uint32_t at) {
    const Instruction &i = program_.instructions[at];
    const bool uses_a = i.operation != Operation::kInput && i.operation != Operation::kConstant && i.operation != Operation::kNull &&
                        i.operation != Operation::kBoundConstant && i.operation != Operation::kCall && i.operation != Operation::kJump &&
                        i.operation != Operation::kAccept && i.operation != Operation::kReject;
    const Word a = uses_a ? registers_[i.a] : Word();
    const bool truth = !a.null && a.value != 0;
    Word result;
    switch (i.operation) {
      case Operation::kAccept:
      case Operation::kReject:
        outcome_.accepted = i.operation == Operation::kAccept;
        done_ = true;
        return at;
      case Operation::kOutput:
        outcome_.outputs[i.constant] = a;
        return at + 1;
      case Operation::kJump:
        return i.target;
      case Operation::kJumpIfTrue:
        return truth ? i.target : at + 1;
      case Operation::kJumpIfFalse:
        return !a.null && !truth ? i.target : at + 1;
      case Operation::kJumpIfNotTrue:
        return truth ? at + 1 : i.target;
      case Operation::kJumpIfNull:
        return a.null ? i.target : at + 1;
      case Operation::kJumpIfNotNull:
        return a.null ? at + 1 : i.target;
      case Operation::kInput:
        result = columns_[i.constant];
        break;
      case Operation::kConstant:
        result = {i.constant, false};
        break;
      case Operation::kNull:
        break;
      case Operation::kBoundConstant:
        result = {constants_[i.constant], false};
        break;
      case Operation::kCall:
        result = CallFunction(i);
        break;
      case Operation::kMove:
        result = a;
        break;
      case Operation::kConvert:
        if (!a.null) result = Conversion(program_.registers[i.a], program_.registers[i.result], a.value);
        break;
      case Operation::kDateTimestamp:
        if (!a.null) result = {Midnight(a.value), false};
        break;
      case Operation::kNegate:
      case Operation::kAbsolute:
      case Operation::kBitNot:
        if (!a.null) result = Unary(i.operation, program_.registers[i.a], a.value);
        break;
      case Operation::kNot:
        if (!a.null) result = {!truth, false};
        break;
      case Operation::kIsNull:
      case Operation::kIsNotNull:
        result = {a.null == (i.operation == Operation::kIsNull), false};
        break;
      default:
        result = Binary(i, a, registers_[i.b]);
        break;
    }
    registers_[i.result] = {result.null ? 0 : Cut(program_.registers[i.result], result.value), result.null};
    return at + 1;
  }

  const Program &program_;
  const std::vector<Word> &columns_;
  const std::vector<int64_t> &constants_;
  Values *values_;
  std::vector<Word> registers_;
  Outcome outcome_;
  bool done_ = false;
};

}  // namespace pgstream
