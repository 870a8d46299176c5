// Scans of a stream table: base rows that are not masked, then additions.
//
// Promises: scan_begin decides once, by the snapshot, whether there is anything to merge; where there is not, the
// caller gets heap's own descriptor and pays nothing more. Backward scans see the same rows in the opposite order. A
// parallel scan and a bitmap scan only leave masked rows out: the additions are the delta arm's, which runs once.
// Refuses: scan keys and TABLESAMPLE while rows are pending.
#include "am/callbacks.hpp"

namespace pgstream {
namespace {

MergeScan *AsMergeScan(TableScanDesc scan) {
  return reinterpret_cast<MergeScan *>(scan);
}

// Puts a scan before its first row.
void Restart(MergeScan *scan) {
  scan->inited = false;
  scan->phase = ScanPhase::Base;
  scan->ordinal = -1;
  scan->block = InvalidBlockNumber;
  scan->words = nullptr;
  scan->unmasked = 0;
}

// True when the row at this offset of the block whose mask `words` is (not null) is superseded.
bool MaskedAt(const MergeScan *scan, OffsetNumber offset) {
  return offset <= scan->overlay->mask.max_offset() && TidMask::TestBit(scan->words, offset);
}

// True when the base row in slot is superseded. Consecutive rows of a block cost a bit test.
pg_attribute_always_inline bool Masked(MergeScan *scan, const TupleTableSlot *slot) {
  const Overlay *const overlay = scan->overlay;
  if (overlay->masks_all)
    return true;
  const BlockNumber block = ItemPointerGetBlockNumberNoCheck(&slot->tts_tid);
  if (block != scan->block) {
    scan->block = block;
    scan->words = overlay->mask.Block(block);
  }
  if (likely(scan->words == nullptr))
    return false;
  return MaskedAt(scan, ItemPointerGetOffsetNumberNoCheck(&slot->tts_tid));
}

// Asks now, where scan_begin has left it open.
void ResolveOverlay(MergeScan *scan) {
  if (likely(scan->resolved))
    return;
  scan->overlay = OverlayForRead(scan->base.rs_rd, scan->base.rs_snapshot, Wanted::Whole);
  scan->resolved = true;
}

// Takes the masked rows out of those that heap has yet to return of its current page, on which it stands at the first one:
// it works through a list of what the snapshot sees there. No row of the rest has to be looked at again then.
void SkipMaskedOfPage(MergeScan *scan) {
  if ((scan->heap->rs_flags & SO_ALLOW_PAGEMODE) == 0)
    return;
  HeapScanDesc const heap = reinterpret_cast<HeapScanDesc>(scan->heap);
  const auto next = static_cast<uint32>(heap->rs_cindex) + 1;
  auto end = static_cast<uint32>(heap->rs_ntuples);
  if (scan->words != nullptr) {
    uint32 kept = next;
    for (uint32 i = next; i < end; i++) {
      const OffsetNumber offset = heap->rs_vistuples[i];
      if (!MaskedAt(scan, offset))
        heap->rs_vistuples[kept++] = offset;
    }
    end = kept;
    heap->rs_ntuples = static_cast<decltype(heap->rs_ntuples)>(end);
  }
  scan->unmasked = end - next;
}

// The next base row that is not masked, by heap's getnextslot of the scan's type.
template <bool (*Next)(TableScanDesc, ScanDirection, TupleTableSlot *)>
pg_attribute_always_inline bool NextOfBase(MergeScan *scan, ScanDirection direction, TupleTableSlot *slot) {
  if (scan->overlay->masks_all) {
    ExecClearTuple(slot);
    return false;
  }
  while (Next(scan->heap, direction, slot)) {
    const BlockNumber before = scan->block;
    const bool masked = Masked(scan, slot);
    if (Next == heap_getnextslot && scan->block != before && ScanDirectionIsForward(direction))
      SkipMaskedOfPage(scan);
    if (!masked)
      return true;
    // Another was at hand, and none of those that follow it is masked.
    if (TakeUnmasked(scan, direction))
      return Next(scan->heap, direction, slot);
    CHECK_FOR_INTERRUPTS();
  }
  return false;
}

// The next addition in the direction and the scan's TID range; leaves ordinal at count or -1 when there is none.
bool NextOfAdditions(MergeScan *scan, ScanDirection direction, TupleTableSlot *slot) {
  const Additions *const additions = &scan->overlay->additions;
  const int step = ScanDirectionIsForward(direction) ? 1 : -1;
  while (true) {
    if (step > 0 ? scan->ordinal + 1 >= additions->count : scan->ordinal <= 0)
      break;
    scan->ordinal += step;
    ItemPointerData tid;
    SyntheticTid(additions, scan->ordinal, &tid);
    if (ItemPointerCompare(&tid, &scan->min_tid) < 0 || ItemPointerCompare(&tid, &scan->max_tid) > 0)
      continue;
    if (AdditionsStore(additions, scan->ordinal, &scan->cursor, scan->base.rs_rd, slot))
      return true;
    CHECK_FOR_INTERRUPTS();
  }
  scan->ordinal = step > 0 ? additions->count : -1;
  ExecClearTuple(slot);
  return false;
}

// The next row of the merged relation. A scan that starts backward starts at the last addition; one that has run off
// either end continues from there when it turns round, as heap's own does.
template <bool (*Next)(TableScanDesc, ScanDirection, TupleTableSlot *)>
pg_attribute_always_inline bool NextMerged(MergeScan *scan, ScanDirection direction, TupleTableSlot *slot) {
  if (ScanDirectionIsForward(direction)) {
    scan->inited = true;
    if (scan->phase == ScanPhase::Base) {
      if (NextOfBase<Next>(scan, direction, slot))
        return true;
      if (!scan->emits)
        return false;
      scan->phase = ScanPhase::Additions;
      scan->ordinal = -1;
    }
    return NextOfAdditions(scan, direction, slot);
  }
  if (!scan->inited && scan->emits) {
    scan->phase = ScanPhase::Additions;
    scan->ordinal = scan->overlay->additions.count;
  }
  scan->inited = true;
  if (scan->phase == ScanPhase::Additions) {
    if (NextOfAdditions(scan, direction, slot))
      return true;
    scan->phase = ScanPhase::Base;
  }
  if (NextOfBase<Next>(scan, direction, slot))
    return true;
  scan->inited = false;
  return false;
}

}  // namespace

TableScanDesc ScanBegin(Relation rel, Snapshot snapshot, int nkeys, ScanKeyData *key, ParallelTableScanDesc parallel,
                        uint32 flags) {
  // Parallel index builds begin parallel scans as well, and must not evaluate anything: there the question waits for
  // the first row asked for through the scan. So it does in bitmap scans, which 15 begins with the executor: before the
  // delta arm has opened the shared read, and before a worker has heard what its leader decided.
  const bool later = (parallel != nullptr || (flags & SO_TYPE_BITMAPSCAN) != 0) && MayHaveOverlay(rel, snapshot);
  Overlay *overlay = nullptr;
  if (!later && (flags & SO_TYPE_ANALYZE) == 0)
    overlay = OverlayForRead(rel, snapshot, Wanted::Whole);
  if (likely(!later && overlay == nullptr))
    return Heap()->scan_begin(rel, snapshot, nkeys, key, parallel, flags);

  if ((flags & SO_TYPE_SAMPLESCAN) != 0) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("cannot sample stream table \"%s\" while it has pending changes", RelationGetRelationName(rel)),
             errhint("Call pgstream.refresh_stream_table first.")));
  }
  if (nkeys != 0)
    elog(ERROR, "scan keys on stream table \"%s\"", RelationGetRelationName(rel));

  auto *const scan = static_cast<MergeScan *>(palloc0(sizeof(MergeScan)));
  scan->base.rs_rd = rel;
  scan->base.rs_snapshot = snapshot;
  scan->base.rs_flags = flags | kMergeScanTag;
  scan->base.rs_parallel = parallel;
  scan->overlay = overlay;
  scan->resolved = !later;
  scan->emits = parallel == nullptr && (flags & (SO_TYPE_SEQSCAN | SO_TYPE_TIDRANGESCAN)) != 0;
  ItemPointerSet(&scan->min_tid, 0, 0);
  ItemPointerSet(&scan->max_tid, InvalidBlockNumber, PG_UINT16_MAX);
  // A temporary snapshot is unregistered once, by our scan_end.
  scan->heap = Heap()->scan_begin(rel, snapshot, 0, nullptr, parallel,
                                  (flags & ~static_cast<uint32>(SO_TEMP_SNAPSHOT)) | compat::kScanNeedsTuples);
  Restart(scan);
  return &scan->base;
}

