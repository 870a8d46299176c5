// The tables and the row of a change log; see log_object.hpp.
#include "capture/log_object.hpp"

#include "capture/change_log.hpp"

extern "C" {
#include "access/reloptions.h"
#include "catalog/heap.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_extension_d.h"
#include "catalog/toasting.h"
#include "commands/comment.h"
#include "commands/extension.h"
}

namespace pgstream {

// Pages keep a tenth free, which nobody uses: a page that is full to that mark is never written again, and a reader that
// extends an overlay need not look at it twice.
static constexpr int kLogFillFactor = 90;

// The server publishes no table whose OID lies below those that users' objects get, FOR ALL TABLES or by schema: so a log,
// whose name no subscriber has, is not asked for. initdb leaves a range of such OIDs free. Keeps a lock on the one chosen,
// InvalidOid (an ordinary OID) when all are in use.
static Oid UnpublishableOid(Oid start) {
  constexpr Oid kFirst = 15000, kCount = FirstNormalObjectId - kFirst;
  for (Oid i = 0; i < kCount; ++i) {
    const Oid oid = kFirst + (start + i) % kCount;
    if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(oid)) || compat::RelationFileExists(oid) ||
        !ConditionalLockRelationOid(oid, AccessExclusiveLock))
      continue;
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(oid)) && !compat::RelationFileExists(oid)) return oid;
    UnlockRelationOid(oid, AccessExclusiveLock);
  }
  return InvalidOid;
}

Oid CreateLogSegment(Oid source, int number) {
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
  const Oid oid = UnpublishableOid(source * 2 + static_cast<Oid>(number));
  List *options = list_make1(makeDefElem(pstrdup("fillfactor"), reinterpret_cast<Node *>(makeInteger(kLogFillFactor)), -1));
  const Datum reloptions = transformRelOptions(Datum(0), options, nullptr, nullptr, false, false);
  const Oid segment =
      heap_create_with_catalog(name, schema, InvalidOid, oid, InvalidOid, InvalidOid, owner, HEAP_TABLE_AM_OID, desc,
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
  CreateComments(segment, RelationRelationId, 0, "change log of a source of stream tables");
  return segment;
}

ArrayType *ColumnNumbers(const Bitmapset *columns) {
  Datum *numbers = static_cast<Datum *>(palloc(sizeof(Datum) * (bms_num_members(columns) + 1)));
  int count = 0;
  for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
    if (attnum > 0) numbers[count++] = Int16GetDatum(static_cast<int16>(attnum));
  return construct_array(numbers, count, INT2OID, sizeof(int16), true, TYPALIGN_SHORT);
}

void WriteLogEntry(Oid source, const LogEntry *entry) {
  Datum values[pgs_log::natts];
  bool nulls[pgs_log::natts] = {};
  Datum segments[kMostSegments];
  for (int i = 0; i < entry->nsegments; ++i) segments[i] = ObjectIdGetDatum(entry->segments[i]);
  values[pgs_log::source_relid - 1] = ObjectIdGetDatum(source);
  values[pgs_log::segments - 1] =
      PointerGetDatum(construct_array(segments, entry->nsegments, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
  values[pgs_log::columns - 1] = PointerGetDatum(ColumnNumbers(entry->columns));
  values[pgs_log::captured_by - 1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(entry->captured_by));
  DeleteCatalogRows("pgs_log", "pgs_log_pkey", pgs_log::source_relid, source);
  Relation catalog = table_open(CatalogRelationId("pgs_log"), RowExclusiveLock);
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
  CatalogTupleInsert(catalog, tuple);
  heap_freetuple(tuple);
  table_close(catalog, RowExclusiveLock);
  CommandCounterIncrement();
}

}  // namespace pgstream
