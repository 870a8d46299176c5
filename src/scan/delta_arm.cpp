// The delta arm's path, plan and execution. Promises and refusals: scan/delta_arm.hpp.
//
// A lookup would walk all additions each time, and lookups come by the thousand: as executions of a prepared statement, as
// the inner side of a nested loop. So equality clauses `column = expression` with a hashable operator ask for a hash table
// of the additions, which the overlay keeps, when there are more than a few; all clauses are checked on the rows it
// proposes, so hash values are all it needs. Where such a column shows a group's key, that finds the changed groups as well: an
// arm with such a clause does with an overlay of which groups are unresolved, and resolves those that its clauses propose.
#include "scan/delta_arm.hpp"

#include "am/access_method.hpp"
#include "delta/addition_hash.hpp"
#include "delta/shared_read.hpp"
#include "delta/unresolved_groups.hpp"
#include "pg/boundary.hpp"
#include "scan/explain.hpp"

namespace pgstream {
namespace {

constexpr char kName[] = "StreamDelta";
constexpr int64 kHashFrom = 10;  // additions; below, walking them all is faster

// A hashable equality clause; its other side is the custom_exprs entry of the same number.
struct ComparedValue {
  FmgrInfo hash;
  ExprState *value;
};

struct DeltaArmState {
  CustomScanState node;
  bool shared;       // executed in parallel mode, as planned
  bool base_emits;   // outside parallel mode the base scan beside this arm returns the additions itself
  SharedRead *read;  // so that the base rows beside this arm are those of the same overlay
  bool resolved;     // overlay is known
  Overlay *overlay;  // held; nullptr: nothing is pending
  int64 ordinal;     // next to visit; without a probe
  AdditionsCursor cursor;
  int ncolumns;
  HashedColumn *columns;
  ComparedValue *values;
  List *of_keys;  // numbers of the columns that show keys of groups
  bool begun;     // this scan knows how it goes
  UnresolvedGroups *unresolved;  // not nullptr: it goes by the changed groups, and candidate is one of them
  const AdditionHash *group_hash;
  bool hash_refused;
  const AdditionHash *hash;
  bool probing;  // this scan follows a chain of hash
  bool probed;   // ... and its start was found
  int64 candidate;
  uint32 probe_hash;
};

CustomPathMethods path_methods;
CustomScanMethods scan_methods;
CustomExecMethods exec_methods;

DeltaArmState *AsState(CustomScanState *node) {
  return reinterpret_cast<DeltaArmState *>(node);
}

// --- Planning -----------------------------------------------------------------------------------------------------

// Recognizes `column = expression-not-of-rel` in either order; puts the column first.
bool HashableClause(PlannerInfo *root, const RelOptInfo *rel, Expr *clause, Var **column, Expr **value,
                    Oid *operator_oid) {
  if (!IsA(clause, OpExpr)) return false;
  auto *const op = reinterpret_cast<OpExpr *>(clause);
  if (list_length(op->args) != 2) return false;
  auto *left = static_cast<Expr *>(linitial(op->args));
  auto *right = static_cast<Expr *>(lsecond(op->args));
  Oid opno = op->opno;
  for (int attempt = 0; attempt < 2; attempt++) {
    Expr *bare = left;
    while (IsA(bare, RelabelType)) bare = reinterpret_cast<RelabelType *>(bare)->arg;
    if (IsA(bare, Var)) {
      auto *const var = reinterpret_cast<Var *>(bare);
      if (var->varno == static_cast<int>(rel->relid) && var->varlevelsup == 0 && var->varattno > 0 &&
          !bms_is_member(static_cast<int>(rel->relid), pull_varnos(root, reinterpret_cast<Node *>(right))) &&
          !contain_volatile_functions(reinterpret_cast<Node *>(right)) &&
          !contain_subplans(reinterpret_cast<Node *>(right)) && OidIsValid(opno) &&
          op_hashjoinable(opno, exprType(reinterpret_cast<Node *>(left))) && op_strict(opno)) {
        *column = var;
        *value = right;
        *operator_oid = opno;
        return true;
      }
    }
    Expr *const swap = left;
    left = right;
    right = swap;
    opno = get_commutator(opno);
  }
  return false;
}

// True when a clause on this column, if it holds, says of which groups the row is: what its hash function takes for equal, of the
// values that a group's key may have, is not less than the grouping does.
bool TellsGroups(const Stream *stream, const Var *column, Oid operator_oid, Oid collation) {
  const DeltaPlan *const plan = stream->plan;
  if (plan->strategy != Strategy::Groups) return false;
  for (int i = 0; i < plan->nkeys; i++) {
    const GroupKey *const key = &plan->keys[i];
    if (key->output_column != column->varattno) continue;
    if (exprType(reinterpret_cast<Node *>(key->expression)) != column->vartype) return false;
    if (key->equal_image) return true;
    Oid own_hash, other_hash, hash, value_hash;
    return collation == key->collation && get_op_hash_functions(key->equality_operator, &own_hash, &other_hash) &&
           get_op_hash_functions(operator_oid, &hash, &value_hash) && hash == own_hash;
  }
  return false;
}

// True when target list or quals read xmin and the like, of which a virtual row has none.
bool NeedsSystemColumns(const RelOptInfo *rel, List *tlist, List *quals) {
  Bitmapset *columns = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(tlist), rel->relid, &columns);
  pull_varattnos(reinterpret_cast<Node *>(quals), rel->relid, &columns);
  const int first = bms_next_member(columns, -1);
  return first >= 0 && first + FirstLowInvalidHeapAttributeNumber < 0;
}

Plan *PlanDeltaArm(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist, List *clauses, List *) {
  CustomScan *const scan = makeNode(CustomScan);
  scan->scan.scanrelid = rel->relid;
  scan->scan.plan.targetlist = tlist;
  scan->scan.plan.qual = extract_actual_clauses(clauses, false);
  scan->flags = path->flags;
  scan->methods = &scan_methods;

  const Stream *const stream = LookupStream(planner_rt_fetch(rel->relid, root)->relid);
  List *of_keys = NIL;
  List *columns = NIL;
  List *operators = NIL;
  List *collations = NIL;
  ListCell *cell;
  foreach (cell, scan->scan.plan.qual) {
    auto *const clause = static_cast<Expr *>(lfirst(cell));
    Var *column;
    Expr *value;
    Oid operator_oid;
    if (!HashableClause(root, rel, clause, &column, &value, &operator_oid)) continue;
    if (stream != nullptr && TellsGroups(stream, column, operator_oid, reinterpret_cast<OpExpr *>(clause)->inputcollid))
      of_keys = lappend_int(of_keys, list_length(columns));
    columns = lappend_int(columns, column->varattno);
    operators = lappend_oid(operators, operator_oid);
    collations = lappend_oid(collations, reinterpret_cast<OpExpr *>(clause)->inputcollid);
    scan->custom_exprs = lappend(scan->custom_exprs, value);
  }
  List *const system_columns = NeedsSystemColumns(rel, tlist, scan->scan.plan.qual) ? list_make1_int(1) : NIL;
  scan->custom_private = lappend(list_make5(columns, operators, collations, path->custom_private, system_columns), of_keys);
  return &scan->scan.plan;
}

// --- Hashing ------------------------------------------------------------------------------------------------------

// Looks up the hash functions of the hashable clauses and compiles their other sides.
void PrepareColumns(DeltaArmState *state) {
  const auto *const plan = reinterpret_cast<CustomScan *>(state->node.ss.ps.plan);
  auto *const attributes = static_cast<List *>(linitial(plan->custom_private));
  auto *const operators = static_cast<List *>(lsecond(plan->custom_private));
  auto *const collations = static_cast<List *>(lthird(plan->custom_private));
  state->columns = static_cast<HashedColumn *>(palloc0(sizeof(HashedColumn) * static_cast<Size>(state->ncolumns)));
  state->values = static_cast<ComparedValue *>(palloc0(sizeof(ComparedValue) * static_cast<Size>(state->ncolumns)));
  for (int i = 0; i < state->ncolumns; i++) {
    HashedColumn *const column = &state->columns[i];
    Oid column_hash, value_hash;
    if (!get_op_hash_functions(list_nth_oid(operators, i), &column_hash, &value_hash))
      elog(ERROR, "operator %u has no hash functions", list_nth_oid(operators, i));
    column->column = static_cast<AttrNumber>(list_nth_int(attributes, i));
    column->collation = list_nth_oid(collations, i);
    fmgr_info(column_hash, &column->hash);
    fmgr_info(value_hash, &state->values[i].hash);
    state->values[i].value = ExecInitExpr(static_cast<Expr *>(list_nth(plan->custom_exprs, i)), &state->node.ss.ps);
  }
}

// Makes ready to probe the overlay's hash table of the additions, if there can be one.
void PrepareHash(DeltaArmState *state) {
  const MemoryContext caller = MemoryContextSwitchTo(state->node.ss.ps.state->es_query_cxt);
  if (state->columns == nullptr) PrepareColumns(state);
  state->hash = HashAdditions(state->overlay, state->node.ss.ss_currentRelation, state->columns, state->ncolumns);
  state->hash_refused = state->hash == nullptr;
  MemoryContextSwitchTo(caller);
}

// Combines the hash of the value that a column is compared with; false when that is NULL.
bool HashCompared(DeltaArmState *state, int column, uint32 *hash) {
  ExprContext *const econtext = state->node.ss.ps.ps_ExprContext;
  ComparedValue *const compared = &state->values[column];
  bool null;
  const Datum value = ExecEvalExprSwitchContext(compared->value, econtext, &null);
  if (null) return false;
  const MemoryContext outer = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
  *hash = CombineHashes(*hash, DatumGetUInt32(FunctionCall1Coll(&compared->hash, state->columns[column].collation, value)));
  MemoryContextSwitchTo(outer);
  return true;
}

// Finds the chain for the current values of the other sides; leaves candidate at -1 when one is NULL.
void StartProbe(DeltaArmState *state) {
  uint32 hash = 0;
  state->probed = true;
  state->candidate = -1;
  for (int i = 0; i < state->ncolumns; i++)
    if (!HashCompared(state, i, &hash)) return;
  state->probe_hash = hash;
  state->candidate = FirstHashed(state->hash, hash);
}

// The same among the changed groups, where some of these are unresolved; where there is none left the scan goes the usual way.
void StartByGroup(DeltaArmState *state) {
  ScanState *const scan = &state->node.ss;
  const MemoryContext caller = MemoryContextSwitchTo(scan->ps.state->es_query_cxt);
  if (state->columns == nullptr) PrepareColumns(state);
  auto *const columns = static_cast<HashedColumn *>(palloc(sizeof(HashedColumn) * list_length(state->of_keys)));
  int ncolumns = 0;
  ListCell *cell;
  foreach (cell, state->of_keys) columns[ncolumns++] = state->columns[lfirst_int(cell)];
  UnresolvedGroups *const unresolved = state->overlay->unresolved;
  state->group_hash = LookUpUnresolved(state->overlay, scan->ss_currentRelation, scan->ps.state->es_snapshot, columns, ncolumns);
  pfree(columns);
  MemoryContextSwitchTo(caller);
  if (state->group_hash == nullptr) return;
  state->unresolved = unresolved;
  state->candidate = -1;
  state->probe_hash = 0;
  foreach (cell, state->of_keys)
    if (!HashCompared(state, lfirst_int(cell), &state->probe_hash)) return;
  state->candidate = FirstHashed(state->group_hash, state->probe_hash);
}

// --- Execution ----------------------------------------------------------------------------------------------------

void Resolve(DeltaArmState *state) {
  ScanState *const scan = &state->node.ss;
  state->overlay = OverlayForRead(scan->ss_currentRelation, scan->ps.state->es_snapshot,
                                  state->of_keys != NIL ? Wanted::ForRows : Wanted::Whole);
  state->resolved = true;
}

// The next addition of the groups that the clauses propose.
TupleTableSlot *NextOfGroups(DeltaArmState *state, TupleTableSlot *slot) {
  ScanState *const scan = &state->node.ss;
  while (state->candidate >= 0) {
    const int64 number = state->candidate;
    state->candidate = NextHashed(state->group_hash, number, state->probe_hash);
    const int64 ordinal = AdditionOfGroup(state->unresolved, number, scan->ss_currentRelation, scan->ps.state->es_snapshot);
    if (ordinal >= 0 && AdditionsStore(&state->overlay->additions, ordinal, &state->cursor, scan->ss_currentRelation, slot))
      return slot;
  }
  return ExecClearTuple(slot);
}

// The next addition, or the next one that may satisfy the hashed clauses.
TupleTableSlot *NextAddition(ScanState *scan_state) {
  DeltaArmState *const state = AsState(reinterpret_cast<CustomScanState *>(scan_state));
  TupleTableSlot *const slot = scan_state->ss_ScanTupleSlot;
  if (state->base_emits && !state->shared) return ExecClearTuple(slot);
  if (!state->resolved) Resolve(state);
  if (state->overlay == nullptr) return ExecClearTuple(slot);
  if (!state->begun) {
    state->begun = true;
    state->unresolved = nullptr;
    if (unlikely(state->overlay->unresolved != nullptr)) StartByGroup(state);
  }
  if (unlikely(state->unresolved != nullptr)) return NextOfGroups(state, slot);

  const Additions *const additions = &state->overlay->additions;
  if (!state->probing && state->ordinal == 0 && state->ncolumns > 0 && additions->count > kHashFrom &&
      !state->hash_refused) {
    if (state->hash == nullptr) PrepareHash(state);
    state->probing = state->hash != nullptr;
    state->probed = false;
  }
  if (state->probing) {
    if (!state->probed) StartProbe(state);
    while (state->candidate >= 0) {
      const int64 ordinal = state->candidate;
      state->candidate = NextHashed(state->hash, ordinal, state->probe_hash);
      if (AdditionsStore(additions, ordinal, &state->cursor, scan_state->ss_currentRelation, slot)) return slot;
    }
    return ExecClearTuple(slot);
  }
  while (state->ordinal < additions->count) {
    if (AdditionsStore(additions, state->ordinal++, &state->cursor, scan_state->ss_currentRelation, slot)) return slot;
    CHECK_FOR_INTERRUPTS();
  }
  return ExecClearTuple(slot);
}

// The row EvalPlanQual brings, whichever arm it came from: the quals say the rest.
bool Recheck(ScanState *, TupleTableSlot *) {
  return true;
}

// What hashing needs is prepared when hashing begins: most executions look at a handful of additions once.
void Begin(CustomScanState *node, EState *estate, int) {
  const auto *const plan = reinterpret_cast<const CustomScan *>(node->ss.ps.plan);
  compat::ReplaceScanSlot(node, estate, table_slot_callbacks(node->ss.ss_currentRelation),
                          list_nth(plan->custom_private, 4) != nullptr);
  AsState(node)->ncolumns = list_length(plan->custom_exprs);
  AsState(node)->base_emits = lfourth(plan->custom_private) != nullptr;
  AsState(node)->of_keys = static_cast<List *>(list_nth(plan->custom_private, 5));
  AsState(node)->read = BeginSharedRead(RelationGetRelid(node->ss.ss_currentRelation), estate->es_snapshot,
                                        AsState(node)->of_keys != NIL);
}

TupleTableSlot *Exec(CustomScanState *node) {
  return ExecScan(&node->ss, NextAddition, Recheck);
}

void ReScan(CustomScanState *node) {
  DeltaArmState *const state = AsState(node);
  state->ordinal = 0;
  state->probed = state->begun = false;
  ExecScanReScan(&node->ss);
}

// The participants of a parallel scan must leave out the same base rows: the leader decides, before any of them starts.
Size EstimateShared(CustomScanState *, ParallelContext *) {
  return sizeof(MergeDecision);
}

void InitializeShared(CustomScanState *node, ParallelContext *, void *shared) {
  DeltaArmState *const state = AsState(node);
  state->shared = true;
  if (!state->resolved) Resolve(state);
  *static_cast<MergeDecision *>(shared) = DecisionOf(state->overlay);
}

// A rescan has the same snapshot, and so the same decision.
void ReinitializeShared(CustomScanState *, ParallelContext *, void *) {}

void FollowShared(CustomScanState *node, shm_toc *, void *shared) {
  AsState(node)->shared = true;
  FollowMergeDecision(RelationGetRelid(node->ss.ss_currentRelation), *static_cast<MergeDecision *>(shared));
}

void End(CustomScanState *node) {
  DeltaArmState *const state = AsState(node);
  AdditionsCursorEnd(&state->cursor);
  if (state->overlay != nullptr) ReleaseOverlay(state->overlay);
  state->overlay = nullptr;
  EndSharedRead(state->read);
}

void Explain(CustomScanState *node, List *, ExplainState *es) {
  const DeltaArmState *const state = AsState(node);
  const Stream *const stream = LookupStream(RelationGetRelid(node->ss.ss_currentRelation));
  ExplainOverlay(es->analyze && state->resolved ? state->overlay : nullptr, stream, es);
  if (es->analyze && state->hash != nullptr) ExplainPropertyBool("Hashed", true, es);
}

Node *CreateState(CustomScan *) {
  auto *const state = static_cast<DeltaArmState *>(palloc0(sizeof(DeltaArmState)));
  NodeSetTag(&state->node, T_CustomScanState);
  state->node.methods = &exec_methods;
  compat::ChooseScanSlot(&state->node, &TTSOpsBufferHeapTuple);
  return reinterpret_cast<Node *>(state);
}

}  // namespace

