// Reclaiming the space of a change log.
//
// A request is noted when a refresh starts, with the frontiers that are committed then, and carried out just before the
// transaction commits: the exclusive lock on a segment, which readers of its stream tables meet, lasts for the commit only,
// even when the refresh is part of a long transaction.
//
// Promises: nothing is truncated that the frontier of some consumer, as committed before this transaction, lacks; log_start
// rises in the same transaction; never waits for a lock longer than some milliseconds. Refuses: to raise an error because
// others are busy; it is then left to the next refresh. Parallel mode, recovery and prepared transactions reclaim nothing.
#include "capture/frontier.hpp"
#include "capture/log_object.hpp"
#include "capture/log_scan.hpp"
#include "capture/log_writer.hpp"
#include "capture/source_capture.hpp"
#include "core/frontier.hpp"
#include "pg/catalog.hpp"

extern "C" {
#include "pgstat.h"
}

namespace pgstream {

namespace {

// From this many pages on a segment is worth moving writers off it, and a few tries for its lock.
constexpr BlockNumber kLargeSegment = 16;
constexpr int kTryLargeMs = 20;

struct Consumer {
  Oid relid;
  bool populated;
  int64 fold_number;
  Frontier frontier;
};

struct Request {
  Request *next;
  Oid source;
  int nconsumers;
  Consumer *consumers;
};

Request *requests = nullptr;  // of this transaction, in TopTransactionContext

struct Coverage {
  const Request *request;
  uint64 last_xid;  // found covered for all, and nobody's own
};

bool CoveredByAll(const LogRecord *record, void *argument) {
  Coverage *coverage = static_cast<Coverage *>(argument);
  if (record->xid == coverage->last_xid) return true;
  bool own = false;
  for (int i = 0; i < coverage->request->nconsumers; ++i) {
    const Consumer *consumer = &coverage->request->consumers[i];
    if (!consumer->populated) continue;
    if (!Covers(consumer->frontier, record->xid, record->sequence)) return false;
    own |= consumer->frontier.own_xid == record->xid;
  }
  if (!own) coverage->last_xid = record->xid;
  return true;
}

// True when every record that anybody can ever see is covered, as far as a fresh snapshot shows.
bool SegmentIsCovered(const Request *request, Oid segment, int number, LogPosition *position) {
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  Coverage coverage = {request, 0};
  const bool covered = ScanLogSegment(segment, snapshot, position, number, false, CoveredByAll, &coverage);
  UnregisterSnapshot(snapshot);
  return covered;
}

const Consumer *FindConsumer(const Request *request, Oid relid) {
  for (int i = 0; i < request->nconsumers; ++i)
    if (request->consumers[i].relid == relid) return &request->consumers[i];
  return nullptr;
}

// Writers move to another segment, so that this one falls idle.
void TurnWritersAway(Oid source, int number) {
  if (WritingSegment(source) == number) SetWritingSegment(source, (number + 1) % kLogSegments);
}

// Takes the locks that emptying a segment needs, and checks that it may be emptied. False, and no lock kept, when not.
bool LockAndCheck(const Request *request, Oid segment, int number, Oid *toast) {
  LockRelationOid(segment, AccessShareLock);
  const BlockNumber pages = SegmentPages(segment);
  *toast = InvalidOid;
  if (pages == 0) return false;
  // The long look comes before the exclusive lock; under it only what is new must be seen.
  LogPosition *position = NewLogPosition(CurrentMemoryContext);
  if (!SegmentIsCovered(request, segment, number, position) ||
      !TryLockRelation(segment, AccessExclusiveLock, pages >= kLargeSegment ? kTryLargeMs : 0)) {
    if (pages >= kLargeSegment) TurnWritersAway(request->source, number);
    return false;
  }
  bool may = SegmentIsCovered(request, segment, number, position);
  if (may) {
    Relation rel = table_open(segment, NoLock);
    const Oid toast_relid = rel->rd_rel->reltoastrelid;
    may = rel->rd_refcnt == 1;
    table_close(rel, NoLock);
    // Vacuum may be at work on the toast table alone.
    if (may && OidIsValid(toast_relid)) {
      may = ConditionalLockRelationOid(toast_relid, AccessExclusiveLock);
      if (may && SegmentPages(toast_relid) > 0) *toast = toast_relid;
    }
  }
  if (!may) UnlockRelationOid(segment, AccessExclusiveLock);
  return may;
}

void EmptySegment(Oid segment, Oid toast) {
  Relation rel = table_open(segment, NoLock);
  compat::SetNewStorage(rel);
  pgstat_count_truncate(rel);
  table_close(rel, NoLock);
  if (OidIsValid(toast)) {
    Relation toast_rel = table_open(toast, NoLock);
    compat::SetNewStorage(toast_rel);
    table_close(toast_rel, NoLock);
    compat::RebuildIndexes(toast);
  }
}

// Locks the rows of all consumers in pgs_dependency. False when one is being changed, or is not what the request knows.
bool LockDependencies(const Request *request) {
  CatalogScan scan;
  bool all = true;
  if (!BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_source_idx", pgs_dependency::source_relid,
                        request->source, nullptr, RowExclusiveLock))
    return false;
  while (HeapTuple tuple = NextCatalogTuple(&scan)) {
    if (FindConsumer(request, DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::relid, nullptr))) == nullptr) {
      all = false;
      break;
    }
    HeapTupleData locked = *tuple;
    Buffer buffer;
    TM_FailureData failure;
    const TM_Result result = heap_lock_tuple(scan.rel, &locked, GetCurrentCommandId(true), LockTupleNoKeyExclusive,
                                             LockWaitSkip, false, &buffer, &failure);
    ReleaseBuffer(buffer);
    if (result != TM_Ok) {
      all = false;
      break;
    }
  }
  EndCatalogScan(&scan);
  return all;
}

