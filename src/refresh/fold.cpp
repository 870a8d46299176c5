// The fold; see fold.hpp.
#include "refresh/fold.hpp"

#include "capture/change_log.hpp"
#include "capture/frontier.hpp"
#include "capture/open_statements.hpp"
#include "capture/registration.hpp"
#include "delta/evaluate.hpp"
#include "delta/hidden_state.hpp"
#include "delta/overlay_build.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/progress.hpp"
#include "pg/rebuild.hpp"
#include "pg/source_privilege.hpp"
#include "refresh/base_writer.hpp"
#include "refresh/rebuild.hpp"

extern "C" {
#include "catalog/pg_inherits.h"
#include "utils/timestamp.h"
}

namespace pgstream {

namespace {

// No read ever looks at the base of a query that is run every time.
bool BaseIsUnused(const Stream *stream) {
  return stream->mode == RefreshMode::Differential && stream->plan->strategy == Strategy::RecomputeAlways;
}

void Rebuild(Relation rel, const Stream *stream, Snapshot snapshot, BaseWriter *writer) {
  if (BaseIsUnused(stream)) {
    CheckMayRun(stream);
    return;
  }
  RebuildBase(rel, stream, snapshot, writer);
}

// Who emptied a segment of a log saw all that it threw away, and so does who sees him. An older snapshot may lack some of it.
bool LogWasEmptiedBeyond(Oid segment, Snapshot snapshot) {
  const LatestChange change = LatestChangeOf(segment, snapshot);
  return change == LatestChange::Gone || change == LatestChange::Unseen;
}

// True when log and snapshot fit together from here on: the snapshot sees every transaction that attached a capture, and the
// log, whose segments are locked, still has all that the snapshot does not see.
bool SnapshotSeesCapture(const Stream *stream, Snapshot snapshot, bool own_capture_is_seen) {
  const SnapshotView view = ViewOfSnapshot(snapshot, CurrentMemoryContext);
  const uint64 own = OwnTransactionId();
  for (int i = 0; i < stream->nsources; ++i) {
    const uint64 captured_by = stream->sources[i].captured_by;
    if (own != 0 && captured_by == own ? !own_capture_is_seen : !Sees(view, captured_by)) return false;
    for (int k = 0; k < stream->sources[i].nsegments; ++k)
      if (LogWasEmptiedBeyond(stream->sources[i].segments[k], snapshot)) return false;
  }
  return true;
}

// True when a unique index of the user's is not on group keys alone, which stay with their row: values that rows exchange
// would meet each other in it, if each row were changed in its turn.
bool ValuesMayCollide(Relation rel, const DeltaPlan *plan) {
  Bitmapset *keys = nullptr;
  for (int i = 0; i < plan->nkeys; ++i)
    if (plan->keys[i].output_column > 0) keys = bms_add_member(keys, plan->keys[i].output_column);
  bool collide = false;
  ListCell *cell;
  foreach (cell, RelationGetIndexList(rel)) {
    Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    if (index->rd_index->indisunique)
      for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); ++i)
        collide |= !bms_is_member(index->rd_index->indkey.values[i], keys);
    index_close(index, NoLock);
  }
  return collide;
}

// A base row and the addition that replaces it.
struct Replacement {
  ItemPointerData tid;
  int64 ordinal;
};

int ByPlace(const void *a, const void *b) {
  return ItemPointerCompare(const_cast<ItemPointer>(&static_cast<const Replacement *>(a)->tid),
                            const_cast<ItemPointer>(&static_cast<const Replacement *>(b)->tid));
}

