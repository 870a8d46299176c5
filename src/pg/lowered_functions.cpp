// The table of lowered functions; see lowered_functions.hpp.
//
// Operands of two different types are converted to the wider one first, which is what the server's mixed operators do: the
// result, and so the error of an overflow, is of the wider type.
#include "pg/lowered_functions.hpp"

namespace pgstream {
namespace {

#define COMPARISONS_NAMED(eq, ne, lt, le, gt, ge, left, right)                                              \
  {eq, Operation::kEqual, ValueType::left, ValueType::right},                                               \
      {ne, Operation::kNotEqual, ValueType::left, ValueType::right},                                        \
      {lt, Operation::kLess, ValueType::left, ValueType::right},                                            \
      {le, Operation::kLessEqual, ValueType::left, ValueType::right},                                       \
      {gt, Operation::kGreater, ValueType::left, ValueType::right}, {                                       \
    ge, Operation::kGreaterEqual, ValueType::left, ValueType::right                                         \
  }
#define COMPARISONS(name, left, right) \
  COMPARISONS_NAMED(name##EQ, name##NE, name##LT, name##LE, name##GT, name##GE, left, right)
#define ARITHMETIC(name, left, right)                                      \
  {name##PL, Operation::kAdd, ValueType::left, ValueType::right},          \
      {name##MI, Operation::kSubtract, ValueType::left, ValueType::right}, \
      {name##MUL, Operation::kMultiply, ValueType::left, ValueType::right}, {name##DIV, Operation::kDivide, ValueType::left, ValueType::right}
#define UNARY(function, operation, type) \
  { function, Operation::operation, ValueType::type, ValueType::kWord }
#define INTEGER(name, type)                                                     \
  COMPARISONS(name, type, type), ARITHMETIC(name, type, type),                  \
      {name##MOD, Operation::kModulo, ValueType::type, ValueType::type},        \
      {name##AND, Operation::kBitAnd, ValueType::type, ValueType::type},        \
      {name##OR, Operation::kBitOr, ValueType::type, ValueType::type},          \
      {name##XOR, Operation::kBitXor, ValueType::type, ValueType::type}, UNARY(name##NOT, kBitNot, type), \
      UNARY(name##UM, kNegate, type), UNARY(name##UP, kMove, type), UNARY(name##ABS, kAbsolute, type)
#define FLOAT(name, type)                                                                                    \
  COMPARISONS(name, type, type), ARITHMETIC(name, type, type), UNARY(name##UM, kNegate, type), UNARY(name##UP, kMove, type), \
      UNARY(name##ABS, kAbsolute, type)
#define MIXED(name, left, right) COMPARISONS(name, left, right), ARITHMETIC(name, left, right)

constexpr LoweredFunction kLowered[] = {
    INTEGER(F_INT2, kInt16),
    INTEGER(F_INT4, kInt32),
    INTEGER(F_INT8, kInt64),
    UNARY(F_ABS_INT2, kAbsolute, kInt16),
    UNARY(F_ABS_INT4, kAbsolute, kInt32),
    UNARY(F_ABS_INT8, kAbsolute, kInt64),
    {F_MOD_INT2_INT2, Operation::kModulo, ValueType::kInt16, ValueType::kInt16},
    {F_MOD_INT4_INT4, Operation::kModulo, ValueType::kInt32, ValueType::kInt32},
    {F_MOD_INT8_INT8, Operation::kModulo, ValueType::kInt64, ValueType::kInt64},
    MIXED(F_INT24, kInt16, kInt32),
    MIXED(F_INT42, kInt32, kInt16),
    MIXED(F_INT28, kInt16, kInt64),
    MIXED(F_INT82, kInt64, kInt16),
    MIXED(F_INT48, kInt32, kInt64),
    MIXED(F_INT84, kInt64, kInt32),
    FLOAT(F_FLOAT4, kFloat32),
    FLOAT(F_FLOAT8, kFloat64),
    UNARY(F_ABS_FLOAT4, kAbsolute, kFloat32),
    UNARY(F_ABS_FLOAT8, kAbsolute, kFloat64),
    MIXED(F_FLOAT48, kFloat32, kFloat64),
    MIXED(F_FLOAT84, kFloat64, kFloat32),
    COMPARISONS(F_BOOL, kBool, kBool),
    COMPARISONS(F_OID, kUInt32, kUInt32),
    COMPARISONS(F_DATE_, kInt32, kInt32),
    COMPARISONS(F_TIME_, kInt64, kInt64),
    COMPARISONS(F_TIMESTAMP_, kInt64, kInt64),
    COMPARISONS(F_TIMESTAMPTZ_, kInt64, kInt64),
    {F_DATE_PLI, Operation::kDateAdd, ValueType::kInt32, ValueType::kInt32},
    {F_DATE_MII, Operation::kDateSubtract, ValueType::kInt32, ValueType::kInt32},
    {F_DATE_MI, Operation::kDateDifference, ValueType::kInt32, ValueType::kInt32},
    UNARY(F_INT2_INT4, kConvert, kInt32),
    UNARY(F_INT2_INT8, kConvert, kInt64),
    UNARY(F_INT2_FLOAT4, kConvert, kFloat32),
    UNARY(F_INT2_FLOAT8, kConvert, kFloat64),
    UNARY(F_INT4_INT2, kConvert, kInt16),
    UNARY(F_INT4_INT8, kConvert, kInt64),
    UNARY(F_INT4_FLOAT4, kConvert, kFloat32),
    UNARY(F_INT4_FLOAT8, kConvert, kFloat64),
    UNARY(F_INT4_BOOL, kConvert, kBool),
    UNARY(F_BOOL_INT4, kConvert, kInt32),
    UNARY(F_INT8_INT2, kConvert, kInt16),
    UNARY(F_INT8_INT4, kConvert, kInt32),
    UNARY(F_INT8_OID, kConvert, kUInt32),
    UNARY(F_INT8_FLOAT4, kConvert, kFloat32),
    UNARY(F_INT8_FLOAT8, kConvert, kFloat64),
    UNARY(F_FLOAT4_INT2, kConvert, kInt16),
    UNARY(F_FLOAT4_INT4, kConvert, kInt32),
    UNARY(F_FLOAT4_INT8, kConvert, kInt64),
    UNARY(F_FLOAT4_FLOAT8, kConvert, kFloat64),
    UNARY(F_FLOAT8_INT2, kConvert, kInt16),
    UNARY(F_FLOAT8_INT4, kConvert, kInt32),
    UNARY(F_FLOAT8_INT8, kConvert, kInt64),
    UNARY(F_FLOAT8_FLOAT4, kConvert, kFloat32),
    {F_TEXTEQ, Operation::kEqual, ValueType::kText, ValueType::kText},
    {F_TEXTNE, Operation::kNotEqual, ValueType::kText, ValueType::kText},
    COMPARISONS(F_UUID_, kUuid, kUuid),
    COMPARISONS(F_INTERVAL_, kInterval, kInterval),
    COMPARISONS(F_NUMERIC_, kNumeric, kNumeric),
    {F_NUMERIC_ADD, Operation::kAdd, ValueType::kNumeric, ValueType::kNumeric},
    {F_NUMERIC_SUB, Operation::kSubtract, ValueType::kNumeric, ValueType::kNumeric},
    {F_NUMERIC_MUL, Operation::kMultiply, ValueType::kNumeric, ValueType::kNumeric},
    UNARY(F_NUMERIC_INT2, kConvert, kInt16),
    UNARY(F_NUMERIC_INT4, kConvert, kInt32),
    UNARY(F_NUMERIC_INT8, kConvert, kInt64),
};

// Comparisons of dates with timestamps: a date's midnight is compared.
constexpr LoweredFunction kMixed[] = {
    COMPARISONS_NAMED(F_DATE_EQ_TIMESTAMP, F_DATE_NE_TIMESTAMP, F_DATE_LT_TIMESTAMP, F_DATE_LE_TIMESTAMP, F_DATE_GT_TIMESTAMP,
                      F_DATE_GE_TIMESTAMP, kInt32, kInt64),
    COMPARISONS_NAMED(F_TIMESTAMP_EQ_DATE, F_TIMESTAMP_NE_DATE, F_TIMESTAMP_LT_DATE, F_TIMESTAMP_LE_DATE, F_TIMESTAMP_GT_DATE,
                      F_TIMESTAMP_GE_DATE, kInt64, kInt32),
};

}  // namespace

const LoweredFunction *FindLowered(Oid function) {
  for (const LoweredFunction &lowered : kLowered)
    if (lowered.function == function) return &lowered;
  return nullptr;
}

const LoweredFunction *FindLoweredCall(Oid function, Oid collation, Operation *widen) {
  *widen = Operation::kConvert;
  const LoweredFunction *const lowered = FindLowered(function);
  if (lowered != nullptr && lowered->left == ValueType::kText && !(OidIsValid(collation) && get_collation_isdeterministic(collation)))
    return nullptr;
  if (lowered != nullptr) return lowered;
  *widen = Operation::kDateTimestamp;
  for (const LoweredFunction &mixed : kMixed)
    if (mixed.function == function) return &mixed;
  return nullptr;
}

ValueType ValueTypeOf(Oid type) {
  switch (getBaseType(type)) {
    case BOOLOID:
      return ValueType::kBool;
    case INT2OID:
      return ValueType::kInt16;
    case INT4OID:
    case DATEOID:
      return ValueType::kInt32;
    case INT8OID:
    case TIMEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
      return ValueType::kInt64;
    case OIDOID:
      return ValueType::kUInt32;
    case FLOAT4OID:
      return ValueType::kFloat32;
    case FLOAT8OID:
      return ValueType::kFloat64;
    case TEXTOID:
    case VARCHAROID:
      return ValueType::kText;
    case UUIDOID:
      return ValueType::kUuid;
    case INTERVALOID:
      return ValueType::kInterval;
    case NUMERICOID:
      return ValueType::kNumeric;
    default:
      return ValueType::kWord;
  }
}

}  // namespace pgstream
