// Reclaiming the space of a change log.
//
// A request is noted when a refresh starts, with the frontiers that are committed then, and carried out just before the
// transaction commits: the exclusive lock on a segment, which readers of its stream tables meet, lasts for the commit only,
// even when the refresh is part of a long transaction.
//
// Writers go on while a log is reclaimed, so the segment they use is nearly never free: once it has some size they are
// turned away, but only to an empty one. The one they left then falls idle, and one of the next refreshes gets it. Where
// a writer that stays open keeps it from that, the log gets a further segment, so that the others still take turns. Readers that
// follow each other without a gap do not: as soon as nothing in it is pending for any stream table they leave it alone
// (capture/log_hints.hpp).
//
// Promises: nothing is truncated that the frontier of some consumer, as committed before this transaction, lacks; log_start
// rises in the same transaction; never waits for a lock longer than some milliseconds. Refuses: to raise an error because
// others are busy; it is then left to the next refresh. Parallel mode, recovery and prepared transactions reclaim nothing.
#include "capture/frontier.hpp"
#include "capture/log_consumers.hpp"
#include "capture/log_hints.hpp"
#include "capture/log_limit.hpp"
#include "capture/log_object.hpp"
#include "capture/log_scan.hpp"
#include "capture/source_capture.hpp"
#include "core/frontier.hpp"
#include "pg/catalog.hpp"

extern "C" {
#include "pgstat.h"
#include "storage/lock.h"
}

