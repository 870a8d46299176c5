// Attaching and detaching the capture of a source: its log tables, its triggers, its row in pgs_log.
//
// Promises: two sessions may attach to the same sources at once; a session that relies on a capture which is there already
// is not overtaken by one that removes it: both hold a lock on the log as an object, shared by those who attach and
// exclusive to the one who removes. Refuses: to judge whether the user may attach: that is api's.
#include "capture/attach_worker.hpp"
#include "capture/capture_triggers.hpp"
#include "capture/change_log.hpp"
#include "capture/direct_capture.hpp"
#include "capture/log_hints.hpp"
#include "capture/log_limit.hpp"
#include "capture/log_object.hpp"
#include "capture/open_statements.hpp"
#include "capture/row_batch.hpp"
#include "capture/source_capture.hpp"
#include "capture/source_lock.hpp"
#include "capture/unused_capture.hpp"
#include "pg/catalog.hpp"
#include "pg/inheritance.hpp"
#include "pg/rebuild.hpp"
#include "pg/source_use.hpp"

extern "C" {
#include "utils/timestamp.h"
}

namespace pgstream {

namespace {

// How long detaching tries for its locks, per relation. It runs inside somebody's DROP TABLE.
constexpr int kDetachTryMs = 50;

bool SegmentsExist(const LogEntry *entry) {
  for (int i = 0; i < entry->nsegments; ++i)
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry->segments[i]))) return false;
  return true;
}

// Whether these columns are captured now, by what is committed or our own, and by the right triggers. Fills entry when
// there is a log.
bool Suffices(Oid source, const Bitmapset *columns, LogEntry *entry, bool *has_log) {
  AcceptInvalidationMessages();
  *has_log = ReadLogEntry(source, entry) && SegmentsExist(entry);
  if (!*has_log || entry->captured_by == 0 || !bms_is_subset(columns, entry->columns)) return false;
  const CaptureShape shape = ShapeOf(source);
  List *tables;
  return TriggersAreComplete(source, &shape) && TriggersBeyond(source, &shape, &tables) == NIL;
}

// The triggers of a statement are those that the table had when it began: one that is running now, and called us, would
// never tell of the rows it changes from here on.
void RefuseAmidStatement(Oid table) {
  Relation rel = try_relation_open(table, AccessShareLock);
  if (rel == nullptr) return;
  if (rel->rd_refcnt > 1 && CheckRelationLockedByMe(rel, RowExclusiveLock, false))
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("cannot attach change capture to table \"%s\" because it is being used by active queries in this session",
                           RelationGetRelationName(rel)),
                    errhint("Create the stream table outside of statements that change its source.")));
  relation_close(rel, NoLock);
}

// What attaching a source must lock: everything through which its rows are written, and what was part of its tree before,
// where triggers must go. Nothing when these columns are captured as it is.
List *TablesToLock(Oid source, const Bitmapset *columns) {
  LogEntry entry;
  bool has_log;
  if (Suffices(source, columns, &entry, &has_log)) return NIL;
  const CaptureShape shape = ShapeOf(source);
  List *stale_tables;
  (void)TriggersBeyond(source, &shape, &stale_tables);
  List *relids = list_concat_unique_oid(list_concat_copy(shape.passages, shape.holders), stale_tables);
  ListCell *cell;
  foreach (cell, relids) RefuseAmidStatement(lfirst_oid(cell));
  return relids;
}

// Takes ShareRowExclusiveLock on a table by right, with CREATE TRIGGER.
bool MayLock(Oid role, Oid table) {
  return compat::OwnsRelation(table, role) || pg_class_aclcheck(table, role, ACL_TRIGGER) == ACLCHECK_OK;
}

// Nobody else sees the extension as this transaction has it.
bool IsExtensionNew() {
  Relation rel = try_relation_open(CatalogRelationId("pgs_log"), AccessShareLock);
  if (rel == nullptr) return true;
  const bool is_new = CheckRelationLockedByMe(rel, ShareLock, true);
  relation_close(rel, AccessShareLock);
  return is_new;
}

// This transaction holds what anybody who attaches would wait for.
bool IsLockedHere(Oid relid) {
  Relation rel = try_relation_open(relid, AccessShareLock);
  if (rel == nullptr) return true;
  const bool locked = CheckRelationLockedByMe(rel, RowExclusiveLock, true);
  relation_close(rel, AccessShareLock);
  return locked;
}

