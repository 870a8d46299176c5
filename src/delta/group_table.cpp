// Open addressing over pointers to groups; see group_table.hpp.
#include "delta/group_table.hpp"

namespace pgstream {
namespace {

constexpr uint64 kInitialCapacity = 256;

GroupSlot *NewSlots(const GroupTable *table, uint64 capacity) {
  return static_cast<GroupSlot *>(
      MemoryContextAllocExtended(table->context, capacity * sizeof(GroupSlot), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
}

void Resize(GroupTable *table, uint64 capacity) {
  GroupSlot *const slots = NewSlots(table, capacity);
  for (uint64 i = 0; i < table->capacity; i++) {
    const GroupSlot slot = table->slots[i];
    if (slot.group == nullptr) continue;
    uint64 at = static_cast<uint64>(slot.hash) & (capacity - 1);
    while (slots[at].group != nullptr) at = (at + 1) & (capacity - 1);
    slots[at] = slot;
  }
  pfree(table->slots);
  table->slots = slots;
  table->capacity = capacity;
}

Group *NewGroup(GroupTable *table, const Datum *keys, const bool *nulls, int64 hash) {
  // Group, states, key values and their null flags in one piece.
  const Size states = MAXALIGN(sizeof(Group));
  const Size values = states + sizeof(AggregateState) * table->naggregates;
  const Size flags = values + sizeof(Datum) * table->nkeys;
  const Size size = flags + sizeof(bool) * table->nkeys;
  auto *memory = static_cast<char *>(ArenaAllocate(&table->groups, size));
  memset(memory, 0, size);
  auto *group = reinterpret_cast<Group *>(memory);
  group->states = reinterpret_cast<AggregateState *>(memory + states);
  group->keys = reinterpret_cast<Datum *>(memory + values);
  group->nulls = reinterpret_cast<bool *>(memory + flags);
  group->hash = hash;
  group->ordinal = -1;
  for (int i = 0; i < table->nkeys; i++) {
    group->nulls[i] = nulls[i];
    if (!nulls[i]) {
      group->keys[i] = CopyDetoasted(table->context, keys[i], table->key_byval[i], table->key_lengths[i]);
    }
  }
  return group;
}

}  // namespace

Datum CopyDetoasted(MemoryContext context, Datum value, bool byval, int16 length) {
  if (byval) return value;
  const MemoryContext old = MemoryContextSwitchTo(context);
  if (length == -1 && VARATT_IS_EXTENDED(DatumGetPointer(value))) {
    value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
  } else {
    value = datumCopy(value, byval, length);
  }
  MemoryContextSwitchTo(old);
  return value;
}

GroupTable *NewGroupTable(const DeltaPlan *plan, MemoryContext context) {
  auto *table = static_cast<GroupTable *>(palloc0(sizeof(GroupTable)));
  const int nkeys = plan->nkeys;
  const int room = Max(nkeys, 1);
  table->context = table->groups.context = context;
  table->nkeys = nkeys;
  table->naggregates = plan->naggregates;
  table->key_lengths = static_cast<int16 *>(palloc0(sizeof(int16) * room));
  table->key_byval = static_cast<bool *>(palloc0(sizeof(bool) * room));
  table->equality = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo) * room));
  table->collations = static_cast<Oid *>(palloc0(sizeof(Oid) * room));
  table->hashed = static_cast<int *>(palloc0(sizeof(int) * room));
  table->hash_values = static_cast<Datum *>(palloc0(sizeof(Datum) * room));
  table->hash_nulls = static_cast<bool *>(palloc0(sizeof(bool) * room));
  auto *types = static_cast<Oid *>(palloc0(sizeof(Oid) * room));
  for (int i = 0; i < nkeys; i++) {
    const GroupKey *key = &plan->keys[i];
    const Oid type = exprType(reinterpret_cast<Node *>(key->expression));
    get_typlenbyval(type, &table->key_lengths[i], &table->key_byval[i]);
    fmgr_info(get_opcode(key->equality_operator), &table->equality[i]);
    table->collations[i] = key->collation;
    if (key->hashable && table->nhashed < plan->nindex_columns) {
      types[table->nhashed] = type;
      table->hashed[table->nhashed++] = i;
    }
  }
  table->hasher = NewRowHasher(table->nhashed, types, HashBy::Key);
  table->capacity = kInitialCapacity;
  table->slots = NewSlots(table, table->capacity);
  return table;
}

