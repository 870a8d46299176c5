// The capture trigger: what a statement did, into the change log.
//
// Promises: no query, no catalog lookup once the source is known. Refuses: to tell a source that somebody reads from one that
// nobody does, where only the statement's beginning and end are noted.
#include "capture/capture_run.hpp"
#include "capture/change_log.hpp"
#include "capture/log_limit.hpp"
#include "capture/open_reads.hpp"
#include "capture/open_statements.hpp"
#include "capture/row_batch.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "utils/tuplestore.h"
}

namespace pgstream {

namespace {

// Amid the statement's beginning, when its command id is not known: a trigger that comes before ours may have written, and its
// increment left an id that the statement's changes, which have an older one, are already visible under. So the id is used up.
void OpenByTrigger(Oid source) { OpenStatement(source, GetCurrentCommandId(true)); }

void Rewind(Tuplestorestate *store) {
  tuplestore_select_read_pointer(store, 0);
  tuplestore_rescan(store);
}

void CaptureStatement(CaptureRun *run, SourceCapture *capture, Tuplestorestate *old_rows, Tuplestorestate *new_rows) {
  // Slots that an error left filled are not cleared, as what they held is gone: they were forgotten when taken.
  TupleTableSlot *old_slot = capture->old_slot, *new_slot = capture->new_slot;
  capture->old_slot = capture->new_slot = nullptr;
  const MemoryContext saved = MemoryContextSwitchTo(capture->context);
  if (old_slot == nullptr) old_slot = MakeSingleTupleTableSlot(capture->descriptor, &TTSOpsMinimalTuple);
  if (new_slot == nullptr) new_slot = MakeSingleTupleTableSlot(capture->descriptor, &TTSOpsMinimalTuple);
  MemoryContextSwitchTo(saved);

  if (old_rows != nullptr) Rewind(old_rows);
  if (new_rows != nullptr) Rewind(new_rows);
  if (old_rows != nullptr && new_rows != nullptr) {
    while (tuplestore_gettupleslot(old_rows, true, false, old_slot)) {
      if (!tuplestore_gettupleslot(new_rows, true, false, new_slot))
        elog(ERROR, "an UPDATE of relation %u has more old rows than new ones", capture->key.source);
      CapturePair(run, capture, old_slot, new_slot);
    }
  } else {
    Tuplestorestate *rows = new_rows != nullptr ? new_rows : old_rows;
    const int weight = new_rows != nullptr ? +1 : -1;
    while (tuplestore_gettupleslot(rows, true, false, new_slot)) CaptureOne(run, capture, weight, new_slot);
  }
  ExecClearTuple(old_slot);
  ExecClearTuple(new_slot);
  capture->old_slot = old_slot;
  capture->new_slot = new_slot;
}

// Capture by statement: the source's own triggers.
void CaptureChanges(TriggerData *trigger, SourceCapture *capture) {
  const TriggerEvent event = trigger->tg_event;
  if (TRIGGER_FIRED_BY_TRUNCATE(event)) {
    LogTruncation(capture->key.source, capture->segments, capture->nsegments);
    return;
  }
  CaptureRun run = BeginRun(capture);
  if (!TRIGGER_FIRED_FOR_ROW(event))
    CaptureStatement(&run, capture, trigger->tg_oldtable, trigger->tg_newtable);
  else if (TRIGGER_FIRED_BY_UPDATE(event))
    CapturePair(&run, capture, trigger->tg_trigslot, trigger->tg_newslot);
  else
    CaptureOne(&run, capture, TRIGGER_FIRED_BY_INSERT(event) ? +1 : -1, trigger->tg_trigslot);
  EndRun(&run);
}

// Capture by row, at a table through which rows of the source are written: the source is the trigger's argument.
void CaptureInTree(TriggerData *trigger, FmgrInfo *function) {
  const TriggerEvent event = trigger->tg_event;
  // Valid while the trigger's function is looked up once, which is for a statement.
  auto *capture = static_cast<SourceCapture *>(function->fn_extra);
  if (TRIGGER_FIRED_FOR_ROW(event)) {
    if (unlikely(capture == nullptr || !capture->valid)) {
      capture = LookupSourceCapture(trigger->tg_relation, atooid(trigger->tg_trigger->tgargs[0]));
      function->fn_extra = capture;
    }
    if (!capture->logged) {
      if (capture->abandoned) NoteLogLook(capture->key.source, LogLook::InTurn);
      return;
    }
    if (TRIGGER_FIRED_BY_UPDATE(event))
      BatchPair(capture, trigger->tg_trigslot, trigger->tg_newslot);
    else
      BatchRow(capture, TRIGGER_FIRED_BY_INSERT(event) ? +1 : -1, trigger->tg_trigslot);
    return;
  }
  const Oid source = atooid(trigger->tg_trigger->tgargs[0]);
  if (TRIGGER_FIRED_BEFORE(event)) {
    if (TRIGGER_FIRED_BY_TRUNCATE(event)) CheckNotRead(source, ConsumersOf(source), "TRUNCATE");
    OpenByTrigger(source);
    return;
  }
  FlushBatch(source);
  if (TRIGGER_FIRED_BY_TRUNCATE(event)) LogTruncationIfCaptured(source);
  CloseStatement(source);
}

}  // namespace

}  // namespace pgstream

PGSTREAM_FUNCTION(pgstream_capture_changes) {
  using namespace pgstream;
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("function \"%s\" was not called by trigger manager", "capture_changes")));
  // Loaded by this call, the library has heard neither of this statement nor of those before.
  RequirePreload();
  TriggerData *trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
  if (trigger->tg_trigger->tgnargs > 0) {
    CaptureInTree(trigger, fcinfo->flinfo);
    return PointerGetDatum(nullptr);
  }
  const Oid source = RelationGetRelid(trigger->tg_relation);
  SourceCapture *capture = LookupSourceCapture(trigger->tg_relation, source);
  if (TRIGGER_FIRED_BEFORE(trigger->tg_event)) {
    if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)) CheckNotRead(source, ConsumersOf(source), "TRUNCATE");
    if (capture->logged) OpenByTrigger(source);
    return PointerGetDatum(nullptr);
  }
  // A row of a statement is captured with the statement.
  if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && StatementIsOpen(source)) return PointerGetDatum(nullptr);
  if (capture->logged)
    CaptureChanges(trigger, capture);
  else if (capture->abandoned)
    NoteLogLook(source, LogLook::InTurn);
  if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event)) CloseStatement(source);
  return PointerGetDatum(nullptr);
}