// The sources that must be attached, but not by a transaction of this owner's: it would keep writers out of them for as long
// as it likes. What this transaction has open for writing only it can attach; and its own extension nobody else sees. Fills
// all_tables as TablesToLockForAll does, at the same look.
CaptureRequest RequestToWorker(int nsources, const Oid *sources, Bitmapset *const *columns, Oid owner, List **all_tables) {
  CaptureRequest request = {0, static_cast<Oid *>(palloc(sizeof(Oid) * (nsources + 1))),
                            static_cast<Bitmapset **>(palloc(sizeof(Bitmapset *) * (nsources + 1)))};
  *all_tables = NIL;
  for (int i = 0; i < nsources; ++i) {
    bool may_lock = true, locked_here = false;
    List *tables = TablesToLock(sources[i], columns[i]);
    *all_tables = list_concat_unique_oid(*all_tables, tables);
    ListCell *cell;
    foreach (cell, tables) may_lock &= !OidIsValid(owner) || MayLock(owner, lfirst_oid(cell));
    if (may_lock || !IsUnderPostmaster || IsExtensionNew()) continue;
    foreach (cell, tables) locked_here |= IsLockedHere(lfirst_oid(cell));
    if (locked_here) continue;
    request.sources[request.nsources] = sources[i];
    request.columns[request.nsources++] = columns[i];
  }
  list_sort(*all_tables, list_oid_cmp);
  return request;
}

List *TablesToLockForAll(int nsources, const Oid *sources, Bitmapset *const *columns) {
  List *relids = NIL;
  for (int i = 0; i < nsources; ++i) relids = list_concat_unique_oid(relids, TablesToLock(sources[i], columns[i]));
  list_sort(relids, list_oid_cmp);
  return relids;
}

// As the server locks them for a query. Whoever changes a tree has its tables before he asks for the log, and so must we.
List *LockMembers(int nsources, const Oid *sources) {
  List *members = NIL;
  for (int i = 0; i < nsources; ++i) members = list_concat_unique_oid(members, TreeMembers(sources[i], nullptr));
  ListCell *cell;
  foreach (cell, members) LockRelationOid(lfirst_oid(cell), AccessShareLock);
  return members;
}

void CheckCapturable(Oid source) {
  Relation rel = table_open(source, NoLock);
  const char *const why = WhyNotCapturable(rel);
  if (why != nullptr)
    ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("could not attach change capture to table \"%s\"", RelationGetRelationName(rel)),
                    errdetail("Another transaction changed the table: %s.", why), errhint("Try again.")));
  table_close(rel, NoLock);
}

void LockSegments(const LogEntry *entry, LOCKMODE mode) {
  for (int i = 0; i < entry->nsegments; ++i) LockRelationOid(entry->segments[i], mode);
}

}  // namespace

List *ShareLogs(const StreamSource *sources, int nsources) {
  List *wanted = NIL;
  for (int i = 0; i < nsources; ++i) wanted = lappend(wanted, WantLogObject(sources[i].relid, AccessShareLock));
  if (wanted != NIL) LockTogether(sources[0].relid, wanted);
  return wanted;
}

void LockForAttaching(int nsources, const Oid *sources, Bitmapset *const *columns, Oid owner, WantedLock *further) {
  TimestampTz first_asked = 0;
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    List *members = LockMembers(nsources, sources);
    List *tables, *wanted = NIL;
    const CaptureRequest request = RequestToWorker(nsources, sources, columns, owner, &tables);
    ListCell *cell;
    foreach (cell, tables) wanted = lappend(wanted, WantTable(lfirst_oid(cell), ShareRowExclusiveLock));
    for (int i = 0; i < nsources; ++i) wanted = lappend(wanted, WantLogObject(sources[i], AccessShareLock));
    if (further != nullptr) wanted = lappend(wanted, further);
    if (wanted == NIL) return;
    LockTogether(nsources > 0 ? sources[0] : InvalidOid, wanted);
    // Nobody changes what was looked at any more, if it is still as it was.
    const bool unchanged = list_difference_oid(TablesToLockForAll(nsources, sources, columns), tables) == NIL &&
                           list_difference_oid(LockMembers(nsources, sources), members) == NIL;
    if (unchanged && request.nsources == 0) return;
    UnlockTogether(wanted);
    if (!unchanged) continue;
    // It could be had just now, and who waited for it was seen waiting. What the worker commits may be gone when we look again.
    if (first_asked == 0) first_asked = GetCurrentTimestamp();
    if (!AskWorkerToAttach(&request) &&
        TimestampDifferenceExceeds(first_asked, GetCurrentTimestamp(), AttachTimeoutMs()))
      RaiseSourceBusy(request.sources[0]);
  }
}

