// Frontiers: what of the logs the base of a stream table contains, read with the reader's snapshot, written by the fold.
//
// Promises: a reader sees the base rows and the frontier of the same fold or of neither. Refuses: a frontier that does
// not see the transaction that attached the capture: such a base cannot be brought up to date from the log.
#pragma once

#include "core/frontier.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

struct FrontierRow {
  int32 version;
  int64 fold_number;
  Frontier frontier;  // arrays in the context given to ReadFrontier
  TimestampTz data_timestamp;
};

// The frontier visible under snapshot, in context; nullptr when none is (not populated, or the snapshot is older).
FrontierRow *ReadFrontier(Oid relid, Snapshot snapshot, MemoryContext context);

// The snapshot's 64-bit view of finished top-level transactions, in context.
SnapshotView ViewOfSnapshot(Snapshot snapshot, MemoryContext context);

// Inserts or updates the frontier of a stream table: the base now contains what `snapshot` (the fold's) sees, and of the
// current transaction's own log records those up to own_sequence. data_timestamp: when the snapshot was taken, or before.
void WriteFrontier(Oid relid, int32 version, int64 fold_number, Snapshot snapshot, int64 own_sequence,
                   TimestampTz data_timestamp);

}  // namespace pgstream
