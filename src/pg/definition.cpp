// The definition as a rule; see definition.hpp.
#include "pg/definition.hpp"

extern "C" {
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "parser/parse_utilcmd.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteSupport.h"
}

namespace pgstream {

// From here to the matching AtEOXact_GUC queries are deparsed to text that reads back alike: with only the system schema in
// the search path, names are qualified; constants are written without loss and in the one style that is never ambiguous.
static int BeginExactDeparsing() {
  static const char *const settings[][2] = {{"search_path", "pg_catalog, pg_temp"},
                                            {"extra_float_digits", "3"},
                                            {"DateStyle", "ISO"},
                                            {"IntervalStyle", "postgres"},
                                            {"array_nulls", "on"}};
  const int level = NewGUCNestLevel();
  for (const auto &setting : settings)
    (void)set_config_option(setting[0], setting[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  return level;
}

// In a rule, OLD and NEW are relations of their own: what the query calls so needs another name there.
static Query *WithoutRuleNames(const Query *query) {
  Query *copy = static_cast<Query *>(copyObjectImpl(query));
  ListCell *cell;
  foreach (cell, copy->rtable) {
    RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);
    const char *name = entry->eref->aliasname;
    if (strcmp(name, "old") != 0 && strcmp(name, "new") != 0) continue;
    entry->eref->aliasname = psprintf("%s_source", name);
    if (entry->alias == nullptr) entry->alias = makeAlias(entry->eref->aliasname, NIL);
    entry->alias->aliasname = entry->eref->aliasname;
  }
  return copy;
}

char *DeparseQuery(const Query *query, bool pretty) {
  const int level = BeginExactDeparsing();
  char *text = pg_get_querydef(static_cast<Query *>(copyObjectImpl(query)), pretty);
  AtEOXact_GUC(false, level);
  return text;
}

// The range table entries OLD and NEW of a rule on rel, in a query that does nothing.
static Query *OldAndNew(Relation rel) {
  RuleStmt *statement = makeNode(RuleStmt);
  statement->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)), pstrdup(RelationGetRelationName(rel)), -1);
  statement->event = CMD_INSERT;
  statement->instead = true;
  statement->actions = list_make1(makeNode(SelectStmt));
  List *actions;
  Node *condition;
  transformRuleStmt(statement, "", &actions, &condition);
  return linitial_node(Query, actions);
}

// Creates the rule, or replaces its query: then it stays disabled. The analysed query itself is stored, as a view's is: read
// again from its text it could have other operators, as CASE, NULLIF, IS DISTINCT FROM and JOIN ... USING do not name theirs.
static void DefineQueryRule(Relation rel, const Query *query, bool replace) {
  Query *action = WithoutRuleNames(query);
  action->stmt_location = -1;
  action->stmt_len = 0;
  OffsetVarNodes(reinterpret_cast<Node *>(action), 2, 0);
  compat::PrependRangeTable(action, OldAndNew(rel));
  DefineQueryRewrite(kDefinitionRule, RelationGetRelid(rel), nullptr, CMD_INSERT, true, replace, list_make1(action));
  CommandCounterIncrement();
}

void StoreDefinition(Relation rel, const Query *query) {
  DefineQueryRule(rel, query, false);
  EnableDisableRule(rel, kDefinitionRule, RULE_DISABLED);
  MakeDefinitionInternal(rel);
}

void ReplaceDefinition(Relation rel, const Query *query) {
  DefineQueryRule(rel, query, true);
  MakeDefinitionInternal(rel);
}

void MakeDefinitionInternal(Relation rel) {
  const Oid relid = RelationGetRelid(rel);
  ObjectAddress rule, table;
  ObjectAddressSet(rule, RewriteRelationId, get_rewrite_oid(relid, kDefinitionRule, false));
  ObjectAddressSet(table, RelationRelationId, relid);
  deleteDependencyRecordsForSpecific(RewriteRelationId, rule.objectId, DEPENDENCY_AUTO, RelationRelationId, relid);
  recordDependencyOn(&rule, &table, DEPENDENCY_INTERNAL);
  CommandCounterIncrement();
}

// The rule's action carries range table entries for OLD and NEW in front: takes them off again.
static Query *WithoutOldAndNew(const Query *action) {
  Query *query = static_cast<Query *>(copyObjectImpl(action));
  OffsetVarNodes(reinterpret_cast<Node *>(query), -2, 0);
  query->rtable = list_delete_first_n(query->rtable, 2);
  return query;
}

// The table can be one that CREATE TABLE ... AS made, and no other table's DDL changes its columns: rows are formed by its
// descriptor, and nothing but the rule's dependencies keeps it and the query together.
static bool CanBeStream(Relation rel) {
  const Form_pg_class form = rel->rd_rel;
  if (form->relkind != RELKIND_RELATION || form->relpersistence != RELPERSISTENCE_PERMANENT || form->relispartition ||
      form->relhassubclass || OidIsValid(form->reloftype) || has_superclass(RelationGetRelid(rel)))
    return false;
  for (int i = 0; i < RelationGetNumberOfAttributes(rel); ++i) {
    const Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), i);
    if (column->attisdropped || column->attnotnull || column->attgenerated != '\0' || column->attidentity != '\0') return false;
  }
  return true;
}

static bool HasColumnsOf(Relation rel, const Query *query) {
  int column = 0;
  ListCell *cell;
  foreach (cell, query->targetList) {
    const auto *target = lfirst_node(TargetEntry, cell);
    if (target->resjunk) continue;
    if (column == RelationGetNumberOfAttributes(rel) ||
        TupleDescAttr(RelationGetDescr(rel), column)->atttypid != exprType(reinterpret_cast<Node *>(target->expr)))
      return false;
    ++column;
  }
  return column == RelationGetNumberOfAttributes(rel);
}

// Whoever owns the table can write such a rule by hand, with whatever rules may contain: it is the definition only where it
// might have been stored by StoreDefinition.
static bool IsDefinition(Relation rel, const RewriteRule *rule) {
  if (rule->event != CMD_INSERT || !rule->isInstead || rule->enabled != RULE_DISABLED) return false;
  if (list_length(rule->actions) != 1 || rule->ruleId != get_rewrite_oid(RelationGetRelid(rel), kDefinitionRule, true))
    return false;
  auto *action = linitial_node(Query, rule->actions);
  return action->commandType == CMD_SELECT && !action->hasModifyingCTE && action->rowMarks == NIL &&
         !rangeTableEntry_used(reinterpret_cast<Node *>(action), PRS2_OLD_VARNO, 0) &&
         !rangeTableEntry_used(reinterpret_cast<Node *>(action), PRS2_NEW_VARNO, 0) && HasColumnsOf(rel, action) &&
         CanBeStream(rel);
}

Query *LoadDefinition(Relation rel) {
  if (rel->rd_rules == nullptr) return nullptr;
  for (int i = 0; i < rel->rd_rules->numLocks; ++i) {
    const RewriteRule *rule = rel->rd_rules->rules[i];
    if (IsDefinition(rel, rule)) return WithoutOldAndNew(linitial_node(Query, rule->actions));
  }
  return nullptr;
}

}  // namespace pgstream
