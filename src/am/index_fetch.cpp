// Rows reached through an index, and building indexes.
//
// Promises: an index scan under an MVCC snapshot returns no masked row; which rows those are is found out at the first
// fetch, because only that brings the snapshot. An index is built over the raw base. Refuses: to emit additions (the
// delta arm does).
#include "am/callbacks.hpp"
#include "pg/raw_scan.hpp"

namespace pgstream {
namespace {

StreamIndexFetch *AsStreamFetch(IndexFetchTableData *fetch) { return reinterpret_cast<StreamIndexFetch *>(fetch); }

void DropOverlay(StreamIndexFetch *fetch) {
  if (fetch->overlay != nullptr) ReleaseOverlay(fetch->overlay);
  fetch->overlay = nullptr;
  fetch->snapshot = nullptr;
}

// Heap's index builds insist on a relation whose access method is heap, by pointer. While one runs the relation shows
// heap's routine; an invalidation may put ours back, so every row restores it.
struct IndexBuildState {
  Relation rel;
  IndexBuildCallback callback;
  void *state;
};

void BuildCallback(Relation index, ItemPointer tid, Datum *values, bool *nulls, bool alive, void *argument) {
  auto *const build = static_cast<IndexBuildState *>(argument);
  build->callback(index, tid, values, nulls, alive, build->state);
  build->rel->rd_tableam = Heap();
}

}  // namespace

IndexFetchTableData *IndexFetchBegin(Relation rel) {
  auto *const fetch = static_cast<StreamIndexFetch *>(palloc0(sizeof(StreamIndexFetch)));
  IndexFetchTableData *const heap = Heap()->index_fetch_begin(rel);
  fetch->heap = *reinterpret_cast<IndexFetchHeapData *>(heap);
  pfree(heap);
  return &fetch->heap.xs_base;
}

void IndexFetchEnd(IndexFetchTableData *fetch) {
  DropOverlay(AsStreamFetch(fetch));
  Heap()->index_fetch_end(fetch);
}

bool IndexFetchTuple(IndexFetchTableData *fetch, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
                     bool *call_again, bool *all_dead) {
  StreamIndexFetch *const stream_fetch = AsStreamFetch(fetch);
  if (unlikely(snapshot != stream_fetch->snapshot) && !stream_fetch->raw) {
    DropOverlay(stream_fetch);
    stream_fetch->overlay = OverlayForRead(fetch->rel, snapshot);
    stream_fetch->snapshot = snapshot;
  }
  if (!Heap()->index_fetch_tuple(fetch, tid, snapshot, slot, call_again, all_dead)) return false;
  if (stream_fetch->overlay != nullptr && OverlayMasks(stream_fetch->overlay, &slot->tts_tid)) {
    ExecClearTuple(slot);
    return false;
  }
  return true;
}

double IndexBuildRangeScan(Relation rel, Relation index, IndexInfo *info, bool allow_sync, bool any_visible,
                           bool progress, BlockNumber start_block, BlockNumber nblocks, IndexBuildCallback callback,
                           void *state, TableScanDesc scan) {
  // Parallel builds and amcheck bring a scan of their own, begun under an MVCC snapshot perhaps; heap ends it.
  const bool wrapped = scan != nullptr && IsMergeScan(scan);
  const TableScanDesc heap_scan = wrapped ? UnwrapMergeScan(reinterpret_cast<MergeScan *>(scan)) : scan;
  IndexBuildState build = {rel, callback, state};
  const TableAmRoutine *const own = rel->rd_tableam;
  volatile double tuples = 0;
  rel->rd_tableam = Heap();
  PG_TRY();
  {
    tuples = Heap()->index_build_range_scan(rel, index, info, allow_sync, any_visible, progress, start_block, nblocks,
                                            BuildCallback, &build, heap_scan);
  }
  PG_FINALLY();
  { rel->rd_tableam = own; }
  PG_END_TRY();
  return tuples;
}

void IndexValidateScan(Relation rel, Relation index, IndexInfo *info, Snapshot snapshot, ValidateIndexState *state) {
  const TableAmRoutine *const own = rel->rd_tableam;
  rel->rd_tableam = Heap();
  PG_TRY();
  { Heap()->index_validate_scan(rel, index, info, snapshot, state); }
  PG_FINALLY();
  { rel->rd_tableam = own; }
  PG_END_TRY();
}

}  // namespace pgstream
