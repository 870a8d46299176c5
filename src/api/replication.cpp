// Stream tables are not replicated by their rows; see replication.hpp.
//
// The server leaves changes of a relation out of decoding when pg_class.relrewrite is set, which it does for the transient
// tables of a rewrite, and looks at it nowhere else. The change logs are left out record by record (capture/log_writer).
#include "api/replication.hpp"

#include "api/key_index_upkeep.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/stream.hpp"
#include "pg/trigger_scan.hpp"

extern "C" {
#include "replication/logicalworker.h"
}

namespace pgstream {

static Oid IgnoreFunction() {
  oidvector *no_arguments = buildoidvector(nullptr, 0);
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("ignore_replicated"),
                         PointerGetDatum(no_arguments), ObjectIdGetDatum(get_namespace_oid(kSchema, false)));
}

static void SetRewrite(Oid relid, Oid value) {
  Relation classes = table_open(RelationRelationId, RowExclusiveLock);
  HeapTuple tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for relation %u", relid);
  reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relrewrite = value;
  CatalogTupleUpdate(classes, &tuple->t_self, tuple);
  heap_freetuple(tuple);
  table_close(classes, RowExclusiveLock);
}

// The triggers that leave out what replication brings.
static List *IgnoringTriggers(Oid relid) {
  List *triggers = NIL;
  VisitTriggers(relid, IgnoreFunction(), [&](HeapTuple tuple, TupleDesc) {
    triggers = lappend_oid(triggers, reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->oid);
  });
  return triggers;
}

static void LeaveOutOfApply(Oid relid) {
  if (IgnoringTriggers(relid) != NIL) return;
  CreateTrigStmt *statement = makeNode(CreateTrigStmt);
  statement->trigname = pstrdup("0_pgstream_ignore_replicated");
  statement->funcname = list_make2(makeString(pstrdup(kSchema)), makeString(pstrdup("ignore_replicated")));
  statement->row = true;
  statement->timing = TRIGGER_TYPE_BEFORE;
  statement->events = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;
  CreateTriggerFiringOn(statement, nullptr, relid, InvalidOid, InvalidOid, InvalidOid, IgnoreFunction(), InvalidOid, nullptr,
                        true, false, TRIGGER_FIRES_ON_REPLICA);
}

void HideCatalogFromReplication(Oid relid) {
  SetRewrite(relid, relid);
  CommandCounterIncrement();
}

void HideFromReplication(Relation rel) {
  HideCatalogFromReplication(RelationGetRelid(rel));
  LeaveOutOfApply(RelationGetRelid(rel));
  CommandCounterIncrement();
}

void ShowToReplication(Oid relid) {
  List *const triggers = IgnoringTriggers(relid);
  SetRewrite(relid, InvalidOid);
  ListCell *cell;
  foreach (cell, triggers) DropInternal(TriggerRelationId, lfirst_oid(cell));
  CommandCounterIncrement();
}

void CheckPublication(Node *statement) {
  ListCell *cell;
  foreach (cell, IsA(statement, CreatePublicationStmt) ? reinterpret_cast<CreatePublicationStmt *>(statement)->pubobjects
                 : reinterpret_cast<AlterPublicationStmt *>(statement)->action == AP_DropObjects
                     ? NIL
                     : reinterpret_cast<AlterPublicationStmt *>(statement)->pubobjects) {
    const auto *object = lfirst_node(PublicationObjSpec, cell);
    if (object->pubobjtype != PUBLICATIONOBJ_TABLE) continue;
    const Oid relid = RangeVarGetRelid(object->pubtable->relation, NoLock, true);
    if (!OidIsValid(relid) || !IsStreamRelid(relid) || LookupStream(relid) == nullptr) continue;
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot publish stream table \"%s\"", get_rel_name(relid)),
                    errdetail("Its folds write rows that a subscriber's initial copy already has."),
                    errhint("Publish the tables that its query reads, and create the stream table on the subscriber.")));
  }
}

}  // namespace pgstream

PGSTREAM_FUNCTION(pgstream_ignore_replicated) {
  using namespace pgstream;
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("function \"%s\" was not called by trigger manager", "ignore_replicated")));
  const auto *trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
  if (IsLogicalWorker() && !RunningCatalogCommand()) return PointerGetDatum(nullptr);
  return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple);
}
