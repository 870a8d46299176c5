// Options in the rule; see definition_options.hpp.
#include "pg/definition_options.hpp"

#include "pg/catalog.hpp"
#include "pg/definition.hpp"

extern "C" {
#include "catalog/pg_rewrite.h"
#include "catalog/dependency.h"
#include "parser/parse_clause.h"
#include "parser/parse_func.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteDefine.h"
#include "rewrite/rewriteSupport.h"
#include "utils/array.h"
#include "utils/syscache.h"
}

namespace pgstream {

static constexpr const char *kOptionsFunction = "stream_options";

static Oid OptionsFunction() {
  const Oid types[] = {TEXTARRAYOID};
  List *name = list_make2(makeString(pstrdup(kSchema)), makeString(pstrdup(kOptionsFunction)));
  return LookupFuncName(name, lengthof(types), types, false);
}

static Expr *OptionsCondition(Oid function, const DefinitionOption *options, int n) {
  Datum *texts = static_cast<Datum *>(palloc(sizeof(Datum) * Max(n, 1)));
  for (int i = 0; i < n; i++) texts[i] = CStringGetTextDatum(psprintf("%s=%s", options[i].name, options[i].value));
  const Datum array = PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
  Const *argument = makeConst(TEXTARRAYOID, -1, DEFAULT_COLLATION_OID, -1, array, false, false);
  FuncExpr *call = makeFuncExpr(function, BOOLOID, list_make1(argument), InvalidOid, DEFAULT_COLLATION_OID, COERCE_EXPLICIT_CALL);
  call->funcvariadic = true;
  return reinterpret_cast<Expr *>(call);
}

void StoreDefinitionOptions(Relation rel, const DefinitionOption *options, int n) {
  const Oid relid = RelationGetRelid(rel), function = OptionsFunction();
  Relation rewrite = table_open(RewriteRelationId, RowExclusiveLock);
  HeapTuple tuple = SearchSysCacheCopy2(RULERELNAME, ObjectIdGetDatum(relid), CStringGetDatum(kDefinitionRule));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "definition of stream table %u not found", relid);
  Datum values[Natts_pg_rewrite] = {};
  bool nulls[Natts_pg_rewrite] = {}, replace[Natts_pg_rewrite] = {};
  values[Anum_pg_rewrite_ev_qual - 1] = CStringGetTextDatum(nodeToString(OptionsCondition(function, options, n)));
  replace[Anum_pg_rewrite_ev_qual - 1] = true;
  HeapTuple changed = heap_modify_tuple(tuple, RelationGetDescr(rewrite), values, nulls, replace);
  CatalogTupleUpdate(rewrite, &tuple->t_self, changed);
  table_close(rewrite, RowExclusiveLock);

  ObjectAddress rule, called;
  ObjectAddressSet(rule, RewriteRelationId, reinterpret_cast<Form_pg_rewrite>(GETSTRUCT(tuple))->oid);
  ObjectAddressSet(called, ProcedureRelationId, function);
  deleteDependencyRecordsForSpecific(RewriteRelationId, rule.objectId, DEPENDENCY_NORMAL, ProcedureRelationId, function);
  recordDependencyOn(&rule, &called, DEPENDENCY_NORMAL);
  CacheInvalidateRelcache(rel);
  CommandCounterIncrement();
}

// The text array of a call of the function, however the parser left it: a constant, or constants gathered.
static bool CollectConstants(Node *node, void *argument) {
  auto *constants = static_cast<List **>(argument);
  if (node == nullptr) return false;
  if (IsA(node, Const)) *constants = lappend(*constants, node);
  return compat::WalkExpression(node, CollectConstants, constants);
}

static int Split(Datum pair, DefinitionOption *option) {
  char *name = TextDatumGetCString(pair);
  char *equals = strchr(name, '=');
  if (equals == nullptr) return 0;
  *equals = '\0';
  *option = {name, equals + 1};
  return 1;
}

static int OptionsIn(Node *condition, DefinitionOption **options) {
  List *constants = NIL;
  CollectConstants(condition, &constants);
  int count = 0;
  *options = nullptr;
  ListCell *cell;
  foreach (cell, constants) {
    const auto *constant = lfirst_node(Const, cell);
    Datum *texts = const_cast<Datum *>(&constant->constvalue);
    bool *nulls = nullptr;
    int n = 1;
    if (constant->constisnull) continue;
    if (constant->consttype == TEXTARRAYOID)
      deconstruct_array(DatumGetArrayTypeP(constant->constvalue), TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &n);
    else if (constant->consttype != TEXTOID)
      continue;
    auto *grown = static_cast<DefinitionOption *>(palloc(sizeof(DefinitionOption) * (count + Max(n, 1))));
    for (int i = 0; i < count; i++) grown[i] = (*options)[i];
    *options = grown;
    for (int i = 0; i < n; i++)
      if (nulls == nullptr || !nulls[i]) count += Split(texts[i], &grown[count]);
  }
  return count;
}

int LoadDefinitionOptions(Relation rel, DefinitionOption **options) {
  Node *condition = nullptr;
  const RuleLock *rules = rel->rd_rules;
  const Oid rule = get_rewrite_oid(RelationGetRelid(rel), kDefinitionRule, true);
  for (int i = 0; rules != nullptr && i < rules->numLocks && condition == nullptr; i++) {
    if (rules->rules[i]->ruleId == rule) condition = rules->rules[i]->qual;
  }
  return OptionsIn(condition, options);
}

void StoreOptionsCondition(Relation rel, Node *condition) {
  ParseState *state = make_parsestate(nullptr);
  DefinitionOption *options;
  const int n = OptionsIn(transformWhereClause(state, condition, EXPR_KIND_WHERE, "WHERE"), &options);
  free_parsestate(state);
  StoreDefinitionOptions(rel, options, n);
}

}  // namespace pgstream
