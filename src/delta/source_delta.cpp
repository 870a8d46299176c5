// Consolidating the changes of a source: see source_delta.hpp.
//
// A row is kept as it lies in the log: a bitmap of its NULLs, then the values of the used columns in order, those of
// varying length after their length. That is canonical, so equal bytes are equal rows, and values become datums only for
// rows that are left when visited. Rows lie one after the other in blocks: there may be hundreds of thousands, and
// what they take counts against hash_mem.

#include "delta/source_delta.hpp"

#include "delta/arena.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "access/tupmacs.h"
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
  TupleDesc descriptor;
  int ncolumns;         // used ones
  AttrNumber *columns;  // ascending
  TupleTableSlot *slot;
  ExprContext *econtext;
  ExprState *quals;
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

// The compiled form refers to the tree, which therefore is copied: a plan may be rebuilt while a delta lives on.
ExprState *CompileExpression(Expr *expression) {
  return ExecInitExpr(expression_planner(CopyNode(expression)), nullptr);
}

ExprState *CompileQuals(List *quals) {
  List *simplified = NIL;
  ListCell *cell;
  foreach (cell, quals)
    simplified = lappend(simplified, expression_planner(CopyNode(static_cast<Expr *>(lfirst(cell)))));
  return ExecInitQual(simplified, nullptr);
}

SourceDelta *NewSourceDelta(const Stream *stream) {
  const DeltaPlan *const plan = stream->plan;
  SourceDelta *const delta = static_cast<SourceDelta *>(palloc0(sizeof(SourceDelta)));
  delta->context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream source delta", ALLOCSET_SMALL_SIZES);
  delta->rows.context = delta->context;
  Relation source = table_open(plan->sources[0], AccessShareLock);
  delta->descriptor = CreateTupleDescCopy(RelationGetDescr(source));
  table_close(source, NoLock);
  const int used = bms_num_members(plan->columns[0]);
  delta->columns = static_cast<AttrNumber *>(palloc((used + 1) * sizeof(AttrNumber)));
  int attnum = -1;
  while ((attnum = bms_next_member(plan->columns[0], attnum)) >= 0)
    delta->columns[delta->ncolumns++] = static_cast<AttrNumber>(attnum);
  delta->slot = MakeSingleTupleTableSlot(delta->descriptor, &TTSOpsVirtual);
  for (int i = 0; i < delta->descriptor->natts; i++) delta->slot->tts_isnull[i] = true;
  delta->econtext = CreateStandaloneExprContext();
  delta->econtext->ecxt_scantuple = delta->slot;
  delta->quals = CompileQuals(plan->quals);
  delta->positions = static_cast<int *>(palloc((used + 1) * sizeof(int)));
  initStringInfo(&delta->image);
  return delta;
}

namespace {

[[noreturn]] void ReportDamage(BatchStatus status) {
  ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid record in a change log"),
                  errdetail_internal("%s.", BatchStatusMessage(status))));
  pg_unreachable();
}

// Finds the used columns in a record.
const char *MatchColumns(SourceDelta *delta, const BatchDecoder *decoder) {
  for (int i = 0; i < delta->ncolumns; i++) {
    int position = 0;
    while (position < decoder->ncols() && decoder->layout(position).attnum != delta->columns[i]) position++;
    if (position == decoder->ncols()) return "a change log record lacks a column";
    if (delta->columns[i] > delta->descriptor->natts) return "a change log record has an unknown column";
    if (decoder->layout(position).length != TupleDescAttr(delta->descriptor, delta->columns[i] - 1)->attlen)
      return "a change log record has a column of another type";
    delta->positions[i] = position;
  }
  return nullptr;
}

