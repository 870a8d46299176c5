// The backend's cache of overlays; see overlay.hpp.
//
// An overlay is found again by the exact identity of the snapshot it was built for. For a later snapshot the newest idle
// one is extended. A handful of idle ones is kept per stream table.
//
// One with unresolved groups is found again by who asks for single groups, too, and not extended: where there is one, the next
// is built whole (but for a fold between them), so that a backend which goes on looking keys up has what it can extend.
#include "delta/overlay.hpp"

#include "capture/open_statements.hpp"
#include "delta/overlay_build.hpp"
#include "delta/unresolved_groups.hpp"

extern "C" {
#include "storage/predicate.h"
#include "utils/timestamp.h"
}

namespace pgstream {

namespace {

constexpr int kIdlePerStream = 3;
constexpr int kIdleInAll = 64;

// What makes two snapshots of one backend see the same rows.
struct SnapshotIdentity {
  TransactionId xmin, xmax;
  uint32 nxip;
  int32 nsubxip;
  bool suboverflowed, recovery;
  TransactionId *xids;  // xip, then subxip
  uint64 completion_count;
  uint64 own_xid;
  CommandId command;  // matters only when there are own writes
};

// Lies in the overlay's own context, and goes with it wherever that ends.
struct CachedOverlay {
  Oid relid;
  BuiltOverlay *built;
  SnapshotIdentity identity;
  Snapshot snapshot;  // the very one; alive while the overlay is held, unless a subtransaction has aborted since
  LocalTransactionId locked_in;  // transaction in which we keep the log's locks, for parallel workers
  LocalTransactionId built_in;   // transaction in which the log was last visited
};

List *overlays = NIL;  // of CachedOverlay *, most recently used first
MemoryContext overlay_cache_context = nullptr;
// A parallel worker's: what its leader decided, in TopTransactionContext.
struct Followed {
  Oid relid;
  MergeDecision decision;
};
List *followed = NIL;

List *reports = NIL;  // of OverlayReport *

void NoteIdentity(CachedOverlay *cached, Snapshot snapshot) {
  SnapshotIdentity *identity = &cached->identity;
  if (identity->xids != nullptr) pfree(identity->xids);
  identity->xmin = snapshot->xmin;
  identity->xmax = snapshot->xmax;
  identity->nxip = snapshot->xcnt;
  identity->nsubxip = Max(snapshot->subxcnt, 0);
  identity->suboverflowed = snapshot->suboverflowed;
  identity->recovery = snapshot->takenDuringRecovery;
  identity->xids = static_cast<TransactionId *>(MemoryContextAlloc(
      cached->built->overlay.context, sizeof(TransactionId) * Max(identity->nxip + identity->nsubxip, 1U)));
  if (identity->nxip > 0) memcpy(identity->xids, snapshot->xip, sizeof(TransactionId) * identity->nxip);
  if (identity->nsubxip > 0)
    memcpy(identity->xids + identity->nxip, snapshot->subxip, sizeof(TransactionId) * identity->nsubxip);
  identity->completion_count = snapshot->snapXactCompletionCount;
  identity->own_xid = OwnTransactionId();
  identity->command = snapshot->curcid;
  cached->snapshot = snapshot;
}

bool IsIdentity(const SnapshotIdentity *identity, Snapshot snapshot, uint64 own_xid) {
  if (identity->own_xid != own_xid || (own_xid != 0 && identity->command != snapshot->curcid)) return false;
  if (identity->xmin != snapshot->xmin || identity->xmax != snapshot->xmax || identity->nxip != snapshot->xcnt ||
      identity->recovery != snapshot->takenDuringRecovery)
    return false;
  // No transaction has completed since: procarray.c itself reuses snapshots on this condition.
  if (identity->completion_count != 0 && identity->completion_count == snapshot->snapXactCompletionCount) return true;
  return identity->nsubxip == Max(snapshot->subxcnt, 0) && identity->suboverflowed == snapshot->suboverflowed &&
         (identity->nxip == 0 ||
          memcmp(identity->xids, snapshot->xip, sizeof(TransactionId) * identity->nxip) == 0) &&
         (identity->nsubxip == 0 || memcmp(identity->xids + identity->nxip, snapshot->subxip,
                                           sizeof(TransactionId) * identity->nsubxip) == 0);
}

void PutFirst(CachedOverlay *cached) {
  if (overlays != NIL && linitial(overlays) == cached) return;
  const MemoryContext saved = MemoryContextSwitchTo(overlay_cache_context);
  overlays = lcons(cached, list_delete_ptr(overlays, cached));
  MemoryContextSwitchTo(saved);
}

CachedOverlay *Nth(int i) { return static_cast<CachedOverlay *>(list_nth(overlays, i)); }

void Drop(CachedOverlay *cached) {
  overlays = list_delete_ptr(overlays, cached);
  MemoryContextDelete(cached->built->overlay.context);
}

void TrimIdle(Oid relid) {
  int of_stream = 0, in_all = 0;
  for (int i = 0; i < list_length(overlays);) {
    CachedOverlay *cached = Nth(i);
    if (cached->built->overlay.holders == 0 &&
        ((cached->relid == relid && ++of_stream > kIdlePerStream) || ++in_all > kIdleInAll))
      Drop(cached);
    else
      ++i;
  }
}

// Scans of one statement may share what is recomputed on every read, and must, where they compare the TIDs of its rows. One
// statement is what has the very snapshot of those that hold the overlay. Amid a statement on a source not even that sees
// the same twice.
bool MayBeFoundAgain(const CachedOverlay *cached, Snapshot snapshot) {
  const BuiltOverlay *built = cached->built;
  if (!built->momentary) return true;
  return built->overlay.holders > 0 && cached->snapshot == snapshot &&
         built->overlay.strategy == Strategy::RecomputeAlways && !AnyMidStatement();
}

CachedOverlay *FindExact(Oid relid, Snapshot snapshot, uint64 own_xid, bool by_key) {
  ListCell *cell;
  foreach (cell, overlays) {
    auto *cached = static_cast<CachedOverlay *>(lfirst(cell));
    const UnresolvedGroups *unresolved = cached->built->overlay.unresolved;
    if (unresolved != nullptr && !(by_key && MayBeAsked(unresolved))) continue;
    if (cached->relid == relid && MayBeFoundAgain(cached, snapshot) && IsIdentity(&cached->identity, snapshot, own_xid))
      return cached;
  }
  return nullptr;
}

CachedOverlay *FindExtendable(Relation rel, const Stream *stream, Snapshot snapshot) {
  const uint64 own_xid = OwnTransactionId();
  ListCell *cell;
  foreach (cell, overlays) {
    auto *cached = static_cast<CachedOverlay *>(lfirst(cell));
    if (cached->relid != stream->relid || cached->built->overlay.holders > 0) continue;
    if (own_xid != 0 && cached->identity.own_xid == own_xid && cached->identity.command > snapshot->curcid) continue;
    if (CanExtend(cached->built, rel, stream, snapshot)) return cached;
  }
  return nullptr;
}

// An error has ended the work on its groups.
bool IsBroken(const Overlay *overlay) { return overlay->unresolved != nullptr && !MayBeAsked(overlay->unresolved); }

// True when there is one with unresolved groups since the fold that the snapshot sees.
bool AnyUnresolved(Oid relid, Snapshot snapshot) {
  ListCell *cell;
  foreach (cell, overlays) {
    const auto *cached = static_cast<const CachedOverlay *>(lfirst(cell));
    const BuiltOverlay *built = cached->built;
    if (cached->relid != relid || built->overlay.unresolved == nullptr || IsBroken(&built->overlay)) continue;
    const FrontierRow *frontier = ReadFrontier(relid, snapshot, CurrentMemoryContext);
    return frontier != nullptr && frontier->fold_number == built->frontier->fold_number;
  }
  return false;
}

// A newer one has come for them.
void DropIdleUnresolved(Oid relid, const CachedOverlay *newer) {
  for (int i = list_length(overlays) - 1; i >= 0; --i) {
    CachedOverlay *cached = Nth(i);
    if (cached->relid == relid && cached != newer && cached->built->overlay.unresolved != nullptr && cached->built->overlay.holders == 0)
      Drop(cached);
  }
}

// The segments that a reader with this snapshot leaves alone.
const SegmentSet *SegmentsToLeaveAlone(const Stream *stream, Snapshot snapshot) {
  if (!AnySettled(stream)) return nullptr;
  const FrontierRow *frontier = ReadFrontier(stream->relid, snapshot, CurrentMemoryContext);
  return frontier != nullptr ? SettledBehind(stream, &frontier->frontier) : nullptr;
}

bool SameLogs(const Stream *a, const Stream *b) {
  if (a->nsources != b->nsources) return false;
  for (int i = 0; i < a->nsources; ++i) {
    const StreamSource *one = &a->sources[i], *other = &b->sources[i];
    if (one->nsegments != other->nsegments || memcmp(one->segments, other->segments, sizeof(Oid) * one->nsegments) != 0)
      return false;
  }
  return true;
}

// Locks the logs, as the catalogs have them once they are locked: one may have got a further segment. Returns the stream as it
// is by then, and which segments are left alone.
const Stream *LockLogsOfLatest(Relation rel, const Stream *stream, Snapshot snapshot, const SegmentSet **settled) {
  for (;;) {
    *settled = SegmentsToLeaveAlone(stream, snapshot);
    LockLogs(stream->sources, stream->nsources, *settled);
    AcceptInvalidationMessages();
    const Stream *latest = LookupStream(stream->relid);
    if (latest == nullptr)
      ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                      errmsg("stream table \"%s\" was changed concurrently", RelationGetRelationName(rel))));
    if (SameLogs(stream, latest)) return latest;
    UnlockLogs(stream->sources, stream->nsources, *settled);
    stream = latest;
  }
}

