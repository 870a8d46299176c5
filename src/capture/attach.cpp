// Attaching and detaching the capture of a source: its log tables, its triggers, its row in pgs_log.
//
// Promises: two sessions may attach to the same sources at once; a session that relies on a capture which is there already
// is not overtaken by one that removes it: both hold a lock on the log as an object, shared by those who attach and
// exclusive to the one who removes. Refuses: to judge whether the user may attach: that is api's.
#include "capture/change_log.hpp"
#include "capture/log_object.hpp"
#include "capture/open_statements.hpp"
#include "capture/log_writer.hpp"
#include "capture/source_capture.hpp"
#include "capture/source_lock.hpp"
#include "pg/catalog.hpp"

extern "C" {
#include "access/reloptions.h"
#include "catalog/heap.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_extension_d.h"
#include "commands/extension.h"
#include "catalog/toasting.h"
}

namespace pgstream {

namespace {

// Pages keep a tenth free, which nobody uses: a page that is full to that mark is never written again, and a reader that
// extends an overlay need not look at it twice.
constexpr int kLogFillFactor = 90;

// How long detaching tries for its locks, per relation. It runs inside somebody's DROP TABLE.
constexpr int kDetachTryMs = 50;

bool SegmentsExist(const LogEntry *entry) {
  for (int i = 0; i < kLogSegments; ++i)
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entry->segments[i]))) return false;
  return true;
}

// Whether these columns are captured now, by what is committed or our own. Fills entry when there is a log.
bool Suffices(Oid source, const Bitmapset *columns, LogEntry *entry, bool *has_log) {
  AcceptInvalidationMessages();
  *has_log = ReadLogEntry(source, entry) && SegmentsExist(entry);
  if (!*has_log || entry->captured_by == 0 || !bms_is_subset(columns, entry->columns)) return false;
  bool enabled;
  Relation rel = table_open(source, AccessShareLock);
  const bool complete = PresentCaptureTriggers(rel, &enabled) == (1u << kCaptureTriggers) - 1;
  table_close(rel, NoLock);
  return complete;
}

Oid CreateSegment(Oid source, int number) {
  const Oid schema = get_namespace_oid(kSchema, false);
  const Oid owner = ExtensionOwner();
  TupleDesc desc = CreateTemplateTupleDesc(kLogColumns);
  TupleDescInitEntry(desc, 1, "xid", XID8OID, -1, 0);
  TupleDescInitEntry(desc, 2, "sequence", INT8OID, -1, 0);
  TupleDescInitEntry(desc, 3, "kind", CHAROID, -1, 0);
  TupleDescInitEntry(desc, 4, "batch", BYTEAOID, -1, 0);
  TupleDescInitEntry(desc, 5, "large", BYTEAOID, -1, 0);
  TupleDescAttr(desc, 3)->attstorage = TYPSTORAGE_PLAIN;

  char name[NAMEDATALEN];
  snprintf(name, sizeof(name), "log_%u_%d", source, number);
  List *options = list_make1(makeDefElem(pstrdup("fillfactor"), reinterpret_cast<Node *>(makeInteger(kLogFillFactor)), -1));
  const Datum reloptions = transformRelOptions(Datum(0), options, nullptr, nullptr, false, false);
  const Oid segment =
      heap_create_with_catalog(name, schema, InvalidOid, InvalidOid, InvalidOid, InvalidOid, owner, HEAP_TABLE_AM_OID, desc,
                               NIL, RELKIND_RELATION, RELPERSISTENCE_PERMANENT, false, false, ONCOMMIT_NOOP, reloptions,
                               false, true, true, InvalidOid, nullptr);
  CommandCounterIncrement();
  NewRelationCreateToastTable(segment, Datum(0));
  CommandCounterIncrement();

  // A member of the extension is not dumped. It does not depend on its source, whose drop would otherwise ask for the
  // extension's: DetachCaptureIfUnused removes it.
  ObjectAddress log, extension;
  ObjectAddressSet(log, RelationRelationId, segment);
  ObjectAddressSet(extension, ExtensionRelationId, get_extension_oid("pg_stream", false));
  recordDependencyOn(&log, &extension, DEPENDENCY_EXTENSION);
  return segment;
}

