// The capture trigger: the images of the rows that a statement changed, packed into log records.
//
// Promises: no query, no catalog lookup once the source is known; only captured columns, detoasted; an UPDATE pair whose
// captured columns did not change writes nothing, and otherwise its two images are in one record unless they are too
// large. Refuses: to fail a writer whose row is beyond what a record can hold: it writes "recompute" instead.
#include "capture/change_log.hpp"
#include "capture/log_writer.hpp"
#include "capture/open_statements.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "access/detoast.h"
#include "utils/tuplestore.h"
}

namespace pgstream {

namespace {

// The record being filled: one per backend, as capture is not reentrant.
alignas(MAXIMUM_ALIGNOF) char record_buffer[VARHDRSZ + kBatchCapacity];

struct CaptureRun {
  SourceCapture *capture;
  Relation log;            // nullptr until the first record
  BatchEncoder encoder;
  bool begun;
  MemoryContext context;   // of detoasted values, reset row by row; nullptr until needed
  bool detoasted;
  ColumnValue *old_values, *new_values;
  uint64 *old_bytes, *new_bytes;  // where by-value columns lie
};

Relation LogOf(CaptureRun *run) {
  if (run->log == nullptr) run->log = OpenLogForWriting(run->capture);
  return run->log;
}

void Flush(CaptureRun *run) {
  if (!run->begun || run->encoder.nrows() == 0) return;
  bytea *batch = reinterpret_cast<bytea *>(record_buffer);
  SET_VARSIZE(batch, VARHDRSZ + run->encoder.Finish());
  AppendLogRecord(LogOf(run), 'c', batch, nullptr);
  run->begun = false;
}

void Begin(CaptureRun *run) {
  if (run->begun) return;
  if (!run->encoder.Begin(run->capture->layouts, run->capture->ncolumns))
    elog(ERROR, "could not begin a change log record of %d columns", run->capture->ncolumns);
  run->begun = true;
}

void AppendLarge(CaptureRun *run, int weight, const ColumnValue *values) {
  const SourceCapture *capture = run->capture;
  const Size size = BatchEncoder::HeaderSize(capture->ncolumns) + run->encoder.RowSize(values);
  if (size > kLargestBatch) {
    AppendLogRecord(LogOf(run), 't', nullptr, nullptr);
    return;
  }
  bytea *large = static_cast<bytea *>(palloc(VARHDRSZ + size));
  BatchEncoder encoder(reinterpret_cast<uint8 *>(VARDATA(large)), size);
  if (!encoder.Begin(capture->layouts, capture->ncolumns) || !encoder.Append(weight, values))
    elog(ERROR, "could not write a change log record of %zu bytes", size);
  SET_VARSIZE(large, VARHDRSZ + encoder.Finish());
  AppendLogRecord(LogOf(run), 'c', nullptr, large);
  pfree(large);
}

void AppendRow(CaptureRun *run, int weight, const ColumnValue *values) {
  Begin(run);
  if (run->encoder.Append(weight, values)) return;
  Flush(run);
  Begin(run);
  if (!run->encoder.Append(weight, values)) AppendLarge(run, weight, values);
}

// The captured columns of a slot, varlenas as they are stored (data: the datum, size: with its header).
void TakeValues(const SourceCapture *capture, TupleTableSlot *slot, ColumnValue *values, uint64 *bytes) {
  if (capture->highest > 0) slot_getsomeattrs(slot, capture->highest);
  for (int i = 0; i < capture->ncolumns; ++i) {
    const CapturedColumn *column = &capture->columns[i];
    const Datum datum = slot->tts_values[column->attnum - 1];
    ColumnValue *value = &values[i];
    if (slot->tts_isnull[column->attnum - 1]) {
      *value = {nullptr, 0, true};
      continue;
    }
    value->isnull = false;
    if (column->byval) {
      store_att_byval(&bytes[i], datum, column->attlen);
      value->data = reinterpret_cast<uint8 *>(&bytes[i]);
      value->size = static_cast<uint32>(column->attlen);
    } else {
      value->data = reinterpret_cast<uint8 *>(DatumGetPointer(datum));
      value->size = column->attlen > 0    ? static_cast<uint32>(column->attlen)
                    : column->attlen == -1 ? static_cast<uint32>(VARSIZE_ANY(DatumGetPointer(datum)))
                                           : static_cast<uint32>(strlen(DatumGetCString(datum)));
    }
  }
}

bool SameBytes(const ColumnValue *a, const ColumnValue *b) {
  if (a->isnull || b->isnull) return a->isnull == b->isnull;
  return a->size == b->size && (a->data == b->data || memcmp(a->data, b->data, a->size) == 0);
}

bool SameRow(const SourceCapture *capture, const ColumnValue *a, const ColumnValue *b) {
  for (int i = 0; i < capture->ncolumns; ++i)
    if (!SameBytes(&a[i], &b[i])) return false;
  return true;
}

// A stored varlena becomes its plain bytes.
void Unpack(CaptureRun *run, ColumnValue *value) {
  struct varlena *stored = reinterpret_cast<struct varlena *>(const_cast<uint8 *>(value->data));
  if (VARATT_IS_EXTERNAL(stored) || VARATT_IS_COMPRESSED(stored)) {
    // A child of the trigger's per-event context: an error leaves nothing behind.
    if (run->context == nullptr)
      run->context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream captured row", ALLOCSET_DEFAULT_SIZES);
    const MemoryContext saved = MemoryContextSwitchTo(run->context);
    stored = detoast_attr(stored);
    MemoryContextSwitchTo(saved);
    run->detoasted = true;
  }
  value->data = reinterpret_cast<uint8 *>(VARDATA_ANY(stored));
  value->size = static_cast<uint32>(VARSIZE_ANY_EXHDR(stored));
}

void UnpackRow(CaptureRun *run, ColumnValue *values) {
  const SourceCapture *capture = run->capture;
  for (int i = 0; i < capture->ncolumns; ++i)
    if (capture->columns[i].attlen == -1 && !values[i].isnull) Unpack(run, &values[i]);
}

// Both rows; a value stored alike in both is fetched once.
void UnpackPair(CaptureRun *run, ColumnValue *a, ColumnValue *b) {
  const SourceCapture *capture = run->capture;
  for (int i = 0; i < capture->ncolumns; ++i) {
    if (capture->columns[i].attlen != -1) continue;
    const bool same = SameBytes(&a[i], &b[i]);
    if (!a[i].isnull) Unpack(run, &a[i]);
    if (same)
      b[i] = a[i];
    else if (!b[i].isnull)
      Unpack(run, &b[i]);
  }
}

void EndRow(CaptureRun *run) {
  if (!run->detoasted) return;
  MemoryContextReset(run->context);
  run->detoasted = false;
}

void CaptureOne(CaptureRun *run, int weight, TupleTableSlot *slot) {
  TakeValues(run->capture, slot, run->new_values, run->new_bytes);
  UnpackRow(run, run->new_values);
  AppendRow(run, weight, run->new_values);
  EndRow(run);
}

void CapturePair(CaptureRun *run, TupleTableSlot *old_slot, TupleTableSlot *new_slot) {
  const SourceCapture *capture = run->capture;
  TakeValues(capture, old_slot, run->old_values, run->old_bytes);
  TakeValues(capture, new_slot, run->new_values, run->new_bytes);
  if (SameRow(capture, run->old_values, run->new_values)) return;
  UnpackPair(run, run->old_values, run->new_values);
  if (!SameRow(capture, run->old_values, run->new_values)) {
    Begin(run);
    const Size pair = run->encoder.RowSize(run->old_values) + run->encoder.RowSize(run->new_values);
    if (pair > kBatchCapacity - run->encoder.size()) Flush(run);
    AppendRow(run, -1, run->old_values);
    AppendRow(run, +1, run->new_values);
  }
  EndRow(run);
}

void Rewind(Tuplestorestate *store) {
  tuplestore_select_read_pointer(store, 0);
  tuplestore_rescan(store);
}

void CaptureStatement(CaptureRun *run, Tuplestorestate *old_rows, Tuplestorestate *new_rows) {
  SourceCapture *capture = run->capture;
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
        elog(ERROR, "an UPDATE of relation %u has more old rows than new ones", capture->relid);
      CapturePair(run, old_slot, new_slot);
    }
  } else {
    Tuplestorestate *rows = new_rows != nullptr ? new_rows : old_rows;
    const int weight = new_rows != nullptr ? +1 : -1;
    while (tuplestore_gettupleslot(rows, true, false, new_slot)) CaptureOne(run, weight, new_slot);
  }
  ExecClearTuple(old_slot);
  ExecClearTuple(new_slot);
  capture->old_slot = old_slot;
  capture->new_slot = new_slot;
}