// Raises log_start of the consumers to the folds whose frontiers were looked at. One that is not populated yet must not
// start from a snapshot older than this: captured_by, which its first frontier must see, becomes this transaction.
void RaiseLogStart(const Request *request) {
  CatalogScan scan;
  bool unpopulated = false;
  if (!BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_source_idx", pgs_dependency::source_relid,
                        request->source, nullptr, RowExclusiveLock))
    return;
  while (HeapTuple tuple = NextCatalogTuple(&scan)) {
    const Oid relid = DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::relid, nullptr));
    const Consumer *consumer = FindConsumer(request, relid);
    if (consumer == nullptr || !consumer->populated) {
      unpopulated = true;
      continue;
    }
    InvalidateStream(relid);
    if (DatumGetInt64(CatalogColumn(&scan, tuple, pgs_dependency::log_start, nullptr)) >= consumer->fold_number) continue;
    Datum values[pgs_dependency::natts] = {};
    bool nulls[pgs_dependency::natts] = {};
    bool replace[pgs_dependency::natts] = {};
    values[pgs_dependency::log_start - 1] = Int64GetDatum(consumer->fold_number);
    replace[pgs_dependency::log_start - 1] = true;
    HeapTuple changed = heap_modify_tuple(tuple, RelationGetDescr(scan.rel), values, nulls, replace);
    CatalogTupleUpdate(scan.rel, &tuple->t_self, changed);
    heap_freetuple(changed);
  }
  EndCatalogScan(&scan);
  if (unpopulated) {
    const AttrNumber column = pgs_log::captured_by;
    const Datum value = FullTransactionIdGetDatum(GetTopFullTransactionId());
    (void)UpdateCatalogRow("pgs_log", "pgs_log_pkey", request->source, 1, &column, &value, nullptr);
    CacheInvalidateRelcacheByRelid(request->source);
  }
  CommandCounterIncrement();
}

