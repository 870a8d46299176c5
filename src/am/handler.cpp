// The routine of the access method: heap's own, with the callbacks replaced that read under MVCC snapshots or write.
//
// Promises: what is not replaced is heap's, so that VACUUM, ANALYZE, CLUSTER, statistics and storage work on the base
// as on any table. Refuses: to give TOAST tables this access method, and to open or create a table of it where the
// library is not preloaded: the base alone would be read as the answer.
#include "am/callbacks.hpp"
#include "delta/shared_read.hpp"
#include "delta/unresolved_groups.hpp"
#include "pg/boundary.hpp"
#include "pg/raw_scan.hpp"
#include "pg/settings.hpp"

namespace pgstream {
namespace {

TableAmRoutine routine;

Oid RelationToastAm(Relation) {
  return HEAP_TABLE_AM_OID;
}

// The two callbacks that run per row take no detour through the boundary, once the overlay, which engine frames had a
// part in, is there: what is left are server frames.
bool GetNextSlot(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot) {
  if (likely(!IsMergeScan(scan))) return heap_getnextslot(scan, direction, slot);
  MergeScan *const merge = reinterpret_cast<MergeScan *>(scan);
  if (likely(TakeUnmasked(merge, direction))) return heap_getnextslot(merge->heap, direction, slot);
  if (likely(merge->resolved)) return ScanGetNextSlot(scan, direction, slot);
  return Callback<ScanGetNextSlot>::Call(scan, direction, slot);
}

bool FetchTuple(IndexFetchTableData *fetch, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot, bool *call_again,
                bool *all_dead) {
  const auto *const stream_fetch = reinterpret_cast<StreamIndexFetch *>(fetch);
  if (unlikely(snapshot != stream_fetch->snapshot && !stream_fetch->raw))
    return Callback<IndexFetchTuple>::Call(fetch, tid, snapshot, slot, call_again, all_dead);
  if (likely(stream_fetch->overlay == nullptr))
    return Heap()->index_fetch_tuple(fetch, tid, snapshot, slot, call_again, all_dead);
  if (unlikely(stream_fetch->overlay->unresolved != nullptr))
    return Callback<IndexFetchTuple>::Call(fetch, tid, snapshot, slot, call_again, all_dead);
  return IndexFetchTuple(fetch, tid, snapshot, slot, call_again, all_dead);
}

}  // namespace

namespace {
bool IsMvcc(Snapshot snapshot) { return snapshot != nullptr && snapshot->snapshot_type == SNAPSHOT_MVCC; }

// The stream that MVCC snapshots read merged; nullptr where the base is the content.
const Stream *MergedStream(Relation rel) {
  const Stream *const stream = LookupStream(RelationGetRelid(rel));
  return stream != nullptr && stream->mode != RefreshMode::Full ? stream : nullptr;
}
}  // namespace

bool MayHaveOverlay(Relation rel, Snapshot snapshot) {
  return IsMvcc(snapshot) && MergedStream(rel) != nullptr;
}

Overlay *OverlayForRead(Relation rel, Snapshot snapshot, Wanted wanted) {
  if (!IsMvcc(snapshot)) return nullptr;
  const bool by_key = wanted == Wanted::ForRows && AllReadByKey(RelationGetRelid(rel), snapshot);
  Overlay *overlay;
  if (FindSharedOverlay(RelationGetRelid(rel), snapshot, &overlay)) {
    if (!by_key && overlay != nullptr && overlay->unresolved != nullptr) ResolveAllGroups(overlay, rel, snapshot);
    return overlay;
  }
  const Stream *const stream = MergedStream(rel);
  overlay = stream != nullptr ? AcquireOverlay(rel, stream, snapshot, by_key) : nullptr;
  DecideSharedRead(RelationGetRelid(rel), snapshot, overlay);
  return overlay;
}

void InitAccessMethod() {
  routine = *Heap();

  routine.scan_begin = Callback<ScanBegin>::Call;
  routine.scan_end = Callback<ScanEnd>::Call;
  routine.scan_rescan = Callback<ScanRescan>::Call;
  routine.scan_getnextslot = GetNextSlot;
  routine.scan_set_tidrange = Callback<ScanSetTidRange>::Call;
  routine.scan_getnextslot_tidrange = Callback<ScanGetNextSlotTidRange>::Call;
#ifndef PGSTREAM_BITMAP_SCAN_BY_TUPLE
  routine.scan_bitmap_next_block = Callback<ScanBitmapNextBlock>::Call;
#endif
  routine.scan_bitmap_next_tuple = Callback<ScanBitmapNextTuple>::Call;

  // index_fetch_reset stays heap's: a StreamIndexFetch begins with heap's descriptor, and its overlay outlives rescans.
  routine.index_fetch_begin = Callback<IndexFetchBegin>::Call;
  routine.index_fetch_end = Callback<IndexFetchEnd>::Call;
  routine.index_fetch_tuple = FetchTuple;
  routine.index_build_range_scan = Callback<IndexBuildRangeScan>::Call;
  routine.index_validate_scan = Callback<IndexValidateScan>::Call;

  routine.tuple_fetch_row_version = Callback<TupleFetchRowVersion>::Call;
  routine.tuple_tid_valid = Callback<TupleTidValid>::Call;
  routine.tuple_get_latest_tid = Callback<TupleGetLatestTid>::Call;

  routine.tuple_insert = Callback<TupleInsert>::Call;
  routine.tuple_insert_speculative = Callback<TupleInsertSpeculative>::Call;
  routine.multi_insert = Callback<MultiInsert>::Call;
  routine.tuple_delete = Callback<TupleDelete>::Call;
  routine.tuple_update = Callback<TupleUpdate>::Call;
  routine.tuple_lock = Callback<TupleLock>::Call;

  routine.relation_vacuum = Callback<RelationVacuum>::Call;
  routine.relation_copy_for_cluster = Callback<RelationCopyForCluster>::Call;
  routine.relation_toast_am = Callback<RelationToastAm>::Call;
}

}  // namespace pgstream

PGSTREAM_FUNCTION(pgstream_table_handler) {
  (void)fcinfo;
  pgstream::RequirePreload();
  PG_RETURN_POINTER(&pgstream::routine);
}
