// Dumps being restored; see restore.hpp.
#include "api/restore.hpp"

#include "api/drop.hpp"
#include "api/replication.hpp"
#include "api/stream_ddl.hpp"
#include "pg/catalog.hpp"
#include "pg/definition.hpp"
#include "pg/definition_options.hpp"
#include "pg/dumped_rows.hpp"
#include "pg/restoring.hpp"
#include "pg/stream.hpp"

namespace pgstream {

namespace {

// The server takes no condition on a rule whose action is a set operation, although such a rule may have one: the options
// are put into it when it is there.
bool CarriesOptionsOfSetOperation(const RuleStmt *rule) {
  if (strcmp(rule->rulename, kDefinitionRule) != 0 || rule->event != CMD_INSERT || list_length(rule->actions) != 1) return false;
  if (rule->whereClause == nullptr || !IsA(rule->whereClause, FuncCall)) return false;
  const Node *action = static_cast<Node *>(linitial(rule->actions));
  return IsA(action, SelectStmt) && reinterpret_cast<const SelectStmt *>(action)->op != SETOP_NONE;
}

void WithoutCondition(RestoreStep *step) {
  auto *rule = static_cast<RuleStmt *>(copyObjectImpl(step->statement));
  const Oid relid = RangeVarGetRelid(rule->relation, NoLock, true);
  if (!OidIsValid(relid)) return;
  step->sequel = RestoreSequel::StoreOptions;
  step->table = relid;
  step->condition = rule->whereClause;
  rule->whereClause = nullptr;
  step->statement = reinterpret_cast<Node *>(rule);
}

// --clean drops the rules, then what they depend on, then the tables. Without its definition the table has no content: should
// it stay, because something depends on it, then the dump's rows come into an empty one.
void DropDefinition(Oid relid) {
  if (!compat::OwnsRelation(relid, GetUserId())) aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
  Relation rel = table_open(relid, AccessExclusiveLock);
  CheckTableNotInUse(rel, "DROP RULE");
  const char *schema = get_namespace_name(RelationGetNamespace(rel)), *name = RelationGetRelationName(rel);
  auto *truncate = makeNode(TruncateStmt);
  truncate->relations = list_make1(makeRangeVar(pstrdup(schema), pstrdup(name), -1));
  table_close(rel, NoLock);
  DisbandStream(relid);
  ExecuteTruncate(truncate);
  CommandCounterIncrement();
}

// Takes the defining rules out of a DROP RULE.
void DropDefinitions(RestoreStep *step) {
  auto *drop = static_cast<DropStmt *>(copyObjectImpl(step->statement));
  List *others = NIL;
  ListCell *cell;
  foreach (cell, drop->objects) {
    List *name = lfirst_node(List, cell);
    const Oid relid = list_length(name) > 1 && strcmp(strVal(llast(name)), kDefinitionRule) == 0
                          ? StreamNamed(makeRangeVarFromNameList(list_truncate(list_copy(name), list_length(name) - 1)))
                          : InvalidOid;
    if (OidIsValid(relid))
      DropDefinition(relid);
    else
      others = lappend(others, name);
  }
  drop->objects = others;
  step->statement = others != NIL ? reinterpret_cast<Node *>(drop) : nullptr;
}

// Rows of a stream table follow from its query and are read over. One that holds what it had takes them when it comes from
// the same dump's --schema-only.
void CopyRows(RestoreStep *step) {
  const auto *copy = reinterpret_cast<CopyStmt *>(step->statement);
  const Oid table = copy->is_from && copy->relation != nullptr ? RangeVarGetRelid(copy->relation, NoLock, true) : InvalidOid;
  if (!OidIsValid(table) || !IsStreamRelid(table)) return;
  const Oid relid = StreamNamed(copy->relation);
  if (!OidIsValid(relid)) {  // its definition comes later
    step->sequel = RestoreSequel::NoteRows;
    step->table = table;
    return;
  }
  const Stream *stream = LookupStream(relid);
  if (TakesDumpedRows(stream) && !stream->populated) {
    step->sequel = RestoreSequel::TakeRows;
    step->table = relid;
    return;
  }
  auto *nothing = makeNode(A_Const);
  nothing->val.boolval.type = T_Boolean;
  nothing->val.boolval.boolval = false;
  auto *changed = static_cast<CopyStmt *>(copyObjectImpl(copy));
  changed->whereClause = reinterpret_cast<Node *>(nothing);
  step->statement = reinterpret_cast<Node *>(changed);
}

bool IsNamed(const AlterTableCmd *command, const char *name) { return command->name != nullptr && strcmp(command->name, name) == 0; }

void LookAtAlterTable(RestoreStep *step) {
  const auto *alter = reinterpret_cast<AlterTableStmt *>(step->statement);
  if (alter->objtype != OBJECT_TABLE || list_length(alter->cmds) != 1) return;
  const auto *command = linitial_node(AlterTableCmd, alter->cmds);
  switch (command->subtype) {
    case AT_DisableTrigAll:  // --disable-triggers means those of users
    case AT_EnableTrigAll:
      if (RestoringDump() && OidIsValid(StreamNamed(alter->relation))) step->statement = nullptr;
      break;
    case AT_DisableRule:  // the last that a dump does to a definition
      step->table = RangeVarGetRelid(alter->relation, NoLock, true);
      if (IsNamed(command, kDefinitionRule) && OidIsValid(step->table) && IsStreamRelid(step->table))
        step->sequel = RestoreSequel::SettleDefinition;
      break;
    case AT_EnableReplicaTrig:  // the last that pg_upgrade does to a catalog of ours
      step->table = RangeVarGetRelid(alter->relation, NoLock, true);
      if (IsBinaryUpgrade && IsNamed(command, "ignore_replicated") && OidIsValid(step->table) &&
          get_rel_namespace(step->table) == get_namespace_oid(kSchema, true))
        step->sequel = RestoreSequel::HideCatalog;
      break;
    default:
      break;
  }
}

void TakeEmptiness(Oid relid) {
  Relation rel = table_open(relid, NoLock);
  if (ContentIsSaidEmpty(rel)) MarkRowsDumped(rel);
  table_close(rel, NoLock);
}

void SettleDefinition(Oid relid) {
  Relation rel = table_open(relid, NoLock);
  if (LoadDefinition(rel) != nullptr) {
    MakeDefinitionInternal(rel);
    HideFromReplication(rel);
    SettleDumpedRows(rel);
  }
  table_close(rel, NoLock);
}

}  // namespace

RestoreStep BeginRestoreStep(Node *statement) {
  RestoreStep step = {statement};
  switch (nodeTag(statement)) {
    case T_RuleStmt:
      if (CarriesOptionsOfSetOperation(reinterpret_cast<RuleStmt *>(statement))) WithoutCondition(&step);
      break;
    case T_AlterTableStmt:
      LookAtAlterTable(&step);
      break;
    case T_DropStmt:
      if (RestoringDump() && reinterpret_cast<DropStmt *>(statement)->removeType == OBJECT_RULE) DropDefinitions(&step);
      break;
    case T_CopyStmt:
      if (RestoringDump()) CopyRows(&step);
      break;
    default:
      break;
  }
  return step;
}

void FinishRestoreStep(const RestoreStep *step) {
  if (step->sequel == RestoreSequel::Nothing) return;
  CommandCounterIncrement();
  switch (step->sequel) {
    case RestoreSequel::StoreOptions: {
      Relation rel = table_open(step->table, ShareUpdateExclusiveLock);
      StoreOptionsCondition(rel, step->condition);
      table_close(rel, NoLock);
      break;
    }
    case RestoreSequel::NoteRows: {
      Relation rel = table_open(step->table, NoLock);
      MarkRowsDumped(rel);
      table_close(rel, NoLock);
      break;
    }
    case RestoreSequel::TakeRows:
      TakeEmptiness(step->table);
      InvalidateStream(step->table);  // it may be read now
      break;
    case RestoreSequel::SettleDefinition:
      SettleDefinition(step->table);
      break;
    case RestoreSequel::HideCatalog:
      HideCatalogFromReplication(step->table);
      break;
    case RestoreSequel::Nothing:
      break;
  }
}

}  // namespace pgstream