namespace pgstream {

namespace {

// From this many pages on a segment is worth moving writers off it, and a few tries for its lock.
constexpr BlockNumber kLargeSegment = 64;
constexpr int kTryLargeMs = 20;
// From this many on, with no empty segment to turn to because of writers that stay open, the log gets a further one.
constexpr BlockNumber kHugeSegment = 256;

struct Request {
  Request *next;
  Oid source;
  int nconsumers;
  LogConsumer *consumers;  // those that the log does not serve hold nothing back
};

Request *requests = nullptr;  // of this transaction, in TopTransactionContext

struct Coverage {
  const Request *request;
  uint64 known_xid;  // found covered for all, and nobody's own
  uint64 last_xid;   // the highest of a record
};

bool CoveredByAll(const LogRecord *record, void *argument) {
  Coverage *coverage = static_cast<Coverage *>(argument);
  coverage->last_xid = Max(coverage->last_xid, record->xid);
  if (record->xid == coverage->known_xid) return true;
  bool own = false;
  for (int i = 0; i < coverage->request->nconsumers; ++i) {
    const LogConsumer *consumer = &coverage->request->consumers[i];
    if (!consumer->served) continue;
    if (!Covers(consumer->frontier, record->xid, record->sequence)) return false;
    own |= consumer->frontier.own_xid == record->xid;
  }
  if (!own) coverage->known_xid = record->xid;
  return true;
}

// True when every record that anybody can ever see is covered: nobody is writing. Last_xid: the highest of their transactions.
bool SegmentIsCovered(const Request *request, Oid segment, uint64 *last_xid) {
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  Coverage coverage = {request, 0, 0};
  const bool covered = ScanLogSegment(segment, snapshot, nullptr, 0, false, CoveredByAll, &coverage);
  UnregisterSnapshot(snapshot);
  *last_xid = coverage.last_xid;
  return covered;
}

// That of the consumer that is behind the others, most likely; nullptr when the log serves none.
const Frontier *HindmostFrontier(const Request *request) {
  const Frontier *hindmost = nullptr;
  for (int i = 0; i < request->nconsumers; ++i) {
    const LogConsumer *consumer = &request->consumers[i];
    if (consumer->served && (hindmost == nullptr || consumer->frontier.snapshot.xmax < hindmost->snapshot.xmax))
      hindmost = &consumer->frontier;
  }
  return hindmost;
}

const LogConsumer *FindConsumer(const Request *request, Oid relid) {
  for (int i = 0; i < request->nconsumers; ++i)
    if (request->consumers[i].relid == relid) return &request->consumers[i];
  return nullptr;
}

// What was found of a segment. Held: a writer has it locked.
enum class Finding { Empty, Held, Uncovered, Reclaimable };

struct Segment {
  Oid relid;
  BlockNumber pages;
  Finding finding;
  Oid toast;  // to be emptied too
};

// Takes the exclusive locks that emptying a segment, of which a share lock is held, needs, if it may be emptied.
Finding Examine(const Request *request, Segment *segment_info, int number) {
  const Oid segment = segment_info->relid;
  const BlockNumber pages = segment_info->pages = SegmentPages(segment);
  Oid *toast = &segment_info->toast;
  *toast = InvalidOid;
  if (pages == 0) return Finding::Empty;
  // Keeps writers away, who turn to another segment, but no readers.
  if (!ConditionalLockRelationOid(segment, ShareLock)) return Finding::Held;
  uint64 last_xid;
  bool may = SegmentIsCovered(request, segment, &last_xid);
  if (may) {
    const Frontier *hindmost = HindmostFrontier(request);
    if (hindmost != nullptr) NoteSettled(request->source, number, segment, hindmost, last_xid);
    if (!TryLockRelation(segment, AccessExclusiveLock, pages >= kLargeSegment ? kTryLargeMs : 0)) {
      UnlockRelationOid(segment, ShareLock);
      return Finding::Held;
    }
    Relation rel = table_open(segment, NoLock);
    const Oid toast_relid = rel->rd_rel->reltoastrelid;
    may = rel->rd_refcnt == 1;
    table_close(rel, NoLock);
    // Vacuum may be at work on the toast table alone.
    if (may && OidIsValid(toast_relid)) {
      may = ConditionalLockRelationOid(toast_relid, AccessExclusiveLock);
      if (may && SegmentPages(toast_relid) > 0) *toast = toast_relid;
    }
    if (!may) UnlockRelationOid(segment, AccessExclusiveLock);
  }
  if (!may) UnlockRelationOid(segment, ShareLock);
  return may ? Finding::Reclaimable : Finding::Uncovered;
}

// Likewise, and the share lock. None is kept of a segment that cannot be emptied.
Finding LockAndExamine(const Request *request, Segment *segment, int number) {
  LockRelationOid(segment->relid, AccessShareLock);
  const Finding finding = Examine(request, segment, number);
  if (finding != Finding::Reclaimable) UnlockRelationOid(segment->relid, AccessShareLock);
  return finding;
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
    if (LockCatalogRow(scan.rel, tuple, LockWaitSkip) != TM_Ok) {
      all = false;
      break;
    }
  }
  EndCatalogScan(&scan);
  return all;
}

// Raises log_start of the consumers to the folds whose frontiers were looked at. One that must be computed anew must not
// start from a snapshot older than this: captured_by, which its first frontier must see, becomes this transaction, unless
// it is 0 already and the capture will be attached anew.
void RaiseLogStart(const Request *request, bool captured) {
  CatalogScan scan;
  bool unserved = false;
  if (!BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_source_idx", pgs_dependency::source_relid,
                        request->source, nullptr, RowExclusiveLock))
    return;
  while (HeapTuple tuple = NextCatalogTuple(&scan)) {
    const Oid relid = DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::relid, nullptr));
    const LogConsumer *consumer = FindConsumer(request, relid);
    if (consumer == nullptr || !consumer->served) {
      unserved = true;
      continue;
    }
    InvalidateStream(relid);
    if (DatumGetInt64(CatalogColumn(&scan, tuple, pgs_dependency::log_start, nullptr)) >= consumer->fold_number) continue;
    (void)SetLogStart(&scan, tuple, consumer->fold_number);
  }
  EndCatalogScan(&scan);
  if (unserved && captured) {
    const AttrNumber column = pgs_log::captured_by;
    const Datum value = FullTransactionIdGetDatum(GetTopFullTransactionId());
    (void)UpdateCatalogRow("pgs_log", "pgs_log_pkey", request->source, 1, &column, &value, nullptr);
    CacheInvalidateRelcacheByRelid(request->source);
  }
  CommandCounterIncrement();
}

// True when the log did not serve a consumer at the request and does now, by a frontier of this transaction, say, whose
// records after it are then pending. Once the segments are locked nobody else can add one.
bool AnyBecameServed(const Request *request) {
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  bool any = false;
  for (int i = 0; i < request->nconsumers && !any; ++i) {
    const LogConsumer *consumer = &request->consumers[i];
    if (consumer->served) continue;
    const FrontierRow *row = ReadFrontier(consumer->relid, snapshot, CurrentMemoryContext);
    any = row != nullptr && row->fold_number > consumer->fold_number;
  }
  UnregisterSnapshot(snapshot);
  return any;
}

