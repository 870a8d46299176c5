// Resolving changed groups one by one; see unresolved_groups.hpp.
#include "delta/unresolved_groups.hpp"

#include "delta/evaluate.hpp"
#include "delta/groups_delta.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "portability/instr_time.h"
}

namespace pgstream {

// What asking for single groups costs, in groups resolved together: a base row that is looked for among them, one that is
// resolved alone, and a lookup, which is dearer than one in a whole overlay.
static constexpr int64 kRowAsked = 1;
static constexpr int64 kGroupResolved = 8;
static constexpr int64 kLookedUp = 16;

struct UnresolvedGroups {
  GroupsDelta *delta;
  Group **groups;  // all that changed; those not resolved yet are touched
  int64 changed;
  int64 spent;       // on asking for single ones
  bool at_work;      // or an error ended that
  Size limit;        // of the additions, once the overlay is whole
  Size group_limit;  // of the groups
  MemoryContext temporary;
  Datum *keys;  // of the row at hand
  bool *nulls;
  AdditionHash *hashes;
};

void DeferGroups(GroupsDelta *delta) {
  const MemoryContext old = MemoryContextSwitchTo(delta->context);
  auto *const unresolved = static_cast<UnresolvedGroups *>(palloc0(sizeof(UnresolvedGroups)));
  unresolved->delta = delta;
  unresolved->groups =
      static_cast<Group **>(palloc_extended(sizeof(Group *) * static_cast<Size>(delta->unknown), MCXT_ALLOC_HUGE));
  for (Group *group = delta->touched; group != nullptr; group = group->next_touched) {
    group->state = GroupState::Waiting;
    unresolved->groups[unresolved->changed++] = group;
  }
  unresolved->temporary = AllocSetContextCreate(delta->context, "pg_stream looking up a group", ALLOCSET_SMALL_SIZES);
  unresolved->keys = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<Size>(delta->plan->nkeys)));
  unresolved->nulls = static_cast<bool *>(palloc(sizeof(bool) * static_cast<Size>(delta->plan->nkeys)));
  MemoryContextSwitchTo(old);
  // Rows of additions must not move under a reader, as they do when they are spilled.
  Overlay *const overlay = delta->overlay;
  unresolved->limit = overlay->additions.limit;
  overlay->additions.limit = MaxAllocHugeSize;
  unresolved->group_limit = delta->memory_limit;
  delta->memory_limit = MaxAllocHugeSize;
  overlay->statistics.groups_changed = unresolved->changed;
  overlay->statistics.groups_resolved = 0;
  delta->touched = nullptr;
  delta->unknown = 0;
  delta->unresolved = overlay->unresolved = unresolved;
}

bool MayBeAsked(const UnresolvedGroups *unresolved) { return !unresolved->at_work; }

// Makes these groups, as far as they are not resolved, the touched ones.
static void Touch(UnresolvedGroups *unresolved, Group **groups, int64 count) {
  GroupsDelta *const delta = unresolved->delta;
  delta->touched = nullptr;
  delta->unknown = 0;
  for (int64 i = count - 1; i >= 0; i--) {
    Group *const group = groups[i];
    if (!group->touched) continue;
    group->next_touched = delta->touched;
    delta->touched = group;
    if (group->state == GroupState::Waiting) group->state = GroupState::Unknown;
    if (group->state == GroupState::Unknown) delta->unknown++;
  }
}

// An error may have ended the work on any group that was looked for: the states of one that was found may have moved by a part of
// its changes.
static void DistrustStates(UnresolvedGroups *unresolved) {
  for (int64 i = 0; i < unresolved->changed; i++) {
    Group *const group = unresolved->groups[i];
    if (!group->touched) continue;
    if (group->state == GroupState::Running) group->state = GroupState::Stateless;
    if (group->state == GroupState::Unknown) group->state = GroupState::Waiting;
  }
}

