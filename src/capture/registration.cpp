// Rows of pgs_dependency; see registration.hpp.
#include "capture/registration.hpp"

#include "capture/change_log.hpp"
#include "capture/log_object.hpp"
#include "capture/unused_capture.hpp"
#include "pg/catalog.hpp"
#include "pg/rebuild.hpp"
#include "pg/source_privilege.hpp"

extern "C" {
#include "utils/array.h"
}

namespace pgstream {

namespace {

void Register(Oid stream, Oid source, const Bitmapset *columns) {
  Relation rel = table_open(CatalogRelationId("pgs_dependency"), RowExclusiveLock);
  const Datum values[pgs_dependency::natts] = {ObjectIdGetDatum(stream), ObjectIdGetDatum(source),
                                               PointerGetDatum(ColumnNumbers(columns)), Int64GetDatum(0)};
  const bool nulls[pgs_dependency::natts] = {};
  CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), const_cast<Datum *>(values), const_cast<bool *>(nulls)));
  table_close(rel, NoLock);
}

// Makes the columns of a registration those that the plan uses. True when they were others.
bool UpdateColumns(Oid stream, Oid source, const Bitmapset *columns) {
  ArrayType *const wanted = ColumnNumbers(columns);
  return ChangeCatalogRows("pgs_dependency", "pgs_dependency_pkey", pgs_dependency::relid, stream,
                           [&](const CatalogScan *scan, HeapTuple tuple) {
                             if (DatumGetObjectId(CatalogColumn(scan, tuple, pgs_dependency::source_relid, nullptr)) != source)
                               return tuple;
                             const ArrayType *present =
                                 DatumGetArrayTypePCopy(CatalogColumn(scan, tuple, pgs_dependency::columns, nullptr));
                             if (VARSIZE(present) == VARSIZE(wanted) && memcmp(present, wanted, VARSIZE(wanted)) == 0)
                               return tuple;
                             const AttrNumber column = pgs_dependency::columns;
                             const Datum value = PointerGetDatum(wanted);
                             return WithColumns(scan, tuple, 1, &column, &value, nullptr);
                           }) > 0;
}

// Removes the registration for sources that the plan does not capture (any more), and their capture if nobody else has it.
bool Unregister(Oid stream, List *sources) {
  List *gone = NIL;
  ChangeCatalogRows("pgs_dependency", "pgs_dependency_pkey", pgs_dependency::relid, stream,
                    [&](const CatalogScan *scan, HeapTuple tuple) -> HeapTuple {
                      const Oid source = DatumGetObjectId(CatalogColumn(scan, tuple, pgs_dependency::source_relid, nullptr));
                      if (list_member_oid(sources, source)) return tuple;
                      gone = list_append_unique_oid(gone, source);
                      return nullptr;
                    });
  ListCell *cell;
  foreach (cell, gone) DetachLater(lfirst_oid(cell));
  return gone != NIL;
}

}  // namespace

List *RegisteredSources(Oid stream) {
  CatalogScan scan;
  List *sources = NIL;
  if (!BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_pkey", pgs_dependency::relid, stream, nullptr,
                        AccessShareLock))
    return NIL;
  while (HeapTuple tuple = NextCatalogTuple(&scan))
    sources = lappend_oid(sources, DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::source_relid, nullptr)));
  EndCatalogScan(&scan);
  list_sort(sources, list_oid_cmp);
  return sources;
}

bool RegisterSources(Oid stream, const DeltaPlan *plan) {
  List *registered = RegisteredSources(stream);
  List *sources = NIL;
  bool changed = false;
  for (int i = 0; i < plan->nsources; ++i) sources = lappend_oid(sources, plan->sources[i]);
  list_sort(sources, list_oid_cmp);
  const Oid owner = RelationOwner(stream);
  if (!OidIsValid(owner)) elog(ERROR, "cache lookup failed for relation %u", stream);
  CheckSourcePrivilege(owner, plan);
  ListCell *cell;
  LockForAttaching(plan->nsources, plan->sources, plan->columns, owner, nullptr);
  // In OID order, so that two creators cannot deadlock.
  foreach (cell, sources) {
    const Oid source = lfirst_oid(cell);
    int number = 0;
    while (plan->sources[number] != source) ++number;
    if (AttachCapture(source, plan->columns[number]))
      changed = true;
    else if (ConsumersOf(source) == NIL)
      DetachUnlessUsed(source);
    if (!list_member_oid(registered, source)) {
      Register(stream, source, plan->columns[number]);
      changed = true;
    } else {
      changed |= UpdateColumns(stream, source, plan->columns[number]);
    }
    CommandCounterIncrement();
    CacheInvalidateRelcacheByRelid(source);
  }
  changed |= Unregister(stream, sources);
  return changed;
}

bool SourcesAreCaptured(const Stream *stream) {
  if (list_length(RegisteredSources(stream->relid)) != stream->nsources) return false;
  for (int i = 0; i < stream->nsources; ++i) {
    const StreamSource *source = &stream->sources[i];
    if (source->nsegments == 0) return false;
    Relation rel = try_relation_open(source->relid, AccessShareLock);
    if (rel == nullptr) return false;
    const bool intact = CaptureIsIntact(rel);
    relation_close(rel, NoLock);
    if (!intact) return false;
  }
  return true;
}

}  // namespace pgstream
