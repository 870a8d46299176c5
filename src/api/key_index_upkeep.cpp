// The life of key indexes; see key_index_upkeep.hpp.
#include "api/key_index_upkeep.hpp"

#include "pg/catalog.hpp"
#include "pg/key_index.hpp"
#include "pg/reach.hpp"
#include "pg/stream.hpp"

extern "C" {
#include "catalog/index.h"
#include "catalog/pg_depend.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
}

namespace pgstream {

namespace {

void CreateKeyIndex(Relation rel, const DeltaPlan *plan) {
  StringInfoData command;
  initStringInfo(&command);
  const Oid schema = RelationGetNamespace(rel);
  appendStringInfo(&command, "CREATE INDEX %s ON %s.%s (pgstream.%s(",
                   quote_identifier(ChooseRelationName(RelationGetRelationName(rel), nullptr, "pgstream_key", schema, false)),
                   quote_identifier(get_namespace_name(schema)),
                   quote_identifier(RelationGetRelationName(rel)), KeyFunction(plan));
  for (int i = 0; i < plan->nindex_columns; ++i)
    appendStringInfo(&command, "%s%s", i > 0 ? ", " : "",
                     quote_identifier(NameStr(
                         TupleDescAttr(RelationGetDescr(rel), plan->index_columns[i] - 1)->attname)));
  appendStringInfoString(&command, "))");
  // CREATE INDEX wants to be the only one to have the table open.
  table_close(rel, NoLock);
  // A part of whatever makes it: no event trigger is told of it as of a command of its own.
  auto *planned = makeNode(PlannedStmt);
  planned->commandType = CMD_UTILITY;
  planned->utilityStmt = linitial_node(RawStmt, pg_parse_query(command.data))->stmt;
  ProcessUtility(planned, command.data, false, PROCESS_UTILITY_SUBCOMMAND, nullptr, nullptr, None_Receiver, nullptr);
  CommandCounterIncrement();
}

// Makes an object of a table one that cannot be dropped alone, once.
void DependInternally(Oid class_id, Oid object_id, Oid table) {
  ObjectAddress object_address, table_address;
  ObjectAddressSet(object_address, class_id, object_id);
  ObjectAddressSet(table_address, RelationRelationId, table);
  deleteDependencyRecordsForSpecific(class_id, object_id, DEPENDENCY_INTERNAL, RelationRelationId, table);
  recordDependencyOn(&object_address, &table_address, DEPENDENCY_INTERNAL);
}

bool IsValid(Oid index) {
  HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
  if (!HeapTupleIsValid(tuple)) return false;
  const bool valid = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple))->indisvalid;
  ReleaseSysCache(tuple);
  return valid;
}

void HideIndex(Oid index) {
  if (!IsValid(index) || !ConditionalLockRelationOid(index, ShareUpdateExclusiveLock)) return;
  index_set_state_flags(index, INDEX_DROP_CLEAR_VALID);
  CacheInvalidateRelcacheByRelid(index);
  CommandCounterIncrement();
}

}  // namespace

void DropInternal(Oid class_id, Oid object_id) {
  ObjectAddress address;
  ObjectAddressSet(address, class_id, object_id);
  deleteDependencyRecordsFor(class_id, object_id, true);
  CommandCounterIncrement();
  performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

void EnsureKeyIndex(Oid relid) {
  const DeltaPlan *plan = LookupStream(relid)->plan;
  if (plan->nindex_columns == 0) return;
  Relation rel = table_open(relid, NoLock);
  Oid index = FindKeyIndex(rel, plan);
  if (!OidIsValid(index)) {
    // The server makes no index of a table that a cursor of this session is reading.
    if (rel->rd_refcnt > 1) {
      table_close(rel, NoLock);
      return;
    }
    CreateKeyIndex(rel, plan);
    rel = table_open(relid, NoLock);
    index = FindKeyIndex(rel, plan);
  }
  table_close(rel, NoLock);
  if (!OidIsValid(index)) elog(ERROR, "key index of stream table %u not found", relid);
  DependInternally(RelationRelationId, index, relid);
  CreateComments(index, RelationRelationId, 0, "finds stored rows by their key; internal to pg_stream, which uses it although it shows as invalid");
  CommandCounterIncrement();
  HideIndex(index);
  InvalidateStream(relid);
  CommandCounterIncrement();
}

// Looks at indexes alone, not at definitions: those would have their sources locked, which somebody may hold for long.
void HideKeyIndexes() {
  ListCell *cell, *index;
  foreach (cell, AllStreams()) {
    const Oid relid = lfirst_oid(cell);
    if (!ConditionalLockRelationOid(relid, AccessShareLock)) continue;
    if (Relation rel = try_relation_open(relid, NoLock)) {
      List *const indexes = RelationGetIndexList(rel);
      relation_close(rel, NoLock);
      foreach (index, indexes)
        if (IsInternalIndex(lfirst_oid(index), relid)) HideIndex(lfirst_oid(index));
    }
    UnlockRelationOid(relid, AccessShareLock);
  }
}

}  // namespace pgstream
