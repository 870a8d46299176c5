// Classifying a query: see delta_plan.hpp.
//
// Expressions of a plan can be given to ExecInitExpr as they are, but nothing is evaluated or inlined here (see
// group_key.hpp). Who executes in the owner's scope may simplify further.

#include "pg/delta_plan.hpp"

#include "pg/aggregate_maintenance.hpp"
#include "pg/group_key.hpp"
#include "pg/keyed_plan.hpp"
#include "pg/query_shape.hpp"
#include "pg/source_use.hpp"
#include "pg/tree.hpp"

namespace pgstream {
namespace {

// --- What neither rows nor groups cover --------------------------------------------------------------------------

const char *WhyNotOneTable(const Query *query) {
  if (query->setOperations != nullptr)
    return "it has a set operation";
  if (query->cteList != NIL)
    return "it has a WITH clause";
  if (query->hasSubLinks)
    return "it has a subquery in an expression";
  if (query->hasWindowFuncs)
    return "it has window functions";
  if (query->hasTargetSRFs)
    return "it has set-returning functions in its output";
  if (query->groupingSets != NIL)
    return "it has grouping sets";
  if (query->limitCount != nullptr || query->limitOffset != nullptr)
    return "it has LIMIT or OFFSET";
  if (query->hasDistinctOn)
    return "it has DISTINCT ON";
  if (query->rowMarks != NIL)
    return "it locks rows";
  if (query->jointree == nullptr || query->jointree->fromlist == NIL)
    return "it reads no table";
  const int varno = SingleFromEntry(query);
  if (varno == 0)
    return "it has a join";
  const RangeTblEntry *const entry = rt_fetch(varno, query->rtable);
  if (entry->rtekind == RTE_SUBQUERY)
    return "it has a subquery in FROM";
  if (entry->rtekind != RTE_RELATION)
    return "it reads something other than a table";
  if (entry->relkind != RELKIND_RELATION && entry->relkind != RELKIND_PARTITIONED_TABLE)
    return "it reads something other than an ordinary table";
  return nullptr;
}

// --- Groups ------------------------------------------------------------------------------------------------------

struct GroupBuilder {
  DeltaPlan *plan;
  List *raw_keys;        // key expressions as analysed, in the order of plan->keys
  List *raw_aggregates;  // Aggrefs as analysed
  const char *reason;    // set by ToGroupRow when something is neither key nor aggregate
};

void AddKey(GroupBuilder *builder, Node *expression, Oid equality_operator) {
  ListCell *cell;
  int index = 0;
  foreach (cell, builder->raw_keys) {
    // GROUP BY a, a: one key, unless their equality differs.
    if (equal(lfirst(cell), expression) && builder->plan->keys[index].equality_operator == equality_operator)
      return;
    index++;
  }
  DeltaPlan *const plan = builder->plan;
  const Size size = (plan->nkeys + 1) * sizeof(GroupKey);
  plan->keys = static_cast<GroupKey *>(plan->keys == nullptr ? palloc(size) : repalloc(plan->keys, size));
  builder->raw_keys = lappend(builder->raw_keys, expression);
  plan->keys[plan->nkeys++] = DescribeKey(expression, equality_operator);
}

Var *GroupRowVar(int column, Node *expression) {
  return makeVar(INNER_VAR, static_cast<AttrNumber>(column), exprType(expression), exprTypmod(expression),
                 exprCollation(expression), 0);
}

int AggregateIndex(GroupBuilder *builder, Aggref *aggref) {
  ListCell *cell;
  int index = 0;
  foreach (cell, builder->raw_aggregates) {
    if (equal(lfirst(cell), aggref))
      return index;
    index++;
  }
  builder->raw_aggregates = lappend(builder->raw_aggregates, aggref);
  return index;
}

// Expressions over keys and aggregates become expressions over the group's row (see DeltaPlan). Keys are numbered
// first, so aggregates are numbered from nkeys + 1 on.
Node *ToGroupRow(Node *node, void *context) {
  GroupBuilder *const builder = static_cast<GroupBuilder *>(context);
  if (node == nullptr)
    return nullptr;
  ListCell *cell;
  int column = 0;
  foreach (cell, builder->raw_keys) {
    column++;
    if (equal(lfirst(cell), node))
      return reinterpret_cast<Node *>(GroupRowVar(column, node));
  }
  if (IsA(node, Aggref)) {
    const int index = AggregateIndex(builder, reinterpret_cast<Aggref *>(node));
    return reinterpret_cast<Node *>(GroupRowVar(builder->plan->nkeys + index + 1, node));
  }
  if (IsA(node, Var))
    builder->reason = "a column in the output is neither grouped nor aggregated";
  if (IsA(node, GroupingFunc))
    builder->reason = "it calls GROUPING";
  return compat::MutateExpression(node, ToGroupRow, context);
}

void FinishAggregates(GroupBuilder *builder) {
  DeltaPlan *const plan = builder->plan;
  plan->naggregates = list_length(builder->raw_aggregates);
  plan->aggregates = static_cast<GroupAggregate *>(palloc0((plan->naggregates + 1) * sizeof(GroupAggregate)));
  for (int i = 0; i < plan->naggregates; i++) {
    Aggref *const aggref = CopyNode(static_cast<Aggref *>(list_nth(builder->raw_aggregates, i)));
    // What the server's planner would fill in: the type of the ordinary state, polymorphic ones resolved.
    Oid input_types[FUNC_MAX_ARGS];
    const int ninputs = get_aggregate_argtypes(aggref, input_types);
    HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));
    if (!HeapTupleIsValid(tuple))
      elog(ERROR, "cache lookup failed for aggregate %u", aggref->aggfnoid);
    const Oid declared = reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple))->aggtranstype;
    ReleaseSysCache(tuple);
    aggref->aggtranstype = resolve_aggregate_transtype(aggref->aggfnoid, declared, input_types, ninputs);
    ListCell *cell;
    foreach (cell, aggref->args) {
      TargetEntry *const argument = static_cast<TargetEntry *>(lfirst(cell));
      argument->expr = MakeExecutable(argument->expr);
    }
    aggref->aggfilter = aggref->aggfilter == nullptr ? nullptr : MakeExecutable(aggref->aggfilter);
    plan->aggregates[i].aggref = aggref;
    DecideMaintenance(&plan->aggregates[i]);
  }
}

