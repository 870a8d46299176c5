// The groups that a delta or a populate works on: found by key, each with its aggregate states.
//
// A group is found by the hash of its hashable keys (pgstream.key_hash's hash) and compared by the keys' own equality
// operators and collations; NULLs are equal to each other, as GROUP BY has it.
//
// Promises: a group's address and its key values stay until the table's memory goes; keys hold no pointer to toasted
// values. Refuses: to remove groups.
#pragma once

#include "delta/aggregate.hpp"
#include "delta/arena.hpp"
#include "delta/hash.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// A pending change of a group: an input row (see AggregateSet), copied, and how often it came (or, negative, went). The copies lie
// behind it.
struct GroupChange {
  GroupChange *next;
  Datum *values;
  bool *nulls;
  uint64 cancelled;  // aggregates (as in AdvanceStates' skip) for which an equal and opposite change makes it nothing
  int64 weight;
};

enum class GroupState : uint8 {
  Unknown,   // its base row was not looked up yet
  Waiting,   // nor is it looked for now: nobody has asked for the group (unresolved_groups.hpp)
  Running,   // rows and states are right for everything but the pending changes
  Stateless,  // only its rows in the source can tell
  Put         // of a fold: its row is in the overlay, and its states are gone
};

struct Group {
  int64 hash;
  Datum *keys;
  bool *nulls;
  AggregateState *states;  // naggregates
  int64 rows;              // members, by the states
  GroupState state;

  // Of a delta: the base row, the addition, and what came since the last finish.
  bool touched, retracted, has_base, masked;
  ItemPointerData base_tid;
  int64 ordinal;         // of its addition, -1 without
  int64 net;             // change of the number of its rows
  GroupChange *changes;  // where they are not applied at once
  uint32 direct;         // the number of what was grouped directly of it, plus 1; 0: nothing was
  Group *next_touched;
  struct BagRow *base_rows;  // of a fold of the keyed strategy: the key's base rows
};

// A place of the directory: a hash compared here need not be fetched from the group.
struct GroupSlot {
  int64 hash;
  Group *group;  // nullptr: free
};

struct GroupTable {
  MemoryContext context;  // groups, keys and the directory
  Arena groups;           // in it
  int nkeys, naggregates;
  int16 *key_lengths;
  bool *key_byval;
  FmgrInfo *equality;
  Oid *collations;
  int nhashed;
  int *hashed;  // the keys whose hash the key index has, so that a group's hash finds its base row
  RowHasher *hasher;
  Datum *hash_values;
  bool *hash_nulls;
  uint64 capacity, count;  // capacity is a power of two
  GroupSlot *slots;
};

// An empty table whose groups live in `context`; everything else of it is in the current context.
GroupTable *NewGroupTable(const DeltaPlan *plan, MemoryContext context);

// The hash under which keys are found: of the hashable ones.
int64 HashGroupKeys(GroupTable *table, const Datum *keys, const bool *nulls);

// The group with these keys; made, with its keys copied, when there is none and created is not null (*created then says
// whether it was). A new group has no states initialized and is Unknown.
Group *FindGroup(GroupTable *table, const Datum *keys, const bool *nulls, bool *created);
// The same, of keys that have this hash.
Group *FindHashedGroup(GroupTable *table, int64 hash, const Datum *keys, const bool *nulls, bool *created);

// Fetches into the processor's caches what finding a group by this hash will look at: at step 0 its place in the directory, at
// step 1 the group.
void PrefetchGroup(const GroupTable *table, int64 hash, int step);

// The same of a group that is known.
void PrefetchGroup(const GroupTable *table, const Group *group);

// The group in the place that a hash says, if its hash is that one; nullptr: there is none, or it lies elsewhere.
inline const Group *GroupInPlace(const GroupTable *table, int64 hash) {
  const GroupSlot *const slot = &table->slots[static_cast<uint64>(hash) & (table->capacity - 1)];
  return slot->hash == hash ? slot->group : nullptr;
}

// Makes room for so many more groups, which are then added without moving the others.
void ReserveGroups(GroupTable *table, uint64 more);

// Gives a group other key values that are equal to its own by the keys' operators (1.00 for 1.0).
void ReplaceKeys(GroupTable *table, Group *group, const Datum *keys);

// True when the key values are equal by the keys' operators.
bool GroupKeysEqual(GroupTable *table, const Datum *a, const bool *a_nulls, const Datum *b, const bool *b_nulls);

// Forgets all groups without freeing them: the caller has reset the context.
void ForgetGroups(GroupTable *table);

// A copy of a value in `context`, without pointers to toasted values.
Datum CopyDetoasted(MemoryContext context, Datum value, bool byval, int16 length);

}  // namespace pgstream
