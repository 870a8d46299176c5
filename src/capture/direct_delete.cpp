// Deleted rows straight from the heap; see direct_delete.hpp.
//
// Which version of a row it was is in the tuple headers: the one whose deleter is this transaction, by this statement's command
// id.
#include "capture/direct_delete.hpp"

#include "capture/capture_run.hpp"
#include "capture/change_log.hpp"

namespace pgstream {

namespace {

// TIDs kept at a time: 384 kB. A chunk ends with a record that is not full.
constexpr int kMostTids = 65536;

bool DeletedHere(HeapTupleHeader header, const ItemPointerData *self, CommandId command) {
  if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask)) return false;
  return ItemPointerEquals(&header->t_ctid, const_cast<ItemPointer>(self)) &&
         TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header)) &&
         HeapTupleHeaderGetCmax(header) == command;
}

// The tuple at a TID, on a page that is locked. False when there is none.
bool TupleAt(Relation rel, Buffer buffer, const ItemPointerData *tid, HeapTuple tuple) {
  const Page page = BufferGetPage(buffer);
  const OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
  if (offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page)) return false;
  const ItemId item = PageGetItemId(page, offset);
  if (!ItemIdIsNormal(item)) return false;
  tuple->t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
  tuple->t_len = ItemIdGetLength(item);
  tuple->t_tableOid = RelationGetRelid(rel);
  tuple->t_self = *tid;
  return true;
}

// The version that was deleted, where it is not the one that the statement's snapshot showed: the statement followed the updates
// that others committed meanwhile, and so does this. On success the tuple's buffer is pinned.
bool FindLaterVersion(Relation source, CommandId command, ItemPointerData tid, HeapTuple tuple, Buffer *buffer) {
  TransactionId updater = InvalidTransactionId;
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    *buffer = ReadBuffer(source, ItemPointerGetBlockNumber(&tid));
    LockBuffer(*buffer, BUFFER_LOCK_SHARE);
    bool found = false, more = false;
    if (TupleAt(source, *buffer, &tid, tuple)) {
      const HeapTupleHeader header = tuple->t_data;
      if (!TransactionIdIsValid(updater) || TransactionIdEquals(updater, HeapTupleHeaderGetXmin(header))) {
        found = DeletedHere(header, &tid, command);
        more = !found && (header->t_infomask & HEAP_XMAX_INVALID) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
               !HeapTupleHeaderIndicatesMovedPartitions(header) && !ItemPointerEquals(&header->t_ctid, &tid);
        if (more) {
          updater = HeapTupleHeaderGetUpdateXid(header);
          tid = header->t_ctid;
        }
      }
    }
    LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
    if (found) return true;
    ReleaseBuffer(*buffer);
    if (!more) return false;
  }
}

// Captures the rows of the TIDs, which are all deleted by now.
void CaptureTids(const DeletedRows *rows, Relation source, CommandId command, CaptureRun *run, const SourceCapture *capture,
                 TupleTableSlot *slot) {
  Buffer buffer = InvalidBuffer;
  HeapTupleData tuples[MaxHeapTuplesPerPage];
  bool found[MaxHeapTuplesPerPage];
  for (int first = 0; first < rows->count;) {
    CHECK_FOR_INTERRUPTS();
    const BlockNumber block = ItemPointerGetBlockNumber(&rows->tids[first]);
    buffer = ReleaseAndReadBuffer(buffer, source, block);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    int n = 0;
    while (first + n < rows->count && n < static_cast<int>(lengthof(tuples)) &&
           ItemPointerGetBlockNumber(&rows->tids[first + n]) == block) {
      const ItemPointerData *tid = &rows->tids[first + n];
      found[n] = TupleAt(source, buffer, tid, &tuples[n]) &&
                 DeletedHere(tuples[n].t_data, tid, command);
      ++n;
    }
    LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
    // While the page is pinned its tuples stay where they are.
    for (int i = 0; i < n; ++i) {
      if (found[i]) {
        ExecStoreBufferHeapTuple(&tuples[i], slot, buffer);
        CaptureOne(run, capture, -1, slot);
        continue;
      }
      HeapTupleData later;
      Buffer its_buffer;
      if (!FindLaterVersion(source, command, rows->tids[first + i], &later, &its_buffer)) {
        // Not to be: but then the log says that it does not know.
        LogTruncation(run->source, run->segments, run->nsegments);
        continue;
      }
      ExecStorePinnedBufferHeapTuple(&later, slot, its_buffer);
      CaptureOne(run, capture, -1, slot);
    }
    first += n;
  }
  ExecClearTuple(slot);
  if (BufferIsValid(buffer)) ReleaseBuffer(buffer);
}

}  // namespace

void InitDeletedRows(DeletedRows *rows) {
  rows->count = 0;
  rows->capacity = kFirstTids;
  rows->tids = rows->first_tids;
}

void NoteDeletion(DeletedRows *rows, Relation source, SourceCapture *capture, EState *estate, ItemPointer tid) {
  if (rows->count == kMostTids) CaptureDeletions(rows, source, capture, estate);
  if (rows->count == rows->capacity) {
    const int capacity = Min(rows->capacity * 8, kMostTids);
    if (rows->tids == rows->first_tids) {
      rows->tids =
          static_cast<ItemPointerData *>(MemoryContextAlloc(estate->es_query_cxt, sizeof(ItemPointerData) * capacity));
      memcpy(rows->tids, rows->first_tids, sizeof(rows->first_tids));
    } else {
      rows->tids = static_cast<ItemPointerData *>(repalloc(rows->tids, sizeof(ItemPointerData) * capacity));
    }
    rows->capacity = capacity;
  }
  rows->tids[rows->count++] = *tid;
}

void CaptureDeletions(DeletedRows *rows, Relation source, SourceCapture *capture, EState *estate) {
  capture = StillCapture(capture, source);
  if (rows->count > 0 && capture->logged) {
    // As with those of the transition tables: an error leaves no slot to be used again.
    TupleTableSlot *slot = capture->heap_slot;
    capture->heap_slot = nullptr;
    if (slot == nullptr) {
      const MemoryContext saved = MemoryContextSwitchTo(capture->context);
      slot = MakeSingleTupleTableSlot(capture->descriptor, &TTSOpsBufferHeapTuple);
      MemoryContextSwitchTo(saved);
    }
    CaptureRun run = BeginRun(capture);
    CaptureTids(rows, source, estate->es_output_cid, &run, capture, slot);
    EndRun(&run);
    capture->heap_slot = slot;
  }
  rows->count = 0;
}

}  // namespace pgstream
