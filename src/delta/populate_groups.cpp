// The whole content of a stream table, for a populate or a full rebuild.
//
// Groups that keep states are aggregated here, so that each row gets its hidden state: the executor delivers group rows
// (keys and aggregate inputs), a hash table takes them while memory lasts, and otherwise the executor sorts them by the
// keys and groups are finished one after the other. Everything else is the defining query's own result.
//
// Promises: each row is visited once; memory stays within hash_mem or maintenance_work_mem, whichever is more, as long as
// the keys can be sorted. Refuses: to visit in any particular order.
#include "delta/evaluate.hpp"
#include "delta/group_output.hpp"
#include "delta/group_table.hpp"
#include "delta/strategy.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "parser/parse_oper.h"
}

namespace pgstream {
namespace {

constexpr uint64 kRowsPerMemoryCheck = 1024;

struct Population {
  const DeltaPlan *plan;
  BaseRowVisitor visit;
  void *argument;
  MemoryContext groups_context;  // groups and states
  MemoryContext scratch;         // reset for each row
  GroupTable *table;
  AggregateSet *aggregates;
  GroupWriter *writer;
  bool *sorted;  // by key: rows come ordered by it
  int nsorted;
  Group *last;  // the group of the row before; nullptr at the start
  Size limit;
  uint64 rows, visited;
  bool overflowed;
};

// The rows behind the groups: the defining query without its grouping, with keys and inputs as output. Sets sorted[i] for
// the keys it is ordered by when `order` is set.
Query *GroupRowQuery(const DeltaPlan *plan, bool order, bool *sorted, int *nsorted) {
  Query *query = CopyNode(plan->flat);
  query->targetList = GroupRowTargets(plan, true);
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

// Visits the groups collected and forgets them.
void Flush(Population *population) {
  for (uint64 i = 0; i < population->table->capacity; i++) {
    Group *group = population->table->slots[i].group;
    if (group == nullptr) continue;
    CHECK_FOR_INTERRUPTS();
    TupleTableSlot *row = WriteGroupRow(population->writer, group);
    if (row == nullptr) continue;
    population->visit(row, GroupStateBytes(population->writer, group), population->argument);
    population->visited++;
  }
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
      MemoryContextMemAllocated(population->groups_context, true) > population->limit) {
    population->overflowed = true;
  }
}

// One pass over the source. False when the groups did not fit into memory: nothing was visited then.
bool Pass(Population *population, Snapshot snapshot, bool order) {
  Query *query = GroupRowQuery(population->plan, order, population->sorted, &population->nsorted);
  // Keys that cannot be sorted leave no other way than to hold all groups.
  if (order && population->nsorted == 0) population->limit = SIZE_MAX;
  population->overflowed = false;
  population->rows = 0;
  RunQuery(query, snapshot, TakeRow, population);
  if (population->overflowed) {
    MemoryContextReset(population->groups_context);
    ForgetGroups(population->table);
    population->last = nullptr;
    return false;
  }
  if (population->plan->always_one_row && population->rows == 0) GroupOf(population, nullptr, nullptr);
  Flush(population);
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
  population.plan = stream->plan;
  population.visit = visit;
  population.argument = argument;
  population.groups_context = AllocSetContextCreate(context, "pg_stream populate groups", ALLOCSET_DEFAULT_SIZES);
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
