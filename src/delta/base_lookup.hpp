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

// Sees one base row: its slot (of the relation's own kind), its TID, and its hidden state or nullptr (a pointer into
// the row, perhaps with a short header). All are valid during the call. Returns false to end the lookup.
using CandidateVisitor = bool (*)(TupleTableSlot *row, ItemPointer tid, const bytea *state, void *argument);

void FindCandidates(BaseLookup *lookup, int64 hash, CandidateVisitor visit, void *argument);

// Visits every row of the base instead of looking one up.
void VisitBase(BaseLookup *lookup, CandidateVisitor visit, void *argument);

void EndBaseLookup(BaseLookup *lookup);

}  // namespace pgstream
