// The walk over pg_depend: see reach.hpp.
#include "pg/reach.hpp"

#include "pg/catalog.hpp"
#include "pg/stream.hpp"

extern "C" {
#include "catalog/pg_cast.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "utils/hsearch.h"
}

namespace pgstream {
namespace {

struct Search {
  List *pending;  // of ObjectAddress *
  HTAB *seen;     // (class, object) pairs
  List *streams;
};

struct SeenObject {
  Oid class_id;
  Oid object_id;
};

void Visit(Search *search, Oid class_id, Oid object_id) {
  const SeenObject key = {class_id, object_id};
  bool found;
  (void)hash_search(search->seen, &key, HASH_ENTER, &found);
  if (found) return;
  ObjectAddress *const address = static_cast<ObjectAddress *>(palloc(sizeof(ObjectAddress)));
  ObjectAddressSet(*address, class_id, object_id);
  search->pending = lappend(search->pending, address);
}

// The relation of a rule; InvalidOid when the rule is gone.
Oid RelationOfRule(Oid rule) {
  Relation catalog = table_open(RewriteRelationId, AccessShareLock);
  ScanKeyData key[1];
  ScanKeyInit(&key[0], Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(rule));
  SysScanDesc scan = systable_beginscan(catalog, RewriteOidIndexId, true, nullptr, 1, key);
  HeapTuple tuple = systable_getnext(scan);
  const Oid relation =
      HeapTupleIsValid(tuple) ? reinterpret_cast<Form_pg_rewrite>(GETSTRUCT(tuple))->ev_class : InvalidOid;
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return relation;
}

// A rule of a stream table defines it; one of a view makes the view another.
void VisitRule(Search *search, Oid rule) {
  const Oid relation = RelationOfRule(rule);
  if (!OidIsValid(relation)) return;
  if (IsStreamRelid(relation))
    search->streams = list_append_unique_oid(search->streams, relation);
  else if (get_rel_relkind(relation) != RELKIND_VIEW)
    return;
  Visit(search, RelationRelationId, relation);
}

void VisitDependent(Search *search, const FormData_pg_depend *depend) {
  // Of a relation's, indexes, sequences and heirs see nothing of the change; what a tree's change concerns is its own matter.
  if (depend->refclassid == RelationRelationId && depend->classid == RelationRelationId) return;
  switch (depend->classid) {
    case RewriteRelationId:
      VisitRule(search, depend->objid);
      break;
    case RelationRelationId:
      // The relation of a composite type depends on the type, which is what others use.
      if (get_rel_relkind(depend->objid) == RELKIND_COMPOSITE_TYPE) Visit(search, TypeRelationId, get_rel_type_id(depend->objid));
      Visit(search, RelationRelationId, depend->objid);
      break;
    case ProcedureRelationId:
    case OperatorRelationId:
    case CastRelationId:
    case OperatorClassRelationId:
    case TypeRelationId:
    case TSConfigRelationId:
    case TSDictionaryRelationId:
      Visit(search, depend->classid, depend->objid);
      break;
    default:
      // Defaults, constraints, triggers, policies, indexes: what they made is stored, or seen by the log, or recomputed.
      break;
  }
}

void VisitDependents(Search *search, Relation catalog, const ObjectAddress *object) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object->classId));
  ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object->objectId));
  SysScanDesc scan = systable_beginscan(catalog, DependReferenceIndexId, true, nullptr, 2, keys);
  while (HeapTuple tuple = systable_getnext(scan))
    VisitDependent(search, reinterpret_cast<Form_pg_depend>(GETSTRUCT(tuple)));
  systable_endscan(scan);
}

}  // namespace

List *StreamsReaching(Oid class_id, Oid object_id) {
  HASHCTL control = {};
  control.keysize = sizeof(SeenObject);
  control.entrysize = sizeof(SeenObject);
  control.hcxt = CurrentMemoryContext;
  Search search = {};
  search.seen = hash_create("pg_stream reach", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
  Visit(&search, class_id, object_id);
  Relation catalog = table_open(DependRelationId, AccessShareLock);
  for (int i = 0; i < list_length(search.pending); i++)
    VisitDependents(&search, catalog, static_cast<const ObjectAddress *>(list_nth(search.pending, i)));
  table_close(catalog, AccessShareLock);
  hash_destroy(search.seen);
  list_sort(search.streams, list_oid_cmp);
  return search.streams;
}

List *AllStreams() {
  List *streams = NIL;
  const Oid catalog_oid = CatalogRelationId("pgs_stream");
  if (!OidIsValid(catalog_oid)) return NIL;
  Relation catalog = table_open(catalog_oid, AccessShareLock);
  SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr);
  while (HeapTuple tuple = systable_getnext(scan)) {
    bool isnull;
    streams = lappend_oid(streams, DatumGetObjectId(heap_getattr(tuple, pgs_stream::relid, RelationGetDescr(catalog), &isnull)));
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  list_sort(streams, list_oid_cmp);
  return streams;
}

}  // namespace pgstream
