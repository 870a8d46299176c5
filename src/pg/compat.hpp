// What differs between PostgreSQL 15, 16, 17 and 18, under the newest signature.
//
// Promises: no other file tests PG_VERSION_NUM. Each wrapper says which version brought the change, so that it can be
// deleted when older ones go.
#pragma once

extern "C" {
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/sortsupport.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
}

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "pg_stream needs PostgreSQL 15, 16, 17 or 18"
#endif

namespace pgstream::compat {

// For data whose representation is the server's own business, such as stored aggregate states.
inline constexpr uint8 kServerMajor = PG_VERSION_NUM / 10000;
// For native code, which goes by the layout of nothing but may call any function.
inline constexpr int kServerVersion = PG_VERSION_NUM;

// 16: pg_class_ownercheck became object_ownercheck.
inline bool OwnsRelation(Oid relid, Oid role) {
#if PG_VERSION_NUM >= 160000
  return object_ownercheck(RelationRelationId, relid, role);
#else
  return pg_class_ownercheck(relid, role);
#endif
}

// 16: pgstat_fetch_stat_local_beentry became pgstat_get_local_beentry_by_index. Of 1 to pgstat_fetch_stat_numbackends().
inline const PgBackendStatus *BackendStatus(int index) {
#if PG_VERSION_NUM >= 160000
  const LocalPgBackendStatus *local = pgstat_get_local_beentry_by_index(index);
#else
  const LocalPgBackendStatus *local = pgstat_fetch_stat_local_beentry(index);
#endif
  return local != nullptr ? &local->backendStatus : nullptr;
}

// 16: pg_proc_aclcheck became object_aclcheck.
inline bool MayExecute(Oid function, Oid role) {
#if PG_VERSION_NUM >= 160000
  return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
  return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

// 16: per-relation permissions moved from the range table entry to RTEPermissionInfo. Makes rte need no permission.
inline void RequireNoPermission(RangeTblEntry *rte) {
#if PG_VERSION_NUM >= 160000
  rte->perminfoindex = 0;
#else
  rte->requiredPerms = 0;
#endif
}

inline bool NeedsPermission(const RangeTblEntry *rte) {
#if PG_VERSION_NUM >= 160000
  return rte->perminfoindex != 0;
#else
  return rte->requiredPerms != 0;
#endif
}

// 18: ExecutorRun lost execute_once.
inline void RunExecutor(QueryDesc *query_desc) {
#if PG_VERSION_NUM >= 180000
  ExecutorRun(query_desc, ForwardScanDirection, 0);
#else
  ExecutorRun(query_desc, ForwardScanDirection, 0L, true);
#endif
}

// 18: CreateQueryDesc arguments are as before, but a query run inside another one needs no cached plan there either.
inline QueryDesc *MakeQueryDesc(PlannedStmt *plan, const char *text, Snapshot snapshot, DestReceiver *receiver,
                                QueryEnvironment *environment) {
  return CreateQueryDesc(plan, text, snapshot, InvalidSnapshot, receiver, nullptr, environment, 0);
}

// The physical identity of a relation's storage. 16: RelFileNode became RelFileLocator.
inline Oid StorageNumber(Relation rel) {
#if PG_VERSION_NUM >= 160000
  return rel->rd_locator.relNumber;
#else
  return rel->rd_node.relNode;
#endif
}

// 16: simple_heap_update and heap_update say by an enum which indexes need new entries. True: the tuple needs entries
// (in summarizing indexes alone when *only_summarizing).
inline bool SimpleHeapUpdate(Relation rel, ItemPointer tid, HeapTuple tuple, bool *only_summarizing) {
#if PG_VERSION_NUM >= 160000
  TU_UpdateIndexes update_indexes = TU_All;
  simple_heap_update(rel, tid, tuple, &update_indexes);
  *only_summarizing = update_indexes == TU_Summarizing;
  return update_indexes != TU_None;
#else
  simple_heap_update(rel, tid, tuple);
  *only_summarizing = false;
  return !HeapTupleIsHeapOnly(tuple);
#endif
}

// 16: ExecInsertIndexTuples gained onlySummarizing.
inline List *InsertIndexTuples(ResultRelInfo *info, TupleTableSlot *slot, EState *estate, bool update,
                               bool only_summarizing) {
#if PG_VERSION_NUM >= 160000
  return ExecInsertIndexTuples(info, slot, estate, update, false, nullptr, NIL, only_summarizing);
#else
  (void)only_summarizing;
  return ExecInsertIndexTuples(info, slot, estate, update, false, nullptr, NIL);
#endif
}

// 18: PrepareSortSupportFromIndexRel says the direction by a flag, not by a strategy number.
inline void PrepareIndexSort(Relation index, bool descending, SortSupport sort) {
#if PG_VERSION_NUM >= 180000
  PrepareSortSupportFromIndexRel(index, descending, sort);
#else
  PrepareSortSupportFromIndexRel(index, descending ? BTGreaterStrategyNumber : BTLessStrategyNumber, sort);
#endif
}

// 16: the tree walkers take typed callbacks through macros; before, callbacks of no declared parameters, which C++ reads
// as having none.
using TreeWalker = bool (*)(Node *node, void *context);
using TreeMutator = Node *(*)(Node *node, void *context);

inline bool WalkExpression(Node *node, TreeWalker walker, void *context) {
#if PG_VERSION_NUM >= 160000
  return expression_tree_walker(node, walker, context);
#else
  return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)), context);
