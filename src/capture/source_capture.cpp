// The per-backend cache of captures; see source_capture.hpp and change_log.hpp.
#include "capture/source_capture.hpp"

#include "capture/capture_triggers.hpp"
#include "capture/change_log.hpp"
#include "pg/catalog.hpp"
#include "pg/source_use.hpp"

namespace pgstream {

static HTAB *captures = nullptr;
static uint64 generations = 0;
static uint64 invalidations = 0;
static bool any_invalid = false;  // entry, perhaps

bool ReadLogEntry(Oid source, LogEntry *entry) {
  CatalogScan scan;
  bool found = false;
  if (!BeginCatalogScan(&scan, "pgs_log", "pgs_log_pkey", pgs_log::source_relid, source, nullptr, AccessShareLock))
    return false;
  if (HeapTuple tuple = NextCatalogTuple(&scan)) {
    ArrayType *segments = DatumGetArrayTypeP(CatalogColumn(&scan, tuple, pgs_log::segments, nullptr));
    entry->nsegments = ARR_NDIM(segments) == 1 ? ARR_DIMS(segments)[0] : 0;
    if (entry->nsegments < 1 || entry->nsegments > kMostSegments || ARR_HASNULL(segments))
      elog(ERROR, "malformed segments in the change log entry of relation %u", source);
    memcpy(entry->segments, ARR_DATA_PTR(segments), sizeof(Oid) * entry->nsegments);
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

// Where a column of the source is among the table's. The source may be another relation, which is not locked: whoever
// changes its columns changes those of its members too, and needs their locks. Invalid when the source has no such column
// (any more), *missing when the table has none.
static AttrNumber ColumnInTable(Relation table, Oid source, AttrNumber attnum, bool *missing) {
  if (RelationGetRelid(table) == source) {
    const TupleDesc live = RelationGetDescr(table);
    return attnum > live->natts || TupleDescAttr(live, attnum - 1)->attisdropped ? InvalidAttrNumber : attnum;
  }
  char *name = get_attname(source, attnum, true);
  if (name == nullptr) return InvalidAttrNumber;
  const AttrNumber found = get_attnum(RelationGetRelid(table), name);
  if (found == InvalidAttrNumber) *missing = true;
  return found;
}

// Reads everything anew into an entry whose context is empty.
static void FillCapture(SourceCapture *capture, Relation table) {
  capture->generation = ++generations;
  capture->intact_known = false;
  capture->nrelatives = 0;
  capture->relatives = nullptr;
  capture->ncolumns = 0;
  capture->highest = 0;
  capture->only_triggers = false;
  capture->direct = 0;
  if (capture->key.table == capture->key.source)
    capture->direct = DirectOperations(table->trigdesc, &capture->only_triggers);
  capture->old_slot = capture->new_slot = capture->heap_slot = nullptr;
  LogEntry entry;
  const bool has_log = ReadLogEntry(capture->key.source, &entry);
  capture->logged = has_log && entry.captured_by != 0;
  capture->abandoned = has_log && !capture->logged;
  if (!capture->logged) return;
  capture->nsegments = entry.nsegments;
  memcpy(capture->segments, entry.segments, sizeof(Oid) * entry.nsegments);
  const TupleDesc live = RelationGetDescr(table);
  const int most = bms_num_members(entry.columns);
  capture->columns = static_cast<CapturedColumn *>(MemoryContextAlloc(capture->context, sizeof(CapturedColumn) * (most + 1)));
  capture->layouts = static_cast<ColumnLayout *>(MemoryContextAllocZero(capture->context, sizeof(ColumnLayout) * (most + 1)));
  bool missing = false;
  for (int attnum = -1; (attnum = bms_next_member(entry.columns, attnum)) >= 0;) {
    if (attnum < 1) continue;
    const AttrNumber mine = ColumnInTable(table, capture->key.source, static_cast<AttrNumber>(attnum), &missing);
    if (mine == InvalidAttrNumber) continue;
    const Form_pg_attribute attribute = TupleDescAttr(live, mine - 1);
    capture->columns[capture->ncolumns] = {mine, attribute->attlen, attribute->attbyval};
    capture->layouts[capture->ncolumns] = {static_cast<int16>(attnum), attribute->attlen};
    capture->highest = Max(capture->highest, mine);
    capture->ncolumns++;
  }
  const Size n = static_cast<Size>(capture->ncolumns) + 1;
  capture->old_values = static_cast<ColumnValue *>(MemoryContextAlloc(capture->context, 2 * n * sizeof(ColumnValue)));
  capture->new_values = capture->old_values + n;
  capture->old_bytes = static_cast<uint64 *>(MemoryContextAlloc(capture->context, 2 * n * sizeof(uint64)));
  capture->new_bytes = capture->old_bytes + n;
  capture->encoder_columns = static_cast<EncoderColumn *>(MemoryContextAlloc(capture->context, n * sizeof(EncoderColumn)));
  // A table that no longer has the source's columns left its tree; stream tables over that await their rebuild.
  if (missing) capture->logged = false;
  const MemoryContext saved = MemoryContextSwitchTo(capture->context);
  capture->descriptor = CreateTupleDescCopyConstr(live);  // with the constraints: missing values count
  MemoryContextSwitchTo(saved);
}

// Runs fill, which reads catalogs, with what it allocates in the current context going away.
template <class F>
static void InScratch(F &&fill) {
  MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_stream source capture scratch", ALLOCSET_SMALL_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(scratch);
  fill();
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(scratch);
}

SourceCapture *LookupSourceCapture(Relation table, Oid source) {
  const CaptureKey key = {RelationGetRelid(table), source};
  bool found;
  SourceCapture *capture = static_cast<SourceCapture *>(hash_search(captures, &key, HASH_ENTER, &found));
  if (found && capture->valid) return capture;
  any_invalid = true;  // until it is complete, which an error may prevent
  if (!found) {
    capture->valid = false;
    capture->nrelatives = 0;
    capture->context = nullptr;
    capture->context = AllocSetContextCreate(CacheMemoryContext, "pg_stream source capture", ALLOCSET_SMALL_SIZES);
  }
  capture->valid = false;
  capture->nrelatives = 0;
  MemoryContextReset(capture->context);
  // Valid only once complete, and only if no invalidation arrived while we read.
  capture->stale = false;
  InScratch([&] { FillCapture(capture, table); });
  capture->valid = !capture->stale;
  return capture;
}

SourceCapture *KnownSourceCapture(Oid source) {
  const CaptureKey key = {source, source};
  auto *capture = static_cast<SourceCapture *>(hash_search(captures, &key, HASH_FIND, nullptr));
  return capture != nullptr && capture->valid ? capture : nullptr;
}

static void NoteRelatives(SourceCapture *capture, const CaptureShape *shape) {
  List *relatives = list_concat_copy(shape->holders, shape->passages);
  list_sort(relatives, list_oid_cmp);
  Oid *oids = static_cast<Oid *>(MemoryContextAlloc(capture->context, sizeof(Oid) * (list_length(relatives) + 1)));
  int count = 0;
  ListCell *cell;
  foreach (cell, relatives) oids[count++] = lfirst_oid(cell);
  capture->relatives = oids;
  capture->nrelatives = count;
}

bool CaptureIsIntact(Relation source) {
  SourceCapture *capture = LookupSourceCapture(source, RelationGetRelid(source));
  if (!capture->logged) return false;
  if (capture->intact_known) return capture->intact;
  const uint64 before = invalidations;
  InScratch([&] {
    const CaptureShape shape = ShapeOf(capture->key.source);
    NoteRelatives(capture, &shape);
    capture->intact = WhyNotCapturable(source) == nullptr && TriggersAreComplete(capture->key.source, &shape);
  });
  capture->intact_known = before == invalidations;
  return capture->intact;
}

static int CompareOids(const void *a, const void *b) {
  const Oid x = *static_cast<const Oid *>(a), y = *static_cast<const Oid *>(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

// Only marks: the entry may be in use further up the stack.
static void ForgetCapture(Datum, Oid relid) {
  HASH_SEQ_STATUS status;
  ++invalidations;
  any_invalid = true;
  hash_seq_init(&status, captures);
  while (SourceCapture *capture = static_cast<SourceCapture *>(hash_seq_search(&status))) {
    if (OidIsValid(relid) && capture->key.table != relid && capture->key.source != relid &&
        (capture->nrelatives == 0 ||
         bsearch(&relid, capture->relatives, capture->nrelatives, sizeof(Oid), CompareOids) == nullptr))
      continue;
    capture->valid = false;
    capture->stale = true;
  }
}

// Nothing is in use any more; what is not valid may be of a table that is gone for good.
static void EndOfTransaction(XactEvent event, void *) {
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE) return;
  if (!any_invalid) return;
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, captures);
  while (SourceCapture *capture = static_cast<SourceCapture *>(hash_seq_search(&status))) {
    if (capture->valid) continue;
    if (capture->context != nullptr) MemoryContextDelete(capture->context);
    hash_search(captures, &capture->key, HASH_REMOVE, nullptr);
  }
  any_invalid = false;
}

void InitSourceCapture() {
  HASHCTL control = {};
  control.keysize = sizeof(CaptureKey);
  control.entrysize = sizeof(SourceCapture);
  captures = hash_create("pg_stream source captures", 64, &control, HASH_ELEM | HASH_BLOBS);
  CacheRegisterRelcacheCallback(ForgetCapture, Datum(0));
  RegisterXactCallback(EndOfTransaction, nullptr);
}

}  // namespace pgstream
