// Which plans are grouped directly, and the way from sums to aggregate states; see direct_groups.hpp.
#include "delta/direct_groups.hpp"

#include "delta/aggregate_sums.hpp"
#include "pg/lowered_functions.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "common/pg_prng.h"
}

namespace pgstream {
namespace {

constexpr int kMostColumns = 64;
constexpr uint32 kLeastGroups = 64;
constexpr uint32 kMostGroups = 4 * 1024 * 1024;

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
  BatchGroupColumn columns[kMostColumns];
  int source[kMostColumns];  // which of the row's used columns
  int ncolumns;
};

bool IsIntegerType(ValueType type) {
  return type == ValueType::kBool || type == ValueType::kInt16 || type == ValueType::kInt32 || type == ValueType::kInt64 ||
         type == ValueType::kUInt32;
}

// The plan's column for a plain column of the source; -1 where the expression is none. Of any type, or (integers) of a fixed
// width that fits.
int ColumnOf(Making *making, const Node *node, bool integer) {
  if (!IsA(node, Var)) return -1;
  const Var *const var = reinterpret_cast<const Var *>(node);
  int used = 0;
  while (used < making->row->ncolumns && making->row->columns[used] != var->varattno) used++;
  if (var->varno != 1 || var->varlevelsup != 0 || used == making->row->ncolumns) return -1;
  const FormData_pg_attribute *const attribute = TupleDescAttr(making->row->descriptor, var->varattno - 1);
  const bool fits = attribute->attbyval && (attribute->attlen == 1 || attribute->attlen == 2 || attribute->attlen == 4 || attribute->attlen == 8);
  if (integer && !fits) return -1;
  for (int i = 0; i < making->ncolumns; i++) {
    if (making->source[i] != used) continue;
    making->columns[i].is_integer |= integer;
    return i;
  }
  if (making->ncolumns == kMostColumns) return -1;
  making->source[making->ncolumns] = used;
  making->columns[making->ncolumns] = {integer, ValueTypeOf(var->vartype) == ValueType::kUInt32};
  return making->ncolumns++;
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
    *condition = {ColumnOf(making, node, true), BatchComparison::kEqual, 1};
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
  condition->column = ColumnOf(making, column, true);
  return condition->column >= 0;
}

// An aggregate's sum. *counts_rows: it needs none, as its argument is never NULL.
bool SumOf(Making *making, const Aggref *aggref, BatchSum *sum, bool *counts_rows) {
  *counts_rows = aggref->aggfnoid == F_COUNT_;
  if (aggref->aggfilter != nullptr) return false;
  if (*counts_rows) return true;
  if (list_length(aggref->args) != 1) return false;
  const Node *const argument = AsNode(linitial_node(TargetEntry, aggref->args)->expr);
  *counts_rows = aggref->aggfnoid == F_COUNT_ANY && IsA(argument, Const) && !reinterpret_cast<const Const *>(argument)->constisnull;
  if (*counts_rows) return true;
  for (const auto &entry : kKinds) {
    if (entry.aggregate != aggref->aggfnoid) continue;
    *sum = {entry.kind, ColumnOf(making, argument, entry.kind != BatchSumKind::kCount)};
    return sum->column >= 0;
  }
  return false;
}

void *Allocate(void *context, size_t size) { return MemoryContextAllocHuge(static_cast<MemoryContext>(context), size); }
void Release(void *, void *memory) { pfree(memory); }

template <class T>
T *Array(int n) {
  return static_cast<T *>(palloc0(sizeof(T) * static_cast<Size>(n + 1)));
}

Datum KeyDatum(int64 value, int16 length) {
  switch (length) {
    case 1:
      return CharGetDatum(static_cast<char>(value));
    case 2:
      return Int16GetDatum(static_cast<int16>(value));
    case 4:
      return Int32GetDatum(static_cast<int32>(value));
    default:
      return Int64GetDatum(value);
  }
}

}  // namespace

