// The whole content of a stream table, for a populate or a full rebuild.
//
// Groups that keep states are aggregated here, so that each row gets its hidden state. Where that can be done, the source's pages are
// summed column by column (delta/populate_pages.hpp). Else, and for rows left by that, group rows (keys and aggregate inputs)
// go into a hash table while memory lasts, and otherwise the executor sorts them by the keys and groups are finished one after
// the other. Everything else is the defining query's own result.
//
// Promises: each row is visited once; memory stays within hash_mem or maintenance_work_mem, whichever is more, as long as
// the keys can be sorted. Refuses: to visit in any particular order.
#include "delta/evaluate.hpp"
#include "delta/group_output.hpp"
#include "delta/group_table.hpp"
#include "delta/populate_pages.hpp"
#include "delta/strategy.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "parser/parse_oper.h"
}

namespace pgstream {
namespace {

constexpr uint64 kRowsPerMemoryCheck = 1024;
constexpr uint32 kGroupsPerReset = 64;

struct Population {
  const Stream *stream;
  const DeltaPlan *plan;
  BaseRowVisitor visit;
  void *argument;
  MemoryContext groups_context;  // groups and states
  MemoryContext sums_context;    // what was summed column by column
  MemoryContext scratch;         // reset for each row
  GroupTable *table;
  AggregateSet *aggregates;
  GroupWriter *writer;
  bool *sorted;  // by key: rows come ordered by it
  int nsorted;
  Group *last;  // the group of the row before; nullptr at the start
  Size limit;
  uint64 rows, visited;
  int workers;  // parallel ones that took part
  bool overflowed;
};

// The rows behind the groups: the defining query without its grouping, with keys and inputs as output. Sets sorted[i] for
// the keys it is ordered by when `order` is set.
Query *GroupRowQuery(const DeltaPlan *plan, bool order, bool *sorted, int *nsorted) {
  Query *query = CopyNode(plan->flat);
  query->targetList = CopyNode(GroupRowTargets(plan, true));  // Vars are renumbered: not the plan's own
  const int varno = SingleFromEntry(query);
  if (varno != 1) ChangeVarNodes(reinterpret_cast<Node *>(query->targetList), 1, varno, 0);
  query->groupClause = query->distinctClause = query->sortClause = query->groupingSets = NIL;
  query->havingQual = nullptr;
  query->hasAggs = query->groupDistinct = false;
  *nsorted = 0;
  for (int i = 0; order && i < plan->nkeys; i++) {
    auto *target = static_cast<TargetEntry *>(list_nth(query->targetList, i));
    Oid less, equality;
    bool hashable;
    get_sort_group_operators(exprType(reinterpret_cast<Node *>(target->expr)), false, false, false, &less, &equality,
                             nullptr, &hashable);
    sorted[i] = OidIsValid(less) && equality == plan->keys[i].equality_operator;
    if (!sorted[i]) continue;
    SortGroupClause *clause = makeNode(SortGroupClause);
    clause->tleSortGroupRef = target->ressortgroupref = static_cast<Index>(i + 1);
    clause->eqop = equality;
    clause->sortop = less;
    clause->hashable = hashable;
    query->sortClause = lappend(query->sortClause, clause);
    (*nsorted)++;
  }
  return query;
}

void VisitGroup(Population *population, Group *group) {
  CHECK_FOR_INTERRUPTS();
  TupleTableSlot *row = WriteGroupRow(population->writer, group);
  if (row == nullptr) return;
  population->visit(row, GroupStateBytes(population->writer, group), population->argument);
  population->visited++;
}

// Visits the groups collected and forgets them.
void Flush(Population *population) {
  for (uint64 i = 0; i < population->table->capacity; i++)
    if (Group *group = population->table->slots[i].group) VisitGroup(population, group);
  MemoryContextReset(population->groups_context);
  ForgetGroups(population->table);
  population->last = nullptr;
}

// True when the row's sorted keys are those of the row before.
bool SamePrefix(const Population *population, const Datum *keys, const bool *nulls) {
  const GroupTable *table = population->table;
  const Group *last = population->last;
  for (int i = 0; i < table->nkeys; i++) {
    if (!population->sorted[i]) continue;
    if (last->nulls[i] != nulls[i]) return false;
    if (!nulls[i] && !DatumGetBool(FunctionCall2Coll(const_cast<FmgrInfo *>(&table->equality[i]), table->collations[i],
                                                     last->keys[i], keys[i]))) {
      return false;
    }
  }
  return true;
}

Group *GroupOf(Population *population, const Datum *keys, const bool *nulls) {
  if (population->last != nullptr && population->nsorted > 0) {
    if (!SamePrefix(population, keys, nulls)) {
      Flush(population);
    } else if (population->nsorted == population->plan->nkeys) {
      return population->last;
    }
  }
  bool created;
  Group *group = FindGroup(population->table, keys, nulls, &created);
  if (created) {
    group->state = GroupState::Running;
    InitializeStates(population->aggregates, group->states);
  }
  population->last = group;
  return group;
}

void TakeRow(TupleTableSlot *slot, void *argument) {
  auto *population = static_cast<Population *>(argument);
  if (population->overflowed) return;
  slot_getallattrs(slot);
  const MemoryContext old = MemoryContextSwitchTo(population->scratch);
  const int nkeys = population->plan->nkeys;
  Group *group = GroupOf(population, slot->tts_values, slot->tts_isnull);
  group->rows++;
  AdvanceStates(population->aggregates, group->states, slot->tts_values + nkeys, slot->tts_isnull + nkeys, 0);
  AdvanceWithoutInputs(population->aggregates, group->states, 1);
  MemoryContextReset(population->aggregates->temporary);
  MemoryContextSwitchTo(old);
  MemoryContextReset(population->scratch);
  if (++population->rows % kRowsPerMemoryCheck == 0 && population->nsorted == 0 &&
      MemoryContextMemAllocated(population->groups_context, true) + MemoryContextMemAllocated(population->sums_context, true) >
          population->limit) {
    population->overflowed = true;
  }
}

// Adds what was summed of a group to its states.
void AddSums(Population *population, const DirectGroups *sums, uint32 number, Group *group) {
  const int64 rows = sums->groups.Net(number);
  group->rows += rows;
  ApplyDirectly(sums, number, population->aggregates, group->states);
  AdvanceWithoutInputs(population->aggregates, group->states, rows);
  // Nothing was taken back.
  if (AnyDoubtful(population->aggregates, group->states)) elog(ERROR, "the sums of a group cannot be added to its states");
}

// Visits all groups: those collected, with what was summed of them, and those that were only summed.
void FlushSums(Population *population, const DirectGroups *sums) {
  const uint32 count = sums->groups.count();
  const int nkeys = population->plan->nkeys;
  Group alone = {};
  alone.keys = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<Size>(nkeys + 1)));
  alone.nulls = static_cast<bool *>(palloc(sizeof(bool) * static_cast<Size>(nkeys + 1)));
  alone.states = static_cast<AggregateState *>(palloc(sizeof(AggregateState) * static_cast<Size>(population->aggregates->naggregates + 1)));
  auto *const visited = static_cast<bool *>(MemoryContextAllocExtended(CurrentMemoryContext, count + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
  for (uint32 i = 0; population->table->count > 0 && i < count; i++) {
    CHECK_FOR_INTERRUPTS();
    const MemoryContext old = MemoryContextSwitchTo(population->scratch);
    DirectKeys(sums, i, alone.keys, alone.nulls);
    if (Group *group = FindGroup(population->table, alone.keys, alone.nulls, nullptr)) {
      AddSums(population, sums, i, group);
      visited[i] = true;
    }
    MemoryContextReset(population->aggregates->temporary);
    MemoryContextSwitchTo(old);
    MemoryContextReset(population->scratch);
  }
  Flush(population);
  for (uint32 i = 0, alive = 0; i < count; i++) {
    if (visited[i]) continue;
    const MemoryContext old = MemoryContextSwitchTo(population->scratch);
    DirectKeys(sums, i, alone.keys, alone.nulls);
    alone.rows = 0;
    InitializeStates(population->aggregates, alone.states);
    AddSums(population, sums, i, &alone);
    MemoryContextSwitchTo(old);
    VisitGroup(population, &alone);
    MemoryContextReset(population->scratch);
    if (++alive % kGroupsPerReset == 0) MemoryContextReset(population->groups_context);
  }
  MemoryContextReset(population->groups_context);
  ForgetGroups(population->table);
}

// How it was done, for who asks the server to be that talkative.
void Report(const Population *population, const DirectGroups *sums) {
  if (sums != nullptr)
    ereport(DEBUG1, (errmsg_internal("rows of source summed column by column: " INT64_FORMAT ", one by one: " UINT64_FORMAT "%s",
                                     sums->rows, population->rows,
                                     population->workers > 0 ? psprintf(", parallel workers: %d", population->workers) : "")));
  else
    ereport(DEBUG1, (errmsg_internal("rows of source aggregated one by one%s: " UINT64_FORMAT,
                                     population->nsorted > 0 ? ", sorted" : "", population->rows)));
}

// One pass over the source. False when the groups did not fit into memory: nothing was visited then.
bool Pass(Population *population, Snapshot snapshot, bool order) {
  Query *query = GroupRowQuery(population->plan, order, population->sorted, &population->nsorted);
  // Keys that cannot be sorted leave no other way than to hold all groups.
  if (order && population->nsorted == 0) population->limit = SIZE_MAX;
  population->overflowed = false;
  population->rows = 0;
  PlannedStmt *const run = PlanForRun(query, snapshot);
  const DirectGroups *sums = nullptr;
  if (!order) {
    const MemoryContext old = MemoryContextSwitchTo(population->sums_context);
    sums = SumPages(population->stream, run, snapshot, population->limit / 2, TakeRow, population, &population->overflowed,
                    &population->workers);
    MemoryContextSwitchTo(old);
  }
  if (sums == nullptr) RunPlan(run, snapshot, nullptr, TakeRow, population);
  if (population->overflowed) {
    MemoryContextReset(population->groups_context);
    MemoryContextReset(population->sums_context);
    ForgetGroups(population->table);
    population->last = nullptr;
    return false;
  }
  const bool none = population->table->count == 0 && (sums == nullptr || sums->groups.count() == 0);
  if (population->plan->always_one_row && none) GroupOf(population, nullptr, nullptr);
  if (sums != nullptr)
    FlushSums(population, sums);
  else
    Flush(population);
  Report(population, sums);
  return true;
}

struct PlainVisit {
  BaseRowVisitor visit;
  void *argument;
};

void VisitPlainRow(TupleTableSlot *slot, void *argument) {
  const auto *plain = static_cast<PlainVisit *>(argument);
  plain->visit(slot, nullptr, plain->argument);
}

}  // namespace

uint64 ComputeContent(Relation rel, const Stream *stream, Snapshot snapshot, BaseRowVisitor visit, void *argument) {
  if (stream->plan->strategy == Strategy::Groups && GroupsKeepState(stream->plan)) {
    return ComputeGroups(rel, stream, snapshot, visit, argument);
  }
  PlainVisit plain = {visit, argument};
  return RunQuery(stream->plan->query, snapshot, VisitPlainRow, &plain);
}

uint64 ComputeGroups(Relation rel, const Stream *stream, Snapshot snapshot, BaseRowVisitor visit, void *argument) {
  const MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream populate", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(context);
  Population population = {};
  population.stream = stream;
  population.plan = stream->plan;
  population.visit = visit;
  population.argument = argument;
  population.groups_context = AllocSetContextCreate(context, "pg_stream populate groups", ALLOCSET_DEFAULT_SIZES);
  population.sums_context = AllocSetContextCreate(context, "pg_stream populate sums", ALLOCSET_DEFAULT_SIZES);
  population.scratch = AllocSetContextCreate(context, "pg_stream populate row", ALLOCSET_DEFAULT_SIZES);
  population.table = NewGroupTable(stream->plan, population.groups_context);
  population.aggregates = PrepareAggregates(stream->plan, population.groups_context);
  population.writer = NewGroupWriter(rel, stream->plan, population.aggregates);
  population.sorted = static_cast<bool *>(palloc0(sizeof(bool) * (stream->plan->nkeys + 1)));
  population.limit = DeltaMemoryLimit(true);
  if (!Pass(&population, snapshot, false)) Pass(&population, snapshot, true);
  MemoryContextSwitchTo(old);
  MemoryContextDelete(context);
  return population.visited;
}

}  // namespace pgstream
