// Log to overlay; see overlay_build.hpp.
#include "delta/overlay_build.hpp"

#include "capture/log_hints.hpp"
#include "capture/open_statements.hpp"
#include "delta/addition_hash.hpp"
#include "delta/evaluate.hpp"
#include "pg/boundary.hpp"
#include "pg/progress.hpp"
#include "pg/rebuild.hpp"

extern "C" {
#include "catalog/pg_inherits.h"
#include "executor/nodeHash.h"
#include "portability/instr_time.h"
}

namespace pgstream {

Size DeltaMemoryLimit(bool for_fold) {
  const Size hash_mem = get_hash_memory_limit();
  return for_fold ? Max(hash_mem, static_cast<Size>(maintenance_work_mem) * 1024) : hash_mem;
}

uint64 OwnTransactionId() { return U64FromFullTransactionId(GetTopFullTransactionIdIfAny()); }

namespace {

// Rows of the log between two looks at the memory in use; a record counts for so many at least.
constexpr int64 kRowsPerMemoryCheck = 8192;
constexpr int64 kLeastRows = 512;

struct PendingVisit {
  BuiltOverlay *built;
  Relation rel;
  const Stream *stream;
  const SegmentSet *settled;
  bool for_fold;
  bool extending;
  SnapshotView seen;  // when extending: what the earlier snapshot saw
  uint64 seen_own_xid;
  int64 seen_own_sequence;
  uint64 own_xid;
  int64 own_sequence;
  const char *recompute_reason;
  int64 records;
  int64 rows_unchecked;  // since memory was looked at
  Size memory_limit;
  MergeDecision decision;
};

bool SeenBefore(const PendingVisit *visit, const LogRecord *record) {
  if (!visit->extending) return false;
  if (visit->seen_own_xid != 0 && record->xid == visit->seen_own_xid)
    return record->sequence <= visit->seen_own_sequence;
  return Sees(visit->seen, record->xid);
}

const char *ReasonOfKind(char kind) {
  switch (kind) {
    case 't':
      return "a source was truncated";
    case 'u':
      return "a source was changed in a way that the change log does not hold";
    default:
      return "a transaction changed a source by more than the change log may hold";
  }
}

void VisitRecord(const LogRecord *record, void *argument) {
  auto *visit = static_cast<PendingVisit *>(argument);
  BuiltOverlay *built = visit->built;
  if (visit->own_xid != 0 && record->xid == visit->own_xid)
    visit->own_sequence = Max(visit->own_sequence, record->sequence);
  if (Covers(built->frontier->frontier, record->xid, record->sequence)) return;
  if (SeenBefore(visit, record)) return;

  ++visit->records;
  if (record->kind != 'c') {
    visit->recompute_reason = ReasonOfKind(record->kind);
    return;
  }
  BatchHeader header;
  const BatchStatus status = ReadBatchHeader(record->batch, record->batch_size, &header);
  if (status == BatchStatus::kBadVersion) {
    // Written by another version of the library: as good as not written.
    visit->recompute_reason = "the change log has a record of another format";
    return;
  }
  if (status != BatchStatus::kOk)
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid change log record of stream table \"%s\"",
                                                            RelationGetRelationName(visit->rel)),
                    errdetail_internal("%s.", BatchStatusMessage(status))));
  built->overlay.statistics.pending_changes += header.nrows;
  if (visit->for_fold) AddProgress(kProgressChanges, header.nrows);
  if (visit->recompute_reason != nullptr) return;
  if (built->operations == nullptr) {
    visit->recompute_reason = visit->stream->plan->reason;
    return;
  }
  if (built->delta == nullptr)
    built->delta = built->operations->begin(&built->overlay, visit->rel, visit->stream, visit->for_fold);
  built->operations->apply(built->delta, record);
  visit->rows_unchecked += Max(static_cast<int64>(header.nrows), kLeastRows);
  if (visit->rows_unchecked < kRowsPerMemoryCheck) return;
  visit->rows_unchecked = 0;
  if (visit->decision == MergeDecision::Own && MemoryContextMemAllocated(built->overlay.context, true) > visit->memory_limit)
    visit->recompute_reason = "the pending changes exceed hash_mem";
}

void AddRecomputedRow(TupleTableSlot *slot, void *argument) {
  auto *additions = static_cast<Additions *>(argument);
  bool should_free;
  MinimalTuple tuple = ExecFetchSlotMinimalTuple(slot, &should_free);
  AdditionsAppend(additions, tuple);
  if (should_free) pfree(tuple);
}

