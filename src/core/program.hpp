// Row programs: the filter and the output expressions of a delta plan as a straight list of typed operations, from which
// native code is made (src/jit). Interpreted evaluation does not use them: it stays with the server's own expressions.
//
// A program runs on one source row. It has registers, each of one type with a value and a null flag, operations that run
// in order, and jumps, which only lead forward (there are no loops; CASE, COALESCE, AND and OR need none). It ends by
// Accept, having stored its outputs, or by Reject.
//
// Operations have PostgreSQL's meaning: strict ones give NULL when an operand is NULL and can raise nothing then; what
// overflows or divides by zero raises one of ProgramError with the server's SQLSTATE and message.
//
// Promises: a Program is a view, it owns nothing and may live in server frames. CheckProgram says whether one is well
// formed; who takes a program from elsewhere checks it first. Programs that are equal have equal bytes (WriteProgram), so a
// digest of these stands for the code. Refuses: to know what functions and constants by reference are: they are numbers here,
// bound when the program runs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pgstream {

/// Type of a register. Dates are Int32, timestamps Int64, oid is UInt32; Word is a value nothing is known of but its
/// eight bytes (a pointer, or a value passed by value). From Text on they are pointers to a value: Text has equality, that of
/// its bytes, alone; Interval is the server's structure of it.
enum class ValueType : uint8_t { kBool, kInt16, kInt32, kInt64, kUInt32, kFloat32, kFloat64, kWord, kText, kUuid, kInterval, kNumeric };
constexpr int kValueTypes = 12;

/// In the comments: r, a, b are registers, c the constant, t the target.
enum class Operation : uint8_t {
  kInput,         ///< r = column c of the source row
  kConstant,      ///< r = c, as ToWord has it
  kNull,          ///< r = NULL
  kBoundConstant, ///< r (Word) = the c-th constant by reference
  kMove,          ///< r = a, of the same type; or of a Word a pointer to such a value is made, and the reverse
  kConvert,       ///< r = a as r's type; raises what does not fit
  kAdd, kSubtract, kMultiply, kDivide,  ///< r = a op b, all of one numeric type (not UInt32; Numeric is not divided)
  kModulo,                              ///< integers only
  kNegate, kAbsolute,                   ///< r = op a
  kBitAnd, kBitOr, kBitXor, kBitNot,    ///< integers only
  kDateAdd, kDateSubtract,              ///< r, a dates; b days (all Int32): infinity stays
  kDateDifference,                      ///< r days, a and b dates: infinity is refused
  kDateTimestamp,                       ///< r (Int64) = date a as a timestamp, to be compared: one beyond all timestamps is before infinity
  kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual,  ///< r (Bool), a and b of one type, not Word
  kDistinct,                            ///< the same, never NULL: whether a IS DISTINCT FROM b
  kNot,                                 ///< r, a Bool
  kIsNull, kIsNotNull,                  ///< r Bool, never NULL
  kJump,                                ///< to t
  kJumpIfTrue, kJumpIfFalse,            ///< to t when a (Bool) is not NULL and true, false
  kJumpIfNotTrue,                       ///< to t when a is NULL or false
  kJumpIfNull, kJumpIfNotNull,          ///< to t
  kCall,    ///< r = function c; a the number of its first argument in Program::arguments; a strict function whose argument is NULL
            ///< is not called
  kOutput,  ///< output c = a
  kAccept,
  kReject
};
constexpr int kOperations = static_cast<int>(Operation::kReject) + 1;

/// The null flag of a register that was never set is true. 24 bytes without padding; unused fields are zero.
struct Instruction {
  Operation operation;
  uint8_t zero;
  uint16_t result;
  uint16_t a, b;
  uint32_t target;
  uint32_t zero_too;
  int64_t constant;
};
static_assert(sizeof(Instruction) == 24, "instructions are compared and hashed as bytes");

/// A column of the source row, in the order in which a change log has them. length as in pg_attribute.attlen.
struct InputColumn {
  int16_t length;
  ValueType type;
  uint8_t by_value;
};
static_assert(sizeof(InputColumn) == 4, "columns are hashed as bytes");

struct CalledFunction {
  uint16_t narguments;
  uint8_t strict;
  uint8_t zero;
};
static_assert(sizeof(CalledFunction) == 4, "functions are hashed as bytes");

struct Program {
  const InputColumn *columns;
  uint32_t ncolumns;
  const ValueType *registers;
  uint32_t nregisters;
  const Instruction *instructions;
  uint32_t ninstructions;
  const CalledFunction *functions;
  uint32_t nfunctions;
  const uint16_t *arguments;  ///< registers
  uint32_t narguments;
  uint32_t nconstants;  ///< bound ones
  uint32_t noutputs;
};

/// Most of everything: larger programs are refused, as compiling them, which nothing interrupts, would take seconds.
constexpr uint32_t kMaxProgramParts = 3000;

/// Why a program is not well formed; nullptr when it is.
const char *CheckProgram(const Program &program) noexcept;

/// Bytes that WriteProgram takes.
size_t ProgramSize(const Program &program) noexcept;

/// Writes the program's one serialised form (native byte order: it does not leave the machine) to ProgramSize() bytes.
void WriteProgram(const Program &program, uint8_t *bytes) noexcept;

/// Reads what WriteProgram wrote; the program then points into `bytes`, which must be aligned to 8. Returns what is wrong with
/// it (CheckProgram included), or nullptr.
const char *ReadProgram(const uint8_t *bytes, size_t size, Program *program) noexcept;

/// What an operation can raise.
enum class ProgramError : uint8_t {
  kSmallintOutOfRange,
  kIntegerOutOfRange,
  kBigintOutOfRange,
  kDivisionByZero,
  kFloatOverflow,
  kFloatUnderflow,
  kDateOutOfRange,
  kInfiniteDates
};
constexpr int kProgramErrors = 8;

struct ProgramErrorText {
  char sqlstate[6];
  const char *message;
};

/// The server's SQLSTATE and (untranslated) message of an error.
const ProgramErrorText &DescribeError(ProgramError error) noexcept;

/// What an integer type raises when a value does not fit.
ProgramError OutOfRange(ValueType type) noexcept;

constexpr bool IsInteger(ValueType type) noexcept {
  return type == ValueType::kInt16 || type == ValueType::kInt32 || type == ValueType::kInt64;
}
constexpr bool IsFloat(ValueType type) noexcept {
  return type == ValueType::kFloat32 || type == ValueType::kFloat64;
}

/// What is compared as pointers to values.
constexpr bool IsReference(ValueType type) noexcept {
  return type >= ValueType::kText;
}
constexpr bool IsOrdered(ValueType type) noexcept {
  return type != ValueType::kWord && type != ValueType::kText;
}

/// Dates that are neither infinite nor invalid: days since 2000-01-01 from kFirstDate up to, not including, kEndOfDates.
constexpr int32_t kFirstDate = -2451545;
constexpr int32_t kEndOfDates = 2145031949;
/// The first date that no timestamp can be of.
constexpr int32_t kEndOfTimestamps = 106751983;
constexpr int64_t kDayMicroseconds = 86400000000;

}  // namespace pgstream
