// AND, OR, NOT and tests; CASE and its kin; see row_translator.hpp.
#include "pg/row_translator.hpp"
#include "pg/tree.hpp"

namespace pgstream {

// --- Logic -----------------------------------------------------------------------------------------------------------

// AND and OR stop at the first operand that decides (false, true); else a NULL among them makes it NULL.
Junction BeginJunction(Translator *t, bool is_and) {
  const Junction junction = {is_and, NewRegister(t, ValueType::kBool), NIL};
  Emit(t, Operation::kConstant, junction.result, 0, 0, is_and);
  return junction;
}

void AddOperand(Translator *t, Junction *junction, int operand) {
  const uint32 decides = Emit(t, junction->is_and ? Operation::kJumpIfFalse : Operation::kJumpIfTrue, 0, operand);
  junction->decided = lappend_int(junction->decided, static_cast<int>(decides));
  const uint32 known = Emit(t, Operation::kJumpIfNotNull, 0, operand);
  Emit(t, Operation::kNull, junction->result);
  JumpsHere(t, known);
}

int EndJunction(Translator *t, const Junction *junction) {
  const uint32 end = Emit(t, Operation::kJump);
  JumpsHere(t, junction->decided);
  Emit(t, Operation::kConstant, junction->result, 0, 0, !junction->is_and);
  JumpsHere(t, end);
  return junction->result;
}

static int TranslateAndOr(Translator *t, const List *operands, bool is_and) {
  Junction junction = BeginJunction(t, is_and);
  ListCell *cell;
  foreach (cell, operands) {
    const int operand = Translate(t, static_cast<const Node *>(lfirst(cell)));
    if (operand == kFailed) return kFailed;
    AddOperand(t, &junction, operand);
  }
  return EndJunction(t, &junction);
}

static int TranslateNot(Translator *t, int operand) {
  if (operand == kFailed) return kFailed;
  const int result = NewRegister(t, ValueType::kBool);
  Emit(t, Operation::kNot, result, operand);
  return result;
}

int TranslateBoolean(Translator *t, const BoolExpr *expr) {
  if (expr->boolop != NOT_EXPR) return TranslateAndOr(t, expr->args, expr->boolop == AND_EXPR);
  return TranslateNot(t, Translate(t, static_cast<const Node *>(linitial(expr->args))));
}

int TranslateNullTest(Translator *t, const NullTest *test) {
  if (test->argisrow) return Fail(t, "it tests a row for NULL");
  const int operand = Translate(t, AsNode(test->arg));
  if (operand == kFailed) return kFailed;
  const int result = NewRegister(t, ValueType::kBool);
  Emit(t, test->nulltesttype == IS_NULL ? Operation::kIsNull : Operation::kIsNotNull, result, operand);
  return result;
}

int TranslateBooleanTest(Translator *t, const BooleanTest *test) {
  const int operand = Translate(t, AsNode(test->arg));
  if (operand == kFailed) return kFailed;
  const int result = NewRegister(t, ValueType::kBool);
  const BoolTestType type = test->booltesttype;
  if (type == IS_UNKNOWN || type == IS_NOT_UNKNOWN) {
    Emit(t, type == IS_UNKNOWN ? Operation::kIsNull : Operation::kIsNotNull, result, operand);
    return result;
  }
  const bool about_true = type == IS_TRUE || type == IS_NOT_TRUE;
  const bool positive = type == IS_TRUE || type == IS_FALSE;
  Emit(t, Operation::kConstant, result, 0, 0, positive);
  const uint32 end = Emit(t, about_true ? Operation::kJumpIfTrue : Operation::kJumpIfFalse, 0, operand);
  Emit(t, Operation::kConstant, result, 0, 0, !positive);
  JumpsHere(t, end);
  return result;
}

// --- Choices ---------------------------------------------------------------------------------------------------------

int TranslateCase(Translator *t, const CaseExpr *expr) {
  const int outer = t->case_value;
  int value = kFailed;
  if (expr->arg != nullptr && (value = Translate(t, AsNode(expr->arg))) == kFailed) return kFailed;
  const int result = NewRegister(t, ValueTypeOf(expr->casetype));
  List *ends = NIL;
  ListCell *cell;
  foreach (cell, expr->args) {
    const CaseWhen *const when = lfirst_node(CaseWhen, cell);
    t->case_value = value;
    const int condition = Translate(t, AsNode(when->expr));
    t->case_value = outer;
    if (condition == kFailed) return kFailed;
    const uint32 next = Emit(t, Operation::kJumpIfNotTrue, 0, condition);
    const int arm = Translate(t, AsNode(when->result));
    if (arm == kFailed) return kFailed;
    Move(t, result, arm);
    ends = lappend_int(ends, static_cast<int>(Emit(t, Operation::kJump)));
    JumpsHere(t, next);
  }
  if (expr->defresult == nullptr) {
    Emit(t, Operation::kNull, result);
  } else {
    const int arm = Translate(t, AsNode(expr->defresult));
    if (arm == kFailed) return kFailed;
    Move(t, result, arm);
  }
  JumpsHere(t, ends);
  return result;
}

int TranslateCoalesce(Translator *t, const CoalesceExpr *expr) {
  const int result = NewRegister(t, ValueTypeOf(expr->coalescetype));
  List *ends = NIL;
  ListCell *cell;
  foreach (cell, expr->args) {
    const int arm = Translate(t, static_cast<const Node *>(lfirst(cell)));
    if (arm == kFailed) return kFailed;
    Move(t, result, arm);
    if (lnext(expr->args, cell) != nullptr)
      ends = lappend_int(ends, static_cast<int>(Emit(t, Operation::kJumpIfNotNull, 0, result)));
  }
  JumpsHere(t, ends);
  return result;
}

// GREATEST and LEAST: all arguments first, then the first of those that are not NULL and beyond which none goes.
int TranslateMinMax(Translator *t, const MinMaxExpr *expr) {
  const ValueType type = ValueTypeOf(expr->minmaxtype);
  if (!IsOrdered(type)) return Fail(t, "it has GREATEST or LEAST of a type that is not compiled");
  int *const arms = RegistersFor(expr->args);
  if (!TranslateList(t, expr->args, arms)) return kFailed;
  const int result = NewRegister(t, type), beyond = NewRegister(t, ValueType::kBool);
  Move(t, result, arms[0]);
  for (int i = 1; i < list_length(expr->args); i++) {
    if (TypeOf(t, arms[i]) != type) return Fail(t, "the types of its arms differ");
    const uint32 skip = Emit(t, Operation::kJumpIfNull, 0, arms[i]);
    const uint32 first = Emit(t, Operation::kJumpIfNull, 0, result);
    Emit(t, expr->op == IS_GREATEST ? Operation::kLess : Operation::kGreater, beyond, result, arms[i]);
    const uint32 keep = Emit(t, Operation::kJumpIfNotTrue, 0, beyond);
    JumpsHere(t, first);
    Move(t, result, arms[i]);
    JumpsHere(t, skip);
    JumpsHere(t, keep);
  }
  return result;
}

}  // namespace pgstream