OverlayReport *ReportFor(Oid relid) {
  ListCell *cell;
  foreach (cell, reports) {
    auto *report = static_cast<OverlayReport *>(lfirst(cell));
    if (report->relid == relid) return report;
  }
  const MemoryContext saved = MemoryContextSwitchTo(overlay_cache_context);
  auto *report = static_cast<OverlayReport *>(palloc0(sizeof(OverlayReport)));
  report->relid = relid;
  reports = lappend(reports, report);
  MemoryContextSwitchTo(saved);
  return report;
}

// Hands out what an acquisition found, and notes it for EXPLAIN.
Overlay *HandOut(CachedOverlay *cached) {
  BuiltOverlay *built = cached->built;
  OverlayReport *report = ReportFor(cached->relid);
  report->merged = built->merges;
  report->strategy = built->overlay.strategy;
  report->reason = built->overlay.reason;
  report->statistics = built->overlay.statistics;
  report->data_timestamp = built->frontier != nullptr ? built->frontier->data_timestamp : 0;
  ++report->reads;
  PutFirst(cached);
  if (!built->merges) return nullptr;
  ++built->overlay.holders;
  return &built->overlay;
}

// Takes an idle overlay out of the cache and brings it up to the snapshot. On error it is simply gone.
CachedOverlay *Extend(CachedOverlay *cached, Relation rel, const Stream *stream, const SegmentSet *settled, Snapshot snapshot) {
  overlays = list_delete_ptr(overlays, cached);
  MemoryContextSetParent(cached->built->overlay.context, CurrentMemoryContext);
  ExtendOverlay(cached->built, rel, stream, settled, snapshot);
  MemoryContextSetParent(cached->built->overlay.context, overlay_cache_context);
  PutFirst(cached);
  cached->built->overlay.statistics.from_cache = false;
  cached->built->overlay.statistics.extended = true;
  return cached;
}

