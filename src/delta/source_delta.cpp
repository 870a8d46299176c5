// Consolidating the changes of a source: see source_delta.hpp.
//
// A row is kept as it lies in the log: a bitmap of its NULLs, then the values of the used columns in order, those of
// varying length after their length. That is canonical, so equal bytes are equal rows, and values become datums only for
// rows that are left when visited. Rows lie one after the other in blocks: there may be hundreds of thousands, and
// what they take counts against hash_mem. They are found through a directory that holds their hashes, so that of the rows
// themselves only equal ones are looked at; and a few at a time, whose places in it are fetched all at once.

#include "delta/source_delta.hpp"

#include "delta/arena.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace pgstream {
namespace {

struct SourceRow {
  int64 weight;
  uint32 size;
  char image[FLEXIBLE_ARRAY_MEMBER];
};

// A place of the directory. Rows are numbered by block and place in it: a pointer would take twice as much.
struct RowSlot {
  uint32 hash;
  uint32 row;  // one more than the row's number; 0: free
};
constexpr int kPlaceBits = 17;
constexpr uint32 kMostBlocks = (UINT32_C(1) << (32 - kPlaceBits)) - 1;
static_assert(kLargestArenaBlock / MAXIMUM_ALIGNOF <= Size{1} << kPlaceBits, "a row must have a number");
constexpr const char *kTooManyChanges = "the pending changes exceed hash_mem";

constexpr uint32 kInitialSlots = 64;
// Rows that are looked for together.
constexpr int kTogether = 16;
// ... and visited together, unless their images take more bytes than this.
constexpr Size kMostTogether = 64 * 1024;
// The images of a record are made column by column where they take no more than this.
constexpr Size kMostImageBytes = 1024 * 1024;

Size RowSize(uint32 image_size) {
  return MAXALIGN(offsetof(SourceRow, image) + image_size);
}

}  // namespace

struct SourceDelta {
  MemoryContext context;  // of rows and buckets; reset when cleared
  RowEvaluator *evaluator;
  OverlayStatistics *statistics;  // nullptr: nobody asks
  DirectGroups *direct;           // nullptr: all rows are consolidated
  RowSlot *slots;
  uint64 nslots;  // a power of two, or 0
  uint64 nrows;
  Arena rows;
  ArenaBlock **blocks;  // of rows, by number
  uint32 nblocks, room;
  bool full;  // a row has no number
  // For the record being read: which of its columns is each used one.
  int *positions;
  int record_columns;  // for so many there is room in:
  DecoderColumn *decoder_columns;
  ColumnView *views;
  StringInfoData image;  // of one row, or of all rows of a record
};

SourceDelta *NewSourceDelta(const Stream *stream, bool may_compile) {
  SourceDelta *const delta = static_cast<SourceDelta *>(palloc0(sizeof(SourceDelta)));
  delta->context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream source delta", ALLOCSET_SMALL_SIZES);
  delta->rows.context = delta->context;
  delta->evaluator = NewRowEvaluator(stream, may_compile ? OnMiss::Compile : OnMiss::Ask);
  delta->positions = static_cast<int *>(palloc((delta->evaluator->expressions.ncolumns + 1) * sizeof(int)));
  initStringInfo(&delta->image);
  return delta;
}

DirectGroups *GroupDirectly(SourceDelta *delta, const DeltaPlan *plan, Size limit) {
  delta->direct = NewDirectGroups(plan, &delta->evaluator->expressions, delta->context, limit);
  return delta->direct;
}

void NoteEvaluation(SourceDelta *delta, OverlayStatistics *statistics) { delta->statistics = statistics; }

namespace {

[[noreturn]] void ReportDamage(BatchStatus status) {
  ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid record in a change log"),
                  errdetail_internal("%s.", BatchStatusMessage(status))));
  pg_unreachable();
}

// Finds the used columns in a record.
const char *MatchColumns(SourceDelta *delta, const BatchDecoder *decoder) {
  const RowExpressions *const row = &delta->evaluator->expressions;
  for (int i = 0; i < row->ncolumns; i++) {
    int position = 0;
    while (position < decoder->ncols() && decoder->layout(position).attnum != row->columns[i]) position++;
    if (position == decoder->ncols()) return "a change log record lacks a column";
    if (row->columns[i] > row->descriptor->natts) return "a change log record has an unknown column";
    if (decoder->layout(position).length != TupleDescAttr(row->descriptor, row->columns[i] - 1)->attlen)
      return "a change log record has a column of another type";
    delta->positions[i] = position;
  }
  return nullptr;
}