void CaptureChanges(TriggerData *trigger, SourceCapture *capture) {
  const TriggerEvent event = trigger->tg_event;
  CaptureRun run = {capture, nullptr, BatchEncoder(reinterpret_cast<uint8 *>(record_buffer) + VARHDRSZ, kBatchCapacity),
                    false,   nullptr, false, nullptr, nullptr, nullptr, nullptr};
  if (TRIGGER_FIRED_BY_TRUNCATE(event)) {
    AppendLogRecord(LogOf(&run), 't', nullptr, nullptr);
    table_close(run.log, NoLock);
    return;
  }
  const Size n = static_cast<Size>(capture->ncolumns) + 1;
  run.old_values = static_cast<ColumnValue *>(palloc(2 * n * sizeof(ColumnValue)));
  run.new_values = run.old_values + n;
  run.old_bytes = static_cast<uint64 *>(palloc(2 * n * sizeof(uint64)));
  run.new_bytes = run.old_bytes + n;
  if (!TRIGGER_FIRED_FOR_ROW(event))
    CaptureStatement(&run, trigger->tg_oldtable, trigger->tg_newtable);
  else if (TRIGGER_FIRED_BY_UPDATE(event))
    CapturePair(&run, trigger->tg_trigslot, trigger->tg_newslot);
  else
    CaptureOne(&run, TRIGGER_FIRED_BY_INSERT(event) ? +1 : -1, trigger->tg_trigslot);
  Flush(&run);
  if (run.log != nullptr) table_close(run.log, NoLock);
  if (run.context != nullptr) MemoryContextDelete(run.context);
}

}  // namespace

}  // namespace pgstream

PGSTREAM_FUNCTION(pgstream_capture_changes) {
  using namespace pgstream;
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("function \"%s\" was not called by trigger manager", "capture_changes")));
  TriggerData *trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
  SourceCapture *capture = LookupSourceCapture(trigger->tg_relation);
  if (TRIGGER_FIRED_BEFORE(trigger->tg_event)) {
    if (capture->logged) OpenStatement(capture->relid);
    return PointerGetDatum(nullptr);
  }
  if (capture->logged) CaptureChanges(trigger, capture);
  if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event)) CloseStatement(capture->relid);
  return PointerGetDatum(nullptr);
}
