// Which plans are grouped directly, and the way from sums to aggregate states; see direct_groups.hpp.
#include "delta/direct_groups.hpp"

#include "delta/aggregate_sums.hpp"
#include "pg/lowered_functions.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "common/pg_prng.h"
#include "nodes/makefuncs.h"
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

void *Allocate(void *context, size_t size) { return MemoryContextAllocHuge(static_cast<MemoryContext>(context), size); }
void Release(void *, void *memory) { pfree(memory); }

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

// The bytes of a string as a value of the key's type.
Datum BytesDatum(const DirectColumn *column, int64 id) {
  uint32 size;
  const uint8 *const bytes = column->ids->Bytes(id, &size);
  const Size header = column->length == -1 ? VARHDRSZ : 0;
  char *const value = static_cast<char *>(palloc(header + size));
  if (header > 0) SET_VARSIZE(value, header + size);
  if (size > 0) memcpy(value + header, bytes, size);
  return PointerGetDatum(value);
}

// --- Numerics as they are stored ---------------------------------------------------------------------------------------

constexpr int kMostDigitGroups = 4;

// The scale a stored numeric is shown with; -1: it is no number.
int StoredScale(const uint8 *data, uint32 size) {
  uint16 header;
  if (size < sizeof(header)) return -1;
  memcpy(&header, data, sizeof(header));
  if ((header & 0xC000) == 0xC000) return -1;
  return (header & 0x8000) != 0 ? (header & 0x1F80) >> 7 : header & 0x3FFF;
}

// A stored numeric of this scale without its point: digits of base 10,000, the first of weight 10,000^weight. False when it is too
// large, or of another scale.
bool StoredInteger(const uint8 *data, uint32 size, int scale, int64 *value) {
  if (StoredScale(data, size) != scale) return false;
  uint16 header;
  memcpy(&header, data, sizeof(header));
  const bool is_short = (header & 0x8000) != 0;
  int weight;
  uint32 at = sizeof(header);
  if (is_short) {
    weight = (header & 0x3F) - ((header & 0x40) != 0 ? 0x40 : 0);
  } else {
    int16 stored;
    if (size < at + sizeof(stored)) return false;
    memcpy(&stored, data + at, sizeof(stored));
    weight = stored;
    at += sizeof(stored);
  }
  const bool negative = is_short ? (header & 0x2000) != 0 : (header & 0xC000) == 0x4000;
  const int fraction = (scale + 3) / 4;  // digits behind the point
  const int ndigits = static_cast<int>((size - at) / sizeof(int16));
  if ((size - at) % sizeof(int16) != 0 || ndigits - 1 - weight > fraction || fraction > kMostDigitGroups) return false;
  if (ndigits > 0 && weight + 1 + fraction > kMostDigitGroups) return false;
  int64 number = 0;
  for (int i = 0; i < ndigits; i++, at += sizeof(int16)) {
    int16 digit;
    memcpy(&digit, data + at, sizeof(digit));
    number = number * 10000 + digit;
  }
  if (ndigits > 0)
    for (int i = ndigits; i < weight + 1 + fraction; i++) number *= 10000;
  for (int i = scale; i < fraction * 4; i++) {
    if (number % 10 != 0) return false;
    number /= 10;
  }
  *value = negative ? -number : number;
  return true;
}

// --- The rows of a record ------------------------------------------------------------------------------------------------

void MakeRoom(DirectGroups *direct, uint32 nrows) {
  if (nrows <= direct->room) return;
  const auto columns = static_cast<Size>(direct->ncolumns);
  if (direct->room > 0) pfree(direct->values);
  direct->room = 0;
  const Size room = TYPEALIGN(64, nrows);
  auto *memory = static_cast<char *>(
      MemoryContextAllocHuge(direct->context, room * (columns * sizeof(int64) + sizeof(uint8 *) + sizeof(uint32) + 3) + room / 8 * columns));
  direct->values = reinterpret_cast<int64 *>(memory);
  memory += room * columns * sizeof(int64);
  direct->places = reinterpret_cast<const uint8 **>(memory);
  memory += room * sizeof(uint8 *);
  direct->sizes = reinterpret_cast<uint32 *>(memory);
  memory += room * sizeof(uint32);
  direct->weights = reinterpret_cast<int8 *>(memory);
  direct->left = reinterpret_cast<uint8 *>(memory + room);
  direct->marked = direct->left + room;
  direct->nulls = direct->marked + room;
  direct->room = static_cast<uint32>(room);
}

