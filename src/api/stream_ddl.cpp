// DDL of stream tables; see stream_ddl.hpp.
#include "api/stream_ddl.hpp"

#include "pg/definition.hpp"
#include "pg/key_index.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// A stream table with a definition behind a name; InvalidOid otherwise. No lock: the statement itself takes it.
Oid StreamNamed(const RangeVar *relation) {
  const Oid relid = RangeVarGetRelid(relation, NoLock, true);
  return OidIsValid(relid) && IsStreamRelid(relid) && LookupStream(relid) != nullptr ? relid : InvalidOid;
}

bool NamesStreamMethod(const char *access_method) {
  return access_method != nullptr && strcmp(access_method, kAccessMethod) == 0;
}

bool IsAboutStorage(AlterTableType type) {
  switch (type) {
    case AT_ChangeOwner:
    case AT_SetTableSpace:
    case AT_SetStatistics:
    case AT_SetOptions:
    case AT_ResetOptions:
    case AT_SetStorage:
    case AT_SetCompression:
    case AT_ClusterOn:
    case AT_DropCluster:
    case AT_SetRelOptions:
    case AT_ResetRelOptions:
    case AT_ReplicaIdentity:
      return true;
    default:
      return false;
  }
}

const char *EffectiveMethod(const char *access_method) {
  return access_method != nullptr ? access_method : default_table_access_method;
}

namespace {

[[noreturn]] void Refuse(const char *message, const char *hint) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s", message), errhint("%s", hint)));
  pg_unreachable();
}

bool AllowedOnStream(const AlterTableCmd *command) {
  switch (command->subtype) {
    case AT_EnableRowSecurity:
    case AT_DisableRowSecurity:
    case AT_ForceRowSecurity:
    case AT_NoForceRowSecurity:
    case AT_SetAccessMethod:
      return true;
    case AT_EnableRule:
    case AT_EnableAlwaysRule:
    case AT_EnableReplicaRule:
    case AT_DisableRule:
      return strcmp(command->name, kDefinitionRule) != 0;
    default:
      return IsAboutStorage(command->subtype);
  }
}

// Rows that a fold replaces keep nobody's promise: neither a parent's nor a referencing table's.
void CheckReference(const RangeVar *referenced) {
  if (referenced != nullptr && OidIsValid(StreamNamed(referenced)))
    Refuse("foreign keys cannot reference a stream table", "Let the constraint reference a source of the stream table.");
}

[[noreturn]] void RefuseInTree() {
  Refuse("stream tables cannot be part of inheritance or partition trees",
         "Use a view with UNION ALL, or put the tree under the query of the stream table.");
}

void CheckRelative(const RangeVar *relative) {
  if (OidIsValid(StreamNamed(relative)))
    RefuseInTree();
}

void CheckConstraints(const List *constraints) {
  ListCell *cell;
  foreach (cell, constraints) {
    const Node *node = static_cast<Node *>(lfirst(cell));
    if (IsA(node, Constraint)) CheckReference(reinterpret_cast<const Constraint *>(node)->pktable);
    if (IsA(node, ColumnDef)) CheckConstraints(reinterpret_cast<const ColumnDef *>(node)->constraints);
  }
}

// What another table asks of a stream table.
void CheckDemands(const AlterTableCmd *command) {
  if (command->def == nullptr) return;
  switch (command->subtype) {
    case AT_AddConstraint:
    case AT_AddColumn:
      CheckConstraints(list_make1(command->def));
      break;
    case AT_AddInherit:
      CheckRelative(castNode(RangeVar, command->def));
      break;
    case AT_AttachPartition:
      CheckRelative(castNode(PartitionCmd, command->def)->name);
      break;
    default:
      break;
  }
}

}  // namespace

bool CheckAlterTable(const AlterTableStmt *statement, Oid *leaving) {
  ListCell *cell;
  *leaving = InvalidOid;
  if (statement->objtype != OBJECT_TABLE && statement->objtype != OBJECT_FOREIGN_TABLE) return false;
  const Oid relid = RangeVarGetRelid(statement->relation, NoLock, true);
  if (!OidIsValid(relid)) return false;
  const bool is_stream = OidIsValid(StreamNamed(statement->relation));
  foreach (cell, statement->cmds) {
    const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);
    const bool sets_method = command->subtype == AT_SetAccessMethod;
    if (!is_stream && sets_method && NamesStreamMethod(EffectiveMethod(command->name)))
      Refuse("cannot turn a table into a stream table",
             "A stream table is created from a query: CREATE TABLE ... USING pgstream AS SELECT ...");
    if (!is_stream) CheckDemands(command);
    if (is_stream && !AllowedOnStream(command))
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                      errmsg("cannot change the definition of stream table \"%s\"", statement->relation->relname),
                      errdetail("Its columns and constraints follow from its query."),
                      errhint("Change the query with pgstream.alter_stream_table(), or drop the stream table and create it anew.")));
    // Core copies what its scan returns, which is the present content; afterwards there is nothing left to maintain.
    if (is_stream && sets_method && !NamesStreamMethod(EffectiveMethod(command->name))) *leaving = relid;
  }
  return !is_stream;
}

void CheckCreateTable(const CreateStmt *statement) {
  ListCell *cell;
  if (NamesStreamMethod(statement->accessMethod))
    Refuse("a stream table needs a query", "Use CREATE TABLE ... USING pgstream AS SELECT ...");
  foreach (cell, statement->inhRelations) CheckRelative(lfirst_node(RangeVar, cell));
  CheckConstraints(statement->tableElts);
  CheckConstraints(statement->constraints);
}

void CheckSetSchema(const AlterObjectSchemaStmt *statement) {
  if (statement->objectType == OBJECT_TABLE && strcmp(statement->newschema, "pg_catalog") == 0 &&
      OidIsValid(StreamNamed(statement->relation)))
    Refuse("stream tables cannot be moved into the system catalog schema", "No dump would have it. Choose another schema.");
}

bool CopiesKeyIndex(const IndexStmt *statement) {
  if (list_length(statement->indexParams) != 1 || OidIsValid(StreamNamed(statement->relation))) return false;
  const Node *expression = linitial_node(IndexElem, statement->indexParams)->expr;
  return expression != nullptr && IsA(expression, FuncExpr) &&
         IsKeyFunction(reinterpret_cast<const FuncExpr *>(expression)->funcid);
}

}  // namespace pgstream
