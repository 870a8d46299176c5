// SQL function drop_stream_table(), and what leaves the catalogs when a stream table goes, however it goes.
#include "api/drop.hpp"
#include "api/key_index_upkeep.hpp"
#include "api/names.hpp"
#include "api/replication.hpp"
#include "capture/registration.hpp"
#include "capture/unused_capture.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/code_store.hpp"
#include "pg/definition.hpp"
#include "pg/key_index.hpp"
#include "refresh/failures.hpp"

extern "C" {
#include "rewrite/rewriteSupport.h"
}

namespace pgstream {

namespace {

object_access_hook_type previous_object_access = nullptr;

bool IsTable(char relkind) { return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE; }

bool HasLog(Oid source) {
  CatalogScan scan;
  if (!BeginCatalogScan(&scan, "pgs_log", "pgs_log_pkey", pgs_log::source_relid, source, nullptr, AccessShareLock))
    return false;
  const bool has_log = NextCatalogTuple(&scan) != nullptr;
  EndCatalogScan(&scan);
  return has_log;
}

// A stream table is about to be deleted: its catalog rows go now, its sources' capture before the commit.
void ForgetStream(Oid relid) {
  ForgetSources(relid);
  DeleteCatalogRows("pgs_frontier", "pgs_frontier_pkey", pgs_frontier::relid, relid);
  DeleteCatalogRows("pgs_refresh_history", "pgs_refresh_history_relid_idx", 2, relid);
  ForgetFailures(relid, PG_UINT64_MAX);
  DeleteCatalogRows("pgs_stream", "pgs_stream_pkey", pgs_stream::relid, relid);
  RemoveCode(relid);
  InvalidateStream(relid);
}

void ObjectAccess(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument) {
  if (previous_object_access != nullptr) previous_object_access(access, class_id, object_id, sub_id, argument);
  if (access != OAT_DROP || class_id != RelationRelationId || sub_id != 0) return;
  if (IsStreamRelid(object_id)) {
    ForgetStream(object_id);
  } else if (object_id >= FirstNormalObjectId && IsTable(get_rel_relkind(object_id)) && HasLog(object_id)) {
    DetachLater(object_id);
  }
}

}  // namespace

void ForgetSources(Oid relid) {
  ListCell *cell;
  foreach (cell, RegisteredSources(relid)) DetachLater(lfirst_oid(cell));
  DeleteCatalogRows("pgs_dependency", "pgs_dependency_pkey", pgs_dependency::relid, relid);
}

void DisbandStream(Oid relid) {
  ForgetStream(relid);
  ShowToReplication(relid);
  Relation rel = table_open(relid, NoLock);
  List *const indexes = RelationGetIndexList(rel);
  table_close(rel, NoLock);
  ListCell *cell;
  foreach (cell, indexes)
    if (IsInternalIndex(lfirst_oid(cell), relid)) DropInternal(RelationRelationId, lfirst_oid(cell));
  const Oid rule = get_rewrite_oid(relid, kDefinitionRule, true);
  if (OidIsValid(rule)) DropInternal(RewriteRelationId, rule);
  CommandCounterIncrement();
}

void InitDrop() {
  previous_object_access = object_access_hook;
  object_access_hook = ObjectAccess;
}

}  // namespace pgstream

using namespace pgstream;

PGSTREAM_FUNCTION(pgstream_drop_stream_table) {
  const Oid relid = ResolveStreamTable(PG_GETARG_TEXT_PP(0), AccessExclusiveLock, true);
  ObjectAddress table;
  ObjectAddressSet(table, RelationRelationId, relid);
  performDeletion(&table, DROP_RESTRICT, 0);
  CommandCounterIncrement();
  PG_RETURN_VOID();
}
