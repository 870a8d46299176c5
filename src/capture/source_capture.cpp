// The per-backend cache of captures; see source_capture.hpp and change_log.hpp.
#include "capture/source_capture.hpp"

#include "capture/change_log.hpp"
#include "pg/catalog.hpp"
#include "pg/source_use.hpp"

namespace pgstream {

// The names sort before those of lower-case letters: what a user's own AFTER statement trigger reads of a stream table is
// then already in the log. The transition tables' names are seen by nobody.
const CaptureTrigger kCaptureTrigger[kCaptureTriggers] = {
    {"0_pgstream_capture_begin", false, true,
     TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE | TRIGGER_TYPE_TRUNCATE, TRIGGER_FIRES_ON_ORIGIN, false,
     false},
    {"0_pgstream_capture_insert", false, false, TRIGGER_TYPE_INSERT, TRIGGER_FIRES_ON_ORIGIN, false, true},
    {"0_pgstream_capture_update", false, false, TRIGGER_TYPE_UPDATE, TRIGGER_FIRES_ON_ORIGIN, true, true},
    {"0_pgstream_capture_delete", false, false, TRIGGER_TYPE_DELETE, TRIGGER_FIRES_ON_ORIGIN, true, false},
    {"0_pgstream_capture_truncate", false, false, TRIGGER_TYPE_TRUNCATE, TRIGGER_FIRES_ALWAYS, false, false},
    {"0_pgstream_capture_replica", true, false, TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE,
     TRIGGER_FIRES_ON_REPLICA, false, false},
};

static HTAB *captures = nullptr;

Oid CaptureFunction() {
  const Oid schema = get_namespace_oid(kSchema, true);
  if (!OidIsValid(schema)) return InvalidOid;
  oidvector *no_arguments = buildoidvector(nullptr, 0);
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("capture_changes"),
                         PointerGetDatum(no_arguments), ObjectIdGetDatum(schema));
}

bool ReadLogEntry(Oid source, LogEntry *entry) {
  CatalogScan scan;
  bool found = false;
  if (!BeginCatalogScan(&scan, "pgs_log", "pgs_log_pkey", pgs_log::source_relid, source, nullptr, AccessShareLock))
    return false;
  if (HeapTuple tuple = NextCatalogTuple(&scan)) {
    ArrayType *segments = DatumGetArrayTypeP(CatalogColumn(&scan, tuple, pgs_log::segments, nullptr));
    if (ARR_NDIM(segments) != 1 || ARR_DIMS(segments)[0] != kLogSegments || ARR_HASNULL(segments))
      elog(ERROR, "malformed segments in the change log entry of relation %u", source);
    memcpy(entry->segments, ARR_DATA_PTR(segments), sizeof(entry->segments));
    ArrayType *columns = DatumGetArrayTypeP(CatalogColumn(&scan, tuple, pgs_log::columns, nullptr));
    entry->columns = nullptr;
    if (ARR_NDIM(columns) == 1) {
      const int16 *numbers = reinterpret_cast<int16 *>(ARR_DATA_PTR(columns));
      for (int i = 0; i < ARR_DIMS(columns)[0]; ++i) entry->columns = bms_add_member(entry->columns, numbers[i]);
    }
    entry->captured_by = U64FromFullTransactionId(
        DatumGetFullTransactionId(CatalogColumn(&scan, tuple, pgs_log::captured_by, nullptr)));
    found = true;
  }
  EndCatalogScan(&scan);
  return found;
}

uint32 PresentCaptureTriggers(Relation source, bool *enabled) {
  uint32 present = 0;
  *enabled = true;
  const TriggerDesc *triggers = source->trigdesc;
  const Oid function = CaptureFunction();
  if (triggers == nullptr || !OidIsValid(function)) return 0;
  for (int i = 0; i < triggers->numtriggers; ++i) {
    const Trigger *trigger = &triggers->triggers[i];
    if (trigger->tgfoid != function || !trigger->tgisinternal) continue;
    for (int k = 0; k < kCaptureTriggers; ++k) {
      const CaptureTrigger *wanted = &kCaptureTrigger[k];
      const int16 type =
          wanted->events | (wanted->row ? TRIGGER_TYPE_ROW : 0) | (wanted->before ? TRIGGER_TYPE_BEFORE : 0);
      if (trigger->tgtype != type) continue;
      present |= 1u << k;
      if (trigger->tgenabled != wanted->enabled) *enabled = false;
    }
  }
  return present;
}