// Answers by the query itself: no base row counts, every row of the result is an addition. A fold computes the content
// on its own, with hidden state, and is told only that everything is masked.
void Recompute(BuiltOverlay *built, const Stream *stream, Snapshot snapshot, bool for_fold, const char *reason) {
  Overlay *overlay = &built->overlay;
  built->extendable = false;
  built->merges = true;
  if (built->delta != nullptr) {
    // What the delta had put together is void; its memory goes with the overlay.
    overlay->mask.Free();
    AdditionsEnd(&overlay->additions);
    AdditionsInit(&overlay->additions, overlay->context, overlay->additions.limit);
  }
  overlay->masks_all = true;
  overlay->strategy = stream->plan->strategy == Strategy::RecomputeAlways ? Strategy::RecomputeAlways : Strategy::Recompute;
  overlay->reason = reason;
  if (for_fold) return;
  const MemoryContext work =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream recompute", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(work);
  RunQuery(stream->plan->query, snapshot, AddRecomputedRow, &overlay->additions);
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(work);
}

// True when the snapshot sees changes of a source of which the log has nothing yet.
bool SeesMidStatement(const Stream *stream, Snapshot snapshot) {
  if (!AnyMidStatement()) return false;
  for (int i = 0; i < stream->nsources; ++i)
    if (IsMidStatement(stream->sources[i].relid, snapshot->curcid)) return true;
  return false;
}

// True when a table has another definition or storage than at the time of the snapshot, or one of this transaction's making. A
// rewritten table looks empty to an older snapshot, and to the transaction that rewrote it shows rows its snapshot does not
// see; neither is in the log. Any change of its pg_class row counts.
bool ChangedBeyondSnapshot(Oid table, Snapshot snapshot, bool only_here) {
  const LatestChange change = LatestChangeOf(table, snapshot);
  if (change != LatestChange::Own) return change == LatestChange::Gone || (change == LatestChange::Unseen && !only_here);
  Relation rel = table_open(table, NoLock);
  const bool created_here = rel->rd_createSubid != InvalidSubTransactionId;
  table_close(rel, NoLock);
  return !created_here;
}

// Why base and log cannot answer together, whatever is pending; nullptr when they can.
const char *WhyNotMergeable(const BuiltOverlay *built, const Stream *stream, Snapshot snapshot) {
  if (SeesMidStatement(stream, snapshot)) return "a statement on a source was running";
  if (stream->plan->strategy == Strategy::RecomputeAlways) return stream->plan->reason;
  if (!stream->enrolled) return "the stream table came from a dump and awaits its first refresh";
  if (SourcesChangedBeyondSnapshot(stream, snapshot, true)) return "this transaction has altered a source";
  if (built->frontier == nullptr) return "the stream table is not populated";
  if (built->frontier->version != stream->version) return "the stream table must be rebuilt by its next refresh";
  if (!LogReaches(built->frontier, stream))
    return stream->cut_off ? "the change log has exceeded its limit; the stream table must be rebuilt by its next refresh"
                           : "the snapshot is older than the change log";
  for (int i = 0; i < stream->nsources; ++i) {
    const StreamSource *source = &stream->sources[i];
    if (source->nsegments == 0) return "a source is not captured";
    Relation rel = try_relation_open(source->relid, AccessShareLock);
    if (rel == nullptr) return "a source is gone";
    const bool intact = CaptureIsIntact(rel);
    relation_close(rel, NoLock);
    if (!intact) return "a source is no longer captured";
  }
  return nullptr;
}

void *AllocateMask(void *context, size_t size) {
  return MemoryContextAllocHuge(static_cast<MemoryContext>(context), size);
}
void ReleaseMask(void *, void *memory) { pfree(memory); }

const DeltaOperations *OperationsFor(Strategy strategy) {
  switch (strategy) {
    case Strategy::Rows:
      return &kRowsDelta;
    case Strategy::Groups:
      return &kGroupsDelta;
    case Strategy::Keyed:
      return &kKeyedDelta;
    case Strategy::Recompute:
    case Strategy::RecomputeAlways:
      break;
  }
  return nullptr;
}

