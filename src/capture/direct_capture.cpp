// Capture from the plan of a statement; see direct_capture.hpp.
#include "capture/direct_capture.hpp"

#include "capture/capture_triggers.hpp"
#include "capture/direct_delete.hpp"
#include "capture/open_statements.hpp"
#include "capture/row_batch.hpp"
#include "pg/boundary.hpp"
#include "pg/settings.hpp"

namespace pgstream {

namespace {

struct DirectStatement {
  DirectStatement *next;  // the statement that was running when this one started
  PlanState *node;        // below ModifyTable
  ExecProcNodeMtd fetch;
  EState *estate;
  ResultRelInfo *result;
  Relation source;
  SourceCapture *capture;  // in memory until the transaction's end
  CmdType operation;
  bool begun, ended;
  bool undecided;             // the last row is in ModifyTable's hands
  uint64 processed;           // before it was
  TupleTableSlot *plan_slot;  // what node returned
  MemoryContextCallback forget;
  AttrNumber tid_column;  // DELETE: of what node returns
  DeletedRows deleted;
};

DirectStatement *running = nullptr;
ExecutorStart_hook_type next_executor_start = nullptr;

void Forget(void *argument) {
  for (DirectStatement **link = &running; *link != nullptr; link = &(*link)->next)
    if (*link == argument) {
      *link = (*link)->next;
      return;
    }
}

// Where ModifyTable has put the row that it inserted.
TupleTableSlot *InsertedRow(const DirectStatement *statement) {
  const ResultRelInfo *result = statement->result;
  return result->ri_projectNew == nullptr && result->ri_newTupleSlot->tts_ops == statement->plan_slot->tts_ops
             ? statement->plan_slot
             : result->ri_newTupleSlot;
}

void CaptureRow(DirectStatement *statement) {
  const SourceCapture *capture = StillCapture(statement->capture, statement->source);
  if (unlikely(!capture->logged)) return;
  if (statement->operation == CMD_INSERT)
    BatchRow(capture, +1, InsertedRow(statement));
  else
    BatchPair(capture, statement->result->ri_oldTupleSlot, statement->result->ri_newTupleSlot);
}

// A row kept by a trigger, met already, or gone in its latest version, was not processed.
void Decide(DirectStatement *statement) {
  if (!statement->undecided) return;
  statement->undecided = false;
  const bool written = statement->estate->es_processed != statement->processed;
  if (statement->operation != CMD_DELETE) {
    if (written) CaptureRow(statement);
  } else if (!written) {
    --statement->deleted.count;
  }
}

void End(DirectStatement *statement) {
  const Oid source = RelationGetRelid(statement->source);
  if (statement->operation == CMD_DELETE) CaptureDeletions(&statement->deleted, statement->source, statement->capture, statement->estate);
  FlushBatch(source);
  CloseStatement(source);
  statement->ended = true;
}

TupleTableSlot *NextRow(PlanState *node) {
  DirectStatement *statement = running;
  while (statement != nullptr && statement->node != node) statement = statement->next;
  if (statement == nullptr) elog(ERROR, "a statement on a captured table is not among those that run");
  if (statement->ended) return statement->fetch(node);
  if (!statement->begun) {
    // BEFORE STATEMENT triggers have run; what they saw was before any change.
    statement->begun = true;
    OpenStatement(RelationGetRelid(statement->source), statement->estate->es_output_cid);
  }
  Decide(statement);
  TupleTableSlot *slot = statement->fetch(node);
  if (TupIsNull(slot)) {
    End(statement);
    return slot;
  }
  if (statement->operation == CMD_DELETE) {
    bool isnull;
    const Datum tid = slot_getattr(slot, statement->tid_column, &isnull);
    if (isnull) elog(ERROR, "ctid is NULL");
    NoteDeletion(&statement->deleted, statement->source, statement->capture, statement->estate,
                 static_cast<ItemPointer>(static_cast<void *>(DatumGetPointer(tid))));
  }
  statement->plan_slot = slot;
  statement->processed = statement->estate->es_processed;
  statement->undecided = true;
  return slot;
}

// The table that a statement writes, if it is one that may be captured directly: captured by statement, whole, and with no
// trigger that is in the way. Open then.
Relation DirectTarget(const PlannedStmt *planned, SourceCapture **capture) {
  if (planned->hasModifyingCTE || !IsA(planned->planTree, ModifyTable)) return nullptr;
  const ModifyTable *plan = reinterpret_cast<const ModifyTable *>(planned->planTree);
  if ((plan->operation != CMD_INSERT && plan->operation != CMD_UPDATE && plan->operation != CMD_DELETE) || !plan->canSetTag ||
      plan->rootRelation != 0 || list_length(plan->resultRelations) != 1 ||
      (plan->onConflictAction != ONCONFLICT_NONE && plan->onConflictAction != ONCONFLICT_NOTHING))
    return nullptr;
  const RangeTblEntry *entry = rt_fetch(linitial_int(plan->resultRelations), planned->rtable);
  // The statement has locked it.
  Relation source = table_open(entry->relid, NoLock);
  if (source->trigdesc != nullptr && source->rd_rel->relkind == RELKIND_RELATION &&
      source->rd_rel->relam == HEAP_TABLE_AM_OID) {
    *capture = KnownSourceCapture(entry->relid);
    if (*capture == nullptr && HasStatementCapture(source->trigdesc)) *capture = LookupSourceCapture(source, entry->relid);
    if (*capture != nullptr && (*capture)->logged && (*capture)->valid && ((*capture)->direct & (1u << plan->operation)) != 0)
      return source;
  }
  table_close(source, NoLock);
  return nullptr;
}

void StartNext(QueryDesc *query, int eflags) {
  if (next_executor_start != nullptr)
    next_executor_start(query, eflags);
  else
    standard_ExecutorStart(query, eflags);
}

// Starts the statement with a target that shows no capture triggers. The statement takes a copy of what triggers there are, and
// holds a lock that keeps others from changing them.
void StartWithoutTriggers(QueryDesc *query, int eflags, Relation source, bool only) {
  TriggerDesc *const all = source->trigdesc;
  TriggerDesc *const others = only ? nullptr : WithoutStatementCapture(all);
  source->trigdesc = others;
  PG_TRY();
  { StartNext(query, eflags); }
  PG_FINALLY();
  {
    // An invalidation may have read the relation anew, and freed what it found there.
    if (source->trigdesc == others) {
      source->trigdesc = all;
      FreeTriggerDesc(others);
    } else {
      FreeTriggerDesc(all);
    }
  }
  PG_END_TRY();
}

void Install(QueryDesc *query, Relation source, SourceCapture *capture, bool only) {
  ModifyTableState *state = castNode(ModifyTableState, query->planstate);
  ResultRelInfo *result = state->resultRelInfo;
  // Where the triggers are there after all, they capture.
  if (result->ri_TrigDesc != nullptr && (only || HasStatementCapture(result->ri_TrigDesc))) return;
  if (state->mt_nrels != 1 || result->ri_RelationDesc != source ||
      (state->operation != CMD_INSERT && !AttributeNumberIsValid(result->ri_RowIdAttNo)))
    elog(ERROR, "a statement on relation %u is not what its plan was", RelationGetRelid(source));
  PlanState *node = outerPlanState(state);
  auto *statement =
      static_cast<DirectStatement *>(MemoryContextAlloc(query->estate->es_query_cxt, sizeof(DirectStatement)));
  statement->node = node;
  statement->fetch = node->ExecProcNodeReal;
  statement->estate = query->estate;
  statement->result = result;
  statement->source = source;
  statement->capture = capture;
  statement->operation = state->operation;
  statement->begun = statement->ended = statement->undecided = false;
  statement->processed = 0;
  statement->plan_slot = nullptr;
  statement->tid_column = result->ri_RowIdAttNo;
  InitDeletedRows(&statement->deleted);
  statement->forget.func = Forget;
  statement->forget.arg = statement;
  MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &statement->forget);
  statement->next = running;
  running = statement;
  ExecSetExecProcNode(node, Callback<NextRow>::Call);
}

void StartExecutor(QueryDesc *query, int eflags) {
  // Foreign keys cascade by a statement for each row of the other table, and the trigger gathers all of them: EXEC_FLAG_SKIP_TRIGGERS.
  Relation source = nullptr;
  SourceCapture *capture = nullptr;
  if (query->operation != CMD_SELECT && (eflags & (EXEC_FLAG_EXPLAIN_ONLY | EXEC_FLAG_SKIP_TRIGGERS)) == 0 && IsPreloaded())
    source = DirectTarget(query->plannedstmt, &capture);
  if (source == nullptr) {
    StartNext(query, eflags);
    return;
  }
  const bool only = capture->only_triggers;
  StartWithoutTriggers(query, eflags, source, only);
  Install(query, source, capture, only);
  table_close(source, NoLock);
}

}  // namespace

void InitDirectCapture() {
  next_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = Callback<StartExecutor>::Call;
}

}  // namespace pgstream
