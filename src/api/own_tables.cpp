// Who may write the extension's own tables: see own_tables.hpp.
//
// The server protects its own catalogs by their OIDs; what an extension owns is to it a table like any other, which
// pg_write_all_data may write. Permissions are checked once a statement, after the server's own checks, and only the relations
// that it writes are looked at.
#include "api/own_tables.hpp"

#include "pg/boundary.hpp"
#include "pg/catalog.hpp"

extern "C" {
#include "catalog/objectaccess.h"
#include "commands/extension.h"
#include "executor/executor.h"
}

namespace pgstream {
namespace {

ExecutorCheckPerms_hook_type previous_check_permissions = nullptr;
object_access_hook_type previous_object_access = nullptr;

Oid own_schema = InvalidOid;  // as of the last look; every statement that writes asks
bool own_schema_is_known = false;

void ForgetOwnSchema(Datum, int, uint32) { own_schema_is_known = false; }

bool InOwnSchema(Oid relid) {
  if (!own_schema_is_known) {
    own_schema_is_known = true;  // first: the look itself may find that it changed
    own_schema = get_namespace_oid(kSchema, true);
  }
  return OidIsValid(own_schema) && get_rel_namespace(relid) == own_schema && OidIsValid(get_extension_oid("pg_stream", true));
}

bool IsOwnTable(Oid relid) {
  if (!InOwnSchema(relid) || get_rel_relkind(relid) != RELKIND_RELATION) return false;
  const char *name = get_rel_name(relid);
  return name != nullptr && (strncmp(name, "pgs_", 4) == 0 || strncmp(name, "log_", 4) == 0);
}

// Nothing follows from the history: a superuser may delete of it what is old.
bool MayWrite(Oid relid) {
  if (creating_extension || IsBinaryUpgrade || RunningCatalogCommand()) return true;
  return superuser() && (allowSystemTableMods || strcmp(get_rel_name(relid), "pgs_refresh_history") == 0);
}

[[noreturn]] void Deny(Oid relid) {
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("permission denied: \"%s\" belongs to pg_stream", get_rel_name(relid)),
                  errhint("Use the functions in the schema %s.", kSchema)));
  pg_unreachable();
}

void CheckWritten(Oid relid) {
  if (IsOwnTable(relid) && !MayWrite(relid)) Deny(relid);
}

void ObjectAccess(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument) {
  if (previous_object_access != nullptr) previous_object_access(access, class_id, object_id, sub_id, argument);
  if (access == OAT_TRUNCATE && class_id == RelationRelationId) CheckWritten(object_id);
}

}  // namespace

void CheckLock(const LockStmt *lock) {
  if (lock->mode <= RowShareLock || superuser()) return;
  ListCell *cell;
  foreach (cell, lock->relations) {
    const Oid relid = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);
    if (OidIsValid(relid) && InOwnSchema(relid)) Deny(relid);  // a view would lock the tables under it as its owner
  }
}

void InitOwnTables() {
  previous_check_permissions = ExecutorCheckPerms_hook;
  ExecutorCheckPerms_hook = Callback<compat::CheckPermissions<CheckWritten, &previous_check_permissions>>::Call;
  previous_object_access = object_access_hook;
  object_access_hook = ObjectAccess;
  CacheRegisterSyscacheCallback(NAMESPACEOID, ForgetOwnSchema, static_cast<Datum>(0));
}

}  // namespace pgstream
