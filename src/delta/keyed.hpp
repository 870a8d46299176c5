// Keyed re-evaluation: the defining query, or the source rows behind it, restricted to a set of keys.
//
// The keys travel as an ephemeral named relation with a true row count, joined to the source by the keys' own equality
// operators, so PostgreSQL's planner chooses index or hash join. Keys with NULLs are asked for in a query of their own per
// pattern of NULLs (`key IS NULL`), because IS NOT DISTINCT FROM would hide every index. Planning and running are two
// calls, so that the caller can look at the cost in between.
//
// Promises: every key of the set is visited once, whatever its NULLs; a key of which no row is left is not visited.
// Visitors are called in a memory context that ends with the run, and copy what they keep.
// Duplicate keys in the set are the caller's error (their rows would be counted twice). Refuses: plans other than Groups
// and Keyed.
#pragma once

#include "delta/evaluate.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// Distinct keys: row i is values[i * nkeys .. (i + 1) * nkeys), in the order of plan->keys; equality is the keys' own.
struct KeySet {
  int nkeys;
  int64 count;
  const Datum *values;
  const bool *nulls;
};

// A planned run for a key set, which must stay until it is over. In a memory context of its own under the current one.
struct KeyedRun;

// For the defining query, for these keys only: visits each row of the result (the columns of the stream table; HAVING
// applied). The order of visits says nothing. A plan without keys (always_one_row) runs unrestricted: one row. An empty
// set of a plan with keys runs nothing. The caller is in the owner's scope (see delta/evaluate.hpp).
KeyedRun *PlanKeyedQuery(const Stream *stream, const KeySet *keys, Snapshot snapshot);

// For the rows of the one source that pass the quals and have these keys. Visits each as a virtual slot of the source's
// own row type, in which the columns the plan does not use are NULL, so that the plan's expressions (Vars of varno 1) can
// be evaluated with it as ecxt_scantuple. The slot is valid during the visit only. Groups only.
KeyedRun *PlanKeyedSourceRows(const Stream *stream, const KeySet *keys, Snapshot snapshot);

// What the run will cost by the planner's reckoning, taking its rows included.
double KeyedRunCost(const KeyedRun *run);

// Runs it, once, and forgets it. Returns the number of rows.
uint64 RunKeyed(KeyedRun *run, Snapshot snapshot, RowVisitor visit, void *argument);

}  // namespace pgstream
