// Leaves and the whole row; see row_program.hpp and, for how expressions are translated, row_translator.hpp.
#include "pg/row_program.hpp"

#include <initializer_list>

#include "pg/row_translator.hpp"
#include "pg/tree.hpp"

namespace pgstream {

static_assert(SIZEOF_DATUM == 8 && sizeof(bool) == 1, "compiled code takes a Datum for eight bytes, a null flag for one");

// --- Leaves ----------------------------------------------------------------------------------------------------------

namespace {

int TranslateVar(Translator *t, const Var *var) {
  if (var->varno != 1 || var->varlevelsup != 0 || var->varattno <= 0) return Fail(t, "it reads a whole row or a system column");
  for (int i = 0; i < t->row->ncolumns; i++)
    if (t->row->columns[i] == var->varattno) return t->inputs[i];
  return Fail(t, "it reads a column that is not captured");
}

// A type in the clothes of another: texts and the like stay what they are, and are compared as what they look like.
int TranslateRelabel(Translator *t, const RelabelType *relabel) {
  const int operand = Translate(t, AsNode(relabel->arg));
  if (operand == kFailed) return kFailed;
  const ValueType from = TypeOf(t, operand), to = ValueTypeOf(relabel->resulttype);
  const bool same = from == to || !(from == ValueType::kWord || IsReference(from)) || !(to == ValueType::kWord || IsReference(to));
  if (same) return operand;
  const int result = NewRegister(t, to);
  Emit(t, Operation::kMove, result, operand);
  return result;
}

}  // namespace

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
      return TranslateRelabel(t, reinterpret_cast<const RelabelType *>(node));
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

namespace {

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