// Takes the replaced rows out of the mask and returns them. In the order of their places, unless that would mean to read
// additions from disk in no order.
Replacement *TakeReplacements(Overlay *overlay, TupleDesc extended, int64 *count) {
  auto *replacements = static_cast<Replacement *>(
      palloc_extended(sizeof(Replacement) * static_cast<Size>(Max(overlay->additions.count, 1)), MCXT_ALLOC_HUGE));
  AdditionsCursor cursor = {};
  int64 n = 0;
  for (int64 i = 0; i < overlay->additions.count; ++i) {
    MinimalTuple tuple = AdditionsFetch(&overlay->additions, i, &cursor);
    const ItemPointer replaced = tuple != nullptr ? ReplacedRow(tuple, extended) : nullptr;
    if (replaced == nullptr) continue;
    overlay->mask.Remove(ItemPointerGetBlockNumber(replaced), ItemPointerGetOffsetNumber(replaced));
    replacements[n++] = {*replaced, i};
  }
  AdditionsCursorEnd(&cursor);
  if (AdditionsInMemory(&overlay->additions)) qsort(replacements, static_cast<size_t>(n), sizeof(Replacement), ByPlace);
  *count = n;
  return replacements;
}

void DeleteMasked(const TidMask &mask, BaseWriter *writer) {
  TidMaskIterator iterator;
  if (!iterator.Begin(mask)) elog(ERROR, "could not walk the mask of an overlay");
  uint32 block, offset;
  while (iterator.Next(&block, &offset)) {
    ItemPointerData tid;
    ItemPointerSet(&tid, block, static_cast<OffsetNumber>(offset));
    DeleteBaseRow(writer, &tid);
  }
  iterator.End();
}

// Writes base - mask + additions: deletions first, so that unique indexes of the user's meet no row twice. Replaced rows are
// updated in place, where that is safe, so they leave the mask; what remains in it is deleted.
void ApplyOverlay(Overlay *overlay, Relation rel, const Stream *stream, BaseWriter *writer) {
  const bool in_place = !ValuesMayCollide(rel, stream->plan);
  const Additions *const additions = &overlay->additions;
  AdditionsCursor cursor = {};
  int64 replaced = 0;
  Replacement *const replacements = in_place ? TakeReplacements(overlay, writer->additions, &replaced) : nullptr;
  DeleteMasked(overlay->mask, writer);
  for (int64 i = 0; i < replaced; ++i)
    UpdateByAddition(writer, &replacements[i].tid, AdditionsFetch(additions, replacements[i].ordinal, &cursor));
  const bool any_new = additions->live > replaced;
  for (int64 i = 0; any_new && i < additions->count; ++i) {
    MinimalTuple tuple = AdditionsFetch(additions, i, &cursor);
    if (tuple == nullptr || (in_place && ReplacedRow(tuple, writer->additions) != nullptr)) continue;
    InsertAddition(writer, tuple);
  }
  AdditionsCursorEnd(&cursor);
  if (replacements != nullptr) pfree(replacements);
  FinishBaseWrite(writer);
}

// Opening the owner's indexes evaluates what is constant in their expressions.
BaseWriter *BeginBaseWriteAsOwner(Relation rel, const Stream *stream) {
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  BaseWriter *writer = BeginBaseWrite(rel);
  LeaveOwnerScope(&scope);
  return writer;
}

// The expressions of the owner's indexes are evaluated for every new row, with no more rights than the owner's.
void ApplyOverlayAsOwner(Overlay *overlay, Relation rel, const Stream *stream, BaseWriter *writer) {
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  ApplyOverlay(overlay, rel, stream, writer);
  LeaveOwnerScope(&scope);
}

// The frontier of the latest committed (or own) fold.
FrontierRow *LatestFrontier(Oid relid) {
  Snapshot latest = RegisterSnapshot(GetLatestSnapshot());
  FrontierRow *row = ReadFrontier(relid, latest, CurrentMemoryContext);
  UnregisterSnapshot(latest);
  return row;
}

// The fold must see the latest one, or it would fold the same changes again.
void CheckNotBehind(Relation rel, const FrontierRow *mine, const FrontierRow *latest) {
  const int64 my_number = mine != nullptr ? mine->fold_number : 0;
  const int64 latest_number = latest != nullptr ? latest->fold_number : 0;
  if (my_number != latest_number)
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not serialize access to stream table \"%s\" due to concurrent refresh",
                           RelationGetRelationName(rel))));
}

