// What the files of the groups strategy share: see groups.cpp for the strategy itself.
#pragma once

#include "delta/arena.hpp"
#include "delta/base_lookup.hpp"
#include "delta/group_output.hpp"
#include "delta/group_table.hpp"
#include "delta/source_delta.hpp"
#include "delta/strategy.hpp"

namespace pgstream {

// What a Delta is to this strategy.
struct GroupsDelta {
  Overlay *overlay;
  const Stream *stream;
  const DeltaPlan *plan;
  bool for_fold;
  bool keeps_state;      // else every touched group is evaluated by the query
  bool keys_are_images;  // equal keys are the same bytes
  uint64 insert_only;    // aggregates for which opposite changes are looked for
  const char *failure;
  Size memory_limit;

  MemoryContext context;  // of everything here
  MemoryContext groups;   // groups and their states
  MemoryContext changes;  // pending ones, reset by finish
  MemoryContext passing;  // of a fold: the states of the group that is being put
  Arena change_arena;     // in it
  SourceDelta *source;
  DirectGroups *direct;  // what it grouped directly; nullptr: nothing ever
  GroupRowReader *reader;
  GroupTable *table;
  AggregateSet *aggregates;  // nullptr without states
  GroupWriter *writer;
  UnresolvedGroups *unresolved;  // not nullptr from when groups had to wait
  Group *touched;
  Relation rel;        // while finishing, with the snapshot
  Snapshot snapshot;
  BaseLookup *lookup;  // ... once groups are looked up
  int64 unknown;       // touched groups that were not looked up yet

  // Of the pass that is running: the part of the groups it takes, and where it ran out of memory.
  uint32 part, parts;
  int64 changes_seen, changes_taken;
  bool overflowed;
};

// Begins and ends finding base rows: nothing is opened before groups are looked up.
void BeginLookUps(GroupsDelta *delta, Relation rel, Snapshot snapshot);
void EndLookUps(GroupsDelta *delta);

// group_lookup.cpp: finds the base rows of all touched groups that were not looked up yet, and in them the states to start
// from. Sets delta->overflowed when they do not fit. put: no more changes will come, so groups are put into the overlay as their
// base rows are found, which forgets their states, and delta->failure may be set.
void LookUpGroups(GroupsDelta *delta, bool put);

// groups.cpp: fetches what bringing a group up to date reads first.
void PrefetchChanges(const GroupsDelta *delta, const Group *group);

// groups.cpp: brings a Running group up to date and into the overlay; it becomes Stateless, and is not put, where its states
// cannot follow. Returns why only recompute can answer.
const char *PutRunning(GroupsDelta *delta, Group *group);

// True when groups and changes take more memory than they may.
bool GroupsOverflow(const GroupsDelta *delta);

// groups.cpp: the same of all touched groups; appends those that are Stateless to by_key.
const char *PutTouchedByStates(GroupsDelta *delta, List **by_key);

// groups.cpp: forgets what came of a group, or of all touched ones and the source, since the last finish.
void ForgetPending(Group *group);
void ForgetAllPending(GroupsDelta *delta);

// group_keyed.cpp: puts a Running group's row into the overlay; it is not touched any more. Returns why it cannot.
const char *PutGroup(GroupsDelta *delta, Group *group);

// Evaluates Stateless groups (list of Group *) by key and puts them into the overlay. Returns why only recompute can
// answer.
const char *PutKeyedGroups(GroupsDelta *delta, const List *groups, Snapshot snapshot);

}  // namespace pgstream