// True when a consumer had no frontier at the request and has one now: of this transaction, say, whose records after it
// are then pending. Once the segments are locked nobody else can add one.
bool AnyBecamePopulated(const Request *request) {
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  bool any = false;
  for (int i = 0; i < request->nconsumers && !any; ++i) {
    const Consumer *consumer = &request->consumers[i];
    any = !consumer->populated && ReadFrontier(consumer->relid, snapshot, CurrentMemoryContext) != nullptr;
  }
  UnregisterSnapshot(snapshot);
  return any;
}

void Reclaim(const Request *request) {
  LogEntry entry;
  // Excludes other reclaims and detaching; who attaches holds the segments' locks, which fail us below.
  if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(request->source)) ||
      !TryLockLogObjectOnce(request->source, ShareUpdateExclusiveLock) || !ReadLogEntry(request->source, &entry))
    return;
  bool empty[kLogSegments] = {};
  Oid toast[kLogSegments];
  bool any = false;
  for (int i = 0; i < kLogSegments; ++i) {
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry.segments[i]))) return;
    empty[i] = LockAndCheck(request, entry.segments[i], i, &toast[i]);
    any |= empty[i];
  }
  if (!any) return;
  if (AnyBecamePopulated(request) || !LockDependencies(request)) return;
  RaiseLogStart(request);
  for (int i = 0; i < kLogSegments; ++i)
    if (empty[i]) EmptySegment(entry.segments[i], toast[i]);
  CommandCounterIncrement();
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_PRE_COMMIT && requests != nullptr) {
    MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream reclaim", ALLOCSET_DEFAULT_SIZES);
    const MemoryContext saved = MemoryContextSwitchTo(context);
    PushActiveSnapshot(GetLatestSnapshot());
    while (requests != nullptr) {
      const Request *request = requests;
      requests = request->next;
      Reclaim(request);
    }
    PopActiveSnapshot();
    MemoryContextSwitchTo(saved);
    MemoryContextDelete(context);
  } else if (event != XACT_EVENT_PARALLEL_PRE_COMMIT) {
    requests = nullptr;
  }
}

}  // namespace

void ReclaimLog(Oid source) {
  if (RecoveryInProgress() || IsInParallelMode() || XactReadOnly) return;
  for (const Request *request = requests; request != nullptr; request = request->next)
    if (request->source == source) return;
  LogEntry entry;
  if (!ReadLogEntry(source, &entry)) return;
  bool any = false;
  for (int i = 0; i < kLogSegments; ++i) {
    LockRelationOid(entry.segments[i], AccessShareLock);
    any |= SegmentPages(entry.segments[i]) > 0;
  }
  if (!any) return;

  const MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
  Request *request = static_cast<Request *>(palloc0(sizeof(Request)));
  request->source = source;
  List *relids = ConsumersOf(source);
  request->consumers = static_cast<Consumer *>(palloc0(sizeof(Consumer) * (list_length(relids) + 1)));
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const uint64 own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
  bool own_frontier = false;
  ListCell *cell;
  foreach (cell, relids) {
    Consumer *consumer = &request->consumers[request->nconsumers++];
    consumer->relid = lfirst_oid(cell);
    const FrontierRow *row = ReadFrontier(consumer->relid, snapshot, TopTransactionContext);
    consumer->populated = row != nullptr;
    if (row == nullptr) continue;
    consumer->fold_number = row->fold_number;
    consumer->frontier = row->frontier;
    own_frontier |= own != 0 && row->frontier.own_xid == own;
  }
  UnregisterSnapshot(snapshot);
  MemoryContextSwitchTo(saved);
  // A frontier of this transaction's own may yet be rolled back to a savepoint.
  if (own_frontier) return;
  request->next = requests;
  requests = request;
}

void InitReclaim() { RegisterXactCallback(AtTransactionEnd, nullptr); }

}  // namespace pgstream
