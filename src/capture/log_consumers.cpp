// Consumers of a log and its size; see log_consumers.hpp.
#include "capture/log_consumers.hpp"

extern "C" {
#include "storage/bufpage.h"
}

namespace pgstream {

namespace {

BlockNumber ToastPages(Relation segment) {
  if (!OidIsValid(segment->rd_rel->reltoastrelid)) return 0;
  Relation toast = try_relation_open(segment->rd_rel->reltoastrelid, AccessShareLock);
  if (toast == nullptr) return 0;
  const BlockNumber pages = RelationGetNumberOfBlocks(toast);
  relation_close(toast, AccessShareLock);
  return pages;
}

// True when the last record on a page is one that the frontier lacks. Whether its transaction committed does not matter.
bool PageIsPending(Relation segment, BlockNumber block, const Frontier *frontier) {
  const Buffer buffer = ReadBuffer(segment, block);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(buffer);
  bool pending = false;
  for (OffsetNumber offset = PageGetMaxOffsetNumber(page); offset >= FirstOffsetNumber; --offset) {
    const ItemId item = PageGetItemId(page, offset);
    if (!ItemIdIsNormal(item)) continue;
    HeapTupleData tuple = {};
    tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    tuple.t_len = ItemIdGetLength(item);
    bool isnull;
    const uint64 xid =
        U64FromFullTransactionId(DatumGetFullTransactionId(heap_getattr(&tuple, 1, RelationGetDescr(segment), &isnull)));
    const int64 sequence = DatumGetInt64(heap_getattr(&tuple, 2, RelationGetDescr(segment), &isnull));
    pending = !Covers(*frontier, xid, sequence);
    break;
  }
  UnlockReleaseBuffer(buffer);
  return pending;
}

}  // namespace

LogConsumer *ReadLogConsumers(Oid source, Snapshot snapshot, int *count) {
  CatalogScan scan;
  *count = 0;
  int capacity = 8;
  auto *consumers = static_cast<LogConsumer *>(palloc(sizeof(LogConsumer) * capacity));
  if (!BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_source_idx", pgs_dependency::source_relid, source, nullptr,
                        AccessShareLock))
    return consumers;
  while (HeapTuple tuple = NextCatalogTuple(&scan)) {
    if (*count == capacity) {
      capacity *= 2;
      consumers = static_cast<LogConsumer *>(repalloc(consumers, sizeof(LogConsumer) * capacity));
    }
    LogConsumer *consumer = &consumers[(*count)++];
    *consumer = {};
    consumer->relid = DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::relid, nullptr));
    consumer->log_start = DatumGetInt64(CatalogColumn(&scan, tuple, pgs_dependency::log_start, nullptr));
  }
  EndCatalogScan(&scan);
  for (int i = 0; i < *count; ++i) {
    LogConsumer *consumer = &consumers[i];
    const FrontierRow *row = ReadFrontier(consumer->relid, snapshot, CurrentMemoryContext);
    if (row == nullptr) continue;
    consumer->has_frontier = true;
    consumer->version = row->version;
    consumer->fold_number = row->fold_number;
    consumer->frontier = row->frontier;
    consumer->served = row->fold_number >= consumer->log_start;
  }
  return consumers;
}

bool SetLogStart(CatalogScan *scan, HeapTuple tuple, int64 log_start) {
  const AttrNumber column = pgs_dependency::log_start;
  const Datum value = Int64GetDatum(log_start);
  return UpdateRowUnlessBusy(scan, tuple, 1, &column, &value, nullptr);
}

bool TryLockSegments(const LogEntry *entry) {
  for (int i = 0; i < entry->nsegments; ++i)
    if (!ConditionalLockRelationOid(entry->segments[i], AccessShareLock) ||
        !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry->segments[i])))
      return false;
  return true;
}

int64 LogBytes(const LogEntry *entry) {
  int64 pages = 0;
  for (int i = 0; i < entry->nsegments; ++i) {
    Relation segment = table_open(entry->segments[i], NoLock);
    pages += RelationGetNumberOfBlocks(segment);
    pages += ToastPages(segment);
    table_close(segment, NoLock);
  }
  return pages * BLCKSZ;
}

int64 PendingLogBytes(const LogEntry *entry, const Frontier *frontier) {
  int64 bytes = 0;
  for (int i = 0; i < entry->nsegments; ++i) {
    Relation segment = table_open(entry->segments[i], NoLock);
    const BlockNumber pages = RelationGetNumberOfBlocks(segment);
    BlockNumber low = 0, high = pages;
    while (low < high) {
      const BlockNumber middle = low + (high - low) / 2;
      if (PageIsPending(segment, middle, frontier))
        high = middle;
      else
        low = middle + 1;
    }
    if (low < pages) {
      const BlockNumber pending = pages - low;
      bytes += static_cast<int64>(pending) * BLCKSZ;
      bytes += static_cast<int64>(static_cast<double>(ToastPages(segment)) * pending / pages) * BLCKSZ;
    }
    table_close(segment, NoLock);
  }
  return bytes;
}

}  // namespace pgstream
