// Translating expressions; see row_program.hpp. Which functions are operations is in lowered_functions.hpp.
//
// Every node's value gets a register of its own. What is evaluated on some ways only (the arms of a CASE) is jumped over; a
// register is written at most once on every way, except results that several arms share.
#include "pg/row_program.hpp"

#include <initializer_list>

#include "pg/lowered_functions.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/array.h"
}

namespace pgstream {

static_assert(SIZEOF_DATUM == 8 && sizeof(bool) == 1, "compiled code takes a Datum for eight bytes, a null flag for one");

namespace {

constexpr int kFailed = -1;
// An IN list of more elements is left to the server, which hashes it.
constexpr int kMostElements = 8;

struct Translator {
  const RowExpressions *row;
  StringInfoData instructions, registers, functions, arguments;
  List *bound;      // BoundFunction *
  List *constants;  // Datum *
  int case_value;   // register of the innermost CASE's test value
  int *inputs;      // register of each column once it is loaded; loaded before everything else
  const char *why;
};

int Translate(Translator *t, const Node *node);

int Fail(Translator *t, const char *why) {
  if (t->why == nullptr) t->why = why;
  return kFailed;
}

int NewRegister(Translator *t, ValueType type) {
  appendStringInfoChar(&t->registers, static_cast<char>(type));
  return t->registers.len - 1;
}

ValueType TypeOf(const Translator *t, int reg) { return static_cast<ValueType>(t->registers.data[reg]); }

uint32 Here(const Translator *t) { return static_cast<uint32>(t->instructions.len / sizeof(Instruction)); }

uint32 Emit(Translator *t, Operation operation, int result = 0, int a = 0, int b = 0, int64 constant = 0) {
  const Instruction instruction = {operation, 0, static_cast<uint16>(result), static_cast<uint16>(a), static_cast<uint16>(b), 0, 0, constant};
  appendBinaryStringInfo(&t->instructions, reinterpret_cast<const char *>(&instruction), sizeof(instruction));
  return Here(t) - 1;
}

// Makes a jump lead to what comes next.
void JumpsHere(Translator *t, uint32 jump) { reinterpret_cast<Instruction *>(t->instructions.data)[jump].target = Here(t); }

void JumpsHere(Translator *t, const List *jumps) {
  ListCell *cell;
  foreach (cell, jumps) JumpsHere(t, static_cast<uint32>(lfirst_int(cell)));
}

void Move(Translator *t, int result, int from) {
  if (TypeOf(t, result) != TypeOf(t, from)) {
    Fail(t, "the types of its arms differ");
    return;
  }
  Emit(t, Operation::kMove, result, from);
}

int Converted(Translator *t, int reg, ValueType type) {
  if (reg == kFailed || TypeOf(t, reg) == type) return reg;
  const int result = NewRegister(t, type);
  Emit(t, Operation::kConvert, result, reg);
  return result;
}

// --- Leaves ----------------------------------------------------------------------------------------------------------

int TranslateVar(Translator *t, const Var *var) {
  if (var->varno != 1 || var->varlevelsup != 0 || var->varattno <= 0) return Fail(t, "it reads a whole row or a system column");
  for (int i = 0; i < t->row->ncolumns; i++)
    if (t->row->columns[i] == var->varattno) return t->inputs[i];
  return Fail(t, "it reads a column that is not captured");
}

int TranslateConstant(Translator *t, Oid type, Datum value, bool isnull, bool byval) {
  const int result = NewRegister(t, ValueTypeOf(type));
  if (isnull) {
    Emit(t, Operation::kNull, result);
  } else if (byval) {
    Emit(t, Operation::kConstant, result, 0, 0, static_cast<int64>(value));
  } else {
    Datum *const copy = static_cast<Datum *>(palloc(sizeof(Datum)));
    *copy = value;
    Emit(t, Operation::kBoundConstant, result, 0, 0, list_length(t->constants));
    t->constants = lappend(t->constants, copy);
  }
  return result;
}

// --- Functions and operators -----------------------------------------------------------------------------------------

// The operation on registers that hold the operands (one or two).
int EmitLowered(Translator *t, const LoweredFunction *lowered, Oid result_type, const int *operands) {
  const ValueType result = ValueTypeOf(result_type);
  const bool binary = lowered->right != ValueType::kWord;
  if (TypeOf(t, operands[0]) != lowered->left || (binary && TypeOf(t, operands[1]) != lowered->right))
    return Fail(t, "an operand is of a type that only looks like its operator's");
  if (lowered->operation == Operation::kMove) return operands[0];
  if (lowered->operation == Operation::kConvert) return Converted(t, operands[0], result);
  int a = operands[0], b = binary ? operands[1] : 0;
  if (binary && lowered->left != lowered->right) {
    const ValueType wider = lowered->left > lowered->right ? lowered->left : lowered->right;
    a = Converted(t, a, wider);
    b = Converted(t, b, wider);
  }
  const int reg = NewRegister(t, result);
  Emit(t, lowered->operation, reg, a, b);
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

int EmitFunction(Translator *t, const Node *node, Oid function, Oid collation, Oid result_type, const int *operands, int n) {
  const LoweredFunction *const lowered = FindLowered(function);
  if (lowered != nullptr && n == (lowered->right == ValueType::kWord ? 1 : 2))
    return EmitLowered(t, lowered, result_type, operands);
  return EmitCall(t, node, function, collation, result_type, operands, n);
}

// Translates operands into `registers`; false on failure.
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
  return EmitFunction(t, node, function, collation, result_type, operands, list_length(arguments));
}

int TranslateNullIf(Translator *t, const NullIfExpr *expr) {
  int operands[2];
  if (list_length(expr->args) != 2 || !TranslateList(t, expr->args, operands)) return kFailed;
  if (FindLowered(expr->opfuncid) == nullptr) return Fail(t, "it has NULLIF of a type that is not compiled");
  const int equal = EmitFunction(t, AsNode(expr), expr->opfuncid, expr->inputcollid, BOOLOID, operands, 2);
  if (equal == kFailed) return kFailed;
  const int result = NewRegister(t, TypeOf(t, operands[0]));
  Move(t, result, operands[0]);
  const uint32 differs = Emit(t, Operation::kJumpIfNotTrue, 0, equal);
  Emit(t, Operation::kNull, result);
  JumpsHere(t, differs);
  return result;
}

int TranslateDistinct(Translator *t, const DistinctExpr *expr) {
  int operands[2];
  if (list_length(expr->args) != 2 || !TranslateList(t, expr->args, operands)) return kFailed;
  const LoweredFunction *const lowered = FindLowered(expr->opfuncid);
  if (lowered == nullptr || lowered->operation != Operation::kEqual || TypeOf(t, operands[0]) != lowered->left || TypeOf(t, operands[1]) != lowered->right)
    return Fail(t, "it has IS DISTINCT FROM of a type that is not compiled");
  const ValueType wider = lowered->left > lowered->right ? lowered->left : lowered->right;
  const int a = Converted(t, operands[0], wider), b = Converted(t, operands[1], wider);
  const int result = NewRegister(t, ValueType::kBool);
  Emit(t, Operation::kDistinct, result, a, b);
  return result;
}

// --- Logic -----------------------------------------------------------------------------------------------------------

// AND and OR stop at the first operand that decides (false, true); else a NULL among them makes it NULL.
int TranslateAndOr(Translator *t, const List *operands, bool is_and) {
  const int result = NewRegister(t, ValueType::kBool);
  List *decided = NIL;
  Emit(t, Operation::kConstant, result, 0, 0, is_and);
  ListCell *cell;
  foreach (cell, operands) {
    const int operand = Translate(t, static_cast<const Node *>(lfirst(cell)));
    if (operand == kFailed) return kFailed;
    decided = lappend_int(decided, static_cast<int>(Emit(t, is_and ? Operation::kJumpIfFalse : Operation::kJumpIfTrue, 0, operand)));
    const uint32 known = Emit(t, Operation::kJumpIfNotNull, 0, operand);
    Emit(t, Operation::kNull, result);
    JumpsHere(t, known);
  }
  const uint32 end = Emit(t, Operation::kJump);
  JumpsHere(t, decided);
  Emit(t, Operation::kConstant, result, 0, 0, !is_and);
  JumpsHere(t, end);
  return result;
}

int TranslateNot(Translator *t, int operand) {
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
  if (type == ValueType::kWord) return Fail(t, "it has GREATEST or LEAST of a type that is not compiled");
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

// x = ANY or ALL of a constant array: its elements one by one.
int TranslateArrayOperator(Translator *t, const ScalarArrayOpExpr *expr) {
  const Node *const list = static_cast<const Node *>(lsecond(expr->args));
  const LoweredFunction *const lowered = FindLowered(expr->opfuncid);
  if (lowered == nullptr || lowered->right == ValueType::kWord || !IsA(list, Const) || reinterpret_cast<const Const *>(list)->constisnull)
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
  const bool is_and = !expr->useOr;
  const int result = NewRegister(t, ValueType::kBool);
  Emit(t, Operation::kConstant, result, 0, 0, is_and);
  List *decided = NIL;
  for (int i = 0; i < n; i++) {
    const int operands[2] = {scalar, TranslateConstant(t, ARR_ELEMTYPE(array), elements[i], nulls[i], byval)};
    const int verdict = EmitLowered(t, lowered, BOOLOID, operands);
    if (verdict == kFailed) return kFailed;
    decided = lappend_int(decided, static_cast<int>(Emit(t, is_and ? Operation::kJumpIfFalse : Operation::kJumpIfTrue, 0, verdict)));
    const uint32 known = Emit(t, Operation::kJumpIfNotNull, 0, verdict);
    Emit(t, Operation::kNull, result);
    JumpsHere(t, known);
  }
  const uint32 end = Emit(t, Operation::kJump);
  JumpsHere(t, decided);
  Emit(t, Operation::kConstant, result, 0, 0, !is_and);
  JumpsHere(t, end);
  return result;
}

// --- All of them -----------------------------------------------------------------------------------------------------

int Translate(Translator *t, const Node *node) {
  check_stack_depth();
  if (Here(t) > kMaxProgramParts || t->registers.len > static_cast<int>(kMaxProgramParts)) return Fail(t, "it is too large");
  switch (nodeTag(node)) {
    case T_Var:
      return TranslateVar(t, reinterpret_cast<const Var *>(node));
    case T_Const: {
      const Const *const constant = reinterpret_cast<const Const *>(node);
      return TranslateConstant(t, constant->consttype, constant->constvalue, constant->constisnull, constant->constbyval);
    }
    case T_FuncExpr: {
      const FuncExpr *const call = reinterpret_cast<const FuncExpr *>(node);
      return TranslateFunction(t, node, call->funcid, call->inputcollid, call->funcresulttype, call->funcretset, call->args);
    }
    case T_OpExpr: {
      const OpExpr *const call = reinterpret_cast<const OpExpr *>(node);
      return TranslateFunction(t, node, call->opfuncid, call->inputcollid, call->opresulttype, call->opretset, call->args);
    }
    case T_NullIfExpr:
      return TranslateNullIf(t, reinterpret_cast<const NullIfExpr *>(node));
    case T_DistinctExpr:
      return TranslateDistinct(t, reinterpret_cast<const DistinctExpr *>(node));
    case T_ScalarArrayOpExpr:
      return TranslateArrayOperator(t, reinterpret_cast<const ScalarArrayOpExpr *>(node));
    case T_BoolExpr:
      return TranslateBoolean(t, reinterpret_cast<const BoolExpr *>(node));
    case T_NullTest:
      return TranslateNullTest(t, reinterpret_cast<const NullTest *>(node));
    case T_BooleanTest:
      return TranslateBooleanTest(t, reinterpret_cast<const BooleanTest *>(node));
    case T_CaseExpr:
      return TranslateCase(t, reinterpret_cast<const CaseExpr *>(node));
    case T_CaseTestExpr:
      return t->case_value != kFailed ? t->case_value : Fail(t, "it has a placeholder outside of CASE");
    case T_CoalesceExpr:
      return TranslateCoalesce(t, reinterpret_cast<const CoalesceExpr *>(node));
    case T_MinMaxExpr:
      return TranslateMinMax(t, reinterpret_cast<const MinMaxExpr *>(node));
    case T_RelabelType:
      return Translate(t, AsNode(reinterpret_cast<const RelabelType *>(node)->arg));
    case T_CoerceViaIO:
      return Fail(t, "it converts through text");
    case T_CoerceToDomain:
      return Fail(t, "it checks a domain");
    case T_SubscriptingRef:
      return Fail(t, "it has a subscript");
    case T_ArrayExpr:
    case T_ArrayCoerceExpr:
      return Fail(t, "it makes an array");
    case T_RowExpr:
    case T_FieldSelect:
    case T_RowCompareExpr:
    case T_ConvertRowtypeExpr:
      return Fail(t, "it makes or reads a row");
    default:
      return Fail(t, "it has an expression of a kind that is not compiled");
  }
}

void LoadInputs(Translator *t, InputColumn *columns) {
  t->inputs = static_cast<int *>(palloc(sizeof(int) * (t->row->ncolumns + 1)));
  for (int i = 0; i < t->row->ncolumns; i++) {
    const FormData_pg_attribute *const attribute = TupleDescAttr(t->row->descriptor, t->row->columns[i] - 1);
    columns[i] = {attribute->attlen, ValueTypeOf(attribute->atttypid), attribute->attbyval};
    t->inputs[i] = NewRegister(t, columns[i].type);
  }
}

// Columns that no expression reads are not loaded.
bool Reads(const List *expressions, AttrNumber column) {
  Bitmapset *columns = nullptr;
  pull_varattnos(AsNode(expressions), 1, &columns);
  return bms_is_member(column - FirstLowInvalidHeapAttributeNumber, columns);
}

}  // namespace

RowProgram *TranslateRow(const RowExpressions *row, const char **why) {
  Translator t = {};
  t.row = row;
  t.case_value = kFailed;
  for (StringInfo part : {&t.instructions, &t.registers, &t.functions, &t.arguments}) initStringInfo(part);
  auto *const columns = static_cast<InputColumn *>(palloc0(sizeof(InputColumn) * (row->ncolumns + 1)));
  LoadInputs(&t, columns);
  // A column of the filter is decoded before it, others only for rows that pass.
  for (int i = 0; i < row->ncolumns; i++)
    if (Reads(row->quals, row->columns[i])) Emit(&t, Operation::kInput, t.inputs[i], 0, 0, i);
  ListCell *cell;
  foreach (cell, row->quals) {
    const int verdict = Translate(&t, static_cast<const Node *>(lfirst(cell)));
    if (verdict == kFailed) break;
    const uint32 passes = Emit(&t, Operation::kJumpIfTrue, 0, verdict);
    Emit(&t, Operation::kReject);
    JumpsHere(&t, passes);
  }
  for (int i = 0; i < row->ncolumns; i++)
    if (!Reads(row->quals, row->columns[i]) && Reads(row->targets, row->columns[i])) Emit(&t, Operation::kInput, t.inputs[i], 0, 0, i);
  foreach (cell, row->targets) {
    const int output = t.why == nullptr ? Translate(&t, AsNode(lfirst_node(TargetEntry, cell)->expr)) : kFailed;
    if (output == kFailed) break;
    Emit(&t, Operation::kOutput, 0, output, 0, foreach_current_index(cell));
  }
  Emit(&t, Operation::kAccept);
  *why = t.why;
  if (t.why != nullptr) return nullptr;

  auto *const result = static_cast<RowProgram *>(palloc0(sizeof(RowProgram)));
  result->functions = static_cast<BoundFunction *>(palloc(sizeof(BoundFunction) * (list_length(t.bound) + 1)));
  result->constants = static_cast<Datum *>(palloc(sizeof(Datum) * (list_length(t.constants) + 1)));
  foreach (cell, t.bound) result->functions[foreach_current_index(cell)] = *static_cast<BoundFunction *>(lfirst(cell));
  foreach (cell, t.constants) result->constants[foreach_current_index(cell)] = *static_cast<Datum *>(lfirst(cell));
  Program *const program = &result->program;
  program->columns = columns;
  program->ncolumns = static_cast<uint32>(row->ncolumns);
  program->registers = reinterpret_cast<const ValueType *>(t.registers.data);
  program->nregisters = static_cast<uint32>(t.registers.len);
  program->instructions = reinterpret_cast<const Instruction *>(t.instructions.data);
  program->ninstructions = Here(&t);
  program->functions = reinterpret_cast<const CalledFunction *>(t.functions.data);
  program->nfunctions = static_cast<uint32>(list_length(t.bound));
  program->arguments = reinterpret_cast<const uint16 *>(t.arguments.data);
  program->narguments = static_cast<uint32>(t.arguments.len / sizeof(uint16));
  program->nconstants = static_cast<uint32>(list_length(t.constants));
  program->noutputs = static_cast<uint32>(list_length(row->targets));
  *why = CheckProgram(*program);
  return *why == nullptr ? result : nullptr;
}

}  // namespace pgstream
