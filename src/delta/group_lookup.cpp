// Finding groups in the base, all that are asked for at once.
//
// Promises: a group whose base row has a usable state is Running from it; a group without a base row starts from nothing
// where that is what its absence means (no HAVING); in a fold a group is put as its base row comes by, while its state is at hand.
// Refuses: to look up a group twice.
#include "delta/groups_delta.hpp"

namespace pgstream {
namespace {

constexpr uint64 kGroupsPerMemoryCheck = 256;

struct Search {
  GroupsDelta *delta;
  bool put;              // groups are put as they are found
  Group *const *groups;  // those looked for, by number of the lookup, or nullptr: any that is Unknown
  Datum *keys;
  bool *nulls;
  int64 missing;  // of those looked for
  uint64 found;
};

// A base row becomes the base row of its group, its hidden state, if it has one, the group's.
void TakeBaseRow(GroupsDelta *delta, Group *group, const BaseRow *row) {
  group->state = GroupState::Stateless;
  group->has_base = true;
  group->base_tid = row->slot->tts_tid;
  if (!delta->keeps_state) return;
  const bytea *state = HiddenStateOf(row);
  if (state != nullptr && DeserializeStates(delta->aggregates, state, &group->rows, group->states)) {
    group->state = GroupState::Running;
  }
  MemoryContextReset(delta->aggregates->temporary);
}

// The same, and the group goes into the overlay at once. Its states pass: they take no memory but while it is done.
void PutBaseRow(GroupsDelta *delta, Group *group, const BaseRow *row) {
  const MemoryContext kept = KeepStatesIn(delta->aggregates, delta->passing);
  TakeBaseRow(delta, group, row);
  if (group->state == GroupState::Running) {
    delta->failure = PutRunning(delta, group);
    if (group->state == GroupState::Running) group->state = GroupState::Put;
  }
  KeepStatesIn(delta->aggregates, kept);
  MemoryContextReset(delta->passing);
}

void ReadKeys(Search *search, const BaseRow *row) {
  const DeltaPlan *const plan = search->delta->plan;
  for (int i = 0; i < plan->nkeys; i++)
    search->keys[i] = slot_getattr(row->slot, plan->keys[i].output_column, &search->nulls[i]);
}

void PrepareBaseRow(BaseRow *row, int step, void *argument) {
  auto *search = static_cast<Search *>(argument);
  const GroupsDelta *const delta = search->delta;
  if (step == 0) {
    ReadKeys(search, row);
    row->hash = HashGroupKeys(delta->table, search->keys, search->nulls);
  }
  if (step < 2) {
    PrefetchGroup(delta->table, row->hash, step);
  } else if (const Group *const group = GroupInPlace(delta->table, row->hash); group != nullptr) {
    PrefetchChanges(delta, group);
  }
}

void PrepareLookup(int64 which, int step, void *argument) {
  auto *search = static_cast<Search *>(argument);
  if (step == 0)
    PrefetchGroup(search->delta->table, search->groups[which]);
  else
    PrefetchChanges(search->delta, search->groups[which]);
}

// Compares a base row with the group or groups looked for.
bool MatchBaseRow(const BaseRow *row, int64 which, void *argument) {
  auto *search = static_cast<Search *>(argument);
  GroupsDelta *delta = search->delta;
  if (delta->overflowed || delta->failure != nullptr) return false;
  Group *group = search->groups == nullptr ? nullptr : search->groups[which];
  if (group != nullptr && group->state != GroupState::Unknown) return false;
  ReadKeys(search, row);
  if (group == nullptr) {
    group = FindHashedGroup(delta->table, row->hash, search->keys, search->nulls, nullptr);
    if (group == nullptr || group->state != GroupState::Unknown) return true;
  } else if (!GroupKeysEqual(delta->table, search->keys, search->nulls, group->keys, group->nulls)) {
    return true;
  }
  search->found++;
  if (search->put) {
    PutBaseRow(delta, group, row);
  } else {
    TakeBaseRow(delta, group, row);
    if (delta->parts == 1 && search->found % kGroupsPerMemoryCheck == 0) delta->overflowed = GroupsOverflow(delta);
  }
  return search->groups == nullptr && --search->missing > 0 && !delta->overflowed;
}

int ByHash(const void *a, const void *b) {
  const int64 left = (*static_cast<Group *const *>(a))->hash, right = (*static_cast<Group *const *>(b))->hash;
  return left < right ? -1 : left > right;
}

}  // namespace

bool GroupsOverflow(const GroupsDelta *delta) {
  return MemoryContextMemAllocated(delta->groups, true) + MemoryContextMemAllocated(delta->changes, true) >
         delta->memory_limit;
}

void BeginLookUps(GroupsDelta *delta, Relation rel, Snapshot snapshot) {
  delta->rel = rel;
  delta->snapshot = snapshot;
  delta->lookup = nullptr;
}

void EndLookUps(GroupsDelta *delta) {
  if (delta->lookup != nullptr) EndBaseLookup(delta->lookup);
  delta->lookup = nullptr;
}

// One by one through the key index, in its order, or by a pass over the base where that is cheaper.
void LookUpGroups(GroupsDelta *delta, bool put) {
  const int nkeys = delta->plan->nkeys;
  if (delta->unknown == 0) return;
  if (delta->lookup == nullptr) delta->lookup = BeginBaseLookup(delta->rel, delta->stream, delta->snapshot, delta->for_fold);
  auto **groups = static_cast<Group **>(palloc_extended(sizeof(Group *) * delta->unknown, MCXT_ALLOC_HUGE));
  int64 count = 0;
  for (Group *group = delta->touched; group != nullptr; group = group->next_touched) {
    if (group->state == GroupState::Unknown) groups[count++] = group;
  }
  Assert(count == delta->unknown);
  Search search = {delta,
                   put,
                   nullptr,
                   static_cast<Datum *>(palloc(sizeof(Datum) * (nkeys + 1))),
                   static_cast<bool *>(palloc(sizeof(bool) * (nkeys + 1))),
                   count,
                   0};
  if (VisitingIsCheaper(delta->lookup, count)) {
    VisitBase(delta->lookup, MatchBaseRow, &search, PrepareBaseRow);
  } else {
    qsort(groups, static_cast<size_t>(count), sizeof(Group *), ByHash);
    auto *hashes = static_cast<int64 *>(palloc_extended(sizeof(int64) * count, MCXT_ALLOC_HUGE));
    for (int64 i = 0; i < count; i++) hashes[i] = groups[i]->hash;
    search.groups = groups;
    FindCandidates(delta->lookup, hashes, count, MatchBaseRow, &search, PrepareLookup);
    pfree(hashes);
  }
  // How far the memory went says how many parts it takes.
  if (delta->overflowed) delta->changes_taken = delta->changes_taken * static_cast<int64>(search.found) / count;
  for (int64 i = 0; i < count; i++) {
    Group *group = groups[i];
    if (group->state != GroupState::Unknown) continue;
    group->state = GroupState::Stateless;
    // Without a base row there was no such group, unless HAVING hid it.
    if (delta->keeps_state && delta->plan->having == NIL && !delta->plan->always_one_row) {
      InitializeStates(delta->aggregates, group->states);
      group->rows = 0;
      group->state = GroupState::Running;
    }
  }
  delta->unknown = 0;
  pfree(groups);
}

}  // namespace pgstream
