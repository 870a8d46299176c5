// Running queries inside reads and folds; see evaluate.hpp.
#include "delta/evaluate.hpp"

#include "pg/boundary.hpp"
#include "pg/query_shape.hpp"

extern "C" {
#include "access/gin.h"
#include "tcop/dest.h"
#include "utils/queryenvironment.h"
}

namespace pgstream {

void EnterOwnerScope(const Stream *stream, OwnerScope *scope) {
  GetUserIdAndSecContext(&scope->saved_user, &scope->saved_context);
  SetUserIdAndSecContext(stream->owner, scope->saved_context | SECURITY_RESTRICTED_OPERATION);
  scope->guc_level = NewGUCNestLevel();
  (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                          false);
  LiftRelationRestrictions();
  // An index scan that leaves out rows at random is nobody's definition.
  if (GinFuzzySearchLimit != 0)
    (void)set_config_option("gin_fuzzy_search_limit", "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  const Dependence *depends = &stream->plan->dependence;
  ApplyRecordedSettings(stream->nsettings, stream->settings, depends->settings, depends->default_text_search);
}

// By the executor's rules: the table, or each column used (any column where none is). columns are offset as in a range
// table entry.
static bool MayRead(Oid user, Oid relid, const Bitmapset *columns) {
  if (pg_class_aclcheck(relid, user, ACL_SELECT) == ACLCHECK_OK) return true;
  if (bms_is_empty(columns)) return pg_attribute_aclcheck_all(relid, user, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
  int offset = -1;
  while ((offset = bms_next_member(columns, offset)) >= 0) {
    const auto column = static_cast<AttrNumber>(offset + FirstLowInvalidHeapAttributeNumber);
    const AclResult result = column == InvalidAttrNumber
                                 ? pg_attribute_aclcheck_all(relid, user, ACL_SELECT, ACLMASK_ALL)
                                 : pg_attribute_aclcheck(relid, column, user, ACL_SELECT);
    if (result != ACLCHECK_OK) return false;
  }
  return true;
}

void CheckOwnerMayRead(const Stream *stream) {
  ListCell *cell;
  foreach (cell, stream->plan->permissions) {
    const auto *needed = static_cast<const NeededPermission *>(lfirst(cell));
    if (!MayRead(OidIsValid(needed->user) ? needed->user : stream->owner, needed->relid, needed->columns))
      aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(needed->relid)),
                     get_rel_name(needed->relid));
  }
}

void LeaveOwnerScope(const OwnerScope *scope) {
  AtEOXact_GUC(false, scope->guc_level);
  SetUserIdAndSecContext(scope->saved_user, scope->saved_context);
}

namespace {

struct VisitingReceiver {
  DestReceiver base;
  RowVisitor visit;
  void *argument;
  uint64 rows;
};

bool ReceiveRow(TupleTableSlot *slot, DestReceiver *self) {
  auto *receiver = reinterpret_cast<VisitingReceiver *>(self);
  receiver->visit(slot, receiver->argument);
  ++receiver->rows;
  return true;
}

void Startup(DestReceiver *, int, TupleDesc) {}
void Nothing(DestReceiver *) {}

}  // namespace

PlannedStmt *PlanForRun(const Query *query, Snapshot snapshot, int cursor_options) {
  Query *copy = static_cast<Query *>(copyObjectImpl(query));
  AcquireRewriteLocks(copy, true, false);
  List *rewritten = QueryRewrite(copy);
  if (list_length(rewritten) != 1) elog(ERROR, "unexpected rewrite result for the query of a stream table");
  PushActiveSnapshot(snapshot);
  PlannedStmt *plan = pg_plan_query(linitial_node(Query, rewritten), "pg_stream", cursor_options, nullptr);
  PopActiveSnapshot();
  return plan;
}

void CheckPlanMayRun(PlannedStmt *plan, Snapshot snapshot) {
  // Nothing of it runs here: the server's JIT would load its LLVM, and compile, for nothing.
  const int jit_flags = plan->jitFlags;
  plan->jitFlags = 0;
  QueryDesc *query_desc = compat::MakeQueryDesc(plan, "pg_stream", snapshot, None_Receiver, nullptr);
  ExecutorStart(query_desc, EXEC_FLAG_EXPLAIN_ONLY);
  ExecutorEnd(query_desc);
  FreeQueryDesc(query_desc);
  plan->jitFlags = jit_flags;
}

void CheckMayRun(const Stream *stream) {
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  PushActiveSnapshot(GetTransactionSnapshot());
  CheckPlanMayRun(PlanForRun(stream->plan->query, GetActiveSnapshot()), GetActiveSnapshot());
  PopActiveSnapshot();
  LeaveOwnerScope(&scope);
}

uint64 RunPlan(PlannedStmt *plan, Snapshot snapshot, QueryEnvironment *environment, RowVisitor visit, void *argument) {
  VisitingReceiver receiver = {};
  receiver.base.receiveSlot = ReceiveRow;
  receiver.base.rStartup = Startup;
  receiver.base.rShutdown = Nothing;
  receiver.base.rDestroy = Nothing;
  receiver.base.mydest = DestNone;
  receiver.visit = visit;
  receiver.argument = argument;

  PushActiveSnapshot(snapshot);
  QueryDesc *query_desc = compat::MakeQueryDesc(plan, "pg_stream", snapshot, &receiver.base, environment);
  ExecutorStart(query_desc, 0);
  compat::RunExecutor(query_desc);
  ExecutorFinish(query_desc);
  ExecutorEnd(query_desc);
  FreeQueryDesc(query_desc);
  PopActiveSnapshot();
  return receiver.rows;
}

uint64 RunQuery(const Query *query, Snapshot snapshot, RowVisitor visit, void *argument) {
  return RunPlan(PlanForRun(query, snapshot), snapshot, nullptr, visit, argument);
}

}  // namespace pgstream