// A running statement's changes are partly visible and not in the log: what is folded now would be folded again.
bool SourceIsChanging(const Stream *stream, Snapshot snapshot) {
  for (int i = 0; i < stream->nsources; ++i)
    if (IsMidStatement(stream->sources[i].relid, snapshot->curcid)) return true;
  return false;
}

struct TruncationSearch {
  uint64 own_xid;
  bool found;
};

void LookForTruncation(const LogRecord *record, void *argument) {
  auto *search = static_cast<TruncationSearch *>(argument);
  search->found |= record->kind == 't' && record->xid == search->own_xid;
}

// A TRUNCATE takes away rows that an older transaction snapshot does not see, too: no frontier made of that snapshot covers
// their records, which would be pending for ever after.
bool TruncatedBeyondSnapshot(const Stream *stream, Snapshot snapshot) {
  TruncationSearch search = {OwnTransactionId(), false};
  if (!IsolationUsesXactSnapshot() || search.own_xid == 0) return false;
  for (int i = 0; i < stream->nsources; ++i)
    ReadLog(&stream->sources[i], 0, snapshot, nullptr, LookForTruncation, &search);
  return search.found;
}

bool NeedsRebuild(const Stream *stream, const FrontierRow *frontier) {
  return stream->mode == RefreshMode::Full || frontier == nullptr || frontier->version != stream->version ||
         !LogReaches(frontier, stream);
}

// The base is to be rebuilt anyway (its log may have exceeded its limit, and then writers have stopped), or the capture is not
// as it must be.
bool CaptureIsWanting(const Stream *stream) {
  return stream->mode != RefreshMode::Full && stream->enrolled &&
         (!stream->populated || stream->cut_off || !SourcesAreCaptured(stream));
}

// One fold at a time; an object lock, so that VACUUM and autovacuum go on. Where the capture must be put in order it comes
// together with the locks for that: who has written a source, and then refreshes, would otherwise wait here for us, and we
// for him.
void LockFold(Oid relid) {
  for (;;) {
    const Stream *stream = LookupStream(relid);
    if (stream != nullptr && CaptureIsWanting(stream)) {
      CheckOwnerMayRead(stream);
      CheckSourcePrivilege(stream->owner, stream->plan);
      LockForAttaching(stream->plan->nsources, stream->plan->sources, stream->plan->columns, stream->owner,
                       WantObject(RelationRelationId, relid, ExclusiveLock));
      return;
    }
    LockDatabaseObject(RelationRelationId, relid, 0, ExclusiveLock);
    stream = LookupStream(relid);
    if (stream == nullptr || !CaptureIsWanting(stream)) return;
    UnlockDatabaseObject(RelationRelationId, relid, 0, ExclusiveLock);
  }
}

// Puts the capture of the sources in order, where it is wanting, upon which the base is rebuilt: changes may be missing in
// the log. Nobody takes it away before the commit. True when something was attached.
bool RepairCapture(const Stream *stream) {
  if (!CaptureIsWanting(stream)) return false;
  const Oid relid = stream->relid;
  const int32 version = stream->version;
  CheckMayRun(stream);
  const bool changed = RegisterSources(relid, stream->plan);
  if (changed && LookupStream(relid)->version == version) RaiseVersion(relid);
  InvalidateStream(relid);
  CommandCounterIncrement();
  return changed;
}

// A time at which everything that the snapshot to be taken (or the transaction's) does not see was not committed yet.
TimestampTz TimeOfSnapshot(bool xact_snapshot) {
  return xact_snapshot ? GetCurrentTransactionStartTimestamp() : GetCurrentTimestamp();
}

}  // namespace

