// Deleted rows straight from the heap; see direct_delete.hpp.
//
// The plan below ModifyTable gets a wrapper that sees each TID before ModifyTable has it, and learns from the statement's count
// of processed rows, at the next call, whether that row was deleted. Which version it was is in the tuple headers: the one
// whose deleter is this transaction, by this statement's command id.
#include "capture/direct_delete.hpp"

#include "capture/capture_run.hpp"
#include "capture/capture_triggers.hpp"
#include "capture/change_log.hpp"
#include "pg/boundary.hpp"

namespace pgstream {

namespace {

// TIDs kept at a time: 384 kB. A chunk ends with a record that is not full.
constexpr int kMostTids = 65536;
constexpr int kFirstTids = 32;

struct DirectDelete {
  DirectDelete *next;  // the statement that was running when this one started
  PlanState *node;
  ExecProcNodeMtd fetch;
  EState *estate;
  Relation source;
  AttrNumber tid_column;  // of what node returns
  bool undecided;         // the last TID is in ModifyTable's hands
  uint64 processed;       // before it was
  int count, capacity;
  ItemPointerData *tids;  // first_tids, or in the query's memory
  MemoryContextCallback forget;
  ItemPointerData first_tids[kFirstTids];
};

DirectDelete *running = nullptr;
ExecutorStart_hook_type next_executor_start = nullptr;

void Forget(void *argument) {
  for (DirectDelete **link = &running; *link != nullptr; link = &(*link)->next)
    if (*link == argument) {
      *link = (*link)->next;
      return;
    }
}

bool DeletedHere(HeapTupleHeader header, const ItemPointerData *self, CommandId command) {
  if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask)) return false;
  return ItemPointerEquals(&header->t_ctid, const_cast<ItemPointer>(self)) &&
         TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header)) &&
         HeapTupleHeaderGetCmax(header) == command;
}

// The tuple at a TID, on a page that is locked. False when there is none.
bool TupleAt(Relation rel, Buffer buffer, const ItemPointerData *tid, HeapTuple tuple) {
  const Page page = BufferGetPage(buffer);
  const OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
  if (offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page)) return false;
  const ItemId item = PageGetItemId(page, offset);
  if (!ItemIdIsNormal(item)) return false;
  tuple->t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
  tuple->t_len = ItemIdGetLength(item);
  tuple->t_tableOid = RelationGetRelid(rel);
  tuple->t_self = *tid;
  return true;
}

// The version that was deleted, where it is not the one that the statement's snapshot showed: the statement followed the updates
// that others committed meanwhile, and so does this. On success the tuple's buffer is pinned.
bool FindLaterVersion(const DirectDelete *statement, ItemPointerData tid, HeapTuple tuple, Buffer *buffer) {
  TransactionId updater = InvalidTransactionId;
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    *buffer = ReadBuffer(statement->source, ItemPointerGetBlockNumber(&tid));
    LockBuffer(*buffer, BUFFER_LOCK_SHARE);
    bool found = false, more = false;
    if (TupleAt(statement->source, *buffer, &tid, tuple)) {
      const HeapTupleHeader header = tuple->t_data;
      if (!TransactionIdIsValid(updater) || TransactionIdEquals(updater, HeapTupleHeaderGetXmin(header))) {
        found = DeletedHere(header, &tid, statement->estate->es_output_cid);
        more = !found && (header->t_infomask & HEAP_XMAX_INVALID) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
               !HeapTupleHeaderIndicatesMovedPartitions(header) && !ItemPointerEquals(&header->t_ctid, &tid);
        if (more) {
          updater = HeapTupleHeaderGetUpdateXid(header);
          tid = header->t_ctid;
        }
      }
    }
    LockBuffer(*buffer, BUFFER_LOCK_UNLOCK);
    if (found) return true;
    ReleaseBuffer(*buffer);
    if (!more) return false;
  }
}

