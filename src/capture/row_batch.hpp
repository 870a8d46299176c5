// Rows captured one by one, on their way into the log: they are gathered in memory while a statement on their source is open
// and written as records of many rows; at once where no statement is open (what replication applies).
//
// Promises: nothing allocated and no catalog read per row; what a subtransaction gathered is written by it or forgotten with
// it, never written by another one; whatever is left is written before the transaction commits. Refuses: to hold back more
// than one record's worth of a source.
#pragma once

#include "capture/source_capture.hpp"

namespace pgstream {

// A row of capture->key.table, or a row before and after, as changes of capture->key.source.
void BatchRow(const SourceCapture *capture, int weight, TupleTableSlot *slot);
void BatchPair(const SourceCapture *capture, TupleTableSlot *old_slot, TupleTableSlot *new_slot);

// Writes what the current subtransaction gathered of a source.
void FlushBatch(Oid source);

void InitRowBatch();  // called once by InitCapture

}  // namespace pgstream
