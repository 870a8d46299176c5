// The additions of an overlay: finished rows, addressed by ordinal, in memory and spilled to a temporary file when they
// outgrow it.
//
// Promises: ordinals are dense from 0 and stable; a fetched row stays valid until the next fetch through the same
// cursor. Rows carry two attributes beyond the relation's own, which readers never deform: the hidden state (bytea) and
// the TID of the base row they replace. Refuses: to change a row once the overlay is held by anybody.
#pragma once

#include "pg/includes.hpp"

struct BufFile;

namespace pgstream {

struct Additions {
  MemoryContext context;
  int64 count;            // ordinals in use; some may be holes (removed)
  int64 live;             // rows
  MinimalTuple *tuples;   // in memory; nullptr entries are holes
  int64 capacity;
  Size bytes, limit;      // in memory
  uint16 tag;             // tells the synthetic TIDs of one overlay from those of another
  struct BufFile *rows, *offsets;  // spilled
  int end_file;                    // where the next row goes in rows
  off_t end_offset;
};

struct AdditionsCursor {
  MinimalTuple buffer;  // of a spilled row
  Size buffer_size;
  HeapTupleHeader row;  // what the slot of AdditionsStore shows
  Size row_size;
};

// The Additions must lie in `context` (or outlive it): its temporary files are closed when the context is reset.
void AdditionsInit(Additions *additions, MemoryContext context, Size limit);
// Appends a row and returns its ordinal. The tuple is copied.
int64 AdditionsAppend(Additions *additions, MinimalTuple tuple);
// Replaces or (tuple == nullptr) removes the row of an ordinal; only while in memory.
void AdditionsReplace(Additions *additions, int64 ordinal, MinimalTuple tuple);
bool AdditionsInMemory(const Additions *additions);
// The row of an ordinal, nullptr for a hole. Valid until the next fetch with this cursor.
MinimalTuple AdditionsFetch(const Additions *additions, int64 ordinal, AdditionsCursor *cursor);
void AdditionsCursorEnd(AdditionsCursor *cursor);
void AdditionsEnd(Additions *additions);  // closes the temporary files

// Synthetic TIDs: block numbers no heap reaches.
inline constexpr BlockNumber kFirstSyntheticBlock = 0xF0000000;
inline constexpr int kOrdinalsPerBlock = 1024;
inline bool IsSyntheticTid(const ItemPointerData *tid) { return ItemPointerGetBlockNumberNoCheck(tid) >= kFirstSyntheticBlock &&
                                                                ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber; }
// The offset carries the tag above the ordinal, so a TID kept by EvalPlanQual finds the overlay it came from.
inline constexpr int kAdditionTags = 31;
void SyntheticTid(const Additions *additions, int64 ordinal, ItemPointer tid);
// The ordinal that a synthetic TID names among these additions, -1 when it is not one of theirs.
int64 SyntheticOrdinal(const Additions *additions, const ItemPointerData *tid);

// Puts the row of an ordinal into a slot of the relation's row type (any slot kind), with its synthetic TID and table OID. A
// slot for buffered heap tuples gets a heap tuple, whose system columns say that it is frozen; it lies in the cursor, so
// the row is good until the next one. False for a hole.
bool AdditionsStore(const Additions *additions, int64 ordinal, AdditionsCursor *cursor, Relation rel,
                    TupleTableSlot *slot);

}  // namespace pgstream
