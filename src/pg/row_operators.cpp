// Functions and operators; see row_translator.hpp. Which functions are operations is in lowered_functions.hpp.
#include "pg/row_translator.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "utils/array.h"
}

namespace pgstream {
namespace {

// An IN list of more elements is left to the server, which hashes it.
constexpr int kMostElements = 32;

// A call as an operation.
struct LoweredCall {
  const LoweredFunction *function;  // nullptr: it is none
  Operation widen;
};

LoweredCall FindCall(Oid function, Oid collation) {
  LoweredCall call;
  call.function = FindLoweredCall(function, collation, &call.widen);
  return call;
}

bool IsBinary(const LoweredFunction *function) { return function->right != ValueType::kWord; }

// Whether the registers are of the operation's types: one may hold a type that only looks like its operator's.
bool Suits(const Translator *t, const LoweredFunction *function, const int *operands) {
  return TypeOf(t, operands[0]) == function->left && (!IsBinary(function) || TypeOf(t, operands[1]) == function->right);
}

int Converted(Translator *t, Operation conversion, int reg, ValueType type) {
  if (TypeOf(t, reg) == type) return reg;
  const int result = NewRegister(t, type);
  Emit(t, conversion, result, reg);
  return result;
}

// Two operands, of one type.
void Widen(Translator *t, const LoweredCall *call, const int *operands, int *widened) {
  const ValueType wider = Max(call->function->left, call->function->right);
  for (int i = 0; i < 2; i++) widened[i] = Converted(t, call->widen, operands[i], wider);
}

// The operation on registers that suit it.
int EmitLowered(Translator *t, const LoweredCall *call, Oid result_type, const int *operands) {
  const ValueType result = ValueTypeOf(result_type);
  const Operation operation = call->function->operation;
  if (operation == Operation::kMove) return operands[0];
  if (operation == Operation::kConvert) return Converted(t, operation, operands[0], result);
  int widened[2] = {operands[0], 0};
  if (IsBinary(call->function)) Widen(t, call, operands, widened);
  const int reg = NewRegister(t, result);
  Emit(t, operation, reg, widened[0], widened[1]);
  return reg;
}

int EmitCall(Translator *t, const Node *node, Oid function, Oid collation, Oid result_type, const int *operands, int n) {
  if (n > FUNC_MAX_ARGS) return Fail(t, "a function has too many arguments");
  const int first = t->arguments.len / static_cast<int>(sizeof(uint16));
  for (int i = 0; i < n; i++) {
    const uint16 reg = static_cast<uint16>(operands[i]);
    appendBinaryStringInfo(&t->arguments, reinterpret_cast<const char *>(&reg), sizeof(reg));
  }
  const CalledFunction called = {static_cast<uint16>(n), static_cast<uint8>(n > 0 && func_strict(function)), 0};
  appendBinaryStringInfo(&t->functions, reinterpret_cast<const char *>(&called), sizeof(called));
  auto *const bound = static_cast<BoundFunction *>(palloc(sizeof(BoundFunction)));
  *bound = {function, collation, node};
  const int reg = NewRegister(t, ValueTypeOf(result_type));
  Emit(t, Operation::kCall, reg, first, 0, list_length(t->bound));
  t->bound = lappend(t->bound, bound);
  return reg;
}

}  // namespace

bool TranslateList(Translator *t, const List *nodes, int *registers) {
  int i = 0;
  ListCell *cell;
  foreach (cell, nodes) {
    registers[i] = Translate(t, static_cast<const Node *>(lfirst(cell)));
    if (registers[i++] == kFailed) return false;
  }
  return true;
}

int *RegistersFor(const List *nodes) { return static_cast<int *>(palloc(sizeof(int) * (list_length(nodes) + 1))); }

int TranslateFunction(Translator *t, const Node *node, Oid function, Oid collation, Oid result_type, bool returns_set, const List *arguments) {
  if (returns_set) return Fail(t, "it returns a set");
  int *const operands = RegistersFor(arguments);
  if (!TranslateList(t, arguments, operands)) return kFailed;
  const LoweredCall call = FindCall(function, collation);
  if (call.function != nullptr && list_length(arguments) == (IsBinary(call.function) ? 2 : 1) && Suits(t, call.function, operands))
    return EmitLowered(t, &call, result_type, operands);
  return EmitCall(t, node, function, collation, result_type, operands, list_length(arguments));
}

int TranslateNullIf(Translator *t, const NullIfExpr *expr) {
  int operands[2];
  if (list_length(expr->args) != 2 || !TranslateList(t, expr->args, operands)) return kFailed;
  const LoweredCall call = FindCall(expr->opfuncid, expr->inputcollid);
  if (call.function == nullptr || !Suits(t, call.function, operands)) return Fail(t, "it has NULLIF of a type that is not compiled");
  const int equal = EmitLowered(t, &call, BOOLOID, operands);
  const int result = NewRegister(t, TypeOf(t, operands[0]));
  Move(t, result, operands[0]);
  const uint32 differs = Emit(t, Operation::kJumpIfNotTrue, 0, equal);
  Emit(t, Operation::kNull, result);
  JumpsHere(t, differs);
  return result;
}

int TranslateDistinct(Translator *t, const DistinctExpr *expr) {
  int operands[2], widened[2];
  if (list_length(expr->args) != 2 || !TranslateList(t, expr->args, operands)) return kFailed;
  const LoweredCall call = FindCall(expr->opfuncid, expr->inputcollid);
  if (call.function == nullptr || call.function->operation != Operation::kEqual || !Suits(t, call.function, operands))
    return Fail(t, "it has IS DISTINCT FROM of a type that is not compiled");
  Widen(t, &call, operands, widened);
  const int result = NewRegister(t, ValueType::kBool);
  Emit(t, Operation::kDistinct, result, widened[0], widened[1]);
  return result;
}

// x = ANY or ALL of a constant array: its elements one by one.
int TranslateArrayOperator(Translator *t, const ScalarArrayOpExpr *expr) {
  const Node *const list = static_cast<const Node *>(lsecond(expr->args));
  const LoweredCall call = FindCall(expr->opfuncid, expr->inputcollid);
  if (call.function == nullptr || !IsBinary(call.function) || !IsA(list, Const) || reinterpret_cast<const Const *>(list)->constisnull)
    return Fail(t, "it has ANY or ALL of an array");
  ArrayType *const array = DatumGetArrayTypeP(reinterpret_cast<const Const *>(list)->constvalue);
  int16 length;
  bool byval;
  char alignment;
  Datum *elements;
  bool *nulls;
  int n;
  get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &byval, &alignment);
  deconstruct_array(array, ARR_ELEMTYPE(array), length, byval, alignment, &elements, &nulls, &n);
  if (n > kMostElements) return Fail(t, "it has ANY or ALL of many elements");
  const int scalar = Translate(t, static_cast<const Node *>(linitial(expr->args)));
  if (scalar == kFailed) return kFailed;
  Junction junction = BeginJunction(t, !expr->useOr);
  for (int i = 0; i < n; i++) {
    const int operands[2] = {scalar, TranslateConstant(t, ARR_ELEMTYPE(array), elements[i], nulls[i], byval)};
    if (!Suits(t, call.function, operands)) return Fail(t, "an operand is of a type that only looks like its operator's");
    AddOperand(t, &junction, EmitLowered(t, &call, BOOLOID, operands));
  }
  return EndJunction(t, &junction);
}

}  // namespace pgstream