// Appends the image of the row in delta->views.
void AppendImage(SourceDelta *delta) {
  const RowExpressions *const row = &delta->evaluator->expressions;
  StringInfo const image = &delta->image;
  const int start = image->len;
  const int bitmap_size = BITMAPLEN(row->ncolumns);
  enlargeStringInfo(image, bitmap_size);
  memset(image->data + start, 0, static_cast<Size>(bitmap_size));
  image->len += bitmap_size;
  for (int i = 0; i < row->ncolumns; i++) {
    const ColumnView *const view = &delta->views[delta->positions[i]];
    if (view->isnull) {
      image->data[start + i / 8] |= static_cast<char>(1 << (i % 8));
      continue;
    }
    if (TupleDescAttr(row->descriptor, row->columns[i] - 1)->attlen < 0)
      appendBinaryStringInfo(image, reinterpret_cast<const char *>(&view->size), sizeof(view->size));
    appendBinaryStringInfo(image, reinterpret_cast<const char *>(view->data), static_cast<int>(view->size));
  }
}

// Makes room for so many more rows: three quarters full at most.
void Reserve(SourceDelta *delta, int more) {
  uint64 nslots = Max(delta->nslots, kInitialSlots);
  while ((delta->nrows + static_cast<uint64>(more)) * 4 > nslots * 3) nslots *= 2;
  if (nslots == delta->nslots) return;
  auto *const slots = static_cast<RowSlot *>(
      MemoryContextAllocExtended(delta->context, nslots * sizeof(RowSlot), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
  for (uint64 i = 0; i < delta->nslots; i++) {
    const RowSlot slot = delta->slots[i];
    if (slot.row == 0) continue;
    uint64 at = slot.hash & (nslots - 1);
    while (slots[at].row != 0) at = (at + 1) & (nslots - 1);
    slots[at] = slot;
  }
  if (delta->slots != nullptr) pfree(delta->slots);
  delta->slots = slots;
  delta->nslots = nslots;
}

SourceRow *NumberedRow(const SourceDelta *delta, uint32 number) {
  return reinterpret_cast<SourceRow *>(delta->blocks[number >> kPlaceBits]->data +
                                       (number & ((UINT32_C(1) << kPlaceBits) - 1)) * Size{MAXIMUM_ALIGNOF});
}

// A new row and its number.
SourceRow *NewRow(SourceDelta *delta, uint32 size, uint32 *number) {
  SourceRow *const row = static_cast<SourceRow *>(ArenaAllocate(&delta->rows, RowSize(size)));
  if (delta->nblocks == 0 || delta->blocks[delta->nblocks - 1] != delta->rows.last) {
    if (delta->nblocks == kMostBlocks) {
      delta->full = true;
      return row;
    }
    if (delta->nblocks == delta->room) {
      delta->room = Max(delta->room * 2, 16);
      const Size bytes = sizeof(ArenaBlock *) * delta->room;
      delta->blocks = static_cast<ArenaBlock **>(
          delta->blocks == nullptr ? MemoryContextAlloc(delta->context, bytes) : repalloc(delta->blocks, bytes));
    }
    delta->blocks[delta->nblocks++] = delta->rows.last;
  }
  const auto place = static_cast<Size>(reinterpret_cast<char *>(row) - delta->rows.last->data) / MAXIMUM_ALIGNOF;
  *number = (delta->nblocks - 1) << kPlaceBits | static_cast<uint32>(place);
  return row;
}

SourceRow *FindOrAdd(SourceDelta *delta, const char *image, uint32 size, uint32 hash) {
  uint64 at = hash & (delta->nslots - 1);
  for (uint32 found; (found = delta->slots[at].row) != 0; at = (at + 1) & (delta->nslots - 1)) {
    if (delta->slots[at].hash != hash) continue;
    SourceRow *const row = NumberedRow(delta, found - 1);
    if (row->size == size && memcmp(row->image, image, size) == 0) return row;
  }
  uint32 number = 0;
  SourceRow *const row = NewRow(delta, size, &number);
  row->weight = 0;
  row->size = size;
  memcpy(row->image, image, size);
  if (!delta->full) {
    delta->slots[at] = {hash, number + 1};
    delta->nrows++;
  }
  return row;
}

// Rows to be added: their images lie in delta->image.
struct NewRows {
  int count;
  Size offsets[kTogether + 1];  // of the images, and where the last one ends
  int weights[kTogether];
};

void AddRows(SourceDelta *delta, const NewRows *rows) {
  CHECK_FOR_INTERRUPTS();
  Reserve(delta, rows->count);
  uint32 hashes[kTogether];
  for (int i = 0; i < rows->count; i++) {
    const Size size = rows->offsets[i + 1] - rows->offsets[i];
    hashes[i] = hash_bytes(reinterpret_cast<const unsigned char *>(delta->image.data + rows->offsets[i]), static_cast<int>(size));
    __builtin_prefetch(&delta->slots[hashes[i] & (delta->nslots - 1)], 1);
  }
  for (int i = 0; i < rows->count; i++) {
    const Size size = rows->offsets[i + 1] - rows->offsets[i];
    FindOrAdd(delta, delta->image.data + rows->offsets[i], static_cast<uint32>(size), hashes[i])->weight += rows->weights[i];
  }
}

void MakeRoomForColumns(SourceDelta *delta, int ncolumns) {
  if (ncolumns <= delta->record_columns) return;
  const MemoryContext context = GetMemoryChunkContext(delta);
  if (delta->record_columns > 0) {
    pfree(delta->decoder_columns);
    pfree(delta->views);
  }
  delta->record_columns = 0;
  delta->decoder_columns = static_cast<DecoderColumn *>(MemoryContextAlloc(context, sizeof(DecoderColumn) * ncolumns));
  delta->views = static_cast<ColumnView *>(MemoryContextAlloc(context, sizeof(ColumnView) * ncolumns));
  delta->record_columns = ncolumns;
}

// The bytes of an image if all have the same and none has a NULL; otherwise, or if together they are too many, 0.
Size FixedImageSize(const SourceDelta *delta, const BatchDecoder *decoder) {
  const int ncolumns = delta->evaluator->expressions.ncolumns;
  Size size = BITMAPLEN(ncolumns);
  for (int i = 0; i < ncolumns; i++) {
    const int length = decoder->layout(delta->positions[i]).length;
    if (length < 0 || decoder->HasNulls(delta->positions[i])) return 0;
    size += static_cast<Size>(length);
  }
  return size * decoder->nrows() <= kMostImageBytes ? size : 0;
}

// Adds all rows of a record, whose images have one size.
void AddFixedRows(SourceDelta *delta, const BatchDecoder *decoder, Size size) {
  const int ncolumns = delta->evaluator->expressions.ncolumns;
  StringInfo const image = &delta->image;
  const Size total = size * decoder->nrows();
  resetStringInfo(image);
  enlargeStringInfo(image, static_cast<int>(total));
  memset(image->data, 0, total);  // the bitmaps: no NULL
  Size offset = BITMAPLEN(ncolumns);
  for (int i = 0; i < ncolumns; i++) {
    decoder->FixedValues(delta->positions[i], reinterpret_cast<uint8 *>(image->data) + offset, size);
    offset += static_cast<Size>(decoder->layout(delta->positions[i]).length);
  }
  NewRows rows;
  for (uint32 first = 0; first < decoder->nrows(); first += kTogether) {
    rows.count = static_cast<int>(Min(decoder->nrows() - first, static_cast<uint32>(kTogether)));
    for (int i = 0; i < rows.count; i++) {
      rows.offsets[i] = (first + static_cast<uint32>(i)) * size;
      rows.weights[i] = decoder->Weight(first + static_cast<uint32>(i));
    }
    rows.offsets[rows.count] = rows.offsets[0] + static_cast<Size>(rows.count) * size;
    AddRows(delta, &rows);
  }
}

// Rows that were evaluated and wait for their visit.
struct Evaluated {
  int count, most;
  Size bytes;  // of their images, and of those that did not pass
  NetRow rows[kTogether];
  int64 weights[kTogether];
};

void Visit(SourceDelta *delta, Evaluated *evaluated, NetRowVisitor visit, void *argument, NetRowPreparer prepare) {
  for (int step = 0; prepare != nullptr && step < kPreparingSteps; step++)
    for (int i = 0; i < evaluated->count; i++) prepare(&evaluated->rows[i], step, argument);
  for (int i = 0; i < evaluated->count; i++) visit(&evaluated->rows[i], evaluated->weights[i], argument);
  evaluated->count = 0;
  evaluated->bytes = 0;
  ResetExprContext(delta->evaluator->econtext);
}

// The values stay where they were evaluated: that memory is reset when all have been visited.
void VisitRows(SourceDelta *delta, bool gains, NetRowVisitor visit, void *argument, NetRowPreparer prepare,
               Evaluated *evaluated) {
  RowEvaluator *const evaluator = delta->evaluator;
  const auto columns = static_cast<Size>(evaluator->outputs->tts_tupleDescriptor->natts);
  for (const ArenaBlock *block = delta->rows.first; block != nullptr; block = block->next) {
    Size position = 0;
    while (position < block->used) {
      const SourceRow *const row = reinterpret_cast<const SourceRow *>(block->data + position);
      position += RowSize(row->size);
      if (row->weight == 0 || (row->weight > 0) != gains) continue;
      CHECK_FOR_INTERRUPTS();
      // Rows that do not pass take memory as well.
      if (evaluated->bytes > kMostTogether || evaluated->count == evaluated->most)
        Visit(delta, evaluated, visit, argument, prepare);
      evaluated->bytes += row->size;
      if (!EvaluateRow(evaluator, row->image)) continue;
      const NetRow *const net = &evaluated->rows[evaluated->count];
      memcpy(net->values, evaluator->outputs->tts_values, columns * sizeof(Datum));
      memcpy(net->nulls, evaluator->outputs->tts_isnull, columns * sizeof(bool));
      evaluated->weights[evaluated->count++] = row->weight;
    }
  }
  Visit(delta, evaluated, visit, argument, prepare);
}

Evaluated *NewEvaluated(const SourceDelta *delta, bool together) {
  const TupleTableSlot *const outputs = delta->evaluator->outputs;
  const auto columns = static_cast<Size>(Max(outputs->tts_tupleDescriptor->natts, 1));
  auto *const evaluated = static_cast<Evaluated *>(palloc0(sizeof(Evaluated)));
  evaluated->most = together ? kTogether : 1;
  for (int i = 0; i < evaluated->most; i++)
    evaluated->rows[i] = {static_cast<Datum *>(palloc(columns * sizeof(Datum))),
                          static_cast<bool *>(palloc(columns * sizeof(bool))), delta->evaluator->econtext->ecxt_per_tuple_memory, 0};
  return evaluated;
}

}  // namespace

const char *AddRecord(SourceDelta *delta, const LogRecord *record) {
  BatchHeader header;
  BatchStatus status = ReadBatchHeader(record->batch, record->batch_size, &header);
  if (status != BatchStatus::kOk) ReportDamage(status);
  MakeRoomForColumns(delta, header.ncols);
  BatchDecoder decoder;
  status = decoder.Open(record->batch, record->batch_size, delta->decoder_columns, delta->record_columns);
  if (status != BatchStatus::kOk) ReportDamage(status);
  if (const char *const why = MatchColumns(delta, &decoder)) return why;
  const uint8 *only = nullptr;  // where not zero; nullptr: all rows
  if (delta->direct != nullptr) {
    CHECK_FOR_INTERRUPTS();
    only = TakeDirectly(delta->direct, &decoder, delta->positions);
    if (only == nullptr) return nullptr;
  }
  const Size size = only == nullptr ? FixedImageSize(delta, &decoder) : 0;
  if (size > 0) {
    AddFixedRows(delta, &decoder, size);
    return delta->full ? kTooManyChanges : nullptr;
  }
  NewRows rows = {};
  resetStringInfo(&delta->image);
  for (uint32 row = 0; decoder.Next(&rows.weights[rows.count], delta->views) == BatchStatus::kOk; row++) {
    CHECK_FOR_INTERRUPTS();
    if (only != nullptr && only[row] == 0) continue;
    AppendImage(delta);
    rows.offsets[++rows.count] = static_cast<Size>(delta->image.len);
    if (rows.count < kTogether && static_cast<Size>(delta->image.len) < kMostTogether) continue;
    AddRows(delta, &rows);
    rows.count = 0;
    resetStringInfo(&delta->image);
  }
  AddRows(delta, &rows);
  return delta->full ? kTooManyChanges : nullptr;
}

void VisitSourceDelta(SourceDelta *delta, NetRowVisitor visit, void *argument, NetRowPreparer prepare) {
  RowEvaluator *const evaluator = delta->evaluator;
  FollowJitSettings(evaluator);
  if (delta->statistics != nullptr) {
    delta->statistics->summed = delta->direct != nullptr ? delta->direct->rows : 0;
    delta->statistics->evaluates = delta->nrows > 0 || delta->direct == nullptr;
    delta->statistics->why_interpreted = evaluator->compiled != nullptr ? nullptr : evaluator->why_interpreted;
    if (evaluator->compiled != nullptr) {
      delta->statistics->code_size = static_cast<int64>(evaluator->compiled->code->size);
      delta->statistics->code_calls = evaluator->compiled->state->ncalls;
      delta->statistics->code_load_ms = evaluator->compiled->code->load_ms;
    }
  }
  Evaluated *const evaluated = NewEvaluated(delta, prepare != nullptr);
  VisitRows(delta, true, visit, argument, prepare, evaluated);
  VisitRows(delta, false, visit, argument, prepare, evaluated);
  ExecClearTuple(delta->evaluator->slot);
}

// Whoever visited has what there was: a later change of the same row starts from nothing.
void ClearSourceDelta(SourceDelta *delta) {
  MemoryContextReset(delta->context);
  ForgetArena(&delta->rows);
  delta->slots = nullptr;
  delta->nslots = 0;
  delta->nrows = 0;
  delta->blocks = nullptr;
  delta->nblocks = delta->room = 0;
  delta->full = false;
  if (delta->direct != nullptr) ForgetDirectGroups(delta->direct);
}

}  // namespace pgstream
