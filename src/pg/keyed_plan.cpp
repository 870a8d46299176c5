// Finding the keys of a query: see keyed_plan.hpp.
#include "pg/keyed_plan.hpp"

#include "pg/group_key.hpp"
#include "pg/query_shape.hpp"
#include "pg/tree.hpp"

namespace pgstream {
namespace {

// An output column of one level by which the level's result can be restricted.
struct LevelKey {
  AttrNumber column;
  Node *expression;       // over the innermost table's own variables
  Oid equality_operator;  // of the clauses that keep the keys apart; InvalidOid: no clause was asked yet, any does
};

// --- What a level may not have ------------------------------------------------------------------------------------

const char *WhyLevelHasNoKey(const Query *query) {
  if (query->setOperations != nullptr)
    return "it has a set operation";
  if (query->cteList != NIL)
    return "it has a WITH clause";
  if (query->groupingSets != NIL)
    return "it has grouping sets";
  if (query->limitCount != nullptr || query->limitOffset != nullptr)
    return "it has LIMIT or OFFSET";
  if (query->rowMarks != NIL)
    return "it locks rows";
  if (query->jointree == nullptr || query->jointree->fromlist == NIL)
    return "it reads no table";
  if (SingleFromEntry(query) == 0)
    return "it has a join";
  if (SubqueryReadsTable(query))
    return "it has a subquery in an expression";
  return nullptr;
}

const char *WhyNoKeyShown(const Query *query) {
  if (query->hasWindowFuncs)
    return "its window functions have no PARTITION BY key in common that the output shows";
  if ((query->hasAggs || query->havingQual != nullptr) && query->groupClause == NIL)
    return "it aggregates all rows into one";
  if (query->groupClause != NIL)
    return "a group key is not in the output";
  if (query->hasDistinctOn)
    return "no key of DISTINCT ON is in the output";
  return "its output shows no key";
}

// --- The clauses that keep keys apart ------------------------------------------------------------------------------

bool CollectWindows(Node *node, void *context) {
  Bitmapset **const windows = static_cast<Bitmapset **>(context);
  if (node == nullptr)
    return false;
  if (IsA(node, WindowFunc))
    *windows = bms_add_member(*windows, static_cast<int>(reinterpret_cast<WindowFunc *>(node)->winref));
  return compat::WalkExpression(node, CollectWindows, context);
}

// Each as a list of SortGroupClause; an empty one keeps nothing apart, so that there is no key.
List *SeparatingClauses(const Query *query) {
  List *clauses = NIL;
  if (query->groupClause != NIL || query->hasAggs || query->havingQual != nullptr)
    clauses = lappend(clauses, query->groupClause);
  if (query->distinctClause != NIL)
    clauses = lappend(clauses, query->distinctClause);
  if (!query->hasWindowFuncs)
    return clauses;
  Bitmapset *used = nullptr;
  CollectWindows(reinterpret_cast<Node *>(query->targetList), &used);
  ListCell *cell;
  foreach (cell, query->windowClause) {
    const WindowClause *const window = lfirst_node(WindowClause, cell);
    if (bms_is_member(static_cast<int>(window->winref), used))
      clauses = lappend(clauses, window->partitionClause);
  }
  return clauses;
}

// The operator by which a clause compares the expression, InvalidOid when it does not.
Oid ComparedBy(const List *clause, const Query *query, Node *expression) {
  ListCell *cell;
  foreach (cell, clause) {
    SortGroupClause *const item = lfirst_node(SortGroupClause, cell);
    if (equal(get_sortgroupclause_expr(item, query->targetList), expression))
      return item->eqop;
  }
  return InvalidOid;
}

// --- Level by level ------------------------------------------------------------------------------------------------

bool ContainsSubLink(Node *node, void *context) {
  if (node == nullptr)
    return false;
  if (IsA(node, SubLink))
    return true;
  return compat::WalkExpression(node, ContainsSubLink, context);
}

// A column of a level in terms of the table: any expression over rows in the innermost level, a key of the level below,
// unchanged, in the others. False when it is none.
bool InnerKey(bool innermost, const List *below, Node *expression, LevelKey *key) {
  if (innermost) {
    if (contain_aggs_of_level(expression, 0) || contain_window_function(expression) || expression_returns_set(expression) ||
        ContainsSubLink(expression, nullptr) || !contain_vars_of_level(expression, 0))
      return false;
    key->expression = expression;
    key->equality_operator = InvalidOid;
    return true;
  }
  if (!IsA(expression, Var) || reinterpret_cast<Var *>(expression)->varlevelsup != 0)
    return false;
  ListCell *cell;
  foreach (cell, below) {
    const LevelKey *const inner = static_cast<LevelKey *>(lfirst(cell));
    if (inner->column != reinterpret_cast<Var *>(expression)->varattno)
      continue;
    key->expression = inner->expression;
    key->equality_operator = inner->equality_operator;
    return true;
  }
  return false;
}

// The keys of a level (list of LevelKey *), from those of the level below.
List *KeysOfLevel(const Query *query, bool innermost, const List *below) {
  List *const clauses = SeparatingClauses(query);
  List *keys = NIL;
  ListCell *cell;
  foreach (cell, query->targetList) {
    const TargetEntry *const entry = lfirst_node(TargetEntry, cell);
    Node *const expression = reinterpret_cast<Node *>(entry->expr);
    LevelKey key = {entry->resno, nullptr, InvalidOid};
    if (entry->resjunk || !InnerKey(innermost, below, expression, &key))
      continue;
    bool apart = true;
    ListCell *clause;
    foreach (clause, clauses) {
      const Oid by = ComparedBy(static_cast<List *>(lfirst(clause)), query, expression);
      if (!OidIsValid(by) || (OidIsValid(key.equality_operator) && key.equality_operator != by)) {
        apart = false;
        break;
      }
      key.equality_operator = by;
    }
    if (!apart)
      continue;
    LevelKey *const kept = static_cast<LevelKey *>(palloc(sizeof(LevelKey)));
    *kept = key;
    keys = lappend(keys, kept);
  }
  return keys;
}

// Conditions of the innermost query that can be evaluated without a plan of their own.
List *EvaluableQuals(const Query *query, bool *all) {
  List *quals = NIL;
  ListCell *cell;
  *all = true;
  foreach (cell, Conditions(query)) {
    Node *const qual = static_cast<Node *>(lfirst(cell));
    if (ContainsSubLink(qual, nullptr))
      *all = false;
    else
      quals = lappend(quals, qual);
  }
  return quals;
}

void AddPlanKey(DeltaPlan *plan, const LevelKey *key, int varno) {
  Oid equality_operator = key->equality_operator;
  if (!OidIsValid(equality_operator))
    equality_operator = lookup_type_cache(exprType(key->expression), TYPECACHE_EQ_OPR)->eq_opr;
  if (!OidIsValid(equality_operator))
    return;
  Node *const expression = CopyNode(key->expression);
  if (varno != 1)
    ChangeVarNodes(expression, varno, 1, 0);
  const GroupKey described = DescribeKey(expression, equality_operator);
  // A column shown twice is one key.
  for (int i = 0; i < plan->nkeys; i++)
    if (plan->keys[i].equality_operator == equality_operator && equal(plan->keys[i].expression, described.expression))
      return;
  plan->keys[plan->nkeys] = described;
  plan->keys[plan->nkeys++].output_column = key->column;
}

}  // namespace

const char *PlanKeyed(DeltaPlan *plan) {
  if (plan->nsources != 1)
    return plan->nsources == 0 ? "it reads no table" : "it reads several tables";
  List *const levels = QueryLevels(plan->flat);
  const Query *const innermost = static_cast<Query *>(llast(levels));
  ListCell *cell;
  foreach (cell, levels)
    if (const char *const why = WhyLevelHasNoKey(static_cast<Query *>(lfirst(cell))))
      return why;
  const int varno = SingleFromEntry(innermost);
  const RangeTblEntry *const source = rt_fetch(varno, innermost->rtable);
  if (source->rtekind != RTE_RELATION ||
      (source->relkind != RELKIND_RELATION && source->relkind != RELKIND_PARTITIONED_TABLE))
    return "it reads something other than a table";

  List *keys = NIL;
  for (int level = list_length(levels) - 1; level >= 0; level--) {
    const Query *const query = static_cast<Query *>(list_nth(levels, level));
    keys = KeysOfLevel(query, query == innermost, keys);
    if (keys == NIL)
      return WhyNoKeyShown(query);
  }
  plan->keys = static_cast<GroupKey *>(palloc(sizeof(GroupKey) * list_length(keys)));
  foreach (cell, keys)
    AddPlanKey(plan, static_cast<LevelKey *>(lfirst(cell)), varno);
  if (plan->nkeys == 0)
    return "no key can be compared";

  bool all;
  List *const quals = CopyNode(EvaluableQuals(innermost, &all));
  for (int i = 0; i < plan->nkeys && !all; i++)
    // The condition may be what keeps the expression from failing.
    if (!IsA(plan->keys[i].expression, Var))
      return "it has a subquery in a condition beside a computed key";
  if (varno != 1)
    ChangeVarNodes(reinterpret_cast<Node *>(quals), varno, 1, 0);
  plan->quals = MakeExecutable(quals);
  return ChooseIndexColumns(plan) ? nullptr : "no key can be hashed";
}

}  // namespace pgstream
