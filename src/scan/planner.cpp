// The planner hook: what holds for a finished plan that names a stream table.
//
// Promises: the relations that a stream table's query reads, through any depth of stream tables, are locked before the
// statement takes its snapshot, now and whenever the plan is used again, because they are in its range table. Refuses:
// changing a stream table, locking its rows, reading one that holds nothing yet, and a plan that reads base rows
// without a delta arm beside them (some other extension's path).
#include "capture/open_statements.hpp"
#include "pg/boundary.hpp"
#include "pg/stream.hpp"
#include "scan/clean_rows.hpp"
#include "scan/delta_arm.hpp"
#include "scan/explain.hpp"
#include "scan/paths.hpp"
#include "scan/scan_hooks.hpp"

namespace pgstream {
namespace {

planner_hook_type previous_planner_hook;
ExecutorStart_hook_type previous_executor_start;
int planner_depth;

// --- Refusals -----------------------------------------------------------------------------------------------------

void RefuseChange(Oid relid) {
  ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("cannot change stream table \"%s\"", get_rel_name(relid)),
                  errdetail("Its content is what its defining query returns."),
                  errhint("Change the tables that its query reads.")));
}

void RefuseRowLock(Oid relid) {
  ereport(ERROR,
          (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("cannot lock rows in stream table \"%s\"", get_rel_name(relid)),
           errhint("Lock rows of the tables that its query reads.")));
}

void RefuseUnpopulated(Oid relid) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("stream table \"%s\" has not been populated", get_rel_name(relid)),
                  errdetail("Its refresh_mode is FULL: it holds what its last refresh computed."),
                  errhint("Call pgstream.refresh_stream_table first.")));
}

// The stream of a range table entry; nullptr for everything else.
const Stream *StreamOfEntry(const RangeTblEntry *rte) {
  if (rte->rtekind != RTE_RELATION || rte->relkind != RELKIND_RELATION || !IsStreamRelid(rte->relid)) return nullptr;
  return LookupStream(rte->relid);
}

void RefuseWrites(const PlannedStmt *plan) {
  ListCell *cell;
  foreach (cell, plan->resultRelations) {
    const RangeTblEntry *const rte = rt_fetch(lfirst_int(cell), plan->rtable);
    if (StreamOfEntry(rte) != nullptr) RefuseChange(rte->relid);
  }
  foreach (cell, plan->rowMarks) {
    const auto *const mark = static_cast<PlanRowMark *>(lfirst(cell));
    if (!RowMarkRequiresRowShareLock(mark->markType)) continue;
    const RangeTblEntry *const rte = rt_fetch(mark->rti, plan->rtable);
    if (StreamOfEntry(rte) != nullptr) RefuseRowLock(rte->relid);
  }
}

// --- The check that nothing reads base rows alone -----------------------------------------------------------------

struct PlanCheck {
  Bitmapset *streams;  // range table indexes
};

void CheckPlan(const Plan *plan, const PlanCheck *check, const Bitmapset *beside);

// The relation whose delta arm this is, under whatever sorts or gates it; 0 when it is none.
Index ArmOf(const Plan *plan) {
  while (plan != nullptr && !IsDeltaArm(plan)) {
    if (!IsA(plan, Sort) && !IsA(plan, IncrementalSort) && !IsA(plan, Result)) return 0;
    plan = plan->lefttree;
  }
  return plan != nullptr ? reinterpret_cast<const Scan *>(plan)->scanrelid : 0;
}

void CheckChildren(List *plans, const PlanCheck *check) {
  Bitmapset *arms = nullptr;
  ListCell *cell;
  foreach (cell, plans) {
    const Index arm = ArmOf(static_cast<Plan *>(lfirst(cell)));
    if (arm != 0) arms = bms_add_member(arms, static_cast<int>(arm));
  }
  foreach (cell, plans) CheckPlan(static_cast<Plan *>(lfirst(cell)), check, arms);
}

// Raises an error for a scan of a stream table's base that its parent does not complete. beside: stream tables whose
// delta arm is a sibling.
void CheckPlan(const Plan *plan, const PlanCheck *check, const Bitmapset *beside) {
  if (plan == nullptr) return;
  check_stack_depth();
  bool needs_arm = false;
  switch (nodeTag(plan)) {
    case T_SeqScan:
      needs_arm = plan->parallel_aware;
      break;
    case T_IndexScan:
    case T_BitmapHeapScan:
      needs_arm = true;
      break;
    case T_IndexOnlyScan:
      needs_arm = true;
      beside = nullptr;
      break;
    case T_Append:
      CheckChildren(reinterpret_cast<const Append *>(plan)->appendplans, check);
      return;
    case T_MergeAppend:
      CheckChildren(reinterpret_cast<const MergeAppend *>(plan)->mergeplans, check);
      return;
    case T_SubqueryScan:
      CheckPlan(reinterpret_cast<const SubqueryScan *>(plan)->subplan, check, nullptr);
      return;
    case T_Result:  // a gate over the scan
    case T_Sort:
    case T_IncrementalSort:
      CheckPlan(plan->lefttree, check, beside);
      return;
    default:
      break;
  }
  if (needs_arm) {
    const auto rti = static_cast<int>(reinterpret_cast<const Scan *>(plan)->scanrelid);
    if (bms_is_member(rti, check->streams) && !bms_is_member(rti, beside))
      elog(ERROR, "plan reads the base of a stream table without its pending changes");
    return;
  }
  CheckPlan(plan->lefttree, check, nullptr);
  CheckPlan(plan->righttree, check, nullptr);
}