#endif
}

inline bool WalkQuery(Query *query, TreeWalker walker, void *context, int flags) {
#if PG_VERSION_NUM >= 160000
  return query_tree_walker(query, walker, context, flags);
#else
  return query_tree_walker(query, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)), context, flags);
#endif
}

inline Node *MutateExpression(Node *node, TreeMutator mutator, void *context) {
#if PG_VERSION_NUM >= 160000
  return expression_tree_mutator(node, mutator, context);
#else
  return expression_tree_mutator(node, reinterpret_cast<Node *(*)()>(reinterpret_cast<void *>(mutator)), context);
#endif
}

// 16: SQL/JSON constructors. The values that one turns into JSON; NIL for other nodes.
inline List *JsonConstructorArguments(Node *node) {
#if PG_VERSION_NUM >= 160000
  if (IsA(node, JsonConstructorExpr)) return reinterpret_cast<JsonConstructorExpr *>(node)->args;
#else
  (void)node;
#endif
  return NIL;
}

// 17: SQL/JSON query functions.
inline bool IsJsonQuery(const Node *node) {
#if PG_VERSION_NUM >= 170000
  return IsA(node, JsonExpr);
#else
  (void)node;
  return false;
#endif
}

// 18: grouping expressions moved to a range table entry of their own, which output and HAVING refer to. Puts the
// expressions back where they were and removes the entry, so that the query looks as it did before 18.
inline void FlattenGroupExpressions(Query *query) {
#if PG_VERSION_NUM >= 180000
  if (!query->hasGroupRTE) return;
  query->targetList =
      reinterpret_cast<List *>(flatten_group_exprs(nullptr, query, reinterpret_cast<Node *>(query->targetList)));
  query->havingQual = flatten_group_exprs(nullptr, query, query->havingQual);
  query->hasGroupRTE = false;
  if (static_cast<RangeTblEntry *>(llast(query->rtable))->rtekind != RTE_GROUP)
    elog(ERROR, "the range table entry of the grouping is not the last one");
  query->rtable = list_delete_last(query->rtable);
#else
  (void)query;
#endif
}

// 18: ReplaceVarsFromTargetList takes a result relation. Replaces the variables of one range table entry, in the level of
// node, by the expressions of a target list.
inline Node *ReplaceVars(Node *node, int varno, RangeTblEntry *entry, List *targets) {
#if PG_VERSION_NUM >= 180000
  return ReplaceVarsFromTargetList(node, varno, 0, entry, targets, 0, REPLACEVARS_REPORT_ERROR, 0, nullptr);
#else
  return ReplaceVarsFromTargetList(node, varno, 0, entry, targets, REPLACEVARS_REPORT_ERROR, 0, nullptr);
#endif
}

// 16: permissions lie beside the range table. Appends the range table of `from`, which is given up, to that of `to`.
inline void AppendRangeTable(Query *to, Query *from) {
#if PG_VERSION_NUM >= 160000
  CombineRangeTables(&to->rtable, &to->rteperminfos, from->rtable, from->rteperminfos);
#else
  to->rtable = list_concat(to->rtable, from->rtable);
#endif
}

