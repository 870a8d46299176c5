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
// snapshot must stay valid until EndBaseLookup. Allocated in the current context.
BaseLookup *BeginBaseLookup(Relation rel, const Stream *stream, Snapshot snapshot);

// One base row, valid during the call that sees it. Its slot is of the relation's own kind and knows its TID.
struct BaseRow {
  TupleTableSlot *slot;
  TupleDesc extended;  // see ExtendedDescriptor
};

// The row's hidden state or nullptr: a pointer into the row, perhaps with a short header.
const bytea *HiddenStateOf(const BaseRow *row);

// Sees one base row. Returns false to end the lookup.
using CandidateVisitor = bool (*)(const BaseRow *row, void *argument);

void FindCandidates(BaseLookup *lookup, int64 hash, CandidateVisitor visit, void *argument);

// Whether visiting every row of the base is cheaper than so many lookups.
bool VisitingIsCheaper(const BaseLookup *lookup, int64 lookups);

// Visits every row of the base instead of looking one up.
void VisitBase(BaseLookup *lookup, CandidateVisitor visit, void *argument);

void EndBaseLookup(BaseLookup *lookup);

}  // namespace pgstream