TriggerTransition *TransitionTable(const char *name, bool is_new) {
  TriggerTransition *table = makeNode(TriggerTransition);
  table->name = pstrdup(name);
  table->isNew = is_new;
  table->isTable = true;
  return table;
}

void CreateCaptureTrigger(Oid source, const CaptureTrigger *wanted) {
  CreateTrigStmt *statement = makeNode(CreateTrigStmt);
  statement->trigname = pstrdup(wanted->name);
  statement->funcname = list_make2(makeString(pstrdup(kSchema)), makeString(pstrdup("capture_changes")));
  statement->row = wanted->row;
  statement->timing = wanted->before ? TRIGGER_TYPE_BEFORE : TRIGGER_TYPE_AFTER;
  statement->events = wanted->events;
  if (wanted->old_table) statement->transitionRels = lappend(statement->transitionRels, TransitionTable("old_rows", false));
  if (wanted->new_table) statement->transitionRels = lappend(statement->transitionRels, TransitionTable("new_rows", true));
  // Internal: not dumped, and no privilege on the source is asked for.
  CreateTriggerFiringOn(statement, nullptr, source, InvalidOid, InvalidOid, InvalidOid, CaptureFunction(), InvalidOid,
                        nullptr, true, false, wanted->enabled);
}

void CreateMissingTriggers(Oid source) {
  Relation rel = table_open(source, NoLock);
  bool enabled;
  const uint32 present = PresentCaptureTriggers(rel, &enabled);
  table_close(rel, NoLock);
  for (int i = 0; i < kCaptureTriggers; ++i)
    if ((present & 1u << i) == 0) CreateCaptureTrigger(source, &kCaptureTrigger[i]);
}

Datum ColumnArray(const Bitmapset *columns) {
  Datum *numbers = static_cast<Datum *>(palloc(sizeof(Datum) * (bms_num_members(columns) + 1)));
  int count = 0;
  for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
    if (attnum > 0) numbers[count++] = Int16GetDatum(static_cast<int16>(attnum));
  return PointerGetDatum(construct_array(numbers, count, INT2OID, sizeof(int16), true, TYPALIGN_SHORT));
}

