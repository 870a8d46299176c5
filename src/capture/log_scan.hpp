// Reading the records of one segment, under the header that readers use (change_log.hpp).
#pragma once

#include "capture/change_log.hpp"

namespace pgstream {

// What is known of a segment from an earlier read. A page is settled when the snapshot saw every tuple on it, each by a
// transaction other than the reader's own, and no record can be added: nothing on it can be new to a later snapshot.
struct SegmentPosition {
  Oid segment;
  Oid storage;         // relfilenode; another one: start again
  BlockNumber nblocks; // looked at so far
  BlockNumber capacity;
  bool *settled;       // by block
};

struct LogPosition {
  MemoryContext context;
  SegmentPosition segments[kMostSegments];
};

// Reads one segment, on which the caller holds AccessShareLock at least. With_batch: false leaves batch and batch_size
// empty. Stops when visit returns false, and returns false then.
using SegmentVisitor = bool (*)(const LogRecord *record, void *argument);
bool ScanLogSegment(Oid segment, Snapshot snapshot, LogPosition *position, int number, bool with_batch,
                    SegmentVisitor visit, void *argument);

// Pages of a segment, on which the caller holds AccessShareLock at least.
BlockNumber SegmentPages(Oid segment);

}  // namespace pgstream