// Reads what is pending under snapshot (and was not seen before, when extending) and finishes mask and additions.
void ApplyPending(PendingVisit *visit, Snapshot snapshot) {
  BuiltOverlay *built = visit->built;
  const Stream *stream = visit->stream;
  instr_time start, end;
  INSTR_TIME_SET_CURRENT(start);
  built->overlay.statistics.keys_evaluated = 0;
  built->overlay.statistics.keyed_cost = built->overlay.statistics.whole_cost = 0;
  for (int i = 0; i < stream->nsources; ++i)
    ReadLog(&stream->sources[i], visit->settled != nullptr ? visit->settled[i] : 0, snapshot, built->positions[i], VisitRecord, visit);
  // What an earlier read has put together is not shown either, once the owner may not read it.
  if (visit->recompute_reason == nullptr && built->delta != nullptr) CheckOwnerMayRead(stream);
  if (visit->recompute_reason == nullptr && visit->records > 0 && built->delta != nullptr) {
    if (visit->for_fold) SetProgressPhase(ProgressPhase::EvaluatingChanges);
    visit->recompute_reason = built->operations->finish(built->delta, visit->rel, snapshot);
    built->merges = built->overlay.mask.count() > 0 || built->overlay.additions.live > 0 || visit->for_fold ||
                    built->overlay.unresolved != nullptr;
  }
  // What was evaluated may have met a function that replaced the one the base was computed with.
  if (visit->recompute_reason == nullptr && visit->records > 0 && stream->plan->dependence.unlocked &&
      CurrentStreamVersion(stream->relid) != stream->version)
    visit->recompute_reason = "the definition was changed meanwhile";
  if (visit->recompute_reason != nullptr && visit->decision == MergeDecision::Merge)
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                    errmsg("could not merge stream table \"%s\" as the parallel leader did",
                           RelationGetRelationName(visit->rel)),
                    errdetail_internal("%s", visit->recompute_reason),
                    errhint("Raise work_mem, or set max_parallel_workers_per_gather to 0.")));
  if (visit->recompute_reason != nullptr) Recompute(built, stream, snapshot, visit->for_fold, visit->recompute_reason);
  built->overlay.statistics.masked = built->overlay.masks_all ? -1 : static_cast<int64>(built->overlay.mask.count());
  built->overlay.statistics.added = built->overlay.additions.live;
  INSTR_TIME_SET_CURRENT(end);
  INSTR_TIME_SUBTRACT(end, start);
  built->overlay.statistics.build_ms = INSTR_TIME_GET_MILLISEC(end);
}

PendingVisit StartVisit(BuiltOverlay *built, Relation rel, const Stream *stream, const SegmentSet *settled, bool for_fold) {
  PendingVisit visit = {};
  visit.built = built;
  visit.rel = rel;
  visit.stream = stream;
  visit.settled = settled;
  visit.for_fold = for_fold;
  visit.own_xid = OwnTransactionId();
  visit.memory_limit = DeltaMemoryLimit(for_fold);
  return visit;
}

void NoteSnapshot(BuiltOverlay *built, Snapshot snapshot, int64 own_sequence) {
  built->view = ViewOfSnapshot(snapshot, built->overlay.context);
  built->own_xid = OwnTransactionId();
  built->own_sequence = own_sequence;
}

}  // namespace

BuiltOverlay *BuildOverlay(Relation rel, const Stream *stream, const SegmentSet *settled, Snapshot snapshot, bool for_fold,
                           MergeDecision decision, bool by_key) {
  const MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream overlay", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(context);
  auto *built = static_cast<BuiltOverlay *>(palloc0(sizeof(BuiltOverlay)));
  Overlay *overlay = &built->overlay;
  overlay->relid = RelationGetRelid(rel);
  overlay->context = context;
  overlay->strategy = stream->plan->strategy;
  const MaskAllocator allocator = {AllocateMask, ReleaseMask, context};
  overlay->mask.Init(allocator, MaxHeapTuplesPerPage);
  AdditionsInit(&overlay->additions, context, get_hash_memory_limit());
  built->stream_generation = stream->generation;
  built->storage = compat::StorageNumber(rel);
  built->operations = OperationsFor(stream->plan->strategy);
  built->as_new = true;
  built->positions = static_cast<LogPosition **>(palloc0(sizeof(LogPosition *) * Max(stream->nsources, 1)));
  for (int i = 0; i < stream->nsources; ++i) built->positions[i] = NewLogPosition(context);
  built->frontier = ReadFrontier(overlay->relid, snapshot, context);
  MemoryContextSwitchTo(saved);

  // What is recomputed on every read has no other truth than the moment: the clock goes on, a sequence, a foreign table or
  // an uncaptured source amid a statement changes, all under one snapshot.
  built->momentary = SeesMidStatement(stream, snapshot) || stream->plan->strategy == Strategy::RecomputeAlways;

  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  PendingVisit visit = StartVisit(built, rel, stream, settled, for_fold);
  visit.decision = decision;
  overlay->must_merge = decision == MergeDecision::Merge;
  // What a function of the query returns may be another one by the time that a group is asked for.
  overlay->may_defer = by_key && decision == MergeDecision::Own && !stream->plan->dependence.unlocked;
  const char *why_not = nullptr;
  if (decision == MergeDecision::Recompute)
    why_not = "the parallel leader recomputes";
  else if (decision == MergeDecision::Own || built->frontier == nullptr)
    why_not = WhyNotMergeable(built, stream, snapshot);
  if (why_not != nullptr) {
    Recompute(built, stream, snapshot, for_fold, why_not);
    overlay->statistics.masked = -1;
    overlay->statistics.added = overlay->additions.live;
  } else {
    built->extendable = true;
    if (visit.own_xid != 0 && built->frontier->frontier.own_xid == visit.own_xid)
      visit.own_sequence = built->frontier->frontier.own_seq;
    ApplyPending(&visit, snapshot);
  }
  LeaveOwnerScope(&scope);
  NoteSnapshot(built, snapshot, visit.own_sequence);
  return built;
}

