// Writing the base heap of a stream table, hidden state and indexes included.
//
// Promises: rows go through the heap's own functions, so WAL, HOT and every index are as for any table; a row's hidden
// state is one attribute beyond the relation's last column. Refuses: concurrency of its own: the fold's lock makes sure
// that nobody else writes the base.
//
// New rows wait for others, so that a page is locked and logged once for all that come into it. The last of them, and index
// entries, come before EndBaseWrite, by FinishBaseWrite: it calls what opening and filling the owner's indexes calls, so it belongs
// into the same scope as the rows.
#pragma once

#include "pg/includes.hpp"
#include "refresh/index_entries.hpp"

namespace pgstream {

struct BaseWriter {
  Relation rel;
  TupleDesc extended;   // the relation's columns and the hidden state
  TupleDesc additions;  // see ExtendedDescriptor
  EState *estate;
  ResultRelInfo *result_rel;
  IndexEntries *entries;  // nullptr: there is no index
  TupleTableSlot *slot;
  BulkInsertState bulk_insert;
  TupleTableSlot **waiting;  // new rows
  int nwaiting, waiting_slots;
  Size waiting_bytes;
  MemoryContext waiting_context;
  MemoryContext row_context;
  bool server_asserts;  // the server was built with assertions
  int64 inserted, updated, deleted;
};

BaseWriter *BeginBaseWrite(Relation rel);
// state: the hidden state, or nullptr for none.
void InsertBaseRow(BaseWriter *writer, const Datum *values, const bool *isnull, bytea *state);
// Rows of an overlay.
void InsertAddition(BaseWriter *writer, MinimalTuple addition);
void UpdateByAddition(BaseWriter *writer, ItemPointer tid, MinimalTuple addition);
void DeleteBaseRow(BaseWriter *writer, ItemPointer tid);
void FinishBaseWrite(BaseWriter *writer);
void EndBaseWrite(BaseWriter *writer);

}  // namespace pgstream