TableScanDesc UnwrapMergeScan(MergeScan *scan) {
  const TableScanDesc heap = scan->heap;
  AdditionsCursorEnd(&scan->cursor);
  if (scan->overlay != nullptr)
    ReleaseOverlay(scan->overlay);
  if ((scan->base.rs_flags & SO_TEMP_SNAPSHOT) != 0) {
    // Also when the server gave the scan another snapshot later, as workers of bitmap scans do before 17.
    heap->rs_flags |= SO_TEMP_SNAPSHOT;
    heap->rs_snapshot = scan->base.rs_snapshot;
  }
  pfree(scan);
  return heap;
}

void ScanEnd(TableScanDesc scan) {
  Heap()->scan_end(likely(!IsMergeScan(scan)) ? scan : UnwrapMergeScan(AsMergeScan(scan)));
}

void ScanRescan(TableScanDesc scan, ScanKeyData *key, bool set_params, bool allow_strat, bool allow_sync,
                bool allow_pagemode) {
  if (IsMergeScan(scan)) {
    Restart(AsMergeScan(scan));
    scan = AsMergeScan(scan)->heap;
  }
  Heap()->scan_rescan(scan, key, set_params, allow_strat, allow_sync, allow_pagemode);
}

bool ScanGetNextSlot(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot) {
  MergeScan *const merge = AsMergeScan(scan);
  ResolveOverlay(merge);
  if (merge->overlay == nullptr)
    return heap_getnextslot(merge->heap, direction, slot);
  return NextMerged<heap_getnextslot>(merge, direction, slot);
}

