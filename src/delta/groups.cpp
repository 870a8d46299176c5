// The groups strategy: finishing takes the net changes of the source, brings the aggregate states of each touched group up
// to date and puts the group's row into the overlay.
//
// A group's states come from the hidden state of its base row (read under the reader's snapshot, once); then all
// additions are applied, then the retractions. Where states cannot answer (an inverse refused, the row has none, HAVING
// hides it, an aggregate is Keyed) the group is evaluated again from its rows, all such groups in one query.
//
// Where the reader asks for single groups they wait, once the changes are grouped, until he does (unresolved_groups.hpp).
//
// Promises: what DeltaOperations asks. States stay in memory, so that extending touches changed groups only; when they do
// not fit, the groups are done in parts by hash, each part forgotten before the next, and the overlay is final.
// Refuses: a group with fewer than no members (log and base do not belong together): a reason to recompute.
#include "delta/groups_delta.hpp"
#include "delta/unresolved_groups.hpp"
#include "pg/settings.hpp"

namespace pgstream {
namespace {

// Beyond so many changes of one group, opposite ones are not looked for: it is evaluated by key instead.
constexpr int kMostCancellations = 1000;
constexpr uint64 kGroupsPerMemoryCheck = 256;
constexpr int64 kChangesPerMemoryCheck = 256;
// Changed groups below which it is not worth while to let them wait.
constexpr int64 kLeastDeferred = 32;
// Groups that are looked for together.
constexpr int kTogether = 16;
constexpr const char *kTooManyGroups = "the changed groups exceed hash_mem";

// --- Applying -----------------------------------------------------------------------------------------------------

// What a value takes behind a change, 0 when it is not kept there.
Size InlineSize(const AggregateSet *set, int input, Datum value, bool isnull) {
  if (isnull || set->input_byval[input]) return 0;
  const int16 length = set->input_lengths[input];
  if (length > 0) return MAXALIGN(length);
  if (length != -1 || VARATT_IS_EXTENDED(DatumGetPointer(value))) return 0;
  return MAXALIGN(VARSIZE(DatumGetPointer(value)));
}

// A change and its values in one piece: it is read once, long after other memory has been.
void KeepChange(GroupsDelta *delta, Group *group, const Datum *values, const bool *nulls, int64 weight) {
  const AggregateSet *set = delta->aggregates;
  const Size data = MAXALIGN(sizeof(GroupChange));
  const Size flags = data + sizeof(Datum) * set->ninputs;
  const Size copies = MAXALIGN(flags + sizeof(bool) * set->ninputs);
  Size size = copies;
  for (int i = 0; i < set->ninputs; i++) size += InlineSize(set, i, values[i], nulls[i]);
  auto *memory = static_cast<char *>(ArenaAllocate(&delta->change_arena, size));
  auto *change = reinterpret_cast<GroupChange *>(memory);
  change->values = reinterpret_cast<Datum *>(memory + data);
  change->nulls = reinterpret_cast<bool *>(memory + flags);
  change->cancelled = 0;
  change->weight = weight;
  char *copy = memory + copies;
  for (int i = 0; i < set->ninputs; i++) {
    change->nulls[i] = nulls[i];
    const Size inlined = InlineSize(set, i, values[i], nulls[i]);
    if (nulls[i] || inlined == 0) {
      change->values[i] = nulls[i] ? static_cast<Datum>(0)
                                   : CopyDetoasted(delta->changes, values[i], set->input_byval[i], set->input_lengths[i]);
      continue;
    }
    const int16 length = set->input_lengths[i];
    memcpy(copy, DatumGetPointer(values[i]), length > 0 ? static_cast<Size>(length) : VARSIZE(DatumGetPointer(values[i])));
    change->values[i] = PointerGetDatum(copy);
    copy += inlined;
  }
  change->next = group->changes;
  group->changes = change;
}

void ForgetChanges(GroupsDelta *delta) {
  MemoryContextReset(delta->changes);
  ForgetArena(&delta->change_arena);
}

void PrefetchChange(const GroupChange *change) {
  __builtin_prefetch(change);
  __builtin_prefetch(reinterpret_cast<const char *>(change) + PG_CACHE_LINE_SIZE / 2);
}

void ApplyInputs(GroupsDelta *delta, Group *group, const Datum *values, const bool *nulls, uint64 skip, int64 weight) {
  const AggregateSet *set = delta->aggregates;
  for (int64 i = 0; i < weight; i++) AdvanceStates(set, group->states, values, nulls, skip);
  for (int64 i = 0; i > weight; i--) RetractStates(set, group->states, values, nulls, skip);
  MemoryContextReset(set->temporary);
}

// Applies the changes kept of a Running group, gains first: in an order that is not the query's, so a sum that leaves its
// type's range on the way says nothing.
void ApplyKept(GroupsDelta *delta, Group *group) {
  delta->aggregates->overflow_is_doubt = true;
  for (int pass = 0; pass < 2; pass++) {
    const bool gains = pass == 0;
    for (const GroupChange *change = group->changes; change != nullptr; change = change->next) {
      // It lies anywhere, and comes while this one is applied.
      if (change->next != nullptr) PrefetchChange(change->next);
      if ((change->weight > 0) != gains) continue;
      ApplyInputs(delta, group, change->values, change->nulls, change->cancelled, change->weight);
    }
  }
  delta->aggregates->overflow_is_doubt = false;
  group->changes = nullptr;
}

// Applies what was kept so far, to free its memory: gains come first also when seen over all of it.
void Settle(GroupsDelta *delta) {
  LookUpGroups(delta, false);
  for (Group *group = delta->touched; group != nullptr; group = group->next_touched) {
    CHECK_FOR_INTERRUPTS();
    if (group->state == GroupState::Running) ApplyKept(delta, group);
    group->changes = nullptr;
  }
  ForgetChanges(delta);
}

bool InPart(const GroupsDelta *delta, int64 hash) {
  return (static_cast<uint64>(hash) >> 32) % delta->parts == delta->part;
}

// The group with these keys, whose hash this is, for a change of it.
Group *Touch(GroupsDelta *delta, int64 hash, const Datum *keys, const bool *nulls, bool *created) {
  Group *const group = FindHashedGroup(delta->table, hash, keys, nulls, created);
  if (*created && delta->parts == 1 && delta->table->count % kGroupsPerMemoryCheck == 0) {
    delta->overflowed = GroupsOverflow(delta);
  }
  if (!group->touched) {
    group->touched = true;
    group->next_touched = delta->touched;
    delta->touched = group;
    if (group->state == GroupState::Unknown) delta->unknown++;
  }
  return group;
}

void PrepareChange(NetRow *row, int step, void *argument) {
  auto *delta = static_cast<GroupsDelta *>(argument);
  if (delta->overflowed) return;
  if (step == 0) {
    const MemoryContext old = MemoryContextSwitchTo(row->memory);
    row->hash = HashGroupKeys(delta->table, row->values, row->nulls);
    MemoryContextSwitchTo(old);
  }
  PrefetchGroup(delta->table, row->hash, step);
}

// One net change of the source. Gains come first, then losses.
void TakeChange(const NetRow *row, int64 weight, void *argument) {
  auto *delta = static_cast<GroupsDelta *>(argument);
  delta->changes_seen++;
  if (delta->overflowed) return;
  const MemoryContext old = MemoryContextSwitchTo(row->memory);
  if (delta->parts > 1 && !InPart(delta, row->hash)) {
    MemoryContextSwitchTo(old);
    return;
  }
  delta->changes_taken++;
  bool created;
  Group *const group = Touch(delta, row->hash, row->values, row->nulls, &created);
  // An overlay that is extended may find the group empty, its keys as they looked on a row that went (1.0, now 1.00).
  if (!created && weight > 0 && group->net == 0 && group->rows == 0 && !delta->keys_are_images) {
    ReplaceKeys(delta->table, group, row->values);
  }
  group->net += weight;
  group->retracted |= weight < 0;
  if (group->state != GroupState::Stateless && delta->keeps_state && delta->aggregates->ninputs > 0) {
    KeepChange(delta, group, row->values + delta->plan->nkeys, row->nulls + delta->plan->nkeys, weight);
  }
  MemoryContextSwitchTo(old);
  if (delta->insert_only == 0 && delta->changes_taken % kChangesPerMemoryCheck == 0 &&
      MemoryContextMemAllocated(delta->changes, false) > delta->memory_limit / 4) {
    Settle(delta);
  }
}

// What was grouped directly. It is applied after what was kept of a group; the two have no row image in common.
void TakeDirectGroups(GroupsDelta *delta) {
  if (delta->direct == nullptr) return;
  const int nkeys = delta->plan->nkeys;
  const uint32 count = delta->direct->groups.count();
  auto *const keys = static_cast<Datum *>(palloc(sizeof(Datum) * (nkeys * kTogether + 1)));
  auto *const nulls = static_cast<bool *>(palloc(sizeof(bool) * (nkeys * kTogether + 1)));
  uint32 numbers[kTogether];
  int64 hashes[kTogether];
  ReserveGroups(delta->table, count / delta->parts);
  for (uint32 next = 0; next < count;) {
    CHECK_FOR_INTERRUPTS();
    int n = 0;
    for (; next < count && n < kTogether; next++) {
      if (!HasChanges(delta->direct, next)) continue;
      delta->changes_seen++;
      if (delta->overflowed) continue;
      DirectKeys(delta->direct, next, keys + n * nkeys, nulls + n * nkeys);
      hashes[n] = HashGroupKeys(delta->table, keys + n * nkeys, nulls + n * nkeys);
      if (delta->parts > 1 && !InPart(delta, hashes[n])) continue;
      PrefetchGroup(delta->table, hashes[n], 0);
      numbers[n++] = next;
    }
    for (int i = 0; i < n; i++) PrefetchGroup(delta->table, hashes[i], 1);
    for (int i = 0; i < n && !delta->overflowed; i++) {
      delta->changes_taken++;
      bool created;
      Group *const group = Touch(delta, hashes[i], keys + i * nkeys, nulls + i * nkeys, &created);
      group->net += delta->direct->groups.Net(numbers[i]);
      group->direct = numbers[i] + 1;
    }
  }
}

// Pairs a gain with a loss of the same input, aggregate by aggregate: together they are nothing, but the retraction alone
// may look as if it took the extremum.
void CancelOpposites(const GroupsDelta *delta, Group *group) {
  int count = 0;
  for (const GroupChange *change = group->changes; change != nullptr; change = change->next) count++;
  if (!group->retracted || count > kMostCancellations) return;
  for (GroupChange *minus = group->changes; minus != nullptr; minus = minus->next) {
    if (minus->weight > 0) continue;
    for (int i = 0; i < Min(delta->plan->naggregates, 64); i++) {
      const uint64 bit = UINT64CONST(1) << i;
      if ((delta->insert_only & bit) == 0) continue;
      for (GroupChange *plus = group->changes; plus != nullptr; plus = plus->next) {
        if (plus->weight != -minus->weight || (plus->cancelled & bit) != 0 ||
            !SameInputImage(delta->aggregates, i, minus->values, minus->nulls, plus->values, plus->nulls)) {
          continue;
        }
        plus->cancelled |= bit;
        minus->cancelled |= bit;
        break;
      }
    }
  }
}

// Brings a Running group up to date. It becomes Stateless where its states cannot follow.
const char *ApplyChanges(GroupsDelta *delta, Group *group) {
  const AggregateSet *set = delta->aggregates;
  group->rows += group->net;
  if (group->rows < 0) {
    if (delta->unresolved == nullptr) return "the change log takes more rows from a group than it has";
    // Readers have begun: there is no recomputing any more.
    group->state = GroupState::Stateless;
    return nullptr;
  }
  if (group->rows == 0) {
    FreeStates(set, group->states);
    InitializeStates(set, group->states);
    return nullptr;
  }
  if (delta->insert_only != 0) CancelOpposites(delta, group);
  ApplyKept(delta, group);
  if (group->direct > 0) ApplyDirectly(delta->direct, group->direct - 1, set, group->states);
  AdvanceWithoutInputs(set, group->states, group->net);
  MemoryContextReset(set->temporary);
  // Where equal keys can look different (1.0 and 1.00), the one shown may be the one that went.
  if (AnyDoubtful(set, group->states) || (group->retracted && !delta->keys_are_images))
    group->state = GroupState::Stateless;
  return nullptr;
}

// --- The operations ---------------------------------------------------------------------------------------------

Delta *Begin(Overlay *overlay, Relation rel, const Stream *stream, bool for_fold) {
  const MemoryContext context = AllocSetContextCreate(overlay->context, "pg_stream groups", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(context);
  auto *delta = static_cast<GroupsDelta *>(palloc0(sizeof(GroupsDelta)));
  const DeltaPlan *plan = stream->plan;
  delta->overlay = overlay;
  delta->stream = stream;
  delta->plan = plan;
  delta->for_fold = for_fold;
  delta->context = context;
  delta->changes = AllocSetContextCreate(context, "pg_stream group changes", ALLOCSET_DEFAULT_SIZES);
  delta->change_arena.context = delta->changes;
  delta->keeps_state = GroupsKeepState(plan);
  delta->keys_are_images = true;
  for (int i = 0; i < plan->nkeys; i++) delta->keys_are_images &= plan->keys[i].equal_image;
  for (int i = 0; i < Min(plan->naggregates, 64); i++) {
    if (plan->aggregates[i].maintenance == AggregateMaintenance::InsertOnly) delta->insert_only |= UINT64CONST(1) << i;
  }
  delta->memory_limit = DeltaMemoryLimit(for_fold);
  delta->source = NewSourceDelta(stream, for_fold);
  NoteEvaluation(delta->source, &overlay->statistics);
  delta->reader = NewGroupRowReader(plan, delta->keeps_state);
  delta->groups = AllocSetContextCreate(context, "pg_stream group states", ALLOCSET_DEFAULT_SIZES);
  delta->passing = AllocSetContextCreate(context, "pg_stream passing group", ALLOCSET_DEFAULT_SIZES);
  delta->table = NewGroupTable(plan, delta->groups);
  if (delta->keeps_state) delta->direct = GroupDirectly(delta->source, plan, delta->memory_limit / 4);
  if (delta->keeps_state) delta->aggregates = PrepareAggregates(plan, delta->groups);
  delta->writer = NewGroupWriter(rel, plan, delta->aggregates);
  MemoryContextSwitchTo(old);
  return reinterpret_cast<Delta *>(delta);
}

void Apply(Delta *opaque, const LogRecord *record) {
  auto *delta = reinterpret_cast<GroupsDelta *>(opaque);
  if (delta->failure == nullptr) delta->failure = AddRecord(delta->source, record);
}

// Brings every touched group into the overlay: by its states at once, the others all by key.
const char *PutTouched(GroupsDelta *delta, Snapshot snapshot) {
  if (delta->failure != nullptr) return delta->failure;
  List *by_key = NIL;
  if (const char *why = PutTouchedByStates(delta, &by_key)) return why;
  return by_key != NIL ? PutKeyedGroups(delta, by_key, snapshot) : nullptr;
}

// What one finish left behind that the next must not find.
void ForgetTouched(GroupsDelta *delta) {
  for (Group *group = delta->touched; group != nullptr; group = group->next_touched) ForgetPending(group);
  delta->touched = nullptr;
  delta->unknown = 0;
  ForgetChanges(delta);
}

void ForgetAllGroups(GroupsDelta *delta) {
  ForgetTouched(delta);
  MemoryContextReset(delta->groups);
  ForgetGroups(delta->table);
}

// Whether changed groups may wait until they are asked for. They are to fit into memory once they are resolved, too, and no state
// has moved yet.
bool MayWait(const GroupsDelta *delta) {
  if (!delta->overlay->may_defer || delta->for_fold || delta->parts != 1 || delta->overflowed) return false;
  if (!delta->keeps_state || delta->plan->always_one_row || !OidIsValid(delta->stream->key_index)) return false;
  if (delta->unknown == 0 || delta->unknown != static_cast<int64>(delta->table->count)) return false;
  if (KeyedEvaluationSetting() == KeyedEvaluation::Never || LookupByKeySetting() == LookupByKey::Never) return false;
  if (LookupByKeySetting() == LookupByKey::Auto && delta->unknown < kLeastDeferred) return false;
  return MemoryContextMemAllocated(delta->groups, true) + MemoryContextMemAllocated(delta->changes, true) < delta->memory_limit / 4;
}

// Takes the net changes of one part of the groups; false when they do not fit into memory.
bool TakePart(GroupsDelta *delta, Relation rel, Snapshot snapshot, uint32 part, uint32 parts) {
  delta->part = part;
  delta->parts = parts;
  delta->changes_seen = delta->changes_taken = 0;
  delta->overflowed = false;
  BeginLookUps(delta, rel, snapshot);
  VisitSourceDelta(delta->source, TakeChange, delta, PrepareChange);
  TakeDirectGroups(delta);
  if (!delta->overflowed && !MayWait(delta)) LookUpGroups(delta, delta->for_fold && delta->keeps_state);
  EndLookUps(delta);
  return !delta->overflowed;
}

const char *FinishInParts(GroupsDelta *delta, Relation rel, Snapshot snapshot) {
  const auto parts = static_cast<uint32>(delta->changes_seen / Max(delta->changes_taken, 1) + 2);
  delta->overlay->final = true;
  for (uint32 part = 0; part < parts; part++) {
    ForgetAllGroups(delta);
    TakePart(delta, rel, snapshot, part, parts);
    if (const char *why = PutTouched(delta, snapshot)) return why;
  }
  ForgetAllGroups(delta);
  return nullptr;
}

const char *Finish(Delta *opaque, Relation rel, Snapshot snapshot) {
  auto *delta = reinterpret_cast<GroupsDelta *>(opaque);
  if (delta->failure != nullptr) return delta->failure;
  const MemoryContext work =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream groups finish", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(work);
  const bool fresh = delta->table->count == 0;
  if (!TakePart(delta, rel, snapshot, 0, 1)) {
    delta->failure = fresh ? FinishInParts(delta, rel, snapshot) : kTooManyGroups;
  } else if (delta->unknown > 0 && delta->failure == nullptr) {
    DeferGroups(delta);
    MemoryContextSwitchTo(old);
    MemoryContextDelete(work);
    return nullptr;
  } else {
    delta->failure = PutTouched(delta, snapshot);
  }
  ForgetAllPending(delta);
  MemoryContextSwitchTo(old);
  MemoryContextDelete(work);
  return delta->failure;
}

}  // namespace

const DeltaOperations kGroupsDelta = {Begin, Apply, Finish, false};

void PrefetchChanges(const GroupsDelta *delta, const Group *group) {
  if (group->changes != nullptr) PrefetchChange(group->changes);
  if (group->direct > 0) __builtin_prefetch(delta->direct->groups.Keys(group->direct - 1));
}

const char *PutTouchedByStates(GroupsDelta *delta, List **by_key) {
  for (Group *group = delta->touched; group != nullptr; group = group->next_touched) {
    CHECK_FOR_INTERRUPTS();
    if (group->next_touched != nullptr) PrefetchChanges(delta, group->next_touched);
    if (group->state == GroupState::Running) {
      if (const char *why = PutRunning(delta, group)) return why;
    }
    if (group->state == GroupState::Stateless) *by_key = lappend(*by_key, group);
  }
  return nullptr;
}

void ForgetPending(Group *group) {
  group->touched = group->retracted = false;
  group->net = 0;
  group->changes = nullptr;
  group->direct = 0;
}

void ForgetAllPending(GroupsDelta *delta) {
  ForgetTouched(delta);
  ClearSourceDelta(delta->source);
}

const char *PutRunning(GroupsDelta *delta, Group *group) {
  if (const char *why = ApplyChanges(delta, group)) return why;
  return group->state == GroupState::Running ? PutGroup(delta, group) : nullptr;
}

bool GroupsKeepState(const DeltaPlan *plan) {
  for (int i = 0; i < plan->naggregates; i++) {
    if (plan->aggregates[i].maintenance == AggregateMaintenance::Keyed) return false;
  }
  return true;
}

}  // namespace pgstream