Path *MakeDeltaArmPath(RelOptInfo *rel, const Path *base_path, bool shared) {
  CustomPath *const path = makeNode(CustomPath);
  path->path.pathtype = T_CustomScan;
  path->path.parent = rel;
  path->path.pathtarget = rel->reltarget;
  path->path.param_info = base_path->param_info;
  path->path.parallel_safe = rel->consider_parallel;
  path->path.parallel_aware = shared;  // still run by one participant only: the flag gives it shared memory
  // A parallel plan may be executed without parallel mode (a portal fetched by portions, a lazy SQL function): a parallel
  // sequential scan is then an ordinary one, and returns the additions.
  path->custom_private = shared && base_path->pathtype == T_SeqScan ? list_make1_int(1) : NIL;
  path->path.rows = 1;
  path->path.total_cost = 10 * cpu_tuple_cost;
  path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
  path->methods = &path_methods;
  return &path->path;
}

bool IsDeltaArm(const Plan *plan) {
  return IsA(plan, CustomScan) && reinterpret_cast<const CustomScan *>(plan)->methods == &scan_methods;
}

void RegisterDeltaArm() {
  path_methods.CustomName = kName;
  path_methods.PlanCustomPath = Callback<PlanDeltaArm>::Call;
  scan_methods.CustomName = kName;
  scan_methods.CreateCustomScanState = Callback<CreateState>::Call;
  exec_methods.CustomName = kName;
  exec_methods.BeginCustomScan = Callback<Begin>::Call;
  exec_methods.ExecCustomScan = Callback<Exec>::Call;
  exec_methods.ReScanCustomScan = Callback<ReScan>::Call;
  exec_methods.EndCustomScan = Callback<End>::Call;
  exec_methods.EstimateDSMCustomScan = Callback<EstimateShared>::Call;
  exec_methods.InitializeDSMCustomScan = Callback<InitializeShared>::Call;
  exec_methods.ReInitializeDSMCustomScan = Callback<ReinitializeShared>::Call;
  exec_methods.InitializeWorkerCustomScan = Callback<FollowShared>::Call;
  exec_methods.ExplainCustomScan = Callback<Explain>::Call;
  RegisterCustomScanMethods(&scan_methods);
}

}  // namespace pgstream
