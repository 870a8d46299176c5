// Marking stream tables before or amid DDL: see definition_change.hpp.
//
// The object-access hook is called for every object that DDL creates or alters, by whatever command, after its catalog row
// changed and before the next command counter increment: the mark and the change become visible together. Commands must
// not find a counter raised in their midst, so a mark made here waits for theirs.
#include "api/definition_change.hpp"

#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/reach.hpp"
#include "pg/rebuild.hpp"
#include "pg/stream.hpp"

extern "C" {
#include "catalog/catalog.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_extension_d.h"
#include "catalog/pg_language.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "parser/parse_type.h"
}

namespace pgstream {
namespace {

object_access_hook_type previous_object_access = nullptr;

void Mark(List *streams) {
  ListCell *cell;
  foreach (cell, streams) RaiseVersionAmidCommand(lfirst_oid(cell));
}

// Text search by the session's default configuration leaves no dependency behind.
List *StreamsOfDefaultTextSearch() {
  List *streams = NIL;
  ListCell *cell;
  foreach (cell, AllStreams()) {
    if (!IsStreamRelid(lfirst_oid(cell))) continue;
    const Stream *stream = LookupStream(lfirst_oid(cell));
    if (stream != nullptr && stream->plan->dependence.default_text_search) streams = lappend_oid(streams, stream->relid);
  }
  return streams;
}

void MarkTextSearch(Oid class_id, Oid object_id) {
  List *streams = list_concat_unique_oid(StreamsReaching(class_id, object_id), StreamsOfDefaultTextSearch());
  list_sort(streams, list_oid_cmp);
  Mark(streams);
}

// A relation's columns were added, renamed or dropped: whoever uses its row type shows them, and so do whole rows of a view.
void MarkRowType(Oid relid) {
  const Oid row_type = get_rel_type_id(relid);
  if (OidIsValid(row_type)) MarkReached(TypeRelationId, row_type);
  if (get_rel_relkind(relid) == RELKIND_VIEW) MarkReached(RelationRelationId, relid);
}

void MarkViewOfRule(Oid rule) {
  // The rule may be new to this command, invisible yet.
  Relation catalog = table_open(RewriteRelationId, AccessShareLock);
  ScanKeyData key[1];
  ScanKeyInit(&key[0], Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(rule));
  SysScanDesc scan = systable_beginscan(catalog, RewriteOidIndexId, true, SnapshotSelf, 1, key);
  HeapTuple tuple = systable_getnext(scan);
  const Oid relid = HeapTupleIsValid(tuple) ? reinterpret_cast<Form_pg_rewrite>(GETSTRUCT(tuple))->ev_class : InvalidOid;
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  if (OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_VIEW) MarkReached(RelationRelationId, relid);
}

void MarkDroppedCast(Oid cast) {
  Relation catalog = table_open(CastRelationId, AccessShareLock);
  ScanKeyData key[1];
  ScanKeyInit(&key[0], Anum_pg_cast_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(cast));
  SysScanDesc scan = systable_beginscan(catalog, CastOidIndexId, true, nullptr, 1, key);
  HeapTuple tuple = systable_getnext(scan);
  const Oid source = HeapTupleIsValid(tuple) ? reinterpret_cast<Form_pg_cast>(GETSTRUCT(tuple))->castsource : InvalidOid;
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  if (OidIsValid(source)) MarkReached(TypeRelationId, source);
}

void MarkDroppedOperatorClass(Oid operator_class) {
  HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(operator_class));
  if (!HeapTupleIsValid(tuple)) return;
  const Oid type = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple))->opcintype;
  ReleaseSysCache(tuple);
  MarkReached(TypeRelationId, type);
}

void TakeNote(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id) {
  switch (class_id) {
    case ProcedureRelationId:  // CREATE OR REPLACE counts as a creation
    case LanguageRelationId:
      if (access != OAT_DROP) MarkReached(class_id, object_id);
      break;
    case RewriteRelationId:
      if (access != OAT_DROP) MarkViewOfRule(object_id);
      break;
    case ExtensionRelationId:
      // An update of our own changes no query, though every definition uses a function of it (pgstream.stream_options).
      if (access == OAT_POST_ALTER && object_id != get_extension_oid("pg_stream", true)) MarkReached(class_id, object_id);
      break;
    case OperatorRelationId:
    case TypeRelationId:
      if (access == OAT_POST_ALTER) MarkReached(class_id, object_id);
      break;
    case TSConfigRelationId:
    case TSDictionaryRelationId:
      if (access == OAT_POST_ALTER) MarkTextSearch(class_id, object_id);
      break;
    case RelationRelationId:
      if (sub_id != 0)
        MarkRowType(object_id);
      else if (access == OAT_POST_ALTER && get_rel_relkind(object_id) == RELKIND_VIEW)
        MarkReached(class_id, object_id);
      break;
    case CastRelationId:
      if (access == OAT_DROP) MarkDroppedCast(object_id);
      break;
    case OperatorClassRelationId:
      if (access == OAT_DROP) MarkDroppedOperatorClass(object_id);
      break;
    default:
      break;
  }
}

void ObjectAccess(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument) {
  if (previous_object_access != nullptr) previous_object_access(access, class_id, object_id, sub_id, argument);
  if (access != OAT_POST_CREATE && access != OAT_POST_ALTER && access != OAT_DROP) return;
  if (!IsTransactionState() || IsBootstrapProcessingMode() || !OidIsValid(CatalogRelationId("pgs_stream"))) return;
  TakeNote(access, class_id, object_id, sub_id);
}

void MarkType(const TypeName *name) {
  const Oid type = LookupTypeNameOid(nullptr, const_cast<TypeName *>(name), true);
  if (OidIsValid(type)) MarkReached(TypeRelationId, type);
}

bool Freezes(const CopyStmt *copy) {
  ListCell *cell;
  foreach (cell, copy->options) {
    DefElem *const option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "freeze") == 0) return defGetBoolean(option);
  }
  return false;
}

}  // namespace

void MarkReached(Oid class_id, Oid object_id) {
  const MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "pg_stream reach", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(work);
  // Nobody records who uses an object that the server was built with.
  Mark(IsPinnedObject(class_id, object_id) ? AllStreams() : StreamsReaching(class_id, object_id));
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(work);
}

void MarkBefore(Node *statement) {
  switch (nodeTag(statement)) {
    case T_AlterDomainStmt:
      MarkType(makeTypeNameFromNameList(reinterpret_cast<AlterDomainStmt *>(statement)->typeName));
      break;
    case T_CreateCastStmt:
      MarkType(reinterpret_cast<CreateCastStmt *>(statement)->sourcetype);
      break;
    case T_CreateOpClassStmt:
      MarkType(reinterpret_cast<CreateOpClassStmt *>(statement)->datatype);
      break;
    case T_CopyStmt: {
      // Frozen rows are there for older snapshots too, which the log is not.
      const auto *copy = reinterpret_cast<CopyStmt *>(statement);
      if (!copy->is_from || copy->relation == nullptr || !Freezes(copy)) break;
      const Oid relid = RangeVarGetRelid(copy->relation, NoLock, true);
      if (OidIsValid(relid)) MarkReached(RelationRelationId, relid);
      break;
    }
    default:
      return;
  }
  CommandCounterIncrement();
}

void InitDefinitionChange() {
  previous_object_access = object_access_hook;
  object_access_hook = ObjectAccess;
}

}  // namespace pgstream
