// Expanding and merging queries: see query_shape.hpp.
//
// An entry of FROM that was merged stays in the range table, where nothing refers to it any more: its permissions are
// checked there, as those of a view that the server's own planner has merged. The conditions of a security-barrier view
// become such of the table that the planner puts before all others (securityQuals).
#include "pg/query_shape.hpp"

#include "pg/tree.hpp"

namespace pgstream {
namespace {

RangeTblEntry *SingleEntry(const Query *query) {
  const int varno = SingleFromEntry(query);
  return varno == 0 ? nullptr : rt_fetch(varno, query->rtable);
}

// --- WITH --------------------------------------------------------------------------------------------------------

void DropUnusedWith(Query *query) {
  ListCell *cell;
  foreach (cell, query->cteList)
    if (lfirst_node(CommonTableExpr, cell)->cterefcount == 0)
      query->cteList = foreach_delete_current(query->cteList, cell);
}

// Turns a reference to a WITH query that nobody else uses into a subquery. parents: the queries around, innermost first.
void InlineWith(Query *query, List *parents) {
  RangeTblEntry *const entry = SingleEntry(query);
  if (entry == nullptr || entry->rtekind != RTE_CTE || entry->self_reference)
    return;
  if (static_cast<int>(entry->ctelevelsup) > list_length(parents))
    return;
  Query *const home = entry->ctelevelsup == 0
                          ? query
                          : static_cast<Query *>(list_nth(parents, static_cast<int>(entry->ctelevelsup) - 1));
  ListCell *cell;
  foreach (cell, home->cteList) {
    CommonTableExpr *const with = lfirst_node(CommonTableExpr, cell);
    if (strcmp(with->ctename, entry->ctename) != 0)
      continue;
    if (with->cterefcount != 1 || with->cterecursive || !IsA(with->ctequery, Query) ||
        reinterpret_cast<Query *>(with->ctequery)->commandType != CMD_SELECT)
      return;
    Query *const subquery = CopyNode(reinterpret_cast<Query *>(with->ctequery));
    if (entry->ctelevelsup > 0)
      IncrementVarSublevelsUp(reinterpret_cast<Node *>(subquery), static_cast<int>(entry->ctelevelsup), 1);
    entry->rtekind = RTE_SUBQUERY;
    entry->subquery = subquery;
    entry->security_barrier = false;
    entry->ctename = nullptr;
    entry->ctelevelsup = 0;
    entry->coltypes = entry->coltypmods = entry->colcollations = NIL;
    home->cteList = foreach_delete_current(home->cteList, cell);
    return;
  }
}

// --- Subqueries in FROM --------------------------------------------------------------------------------------------

bool IsWholeRow(Node *node, void *context) {
  if (node == nullptr)
    return false;
  if (IsA(node, Var)) {
    const Var *const var = reinterpret_cast<Var *>(node);
    return var->varlevelsup == 0 && var->varno == *static_cast<int *>(context) && var->varattno <= 0;
  }
  return compat::WalkExpression(node, IsWholeRow, context);
}

// Filter and projection of one thing, nothing else.
bool IsSimple(const Query *query) {
  return query->setOperations == nullptr && query->cteList == NIL && !query->hasSubLinks && !query->hasWindowFuncs &&
         !query->hasTargetSRFs && !query->hasAggs && query->groupClause == NIL && query->groupingSets == NIL &&
         query->havingQual == nullptr && query->distinctClause == NIL && query->limitCount == nullptr &&
         query->limitOffset == nullptr && query->rowMarks == NIL && SingleFromEntry(query) != 0;
}

void MergeSubquery(Query *query) {
  int varno = SingleFromEntry(query);
  RangeTblEntry *const entry = SingleEntry(query);
  if (entry == nullptr || entry->rtekind != RTE_SUBQUERY || !IsSimple(entry->subquery) || query->groupingSets != NIL ||
      query->hasSubLinks || query->rowMarks != NIL)
    return;
  Node *const outputs = reinterpret_cast<Node *>(query->targetList);
  if (IsWholeRow(outputs, &varno) || IsWholeRow(query->jointree->quals, &varno) || IsWholeRow(query->havingQual, &varno))
    return;
  Query *const subquery = CopyNode(entry->subquery);
  RangeTblEntry *const inner = SingleEntry(subquery);
  OffsetVarNodes(reinterpret_cast<Node *>(subquery), list_length(query->rtable), 0);
  if (entry->security_barrier && subquery->jointree->quals != nullptr) {
    if (inner->rtekind != RTE_RELATION)
      return;
    inner->securityQuals = lappend(inner->securityQuals, subquery->jointree->quals);
    subquery->jointree->quals = nullptr;
  }
  const auto replace = [=](Node *node) {
    return compat::ReplaceVars(node, varno, entry, subquery->targetList);
  };
  query->targetList = reinterpret_cast<List *>(replace(outputs));
  query->havingQual = replace(query->havingQual);
  Node *const quals = replace(query->jointree->quals);
  compat::AppendRangeTable(query, subquery);
  query->jointree->fromlist = subquery->jointree->fromlist;
  // The inner conditions come first, as the subquery would have them.
  query->jointree->quals = make_and_qual(subquery->jointree->quals, quals);
}

void Simplify(Query *query, List *parents) {
  if (query->setOperations != nullptr)
    return;
  compat::FlattenGroupExpressions(query);
  DropUnusedWith(query);
  InlineWith(query, parents);
  const RangeTblEntry *const entry = SingleEntry(query);
  if (entry == nullptr || entry->rtekind != RTE_SUBQUERY)
    return;
  Simplify(entry->subquery, lcons(query, list_copy(parents)));
  MergeSubquery(query);
}

// --- Subqueries in expressions -------------------------------------------------------------------------------------

bool ReadsTable(Node *node, void *context) {
  if (node == nullptr)
    return false;
  if (IsA(node, Query)) {
    ListCell *cell;
    foreach (cell, reinterpret_cast<Query *>(node)->rtable) {
      const RangeTblEntry *const entry = lfirst_node(RangeTblEntry, cell);
      if (entry->rtekind == RTE_RELATION || entry->rtekind == RTE_CTE)
        return true;
    }
    return compat::WalkQuery(reinterpret_cast<Query *>(node), ReadsTable, context, 0);
  }
  return compat::WalkExpression(node, ReadsTable, context);
}

bool CollectPermissions(Node *node, void *context) {
  List **const needed = static_cast<List **>(context);
  if (node == nullptr)
    return false;
  if (!IsA(node, Query))
    return compat::WalkExpression(node, CollectPermissions, context);
  Query *const query = reinterpret_cast<Query *>(node);
  compat::VisitSelectPermissions(query, [=](Oid relid, Oid user, Bitmapset *columns) {
    NeededPermission *const permission = static_cast<NeededPermission *>(palloc(sizeof(NeededPermission)));
    *permission = {relid, user, bms_copy(columns)};
    *needed = lappend(*needed, permission);
  });
  return compat::WalkQuery(query, CollectPermissions, context, 0);
}

}  // namespace

Query *SimplifyShape(Query *rewritten) {
  Simplify(rewritten, NIL);
  return rewritten;
}

List *QueryLevels(Query *query) {
  List *levels = list_make1(query);
  const RangeTblEntry *entry = SingleEntry(query);
  while (entry != nullptr && entry->rtekind == RTE_SUBQUERY) {
    levels = lappend(levels, entry->subquery);
    entry = SingleEntry(entry->subquery);
  }
  return levels;
}

Query *InnermostQuery(Query *query) {
  const RangeTblEntry *entry = SingleEntry(query);
  while (entry != nullptr && entry->rtekind == RTE_SUBQUERY) {
    query = entry->subquery;
    entry = SingleEntry(query);
  }
  return query;
}

List *Conditions(const Query *query) {
  List *conditions = NIL;
  ListCell *cell;
  foreach (cell, SingleEntry(query)->securityQuals)
    conditions = list_concat(conditions, make_ands_implicit(static_cast<Expr *>(lfirst(cell))));
  return list_concat(conditions, make_ands_implicit(reinterpret_cast<Expr *>(query->jointree->quals)));
}

bool SubqueryReadsTable(const Query *query) {
  if (!query->hasSubLinks)
    return false;
  return ReadsTable(reinterpret_cast<Node *>(query->targetList), nullptr) ||
         ReadsTable(query->jointree->quals, nullptr) || ReadsTable(query->havingQual, nullptr);
}

List *PermissionsNeeded(Query *rewritten) {
  List *needed = NIL;
  CollectPermissions(reinterpret_cast<Node *>(rewritten), &needed);
  return needed;
}

}  // namespace pgstream
