// Finding rows of the base, as it is without any overlay, by the hash of their key or image.
//
// Promises: every base row visible under the snapshot whose hash is the one asked for is visited; others may be too, so
// the visitor compares; rows of one hash come in the order of their TIDs, in every process alike. Refuses: to see additions.
#pragma once

#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

struct BaseLookup;

// Opens the key index of a stream table; a stream without one (one-row results) is scanned whole for each lookup. The
// snapshot must stay valid until EndBaseLookup. Allocated in the current context. for_fold: rows that are found are about to be
// replaced, so their pages are given room for that.
BaseLookup *BeginBaseLookup(Relation rel, const Stream *stream, Snapshot snapshot, bool for_fold);

// One base row, valid during the call that sees it. Its slot is of the relation's own kind and knows its TID.
struct BaseRow {
  TupleTableSlot *slot;
  TupleDesc extended;  // see ExtendedDescriptor
  int64 hash;          // the visitor's: what preparing the row left for its visit
};

// The row's hidden state or nullptr: a pointer into the row, perhaps with a short header.
const bytea *HiddenStateOf(const BaseRow *row);

// Sees a base row that may be the one, or one of those, that lookup number `which` is after. Returns false when it needs no
// more of them; it may be shown some all the same.
using CandidateVisitor = bool (*)(const BaseRow *row, int64 which, void *argument);

// What a visitor finds by a row lies anywhere in memory. So in a pass over the base a few rows at a time are prepared before they
// are visited, step by step: each step has what the last one fetched (`__builtin_prefetch`) of all of them.
using CandidatePreparer = void (*)(BaseRow *row, int step, void *argument);
inline constexpr int kCandidateSteps = 3;

// The same of lookups by hash: fetches what visiting a row for lookup number `which` will look at, at step 0 what is known, at
// step 1 what that says.
using LookupPreparer = void (*)(int64 which, int step, void *argument);

// Looks up the hashes, which ascend; lookup number i is after hashes[i]. Costs are least for many at once: they are taken
// from the index in its order and from the base in the order of its pages. prepare may be nullptr.
void FindCandidates(BaseLookup *lookup, const int64 *hashes, int64 count, CandidateVisitor visit, void *argument,
                    LookupPreparer prepare = nullptr);

// Whether visiting every row of the base is cheaper than so many lookups.
bool VisitingIsCheaper(const BaseLookup *lookup, int64 lookups);

// What so many lookups will cost, one way or the other, in the planner's units.
double LookupCost(Relation rel, int64 lookups);

// Visits every row of the base as a candidate of lookup 0, until the visitor needs no more. prepare may be nullptr.
void VisitBase(BaseLookup *lookup, CandidateVisitor visit, void *argument, CandidatePreparer prepare = nullptr);

void EndBaseLookup(BaseLookup *lookup);

}  // namespace pgstream