MergeDecision FollowedDecision(Oid relid) {
  ListCell *cell;
  foreach (cell, followed) {
    const auto *decision = static_cast<const Followed *>(lfirst(cell));
    if (decision->relid == relid) return decision->decision;
  }
  return MergeDecision::Own;
}

CachedOverlay *Build(Relation rel, const Stream *stream, const SegmentSet *settled, Snapshot snapshot, bool by_key) {
  by_key = by_key && !AnyUnresolved(stream->relid, snapshot);
  BuiltOverlay *built = BuildOverlay(rel, stream, settled, snapshot, false, FollowedDecision(stream->relid), by_key);
  auto *cached =
      static_cast<CachedOverlay *>(MemoryContextAllocZero(built->overlay.context, sizeof(CachedOverlay)));
  cached->relid = stream->relid;
  cached->built = built;
  MemoryContextSetParent(built->overlay.context, overlay_cache_context);
  PutFirst(cached);
  return cached;
}

void DropOverlaysWithOwnWrites() {
  for (int i = list_length(overlays) - 1; i >= 0; --i) {
    CachedOverlay *cached = Nth(i);
    if (cached->identity.own_xid == 0) continue;
    if (cached->built->overlay.holders > 0) {
      // A scan of the aborted subtransaction's parent may still read it; it must only not be found again.
      cached->identity.xmin = cached->identity.xmax = InvalidTransactionId;
      cached->built->extendable = false;
    } else {
      Drop(cached);
    }
  }
}

