// Rows fetched by TID: TID scans under the query's snapshot, and what EvalPlanQual and triggers fetch under
// SnapshotAny.
//
// Promises: the synthetic TID of an addition (see delta/additions.hpp) can be fetched wherever the server may have kept
// it: within the query, and for as long as its overlay is held or cached. Refuses: to follow additions to later
// versions: they have none.
#include "am/callbacks.hpp"

namespace pgstream {
namespace {

// Puts an addition into a slot that owns its memory afterwards: the overlay may be gone before the slot.
bool FetchAddition(const Overlay *overlay, Relation rel, ItemPointer tid, TupleTableSlot *slot) {
  const int64 ordinal = overlay != nullptr ? SyntheticOrdinal(&overlay->additions, tid) : -1;
  if (ordinal < 0)
    return false;
  AdditionsCursor cursor = {};
  const bool found = AdditionsStore(&overlay->additions, ordinal, &cursor, rel, slot);
  if (found)
    ExecMaterializeSlot(slot);
  AdditionsCursorEnd(&cursor);
  return found;
}

}  // namespace

bool TupleFetchRowVersion(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot) {
  const bool synthetic = IsSyntheticTid(tid);
  if (snapshot->snapshot_type != SNAPSHOT_MVCC) {
    if (!synthetic)
      return Heap()->tuple_fetch_row_version(rel, tid, snapshot, slot);
    return FetchAddition(FindOverlayOfAddition(RelationGetRelid(rel), tid), rel, tid, slot);
  }
  Overlay *const overlay = OverlayForRead(rel, snapshot, Wanted::Whole);
  bool found;
  if (synthetic) {
    found = FetchAddition(overlay, rel, tid, slot);
  } else {
    found = Heap()->tuple_fetch_row_version(rel, tid, snapshot, slot);
    if (found && overlay != nullptr && OverlayMasks(overlay, &slot->tts_tid)) {
      ExecClearTuple(slot);
      found = false;
    }
  }
  if (overlay != nullptr)
    ReleaseOverlay(overlay);
  return found;
}

bool TupleTidValid(TableScanDesc scan, ItemPointer tid) {
  if (!IsMergeScan(scan))
    return Heap()->tuple_tid_valid(scan, tid);
  const auto *const merge = reinterpret_cast<MergeScan *>(scan);
  if (IsSyntheticTid(tid))
    return SyntheticOrdinal(&merge->overlay->additions, tid) >= 0;
  return Heap()->tuple_tid_valid(merge->heap, tid);
}

void TupleGetLatestTid(TableScanDesc scan, ItemPointer tid) {
  if (IsMergeScan(scan)) {
    if (IsSyntheticTid(tid))
      return;
    scan = reinterpret_cast<MergeScan *>(scan)->heap;
  }
  Heap()->tuple_get_latest_tid(scan, tid);
}

}  // namespace pgstream