bool AttachCapture(Oid source, const Bitmapset *columns) {
  LogEntry entry;
  bool has_log;
  // To the end nobody detaches, by the lock of the log; and (by the segments' locks) nobody reclaims what the new stream
  // table's first frontier may not contain.
  if (Suffices(source, columns, &entry, &has_log)) {
    LockSegments(&entry, AccessShareLock);
    return false;
  }
  const CaptureShape shape = ShapeOf(source);
  List *tables, *unwanted = TriggersBeyond(source, &shape, &tables);
  CheckCapturable(source);
  // Who read the log while triggers were missing, or wrote too much, must not go on from there; nor from a log that is gone.
  if (!has_log || unwanted != NIL || !TriggersAreComplete(source, &shape)) MarkForRebuild(source);
  if (!has_log) {
    entry.columns = nullptr;
    entry.nsegments = kFirstSegments;
    for (int i = 0; i < kFirstSegments; ++i) entry.segments[i] = CreateLogSegment(source, i);
  }
  // Before the log's row is changed: whoever reclaims changes it with a segment locked.
  LockSegments(&entry, AccessShareLock);
  DropTriggers(unwanted);
  CreateMissingTriggers(source, &shape);
  entry.columns = bms_union(entry.columns, columns);
  entry.captured_by = U64FromFullTransactionId(GetTopFullTransactionId());
  WriteLogEntry(source, &entry);
  CacheInvalidateRelcacheByRelid(source);
  CommandCounterIncrement();
  return true;
}

// Locks everything that removal touches, without queueing. Segments already locked stay if a later one is not free.
static bool LockForRemoval(const List *tables, const LogEntry *entry) {
  if (!TryLockTables(tables, ShareRowExclusiveLock, kDetachTryMs)) return false;
  for (int i = 0; i < entry->nsegments; ++i)
    if (!TryLockRelation(entry->segments[i], AccessExclusiveLock, kDetachTryMs)) return false;
  return true;
}

// Neither an open query of this session nor a pending trigger event needs the tables as they are.
static bool NotInUseHere(const List *tables) {
  ListCell *cell;
  bool in_use = false;
  foreach (cell, tables) {
    Relation rel = try_relation_open(lfirst_oid(cell), NoLock);
    if (rel == nullptr) continue;
    in_use |= rel->rd_refcnt != 1 || AfterTriggerPendingOnRel(lfirst_oid(cell));
    relation_close(rel, NoLock);
  }
  return !in_use;
}

static void RemoveLog(Oid source, const LogEntry *entry) {
  ObjectAddresses *objects = new_object_addresses();
  for (int i = 0; i < entry->nsegments; ++i) {
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry->segments[i]))) continue;
    ObjectAddress address;
    ObjectAddressSet(address, RelationRelationId, entry->segments[i]);
    add_exact_object_address(&address, objects);
  }
  performMultipleDeletions(objects, DROP_RESTRICT,
                           PERFORM_DELETION_INTERNAL | PERFORM_DELETION_QUIETLY | PERFORM_DELETION_SKIP_EXTENSIONS);
  free_object_addresses(objects);
  DeleteCatalogRows("pgs_log", "pgs_log_pkey", pgs_log::source_relid, source);
}

static void Detach(Oid source, bool stop_only) {
  CommandCounterIncrement();
  if (!OidIsValid(CatalogRelationId("pgs_log"))) return;
  // Somebody is attaching: it is in use again, or the next one to drop sees to it.
  if (!TryLockLogObject(source, AccessExclusiveLock, kDetachTryMs)) return;
  LogEntry entry;
  if (ConsumersOf(source) != NIL || !ReadLogEntry(source, &entry)) return;
  // When the source went, so did its own triggers; those at its relatives remain.
  const bool exists = SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source));
  List *tables;
  List *triggers = TriggersBeyond(source, nullptr, &tables);
  if (exists) tables = list_append_unique_oid(tables, source);
  list_sort(tables, list_oid_cmp);
  if (!stop_only && LockForRemoval(tables, &entry) && NotInUseHere(tables)) {
    DropTriggers(triggers);
    RemoveLog(source, &entry);
  } else if (!exists) {
    // Nobody can be reading the log. What triggers remain at busy relatives find none, and write nothing.
    RemoveLog(source, &entry);
  } else if (entry.captured_by != 0) {
    // Writers stop writing; who attaches again waits for open ones, as for a new capture.
    entry.captured_by = 0;
    WriteLogEntry(source, &entry);
  }
  if (exists) CacheInvalidateRelcacheByRelid(source);
  CommandCounterIncrement();
}

void DetachCaptureIfUnused(Oid source) { Detach(source, false); }

void StopCaptureIfUnused(Oid source) { Detach(source, true); }

void InitCapture() {
  InitUnusedCapture();
  InitSourceLock();
  InitSourceCapture();
  InitOpenStatements();
  InitRowBatch();
  InitDirectCapture();
  InitLogHints();
  InitLogLimit();
  InitReclaim();
  InitAttachWorker();
}

}  // namespace pgstream
