// Running queries inside reads and folds; see evaluate.hpp.
#include "delta/evaluate.hpp"

#include "pg/boundary.hpp"

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
  // Off is how a reader (pg_dump) asks for an error rather than fewer rows; here the owner's policies are the definition.
  (void)set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  LiftRelationRestrictions();
  // An index scan that leaves out rows at random is nobody's definition.
  if (GinFuzzySearchLimit != 0)
    (void)set_config_option("gin_fuzzy_search_limit", "0", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  const Dependence *depends = &stream->plan->dependence;
  ApplyRecordedSettings(stream->nsettings, stream->settings, depends->settings, depends->default_text_search);
}

// By the executor's rules: the table, or each column used (any column where none is).
static bool MayRead(Oid user, Oid relid, const Bitmapset *columns) {
  if (pg_class_aclcheck(relid, user, ACL_SELECT) == ACLCHECK_OK) return true;
  if (bms_is_empty(columns)) return pg_attribute_aclcheck_all(relid, user, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK;
  int column = -1;
  while ((column = bms_next_member(columns, column)) >= 0)
    if (pg_attribute_aclcheck(relid, static_cast<AttrNumber>(column), user, ACL_SELECT) != ACLCHECK_OK) return false;
  return true;
}

void CheckOwnerMayRead(const Stream *stream) {
  for (int i = 0; i < stream->nsources; ++i) {
    const Oid relid = stream->sources[i].relid;
    if (!MayRead(stream->owner, relid, stream->plan->columns[i]))
      aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
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

// Under the active snapshot.
PlannedStmt *PlanQuery(const Query *query) {
  Query *copy = static_cast<Query *>(copyObjectImpl(query));
  AcquireRewriteLocks(copy, true, false);
  List *rewritten = QueryRewrite(copy);
  if (list_length(rewritten) != 1) elog(ERROR, "unexpected rewrite result for the query of a stream table");
  return pg_plan_query(linitial_node(Query, rewritten), "pg_stream", 0, nullptr);
}

}  // namespace

void CheckMayRun(const Stream *stream) {
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  PushActiveSnapshot(GetTransactionSnapshot());
  QueryDesc *query_desc =
      compat::MakeQueryDesc(PlanQuery(stream->plan->query), "pg_stream", GetActiveSnapshot(), None_Receiver, nullptr);
  ExecutorStart(query_desc, EXEC_FLAG_EXPLAIN_ONLY);
  ExecutorEnd(query_desc);
  FreeQueryDesc(query_desc);
  PopActiveSnapshot();
  LeaveOwnerScope(&scope);
}

uint64 RunQuery(const Query *query, Snapshot snapshot, QueryEnvironment *environment, RowVisitor visit,
                void *argument) {
  PushActiveSnapshot(snapshot);
  PlannedStmt *plan = PlanQuery(query);

  VisitingReceiver receiver = {};
  receiver.base.receiveSlot = ReceiveRow;
  receiver.base.rStartup = Startup;
  receiver.base.rShutdown = Nothing;
  receiver.base.rDestroy = Nothing;
  receiver.base.mydest = DestNone;
  receiver.visit = visit;
  receiver.argument = argument;

  QueryDesc *query_desc = compat::MakeQueryDesc(plan, "pg_stream", snapshot, &receiver.base, environment);
  ExecutorStart(query_desc, 0);
  compat::RunExecutor(query_desc);
  ExecutorFinish(query_desc);
  ExecutorEnd(query_desc);
  FreeQueryDesc(query_desc);
  PopActiveSnapshot();
  return receiver.rows;
}

}  // namespace pgstream
