// Consolidating the changes of a source: see source_delta.hpp.
//
// A row is kept as it lies in the log: for each used column, in order, its length (-1: NULL) and its bytes. That is
// canonical, so equal bytes are equal rows, and values become datums only for rows that are left when drained.

#include "delta/source_delta.hpp"

#include "pg/tree.hpp"

extern "C" {
#include "access/tupmacs.h"
#include "common/hashfn.h"
}

namespace pgstream {
namespace {

struct SourceRow {
  SourceRow *next;        // in its bucket
  SourceRow *next_dirty;  // among those whose weight may have changed since the drain before
  uint64 hash;
  int64 weight;
  int64 drained;  // the weight that drains have given
  bool dirty;
  uint32 size;
  char image[FLEXIBLE_ARRAY_MEMBER];
};

constexpr int32 kNullLength = -1;
constexpr uint32 kInitialBuckets = 64;

}  // namespace

struct SourceDelta {
  MemoryContext context;
  TupleDesc descriptor;
  int ncolumns;         // used ones
  AttrNumber *columns;  // ascending
  TupleTableSlot *slot;
  ExprContext *econtext;
  ExprState *quals;
  SourceRow **buckets;
  uint32 nbuckets;  // a power of two
  int64 nrows;
  SourceRow *dirty;
  // For the record being read: which of its columns is each used one.
  int *positions;
  ColumnView *views;
  StringInfoData image;
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
  delta->context = CurrentMemoryContext;
  Relation source = table_open(plan->sources[0], AccessShareLock);
  delta->descriptor = CreateTupleDescCopy(RelationGetDescr(source));
  table_close(source, NoLock);
  const int used = bms_num_members(plan->columns[0]);
  delta->columns = static_cast<AttrNumber *>(palloc((used + 1) * sizeof(AttrNumber)));
  int attnum = -1;
  while ((attnum = bms_next_member(plan->columns[0], attnum)) >= 0)
    delta->columns[delta->ncolumns++] = static_cast<AttrNumber>(attnum);
  delta->slot = MakeSingleTupleTableSlot(delta->descriptor, &TTSOpsVirtual);
  for (int i = 0; i < delta->descriptor->natts; i++)
    delta->slot->tts_isnull[i] = true;
  delta->econtext = CreateStandaloneExprContext();
  delta->econtext->ecxt_scantuple = delta->slot;
  delta->quals = CompileQuals(plan->quals);
  delta->nbuckets = kInitialBuckets;
  delta->buckets = static_cast<SourceRow **>(palloc0(delta->nbuckets * sizeof(SourceRow *)));
  delta->positions = static_cast<int *>(palloc((used + 1) * sizeof(int)));
  delta->views = static_cast<ColumnView *>(palloc(kMaxBatchColumns * sizeof(ColumnView)));
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
    while (position < decoder->ncols() && decoder->layout(position).attnum != delta->columns[i])
      position++;
    if (position == decoder->ncols())
      return "a change log record lacks a column";
    if (delta->columns[i] > delta->descriptor->natts)
      return "a change log record has an unknown column";
    if (decoder->layout(position).length != TupleDescAttr(delta->descriptor, delta->columns[i] - 1)->attlen)
      return "a change log record has a column of another type";
    delta->positions[i] = position;
  }
  return nullptr;
}

void BuildImage(SourceDelta *delta) {
  resetStringInfo(&delta->image);
  for (int i = 0; i < delta->ncolumns; i++) {
    const ColumnView *const view = &delta->views[delta->positions[i]];
    const int32 length = view->isnull ? kNullLength : static_cast<int32>(view->size);
    appendBinaryStringInfo(&delta->image, reinterpret_cast<const char *>(&length), sizeof(length));
    if (length > 0)
      appendBinaryStringInfo(&delta->image, reinterpret_cast<const char *>(view->data), length);
  }
}

void DoubleBuckets(SourceDelta *delta) {
  const uint32 nbuckets = delta->nbuckets * 2;
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
  pfree(delta->buckets);
  delta->buckets = buckets;
  delta->nbuckets = nbuckets;
}

