// The callbacks of the access method, between the files of this room. Shapes are those of the server's TableAmRoutine.
//
// Promises: a TableScanDesc is either heap's own or a MergeScan, told apart by kMergeScanTag in rs_flags.
#pragma once

#include "am/access_method.hpp"

namespace pgstream {

inline const TableAmRoutine *Heap() {
  return GetHeapamTableAmRoutine();
}

// A bit of rs_flags that the server does not use: the descriptor is a MergeScan.
inline constexpr uint32 kMergeScanTag = UINT32_C(1) << 30;

// Where a scan of base and additions stands.
enum class ScanPhase { Base, Additions };

// A scan with something to merge. Wraps a heap scan that outlives no callback unwrapped.
struct MergeScan {
  TableScanDescData base;
  TableScanDesc heap;
  Overlay *overlay;  // held until scan_end; nullptr: nothing to merge, or not resolved yet
  bool resolved;     // overlay is known
  bool emits;        // additions are this scan's to return (not in parallel and bitmap scans: a delta arm does)
  bool inited;       // a row was asked for since (re)start
  ScanPhase phase;
  int64 ordinal;  // in phase Additions: the addition last visited, -1 before the first
  AdditionsCursor cursor;
  BlockNumber block;  // block whose mask `words` is
  const uint64 *words;
  uint32 unmasked;  // so many of heap's next rows, forward, are known to be of that block and not masked
  ItemPointerData min_tid;  // additions outside are not returned; of a TID range scan
  ItemPointerData max_tid;
};

inline bool IsMergeScan(TableScanDesc scan) {
  return (scan->rs_flags & kMergeScanTag) != 0;
}

// True when the next row is heap's, as it is. Any other step of a scan begins by forgetting what was known of the next ones.
inline bool TakeUnmasked(MergeScan *scan, ScanDirection direction) {
  if (unlikely(scan->unmasked == 0)) return false;
  scan->unmasked = ScanDirectionIsForward(direction) ? scan->unmasked - 1 : 0;
  return ScanDirectionIsForward(direction);
}

// Ends a merge scan except for its heap scan, which is returned: the caller ends it.
TableScanDesc UnwrapMergeScan(MergeScan *scan);

// scan.cpp
TableScanDesc ScanBegin(Relation rel, Snapshot snapshot, int nkeys, ScanKeyData *key, ParallelTableScanDesc parallel,
                        uint32 flags);
void ScanEnd(TableScanDesc scan);
void ScanRescan(TableScanDesc scan, ScanKeyData *key, bool set_params, bool allow_strat, bool allow_sync,
                bool allow_pagemode);
bool ScanGetNextSlot(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot);
void ScanSetTidRange(TableScanDesc scan, ItemPointer min_tid, ItemPointer max_tid);
bool ScanGetNextSlotTidRange(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot);
#ifdef PGSTREAM_BITMAP_SCAN_BY_TUPLE
bool ScanBitmapNextTuple(TableScanDesc scan, TupleTableSlot *slot, bool *recheck, uint64 *lossy_pages,
                         uint64 *exact_pages);
#else
bool ScanBitmapNextBlock(TableScanDesc scan, TBMIterateResult *page);
bool ScanBitmapNextTuple(TableScanDesc scan, TBMIterateResult *page, TupleTableSlot *slot);
#endif

// index_fetch.cpp
IndexFetchTableData *IndexFetchBegin(Relation rel);
void IndexFetchEnd(IndexFetchTableData *fetch);
// Not for raw fetches.
bool IndexFetchTuple(IndexFetchTableData *fetch, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
                     bool *call_again, bool *all_dead);
double IndexBuildRangeScan(Relation rel, Relation index, IndexInfo *info, bool allow_sync, bool any_visible,
                           bool progress, BlockNumber start_block, BlockNumber nblocks, IndexBuildCallback callback,
                           void *state, TableScanDesc scan);
void IndexValidateScan(Relation rel, Relation index, IndexInfo *info, Snapshot snapshot, ValidateIndexState *state);

// fetch.cpp
bool TupleFetchRowVersion(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot);
bool TupleTidValid(TableScanDesc scan, ItemPointer tid);
void TupleGetLatestTid(TableScanDesc scan, ItemPointer tid);

// write.cpp
void TupleInsert(Relation rel, TupleTableSlot *slot, CommandId cid, int options, BulkInsertStateData *state);
void TupleInsertSpeculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options, BulkInsertStateData *state,
                            uint32 token);
void MultiInsert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
                 BulkInsertStateData *state);
TM_Result TupleDelete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
                      TM_FailureData *failure, bool changing_part);
TM_Result TupleUpdate(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid, Snapshot snapshot,
                      Snapshot crosscheck, bool wait, TM_FailureData *failure, LockTupleMode *mode,
                      compat::UpdateIndexes *update_indexes);
TM_Result TupleLock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot, CommandId cid,
                    LockTupleMode mode, LockWaitPolicy policy, uint8 flags, TM_FailureData *failure);

// vacuum.cpp
void RelationVacuum(Relation rel, VacuumParams *params, BufferAccessStrategy strategy);
void RelationCopyForCluster(Relation old_table, Relation new_table, Relation index, bool sort, TransactionId oldest_xmin,
                            TransactionId *xid_cutoff, MultiXactId *multi_cutoff, double *tuples, double *vacuumed,
                            double *recently_dead);

}  // namespace pgstream