DirectGroups *NewDirectGroups(const DeltaPlan *plan, const RowExpressions *row, MemoryContext context, Size limit) {
  if (plan->nkeys > kMostBatchKeys) return nullptr;
  auto *const direct = static_cast<DirectGroups *>(palloc0(sizeof(DirectGroups)));
  auto *const making = static_cast<Making *>(palloc0(sizeof(Making)));
  making->row = row;
  auto *const keys = Array<int>(plan->nkeys);
  auto *const sums = Array<BatchSum>(plan->naggregates);
  auto *const conditions = Array<BatchCondition>(list_length(row->quals));
  direct->key_lengths = Array<int16>(plan->nkeys);
  direct->sums = Array<int>(plan->naggregates);
  BatchGroupPlan *const batch = &direct->plan;
  for (int i = 0; i < plan->nkeys; i++) {
    const Node *const key = AsNode(list_nth_node(TargetEntry, row->targets, i)->expr);
    if (!plan->keys[i].equal_image || (keys[i] = ColumnOf(making, key, true)) < 0) return nullptr;
    direct->key_lengths[i] = get_typlen(exprType(const_cast<Node *>(key)));
  }
  ListCell *cell;
  foreach (cell, row->quals)
    if (!ConditionOf(making, static_cast<const Node *>(lfirst(cell)), &conditions[batch->nconditions++])) return nullptr;
  for (int i = 0; i < plan->naggregates; i++) {
    bool counts_rows;
    if (!SumOf(making, plan->aggregates[i].aggref, &sums[batch->nsums], &counts_rows)) return nullptr;
    direct->sums[i] = counts_rows ? -1 : batch->nsums++;
  }
  batch->nkeys = plan->nkeys;
  batch->keys = keys;
  batch->conditions = conditions;
  batch->sums = sums;
  batch->ncolumns = making->ncolumns;
  batch->columns = making->columns;
  direct->columns = making->source;
  direct->positions = Array<int>(making->ncolumns);
  direct->context = context;
  const Size group = sizeof(int64) * static_cast<Size>(plan->nkeys + 1 + 4 * batch->nsums) + 2 * sizeof(uint32);
  const uint32 groups = static_cast<uint32>(Min(Max(limit / group / 2, kLeastGroups), kMostGroups));
  direct->groups.Init(batch, {Allocate, Release, context}, groups, pg_prng_uint64(&pg_global_prng_state));
  return direct;
}

const uint8 *TakeDirectly(DirectGroups *direct, const BatchDecoder *record, const int *positions) {
  for (int i = 0; i < direct->plan.ncolumns; i++) direct->positions[i] = positions[direct->columns[i]];
  if (record->nrows() > direct->left_room) {
    direct->left_room = 0;
    if (direct->left != nullptr) pfree(direct->left);
    direct->left = static_cast<uint8 *>(MemoryContextAlloc(direct->context, record->nrows()));
    direct->left_room = record->nrows();
  }
  const uint32 left = direct->groups.Add(*record, direct->positions, direct->left);
  direct->rows += record->nrows() - left;
  return left > 0 ? direct->left : nullptr;
}

void ForgetDirectGroups(DirectGroups *direct) {
  direct->groups.Forget();
  direct->left = nullptr;
  direct->left_room = 0;
}

bool HasChanges(const DirectGroups *direct, uint32 group) {
  if (direct->groups.Net(group) != 0) return true;
  for (int i = 0; i < direct->plan.nsums; i++) {
    const BatchSumValue value = direct->groups.Value(group, i);
    if (value.count != 0 || value.sum != 0 || value.any) return true;
  }
  return false;
}

void DirectKeys(const DirectGroups *direct, uint32 group, Datum *values, bool *nulls) {
  const int64 *const keys = direct->groups.Keys(group);
  for (int i = 0; i < direct->plan.nkeys; i++) {
    values[i] = KeyDatum(keys[i], direct->key_lengths[i]);
    nulls[i] = false;
  }
}

void ApplyDirectly(const DirectGroups *direct, uint32 group, const AggregateSet *set, AggregateState *states) {
  for (int i = 0; i < set->naggregates; i++) {
    const AggregateProgram *const program = &set->programs[i];
    if (states[i].doubtful || program->nargs == 0) continue;
    if (direct->sums[i] < 0) {
      AddCount(set, i, &states[i], direct->groups.Net(group));
      continue;
    }
    const BatchSumValue value = direct->groups.Value(group, direct->sums[i]);
    switch (direct->plan.sums[direct->sums[i]].kind) {
      case BatchSumKind::kCount:
        AddCount(set, i, &states[i], value.count);
        break;
      case BatchSumKind::kSum:
        AddNarrowSum(set, i, &states[i], value.count, static_cast<int64>(value.sum));
        break;
      case BatchSumKind::kWideSum:
        AddWideSum(set, i, &states[i], value.count, value.sum);
        break;
      case BatchSumKind::kLeast:
      case BatchSumKind::kGreatest:
        if (value.any)
          AddExtreme(set, i, &states[i], value.count, KeyDatum(value.extreme, program->state_length), value.net);
        break;
    }
  }
}

}  // namespace pgstream
