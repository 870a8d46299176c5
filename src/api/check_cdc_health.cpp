// SQL function check_cdc_health(): for each captured source, how its change log does and what is wrong with it.
//
// Promises: reads no log, only sizes and a few pages; anybody may call it, as it shows names and sizes alone. A log past its
// limit is dealt with when the calling transaction commits (where it may write). Refuses: to repair anything else.
#include "capture/change_log.hpp"
#include "capture/log_consumers.hpp"
#include "capture/log_limit.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "lib/stringinfo.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/timestamp.h"
}

using namespace pgstream;

namespace {

// An alert may have several parts.
void AddAlert(StringInfo alert, const char *text) {
  appendStringInfo(alert, "%s%s", alert->len > 0 ? "; " : "", text);
}

void AddName(StringInfo names, Oid relid) {
  char *name = get_rel_name(relid);
  const Oid schema = get_rel_namespace(relid);
  if (name == nullptr) return;
  appendStringInfo(names, "%s%s", names->len > 0 ? ", " : "",
                   OidIsValid(schema) && RelationIsVisible(relid)
                       ? quote_identifier(name)
                       : quote_qualified_identifier(get_namespace_name(schema), name));
}

List *CapturedSources() {
  Relation catalog = table_open(CatalogRelationId("pgs_log"), AccessShareLock);
  SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr);
  List *sources = NIL;
  while (HeapTuple tuple = systable_getnext(scan)) {
    bool isnull;
    sources = lappend_oid(
        sources, DatumGetObjectId(heap_getattr(tuple, pgs_log::source_relid, RelationGetDescr(catalog), &isnull)));
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  list_sort(sources, list_oid_cmp);
  return sources;
}

// Processes whose transactions have the log open for writing: it cannot be emptied before they end.
int OpenWriters(const LogEntry *entry) {
  int writers = 0;
  for (int i = 0; i < entry->nsegments; ++i) {
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, entry->segments[i]);
    int count;
    (void)GetLockConflicts(&tag, ShareLock, &count);
    writers += count;
  }
  return writers;
}

void AlertOfCapture(Oid source, const LogEntry *entry, StringInfo alert) {
  Relation rel = try_relation_open(source, AccessShareLock);
  if (rel == nullptr) {
    AddAlert(alert, "the table is gone");
    return;
  }
  if (entry->captured_by != 0 && !CaptureIsIntact(rel)) AddAlert(alert, "capture triggers are missing or disabled");
  relation_close(rel, AccessShareLock);
}

struct Health {
  int64 lag_bytes;
  StringInfoData alert;
};

void LookAtConsumers(Oid source, const LogEntry *entry, int64 bytes, Health *health) {
  const int64 limit = MaxLogBytes();
  StringInfoData cut_off, behind;
  initStringInfo(&cut_off);
  initStringInfo(&behind);
  int count;
  const LogConsumer *consumers = ReadLogConsumers(source, GetActiveSnapshot(), &count);
  for (int i = 0; i < count; ++i) {
    const LogConsumer *consumer = &consumers[i];
    if (!consumer->has_frontier) continue;
    if (!consumer->served) {
      AddName(&cut_off, consumer->relid);
      continue;
    }
    const int64 pending = PendingLogBytes(entry, &consumer->frontier);
    health->lag_bytes = Max(health->lag_bytes, pending);
    if (limit >= 0 && pending > limit / 2) AddName(&behind, consumer->relid);
  }
  if (limit >= 0 && bytes > limit)
    AddAlert(&health->alert, psprintf("the change log has exceeded pgstream.max_log_size (%s kB of %s kB)",
                                      psprintf(INT64_FORMAT, bytes / 1024), psprintf(INT64_FORMAT, limit / 1024)));
  if (cut_off.len > 0)
    AddAlert(&health->alert, psprintf("the change log exceeded its limit and was given up: until refreshed, these stream tables answer by their queries: %s",
                                      cut_off.data));
  if (behind.len > 0)
    AddAlert(&health->alert, psprintf("more than half of pgstream.max_log_size is pending for: %s", behind.data));
  if (limit >= 0 && bytes - health->lag_bytes > limit / 2 && !RecoveryInProgress()) {
    const int writers = OpenWriters(entry);
    if (writers > 0)
      AddAlert(&health->alert, psprintf("%d open transactions keep the change log from being emptied", writers));
  }
}

}  // namespace

PGSTREAM_FUNCTION(pgstream_check_cdc_health) {
  RequirePreload();
  InitMaterializedSRF(fcinfo, 0);
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  ListCell *cell;
  foreach (cell, CapturedSources()) {
    const Oid source = lfirst_oid(cell);
    LogEntry entry;
    if (!ReadLogEntry(source, &entry)) continue;
    Health health = {};
    initStringInfo(&health.alert);
    AlertOfCapture(source, &entry, &health.alert);
    if (TryLockSegments(&entry)) {
      LookAtConsumers(source, &entry, LogBytes(&entry), &health);
      for (int i = 0; i < entry.nsegments; ++i) UnlockRelationOid(entry.segments[i], AccessShareLock);
      NoteLogLook(source, LogLook::Asked);
    }
    StringInfoData name;
    initStringInfo(&name);
    AddName(&name, source);
    Datum values[7] = {ObjectIdGetDatum(source), CStringGetTextDatum(name.data), CStringGetTextDatum("trigger"), 0,
                       Int64GetDatum(health.lag_bytes), 0, 0};
    bool nulls[7] = {false, name.len == 0, false, true, false, true, health.alert.len == 0};
    if (health.alert.len > 0) values[6] = CStringGetTextDatum(health.alert.data);
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
  return static_cast<Datum>(0);
}
