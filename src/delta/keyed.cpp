// Queries restricted to keys: see keyed.hpp.
//
// The restricted query is the defining query's tree with one more range table entry beside the source, a named
// tuplestore of keys, and one more condition per key. A key expression matches at most one row of the set, so the join
// multiplies nothing.

#include "delta/keyed.hpp"

#include "delta/evaluate.hpp"
#include "pg/query_shape.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"
}

namespace pgstream {
namespace {

constexpr char kKeysName[] = "pgstream_keys";

// --- The restricted query ----------------------------------------------------------------------------------------

// An operand as the operator takes it: binary-compatible types (varchar under =(text,text)) are relabeled as the parser
// does, polymorphic operators take base types.
Expr *Operand(Node *node, Oid wanted, Oid collation) {
  const Oid type = exprType(node);
  if (IsPolymorphicType(wanted))
    wanted = getBaseType(type);
  if (type == wanted)
    return reinterpret_cast<Expr *>(node);
  RelabelType *const relabel =
      makeRelabelType(reinterpret_cast<Expr *>(node), wanted, -1, collation, COERCE_IMPLICIT_CAST);
  return reinterpret_cast<Expr *>(relabel);
}

Node *KeyEquality(const GroupKey *key, Node *expression, Var *wanted) {
  Oid left_type, right_type;
  op_input_types(key->equality_operator, &left_type, &right_type);
  Expr *const equality =
      make_opclause(key->equality_operator, BOOLOID, false, Operand(expression, left_type, key->collation),
                    Operand(reinterpret_cast<Node *>(wanted), right_type, key->collation), InvalidOid, key->collation);
  set_opfuncid(reinterpret_cast<OpExpr *>(equality));
  return reinterpret_cast<Node *>(equality);
}

Node *KeyIsNull(Node *expression) {
  NullTest *const test = makeNode(NullTest);
  test->arg = reinterpret_cast<Expr *>(expression);
  test->nulltesttype = IS_NULL;
  // As for a row-valued key: NULL itself is meant, not a row of NULLs.
  test->argisrow = false;
  test->location = -1;
  return reinterpret_cast<Node *>(test);
}

// The key columns that the pattern has values for, as the row type of the tuplestore.
TupleDesc KeyDescriptor(const DeltaPlan *plan, const bool *pattern) {
  int ncolumns = 0;
  for (int i = 0; i < plan->nkeys; i++)
    ncolumns += !pattern[i];
  const TupleDesc descriptor = CreateTemplateTupleDesc(ncolumns);
  int column = 0;
  for (int i = 0; i < plan->nkeys; i++) {
    if (pattern[i])
      continue;
    const Node *const expression = reinterpret_cast<Node *>(plan->keys[i].expression);
    column++;
    TupleDescInitEntry(descriptor, static_cast<AttrNumber>(column), psprintf("key%d", i + 1), exprType(expression),
                       exprTypmod(expression), 0);
    TupleDescInitEntryCollation(descriptor, static_cast<AttrNumber>(column), plan->keys[i].collation);
  }
  return descriptor;
}

// Adds the tuplestore to FROM and returns its number in the range table.
int AddKeysEntry(Query *query, TupleDesc descriptor, double nrows) {
  RangeTblEntry *const entry = makeNode(RangeTblEntry);
  entry->rtekind = RTE_NAMEDTUPLESTORE;
  entry->enrname = pstrdup(kKeysName);
  entry->enrtuples = nrows;
  List *names = NIL;
  for (int i = 0; i < descriptor->natts; i++) {
    const Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    entry->coltypes = lappend_oid(entry->coltypes, attribute->atttypid);
    entry->coltypmods = lappend_int(entry->coltypmods, attribute->atttypmod);
    entry->colcollations = lappend_oid(entry->colcollations, attribute->attcollation);
    names = lappend(names, makeString(pstrdup(NameStr(attribute->attname))));
  }
  entry->eref = makeAlias(kKeysName, names);
  entry->inFromCl = true;
  query->rtable = lappend(query->rtable, entry);
  RangeTblRef *const reference = makeNode(RangeTblRef);
  reference->rtindex = list_length(query->rtable);
  query->jointree->fromlist = lappend(query->jointree->fromlist, reference);
  return reference->rtindex;
}

double CostPerRow(Node *condition) {
  QualCost cost;
  cost_qual_eval_node(&cost, condition, nullptr);
  return cost.per_tuple;
}

// True when the planner may evaluate one of the keys' conditions before one of the query's own, as it does with cheaper
// ones, though only that may keep the key's expression from failing.
bool MayComeFirst(List *computed, Node *quals) {
  if (computed == NIL)
    return false;
  double dearest = 0;
  ListCell *cell;
  foreach (cell, make_ands_implicit(reinterpret_cast<Expr *>(quals)))
    dearest = Max(dearest, CostPerRow(static_cast<Node *>(lfirst(cell))));
  foreach (cell, computed)
    if (CostPerRow(static_cast<Node *>(lfirst(cell))) < dearest)
      return true;
  return false;
}

// Restricts a query to the rows of the plan's one source that have the keys of one pattern of NULLs; descriptor has no
// columns when all of them are NULL.
void RestrictToKeys(Query *whole, const DeltaPlan *plan, const bool *pattern, TupleDesc descriptor, double nrows) {
  Query *const query = InnermostQuery(whole);
  const int source = SingleFromEntry(query);
  const int keys_entry = descriptor->natts > 0 ? AddKeysEntry(query, descriptor, nrows) : 0;
  List *conditions = NIL;
  List *computed = NIL;  // those on more than a column
  AttrNumber column = 0;
  for (int i = 0; i < plan->nkeys; i++) {
    const GroupKey *const key = &plan->keys[i];
    Node *const expression = reinterpret_cast<Node *>(CopyNode(key->expression));
    if (source != 1)
      ChangeVarNodes(expression, 1, source, 0);
    Node *condition;
    if (pattern[i]) {
      condition = KeyIsNull(expression);
    } else {
      column++;
      Var *const wanted = makeVar(keys_entry, column, exprType(expression), exprTypmod(expression), key->collation, 0);
      condition = KeyEquality(key, expression, wanted);
    }
    conditions = lappend(conditions, condition);
    if (!IsA(expression, Var))
      computed = lappend(computed, condition);
  }
  Node *const quals = query->jointree->quals;
  if (quals != nullptr && MayComeFirst(computed, quals)) {
    RangeTblEntry *const entry = rt_fetch(source, query->rtable);
    entry->securityQuals = lappend(entry->securityQuals, quals);
  } else if (quals != nullptr) {
    conditions = lcons(quals, conditions);
  }
  query->jointree->quals = reinterpret_cast<Node *>(make_ands_explicit(conditions));
}

// The query for the used columns of the source's rows, in the order of their numbers, that pass the quals.
Query *SourceRowsQuery(const DeltaPlan *plan) {
  Query *const query = CopyNode(plan->flat);
  const int source = SingleFromEntry(query);
  query->targetList = query->groupClause = query->distinctClause = query->sortClause = query->constraintDeps = NIL;
  query->havingQual = nullptr;
  query->hasAggs = query->groupDistinct = false;
  AttrNumber resno = 0;
  int attnum = -1;
  while ((attnum = bms_next_member(plan->columns[0], attnum)) >= 0) {
    Oid type, collation;
    int32 typmod;
    get_atttypetypmodcoll(plan->sources[0], static_cast<AttrNumber>(attnum), &type, &typmod, &collation);
    Var *const var = makeVar(source, static_cast<AttrNumber>(attnum), type, typmod, collation, 0);
    resno++;
    query->targetList = lappend(
        query->targetList, makeTargetEntry(reinterpret_cast<Expr *>(var), resno, psprintf("column%d", resno), false));
  }
  return query;
}

// --- Planning and running ----------------------------------------------------------------------------------------

// The query for the keys of one pattern of NULLs.
struct PatternRun {
  const bool *pattern;  // which keys are NULL
  TupleDesc descriptor;
  double nrows;
  PlannedStmt *plan;
};

}  // namespace

struct KeyedRun {
  MemoryContext context;  // of all this
  const DeltaPlan *plan;
  const KeySet *keys;
  bool source_rows;  // else the query's own
  int npatterns;
  PatternRun *patterns;
  int *pattern_of;  // each row of the key set
};

namespace {

// Tells the patterns of NULLs in the key set apart.
void FindPatterns(KeyedRun *run) {
  const KeySet *const keys = run->keys;
  const Size pattern_size = static_cast<Size>(keys->nkeys) * sizeof(bool);
  run->pattern_of = static_cast<int *>(MemoryContextAllocHuge(
      CurrentMemoryContext, static_cast<Size>(Max(keys->count, static_cast<int64>(1))) * sizeof(int)));
  int capacity = 4;
  run->patterns = static_cast<PatternRun *>(palloc(sizeof(PatternRun) * capacity));
  for (int64 row = 0; row < keys->count; row++) {
    const bool *const nulls = &keys->nulls[row * keys->nkeys];
    int i = 0;
    while (i < run->npatterns && memcmp(run->patterns[i].pattern, nulls, pattern_size) != 0) i++;
    if (i == run->npatterns) {
      if (run->npatterns == capacity) {
        capacity *= 2;
        run->patterns = static_cast<PatternRun *>(repalloc(run->patterns, sizeof(PatternRun) * capacity));
      }
      run->patterns[run->npatterns++] = {nulls, KeyDescriptor(run->plan, nulls), 0, nullptr};
    }
    run->pattern_of[row] = i;
    run->patterns[i].nrows++;
  }
}

KeyedRun *PlanRun(const Stream *stream, const KeySet *keys, Snapshot snapshot, bool source_rows) {
  const MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream keyed evaluation", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(context);
  const DeltaPlan *const plan = stream->plan;
  KeyedRun *const run = static_cast<KeyedRun *>(palloc0(sizeof(KeyedRun)));
  run->context = context;
  run->plan = plan;
  run->keys = keys;
  run->source_rows = source_rows;
  if (keys->nkeys != plan->nkeys)
    elog(ERROR, "a key set does not have the keys of its plan");
  const Query *const whole = source_rows ? SourceRowsQuery(plan) : plan->flat;
  if (plan->nkeys == 0) {
    run->npatterns = 1;
    run->patterns = static_cast<PatternRun *>(palloc0(sizeof(PatternRun)));
    run->patterns->plan = PlanForRun(whole, snapshot);
  } else {
    FindPatterns(run);
  }
  for (int i = 0; i < run->npatterns && plan->nkeys > 0; i++) {
    PatternRun *const pattern = &run->patterns[i];
    Query *const query = CopyNode(whole);
    RestrictToKeys(query, plan, pattern->pattern, pattern->descriptor, pattern->nrows);
    pattern->plan = PlanForRun(query, snapshot);
  }
  MemoryContextSwitchTo(saved);
  return run;
}

// The keys of one pattern as a named relation.
QueryEnvironment *KeysEnvironment(const KeyedRun *run, int index, Tuplestorestate *store) {
  const PatternRun *const pattern = &run->patterns[index];
  const TupleDesc descriptor = pattern->descriptor;
  const KeySet *const keys = run->keys;
  Datum *const values = static_cast<Datum *>(palloc(descriptor->natts * sizeof(Datum)));
  bool *const nulls = static_cast<bool *>(palloc0(descriptor->natts * sizeof(bool)));
  for (int64 row = 0; row < keys->count; row++) {
    if (run->pattern_of[row] != index)
      continue;
    int column = 0;
    for (int i = 0; i < keys->nkeys; i++)
      if (!pattern->pattern[i])
        values[column++] = keys->values[row * keys->nkeys + i];
    tuplestore_putvalues(store, descriptor, values, nulls);
  }
  EphemeralNamedRelation const relation =
      static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
  relation->md.name = pstrdup(kKeysName);
  relation->md.tupdesc = descriptor;
  relation->md.enrtype = ENR_NAMED_TUPLESTORE;
  relation->md.enrtuples = pattern->nrows;
  relation->reldata = store;
  QueryEnvironment *const environment = create_queryEnv();
  register_ENR(environment, relation);
  return environment;
}

uint64 RunPatterns(KeyedRun *run, Snapshot snapshot, RowVisitor visit, void *argument) {
  uint64 count = 0;
  for (int i = 0; i < run->npatterns; i++) {
    PatternRun *const pattern = &run->patterns[i];
    if (pattern->descriptor == nullptr || pattern->descriptor->natts == 0) {
      count += RunPlan(pattern->plan, snapshot, nullptr, visit, argument);
      continue;
    }
    Tuplestorestate *const store = tuplestore_begin_heap(false, false, work_mem);
    count += RunPlan(pattern->plan, snapshot, KeysEnvironment(run, i, store), visit, argument);
    tuplestore_end(store);
  }
  return count;
}

// Turns the rows of SourceRowsQuery into rows of the source's own type.
struct SourceRowMapping {
  TupleTableSlot *slot;
  AttrNumber *columns;  // of each column of the query's result
  RowVisitor visit;
  void *argument;
};

void MapSourceRow(TupleTableSlot *row, void *argument) {
  SourceRowMapping *const mapping = static_cast<SourceRowMapping *>(argument);
  TupleTableSlot *const slot = mapping->slot;
  slot_getallattrs(row);
  ExecClearTuple(slot);
  for (int i = 0; i < row->tts_tupleDescriptor->natts; i++) {
    const int column = mapping->columns[i] - 1;
    slot->tts_values[column] = row->tts_values[i];
    slot->tts_isnull[column] = row->tts_isnull[i];
  }
  ExecStoreVirtualTuple(slot);
  mapping->visit(slot, mapping->argument);
}

// Runs over source rows, each put into a slot of the source's own row type.
uint64 RunSourceRows(KeyedRun *run, Snapshot snapshot, RowVisitor visit, void *argument) {
  const DeltaPlan *const plan = run->plan;
  Relation source = table_open(plan->sources[0], AccessShareLock);
  SourceRowMapping mapping = {};
  mapping.slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(source)), &TTSOpsVirtual);
  table_close(source, NoLock);
  for (int i = 0; i < mapping.slot->tts_tupleDescriptor->natts; i++)
    mapping.slot->tts_isnull[i] = true;
  mapping.columns = static_cast<AttrNumber *>(palloc((bms_num_members(plan->columns[0]) + 1) * sizeof(AttrNumber)));
  int ncolumns = 0;
  int attnum = -1;
  while ((attnum = bms_next_member(plan->columns[0], attnum)) >= 0)
    mapping.columns[ncolumns++] = static_cast<AttrNumber>(attnum);
  mapping.visit = visit;
  mapping.argument = argument;
  const uint64 count = RunPatterns(run, snapshot, MapSourceRow, &mapping);
  ExecDropSingleTupleTableSlot(mapping.slot);
  return count;
}

}  // namespace

KeyedRun *PlanKeyedQuery(const Stream *stream, const KeySet *keys, Snapshot snapshot) {
  return PlanRun(stream, keys, snapshot, false);
}

KeyedRun *PlanKeyedSourceRows(const Stream *stream, const KeySet *keys, Snapshot snapshot) {
  return PlanRun(stream, keys, snapshot, true);
}

double KeyedRunCost(const KeyedRun *run) {
  double cost = 0;
  for (int i = 0; i < run->npatterns; i++) {
    const Plan *const plan = run->patterns[i].plan->planTree;
    cost += plan->total_cost + plan->plan_rows * kRowCost * cpu_tuple_cost;
  }
  return cost;
}

uint64 RunKeyed(KeyedRun *run, Snapshot snapshot, RowVisitor visit, void *argument) {
  const MemoryContext saved = MemoryContextSwitchTo(run->context);
  const uint64 count =
      run->source_rows ? RunSourceRows(run, snapshot, visit, argument) : RunPatterns(run, snapshot, visit, argument);
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(run->context);
  return count;
}

}  // namespace pgstream