// The same: puts the range table of `from`, which is given up, before that of `to`, whose variables know of it already.
inline void PrependRangeTable(Query *to, Query *from) {
#if PG_VERSION_NUM >= 160000
  CombineRangeTables(&from->rtable, &from->rteperminfos, to->rtable, to->rteperminfos);
  to->rteperminfos = from->rteperminfos;
  to->rtable = from->rtable;
#else
  to->rtable = list_concat(from->rtable, to->rtable);
#endif
}

// The same: visits (relation, user, columns) of each permission to SELECT that this level of a query asks for.
template <class Visitor>
void VisitSelectPermissions(const Query *query, Visitor visit) {
  ListCell *cell;
#if PG_VERSION_NUM >= 160000
  foreach (cell, query->rteperminfos) {
    const RTEPermissionInfo *const info = lfirst_node(RTEPermissionInfo, cell);
    if ((info->requiredPerms & ACL_SELECT) != 0) visit(info->relid, info->checkAsUser, info->selectedCols);
  }
#else
  foreach (cell, query->rtable) {
    const RangeTblEntry *const entry = lfirst_node(RangeTblEntry, cell);
    if (entry->rtekind == RTE_RELATION && (entry->requiredPerms & ACL_SELECT) != 0)
      visit(entry->relid, entry->checkAsUser, entry->selectedCols);
  }
#endif
}

// 18: index_beginscan gained instrumentation.
inline IndexScanDesc BeginIndexScan(Relation heap, Relation index, Snapshot snapshot, int nkeys, int norderbys) {
#if PG_VERSION_NUM >= 180000
  return index_beginscan(heap, index, snapshot, nullptr, nkeys, norderbys);
#else
  return index_beginscan(heap, index, snapshot, nkeys, norderbys);
#endif
}

// 16: RelationSetNewRelfilenode became RelationSetNewRelfilenumber. Gives the relation new, empty storage, within the
// transaction.
inline void SetNewStorage(Relation rel) {
#if PG_VERSION_NUM >= 160000
  RelationSetNewRelfilenumber(rel, rel->rd_rel->relpersistence);
#else
  RelationSetNewRelfilenode(rel, rel->rd_rel->relpersistence);
#endif
}

// 18: GetRelationPath returns a struct. True when a file of this number is there in the database's own tablespace.
inline bool RelationFileExists(Oid number) {
#if PG_VERSION_NUM >= 180000
  const RelPathStr path = GetRelationPath(MyDatabaseId, MyDatabaseTableSpace, number, INVALID_PROC_NUMBER, MAIN_FORKNUM);
  return access(path.str, F_OK) == 0;
#elif PG_VERSION_NUM >= 170000
  return access(GetRelationPath(MyDatabaseId, MyDatabaseTableSpace, number, INVALID_PROC_NUMBER, MAIN_FORKNUM), F_OK) == 0;
#else
  return access(GetRelationPath(MyDatabaseId, MyDatabaseTableSpace, number, InvalidBackendId, MAIN_FORKNUM), F_OK) == 0;
#endif
}

// 17: reindex_relation gained the statement, for reports to event triggers.
inline void RebuildIndexes(Oid relid) {
  ReindexParams params = {};
#if PG_VERSION_NUM >= 170000
  reindex_relation(nullptr, relid, 0, &params);
#else
  reindex_relation(relid, 0, &params);
#endif
}

// --- The table access method --------------------------------------------------------------------------------------

// 16: tuple_update says by an enum which indexes need new entries.
#if PG_VERSION_NUM >= 160000
using UpdateIndexes = TU_UpdateIndexes;
#else
using UpdateIndexes = bool;
#endif

// 18: a bitmap scan asks the access method for tuples only, and keeps its iterator in the scan descriptor.
#if PG_VERSION_NUM >= 180000
#define PGSTREAM_BITMAP_SCAN_BY_TUPLE
#endif
inline void CopyScanTypeState(TableScanDesc from, TableScanDesc to) {
#if PG_VERSION_NUM >= 180000
  to->st = from->st;
#else
  (void)from;
  (void)to;
#endif
}

// 17 only: without this flag a bitmap scan may count the rows of all-visible pages without fetching them.
inline constexpr uint32 kScanNeedsTuples =
#if PG_VERSION_NUM >= 170000 && PG_VERSION_NUM < 180000
    SO_NEED_TUPLES;
#else
    0;
#endif