// Reads everything anew into an entry whose context is empty.
static void FillCapture(SourceCapture *capture, Relation source) {
  bool enabled;
  const uint32 present = PresentCaptureTriggers(source, &enabled);
  capture->intact = present == (1u << kCaptureTriggers) - 1 && enabled && WhyNotCapturable(source) == nullptr;

  LogEntry entry;
  capture->logged = ReadLogEntry(capture->relid, &entry) && entry.captured_by != 0;
  capture->ncolumns = 0;
  capture->highest = 0;
  capture->old_slot = capture->new_slot = nullptr;
  if (!capture->logged) {
    capture->intact = false;
    return;
  }
  memcpy(capture->segments, entry.segments, sizeof(capture->segments));
  const TupleDesc live = RelationGetDescr(source);
  const int most = bms_num_members(entry.columns);
  capture->columns = static_cast<CapturedColumn *>(MemoryContextAlloc(capture->context, sizeof(CapturedColumn) * (most + 1)));
  capture->layouts = static_cast<ColumnLayout *>(MemoryContextAlloc(capture->context, sizeof(ColumnLayout) * (most + 1)));
  for (int attnum = -1; (attnum = bms_next_member(entry.columns, attnum)) >= 0;) {
    if (attnum < 1 || attnum > live->natts) continue;
    const Form_pg_attribute attribute = TupleDescAttr(live, attnum - 1);
    if (attribute->attisdropped) continue;
    CapturedColumn *column = &capture->columns[capture->ncolumns];
    column->attnum = static_cast<AttrNumber>(attnum);
    column->attlen = attribute->attlen;
    column->byval = attribute->attbyval;
    capture->layouts[capture->ncolumns] = {static_cast<int16>(attnum), attribute->attlen};
    capture->highest = static_cast<AttrNumber>(attnum);
    capture->ncolumns++;
  }
  const MemoryContext saved = MemoryContextSwitchTo(capture->context);
  capture->descriptor = CreateTupleDescCopyConstr(live);  // with the constraints: missing values count
  MemoryContextSwitchTo(saved);
}

SourceCapture *LookupSourceCapture(Relation source) {
  const Oid relid = RelationGetRelid(source);
  bool found;
  SourceCapture *capture = static_cast<SourceCapture *>(hash_search(captures, &relid, HASH_ENTER, &found));
  if (found && capture->valid) return capture;
  if (!found) {
    capture->valid = false;
    capture->context = nullptr;
    capture->context = AllocSetContextCreate(CacheMemoryContext, "pg_stream source capture", ALLOCSET_SMALL_SIZES);
  }
  capture->valid = false;
  MemoryContextReset(capture->context);
  // Valid only once complete, and only if no invalidation arrived while we read.
  capture->stale = false;
  MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_stream source capture scratch", ALLOCSET_SMALL_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(scratch);
  FillCapture(capture, source);
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(scratch);
  capture->valid = !capture->stale;
  return capture;
}

bool CaptureIsIntact(Relation source) { return LookupSourceCapture(source)->intact; }

// Only marks: the entry may be in use further up the stack.
static void ForgetCapture(Datum, Oid relid) {
  if (OidIsValid(relid)) {
    SourceCapture *capture = static_cast<SourceCapture *>(hash_search(captures, &relid, HASH_FIND, nullptr));
    if (capture != nullptr) {
      capture->valid = false;
      capture->stale = true;
    }
    return;
  }
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, captures);
  while (SourceCapture *capture = static_cast<SourceCapture *>(hash_seq_search(&status))) {
    capture->valid = false;
    capture->stale = true;
  }
}

void InitSourceCapture() {
  HASHCTL control = {};
  control.keysize = sizeof(Oid);
  control.entrysize = sizeof(SourceCapture);
  captures = hash_create("pg_stream source captures", 64, &control, HASH_ELEM | HASH_BLOBS);
  CacheRegisterRelcacheCallback(ForgetCapture, Datum(0));
}

}  // namespace pgstream