// The keys of GROUP BY or, without one, of DISTINCT; extra keys for columns that depend on a grouped primary key.
// Returns why not.
const char *CollectKeys(GroupBuilder *builder, const Query *query) {
  ListCell *cell;
  foreach (cell, query->groupClause != NIL ? query->groupClause : query->distinctClause) {
    const SortGroupClause *const clause = static_cast<SortGroupClause *>(lfirst(cell));
    AddKey(builder, get_sortgroupclause_expr(const_cast<SortGroupClause *>(clause), query->targetList), clause->eqop);
  }
  if (query->constraintDeps == NIL)
    return nullptr;
  // Grouped by a primary key, every further column has one value per group, so grouping by it too changes nothing.
  List *expressions = NIL;
  foreach (cell, query->targetList)
    expressions = lappend(expressions, static_cast<TargetEntry *>(lfirst(cell))->expr);
  expressions = lappend(expressions, query->havingQual);
  List *const vars = pull_var_clause(reinterpret_cast<Node *>(expressions),
                                     PVC_INCLUDE_AGGREGATES | PVC_INCLUDE_WINDOWFUNCS | PVC_INCLUDE_PLACEHOLDERS);
  foreach (cell, vars) {
    Node *const node = static_cast<Node *>(lfirst(cell));
    if (!IsA(node, Var) || list_member(builder->raw_keys, node))
      continue;
    const Oid equality_operator = lookup_type_cache(exprType(node), TYPECACHE_EQ_OPR)->eq_opr;
    if (!OidIsValid(equality_operator))
      return "a column that depends on the grouped primary key has a type without equality";
    AddKey(builder, node, equality_operator);
  }
  return nullptr;
}

// Fills the fields of a Groups plan; returns why the query is none.
const char *PlanGroups(DeltaPlan *plan, const Query *query) {
  GroupBuilder builder = {plan, NIL, NIL, nullptr};
  const bool grouped = query->groupClause != NIL || query->hasAggs || query->havingQual != nullptr;
  if (grouped && query->distinctClause != NIL)
    return "it has DISTINCT over groups";
  if (const char *const why = CollectKeys(&builder, query))
    return why;
  plan->always_one_row = plan->nkeys == 0;

  ListCell *cell;
  foreach (cell, query->targetList) {
    const TargetEntry *const entry = static_cast<TargetEntry *>(lfirst(cell));
    if (entry->resjunk)
      continue;
    Node *const output = ToGroupRow(reinterpret_cast<Node *>(entry->expr), &builder);
    plan->outputs = lappend(plan->outputs, MakeExecutable(output));
    if (!IsA(output, Var))
      continue;
    const int column = reinterpret_cast<Var *>(output)->varattno;
    if (column <= plan->nkeys && plan->keys[column - 1].output_column == 0)
      plan->keys[column - 1].output_column = entry->resno;
  }
  if (plan->outputs == NIL)
    return "its output has no columns";
  Node *const having = ToGroupRow(query->havingQual, &builder);
  plan->having = MakeExecutable(make_ands_implicit(reinterpret_cast<Expr *>(having)));
  if (builder.reason != nullptr)
    return builder.reason;
  FinishAggregates(&builder);

  if (plan->always_one_row)
    return nullptr;
  for (int i = 0; i < plan->nkeys; i++)
    if (plan->keys[i].output_column == 0)
      return "a group key is not in the output";
  return ChooseIndexColumns(plan) ? nullptr : "no group key can be hashed";
}