void EndOfTransaction(XactEvent event, void *) {
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PARALLEL_COMMIT && event != XACT_EVENT_PREPARE &&
      event != XACT_EVENT_ABORT && event != XACT_EVENT_PARALLEL_ABORT)
    return;
  for (int i = list_length(overlays) - 1; i >= 0; --i) {
    CachedOverlay *cached = Nth(i);
    cached->built->overlay.holders = 0;
    // Temporary files are not kept for a next transaction that may never come, nor what no reader can use any more.
    if (!AdditionsInMemory(&cached->built->overlay.additions) || !TransactionIdIsValid(cached->identity.xmax) ||
        cached->built->momentary || IsBroken(&cached->built->overlay) || !IsCurrentStream(cached->relid, cached->built->stream_generation))
      Drop(cached);
  }
  followed = NIL;
  ResetOverlayReports();
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PARALLEL_COMMIT) DropOverlaysWithOwnWrites();
  TrimIdle(InvalidOid);
}

void EndOfSubtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void *) {
  if (event != SUBXACT_EVENT_ABORT_SUB) return;
  DropOverlaysWithOwnWrites();
  // Those that held them may be gone without having said so, and their snapshots with them.
  ListCell *cell;
  foreach (cell, overlays) static_cast<CachedOverlay *>(lfirst(cell))->snapshot = nullptr;
}

}  // namespace

Overlay *AcquireOverlay(Relation rel, const Stream *stream, Snapshot snapshot, bool by_key) {
  Assert(IsMVCCSnapshot(snapshot));
  const LocalTransactionId transaction = compat::CurrentLocalTransactionId();
  // Workers of a parallel query read the log after their leader did: it must still be there, so the lock stays.
  const bool share_with_workers = IsInParallelMode() && !IsParallelWorker();
  // Under SERIALIZABLE the first read of a transaction visits the whole log: the conflict checks come with the visit.
  const bool must_visit = IsolationIsSerializable();
  by_key = by_key && !must_visit && !IsInParallelMode();
  CachedOverlay *cached = FindExact(stream->relid, snapshot, OwnTransactionId(), by_key);
  if (cached != nullptr &&
      (cached->built->stream_generation != stream->generation || cached->built->storage != compat::StorageNumber(rel) ||
       (must_visit && cached->built_in != transaction) || (share_with_workers && !cached->built->as_new)))
    cached = nullptr;
  if (cached != nullptr && (!share_with_workers || cached->locked_in == transaction)) {
    cached->built->overlay.statistics.from_cache = true;
    return HandOut(cached);
  }

  // With the locks nobody reclaims what the frontier lacks. News of the catalogs must be heard even where the locks are held
  // already: writers that this snapshot sees may have stopped writing the log (capture/log_limit.hpp) or use a new segment.
  const SegmentSet *settled;
  stream = LockLogsOfLatest(rel, stream, snapshot, &settled);
  // What is cached stays right without the log, but workers would not come to the same overlay.
  const bool reusable = cached != nullptr && cached->built->stream_generation == stream->generation &&
                        (!cached->built->extendable || LogReaches(cached->built->frontier, stream));
  if (!reusable) {
    // Workers build anew, and what they mask must be what we mask.
    const bool alike = stream->plan->strategy == Strategy::Rows || !share_with_workers;
    cached = must_visit || !alike ? nullptr : FindExtendable(rel, stream, snapshot);
    cached = cached != nullptr ? Extend(cached, rel, stream, settled, snapshot) : Build(rel, stream, settled, snapshot, by_key);
    NoteIdentity(cached, snapshot);
    cached->built_in = transaction;
    DropIdleUnresolved(stream->relid, cached);
  }
  if (share_with_workers)
    cached->locked_in = transaction;
  else
    UnlockLogs(stream->sources, stream->nsources, settled);
  Overlay *overlay = HandOut(cached);
  TrimIdle(stream->relid);
  return overlay;
}