// --- Sources ------------------------------------------------------------------------------------------------------

void AppendSource(PlannedStmt *plan, Oid relid) {
  RangeTblEntry *const rte = makeNode(RangeTblEntry);
  char *const name = get_rel_name(relid);
  if (name == nullptr) return;  // dropped: evaluating the query says so
  rte->rtekind = RTE_RELATION;
  rte->relid = relid;
  rte->relkind = get_rel_relkind(relid);
  rte->rellockmode = AccessShareLock;
  rte->eref = makeAlias(name, NIL);
  compat::RequireNoPermission(rte);
  plan->rtable = lappend(plan->rtable, rte);
}

// Locks and appends what the streams read; streams found among the sources follow in the list.
void LockSources(PlannedStmt *plan, List *streams) {
  List *seen = NIL;
  for (int i = 0; i < list_length(streams); i++) {
    const Stream *const stream = LookupStream(list_nth_oid(streams, i));
    if (stream == nullptr || stream->mode == RefreshMode::Full) continue;
    List *const sources = list_copy(stream->source_relids);
    ListCell *cell;
    foreach (cell, sources) {
      const Oid relid = lfirst_oid(cell);
      if (list_member_oid(seen, relid)) continue;
      seen = lappend_oid(seen, relid);
      LockRelationOid(relid, AccessShareLock);
      AppendSource(plan, relid);
      if (IsStreamRelid(relid)) streams = list_append_unique_oid(streams, relid);
    }
  }
}

// Checks and completes a plan; returns the stream tables that it names.
List *FinishPlan(PlannedStmt *plan) {
  List *streams = NIL;
  PlanCheck check = {};
  Bitmapset *named = nullptr;
  ListCell *cell;
  int rti = 0;
  foreach (cell, plan->rtable) {
    const auto *const rte = static_cast<RangeTblEntry *>(lfirst(cell));
    rti++;
    const Stream *const stream = StreamOfEntry(rte);
    if (stream == nullptr) continue;
    streams = list_append_unique_oid(streams, rte->relid);
    named = bms_add_member(named, rti);
    if (stream->mode != RefreshMode::Full) check.streams = bms_add_member(check.streams, rti);
  }
  if (streams == NIL) return NIL;

  RefuseWrites(plan);
  foreach (cell, streams) {
    const Stream *const stream = LookupStream(lfirst_oid(cell));
    if (stream != nullptr && stream->mode == RefreshMode::Full && !stream->populated && !(planner_depth == 1 && ExplainsOnly()))
      RefuseUnpopulated(stream->relid);
  }
  CheckPlan(plan->planTree, &check, nullptr);
  foreach (cell, plan->subplans) CheckPlan(static_cast<Plan *>(lfirst(cell)), &check, nullptr);
  ProjectEscapingRows(plan, named);
  LockSources(plan, list_copy(streams));
  return streams;
}

PlannedStmt *PlanStatement(Query *parse, const char *query_string, int cursor_options, ParamListInfo bound_params) {
  PlannedStmt *plan = nullptr;
  planner_depth++;
  PG_TRY();
  {
    plan = previous_planner_hook != nullptr ? previous_planner_hook(parse, query_string, cursor_options, bound_params)
                                            : standard_planner(parse, query_string, cursor_options, bound_params);
    List *const streams = FinishPlan(plan);
    if (planner_depth == 1 && ExplainWantsStreams(false)) NoteExplainedStreams(streams);
  }
  PG_FINALLY();
  { planner_depth--; }
  PG_END_TRY();
  return plan;
}

// The stream tables that a plan made earlier names; those that LockSources has appended need no permission.
List *NamedStreams(const PlannedStmt *plan) {
  List *streams = NIL;
  ListCell *cell;
  foreach (cell, plan->rtable) {
    const auto *const rte = static_cast<RangeTblEntry *>(lfirst(cell));
    if (StreamOfEntry(rte) != nullptr && compat::NeedsPermission(rte))
      streams = list_append_unique_oid(streams, rte->relid);
  }
  return streams;
}

// Workers know nothing of the statements that run in the leader's transaction, amid which a stream table must not trust the
// log: a query inside one reads stream tables without workers.
void StartExecutor(QueryDesc *query, int flags) {
  if (ExplainWantsStreams(true) && ((flags & EXEC_FLAG_EXPLAIN_ONLY) != 0 || query->instrument_options != 0))
    NoteExplainedStreams(NamedStreams(query->plannedstmt));
  if (AnyMidStatement() && query->plannedstmt->parallelModeNeeded) {
    ListCell *cell;
    foreach (cell, query->plannedstmt->rtable) {
      const RangeTblEntry *const rte = lfirst_node(RangeTblEntry, cell);
      if (rte->rtekind != RTE_RELATION || !IsStreamRelid(rte->relid)) continue;
      auto *const serial = static_cast<PlannedStmt *>(palloc(sizeof(PlannedStmt)));
      *serial = *query->plannedstmt;
      serial->parallelModeNeeded = false;
      query->plannedstmt = serial;
      break;
    }
  }
  if (previous_executor_start != nullptr)
    previous_executor_start(query, flags);
  else
    standard_ExecutorStart(query, flags);
}

}  // namespace

void InitScanHooks() {
  RegisterDeltaArm();
  InitPathHooks();
  InitExplain();
  previous_planner_hook = planner_hook;
  planner_hook = Callback<PlanStatement>::Call;
  previous_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = Callback<StartExecutor>::Call;
}

}  // namespace pgstream
