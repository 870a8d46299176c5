// Groups into the overlay: by their states, or evaluated by key where these cannot tell.
//
// Promises: a group's base row is masked when the group is put, and its row, if it has one, is its one addition. Refuses:
// by key, what recomputing does more cheaply, and to change additions that were spilled.
#include "delta/choice.hpp"
#include "delta/groups_delta.hpp"
#include "delta/keyed.hpp"

namespace pgstream {
namespace {

void MaskBase(GroupsDelta *delta, Group *group) {
  if (!group->has_base || group->masked) return;
  delta->overlay->mask.Insert(ItemPointerGetBlockNumber(&group->base_tid),
                              ItemPointerGetOffsetNumber(&group->base_tid));
  group->masked = true;
}

// Makes tuple (nullptr: none) the group's addition.
const char *SetAddition(GroupsDelta *delta, Group *group, MinimalTuple tuple) {
  Additions *additions = &delta->overlay->additions;
  if (group->ordinal < 0) {
    if (tuple != nullptr) group->ordinal = AdditionsAppend(additions, tuple);
    return nullptr;
  }
  if (!AdditionsInMemory(additions)) return "the additions to be changed were spilled to disk";
  AdditionsReplace(additions, group->ordinal, tuple);
  return nullptr;
}

KeySet KeysOf(const GroupsDelta *delta, const List *groups) {
  const int nkeys = delta->plan->nkeys;
  const int64 count = list_length(groups);
  auto *values = static_cast<Datum *>(palloc_extended(sizeof(Datum) * Max(count * nkeys, 1), MCXT_ALLOC_HUGE));
  auto *nulls = static_cast<bool *>(palloc_extended(sizeof(bool) * Max(count * nkeys, 1), MCXT_ALLOC_HUGE));
  int64 at = 0;
  ListCell *cell;
  foreach (cell, groups) {
    const Group *group = static_cast<Group *>(lfirst(cell));
    for (int i = 0; i < nkeys; i++, at++) {
      values[at] = group->keys[i];
      nulls[at] = group->nulls[i];
    }
  }
  return KeySet{nkeys, count, values, nulls};
}

Group *FindKeyed(GroupsDelta *delta, const Datum *keys, const bool *nulls) {
  Group *group = FindGroup(delta->table, keys, nulls, nullptr);
  if (group == nullptr || group->state != GroupState::Stateless)
    elog(ERROR, "keyed evaluation returned an unexpected group");
  return group;
}

// A source row of a group that is evaluated from its rows.
void TakeKeyedRow(TupleTableSlot *slot, void *argument) {
  auto *delta = static_cast<GroupsDelta *>(argument);
  const TupleTableSlot *row = ReadGroupRow(delta->reader, slot);
  const MemoryContext old = MemoryContextSwitchTo(delta->reader->econtext->ecxt_per_tuple_memory);
  Group *group = FindKeyed(delta, row->tts_values, row->tts_isnull);
  const int nkeys = delta->plan->nkeys;
  if (group->rows++ == 0 && !delta->keys_are_images) ReplaceKeys(delta->table, group, row->tts_values);
  AdvanceStates(delta->aggregates, group->states, row->tts_values + nkeys, row->tts_isnull + nkeys, 0);
  AdvanceWithoutInputs(delta->aggregates, group->states, 1);
  MemoryContextReset(delta->aggregates->temporary);
  MemoryContextSwitchTo(old);
}

// Evaluates groups from their rows under the snapshot, which has all changes in it.
const char *EvaluateRows(GroupsDelta *delta, const List *groups, KeyedRun *run, Snapshot snapshot) {
  ListCell *cell;
  foreach (cell, groups) {
    Group *group = static_cast<Group *>(lfirst(cell));
    InitializeStates(delta->aggregates, group->states);
    group->rows = 0;
  }
  RunKeyed(run, snapshot, TakeKeyedRow, delta);
  foreach (cell, groups) {
    Group *group = static_cast<Group *>(lfirst(cell));
    group->state = GroupState::Running;
    if (const char *why = PutGroup(delta, group)) return why;
  }
  return nullptr;
}

// A row of the defining query, for a group that has no states.
void TakeResultRow(TupleTableSlot *slot, void *argument) {
  auto *delta = static_cast<GroupsDelta *>(argument);
  if (delta->failure != nullptr) return;
  const DeltaPlan *plan = delta->plan;
  ResetExprContext(delta->reader->econtext);
  const MemoryContext old = MemoryContextSwitchTo(delta->reader->econtext->ecxt_per_tuple_memory);
  slot_getallattrs(slot);
  auto *keys = static_cast<Datum *>(palloc(sizeof(Datum) * (plan->nkeys + 1)));
  auto *nulls = static_cast<bool *>(palloc(sizeof(bool) * (plan->nkeys + 1)));
  for (int i = 0; i < plan->nkeys; i++) {
    const int column = plan->keys[i].output_column - 1;
    keys[i] = slot->tts_values[column];
    nulls[i] = slot->tts_isnull[column];
  }
  Group *group = FindKeyed(delta, keys, nulls);
  delta->failure = SetAddition(delta, group, ResultTuple(delta->writer, slot, group, delta->for_fold));
  MemoryContextSwitchTo(old);
}

// Lets the query answer for groups that have no states.
const char *EvaluateQuery(GroupsDelta *delta, const List *groups, KeyedRun *run, Snapshot snapshot) {
  ListCell *cell;
  foreach (cell, groups) {
    Group *group = static_cast<Group *>(lfirst(cell));
    MaskBase(delta, group);
    if (group->ordinal < 0) continue;
    if (const char *why = SetAddition(delta, group, nullptr)) return why;
  }
  RunKeyed(run, snapshot, TakeResultRow, delta);
  return delta->failure;
}

}  // namespace

const char *PutGroup(GroupsDelta *delta, Group *group) {
  const bool exists = group->rows > 0 || delta->plan->always_one_row;
  TupleTableSlot *row = exists ? WriteGroupRow(delta->writer, group) : nullptr;
  MaskBase(delta, group);
  group->touched = false;
  return SetAddition(delta, group, row == nullptr ? nullptr : GroupTuple(delta->writer, row, group, delta->for_fold));
}

const char *PutKeyedGroups(GroupsDelta *delta, const List *groups, Snapshot snapshot) {
  const KeySet keys = KeysOf(delta, groups);
  KeyedRun *run = delta->keeps_state ? PlanKeyedSourceRows(delta->stream, &keys, snapshot)
                                     : PlanKeyedQuery(delta->stream, &keys, snapshot);
  // Without keys there is one group, and either way is the whole query.
  const double cost = keys.nkeys == 0 ? 0 : KeyedRunCost(run);
  if (const char *why = WhyNotByKey(delta->overlay, delta->stream, snapshot, keys.count, cost)) return why;
  return delta->keeps_state ? EvaluateRows(delta, groups, run, snapshot) : EvaluateQuery(delta, groups, run, snapshot);
}

}  // namespace pgstream