// The row of the image that was built last.
SourceRow *FindOrAdd(SourceDelta *delta) {
  const uint32 size = static_cast<uint32>(delta->image.len);
  const uint64 hash =
      hash_bytes_extended(reinterpret_cast<const unsigned char *>(delta->image.data), delta->image.len, 0);
  for (SourceRow *row = delta->buckets[hash & (delta->nbuckets - 1)]; row != nullptr; row = row->next)
    if (row->hash == hash && row->size == size && memcmp(row->image, delta->image.data, size) == 0)
      return row;
  if (delta->nrows >= delta->nbuckets)
    DoubleBuckets(delta);
  SourceRow *const row = static_cast<SourceRow *>(
      MemoryContextAllocExtended(delta->context, offsetof(SourceRow, image) + size, MCXT_ALLOC_HUGE));
  SourceRow **const bucket = &delta->buckets[hash & (delta->nbuckets - 1)];
  row->next = *bucket;
  row->hash = hash;
  row->weight = row->drained = 0;
  row->dirty = false;
  row->size = size;
  memcpy(row->image, delta->image.data, size);
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
  if (header != 0)
    SET_VARSIZE(value, header + length);
  if (trailer != 0)
    value[length] = '\0';
  return PointerGetDatum(value);
}

// Puts a row into the slot, by-reference values in the per-tuple memory.
void StoreRow(SourceDelta *delta, const SourceRow *row) {
  TupleTableSlot *const slot = delta->slot;
  const MemoryContext saved = MemoryContextSwitchTo(delta->econtext->ecxt_per_tuple_memory);
  ExecClearTuple(slot);
  const char *position = row->image;
  for (int i = 0; i < delta->ncolumns; i++) {
    const int column = delta->columns[i] - 1;
    int32 length;
    memcpy(&length, position, sizeof(length));
    position += sizeof(length);
    slot->tts_isnull[column] = length == kNullLength;
    if (length == kNullLength)
      continue;
    slot->tts_values[column] = MakeDatum(position, length, TupleDescAttr(delta->descriptor, column));
    position += length;
  }
  ExecStoreVirtualTuple(slot);
  MemoryContextSwitchTo(saved);
}

void DrainRows(SourceDelta *delta, bool gains, NetRowVisitor visit, void *argument) {
  for (SourceRow *row = delta->dirty; row != nullptr; row = row->next_dirty) {
    const int64 change = row->weight - row->drained;
    if (change == 0 || (change > 0) != gains)
      continue;
    CHECK_FOR_INTERRUPTS();
    ResetExprContext(delta->econtext);
    StoreRow(delta, row);
    if (ExecQual(delta->quals, delta->econtext))
      visit(delta->econtext, change, argument);
  }
}

}  // namespace

const char *AddRecord(SourceDelta *delta, const LogRecord *record) {
  BatchDecoder decoder;
  BatchStatus status = decoder.Open(record->batch, record->batch_size);
  if (status != BatchStatus::kOk)
    ReportDamage(status);
  if (const char *const why = MatchColumns(delta, &decoder))
    return why;
  int weight;
  while ((status = decoder.Next(&weight, delta->views)) == BatchStatus::kOk) {
    CHECK_FOR_INTERRUPTS();
    BuildImage(delta);
    SourceRow *const row = FindOrAdd(delta);
    row->weight += weight;
    if (row->dirty)
      continue;
    row->dirty = true;
    row->next_dirty = delta->dirty;
    delta->dirty = row;
  }
  if (status != BatchStatus::kEnd)
    ReportDamage(status);
  return nullptr;
}

void VisitSourceDelta(SourceDelta *delta, NetRowVisitor visit, void *argument) {
  DrainRows(delta, true, visit, argument);
  DrainRows(delta, false, visit, argument);
  ResetExprContext(delta->econtext);
  ExecClearTuple(delta->slot);
}

void ClearSourceDelta(SourceDelta *delta) {
  SourceRow *next;
  for (SourceRow *row = delta->dirty; row != nullptr; row = next) {
    next = row->next_dirty;
    row->drained = row->weight;
    row->dirty = false;
  }
  delta->dirty = nullptr;
}

void DrainSourceDelta(SourceDelta *delta, NetRowVisitor visit, void *argument) {
  VisitSourceDelta(delta, visit, argument);
  ClearSourceDelta(delta);
}

}  // namespace pgstream