void ReleaseOverlay(Overlay *overlay) {
  if (overlay->holders > 0) --overlay->holders;
}

Overlay *FindOverlayOfAddition(Oid relid, ItemPointer tid) {
  Overlay *idle = nullptr;
  ListCell *cell;
  foreach (cell, overlays) {
    Overlay *overlay = &static_cast<CachedOverlay *>(lfirst(cell))->built->overlay;
    if (overlay->relid != relid || SyntheticOrdinal(&overlay->additions, tid) < 0) continue;
    if (overlay->holders > 0) return overlay;
    if (idle == nullptr) idle = overlay;
  }
  return idle;
}

MergeDecision DecisionOf(const Overlay *overlay) {
  return overlay != nullptr && overlay->masks_all ? MergeDecision::Recompute : MergeDecision::Merge;
}

void FollowMergeDecision(Oid relid, MergeDecision decision) {
  const MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
  auto *entry = static_cast<Followed *>(palloc(sizeof(Followed)));
  *entry = {relid, decision};
  followed = lcons(entry, followed);
  MemoryContextSwitchTo(saved);
}

const OverlayReport *LastOverlayReport(Oid relid) {
  ListCell *cell;
  foreach (cell, reports) {
    auto *report = static_cast<OverlayReport *>(lfirst(cell));
    if (report->relid != relid || report->reads == 0) continue;
    report->frontier_age_ms =
        report->data_timestamp != 0 ? (GetCurrentTimestamp() - report->data_timestamp) / 1000.0 : 0;
    return report;
  }
  return nullptr;
}

void NoteResolution(const Overlay *overlay) {
  ListCell *cell;
  foreach (cell, reports) {
    auto *report = static_cast<OverlayReport *>(lfirst(cell));
    if (report->relid == overlay->relid) report->statistics = overlay->statistics;
  }
}

void ResetOverlayReports() {
  list_free_deep(reports);
  reports = NIL;
}

bool OverlayGrowth(Oid relid, double base_rows, double *growth) {
  ListCell *cell;
  foreach (cell, overlays) {
    const auto *cached = static_cast<const CachedOverlay *>(lfirst(cell));
    const Overlay *overlay = &cached->built->overlay;
    if (cached->relid != relid || overlay->unresolved != nullptr) continue;
    *growth = static_cast<double>(overlay->additions.live) -
              (overlay->masks_all ? base_rows : static_cast<double>(overlay->statistics.masked));
    return true;
  }
  return false;
}

void InitOverlayCache() {
  overlay_cache_context = AllocSetContextCreate(TopMemoryContext, "pg_stream overlays", ALLOCSET_DEFAULT_SIZES);
  RegisterXactCallback(EndOfTransaction, nullptr);
  RegisterSubXactCallback(EndOfSubtransaction, nullptr);
}

}  // namespace pgstream