// Captures the rows of the TIDs, which are all deleted by now.
void CaptureTids(const DirectDelete *statement, CaptureRun *run, const SourceCapture *capture, TupleTableSlot *slot) {
  Buffer buffer = InvalidBuffer;
  HeapTupleData tuples[MaxHeapTuplesPerPage];
  bool found[MaxHeapTuplesPerPage];
  for (int first = 0; first < statement->count;) {
    CHECK_FOR_INTERRUPTS();
    const BlockNumber block = ItemPointerGetBlockNumber(&statement->tids[first]);
    buffer = ReleaseAndReadBuffer(buffer, statement->source, block);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    int n = 0;
    while (first + n < statement->count && n < static_cast<int>(lengthof(tuples)) &&
           ItemPointerGetBlockNumber(&statement->tids[first + n]) == block) {
      const ItemPointerData *tid = &statement->tids[first + n];
      found[n] = TupleAt(statement->source, buffer, tid, &tuples[n]) &&
                 DeletedHere(tuples[n].t_data, tid, statement->estate->es_output_cid);
      ++n;
    }
    LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
    // While the page is pinned its tuples stay where they are.
    for (int i = 0; i < n; ++i) {
      if (found[i]) {
        ExecStoreBufferHeapTuple(&tuples[i], slot, buffer);
        CaptureOne(run, capture, -1, slot);
        continue;
      }
      HeapTupleData later;
      Buffer its_buffer;
      if (!FindLaterVersion(statement, statement->tids[first + i], &later, &its_buffer)) {
        // Not to be: but then the log says that it does not know.
        LogTruncation(run->source, run->segments, run->nsegments);
        continue;
      }
      ExecStorePinnedBufferHeapTuple(&later, slot, its_buffer);
      CaptureOne(run, capture, -1, slot);
    }
    first += n;
  }
  ExecClearTuple(slot);
  if (BufferIsValid(buffer)) ReleaseBuffer(buffer);
}

void CaptureChunk(DirectDelete *statement) {
  SourceCapture *capture = LookupSourceCapture(statement->source, RelationGetRelid(statement->source));
  if (statement->count > 0 && capture->logged) {
    // As with those of the transition tables: an error leaves no slot to be used again.
    TupleTableSlot *slot = capture->heap_slot;
    capture->heap_slot = nullptr;
    if (slot == nullptr) {
      const MemoryContext saved = MemoryContextSwitchTo(capture->context);
      slot = MakeSingleTupleTableSlot(capture->descriptor, &TTSOpsBufferHeapTuple);
      MemoryContextSwitchTo(saved);
    }
    CaptureRun run = BeginRun(capture);
    CaptureTids(statement, &run, capture, slot);
    EndRun(&run);
    capture->heap_slot = slot;
  }
  statement->count = 0;
}

TupleTableSlot *NextRow(PlanState *node) {
  DirectDelete *statement = running;
  while (statement != nullptr && statement->node != node) statement = statement->next;
  if (statement == nullptr) elog(ERROR, "a DELETE is not among those that run");
  // A row kept by a trigger, deleted already, or gone in its latest version, was not processed.
  if (statement->undecided && statement->estate->es_processed == statement->processed) --statement->count;
  statement->undecided = false;
  TupleTableSlot *slot = statement->fetch(node);
  if (TupIsNull(slot)) {
    CaptureChunk(statement);
    return slot;
  }
  if (statement->count == kMostTids) CaptureChunk(statement);
  if (statement->count == statement->capacity) {
    const int capacity = Min(statement->capacity * 8, kMostTids);
    if (statement->tids == statement->first_tids) {
      statement->tids = static_cast<ItemPointerData *>(
          MemoryContextAlloc(statement->estate->es_query_cxt, sizeof(ItemPointerData) * capacity));
      memcpy(statement->tids, statement->first_tids, sizeof(statement->first_tids));
    } else {
      statement->tids = static_cast<ItemPointerData *>(repalloc(statement->tids, sizeof(ItemPointerData) * capacity));
    }
    statement->capacity = capacity;
  }
  bool isnull;
  const Datum tid = slot_getattr(slot, statement->tid_column, &isnull);
  if (isnull) elog(ERROR, "ctid is NULL");
  statement->tids[statement->count++] = *static_cast<ItemPointer>(static_cast<void *>(DatumGetPointer(tid)));
  statement->processed = statement->estate->es_processed;
  statement->undecided = true;
  return slot;
}