void WriteLogEntry(Oid source, const LogEntry *entry) {
  Datum values[pgs_log::natts];
  bool nulls[pgs_log::natts] = {};
  Datum segments[kLogSegments];
  for (int i = 0; i < kLogSegments; ++i) segments[i] = ObjectIdGetDatum(entry->segments[i]);
  values[pgs_log::source_relid - 1] = ObjectIdGetDatum(source);
  values[pgs_log::segments - 1] =
      PointerGetDatum(construct_array(segments, kLogSegments, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
  values[pgs_log::columns - 1] = ColumnArray(entry->columns);
  values[pgs_log::captured_by - 1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(entry->captured_by));
  DeleteCatalogRows("pgs_log", "pgs_log_pkey", pgs_log::source_relid, source);
  Relation catalog = table_open(CatalogRelationId("pgs_log"), RowExclusiveLock);
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
  CatalogTupleInsert(catalog, tuple);
  heap_freetuple(tuple);
  table_close(catalog, RowExclusiveLock);
  CommandCounterIncrement();
}

void LockSegments(const LogEntry *entry, LOCKMODE mode) {
  for (int i = 0; i < kLogSegments; ++i) LockRelationOid(entry->segments[i], mode);
}

}  // namespace

bool AttachCapture(Oid source, const Bitmapset *columns) {
  LogEntry entry;
  bool has_log;
  // Held to the end: nobody detaches, and (by the segments' locks) nobody reclaims what the new stream table's first
  // frontier may not contain.
  LockLogObject(source, AccessShareLock);
  if (Suffices(source, columns, &entry, &has_log)) {
    LockSegments(&entry, AccessShareLock);
    return false;
  }
  LockSourcePatiently(source, ShareRowExclusiveLock);
  if (Suffices(source, columns, &entry, &has_log)) {
    LockSegments(&entry, AccessShareLock);
    return false;
  }
  if (!has_log) {
    entry.columns = nullptr;
    for (int i = 0; i < kLogSegments; ++i) entry.segments[i] = CreateSegment(source, i);
  }
  CreateMissingTriggers(source);
  entry.columns = bms_union(entry.columns, columns);
  entry.captured_by = U64FromFullTransactionId(GetTopFullTransactionId());
  WriteLogEntry(source, &entry);
  LockSegments(&entry, AccessShareLock);
  CacheInvalidateRelcacheByRelid(source);
  CommandCounterIncrement();
  return true;
}

// Locks everything that removal touches, without queueing. Locks already taken stay if a later one is not free.
static bool LockForRemoval(Oid source, const LogEntry *entry) {
  if (!TryLockRelation(source, AccessExclusiveLock, kDetachTryMs)) return false;
  for (int i = 0; i < kLogSegments; ++i)
    if (!TryLockRelation(entry->segments[i], AccessExclusiveLock, kDetachTryMs)) return false;
  return true;
}

// Neither an open query of this session nor a pending trigger event needs the source as it is.
static bool NotInUseHere(Oid source) {
  Relation rel = table_open(source, NoLock);
  const bool in_use = rel->rd_refcnt != 1 || AfterTriggerPendingOnRel(source);
  table_close(rel, NoLock);
  return !in_use;
}

static void AddTriggers(Oid source, ObjectAddresses *objects) {
  Relation rel = table_open(source, NoLock);
  const Oid function = CaptureFunction();
  for (int i = 0; rel->trigdesc != nullptr && i < rel->trigdesc->numtriggers; ++i) {
    const Trigger *trigger = &rel->trigdesc->triggers[i];
    if (trigger->tgfoid != function || !trigger->tgisinternal) continue;
    ObjectAddress address;
    ObjectAddressSet(address, TriggerRelationId, trigger->tgoid);
    add_exact_object_address(&address, objects);
  }
  table_close(rel, NoLock);
}

// Removes the log, and the triggers of a source that is still there.
static void RemoveCapture(Oid source, const LogEntry *entry, bool source_exists) {
  ObjectAddresses *objects = new_object_addresses();
  if (source_exists) AddTriggers(source, objects);
  for (int i = 0; i < kLogSegments; ++i) {
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

void DetachCaptureIfUnused(Oid source) {
  CommandCounterIncrement();
  if (!OidIsValid(CatalogRelationId("pgs_log"))) return;
  // Somebody is attaching: it is in use again, or the next one to drop sees to it.
  if (!TryLockLogObject(source, AccessExclusiveLock, kDetachTryMs)) return;
  LogEntry entry;
  if (ConsumersOf(source) != NIL || !ReadLogEntry(source, &entry)) return;
  if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source))) {
    // The source went, and its triggers with it; nobody can be reading the log.
    RemoveCapture(source, &entry, false);
    CommandCounterIncrement();
    return;
  }
  if (LockForRemoval(source, &entry) && NotInUseHere(source)) {
    RemoveCapture(source, &entry, true);
  } else if (entry.captured_by != 0) {
    // Writers stop writing; who attaches again waits for open ones, as for a new capture.
    entry.captured_by = 0;
    WriteLogEntry(source, &entry);
  }
  CacheInvalidateRelcacheByRelid(source);
  CommandCounterIncrement();
}

void InitCapture() {
  InitSourceLock();
  InitSourceCapture();
  InitOpenStatements();
  InitLogWriter();
  InitReclaim();
}

}  // namespace pgstream