bool AnySettled(const Stream *stream) {
  if (IsolationIsSerializable()) return false;
  for (int i = 0; i < stream->nsources; ++i)
    if (AnySettled(&stream->sources[i])) return true;
  return false;
}

const SegmentSet *SettledBehind(const Stream *stream, const Frontier *frontier) {
  if (!AnySettled(stream)) return nullptr;
  auto *settled = static_cast<SegmentSet *>(palloc(sizeof(SegmentSet) * stream->nsources));
  for (int i = 0; i < stream->nsources; ++i) settled[i] = SettledSegments(&stream->sources[i], frontier);
  return settled;
}

bool LogReaches(const FrontierRow *frontier, const Stream *stream) {
  for (int i = 0; i < stream->nsources; ++i)
    if (frontier->fold_number < stream->sources[i].log_start) return false;
  return true;
}

LatestChange LatestChangeOf(Oid relid, Snapshot snapshot) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
  if (!HeapTupleIsValid(tuple)) return LatestChange::Gone;
  const TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);
  ReleaseSysCache(tuple);
  if (!TransactionIdIsNormal(xmin)) return LatestChange::Seen;
  if (TransactionIdIsCurrentTransactionId(xmin)) return LatestChange::Own;
  return XidInMVCCSnapshot(xmin, snapshot) ? LatestChange::Unseen : LatestChange::Seen;
}

bool SourcesChangedBeyondSnapshot(const Stream *stream, Snapshot snapshot, bool only_here) {
  if (!IsolationUsesXactSnapshot() || (only_here && OwnTransactionId() == 0)) return false;
  for (int i = 0; i < stream->nsources; ++i) {
    ListCell *cell;
    foreach (cell, find_all_inheritors(stream->sources[i].relid, AccessShareLock, nullptr))
      if (ChangedBeyondSnapshot(lfirst_oid(cell), snapshot, only_here)) return true;
  }
  return false;
}

bool CanExtend(const BuiltOverlay *built, Relation rel, const Stream *stream, Snapshot snapshot) {
  if (!built->extendable || built->overlay.final || built->overlay.unresolved != nullptr || built->stream_generation != stream->generation) return false;
  if (built->storage != compat::StorageNumber(rel)) return false;
  const MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream extension check", ALLOCSET_SMALL_SIZES);
  const FrontierRow *frontier = ReadFrontier(RelationGetRelid(rel), snapshot, context);
  const bool can = frontier != nullptr && frontier->version == built->frontier->version &&
                   frontier->fold_number == built->frontier->fold_number &&
                   Includes(ViewOfSnapshot(snapshot, context), built->view) && WhyNotMergeable(built, stream, snapshot) == nullptr;
  MemoryContextDelete(context);
  return can;
}

void ExtendOverlay(BuiltOverlay *built, Relation rel, const Stream *stream, const SegmentSet *settled, Snapshot snapshot) {
  ForgetAdditionHashes(&built->overlay);
  built->overlay.may_defer = false;
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  PendingVisit visit = StartVisit(built, rel, stream, settled, false);
  built->as_new = built->operations == nullptr || built->operations->extends_alike;
  visit.extending = true;
  visit.seen = built->view;
  visit.seen_own_xid = built->own_xid;
  visit.seen_own_sequence = built->own_sequence;
  visit.own_sequence = visit.own_xid != 0 && visit.own_xid == built->own_xid ? built->own_sequence : 0;
  ApplyPending(&visit, snapshot);
  LeaveOwnerScope(&scope);
  pfree(const_cast<uint64_t *>(built->view.xip));
  NoteSnapshot(built, snapshot, visit.own_sequence);
}

}  // namespace pgstream