void ScanSetTidRange(TableScanDesc scan, ItemPointer min_tid, ItemPointer max_tid) {
  if (IsMergeScan(scan)) {
    AsMergeScan(scan)->min_tid = *min_tid;
    AsMergeScan(scan)->max_tid = *max_tid;
    scan = AsMergeScan(scan)->heap;
  }
  Heap()->scan_set_tidrange(scan, min_tid, max_tid);
}

bool ScanGetNextSlotTidRange(TableScanDesc scan, ScanDirection direction, TupleTableSlot *slot) {
  if (likely(!IsMergeScan(scan)))
    return heap_getnextslot_tidrange(scan, direction, slot);
  return NextMerged<heap_getnextslot_tidrange>(AsMergeScan(scan), direction, slot);
}

#ifdef PGSTREAM_BITMAP_SCAN_BY_TUPLE

bool ScanBitmapNextTuple(TableScanDesc scan, TupleTableSlot *slot, bool *recheck, uint64 *lossy_pages,
                         uint64 *exact_pages) {
  if (likely(!IsMergeScan(scan)))
    return Heap()->scan_bitmap_next_tuple(scan, slot, recheck, lossy_pages, exact_pages);
  MergeScan *const merge = AsMergeScan(scan);
  ResolveOverlay(merge);
  compat::CopyScanTypeState(scan, merge->heap);  // the node has put its iterator into the descriptor it knows
  while (Heap()->scan_bitmap_next_tuple(merge->heap, slot, recheck, lossy_pages, exact_pages)) {
    if (merge->overlay == nullptr || !Masked(merge, slot))
      return true;
    CHECK_FOR_INTERRUPTS();
  }
  return false;
}

#else

bool ScanBitmapNextBlock(TableScanDesc scan, TBMIterateResult *page) {
  return Heap()->scan_bitmap_next_block(IsMergeScan(scan) ? AsMergeScan(scan)->heap : scan, page);
}

bool ScanBitmapNextTuple(TableScanDesc scan, TBMIterateResult *page, TupleTableSlot *slot) {
  if (likely(!IsMergeScan(scan)))
    return Heap()->scan_bitmap_next_tuple(scan, page, slot);
  MergeScan *const merge = AsMergeScan(scan);
  ResolveOverlay(merge);
  while (Heap()->scan_bitmap_next_tuple(merge->heap, page, slot)) {
    if (merge->overlay == nullptr || !Masked(merge, slot))
      return true;
  }
  return false;
}

#endif

}  // namespace pgstream
