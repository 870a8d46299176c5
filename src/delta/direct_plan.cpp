// Recognising plans; see direct_plan.hpp.
#include "delta/direct_plan.hpp"

#include "pg/lowered_functions.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "nodes/makefuncs.h"
}

namespace pgstream {
namespace {

constexpr int kMostColumns = 64;

// Aggregates whose states follow from sums.
constexpr struct {
  Oid aggregate;
  BatchSumKind kind;
} kKinds[] = {
    {F_COUNT_ANY, BatchSumKind::kCount},
    {F_SUM_INT2, BatchSumKind::kSum},
    {F_SUM_INT4, BatchSumKind::kSum},
    {F_AVG_INT2, BatchSumKind::kSum},
    {F_AVG_INT4, BatchSumKind::kSum},
    {F_SUM_INT8, BatchSumKind::kWideSum},
    {F_AVG_INT8, BatchSumKind::kWideSum},
    {F_SUM_NUMERIC, BatchSumKind::kWideSum},
    {F_AVG_NUMERIC, BatchSumKind::kWideSum},
    {F_MIN_INT2, BatchSumKind::kLeast},
    {F_MIN_INT4, BatchSumKind::kLeast},
    {F_MIN_INT8, BatchSumKind::kLeast},
    {F_MIN_OID, BatchSumKind::kLeast},
    {F_MIN_DATE, BatchSumKind::kLeast},
    {F_MIN_TIME, BatchSumKind::kLeast},
    {F_MIN_TIMESTAMP, BatchSumKind::kLeast},
    {F_MIN_TIMESTAMPTZ, BatchSumKind::kLeast},
    {F_MAX_INT2, BatchSumKind::kGreatest},
    {F_MAX_INT4, BatchSumKind::kGreatest},
    {F_MAX_INT8, BatchSumKind::kGreatest},
    {F_MAX_OID, BatchSumKind::kGreatest},
    {F_MAX_DATE, BatchSumKind::kGreatest},
    {F_MAX_TIME, BatchSumKind::kGreatest},
    {F_MAX_TIMESTAMP, BatchSumKind::kGreatest},
    {F_MAX_TIMESTAMPTZ, BatchSumKind::kGreatest},
};

// A plan in the making.
struct Making {
  const RowExpressions *row;
  DirectColumn *columns;  // kMostColumns
  int ncolumns;
};

template <class T>
T *Array(int n) {
  return static_cast<T *>(palloc0(sizeof(T) * static_cast<Size>(n + 1)));
}

bool IsIntegerType(ValueType type) {
  return type == ValueType::kBool || type == ValueType::kInt16 || type == ValueType::kInt32 || type == ValueType::kInt64 ||
         type == ValueType::kUInt32;
}

bool Suits(DirectKind kind, const FormData_pg_attribute *attribute) {
  const int16 length = attribute->attlen;
  const bool integer = length == 1 || length == 2 || length == 4 || length == 8;
  switch (kind) {
    case DirectKind::Nulls:
      return true;
    case DirectKind::Integer:
      return attribute->attbyval && integer;
    case DirectKind::Decimal:
      return attribute->atttypid == NUMERICOID;
    case DirectKind::Constant:
    case DirectKind::Computed:
      return false;
    case DirectKind::Bytes:
      // Fixed lengths of integers are packed in records: such values lie nowhere.
      return !attribute->attbyval && (length == -1 || (length > 0 && !integer));
  }
  return false;
}

DirectColumn *NewColumn(Making *making, DirectKind kind) {
  if (making->ncolumns == kMostColumns) return nullptr;
  DirectColumn *const column = &making->columns[making->ncolumns++];
  column->kind = kind;
  column->used = column->scale = -1;
  return column;
}

// The plan's column for a plain column of the source; -1 where the expression is none, or not of that kind.
int ColumnOf(Making *making, const Node *node, DirectKind kind) {
  if (!IsA(node, Var)) return -1;
  const Var *const var = reinterpret_cast<const Var *>(node);
  int used = 0;
  while (used < making->row->ncolumns && making->row->columns[used] != var->varattno) used++;
  if (var->varno != 1 || var->varlevelsup != 0 || used == making->row->ncolumns) return -1;
  const FormData_pg_attribute *const attribute = TupleDescAttr(making->row->descriptor, var->varattno - 1);
  if (!Suits(kind, attribute)) return -1;
  for (int i = 0; i < making->ncolumns; i++)
    if (making->columns[i].used == used && (making->columns[i].kind == kind || kind == DirectKind::Nulls)) return i;
  DirectColumn *const column = NewColumn(making, kind);
  if (column == nullptr) return -1;
  column->used = used;
  column->length = attribute->attlen;
  column->is_unsigned = ValueTypeOf(var->vartype) == ValueType::kUInt32;
  return making->ncolumns - 1;
}

int64 IntegerOf(ValueType type, Datum value) {
  switch (type) {
    case ValueType::kBool:
      return DatumGetBool(value) ? 1 : 0;
    case ValueType::kInt16:
      return DatumGetInt16(value);
    case ValueType::kInt32:
      return DatumGetInt32(value);
    case ValueType::kUInt32:
      return DatumGetUInt32(value);
    default:
      return DatumGetInt64(value);
  }
}

int OperandOf(Making *making, const Node *node, ValueType type);

// The plan's column for integer arithmetic; -1 where the expression is none.
int ComputedOf(Making *making, const Node *node) {
  check_stack_depth();
  Oid function;
  const List *arguments;
  if (IsA(node, OpExpr)) {
    function = reinterpret_cast<const OpExpr *>(node)->opfuncid;
    arguments = reinterpret_cast<const OpExpr *>(node)->args;
  } else if (IsA(node, FuncExpr)) {
    function = reinterpret_cast<const FuncExpr *>(node)->funcid;
    arguments = reinterpret_cast<const FuncExpr *>(node)->args;
  } else {
    return -1;
  }
  const LoweredFunction *const lowered = FindLowered(function);
  if (lowered == nullptr || !IsBatchArithmetic(lowered->operation) || !IsInteger(lowered->left)) return -1;
  const ValueType type = ValueTypeOf(exprType(const_cast<Node *>(node)));
  const bool binary = lowered->right != ValueType::kWord;
  if (!IsInteger(type) || (binary && !IsInteger(lowered->right)) || list_length(arguments) != (binary ? 2 : 1)) return -1;
  const int a = OperandOf(making, static_cast<const Node *>(linitial(arguments)), lowered->left);
  const int b = binary && a >= 0 ? OperandOf(making, static_cast<const Node *>(lsecond(arguments)), lowered->right) : a;
  DirectColumn *const column = a >= 0 && b >= 0 ? NewColumn(making, DirectKind::Computed) : nullptr;
  if (column == nullptr) return -1;
  column->length = get_typlen(exprType(const_cast<Node *>(node)));
  column->operation = lowered->operation;
  column->type = type;
  column->a = a;
  column->b = b;
  return making->ncolumns - 1;
}

// A column of integers: a plain one, or computed.
int IntegersOf(Making *making, const Node *node) {
  const int plain = ColumnOf(making, node, DirectKind::Integer);
  return plain >= 0 ? plain : ComputedOf(making, node);
}

// An operand of this type: such a column, or a constant.
int OperandOf(Making *making, const Node *node, ValueType type) {
  if (ValueTypeOf(exprType(const_cast<Node *>(node))) != type) return -1;
  if (!IsA(node, Const)) return IntegersOf(making, node);
  const Const *const value = reinterpret_cast<const Const *>(node);
  DirectColumn *const column = value->constisnull ? nullptr : NewColumn(making, DirectKind::Constant);
  if (column == nullptr) return -1;
  column->constant = IntegerOf(type, value->constvalue);
  return making->ncolumns - 1;
}

bool ComparisonOf(Operation operation, bool swapped, BatchComparison *comparison) {
  switch (operation) {
    case Operation::kEqual:
      *comparison = BatchComparison::kEqual;
      return true;
    case Operation::kNotEqual:
      *comparison = BatchComparison::kNotEqual;
      return true;
    case Operation::kLess:
      *comparison = swapped ? BatchComparison::kGreater : BatchComparison::kLess;
      return true;
    case Operation::kLessEqual:
      *comparison = swapped ? BatchComparison::kGreaterEqual : BatchComparison::kLessEqual;
      return true;
    case Operation::kGreater:
      *comparison = swapped ? BatchComparison::kLess : BatchComparison::kGreater;
      return true;
    case Operation::kGreaterEqual:
      *comparison = swapped ? BatchComparison::kLessEqual : BatchComparison::kGreaterEqual;
      return true;
    default:
      return false;
  }
}

// A column, or one compared with a constant.
bool ConditionOf(Making *making, const Node *node, BatchCondition *condition) {
  if (IsA(node, Var) && exprType(const_cast<Node *>(node)) == BOOLOID) {
    *condition = {ColumnOf(making, node, DirectKind::Integer), BatchComparison::kEqual, 1};
    return condition->column >= 0;
  }
  if (!IsA(node, OpExpr)) return false;
  const OpExpr *const call = reinterpret_cast<const OpExpr *>(node);
  const LoweredFunction *const lowered = FindLowered(call->opfuncid);
  if (lowered == nullptr || list_length(call->args) != 2 || !IsIntegerType(lowered->left) || !IsIntegerType(lowered->right)) return false;
  const Node *const left = static_cast<const Node *>(linitial(call->args));
  const Node *const right = static_cast<const Node *>(lsecond(call->args));
  const bool swapped = IsA(left, Const);
  const Node *const column = swapped ? right : left, *const other = swapped ? left : right;
  if (!IsA(other, Const) || reinterpret_cast<const Const *>(other)->constisnull) return false;
  if (!ComparisonOf(lowered->operation, swapped, &condition->comparison)) return false;
  if (ValueTypeOf(exprType(const_cast<Node *>(column))) != (swapped ? lowered->right : lowered->left)) return false;
  condition->constant = IntegerOf(swapped ? lowered->left : lowered->right, reinterpret_cast<const Const *>(other)->constvalue);
  condition->column = ColumnOf(making, column, DirectKind::Integer);
  return condition->column >= 0;
}

// Conditions, all of them; false where one is not of that form.
bool ConditionsOf(Making *making, const List *quals, int *n, const BatchCondition **conditions) {
  auto *const made = Array<BatchCondition>(list_length(quals));
  *n = list_length(quals);
  *conditions = made;
  ListCell *cell;
  foreach (cell, quals)
    if (!ConditionOf(making, static_cast<const Node *>(lfirst(cell)), &made[foreach_current_index(cell)])) return false;
  return true;
}

// An aggregate's sum. *counts_rows: it needs none, as it counts all rows.
bool SumOf(Making *making, const Aggref *aggref, BatchSum *sum, bool *counts_rows) {
  *sum = {BatchSumKind::kCount, -1, 0, nullptr};
  if (aggref->aggfilter != nullptr) {
    List *const filter = make_ands_implicit(expression_planner(CopyNode(aggref->aggfilter)));
    if (!ConditionsOf(making, filter, &sum->nconditions, &sum->conditions)) return false;
  }
  const Node *const argument =
      list_length(aggref->args) == 1 ? AsNode(expression_planner(CopyNode(linitial_node(TargetEntry, aggref->args)->expr))) : nullptr;
  *counts_rows = aggref->aggfnoid == F_COUNT_;
  if (aggref->aggfnoid == F_COUNT_ANY && argument != nullptr && IsA(argument, Const)) {
    *counts_rows = !reinterpret_cast<const Const *>(argument)->constisnull;
    if (!*counts_rows) return false;
  }
  if (*counts_rows) {
    *counts_rows = aggref->aggfilter == nullptr;
    return true;
  }
  if (argument == nullptr) return false;
  const bool decimal = aggref->aggfnoid == F_SUM_NUMERIC || aggref->aggfnoid == F_AVG_NUMERIC;
  for (const auto &entry : kKinds) {
    if (entry.aggregate != aggref->aggfnoid) continue;
    sum->kind = entry.kind;
    if (entry.kind == BatchSumKind::kCount)
      sum->column = ColumnOf(making, argument, DirectKind::Nulls);
    else
      sum->column = decimal ? ColumnOf(making, argument, DirectKind::Decimal) : IntegersOf(making, argument);
    return sum->column >= 0;
  }
  return false;
}

}  // namespace

bool PlanDirectly(const DeltaPlan *plan, const RowExpressions *row, DirectPlan *direct) {
  if (plan->nkeys > kMostBatchKeys) return false;
  Making making = {row, Array<DirectColumn>(kMostColumns), 0};
  auto *const keys = Array<int>(plan->nkeys);
  auto *const sums = Array<BatchSum>(plan->naggregates);
  BatchGroupPlan *const batch = &direct->batch;
  *direct = {};
  direct->sums = Array<int>(plan->naggregates);
  for (int i = 0; i < plan->nkeys; i++) {
    const Node *const key = AsNode(list_nth_node(TargetEntry, row->targets, i)->expr);
    if (!plan->keys[i].equal_image) return false;
    keys[i] = IntegersOf(&making, key);
    if (keys[i] < 0) keys[i] = ColumnOf(&making, key, DirectKind::Bytes);
    if (keys[i] < 0) return false;
  }
  if (!ConditionsOf(&making, row->quals, &batch->nconditions, &batch->conditions)) return false;
  for (int i = 0; i < plan->naggregates; i++) {
    bool counts_rows;
    if (!SumOf(&making, plan->aggregates[i].aggref, &sums[batch->nsums], &counts_rows)) return false;
    direct->sums[i] = counts_rows ? -1 : batch->nsums++;
  }
  batch->nkeys = plan->nkeys;
  batch->keys = keys;
  batch->sums = sums;
  direct->ncolumns = making.ncolumns;
  direct->columns = making.columns;
  return true;
}

}  // namespace pgstream