// Brings the touched groups into the overlay; returns those (list of Group *) that only their rows can tell of.
static List *PutByStates(UnresolvedGroups *unresolved, Relation rel, Snapshot snapshot) {
  GroupsDelta *const delta = unresolved->delta;
  BeginLookUps(delta, rel, snapshot);
  LookUpGroups(delta, false);
  EndLookUps(delta);
  List *by_key = NIL;
  if (PutTouchedByStates(delta, &by_key) != nullptr) elog(ERROR, "a changed group could not be merged");
  return by_key;
}

static void ResolveAll(UnresolvedGroups *unresolved, Relation rel, Snapshot snapshot) {
  GroupsDelta *const delta = unresolved->delta;
  Overlay *const overlay = delta->overlay;
  Touch(unresolved, unresolved->groups, unresolved->changed);
  const List *const by_key = PutByStates(unresolved, rel, snapshot);
  const bool had_to_merge = overlay->must_merge;
  overlay->must_merge = true;
  if (by_key != NIL && PutKeyedGroups(delta, by_key, snapshot) != nullptr) elog(ERROR, "a changed group could not be merged");
  overlay->must_merge = had_to_merge;
  // Now it is as if they had never waited: nothing is left for an extension to find.
  for (int64 i = 0; i < unresolved->changed; i++) ForgetPending(unresolved->groups[i]);
  ForgetAllPending(delta);
  overlay->additions.limit = unresolved->limit;
  delta->memory_limit = unresolved->group_limit;
  delta->unresolved = overlay->unresolved = nullptr;
  overlay->statistics.groups_changed = overlay->statistics.groups_resolved = 0;
}

// False when it cannot be resolved alone.
static bool ResolveOne(UnresolvedGroups *unresolved, Group *group, Relation rel, Snapshot snapshot) {
  Touch(unresolved, &group, 1);
  if (PutByStates(unresolved, rel, snapshot) != NIL) return false;
  ForgetPending(group);
  unresolved->delta->touched = nullptr;
  unresolved->delta->overlay->statistics.groups_resolved++;
  unresolved->spent += kGroupResolved;
  return true;
}

// Resolves this group, or all of them.
static void Resolve(UnresolvedGroups *unresolved, Group *group, Relation rel, Snapshot snapshot) {
  GroupsDelta *const delta = unresolved->delta;
  Overlay *const overlay = delta->overlay;
  instr_time start, end;
  INSTR_TIME_SET_CURRENT(start);
  const MemoryContext work =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream resolving groups", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(work);
  OwnerScope scope;
  EnterOwnerScope(delta->stream, &scope);
  if (unresolved->at_work) DistrustStates(unresolved);
  unresolved->at_work = true;
  if (group == nullptr || !ResolveOne(unresolved, group, rel, snapshot)) ResolveAll(unresolved, rel, snapshot);
  unresolved->at_work = false;
  LeaveOwnerScope(&scope);
  MemoryContextSwitchTo(old);
  MemoryContextDelete(work);
  OverlayStatistics *const statistics = &overlay->statistics;
  statistics->masked = static_cast<int64>(overlay->mask.count());
  statistics->added = overlay->additions.live;
  INSTR_TIME_SET_CURRENT(end);
  INSTR_TIME_SUBTRACT(end, start);
  statistics->build_ms += INSTR_TIME_GET_MILLISEC(end);
  NoteResolution(overlay);
}

// Whether asking for single ones has cost as much by now as all would.
static bool SpentEnough(const UnresolvedGroups *unresolved) {
  return unresolved->spent > unresolved->changed && LookupByKeySetting() != LookupByKey::Always;
}

void ResolveAllGroups(Overlay *overlay, Relation rel, Snapshot snapshot) {
  Resolve(overlay->unresolved, nullptr, rel, snapshot);
}

