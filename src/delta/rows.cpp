// The rows strategy: filter and projection of one table, as a bag of rows keyed by their image.
//
// Output rows are consolidated into a Z-set. A row with a positive net weight is that many additions; one with a
// negative net weight masks that many base rows of the same image, any of them, since they cannot be told apart.
//
// Promises: finishing again after more records touches only rows whose net weight changed. Refuses: a base that lacks a
// row it should have (then only recompute can answer).

#include "core/tid_mask.hpp"
#include "delta/base_lookup.hpp"
#include "delta/hash.hpp"
#include "delta/hidden_state.hpp"
#include "delta/source_delta.hpp"
#include "delta/strategy.hpp"

namespace pgstream {
namespace {

// One distinct output row. What the overlay shows of it: `nordinals` additions or `nmasked` masked base rows, never
// both between two calls of finish.
struct OutputRow {
  OutputRow *next;        // in its bucket
  OutputRow *next_dirty;  // among those whose weight changed since the last finish
  int64 hash;
  int64 weight;  // net, over everything applied
  bool dirty;
  MinimalTuple tuple;  // as an addition
  int64 nordinals, ordinals_capacity;
  int64 *ordinals;
  int64 nmasked, masked_capacity;
  ItemPointerData *masked;
};

constexpr uint32 kInitialBuckets = 64;

struct RowsDelta {
  Overlay *overlay;
  MemoryContext context;
  SourceDelta *source;
  const char *reason;  // why only recompute can answer
  TupleDesc extended;
  int ncolumns;
  ExprState **outputs;
  Datum *values, *other_values;
  bool *nulls, *other_nulls;
  RowHasher *hasher;  // of the columns under the key index
  Datum *hashed_values;
  bool *hashed_nulls;
  AttrNumber *hashed_columns;
  int nhashed;
  OutputRow **buckets;
  uint32 nbuckets;  // a power of two
  int64 nrows;
  OutputRow *dirty;
};

RowsDelta *AsRows(Delta *delta) {
  return reinterpret_cast<RowsDelta *>(delta);
}

Delta *BeginRows(Overlay *overlay, Relation rel, const Stream *stream, bool) {
  const DeltaPlan *const plan = stream->plan;
  const MemoryContext saved = MemoryContextSwitchTo(overlay->context);
  RowsDelta *const delta = static_cast<RowsDelta *>(palloc0(sizeof(RowsDelta)));
  delta->overlay = overlay;
  delta->context = overlay->context;
  delta->source = NewSourceDelta(stream);
  delta->extended = ExtendedDescriptor(rel);
  delta->ncolumns = list_length(plan->outputs);
  if (delta->ncolumns != RelationGetNumberOfAttributes(rel))
    elog(ERROR, "the columns of stream table \"%s\" are not those of its query", RelationGetRelationName(rel));
  delta->outputs = static_cast<ExprState **>(palloc(delta->ncolumns * sizeof(ExprState *)));
  for (int i = 0; i < delta->ncolumns; i++)
    delta->outputs[i] = CompileExpression(static_cast<Expr *>(list_nth(plan->outputs, i)));
  delta->values = static_cast<Datum *>(palloc(delta->extended->natts * sizeof(Datum)));
  delta->nulls = static_cast<bool *>(palloc(delta->extended->natts * sizeof(bool)));
  delta->other_values = static_cast<Datum *>(palloc(delta->extended->natts * sizeof(Datum)));
  delta->other_nulls = static_cast<bool *>(palloc(delta->extended->natts * sizeof(bool)));
  delta->nhashed = plan->nindex_columns;
  delta->hashed_columns = static_cast<AttrNumber *>(palloc(delta->nhashed * sizeof(AttrNumber)));
  memcpy(delta->hashed_columns, plan->index_columns, delta->nhashed * sizeof(AttrNumber));
  delta->hashed_values = static_cast<Datum *>(palloc(delta->nhashed * sizeof(Datum)));
  delta->hashed_nulls = static_cast<bool *>(palloc(delta->nhashed * sizeof(bool)));
  Oid types[INDEX_MAX_KEYS];
  for (int i = 0; i < delta->nhashed; i++)
    types[i] = TupleDescAttr(RelationGetDescr(rel), delta->hashed_columns[i] - 1)->atttypid;
  delta->hasher = NewRowHasher(delta->nhashed, types, HashBy::Image);
  delta->nbuckets = kInitialBuckets;
  delta->buckets = static_cast<OutputRow **>(palloc0(delta->nbuckets * sizeof(OutputRow *)));
  MemoryContextSwitchTo(saved);
  return reinterpret_cast<Delta *>(delta);
}

void ApplyRows(Delta *base, const LogRecord *record) {
  RowsDelta *const delta = AsRows(base);
  if (delta->reason == nullptr)
    delta->reason = AddRecord(delta->source, record);
}

// --- The Z-set of output rows ------------------------------------------------------------------------------------

int64 HashOutput(RowsDelta *delta) {
  for (int i = 0; i < delta->nhashed; i++) {
    const int column = delta->hashed_columns[i] - 1;
    delta->hashed_values[i] = delta->values[column];
    delta->hashed_nulls[i] = delta->nulls[column];
  }
  return HashRow(delta->hasher, delta->hashed_values, delta->hashed_nulls);
}

bool SameImage(const RowsDelta *delta, const Datum *values, const bool *nulls) {
  for (int i = 0; i < delta->ncolumns; i++)
    if (nulls[i] != delta->nulls[i])
      return false;
  for (int i = 0; i < delta->ncolumns; i++) {
    const Form_pg_attribute attribute = TupleDescAttr(delta->extended, i);
    if (!nulls[i] && !ImagesEqual(values[i], delta->values[i], attribute->attbyval, attribute->attlen))
      return false;
  }
  return true;
}

void Deform(const RowsDelta *delta, MinimalTuple tuple, Datum *values, bool *nulls) {
  HeapTupleData wrapper;
  wrapper.t_len = tuple->t_len + MINIMAL_TUPLE_OFFSET;
  wrapper.t_data = reinterpret_cast<HeapTupleHeader>(reinterpret_cast<char *>(tuple) - MINIMAL_TUPLE_OFFSET);
  heap_deform_tuple(&wrapper, delta->extended, values, nulls);
}

void DoubleBuckets(RowsDelta *delta) {
  const uint32 nbuckets = delta->nbuckets * 2;
  OutputRow **const buckets = static_cast<OutputRow **>(
      MemoryContextAllocExtended(delta->context, nbuckets * sizeof(OutputRow *), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
  for (uint32 i = 0; i < delta->nbuckets; i++) {
    OutputRow *next;
    for (OutputRow *row = delta->buckets[i]; row != nullptr; row = next) {
      next = row->next;
      OutputRow **const bucket = &buckets[static_cast<uint64>(row->hash) & (nbuckets - 1)];
      row->next = *bucket;
      *bucket = row;
    }
  }
  pfree(delta->buckets);
  delta->buckets = buckets;
  delta->nbuckets = nbuckets;
}

// The entry of the row in delta->values.
OutputRow *FindOrAddOutput(RowsDelta *delta) {
  const int64 hash = HashOutput(delta);
  for (OutputRow *row = delta->buckets[static_cast<uint64>(hash) & (delta->nbuckets - 1)]; row != nullptr;
       row = row->next) {
    if (row->hash != hash)
      continue;
    Deform(delta, row->tuple, delta->other_values, delta->other_nulls);
    if (SameImage(delta, delta->other_values, delta->other_nulls))
      return row;
  }
  if (delta->nrows >= delta->nbuckets)
    DoubleBuckets(delta);
  const MemoryContext saved = MemoryContextSwitchTo(delta->context);
  OutputRow *const row = static_cast<OutputRow *>(palloc0(sizeof(OutputRow)));
  row->hash = hash;
  row->tuple = FormAddition(delta->extended, delta->values, delta->nulls, nullptr, nullptr);
  MemoryContextSwitchTo(saved);
  OutputRow **const bucket = &delta->buckets[static_cast<uint64>(hash) & (delta->nbuckets - 1)];
  row->next = *bucket;
  *bucket = row;
  delta->nrows++;
  return row;
}

void TakeSourceRow(ExprContext *econtext, int64 weight, void *argument) {
  RowsDelta *const delta = static_cast<RowsDelta *>(argument);
  const MemoryContext saved = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
  for (int i = 0; i < delta->ncolumns; i++)
    delta->values[i] = ExecEvalExpr(delta->outputs[i], econtext, &delta->nulls[i]);
  OutputRow *const row = FindOrAddOutput(delta);
  MemoryContextSwitchTo(saved);
  row->weight += weight;
  if (row->dirty)
    return;
  row->dirty = true;
  row->next_dirty = delta->dirty;
  delta->dirty = row;
}

// --- Mask and additions ------------------------------------------------------------------------------------------

// Makes room for one more element of an array that may grow past 1 GB.
template <class T>
void Reserve(MemoryContext context, T **elements, int64 count, int64 *capacity) {
  if (count < *capacity)
    return;
  const int64 wanted = Max(*capacity * 2, static_cast<int64>(4));
  const Size size = static_cast<Size>(wanted) * sizeof(T);
  if (*elements == nullptr)
    *elements = static_cast<T *>(MemoryContextAllocHuge(context, size));
  else
    *elements = static_cast<T *>(repalloc_huge(*elements, size));
  *capacity = wanted;
}

void SetAdditions(RowsDelta *delta, OutputRow *row, int64 wanted) {
  while (row->nordinals > wanted)
    AdditionsReplace(&delta->overlay->additions, row->ordinals[--row->nordinals], nullptr);
  while (row->nordinals < wanted) {
    Reserve(delta->context, &row->ordinals, row->nordinals, &row->ordinals_capacity);
    row->ordinals[row->nordinals] = AdditionsAppend(&delta->overlay->additions, row->tuple);
    row->nordinals++;
  }
}

struct MaskSearch {
  RowsDelta *delta;
  OutputRow *row;
  int64 wanted;
};

bool MaskCandidate(TupleTableSlot *slot, ItemPointer tid, const bytea *, void *argument) {
  MaskSearch *const search = static_cast<MaskSearch *>(argument);
  RowsDelta *const delta = search->delta;
  OutputRow *const row = search->row;
  TidMask *const mask = &delta->overlay->mask;
  const BlockNumber block = ItemPointerGetBlockNumber(tid);
  const OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
  if (TidMaskContains(mask, block, offset))
    return true;
  slot_getallattrs(slot);
  if (!SameImage(delta, slot->tts_values, slot->tts_isnull))
    return true;
  Reserve(delta->context, &row->masked, row->nmasked, &row->masked_capacity);
  if (mask->Insert(block, offset) != MaskInsert::kAdded)
    elog(ERROR, "could not mask a base row");
  row->masked[row->nmasked++] = *tid;
  return row->nmasked < search->wanted;
}

// False when the base has too few rows of this image. The lookup is opened when first needed.
bool SetMasked(RowsDelta *delta, OutputRow *row, int64 wanted, BaseLookup **lookup, Relation rel, const Stream *stream,
               Snapshot snapshot) {
  while (row->nmasked > wanted) {
    const ItemPointer tid = &row->masked[--row->nmasked];
    delta->overlay->mask.Remove(ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
  }
  if (row->nmasked == wanted)
    return true;
  if (*lookup == nullptr)
    *lookup = BeginBaseLookup(rel, stream, snapshot);
  Deform(delta, row->tuple, delta->values, delta->nulls);
  MaskSearch search = {delta, row, wanted};
  FindCandidates(*lookup, row->hash, MaskCandidate, &search);
  return row->nmasked == wanted;
}

const char *FinishRows(Delta *base, Relation rel, Snapshot snapshot) {
  RowsDelta *const delta = AsRows(base);
  if (delta->reason != nullptr)
    return delta->reason;
  DrainSourceDelta(delta->source, TakeSourceRow, delta);

  const Stream *const stream = LookupStream(RelationGetRelid(rel));
  const MemoryContext work =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream rows lookup", ALLOCSET_DEFAULT_SIZES);
  BaseLookup *lookup = nullptr;
  OutputRow *row = delta->dirty;
  while (row != nullptr && delta->reason == nullptr) {
    CHECK_FOR_INTERRUPTS();
    const int64 wanted_additions = Max(row->weight, static_cast<int64>(0));
    const int64 wanted_masked = Max(-row->weight, static_cast<int64>(0));
    const MemoryContext saved = MemoryContextSwitchTo(work);
    if (row->nordinals > wanted_additions && !AdditionsInMemory(&delta->overlay->additions))
      delta->reason = "the pending changes exceed hash_mem";
    else if (!SetMasked(delta, row, wanted_masked, &lookup, rel, stream, snapshot))
      delta->reason = "a base row is missing";
    else
      SetAdditions(delta, row, wanted_additions);
    MemoryContextSwitchTo(saved);
    OutputRow *const next = row->next_dirty;
    row->dirty = false;
    row->next_dirty = nullptr;
    row = next;
  }
  delta->dirty = row;
  if (lookup != nullptr)
    EndBaseLookup(lookup);
  MemoryContextDelete(work);
  return delta->reason;
}

}  // namespace

const DeltaOperations kRowsDelta = {BeginRows, ApplyRows, FinishRows};

}  // namespace pgstream