// Sees to it that the segment in use falls idle once it has some size.
void TurnWritersAway(Oid source, LogEntry *entry, const Segment *segments) {
  const int n = entry->nsegments;
  const int current = WritingSegment(source, n);
  const Segment *used = &segments[current];
  if (used->finding == Finding::Empty || used->finding == Finding::Reclaimable || used->pages < kLargeSegment) return;
  bool held = false;
  for (int i = 1; i < n; ++i) {
    const int other = (current + i) % n;
    const Finding finding = segments[other].finding;
    if (finding == Finding::Empty || finding == Finding::Reclaimable) {
      SetWritingSegment(source, other);
      return;
    }
    held |= finding == Finding::Held;
  }
  // Who attaches or folds relies on the segments it knows: they share this lock.
  if (!held || used->pages < kHugeSegment || n == kMostSegments || !TryLockLogObjectOnce(source, AccessExclusiveLock)) return;
  entry->segments[n] = CreateLogSegment(source, n);
  entry->nsegments = n + 1;
  WriteLogEntry(source, entry);
  CacheInvalidateRelcacheByRelid(source);
  SetWritingSegment(source, n);
}

void Reclaim(const Request *request) {
  LogEntry entry;
  // Excludes other reclaims and detaching; who attaches holds the segments' locks, which fail us below.
  if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(request->source)) ||
      !TryLockLogObjectOnce(request->source, ShareUpdateExclusiveLock) || !ReadLogEntry(request->source, &entry))
    return;
  Segment segments[kMostSegments] = {};
  bool any = false;
  for (int i = 0; i < entry.nsegments; ++i) {
    segments[i].relid = entry.segments[i];
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry.segments[i]))) return;
    segments[i].finding = LockAndExamine(request, &segments[i], i);
    any |= segments[i].finding == Finding::Reclaimable;
  }
  if (any && !AnyBecameServed(request) && LockDependencies(request)) {
    RaiseLogStart(request, entry.captured_by != 0);
    for (int i = 0; i < entry.nsegments; ++i)
      if (segments[i].finding == Finding::Reclaimable) EmptySegment(segments[i].relid, segments[i].toast);
    CommandCounterIncrement();
    if (!ReadLogEntry(request->source, &entry)) return;
  }
  TurnWritersAway(request->source, &entry, segments);
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_PRE_COMMIT && (requests != nullptr || LogLooksWanted())) {
    MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream reclaim", ALLOCSET_DEFAULT_SIZES);
    const MemoryContext saved = MemoryContextSwitchTo(context);
    PushActiveSnapshot(GetLatestSnapshot());
    LookAtLogLimits();
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
  for (int i = 0; i < entry.nsegments; ++i) {
    LockRelationOid(entry.segments[i], AccessShareLock);
    any |= SegmentPages(entry.segments[i]) > 0;
    UnlockRelationOid(entry.segments[i], AccessShareLock);
  }
  if (!any) return;
  NoteLogLook(source, LogLook::Asked);

  const MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
  Request *request = static_cast<Request *>(palloc0(sizeof(Request)));
  request->source = source;
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const uint64 own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
  bool own_frontier = false;
  request->consumers = ReadLogConsumers(source, snapshot, &request->nconsumers);
  for (int i = 0; i < request->nconsumers; ++i)
    own_frontier |= own != 0 && request->consumers[i].has_frontier && request->consumers[i].frontier.own_xid == own;
  UnregisterSnapshot(snapshot);
  MemoryContextSwitchTo(saved);
  // A frontier of this transaction's own may yet be rolled back to a savepoint.
  if (own_frontier) return;
  request->next = requests;
  requests = request;
}

void EmptyLog(Oid source) {
  CommandCounterIncrement();
  Request request = {};
  request.source = source;
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  request.consumers = ReadLogConsumers(source, snapshot, &request.nconsumers);
  UnregisterSnapshot(snapshot);
  Reclaim(&request);
}

void InitReclaim() { RegisterXactCallback(AtTransactionEnd, nullptr); }

}  // namespace pgstream
