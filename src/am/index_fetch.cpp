// Rows reached through an index, and building indexes.
//
// Promises: an index scan under an MVCC snapshot returns no masked row; which rows those are is found out at the first
// fetch, because only that brings the snapshot. An index is built over the raw base. Refuses: to emit additions (the
// delta arm does).
#include "am/callbacks.hpp"
#include "delta/unresolved_groups.hpp"
#include "pg/boundary.hpp"
#include "pg/raw_scan.hpp"

namespace pgstream {
namespace {

StreamIndexFetch *AsStreamFetch(IndexFetchTableData *fetch) {
  return reinterpret_cast<StreamIndexFetch *>(fetch);
}

void DropOverlay(StreamIndexFetch *fetch) {
  if (fetch->overlay != nullptr) ReleaseOverlay(fetch->overlay);
  fetch->overlay = nullptr;
  fetch->snapshot = nullptr;
}

// Heap's index builds insist on a relation whose access method is heap, by pointer. While one runs the relation shows
// heap's routine; an invalidation may put ours back, so every row restores it.
struct IndexBuild {
  Relation rel;
  IndexBuildCallback callback;
  void *state;
};

void BuildCallback(Relation index, ItemPointer tid, Datum *values, bool *nulls, bool alive, void *argument) {
  auto *const build = static_cast<IndexBuild *>(argument);
  build->callback(index, tid, values, nulls, alive, build->state);
  build->rel->rd_tableam = Heap();
}

// Runs work while rel shows heap's routine.
template <class Work>
void AsHeap(Relation rel, const Work &work) {
  const TableAmRoutine *const own = rel->rd_tableam;
  rel->rd_tableam = Heap();
  PG_TRY();
  { work(); }
  PG_FINALLY();
  { rel->rd_tableam = own; }
  PG_END_TRY();
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
  if (unlikely(snapshot != stream_fetch->snapshot)) {
    DropOverlay(stream_fetch);
    stream_fetch->overlay = OverlayForRead(fetch->rel, snapshot, Wanted::ForRows);
    stream_fetch->snapshot = snapshot;
  }
  if (!Heap()->index_fetch_tuple(fetch, tid, snapshot, slot, call_again, all_dead)) return false;
  if (stream_fetch->overlay != nullptr && unlikely(stream_fetch->overlay->unresolved != nullptr))
    ResolveGroupOfRow(stream_fetch->overlay, fetch->rel, slot, snapshot);
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
  if (scan != nullptr && IsMergeScan(scan)) scan = UnwrapMergeScan(reinterpret_cast<MergeScan *>(scan));
  IndexBuild build = {rel, callback, state};
  double tuples = 0;
  const auto work = [&]() {
    tuples = Heap()->index_build_range_scan(rel, index, info, allow_sync, any_visible, progress, start_block, nblocks,
                                            Callback<BuildCallback>::Call, &build, scan);
  };
  AsHeap(rel, work);
  return tuples;
}

void IndexValidateScan(Relation rel, Relation index, IndexInfo *info, Snapshot snapshot, ValidateIndexState *state) {
  const auto work = [&]() { Heap()->index_validate_scan(rel, index, info, snapshot, state); };
  AsHeap(rel, work);
}

}  // namespace pgstream
