// Consolidating the changes of a source: see source_delta.hpp.
//
// A row is kept as it lies in the log: a bitmap of its NULLs, then the values of the used columns in order, those of
// varying length after their length. That is canonical, so equal bytes are equal rows, and values become datums only for
// rows that are left when visited. Rows lie one after the other in blocks: there may be hundreds of thousands, and
// what they take counts against hash_mem.

#include "delta/source_delta.hpp"

#include "delta/arena.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace pgstream {
namespace {

struct SourceRow {
  SourceRow *next;  // in its bucket
  uint32 hash;
  uint32 size;
  int64 weight;
  char image[FLEXIBLE_ARRAY_MEMBER];
};

constexpr uint32 kInitialBuckets = 64;
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
  SourceRow **buckets;
  uint32 nbuckets;  // a power of two
  int64 nrows;
  Arena rows;
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
  delta->evaluator = NewRowEvaluator(stream, may_compile);
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

void BuildImage(SourceDelta *delta) {
  const RowExpressions *const row = &delta->evaluator->expressions;
  StringInfo const image = &delta->image;
  resetStringInfo(image);
  const int bitmap_size = BITMAPLEN(row->ncolumns);
  enlargeStringInfo(image, bitmap_size);
  memset(image->data, 0, static_cast<Size>(bitmap_size));
  image->len = bitmap_size;
  for (int i = 0; i < row->ncolumns; i++) {
    const ColumnView *const view = &delta->views[delta->positions[i]];
    if (view->isnull) {
      image->data[i / 8] |= static_cast<char>(1 << (i % 8));
      continue;
    }
    if (TupleDescAttr(row->descriptor, row->columns[i] - 1)->attlen < 0)
      appendBinaryStringInfo(image, reinterpret_cast<const char *>(&view->size), sizeof(view->size));
    appendBinaryStringInfo(image, reinterpret_cast<const char *>(view->data), static_cast<int>(view->size));
  }
}

void Rehash(SourceDelta *delta) {
  const uint32 nbuckets = delta->nbuckets == 0 ? kInitialBuckets : delta->nbuckets * 2;
  SourceRow **const buckets = static_cast<SourceRow **>(
      MemoryContextAllocExtended(delta->context, nbuckets * sizeof(SourceRow *), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
  for (uint32 i = 0; i < delta->nbuckets; i++) {
    SourceRow *next;
    for (SourceRow *row = delta->buckets[i]; row != nullptr; row = next) {
      next = row->next;
      SourceRow **const bucket = &buckets[row->hash & (nbuckets - 1)];
      row->next = *bucket;
      *bucket = row;
    }
  }
  if (delta->buckets != nullptr) pfree(delta->buckets);
  delta->buckets = buckets;
  delta->nbuckets = nbuckets;
}

SourceRow *FindOrAdd(SourceDelta *delta, const char *image, uint32 size) {
  const uint32 hash = hash_bytes(reinterpret_cast<const unsigned char *>(image), static_cast<int>(size));
  if (delta->nrows >= delta->nbuckets) Rehash(delta);
  SourceRow **const bucket = &delta->buckets[hash & (delta->nbuckets - 1)];
  for (SourceRow *row = *bucket; row != nullptr; row = row->next)
    if (row->hash == hash && row->size == size && memcmp(row->image, image, size) == 0) return row;
  SourceRow *const row = static_cast<SourceRow *>(ArenaAllocate(&delta->rows, RowSize(size)));
  row->next = *bucket;
  row->hash = hash;
  row->size = size;
  row->weight = 0;
  memcpy(row->image, image, size);
  *bucket = row;
  delta->nrows++;
  return row;
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

// As BuildImage, for all rows of a record at once.
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
  for (uint32 row = 0; row < decoder->nrows(); row++) {
    CHECK_FOR_INTERRUPTS();
    FindOrAdd(delta, image->data + row * size, static_cast<uint32>(size))->weight += decoder->Weight(row);
  }
}

void VisitRows(SourceDelta *delta, bool gains, NetRowVisitor visit, void *argument) {
  RowEvaluator *const evaluator = delta->evaluator;
  const NetRow net = {evaluator->outputs->tts_values, evaluator->outputs->tts_isnull, evaluator->econtext->ecxt_per_tuple_memory};
  for (const ArenaBlock *block = delta->rows.first; block != nullptr; block = block->next) {
    Size position = 0;
    while (position < block->used) {
      const SourceRow *const row = reinterpret_cast<const SourceRow *>(block->data + position);
      position += RowSize(row->size);
      if (row->weight == 0 || (row->weight > 0) != gains) continue;
      CHECK_FOR_INTERRUPTS();
      ResetExprContext(evaluator->econtext);
      if (EvaluateRow(evaluator, row->image)) visit(&net, row->weight, argument);
    }
  }
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
    return nullptr;
  }
  int weight;
  for (uint32 row = 0; decoder.Next(&weight, delta->views) == BatchStatus::kOk; row++) {
    CHECK_FOR_INTERRUPTS();
    if (only != nullptr && only[row] == 0) continue;
    BuildImage(delta);
    FindOrAdd(delta, delta->image.data, static_cast<uint32>(delta->image.len))->weight += weight;
  }
  return nullptr;
}

void VisitSourceDelta(SourceDelta *delta, NetRowVisitor visit, void *argument) {
  RowEvaluator *const evaluator = delta->evaluator;
  FollowJitSettings(evaluator);
  if (delta->statistics != nullptr) {
    delta->statistics->summed = delta->direct != nullptr ? delta->direct->rows : 0;
    delta->statistics->evaluates = delta->nrows > 0 || delta->direct == nullptr;
    delta->statistics->why_interpreted = evaluator->compiled != nullptr ? nullptr : evaluator->why_interpreted;
  }
  VisitRows(delta, true, visit, argument);
  VisitRows(delta, false, visit, argument);
  ResetExprContext(delta->evaluator->econtext);
  ExecClearTuple(delta->evaluator->slot);
}

// Whoever visited has what there was: a later change of the same row starts from nothing.
void ClearSourceDelta(SourceDelta *delta) {
  MemoryContextReset(delta->context);
  ForgetArena(&delta->rows);
  delta->buckets = nullptr;
  delta->nbuckets = 0;
  delta->nrows = 0;
  if (delta->direct != nullptr) ForgetDirectGroups(delta->direct);
}

}  // namespace pgstream