// 18: heap_form_minimal_tuple can leave room in front and takes its arrays as const.
inline MinimalTuple FormMinimalTuple(TupleDesc descriptor, const Datum *values, const bool *isnull) {
#if PG_VERSION_NUM >= 180000
  return heap_form_minimal_tuple(descriptor, values, isnull, 0);
#else
  return heap_form_minimal_tuple(descriptor, const_cast<Datum *>(values), const_cast<bool *>(isnull));
#endif
}

// 17: the local transaction id moved into PGPROC.vxid.
inline LocalTransactionId CurrentLocalTransactionId() {
#if PG_VERSION_NUM >= 170000
  return MyProc->vxid.lxid;
#else
  return MyProc->lxid;
#endif
}

// --- Planner and executor -----------------------------------------------------------------------------------------

// 16: a custom scan node may choose the kind of its scan slot before it is begun; 15 insists on a virtual one, which the
// node has to replace itself when it begins, with all that was compiled for it. The two calls together make the slot of
// kind ops where it matters: in EvalPlanQual, which stores a row version fetched by TID in it, and where the plan asks for
// system columns (needed), which a virtual row lacks.
inline void ChooseScanSlot(CustomScanState *node, const TupleTableSlotOps *ops) {
#if PG_VERSION_NUM >= 160000
  node->slotOps = ops;
#else
  (void)node;
  (void)ops;
#endif
}
inline void ReplaceScanSlot(CustomScanState *node, EState *estate, const TupleTableSlotOps *ops, bool needed) {
#if PG_VERSION_NUM >= 160000
  (void)node;
  (void)estate;
  (void)ops;
  (void)needed;
#else
  if (estate->es_epq_active == nullptr && !needed) return;
  const auto *const plan = reinterpret_cast<Scan *>(node->ss.ps.plan);
  ExecInitScanTupleSlot(estate, &node->ss, RelationGetDescr(node->ss.ss_currentRelation), ops);
  ExecAssignScanProjectionInfoWithVarno(&node->ss, static_cast<int>(plan->scanrelid));
  node->ss.ps.subPlan = NIL;  // of the first compilation
  node->ss.ps.qual = ExecInitQual(plan->plan.qual, &node->ss.ps);
#endif
}

// 17: the standard behaviour of EXPLAIN for one query became callable by plugins.
inline void StandardExplainOneQuery(Query *query, int cursor_options, IntoClause *into, ExplainState *es,
                                    const char *query_string, ParamListInfo params, QueryEnvironment *environment) {
#if PG_VERSION_NUM >= 170000
  standard_ExplainOneQuery(query, cursor_options, into, es, query_string, params, environment);
#else
  instr_time started, duration;
  BufferUsage before, used;
  if (es->buffers) before = pgBufferUsage;
  INSTR_TIME_SET_CURRENT(started);
  PlannedStmt *const plan = pg_plan_query(query, query_string, cursor_options, params);
  INSTR_TIME_SET_CURRENT(duration);
  INSTR_TIME_SUBTRACT(duration, started);
  if (es->buffers) {
    memset(&used, 0, sizeof(used));
    BufferUsageAccumDiff(&used, &pgBufferUsage, &before);
  }
  ExplainOnePlan(plan, into, es, query_string, params, environment, &duration, es->buffers ? &used : nullptr);
#endif
}

// 16: ExecutorCheckPerms_hook is given the permissions beside the range table. A hook that calls Check with each relation that
// the statement needs a right to write (or lock rows of), after whoever was hooked before it.
inline constexpr AclMode kWriteRights = ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE;
#if PG_VERSION_NUM >= 160000
template <void (*Check)(Oid), ExecutorCheckPerms_hook_type *previous>
bool CheckPermissions(List *range_table, List *permissions, bool report) {
  ListCell *cell;
  foreach (cell, permissions) {
    const auto *const needed = static_cast<RTEPermissionInfo *>(lfirst(cell));
    if ((needed->requiredPerms & kWriteRights) != 0) Check(needed->relid);
  }
  return *previous == nullptr || (*previous)(range_table, permissions, report);
}
#else
template <void (*Check)(Oid), ExecutorCheckPerms_hook_type *previous>
bool CheckPermissions(List *range_table, bool report) {
  ListCell *cell;
  foreach (cell, range_table) {
    const auto *const entry = static_cast<RangeTblEntry *>(lfirst(cell));
    if (entry->rtekind == RTE_RELATION && (entry->requiredPerms & kWriteRights) != 0) Check(entry->relid);
  }
  return *previous == nullptr || (*previous)(range_table, report);
}
#endif

}  // namespace pgstream::compat
