// Operations on values; see lowering.hpp. What PostgreSQL's functions of the same operation check is checked here, in their
// order, so that the same error comes first.
//
// No operation leaves a poisoned value: operands that would make one (a divisor of zero, a float beyond the integer) are
// replaced where the result does not count.
#include "jit/lowering.hpp"

namespace pgstream {

LLVMValueRef Lowering::FromWord(ValueType type, LLVMValueRef word) {
  switch (type) {
    case ValueType::kBool: {
      const LLVMValueRef byte = LLVMBuildTrunc(builder_, word, i8_, "");
      return LLVMBuildICmp(builder_, LLVMIntNE, byte, LLVMConstNull(i8_), "");
    }
    case ValueType::kFloat32:
      return LLVMBuildBitCast(builder_, LLVMBuildTrunc(builder_, word, i32_, ""), TypeOf(type), "");
    case ValueType::kFloat64:
      return LLVMBuildBitCast(builder_, word, TypeOf(type), "");
    case ValueType::kInt16:
    case ValueType::kInt32:
    case ValueType::kUInt32:
      return LLVMBuildTrunc(builder_, word, TypeOf(type), "");
    default:
      return word;
  }
}

LLVMValueRef Lowering::ToWord(ValueType type, LLVMValueRef value) {
  switch (type) {
    case ValueType::kBool:
      return LLVMBuildZExt(builder_, value, i64_, "");
    case ValueType::kFloat32:
      return LLVMBuildSExt(builder_, LLVMBuildBitCast(builder_, value, i32_, ""), i64_, "");
    case ValueType::kFloat64:
      return LLVMBuildBitCast(builder_, value, i64_, "");
    case ValueType::kInt16:
    case ValueType::kInt32:
    case ValueType::kUInt32:
      return LLVMBuildSExt(builder_, value, i64_, "");
    default:
      return value;
  }
}

Value Lowering::Compute(const Instruction &instruction) {
  const ValueType result = program_.registers[instruction.result];
  switch (instruction.operation) {
    case Operation::kConstant:
      return {FromWord(result, Size(static_cast<uint64_t>(instruction.constant))), Bit(false)};
    case Operation::kNull:
      return {LLVMConstNull(TypeOf(result)), Bit(true)};
    case Operation::kMove:
      return Read(instruction.a);
    case Operation::kNot: {
      const Value a = Read(instruction.a);
      return {Not(a.value), a.null};
    }
    case Operation::kIsNull:
      return {Read(instruction.a).null, Bit(false)};
    case Operation::kIsNotNull:
      return {Not(Read(instruction.a).null), Bit(false)};
    case Operation::kConvert: {
      const Value a = Read(instruction.a);
      return {Convert(program_.registers[instruction.a], result, a.value, Not(a.null)), a.null};
    }
    case Operation::kNegate:
    case Operation::kAbsolute:
    case Operation::kBitNot: {
      const Value a = Read(instruction.a);
      return {Unary(instruction.operation, result, a.value, Not(a.null)), a.null};
    }
    case Operation::kDateTimestamp: {
      const Value a = Read(instruction.a);
      return {DateTimestamp(a.value), a.null};
    }
    case Operation::kDistinct: {
      const Value a = Read(instruction.a), b = Read(instruction.b);
      const LLVMValueRef differs =
          CompareKnown(Operation::kNotEqual, program_.registers[instruction.a], a.value, b.value, Not(Or(a.null, b.null)));
      const LLVMValueRef one_null = LLVMBuildXor(builder_, a.null, b.null, "");
      return {Or(one_null, And(Not(a.null), differs)), Bit(false)};
    }
    default:
      return Arithmetic(instruction, Read(instruction.a), Read(instruction.b));
  }
}

Value Lowering::Arithmetic(const Instruction &instruction, Value a, Value b) {
  const LLVMValueRef null = Or(a.null, b.null);
  const LLVMValueRef known = Not(null);
  const ValueType type = program_.registers[instruction.a];
  switch (instruction.operation) {
    case Operation::kAdd:
    case Operation::kSubtract:
    case Operation::kMultiply:
      if (type == ValueType::kNumeric) return {NumericArithmetic(instruction.operation, a.value, b.value, known), null};
      return {IsFloat(type) ? FloatArithmetic(instruction.operation, a.value, b.value, known)
                            : IntegerArithmetic(instruction.operation, type, a.value, b.value, known),
              null};
    case Operation::kDivide:
    case Operation::kModulo:
      return {IsFloat(type) ? FloatArithmetic(instruction.operation, a.value, b.value, known)
                            : IntegerDivision(instruction.operation, type, a.value, b.value, known),
              null};
    case Operation::kBitAnd:
      return {And(a.value, b.value), null};
    case Operation::kBitOr:
      return {Or(a.value, b.value), null};
    case Operation::kBitXor:
      return {LLVMBuildXor(builder_, a.value, b.value, ""), null};
    case Operation::kDateAdd:
    case Operation::kDateSubtract:
    case Operation::kDateDifference:
      return {DateArithmetic(instruction.operation, a.value, b.value, known), null};
    default:
      return {CompareKnown(instruction.operation, type, a.value, b.value, known), null};
  }
}

// --- Integers --------------------------------------------------------------------------------------------------------

LLVMValueRef Lowering::IntegerArithmetic(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known) {
  const char *const name = operation == Operation::kAdd        ? "llvm.sadd.with.overflow"
                           : operation == Operation::kSubtract ? "llvm.ssub.with.overflow"
                                                               : "llvm.smul.with.overflow";
  const LLVMValueRef intrinsic = llvm_compat::Intrinsic(module_, name, TypeOf(type));
  LLVMValueRef arguments[] = {a, b};
  const LLVMValueRef both =
      LLVMBuildCall2(builder_, llvm_compat::IntrinsicType(context_, name, TypeOf(type)), intrinsic, arguments, 2, "");
  RaiseIf(And(LLVMBuildExtractValue(builder_, both, 1, ""), known), OutOfRange(type));
  return LLVMBuildExtractValue(builder_, both, 0, "");
}

LLVMValueRef Lowering::IntegerDivision(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known) {
  const int bits = type == ValueType::kInt16 ? 16 : type == ValueType::kInt32 ? 32 : 64;
  const LLVMValueRef zero = LLVMBuildICmp(builder_, LLVMIntEQ, b, Int(type, 0), "");
  RaiseIf(And(zero, known), ProgramError::kDivisionByZero);
  const LLVMValueRef minus_one = LLVMBuildICmp(builder_, LLVMIntEQ, b, Int(type, -1), "");
  const LLVMValueRef divisor = LLVMBuildSelect(builder_, Or(zero, minus_one), Int(type, 1), b, "");
  if (operation == Operation::kModulo)
    return LLVMBuildSelect(builder_, minus_one, Int(type, 0), LLVMBuildSRem(builder_, a, divisor, ""), "");
  const LLVMValueRef least = Int(type, static_cast<int64_t>(UINT64_MAX << (bits - 1)));
  RaiseIf(And(And(minus_one, LLVMBuildICmp(builder_, LLVMIntEQ, a, least, "")), known), OutOfRange(type));
  return LLVMBuildSelect(builder_, minus_one, LLVMBuildNeg(builder_, a, ""), LLVMBuildSDiv(builder_, a, divisor, ""), "");
}

LLVMValueRef Lowering::Unary(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef known) {
  if (operation == Operation::kBitNot) return Not(a);
  if (IsFloat(type)) {
    if (operation == Operation::kNegate) return LLVMBuildFNeg(builder_, a, "");
    // The sign bit cleared, as fabs does it.
    const bool single = type == ValueType::kFloat32;
    const LLVMTypeRef integer = single ? i32_ : i64_;
    const LLVMValueRef mask = LLVMConstInt(integer, single ? 0x7FFFFFFFu : 0x7FFFFFFFFFFFFFFFu, 0);
    return LLVMBuildBitCast(builder_, And(LLVMBuildBitCast(builder_, a, integer, ""), mask), TypeOf(type), "");
  }
  const int bits = type == ValueType::kInt16 ? 16 : type == ValueType::kInt32 ? 32 : 64;
  const LLVMValueRef least = Int(type, static_cast<int64_t>(UINT64_MAX << (bits - 1)));
  RaiseIf(And(LLVMBuildICmp(builder_, LLVMIntEQ, a, least, ""), known), OutOfRange(type));
  const LLVMValueRef negated = LLVMBuildNeg(builder_, a, "");
  if (operation == Operation::kNegate) return negated;
  return LLVMBuildSelect(builder_, LLVMBuildICmp(builder_, LLVMIntSLT, a, Int(type, 0), ""), negated, a, "");
}

// --- Floats ----------------------------------------------------------------------------------------------------------

// By the bits, so that no constant has to be loaded from beside the code.
LLVMValueRef Lowering::IsInfinite(LLVMValueRef a) {
  const bool single = LLVMTypeOf(a) == TypeOf(ValueType::kFloat32);
  const LLVMTypeRef integer = single ? i32_ : i64_;
  const LLVMValueRef magnitude = And(LLVMBuildBitCast(builder_, a, integer, ""),
                                     LLVMConstInt(integer, single ? 0x7FFFFFFFu : 0x7FFFFFFFFFFFFFFFu, 0));
  return LLVMBuildICmp(builder_, LLVMIntEQ, magnitude, LLVMConstInt(integer, single ? 0x7F800000u : 0x7FF0000000000000u, 0), "");
}

LLVMValueRef Lowering::IsNan(LLVMValueRef a) {
  return LLVMBuildFCmp(builder_, LLVMRealUNO, a, a, "");
}

LLVMValueRef Lowering::IsZero(LLVMValueRef a) {
  return LLVMBuildFCmp(builder_, LLVMRealOEQ, a, LLVMConstNull(LLVMTypeOf(a)), "");
}

LLVMValueRef Lowering::FloatArithmetic(Operation operation, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known) {
  LLVMValueRef result;
  if (operation == Operation::kDivide) {
    RaiseIf(And(And(IsZero(b), Not(IsNan(a))), known), ProgramError::kDivisionByZero);
    result = LLVMBuildFDiv(builder_, a, b, "");
    RaiseIf(And(And(IsInfinite(result), Not(IsInfinite(a))), known), ProgramError::kFloatOverflow);
    RaiseIf(And(And(IsZero(result), Not(Or(IsZero(a), IsInfinite(b)))), known), ProgramError::kFloatUnderflow);
    return result;
  }
  result = operation == Operation::kAdd        ? LLVMBuildFAdd(builder_, a, b, "")
           : operation == Operation::kSubtract ? LLVMBuildFSub(builder_, a, b, "")
                                               : LLVMBuildFMul(builder_, a, b, "");
  RaiseIf(And(And(IsInfinite(result), Not(Or(IsInfinite(a), IsInfinite(b)))), known), ProgramError::kFloatOverflow);
  if (operation == Operation::kMultiply)
    RaiseIf(And(And(IsZero(result), Not(Or(IsZero(a), IsZero(b)))), known), ProgramError::kFloatUnderflow);
  return result;
}

// --- Conversions -----------------------------------------------------------------------------------------------------

LLVMValueRef Lowering::FloatToInteger(ValueType to, LLVMValueRef a, LLVMValueRef known) {
  const LLVMTypeRef real = TypeOf(ValueType::kFloat64);
  if (LLVMTypeOf(a) != real) a = LLVMBuildFPExt(builder_, a, real, "");
  // To the nearest, ties to even, as rint does.
  const LLVMValueRef round = llvm_compat::Intrinsic(module_, "llvm.rint", real);
  const LLVMValueRef rounded =
      LLVMBuildCall2(builder_, llvm_compat::IntrinsicType(context_, "llvm.rint", real), round, &a, 1, "");
  const double limit = to == ValueType::kInt16 ? 32768.0 : to == ValueType::kInt32 ? 2147483648.0 : 9223372036854775808.0;
  const LLVMValueRef fits = And(LLVMBuildFCmp(builder_, LLVMRealOGE, rounded, LLVMConstReal(real, -limit), ""),
                                LLVMBuildFCmp(builder_, LLVMRealOLT, rounded, LLVMConstReal(real, limit), ""));
  RaiseIf(And(Not(fits), known), OutOfRange(to));
  const LLVMValueRef safe = LLVMBuildSelect(builder_, fits, rounded, LLVMConstNull(real), "");
  return LLVMBuildFPToSI(builder_, safe, TypeOf(to), "");
}

LLVMValueRef Lowering::Convert(ValueType from, ValueType to, LLVMValueRef a, LLVMValueRef known) {
  if (to == ValueType::kNumeric) return IntegerToNumeric(a, known);
  if (to == ValueType::kBool) return LLVMBuildICmp(builder_, LLVMIntNE, a, Int(from, 0), "");
  if (from == ValueType::kBool || from == ValueType::kUInt32) return LLVMBuildZExt(builder_, a, TypeOf(to), "");
  if (IsFloat(from)) {
    if (!IsFloat(to)) return FloatToInteger(to, a, known);
    if (to == ValueType::kFloat64) return LLVMBuildFPExt(builder_, a, TypeOf(to), "");
    const LLVMValueRef result = LLVMBuildFPTrunc(builder_, a, TypeOf(to), "");
    RaiseIf(And(And(IsInfinite(result), Not(IsInfinite(a))), known), ProgramError::kFloatOverflow);
    RaiseIf(And(And(IsZero(result), Not(IsZero(a))), known), ProgramError::kFloatUnderflow);
    return result;
  }
  if (IsFloat(to)) return LLVMBuildSIToFP(builder_, a, TypeOf(to), "");
  if (to > from) return LLVMBuildSExt(builder_, a, TypeOf(to), "");
  const LLVMValueRef result = LLVMBuildTrunc(builder_, a, TypeOf(to), "");
  const LLVMValueRef again = LLVMBuildSExt(builder_, result, TypeOf(from), "");
  RaiseIf(And(LLVMBuildICmp(builder_, LLVMIntNE, again, a, ""), known), OutOfRange(to));
  return result;
}

// --- Dates -----------------------------------------------------------------------------------------------------------

LLVMValueRef Lowering::IsFiniteDate(LLVMValueRef a) {
  const LLVMValueRef least = LLVMBuildICmp(builder_, LLVMIntEQ, a, Int(ValueType::kInt32, INT32_MIN), "");
  return Not(Or(least, LLVMBuildICmp(builder_, LLVMIntEQ, a, Int(ValueType::kInt32, INT32_MAX), "")));
}

LLVMValueRef Lowering::DateTimestamp(LLVMValueRef a) {
  const LLVMValueRef beyond = LLVMBuildICmp(builder_, LLVMIntSGE, a, Int(ValueType::kInt32, kEndOfTimestamps), "");
  const LLVMValueRef last = Int(ValueType::kInt32, kEndOfTimestamps - 1);
  const LLVMValueRef day = LLVMBuildSExt(builder_, LLVMBuildSelect(builder_, beyond, last, a, ""), i64_, "");
  const LLVMValueRef midnight = LLVMBuildMul(builder_, day, Size(kDayMicroseconds), "");
  const LLVMValueRef latest = LLVMBuildSelect(builder_, LLVMBuildICmp(builder_, LLVMIntEQ, a, Int(ValueType::kInt32, INT32_MAX), ""),
                                              Int(ValueType::kInt64, INT64_MAX), Int(ValueType::kInt64, INT64_MAX - 1), "");
  const LLVMValueRef least = LLVMBuildICmp(builder_, LLVMIntEQ, a, Int(ValueType::kInt32, INT32_MIN), "");
  return LLVMBuildSelect(builder_, least, Int(ValueType::kInt64, INT64_MIN), LLVMBuildSelect(builder_, beyond, latest, midnight, ""), "");
}

LLVMValueRef Lowering::DateArithmetic(Operation operation, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known) {
  if (operation == Operation::kDateDifference) {
    RaiseIf(And(Not(And(IsFiniteDate(a), IsFiniteDate(b))), known), ProgramError::kInfiniteDates);
    return LLVMBuildSub(builder_, a, b, "");
  }
  const LLVMValueRef finite = IsFiniteDate(a);
  const LLVMValueRef day = LLVMBuildSExt(builder_, a, i64_, ""), days = LLVMBuildSExt(builder_, b, i64_, "");
  const LLVMValueRef sum = operation == Operation::kDateAdd ? LLVMBuildAdd(builder_, day, days, "") : LLVMBuildSub(builder_, day, days, "");
  const LLVMValueRef valid = And(LLVMBuildICmp(builder_, LLVMIntSGE, sum, Int(ValueType::kInt64, kFirstDate), ""),
                                 LLVMBuildICmp(builder_, LLVMIntSLT, sum, Int(ValueType::kInt64, kEndOfDates), ""));
  RaiseIf(And(And(finite, Not(valid)), known), ProgramError::kDateOutOfRange);
  return LLVMBuildSelect(builder_, finite, LLVMBuildTrunc(builder_, sum, i32_, ""), a, "");
}

// --- Comparisons -----------------------------------------------------------------------------------------------------

// NaN is equal to itself and greater than everything else.
LLVMValueRef Lowering::FloatEqual(LLVMValueRef a, LLVMValueRef b) {
  return Or(LLVMBuildFCmp(builder_, LLVMRealOEQ, a, b, ""), And(IsNan(a), IsNan(b)));
}

LLVMValueRef Lowering::FloatLess(LLVMValueRef a, LLVMValueRef b) {
  return And(Not(IsNan(a)), Or(IsNan(b), LLVMBuildFCmp(builder_, LLVMRealOLT, a, b, "")));
}

LLVMValueRef Lowering::CompareKnown(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b, LLVMValueRef known) {
  return IsReference(type) ? CompareReferences(operation, type, a, b, known) : Compare(operation, type, a, b);
}

LLVMValueRef Lowering::Compare(Operation operation, ValueType type, LLVMValueRef a, LLVMValueRef b) {
  if (IsFloat(type)) {
    switch (operation) {
      case Operation::kEqual:
        return FloatEqual(a, b);
      case Operation::kNotEqual:
        return Not(FloatEqual(a, b));
      case Operation::kLess:
        return FloatLess(a, b);
      case Operation::kLessEqual:
        return Not(FloatLess(b, a));
      case Operation::kGreater:
        return FloatLess(b, a);
      default:
        return Not(FloatLess(a, b));
    }
  }
  const bool sign = IsInteger(type);
  LLVMIntPredicate predicate = LLVMIntEQ;
  switch (operation) {
    case Operation::kEqual:
      break;
    case Operation::kNotEqual:
      predicate = LLVMIntNE;
      break;
    case Operation::kLess:
      predicate = sign ? LLVMIntSLT : LLVMIntULT;
      break;
    case Operation::kLessEqual:
      predicate = sign ? LLVMIntSLE : LLVMIntULE;
      break;
    case Operation::kGreater:
      predicate = sign ? LLVMIntSGT : LLVMIntUGT;
      break;
    default:
      predicate = sign ? LLVMIntSGE : LLVMIntUGE;
      break;
  }
  return LLVMBuildICmp(builder_, predicate, a, b, "");
}

}  // namespace pgstream