void BuildImage(SourceDelta *delta) {
  StringInfo const image = &delta->image;
  resetStringInfo(image);
  const int bitmap_size = BITMAPLEN(delta->ncolumns);
  enlargeStringInfo(image, bitmap_size);
  memset(image->data, 0, static_cast<Size>(bitmap_size));
  image->len = bitmap_size;
  for (int i = 0; i < delta->ncolumns; i++) {
    const ColumnView *const view = &delta->views[delta->positions[i]];
    if (view->isnull) {
      image->data[i / 8] |= static_cast<char>(1 << (i % 8));
      continue;
    }
    if (TupleDescAttr(delta->descriptor, delta->columns[i] - 1)->attlen < 0)
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

// A value as the server has it, in the current context. Lengths and bytes lie unaligned in the image.
Datum MakeDatum(const char *data, int32 length, const FormData_pg_attribute *attribute) {
  if (attribute->attbyval) {
    Datum storage = 0;
    memcpy(&storage, data, static_cast<Size>(attribute->attlen));
    return fetch_att(&storage, true, attribute->attlen);
  }
  // A C string needs its NUL back, a varlena its header.
  const Size header = attribute->attlen == -1 ? VARHDRSZ : 0;
  const Size trailer = attribute->attlen == -2 ? 1 : 0;
  char *const value = static_cast<char *>(palloc(header + length + trailer));
  memcpy(value + header, data, static_cast<Size>(length));
  if (header != 0) SET_VARSIZE(value, header + length);
  if (trailer != 0) value[length] = '\0';
  return PointerGetDatum(value);
}

// Puts a row into the slot, by-reference values in the per-tuple memory.
void StoreRow(SourceDelta *delta, const SourceRow *row) {
  TupleTableSlot *const slot = delta->slot;
  const MemoryContext saved = MemoryContextSwitchTo(delta->econtext->ecxt_per_tuple_memory);
  ExecClearTuple(slot);
  const char *position = row->image + BITMAPLEN(delta->ncolumns);
  for (int i = 0; i < delta->ncolumns; i++) {
    const int column = delta->columns[i] - 1;
    const FormData_pg_attribute *const attribute = TupleDescAttr(delta->descriptor, column);
    slot->tts_isnull[column] = (row->image[i / 8] & (1 << (i % 8))) != 0;
    if (slot->tts_isnull[column]) continue;
    int32 length = attribute->attlen;
    if (length < 0) {
      memcpy(&length, position, sizeof(length));
      position += sizeof(length);
    }
    slot->tts_values[column] = MakeDatum(position, length, attribute);
    position += length;
  }
  ExecStoreVirtualTuple(slot);
  MemoryContextSwitchTo(saved);
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
  Size size = BITMAPLEN(delta->ncolumns);
  for (int i = 0; i < delta->ncolumns; i++) {
    const int length = decoder->layout(delta->positions[i]).length;
    if (length < 0 || decoder->HasNulls(delta->positions[i])) return 0;
    size += static_cast<Size>(length);
  }
  return size * decoder->nrows() <= kMostImageBytes ? size : 0;
}

// As BuildImage, for all rows of a record at once.
void AddFixedRows(SourceDelta *delta, const BatchDecoder *decoder, Size size) {
  StringInfo const image = &delta->image;
  const Size total = size * decoder->nrows();
  resetStringInfo(image);
  enlargeStringInfo(image, static_cast<int>(total));
  memset(image->data, 0, total);  // the bitmaps: no NULL
  Size offset = BITMAPLEN(delta->ncolumns);
  for (int i = 0; i < delta->ncolumns; i++) {
    decoder->FixedValues(delta->positions[i], reinterpret_cast<uint8 *>(image->data) + offset, size);
    offset += static_cast<Size>(decoder->layout(delta->positions[i]).length);
  }
  for (uint32 row = 0; row < decoder->nrows(); row++) {
    CHECK_FOR_INTERRUPTS();
    FindOrAdd(delta, image->data + row * size, static_cast<uint32>(size))->weight += decoder->Weight(row);
  }
}

void VisitRows(SourceDelta *delta, bool gains, NetRowVisitor visit, void *argument) {
  for (const ArenaBlock *block = delta->rows.first; block != nullptr; block = block->next) {
    Size position = 0;
    while (position < block->used) {
      const SourceRow *const row = reinterpret_cast<const SourceRow *>(block->data + position);
      position += RowSize(row->size);
      if (row->weight == 0 || (row->weight > 0) != gains) continue;
      CHECK_FOR_INTERRUPTS();
      ResetExprContext(delta->econtext);
      StoreRow(delta, row);
      if (ExecQual(delta->quals, delta->econtext)) visit(delta->econtext, row->weight, argument);
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
  if (const Size size = FixedImageSize(delta, &decoder)) {
    AddFixedRows(delta, &decoder, size);
    return nullptr;
  }
  int weight;
  while (decoder.Next(&weight, delta->views) == BatchStatus::kOk) {
    CHECK_FOR_INTERRUPTS();
    BuildImage(delta);
    FindOrAdd(delta, delta->image.data, static_cast<uint32>(delta->image.len))->weight += weight;
  }
  return nullptr;
}

void VisitSourceDelta(SourceDelta *delta, NetRowVisitor visit, void *argument) {
  VisitRows(delta, true, visit, argument);
  VisitRows(delta, false, visit, argument);
  ResetExprContext(delta->econtext);
  ExecClearTuple(delta->slot);
}

// Whoever visited has what there was: a later change of the same row starts from nothing.
void ClearSourceDelta(SourceDelta *delta) {
  MemoryContextReset(delta->context);
  ForgetArena(&delta->rows);
  delta->buckets = nullptr;
  delta->nbuckets = 0;
  delta->nrows = 0;
}

}  // namespace pgstream