FoldResult RefreshStream(Oid relid) {
  LockFold(relid);
  Relation rel = table_open(relid, RowExclusiveLock);
  const Stream *stream = LookupStream(relid);
  if (stream == nullptr)
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a stream table", RelationGetRelationName(rel))));
  ListCell *cell;
  foreach (cell, stream->source_relids) LockRelationOid(lfirst_oid(cell), AccessShareLock);
  const bool attached = RepairCapture(LookupStream(relid));
  stream = LookupStream(relid);
  // Their trees may have got members meanwhile.
  foreach (cell, stream->source_relids) LockRelationOid(lfirst_oid(cell), AccessShareLock);
  // No segment is added to the logs that this fold reads.
  const List *shared = ShareLogs(stream->sources, stream->nsources);
  stream = LookupStream(relid);
  for (int i = 0; i < stream->nsources; ++i) ReclaimLog(stream->sources[i].relid);
  LockLogs(stream->sources, stream->nsources, nullptr);
  stream = LookupStream(relid);

  // The snapshot comes after the locks: the second of two concurrent folds must see the first.
  const bool xact_snapshot = IsolationUsesXactSnapshot();
  const TimestampTz data_timestamp = TimeOfSnapshot(xact_snapshot);
  Snapshot snapshot = RegisterSnapshot(xact_snapshot ? GetTransactionSnapshot() : GetLatestSnapshot());
  PushActiveSnapshot(snapshot);
  if (SourceIsChanging(stream, snapshot))
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("cannot refresh stream table \"%s\" inside a statement that changes its source",
                           RelationGetRelationName(rel)),
                    errhint("Refresh it after the statement.")));
  if (TruncatedBeyondSnapshot(stream, snapshot))
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not refresh stream table \"%s\" under this snapshot", RelationGetRelationName(rel)),
                    errdetail("This transaction has truncated a source of the table."),
                    errhint("Refresh it in another transaction.")));
  if (SourcesChangedBeyondSnapshot(stream, snapshot, false))
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not refresh stream table \"%s\" under this snapshot", RelationGetRelationName(rel)),
                    errdetail("A source of the table was altered, rewritten or truncated since, or by this transaction."),
                    errhint("Refresh it in another transaction.")));
  // Whether anything is pending or not, as REFRESH MATERIALIZED VIEW does.
  CheckOwnerMayRead(stream);
  FrontierRow *frontier = ReadFrontier(relid, snapshot, CurrentMemoryContext);
  CheckNotBehind(rel, frontier, LatestFrontier(relid));

  FoldResult result = {"NO_DATA", 0, 0, data_timestamp};
  int64 own_sequence = LastLogSequence();
  BuiltOverlay *built = nullptr;
  const bool rebuild = NeedsRebuild(stream, frontier);
  const bool base_unused = BaseIsUnused(stream);
  bool postponed = false;
  if (!rebuild && base_unused) {
    // Nothing can be pending.
    CheckMayRun(stream);
    UnlockLogs(stream->sources, stream->nsources, nullptr);
  } else if (rebuild && attached && xact_snapshot) {
    ereport(NOTICE, (errmsg("capture of the sources of stream table \"%s\" is attached again", RelationGetRelationName(rel)),
                     errdetail("This transaction's snapshot is older than that, so nothing is computed yet."),
                     errhint("Refresh it in another transaction.")));
    postponed = true;
  } else if (!rebuild) {
    SetProgressAction(ProgressAction::Differential);
    SetProgressPhase(ProgressPhase::ReadingChanges);
    // What a frontier that the log serves lacks stays there in any case, so others may reclaim meanwhile. Who computes one that it
    // did not serve keeps the locks to the end of the transaction: until its commit nothing tells others what that needs.
    const bool served = LogReaches(frontier, stream);
    const SegmentSet *settled = served ? SettledBehind(stream, &frontier->frontier) : nullptr;
    if (settled != nullptr) {
      LockLogs(stream->sources, stream->nsources, settled);
      UnlockLogs(stream->sources, stream->nsources, nullptr);
    }
    built = BuildOverlay(rel, stream, settled, snapshot, true, MergeDecision::Own, false);
    if (served) UnlockLogs(stream->sources, stream->nsources, settled);
    // A base computed anew has all of this transaction's changes, whether their records were read or not.
    if (!built->overlay.masks_all) own_sequence = built->own_sequence;
  } else if (!SnapshotSeesCapture(stream, snapshot, !xact_snapshot)) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not populate stream table \"%s\" under this snapshot", RelationGetRelationName(rel)),
                    errdetail("The snapshot is older than the capture of the table's sources."),
                    errhint("Refresh it in another transaction.")));
  }
  if (!postponed && (rebuild || (built != nullptr && built->merges))) {
    BaseWriter *writer = BeginBaseWriteAsOwner(rel, stream);
    const bool full = rebuild || built->overlay.masks_all;
    if (full) {
      Rebuild(rel, stream, snapshot, writer);
    } else {
      SetProgressPhase(ProgressPhase::WritingRows);
      ApplyOverlayAsOwner(&built->overlay, rel, stream, writer);
    }
    result.action = full ? "FULL" : "DIFFERENTIAL";
    result.inserted = writer->inserted + writer->updated;
    result.deleted = writer->deleted + writer->updated;
    EndBaseWrite(writer);
    WriteFrontier(relid, stream->version, frontier != nullptr ? frontier->fold_number + 1 : 1, snapshot, own_sequence,
                  data_timestamp);
    if (!stream->populated || stream->cut_off) InvalidateStream(relid);
  } else if (!postponed && frontier->data_timestamp < data_timestamp) {
    // Nothing was pending: the stored rows are what they were, and as of now. A fold like any other, with a number of its own, by
    // which one under an older snapshot sees that it is behind: it would go on from the frontier that its snapshot shows, and
    // that would stay visible to it beside its own.
    WriteFrontier(relid, stream->version, frontier->fold_number + 1, snapshot, own_sequence, data_timestamp);
  }
  if (built != nullptr) MemoryContextDelete(built->overlay.context);
  PopActiveSnapshot();
  UnregisterSnapshot(snapshot);
  // Not to the end: whoever changes a tree waits for this lock with tables locked that this transaction may want next.
  UnlockTogether(shared);
  table_close(rel, NoLock);
  return result;
}