bool GroupKeysEqual(GroupTable *table, const Datum *a, const bool *a_nulls, const Datum *b, const bool *b_nulls) {
  for (int i = 0; i < table->nkeys; i++) {
    if (a_nulls[i] != b_nulls[i]) return false;
    if (!a_nulls[i] && !DatumGetBool(FunctionCall2Coll(&table->equality[i], table->collations[i], a[i], b[i])))
      return false;
  }
  return true;
}

int64 HashGroupKeys(GroupTable *table, const Datum *keys, const bool *nulls) {
  if (table->nhashed == 0) return 0;
  for (int i = 0; i < table->nhashed; i++) {
    table->hash_values[i] = keys[table->hashed[i]];
    table->hash_nulls[i] = nulls[table->hashed[i]];
  }
  return HashRow(table->hasher, table->hash_values, table->hash_nulls);
}

void PrefetchGroup(const GroupTable *table, int64 hash, int step) {
  if (step == 0) {
    __builtin_prefetch(&table->slots[static_cast<uint64>(hash) & (table->capacity - 1)]);
  } else if (const Group *const group = GroupInPlace(table, hash); group != nullptr) {
    PrefetchGroup(table, group);
  }
}

void PrefetchGroup(const GroupTable *table, const Group *group) {
  // See NewGroup: the keys lie behind the states.
  auto *const memory = reinterpret_cast<const char *>(group);
  for (Size at = 0; at < sizeof(Group); at += PG_CACHE_LINE_SIZE / 2) __builtin_prefetch(memory + at, 1);
  __builtin_prefetch(memory + MAXALIGN(sizeof(Group)) + sizeof(AggregateState) * table->naggregates);
}

Group *FindGroup(GroupTable *table, const Datum *keys, const bool *nulls, bool *created) {
  return FindHashedGroup(table, HashGroupKeys(table, keys, nulls), keys, nulls, created);
}

Group *FindHashedGroup(GroupTable *table, int64 hash, const Datum *keys, const bool *nulls, bool *created) {
  uint64 at = static_cast<uint64>(hash) & (table->capacity - 1);
  for (Group *group; (group = table->slots[at].group) != nullptr; at = (at + 1) & (table->capacity - 1)) {
    if (table->slots[at].hash == hash && GroupKeysEqual(table, group->keys, group->nulls, keys, nulls)) {
      if (created != nullptr) *created = false;
      return group;
    }
  }
  if (created == nullptr) return nullptr;
  Group *const group = NewGroup(table, keys, nulls, hash);
  table->slots[at] = {hash, group};
  *created = true;
  // Half full at most: a pass over the base asks for many groups that are not there.
  if (++table->count * 2 > table->capacity) Resize(table, table->capacity * 2);
  return group;
}

void ReserveGroups(GroupTable *table, uint64 more) {
  uint64 capacity = table->capacity;
  while ((table->count + more) * 2 > capacity) capacity *= 2;
  if (capacity > table->capacity) Resize(table, capacity);
}

void ReplaceKeys(GroupTable *table, Group *group, const Datum *keys) {
  for (int i = 0; i < table->nkeys; i++) {
    if (group->nulls[i]) continue;
    // The old value stays: a key set in use may point to it. Equal values passed by value can differ too: 0 and -0.
    group->keys[i] = CopyDetoasted(table->context, keys[i], table->key_byval[i], table->key_lengths[i]);
  }
}

void ForgetGroups(GroupTable *table) {
  ForgetArena(&table->groups);
  table->capacity = kInitialCapacity;
  table->count = 0;
  table->slots = NewSlots(table, table->capacity);
}

}  // namespace pgstream
