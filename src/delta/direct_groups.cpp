// Gathering by group, and the way from sums to aggregate states; see direct_groups.hpp.
#include "delta/direct_groups.hpp"

#include "delta/aggregate_sums.hpp"

extern "C" {
#include "common/pg_prng.h"
}

namespace pgstream {
namespace {

constexpr uint32 kLeastGroups = 64;
constexpr uint32 kMostGroups = 4 * 1024 * 1024;

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

}  // namespace

DirectGroups *NewDirectGroups(const DeltaPlan *plan, const RowExpressions *row, MemoryContext context, Size limit) {
  DirectPlan made;
  return PlanDirectly(plan, row, &made) ? NewDirectGroupsOf(&made, context, limit) : nullptr;
}

DirectGroups *NewDirectGroupsOf(const DirectPlan *made, MemoryContext context, Size limit) {
  auto *const direct = static_cast<DirectGroups *>(palloc0(sizeof(DirectGroups)));
  const MaskAllocator allocator = {Allocate, Release, context};
  const uint64 seed = pg_prng_uint64(&pg_global_prng_state);
  for (int i = 0; i < made->ncolumns; i++) {
    if (made->columns[i].kind != DirectKind::Bytes) continue;
    made->columns[i].ids = static_cast<StringIds *>(palloc0(sizeof(StringIds)));
    made->columns[i].ids->Init(allocator, limit / 2, seed);
  }
  direct->plan = made->batch;
  direct->ncolumns = made->ncolumns;
  direct->columns = made->columns;
  direct->sums = made->sums;
  direct->given = static_cast<BatchColumnValues *>(palloc0(sizeof(BatchColumnValues) * static_cast<Size>(made->ncolumns + 1)));
  direct->context = context;
  const Size group = sizeof(int64) * static_cast<Size>(made->batch.nkeys + 1 + 4 * made->batch.nsums) + 2 * sizeof(uint32);
  const uint32 groups = static_cast<uint32>(Min(Max(limit / group / 2, kLeastGroups), kMostGroups));
  direct->groups.Init(&direct->plan, allocator, groups, seed);
  return direct;
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