// The values of a column that lies byte by byte. Rows whose value cannot be had are marked.
void TakeStored(DirectGroups *direct, DirectColumn *column, const BatchDecoder *record, int position, int64 *values) {
  if (!record->Places(position, direct->places, direct->sizes)) {
    memset(direct->left, 1, record->nrows());
    return;
  }
  const uint8 *const nulls = record->Nulls(position);
  for (uint32 row = 0; row < record->nrows(); row++) {
    if (nulls != nullptr && (nulls[row / 8] >> (row % 8) & 1) != 0) continue;
    const uint8 *const data = direct->places[row];
    const uint32 size = direct->sizes[row];
    if (column->kind == DirectKind::Bytes) {
      values[row] = column->ids->IdOf(data, size);
      if (values[row] < 0) direct->left[row] = 1;
    } else {
      if (column->scale < 0) column->scale = StoredScale(data, size);
      if (column->scale < 0 || !StoredInteger(data, size, column->scale, &values[row])) {
        values[row] = 0;
        direct->left[row] = 1;
      }
    }
  }
}

// A computed column. It is NULL where an operand is; where it is not and there is no result, the row is marked.
void Compute(DirectGroups *direct, int number, uint32 nrows, int64 *values) {
  const DirectColumn *const column = &direct->columns[number];
  const BatchColumnValues a = direct->given[column->a], b = direct->given[column->b];
  BatchColumnValues *const given = &direct->given[number];
  *given = {values, a.nulls != nullptr ? a.nulls : b.nulls, a.all_null || b.all_null};
  if (given->all_null) return;
  if (a.nulls != nullptr && b.nulls != nullptr && a.nulls != b.nulls) {
    uint8 *const nulls = direct->nulls + static_cast<Size>(number) * (direct->room / 8);
    for (uint32 i = 0; i < (nrows + 7) / 8; i++) nulls[i] = a.nulls[i] | b.nulls[i];
    given->nulls = nulls;
  }
  BatchArithmetic(column->operation, column->type, nrows, a.values, b.values, values, direct->marked);
  const uint8 *const nulls = given->nulls;
  for (uint32 row = 0; row < nrows; row++) {
    const bool isnull = nulls != nullptr && (nulls[row / 8] >> (row % 8) & 1) != 0;
    direct->left[row] |= static_cast<uint8>(direct->marked[row] != 0 && !isnull);
  }
}

}  // namespace

