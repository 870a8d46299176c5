// The definition as a rule; see definition.hpp.
#include "pg/definition.hpp"

extern "C" {
#include "catalog/pg_depend.h"
#include "lib/stringinfo.h"
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

// Creates the rule, or replaces its query: then it stays disabled.
static void DefineQueryRule(Relation rel, const Query *query, bool replace) {
  const int level = BeginExactDeparsing();
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "CREATE %sRULE %s AS ON INSERT TO %s.%s DO INSTEAD %s", replace ? "OR REPLACE " : "",
                   kDefinitionRule,
                   quote_identifier(get_namespace_name(RelationGetNamespace(rel))),
                   quote_identifier(RelationGetRelationName(rel)),
                   pg_get_querydef(WithoutRuleNames(query), false));
  List *parsed = raw_parser(text.data, RAW_PARSE_DEFAULT);
  RawStmt *raw = linitial_node(RawStmt, parsed);
  DefineRule(castNode(RuleStmt, raw->stmt), text.data);
  AtEOXact_GUC(false, level);
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

Query *LoadDefinition(Relation rel) {
  if (rel->rd_rules == nullptr) return nullptr;
  for (int i = 0; i < rel->rd_rules->numLocks; ++i) {
    const RewriteRule *rule = rel->rd_rules->rules[i];
    if (rule->event != CMD_INSERT || !rule->isInstead || rule->enabled != RULE_DISABLED) continue;
    if (list_length(rule->actions) != 1) continue;
    const Query *action = linitial_node(Query, rule->actions);
    if (action->commandType == CMD_SELECT) return WithoutOldAndNew(action);
  }
  return nullptr;
}

}  // namespace pgstream
