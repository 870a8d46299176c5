// Keyed re-evaluation: the defining query, or the source rows behind it, restricted to a set of group keys.
//
// The keys travel as an ephemeral named relation with a true row count, joined by the keys' own equality operators, so
// PostgreSQL's planner chooses index or hash join. Keys with NULLs are asked for in a query of their own per pattern of
// NULLs (`key IS NULL`), because IS NOT DISTINCT FROM would hide every index.
//
// Promises: every group of the set is visited once, whatever its NULLs; a key of which no row is left is not visited.
// Visitors are called in a memory context that ends with the run, and copy what they keep.
// Duplicate keys in the set are the caller's error (its groups would be counted twice). Refuses: plans other than Groups.
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

// Runs the defining query for the groups of keys only and visits each row of the result (the columns of the stream
// table; HAVING applied). The order of visits says nothing. A plan without keys (always_one_row) runs unrestricted:
// one row. An empty set of a plan with keys runs nothing. Returns the number of rows. The caller is in the owner's
// scope (see delta/evaluate.hpp).
uint64 RunKeyedQuery(const Stream *stream, const KeySet *keys, Snapshot snapshot, RowVisitor visit, void *argument);

// Runs over the rows of the one source that pass the quals and belong to those groups. Visits each as a virtual slot of
// the source's own row type, in which the columns the plan does not use are NULL, so that the plan's expressions
// (Vars of varno 1) can be evaluated with it as ecxt_scantuple. The slot is valid during the visit only.
uint64 RunKeyedSourceRows(const Stream *stream, const KeySet *keys, Snapshot snapshot, RowVisitor visit, void *argument);

}  // namespace pgstream