// --- Rows --------------------------------------------------------------------------------------------------------

const char *PlanRows(DeltaPlan *plan, const Query *query) {
  ListCell *cell;
  foreach (cell, query->targetList) {
    const TargetEntry *const entry = static_cast<TargetEntry *>(lfirst(cell));
    if (!entry->resjunk)
      plan->outputs = lappend(plan->outputs, MakeExecutable(entry->expr));
  }
  if (plan->outputs == NIL)
    return "its output has no columns";
  plan->nindex_columns = Min(list_length(plan->outputs), INDEX_MAX_KEYS);
  plan->index_columns = static_cast<AttrNumber *>(palloc(plan->nindex_columns * sizeof(AttrNumber)));
  for (int i = 0; i < plan->nindex_columns; i++)
    plan->index_columns[i] = static_cast<AttrNumber>(i + 1);
  return nullptr;
}

const char *PlanOneTable(DeltaPlan *plan) {
  if (const char *const why = WhyNotOneTable(plan->flat))
    return why;
  Query *const query = CopyNode(plan->flat);
  const int varno = SingleFromEntry(query);
  List *const conditions = Conditions(query);
  if (varno != 1)
    ChangeVarNodes(reinterpret_cast<Node *>(query), varno, 1, 0);

  plan->quals = MakeExecutable(conditions);
  const bool groups =
      query->groupClause != NIL || query->hasAggs || query->havingQual != nullptr || query->distinctClause != NIL;
  plan->strategy = groups ? Strategy::Groups : Strategy::Rows;
  return groups ? PlanGroups(plan, query) : PlanRows(plan, query);
}

void ForgetOneTable(DeltaPlan *plan) {
  plan->quals = plan->outputs = plan->having = NIL;
  plan->nkeys = plan->naggregates = plan->nindex_columns = 0;
  plan->keys = nullptr;
  plan->aggregates = nullptr;
  plan->index_columns = nullptr;
  plan->always_one_row = false;
}

Query *Rewritten(const Query *query) {
  Query *const copy = CopyNode(query);
  AcquireRewriteLocks(copy, true, false);
  return linitial_node(Query, QueryRewrite(copy));
}

// Why some change of a group is evaluated by key; nullptr when none is.
const char *WhyKeyedGroups(const DeltaPlan *plan) {
  for (int i = 0; i < plan->naggregates; i++)
    if (plan->aggregates[i].maintenance == AggregateMaintenance::Keyed)
      return psprintf("groups are re-evaluated by key: %s", plan->aggregates[i].why_keyed);
  for (int i = 0; i < plan->naggregates; i++)
    if (plan->aggregates[i].maintenance == AggregateMaintenance::InsertOnly)
      return psprintf("groups that lose rows are re-evaluated by key: %s has no inverse",
                      get_func_name(plan->aggregates[i].aggref->aggfnoid));
  return nullptr;
}

}  // namespace

const char *StrategyName(Strategy strategy) {
  switch (strategy) {
    case Strategy::Rows:
      return "algebraic (rows)";
    case Strategy::Groups:
      return "algebraic (groups)";
    case Strategy::Keyed:
      return "keyed";
    case Strategy::Recompute:
      return "recompute";
    case Strategy::RecomputeAlways:
      return "recompute on every read";
  }
  return "unknown";
}

DeltaPlan *PlanDelta(Query *query) {
  DeltaPlan *const plan = static_cast<DeltaPlan *>(palloc0(sizeof(DeltaPlan)));
  plan->query = CopyNode(query);

  SourceUse *const use = FindSources(plan->query);
  plan->dependence = use->dependence;
  if (use->reason != nullptr) {
    plan->strategy = Strategy::RecomputeAlways;
    plan->reason = use->reason;
    return plan;
  }
  plan->nsources = use->nsources;
  plan->sources = use->sources;
  plan->columns = use->columns;

  Query *const rewritten = Rewritten(plan->query);
  plan->permissions = PermissionsNeeded(rewritten);
  plan->flat = SimplifyShape(rewritten);
  plan->reason = PlanOneTable(plan);
  if (plan->reason == nullptr) {
    if (plan->strategy == Strategy::Groups)
      plan->reason = WhyKeyedGroups(plan);
    return plan;
  }
  ForgetOneTable(plan);
  const char *const why_no_key = PlanKeyed(plan);
  plan->strategy = why_no_key == nullptr ? Strategy::Keyed : Strategy::Recompute;
  if (why_no_key != nullptr) {
    plan->reason = why_no_key;
    ForgetOneTable(plan);
  }
  return plan;
}

}  // namespace pgstream
