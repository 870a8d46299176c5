// Appending records to the change log of a source.
//
// Promises: a writer never waits for a reclaim while the other segment is free. Refuses: to order records of different
// transactions.
#pragma once

#include "capture/change_log.hpp"

namespace pgstream {

// Bytes of a batch that still fits one page as a PLAIN value: the record takes a whole page then.
inline constexpr Size kBatchCapacity =
    MaxHeapTupleSize - MAXALIGN(SizeofHeapTupleHeader + kLogNullBitmap) - 2 * sizeof(uint64) - sizeof(int32) - VARHDRSZ;
// Batches beyond this are not stored; the record says "recompute" instead.
inline constexpr Size kLargestBatch = MaxAllocSize / 8 * 7;

// Locks (until the end of the transaction) and opens the one of a log's segments that writers use now. Close with table_close(.., NoLock).
Relation OpenLogForWriting(Oid source, const Oid *segments, int nsegments);

// Appends a record of a source to a segment. Kind 'c': one of batch and large is given; other kinds: none. When this transaction's
// own records have reached the limit of the log, it is one of kind 'o' instead, and later ones are left out.
void AppendLogRecord(Oid source, Relation log, char kind, bytea *batch, bytea *large);

}  // namespace pgstream