bool PopulateStream(Oid relid, int64 *rows) {
  BeginProgress(relid, ProgressCommand::Populate, ProgressAction::Full);
  Relation rel = table_open(relid, RowExclusiveLock);
  const Stream *stream = LookupStream(relid);
  const bool xact_snapshot = IsolationUsesXactSnapshot();
  const TimestampTz data_timestamp = TimeOfSnapshot(xact_snapshot);
  Snapshot snapshot = RegisterSnapshot(xact_snapshot ? GetTransactionSnapshot() : GetLatestSnapshot());
  const bool can = SnapshotSeesCapture(stream, snapshot, !xact_snapshot) && !SourceIsChanging(stream, snapshot) &&
                   !TruncatedBeyondSnapshot(stream, snapshot) && !SourcesChangedBeyondSnapshot(stream, snapshot, false);
  if (can) {
    PushActiveSnapshot(snapshot);
    BaseWriter *writer = BeginBaseWriteAsOwner(rel, stream);
    Rebuild(rel, stream, snapshot, writer);
    *rows = writer->inserted;
    EndBaseWrite(writer);
    const FrontierRow *latest = LatestFrontier(relid);
    WriteFrontier(relid, stream->version, latest != nullptr ? latest->fold_number + 1 : 1, snapshot, LastLogSequence(),
                  data_timestamp);
    PopActiveSnapshot();
  }
  UnregisterSnapshot(snapshot);
  table_close(rel, NoLock);
  EndProgress();
  return can;
}

}  // namespace pgstream
