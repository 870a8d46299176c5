// Reading a change log: an own page loop, because a heap scan can neither skip pages nor say what it saw on one.
//
// Promises: the visibility, serializable and interrupt checks of an ordinary sequential scan; the visitor runs with the page
// pinned but not locked. Refuses: snapshots other than MVCC ones.
#include "capture/log_scan.hpp"

extern "C" {
#include "access/detoast.h"
#include "storage/bufpage.h"
#include "storage/predicate.h"
}

namespace pgstream {

// The least a record takes: a tuple of xid, sequence and kind, and its line pointer.
static constexpr Size kSmallestRecord = MAXALIGN(MAXALIGN(SizeofHeapTupleHeader + kLogNullBitmap) + 17);

BlockNumber SegmentPages(Oid segment) {
  Relation rel = table_open(segment, NoLock);
  const BlockNumber pages = RelationGetNumberOfBlocks(rel);
  table_close(rel, NoLock);
  return pages;
}

static bool IsSettled(const SegmentSet *settled, int source, int number) {
  return settled != nullptr && (settled[source] & (SegmentSet{1} << number)) != 0;
}

// Locks the segments if none of them needs waiting; otherwise none, and tells which one does.
static Oid TryLockLogs(const StreamSource *sources, int nsources, const SegmentSet *settled) {
  Oid *locked = static_cast<Oid *>(palloc(sizeof(Oid) * (nsources * kMostSegments + 1)));
  int count = 0;
  Oid busy = InvalidOid;
  for (int i = 0; i < nsources && !OidIsValid(busy); ++i) {
    const StreamSource *source = &sources[i];
    for (int k = 0; k < source->nsegments && !OidIsValid(busy); ++k) {
      if (IsSettled(settled, i, k)) continue;
      if (ConditionalLockRelationOid(source->segments[k], AccessShareLock))
        locked[count++] = source->segments[k];
      else
        busy = source->segments[k];
    }
  }
  if (OidIsValid(busy))
    while (count > 0) UnlockRelationOid(locked[--count], AccessShareLock);
  pfree(locked);
  return busy;
}

void LockLogs(const StreamSource *sources, int nsources, const SegmentSet *settled) {
  for (;;) {
    const Oid busy = TryLockLogs(sources, nsources, settled);
    if (!OidIsValid(busy)) return;
    LockRelationOid(busy, AccessShareLock);
    UnlockRelationOid(busy, AccessShareLock);
    CHECK_FOR_INTERRUPTS();
  }
}

void UnlockLogs(const StreamSource *sources, int nsources, const SegmentSet *settled) {
  for (int i = 0; i < nsources; ++i)
    for (int k = 0; k < sources[i].nsegments; ++k)
      if (!IsSettled(settled, i, k)) UnlockRelationOid(sources[i].segments[k], AccessShareLock);
}

LogPosition *NewLogPosition(MemoryContext context) {
  LogPosition *position = static_cast<LogPosition *>(MemoryContextAllocZero(context, sizeof(LogPosition)));
  position->context = context;
  return position;
}

// Makes a position fit the segment as it is: empty if it was about other storage, and large enough.
static void PreparePosition(LogPosition *position, SegmentPosition *segment, Relation rel, BlockNumber nblocks) {
  const Oid storage = compat::StorageNumber(rel);
  if (segment->segment != RelationGetRelid(rel) || segment->storage != storage || nblocks < segment->nblocks) {
    segment->segment = RelationGetRelid(rel);
    segment->storage = storage;
    segment->nblocks = 0;
  }
  if (nblocks > segment->capacity) {
    const BlockNumber capacity = Max(Max(nblocks, segment->capacity * 2), 16);
    bool *settled = static_cast<bool *>(MemoryContextAllocExtended(position->context, capacity, MCXT_ALLOC_HUGE));
    if (segment->nblocks > 0) memcpy(settled, segment->settled, segment->nblocks);
    if (segment->settled != nullptr) pfree(segment->settled);
    segment->settled = settled;
    segment->capacity = capacity;
  }
  if (nblocks > segment->nblocks) memset(segment->settled + segment->nblocks, 0, nblocks - segment->nblocks);
  segment->nblocks = nblocks;
}

namespace {

struct PageScan {
  Relation rel;
  Snapshot snapshot;
  Size reserve;   // of the fill factor
  bool settled;   // out
  int count;      // out
  OffsetNumber visible[MaxHeapTuplesPerPage];
};

void SetTuple(HeapTuple tuple, Relation rel, Page page, BlockNumber block, OffsetNumber offset) {
  const ItemId item = PageGetItemId(page, offset);
  tuple->t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
  tuple->t_len = ItemIdGetLength(item);
  tuple->t_tableOid = RelationGetRelid(rel);
  ItemPointerSet(&tuple->t_self, block, offset);
}

// Finds the visible tuples of a locked page.
void LookAtPage(PageScan *scan, Buffer buffer, BlockNumber block) {
  const Page page = BufferGetPage(buffer);
  const OffsetNumber last = PageGetMaxOffsetNumber(page);
  scan->count = 0;
  scan->settled = last > 0;
  TransactionId checked = InvalidTransactionId;
  for (OffsetNumber offset = FirstOffsetNumber; offset <= last; ++offset) {
    if (!ItemIdIsNormal(PageGetItemId(page, offset))) continue;
    HeapTupleData tuple;
    SetTuple(&tuple, scan->rel, page, block, offset);
    const bool visible = HeapTupleSatisfiesVisibility(&tuple, scan->snapshot, buffer);
    HeapCheckForSerializableConflictOut(visible, scan->rel, &tuple, buffer, scan->snapshot);
    if (!visible) {
      scan->settled = false;
      continue;
    }
    scan->visible[scan->count++] = offset;
    // Our own may yet be rolled back, vacuumed and replaced.
    const TransactionId xmin = HeapTupleHeaderGetXmin(tuple.t_data);
    if (xmin != checked && TransactionIdIsCurrentTransactionId(xmin)) scan->settled = false;
    checked = xmin;
  }
  if (PageGetHeapFreeSpace(page) >= kSmallestRecord + scan->reserve) scan->settled = false;
}

bool VisitTuple(HeapTuple tuple, TupleDesc desc, bool with_batch, SegmentVisitor visit, void *argument) {
  Datum values[kLogColumns];
  bool nulls[kLogColumns];
  heap_deform_tuple(tuple, desc, values, nulls);
  LogRecord record = {};
  record.xid = U64FromFullTransactionId(DatumGetFullTransactionId(values[0]));
  record.sequence = DatumGetInt64(values[1]);
  record.kind = DatumGetChar(values[2]);
  struct varlena *large = nullptr;
  if (with_batch && !nulls[3]) {
    const struct varlena *batch = reinterpret_cast<struct varlena *>(DatumGetPointer(values[3]));
    record.batch = reinterpret_cast<const uint8 *>(VARDATA_ANY(batch));
    record.batch_size = VARSIZE_ANY_EXHDR(batch);
  } else if (with_batch && !nulls[4]) {
    large = detoast_attr(reinterpret_cast<struct varlena *>(DatumGetPointer(values[4])));
    record.batch = reinterpret_cast<const uint8 *>(VARDATA_ANY(large));
    record.batch_size = VARSIZE_ANY_EXHDR(large);
  }
  const bool go_on = visit(&record, argument);
  if (large != nullptr && reinterpret_cast<Pointer>(large) != DatumGetPointer(values[4])) pfree(large);
  return go_on;
}

}  // namespace

bool ScanLogSegment(Oid segment, Snapshot snapshot, LogPosition *position, int number, bool with_batch,
                    SegmentVisitor visit, void *argument) {
  Relation rel = table_open(segment, NoLock);
  // Before the pages are counted, and where there are none: what a writer appends later must meet this lock.
  PredicateLockRelation(rel, snapshot);
  const BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
  SegmentPosition *known = position != nullptr ? &position->segments[number] : nullptr;
  if (known != nullptr) PreparePosition(position, known, rel, nblocks);
  if (nblocks == 0) {
    table_close(rel, NoLock);
    return true;
  }
  const BufferAccessStrategy strategy =
      nblocks > static_cast<BlockNumber>(NBuffers) / 4 ? GetAccessStrategy(BAS_BULKREAD) : nullptr;

  PageScan *scan = static_cast<PageScan *>(palloc(sizeof(PageScan)));
  scan->rel = rel;
  scan->snapshot = snapshot;
  scan->reserve = RelationGetTargetPageFreeSpace(rel, HEAP_DEFAULT_FILLFACTOR);
  bool go_on = true;
  for (BlockNumber block = 0; block < nblocks && go_on; ++block) {
    if (known != nullptr && known->settled[block]) continue;
    CHECK_FOR_INTERRUPTS();
    const Buffer buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    LookAtPage(scan, buffer, block);
    LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
    const Page page = BufferGetPage(buffer);
    // A tuple stays where it is while its page is pinned.
    for (int i = 0; i < scan->count && go_on; ++i) {
      HeapTupleData tuple;
      SetTuple(&tuple, rel, page, block, scan->visible[i]);
      go_on = VisitTuple(&tuple, RelationGetDescr(rel), with_batch, visit, argument);
    }
    ReleaseBuffer(buffer);
    if (known != nullptr && go_on) known->settled[block] = scan->settled;
  }
  pfree(scan);
  if (strategy != nullptr) FreeAccessStrategy(strategy);
  table_close(rel, NoLock);
  return go_on;
}

namespace {

struct VisitAll {
  LogVisitor visit;
  void *argument;
};

bool PassOn(const LogRecord *record, void *argument) {
  const VisitAll *all = static_cast<VisitAll *>(argument);
  all->visit(record, all->argument);
  return true;
}

}  // namespace

void ReadLog(const StreamSource *source, SegmentSet settled, Snapshot snapshot, LogPosition *position, LogVisitor visit,
             void *argument) {
  VisitAll all = {visit, argument};
  for (int i = 0; i < source->nsegments; ++i)
    if (!IsSettled(&settled, 0, i)) ScanLogSegment(source->segments[i], snapshot, position, i, true, PassOn, &all);
}

}  // namespace pgstream
