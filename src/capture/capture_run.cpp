// Row images into records; see capture_run.hpp.
#include "capture/capture_run.hpp"

extern "C" {
#include "access/detoast.h"
}

namespace pgstream {

namespace {

alignas(MAXIMUM_ALIGNOF) char record_buffer[kRunBuffer];
uint8 record_stage[kRunStage];

Relation LogOf(CaptureRun *run) {
  if (run->log == nullptr) run->log = OpenLogForWriting(run->source, run->segments, run->nsegments);
  return run->log;
}

void Begin(CaptureRun *run) {
  if (run->begun) return;
  if (!run->encoder.Begin(run->layouts, run->ncolumns, run->encoder_columns))
    elog(ERROR, "could not begin a change log record of %d columns", run->ncolumns);
  run->begun = true;
}

void AppendLarge(CaptureRun *run, int weight, const ColumnValue *values) {
  const Size size = BatchEncoder::RowRecordSize(run->layouts, run->ncolumns, values);
  if (size > kLargestBatch) {
    AppendLogRecord(run->source, LogOf(run), 'u', nullptr, nullptr);
    return;
  }
  bytea *large = static_cast<bytea *>(palloc(VARHDRSZ + size));
  BatchEncoder::EncodeRow(run->layouts, run->ncolumns, weight, values, reinterpret_cast<uint8 *>(VARDATA(large)));
  SET_VARSIZE(large, VARHDRSZ + size);
  AppendLogRecord(run->source, LogOf(run), 'c', nullptr, large);
  pfree(large);
}

void AppendRow(CaptureRun *run, int weight, const ColumnValue *values) {
  Begin(run);
  if (run->encoder.Append(weight, values)) return;
  FlushRun(run);
  Begin(run);
  if (!run->encoder.Append(weight, values)) AppendLarge(run, weight, values);
}

void AppendPair(CaptureRun *run, const ColumnValue *old_values, const ColumnValue *new_values) {
  Begin(run);
  if (run->encoder.AppendPair(old_values, new_values)) return;
  FlushRun(run);
  Begin(run);
  if (run->encoder.AppendPair(old_values, new_values)) return;
  AppendRow(run, -1, old_values);
  AppendRow(run, +1, new_values);
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

void UnpackRow(CaptureRun *run, const SourceCapture *capture, ColumnValue *values) {
  for (int i = 0; i < capture->ncolumns; ++i)
    if (capture->columns[i].attlen == -1 && !values[i].isnull) Unpack(run, &values[i]);
}

// Both rows; a value stored alike in both is fetched once.
void UnpackPair(CaptureRun *run, const SourceCapture *capture, ColumnValue *a, ColumnValue *b) {
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

void ForgetDetoasted(CaptureRun *run) {
  if (!run->detoasted) return;
  MemoryContextReset(run->context);
  run->detoasted = false;
}

void LogWithoutRows(Oid source, const Oid *segments, int nsegments, char kind) {
  Relation log = OpenLogForWriting(source, segments, nsegments);
  AppendLogRecord(source, log, kind, nullptr, nullptr);
  table_close(log, NoLock);
}

void LogWithoutRowsIfCaptured(Oid source, char kind) {
  LogEntry entry;
  if (ReadLogEntry(source, &entry) && entry.captured_by != 0) LogWithoutRows(source, entry.segments, entry.nsegments, kind);
}

}  // namespace

CaptureRun BeginRun(const SourceCapture *capture) {
  CaptureRun run = {capture->key.source,
          capture->nsegments,
          {},
          capture->layouts,
          capture->ncolumns,
          record_buffer,
          BatchEncoder(reinterpret_cast<uint8 *>(record_buffer) + VARHDRSZ, kBatchCapacity, record_stage, kRunStage),
          false,
          nullptr,
          nullptr,
          false,
          capture->old_values,
          capture->new_values,
          capture->old_bytes,
          capture->new_bytes,
          capture->encoder_columns};
  memcpy(run.segments, capture->segments, sizeof(Oid) * capture->nsegments);
  return run;
}

void EndRun(CaptureRun *run) {
  FlushRun(run);
  if (run->log != nullptr) table_close(run->log, NoLock);
  if (run->context != nullptr) MemoryContextDelete(run->context);
}

void FlushRun(CaptureRun *run) {
  if (!run->begun || run->encoder.nrows() == 0) return;
  bytea *batch = reinterpret_cast<bytea *>(run->buffer);
  SET_VARSIZE(batch, VARHDRSZ + run->encoder.Finish());
  AppendLogRecord(run->source, LogOf(run), 'c', batch, nullptr);
  run->begun = false;
}

void LogTruncation(Oid source, const Oid *segments, int nsegments) { LogWithoutRows(source, segments, nsegments, 't'); }

void LogTruncationIfCaptured(Oid source) { LogWithoutRowsIfCaptured(source, 't'); }

void LogUnheldChangeIfCaptured(Oid source) { LogWithoutRowsIfCaptured(source, 'u'); }

void CaptureOne(CaptureRun *run, const SourceCapture *capture, int weight, TupleTableSlot *slot) {
  TakeValues(capture, slot, run->new_values, run->new_bytes);
  UnpackRow(run, capture, run->new_values);
  AppendRow(run, weight, run->new_values);
  ForgetDetoasted(run);
}

void CapturePair(CaptureRun *run, const SourceCapture *capture, TupleTableSlot *old_slot, TupleTableSlot *new_slot) {
  TakeValues(capture, old_slot, run->old_values, run->old_bytes);
  TakeValues(capture, new_slot, run->new_values, run->new_bytes);
  if (SameRow(capture, run->old_values, run->new_values)) return;
  UnpackPair(run, capture, run->old_values, run->new_values);
  if (!SameRow(capture, run->old_values, run->new_values)) {
    AppendPair(run, run->old_values, run->new_values);
  }
  ForgetDetoasted(run);
}

}  // namespace pgstream
