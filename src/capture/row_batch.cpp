// Batches of rows; see row_batch.hpp.
#include "capture/row_batch.hpp"

#include "capture/capture_run.hpp"
#include "capture/open_statements.hpp"

namespace pgstream {

namespace {

// One for each source and subtransaction that is gathering.
struct Batch {
  Batch *next;  // older
  SubTransactionId subtransaction;
  uint64 generation;  // of the capture last used, whose layouts are known to be those of the run
  CaptureRun run;
  uint8 *stage;           // of the run's encoder
  MemoryContext context;  // of what depends on the number of columns
};

Batch *batches = nullptr;  // of this transaction, the one last used first
Batch *idle = nullptr;     // empty ones, to be used again: a buffer is some kilobytes

void Release(Batch **link) {
  Batch *batch = *link;
  *link = batch->next;
  batch->next = idle;
  idle = batch;
}

Batch *Find(Oid source, SubTransactionId subtransaction) {
  for (Batch **link = &batches; *link != nullptr; link = &(*link)->next) {
    Batch *batch = *link;
    if (batch->run.source != source || batch->subtransaction != subtransaction) continue;
    *link = batch->next;
    batch->next = batches;
    batches = batch;
    return batch;
  }
  return nullptr;
}

// Makes an empty batch, which may have served another capture, fit for this one.
void Fit(Batch *batch, const SourceCapture *capture) {
  batch->generation = 0;  // until it is complete
  MemoryContextReset(batch->context);
  const Size n = static_cast<Size>(capture->ncolumns) + 1;
  auto *layouts = static_cast<ColumnLayout *>(MemoryContextAlloc(batch->context, n * sizeof(ColumnLayout)));
  memcpy(layouts, capture->layouts, sizeof(ColumnLayout) * capture->ncolumns);
  CaptureRun *run = &batch->run;
  run->source = capture->key.source;
  run->nsegments = capture->nsegments;
  memcpy(run->segments, capture->segments, sizeof(Oid) * capture->nsegments);
  run->layouts = layouts;
  run->ncolumns = capture->ncolumns;
  run->encoder = BatchEncoder(reinterpret_cast<uint8 *>(run->buffer) + VARHDRSZ, kBatchCapacity, batch->stage, kRunStage);
  run->old_values = static_cast<ColumnValue *>(MemoryContextAlloc(batch->context, 2 * n * sizeof(ColumnValue)));
  run->new_values = run->old_values + n;
  run->old_bytes = static_cast<uint64 *>(MemoryContextAlloc(batch->context, 2 * n * sizeof(uint64)));
  run->new_bytes = run->old_bytes + n;
  run->encoder_columns = static_cast<EncoderColumn *>(MemoryContextAlloc(batch->context, n * sizeof(EncoderColumn)));
  batch->generation = capture->generation;
}

// An empty one with what is needed for a capture.
Batch *Take(const SourceCapture *capture, SubTransactionId subtransaction) {
  Batch *batch = idle;
  if (batch == nullptr) {
    batch = static_cast<Batch *>(MemoryContextAllocZero(TopMemoryContext, sizeof(Batch)));
    batch->context = AllocSetContextCreate(TopMemoryContext, "pg_stream row batch", ALLOCSET_SMALL_SIZES);
    batch->run.buffer = static_cast<char *>(MemoryContextAlloc(TopMemoryContext, kRunBuffer));
    batch->stage = static_cast<uint8 *>(MemoryContextAlloc(TopMemoryContext, kRunStage));
    batch->next = idle;
    idle = batch;
  }
  CaptureRun *run = &batch->run;
  run->begun = false;
  run->log = nullptr;
  run->context = nullptr;
  run->detoasted = false;
  if (batch->generation != capture->generation) Fit(batch, capture);
  batch->subtransaction = subtransaction;
  idle = batch->next;
  batch->next = batches;
  batches = batch;
  return batch;
}

void CloseLog(CaptureRun *run) {
  if (run->log == nullptr) return;
  table_close(run->log, NoLock);
  run->log = nullptr;
}

void Flush(Batch *batch) {
  FlushRun(&batch->run);
  CloseLog(&batch->run);
}

bool SameColumns(const CaptureRun *run, const SourceCapture *capture) {
  return run->ncolumns == capture->ncolumns &&
         memcmp(run->layouts, capture->layouts, sizeof(ColumnLayout) * capture->ncolumns) == 0 &&
         run->nsegments == capture->nsegments &&
         memcmp(run->segments, capture->segments, sizeof(Oid) * capture->nsegments) == 0;
}

Batch *BatchFor(const SourceCapture *capture) {
  const SubTransactionId subtransaction = GetCurrentSubTransactionId();
  Batch *batch = batches;
  if (batch == nullptr || batch->run.source != capture->key.source || batch->subtransaction != subtransaction)
    batch = Find(capture->key.source, subtransaction);
  if (batch != nullptr && batch->generation == capture->generation) return batch;
  if (batch != nullptr && SameColumns(&batch->run, capture)) {
    batch->generation = capture->generation;
    return batch;
  }
  if (batch != nullptr) {
    Flush(batch);
    Release(&batches);
  }
  return Take(capture, subtransaction);
}

// After a row: what it left open.
void EndOfRow(Batch *batch) {
  CaptureRun *run = &batch->run;
  if (run->context != nullptr) {
    // A child of the trigger's per-event context.
    MemoryContextDelete(run->context);
    run->context = nullptr;
  }
  if (!StatementIsOpen(run->source)) FlushRun(run);
  CloseLog(run);
}

void EndOfTransaction(XactEvent event, void *) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
      for (Batch *batch = batches; batch != nullptr; batch = batch->next) Flush(batch);
      break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE:
    case XACT_EVENT_ABORT:
      while (batches != nullptr) Release(&batches);
      break;
    default:
      break;
  }
}

void EndOfSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId, void *) {
  if (event != SUBXACT_EVENT_PRE_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB) return;
  for (Batch **link = &batches; *link != nullptr;) {
    if ((*link)->subtransaction != mine) {
      link = &(*link)->next;
      continue;
    }
    if (event == SUBXACT_EVENT_PRE_COMMIT_SUB) Flush(*link);
    Release(link);
  }
}

}  // namespace

void BatchRow(const SourceCapture *capture, int weight, TupleTableSlot *slot) {
  Batch *batch = BatchFor(capture);
  CaptureOne(&batch->run, capture, weight, slot);
  EndOfRow(batch);
}

void BatchPair(const SourceCapture *capture, TupleTableSlot *old_slot, TupleTableSlot *new_slot) {
  Batch *batch = BatchFor(capture);
  CapturePair(&batch->run, capture, old_slot, new_slot);
  EndOfRow(batch);
}

void FlushBatch(Oid source) {
  Batch *batch = Find(source, GetCurrentSubTransactionId());
  if (batch != nullptr) Flush(batch);
}

void InitRowBatch() {
  RegisterXactCallback(EndOfTransaction, nullptr);
  RegisterSubXactCallback(EndOfSubtransaction, nullptr);
}

}  // namespace pgstream