// The capture trigger is there and fires, and no other trigger wants the deleted rows as a table. *others: some other trigger
// wants each of them.
bool OnlyWeWantTheTable(const TriggerDesc *triggers, bool *others) {
  bool ours = false;
  *others = false;
  for (int i = 0; i < triggers->numtriggers; ++i) {
    const Trigger *trigger = &triggers->triggers[i];
    if (!TRIGGER_FOR_DELETE(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype)) continue;
    const bool mine = trigger->tgisinternal && IsCaptureTriggerName(trigger->tgname);
    if (TRIGGER_FOR_ROW(trigger->tgtype)) {
      if (!mine) *others = true;
    } else if (trigger->tgoldtable != nullptr) {
      if (!mine || trigger->tgenabled != TRIGGER_FIRES_ALWAYS) return false;
      ours = true;
    }
  }
  return ours;
}

void Install(QueryDesc *query) {
  if (query->planstate == nullptr || !IsA(query->planstate, ModifyTableState) || query->plannedstmt->hasModifyingCTE) return;
  ModifyTableState *state = reinterpret_cast<ModifyTableState *>(query->planstate);
  ResultRelInfo *result = state->resultRelInfo;
  if (state->operation != CMD_DELETE || !state->canSetTag || state->mt_nrels != 1 || state->rootResultRelInfo != result ||
      state->mt_transition_capture == nullptr || !state->mt_transition_capture->tcs_delete_old_table ||
      !AttributeNumberIsValid(result->ri_RowIdAttNo))
    return;
  Relation source = result->ri_RelationDesc;
  bool others;
  if (source->rd_rel->relkind != RELKIND_RELATION || source->rd_rel->relam != HEAP_TABLE_AM_OID ||
      !OnlyWeWantTheTable(result->ri_TrigDesc, &others))
    return;

  PlanState *node = outerPlanState(state);
  auto *statement =
      static_cast<DirectDelete *>(MemoryContextAlloc(query->estate->es_query_cxt, sizeof(DirectDelete)));
  statement->node = node;
  statement->fetch = node->ExecProcNodeReal;
  statement->estate = query->estate;
  statement->source = source;
  statement->tid_column = result->ri_RowIdAttNo;
  statement->undecided = false;
  statement->processed = 0;
  statement->count = 0;
  statement->capacity = kFirstTids;
  statement->tids = statement->first_tids;
  statement->forget.func = Forget;
  statement->forget.arg = statement;
  MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &statement->forget);
  statement->next = running;
  running = statement;
  ExecSetExecProcNode(node, Callback<NextRow>::Call);
  // Both are copies of this statement's. A row trigger of ours has nothing to do while a statement is open.
  state->mt_transition_capture->tcs_delete_old_table = false;
  if (!others) result->ri_TrigDesc->trig_delete_after_row = false;
}

void StartExecutor(QueryDesc *query, int eflags) {
  if (next_executor_start != nullptr)
    next_executor_start(query, eflags);
  else
    standard_ExecutorStart(query, eflags);
  // Foreign keys cascade by a statement for each row of the other table, and the trigger gathers all of them: EXEC_FLAG_SKIP_TRIGGERS.
  if (query->operation == CMD_DELETE && (eflags & (EXEC_FLAG_EXPLAIN_ONLY | EXEC_FLAG_SKIP_TRIGGERS)) == 0) Install(query);
}

}  // namespace

void InitDirectDelete() {
  next_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = Callback<StartExecutor>::Call;
}

}  // namespace pgstream