DirectGroups *NewDirectGroups(const DeltaPlan *plan, const RowExpressions *row, MemoryContext context, Size limit) {
  if (plan->nkeys > kMostBatchKeys) return nullptr;
  auto *const direct = static_cast<DirectGroups *>(palloc0(sizeof(DirectGroups)));
  Making making = {row, Array<DirectColumn>(kMostColumns), 0};
  auto *const keys = Array<int>(plan->nkeys);
  auto *const sums = Array<BatchSum>(plan->naggregates);
  direct->sums = Array<int>(plan->naggregates);
  BatchGroupPlan *const batch = &direct->plan;
  for (int i = 0; i < plan->nkeys; i++) {
    const Node *const key = AsNode(list_nth_node(TargetEntry, row->targets, i)->expr);
    if (!plan->keys[i].equal_image) return nullptr;
    keys[i] = IntegersOf(&making, key);
    if (keys[i] < 0) keys[i] = ColumnOf(&making, key, DirectKind::Bytes);
    if (keys[i] < 0) return nullptr;
  }
  if (!ConditionsOf(&making, row->quals, &batch->nconditions, &batch->conditions)) return nullptr;
  for (int i = 0; i < plan->naggregates; i++) {
    bool counts_rows;
    if (!SumOf(&making, plan->aggregates[i].aggref, &sums[batch->nsums], &counts_rows)) return nullptr;
    direct->sums[i] = counts_rows ? -1 : batch->nsums++;
  }
  const MaskAllocator allocator = {Allocate, Release, context};
  const uint64 seed = pg_prng_uint64(&pg_global_prng_state);
  for (int i = 0; i < making.ncolumns; i++) {
    if (making.columns[i].kind != DirectKind::Bytes) continue;
    making.columns[i].ids = Array<StringIds>(1);
    making.columns[i].ids->Init(allocator, limit / 2, seed);
  }
  batch->nkeys = plan->nkeys;
  batch->keys = keys;
  batch->sums = sums;
  direct->ncolumns = making.ncolumns;
  direct->columns = making.columns;
  direct->given = Array<BatchColumnValues>(making.ncolumns);
  direct->context = context;
  const Size group = sizeof(int64) * static_cast<Size>(plan->nkeys + 1 + 4 * batch->nsums) + 2 * sizeof(uint32);
  const uint32 groups = static_cast<uint32>(Min(Max(limit / group / 2, kLeastGroups), kMostGroups));
  direct->groups.Init(batch, allocator, groups, seed);
  return direct;
}

const uint8 *TakeDirectly(DirectGroups *direct, const BatchDecoder *record, const int *positions) {
  const uint32 nrows = record->nrows();
  if (nrows == 0) return nullptr;
  MakeRoom(direct, nrows);
  memset(direct->left, 0, nrows);
  for (int i = 0; i < direct->ncolumns; i++) {
    DirectColumn *const column = &direct->columns[i];
    int64 *const values = direct->values + static_cast<Size>(i) * direct->room;
    if (column->kind == DirectKind::Constant) {
      direct->given[i] = {values, nullptr, false};
      for (uint32 row = 0; row < nrows; row++) values[row] = column->constant;
      continue;
    }
    if (column->kind == DirectKind::Computed) {
      Compute(direct, i, nrows, values);
      continue;
    }
    const int position = positions[column->used];
    direct->given[i] = {values, record->Nulls(position), record->AllNull(position)};
    if (direct->given[i].all_null || column->kind == DirectKind::Nulls) continue;
    if (column->kind == DirectKind::Integer)
      record->Integers(position, column->is_unsigned, values);
    else
      TakeStored(direct, column, record, position, values);
  }
  record->Weights(direct->weights);
  const uint32 left = direct->groups.Add(nrows, direct->given, direct->weights, direct->left);
  direct->rows += nrows - left;
  return left > 0 ? direct->left : nullptr;
}

void ForgetDirectGroups(DirectGroups *direct) {
  direct->groups.Forget();
  direct->room = 0;
  for (int i = 0; i < direct->ncolumns; i++) {
    direct->columns[i].scale = -1;
    if (direct->columns[i].ids != nullptr) direct->columns[i].ids->Forget();
  }
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
    const DirectColumn *const column = &direct->columns[direct->plan.keys[i]];
    values[i] = column->kind == DirectKind::Bytes ? BytesDatum(column, keys[i]) : KeyDatum(keys[i], column->length);
    nulls[i] = false;
  }
}

void ApplyDirectly(const DirectGroups *direct, uint32 group, const AggregateSet *set, AggregateState *states) {
  for (int i = 0; i < set->naggregates; i++) {
    const AggregateProgram *const program = &set->programs[i];
    if (states[i].doubtful || (program->nargs == 0 && !program->filtered)) continue;
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
        AddWideSum(set, i, &states[i], value.count, value.sum, direct->columns[direct->plan.sums[direct->sums[i]].column].scale);
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
