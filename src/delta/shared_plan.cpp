// Laying out a plan in shared memory; see shared_plan.hpp.
#include "delta/shared_plan.hpp"

namespace pgstream {
namespace {

struct Counts {
  int ncolumns, nkeys, nsums;
  int nconditions;      // of the plan
  int nall_conditions;  // and of its sums, which come behind those
};

// The pieces, one behind the other.
struct Pieces {
  Counts *counts;
  DirectColumn *columns;
  int *keys;
  BatchSum *sums;
  BatchCondition *conditions;
  pg_atomic_uint32 *scales;  // of each column
  Size size;
};

template <class T>
T *Next(Pieces *pieces, char *memory, int n) {
  auto *const piece = reinterpret_cast<T *>(memory + pieces->size);
  pieces->size += MAXALIGN(sizeof(T) * static_cast<Size>(n));
  return piece;
}

// memory: nullptr to learn the size.
Pieces PiecesOf(const Counts *counts, char *memory) {
  Pieces pieces = {};
  pieces.counts = Next<Counts>(&pieces, memory, 1);
  pieces.columns = Next<DirectColumn>(&pieces, memory, counts->ncolumns);
  pieces.keys = Next<int>(&pieces, memory, counts->nkeys);
  pieces.sums = Next<BatchSum>(&pieces, memory, counts->nsums);
  pieces.conditions = Next<BatchCondition>(&pieces, memory, counts->nall_conditions);
  pieces.scales = Next<pg_atomic_uint32>(&pieces, memory, counts->ncolumns);
  return pieces;
}

Counts CountsOf(const DirectGroups *direct) {
  const BatchGroupPlan *const plan = &direct->plan;
  Counts counts = {direct->ncolumns, plan->nkeys, plan->nsums, plan->nconditions, plan->nconditions};
  for (int i = 0; i < plan->nsums; i++) counts.nall_conditions += plan->sums[i].nconditions;
  return counts;
}

template <class T>
T *Copy(T *to, const T *from, int n) {
  if (n > 0) memcpy(to, from, sizeof(T) * static_cast<Size>(n));
  return to + n;
}

}  // namespace

Size SharedPlanSize(const DirectGroups *direct) {
  const Counts counts = CountsOf(direct);
  return PiecesOf(&counts, nullptr).size;
}

void WriteSharedPlan(DirectGroups *direct, char *memory) {
  const Counts counts = CountsOf(direct);
  const BatchGroupPlan *const plan = &direct->plan;
  const Pieces pieces = PiecesOf(&counts, memory);
  *pieces.counts = counts;
  Copy(pieces.columns, direct->columns, counts.ncolumns);
  Copy(pieces.keys, plan->keys, counts.nkeys);
  Copy(pieces.sums, plan->sums, counts.nsums);
  BatchCondition *conditions = Copy(pieces.conditions, plan->conditions, plan->nconditions);
  for (int i = 0; i < plan->nsums; i++) conditions = Copy(conditions, plan->sums[i].conditions, plan->sums[i].nconditions);
  for (int i = 0; i < counts.ncolumns; i++) {
    pg_atomic_init_u32(&pieces.scales[i], 0);
    direct->columns[i].agreed = &pieces.scales[i];
  }
}

void ReadSharedPlan(char *memory, DirectPlan *plan) {
  const auto *const counts = reinterpret_cast<const Counts *>(memory);
  const Pieces pieces = PiecesOf(counts, memory);
  *plan = {};
  plan->ncolumns = counts->ncolumns;
  plan->columns = static_cast<DirectColumn *>(palloc(sizeof(DirectColumn) * static_cast<Size>(counts->ncolumns + 1)));
  Copy(plan->columns, pieces.columns, counts->ncolumns);
  for (int i = 0; i < counts->ncolumns; i++) {
    plan->columns[i].ids = nullptr;
    plan->columns[i].agreed = &pieces.scales[i];
  }
  auto *const sums = static_cast<BatchSum *>(palloc(sizeof(BatchSum) * static_cast<Size>(counts->nsums + 1)));
  Copy(sums, pieces.sums, counts->nsums);
  const BatchCondition *conditions = pieces.conditions + counts->nconditions;
  for (int i = 0; i < counts->nsums; i++) {
    sums[i].conditions = conditions;
    conditions += sums[i].nconditions;
  }
  plan->batch = {counts->nkeys, pieces.keys, counts->nconditions, pieces.conditions, counts->nsums, sums};
}

void TakeAgreedScales(DirectGroups *direct) {
  for (int i = 0; i < direct->ncolumns; i++) {
    DirectColumn *const column = &direct->columns[i];
    if (column->agreed == nullptr) continue;
    column->scale = static_cast<int>(pg_atomic_read_u32(column->agreed)) - 1;
    column->agreed = nullptr;
  }
}

}  // namespace pgstream