void ResolveGroupOfRow(Overlay *overlay, Relation rel, TupleTableSlot *row, Snapshot snapshot) {
  UnresolvedGroups *const unresolved = overlay->unresolved;
  unresolved->spent += kRowAsked;
  if (SpentEnough(unresolved)) {
    ResolveAllGroups(overlay, rel, snapshot);
    return;
  }
  const DeltaPlan *const plan = unresolved->delta->plan;
  for (int i = 0; i < plan->nkeys; i++)
    unresolved->keys[i] = slot_getattr(row, plan->keys[i].output_column, &unresolved->nulls[i]);
  const MemoryContext old = MemoryContextSwitchTo(unresolved->temporary);
  Group *const group = FindGroup(unresolved->delta->table, unresolved->keys, unresolved->nulls, nullptr);
  MemoryContextSwitchTo(old);
  MemoryContextReset(unresolved->temporary);
  if (group != nullptr && group->touched) Resolve(unresolved, group, rel, snapshot);
}

// The number of the key that a column shows, -1 when it shows none.
static int KeyOfColumn(const DeltaPlan *plan, AttrNumber column) {
  for (int i = 0; i < plan->nkeys; i++)
    if (plan->keys[i].output_column == column) return i;
  return -1;
}

// The hash of a group's key columns; false when one of them is NULL.
static bool HashGroup(const Group *group, AdditionHash *hash, const int *keys, uint32 *value) {
  *value = 0;
  for (int i = 0; i < hash->ncolumns; i++) {
    if (group->nulls[keys[i]]) return false;
    HashedColumn *const column = &hash->columns[i];
    *value = CombineHashes(*value, DatumGetUInt32(FunctionCall1Coll(&column->hash, column->collation, group->keys[keys[i]])));
  }
  return true;
}

static AdditionHash *HashGroups(UnresolvedGroups *unresolved, const HashedColumn *columns, int ncolumns) {
  const DeltaPlan *const plan = unresolved->delta->plan;
  auto *const keys = static_cast<int *>(palloc(sizeof(int) * static_cast<Size>(ncolumns)));
  for (int i = 0; i < ncolumns; i++) {
    keys[i] = KeyOfColumn(plan, columns[i].column);
    if (keys[i] < 0) return nullptr;
  }
  AdditionHash *const hash = NewAdditionHash(static_cast<Size>(unresolved->changed), columns, ncolumns);
  const MemoryContext old = MemoryContextSwitchTo(unresolved->temporary);
  for (int64 i = unresolved->changed - 1; i >= 0; i--) {
    CHECK_FOR_INTERRUPTS();
    uint32 value;
    if (HashGroup(unresolved->groups[i], hash, keys, &value)) AddHashed(hash, i, value);
    MemoryContextReset(unresolved->temporary);
  }
  MemoryContextSwitchTo(old);
  MemoryContextSetParent(hash->context, unresolved->delta->context);
  hash->next_hash = unresolved->hashes;
  unresolved->hashes = hash;
  return hash;
}

const AdditionHash *LookUpUnresolved(Overlay *overlay, Relation rel, Snapshot snapshot, const HashedColumn *columns, int ncolumns) {
  UnresolvedGroups *const unresolved = overlay->unresolved;
  unresolved->spent += kLookedUp;
  const AdditionHash *hash = nullptr;
  if (!SpentEnough(unresolved)) {
    for (hash = unresolved->hashes; hash != nullptr && !IsOfColumns(hash, columns, ncolumns);) hash = hash->next_hash;
    if (hash == nullptr) hash = HashGroups(unresolved, columns, ncolumns);
  }
  if (hash == nullptr) ResolveAllGroups(overlay, rel, snapshot);
  return hash;
}

int64 AdditionOfGroup(UnresolvedGroups *unresolved, int64 number, Relation rel, Snapshot snapshot) {
  Group *const group = unresolved->groups[number];
  if (group->touched) Resolve(unresolved, group, rel, snapshot);
  return group->ordinal;
}

}  // namespace pgstream
