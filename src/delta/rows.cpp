// The rows strategy: filter and projection of one table, as a bag of rows keyed by their image.
//
// Output rows are consolidated into a Z-set. A row with a positive net weight is that many additions; one with a
// negative net weight masks that many base rows of the same image: the first ones in the order of the key index, so that
// all participants of a parallel scan, each with an overlay of its own, mask the same.
//
// Promises: finishing again after more records touches only rows whose net weight changed; output rows that do not fit
// into memory are done in parts by their hash, each part forgotten before the next (the overlay is final then).
// Refuses: a base that lacks a row it should have (then only recompute can answer).

#include "core/tid_mask.hpp"
#include "delta/arena.hpp"
#include "delta/base_lookup.hpp"
#include "delta/hash.hpp"
#include "delta/hidden_state.hpp"
#include "delta/source_delta.hpp"
#include "delta/strategy.hpp"

namespace pgstream {
namespace {

// One distinct output row, and what the overlay shows of it: `nplaces` additions (their ordinals) or masked base rows
// (their TIDs).
struct OutputRow {
  OutputRow *next;        // in its bucket
  OutputRow *next_dirty;  // among those whose weight changed since the last finish
  int64 hash;
  int64 weight;  // net, over everything applied
  bool dirty;
  bool masks;  // the places are base rows
  int64 nplaces, capacity;
  union {
    uint64 place;  // while the capacity is 1
    uint64 *places;
  };
  MinimalTupleData tuple;  // as an addition; longer than its type
};
static_assert(offsetof(OutputRow, tuple) % MAXIMUM_ALIGNOF == 0, "a tuple must be aligned");

constexpr uint32 kInitialBuckets = 64;
constexpr int64 kRowsPerMemoryCheck = 256;
constexpr const char *kTooManyRows = "the changed rows exceed hash_mem";

struct RowsDelta {
  Overlay *overlay;
  MemoryContext rows_context;  // of output rows and buckets
  Arena rows;
  bool for_fold;
  Size memory_limit;
  SourceDelta *source;
  const char *reason;  // why only recompute can answer
  TupleDesc extended;
  int ncolumns;
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
  int64 ndirty;

  // Of the pass that is running: the part of the rows that it takes.
  uint32 part, parts;
  int64 changes_seen, changes_taken;
  bool overflowed;
};

RowsDelta *AsRows(Delta *delta) {
  return reinterpret_cast<RowsDelta *>(delta);
}

Delta *BeginRows(Overlay *overlay, Relation rel, const Stream *stream, bool for_fold) {
  const DeltaPlan *const plan = stream->plan;
  const MemoryContext saved = MemoryContextSwitchTo(overlay->context);
  RowsDelta *const delta = static_cast<RowsDelta *>(palloc0(sizeof(RowsDelta)));
  delta->overlay = overlay;
  delta->rows_context = AllocSetContextCreate(overlay->context, "pg_stream output rows", ALLOCSET_SMALL_SIZES);
  delta->rows.context = delta->rows_context;
  delta->for_fold = for_fold;
  delta->memory_limit = DeltaMemoryLimit(for_fold);
  delta->source = NewSourceDelta(stream, for_fold);
  NoteEvaluation(delta->source, &overlay->statistics);
  delta->extended = ExtendedDescriptor(rel);
  delta->ncolumns = list_length(plan->outputs);
  if (delta->ncolumns != RelationGetNumberOfAttributes(rel))
    elog(ERROR, "the columns of stream table \"%s\" are not those of its query", RelationGetRelationName(rel));
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
  MemoryContextSwitchTo(saved);
  return reinterpret_cast<Delta *>(delta);
}

void ApplyRows(Delta *base, const LogRecord *record) {
  RowsDelta *const delta = AsRows(base);
  if (delta->reason == nullptr) delta->reason = AddRecord(delta->source, record);
}

// --- The Z-set of output rows ------------------------------------------------------------------------------------

int64 HashOutput(RowsDelta *delta, const Datum *values, const bool *nulls) {
  for (int i = 0; i < delta->nhashed; i++) {
    const int column = delta->hashed_columns[i] - 1;
    delta->hashed_values[i] = values[column];
    delta->hashed_nulls[i] = nulls[column];
  }
  return HashRow(delta->hasher, delta->hashed_values, delta->hashed_nulls);
}

bool SameImage(const RowsDelta *delta, const Datum *values, const bool *nulls) {
  return RowImagesEqual(delta->extended, delta->ncolumns, values, nulls, delta->values, delta->nulls);
}

void Deform(const RowsDelta *delta, MinimalTuple tuple, Datum *values, bool *nulls) {
  HeapTupleData wrapper;
  wrapper.t_len = tuple->t_len + MINIMAL_TUPLE_OFFSET;
  wrapper.t_data = reinterpret_cast<HeapTupleHeader>(reinterpret_cast<char *>(tuple) - MINIMAL_TUPLE_OFFSET);
  heap_deform_tuple(&wrapper, delta->extended, values, nulls);
}

Size OutputRowSize(const MinimalTupleData *tuple) { return MAXALIGN(offsetof(OutputRow, tuple) + tuple->t_len); }

// Rows are taken as they lie: bucket by bucket, each would have to be fetched from elsewhere.
void Rehash(RowsDelta *delta) {
  const uint32 nbuckets = delta->nbuckets == 0 ? kInitialBuckets : delta->nbuckets * 2;
  OutputRow **const buckets = static_cast<OutputRow **>(MemoryContextAllocExtended(
      delta->rows_context, nbuckets * sizeof(OutputRow *), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
  for (ArenaBlock *block = delta->rows.first; block != nullptr; block = block->next) {
    for (Size position = 0; position < block->used;) {
      auto *const row = reinterpret_cast<OutputRow *>(block->data + position);
      position += OutputRowSize(&row->tuple);
      OutputRow **const bucket = &buckets[static_cast<uint64>(row->hash) & (nbuckets - 1)];
      row->next = *bucket;
      *bucket = row;
    }
  }
  if (delta->buckets != nullptr) pfree(delta->buckets);
  delta->buckets = buckets;
  delta->nbuckets = nbuckets;
}

// The entry of the row in delta->values, which has this hash. Runs in memory that is reset for each row.
OutputRow *FindOrAddOutput(RowsDelta *delta, int64 hash) {
  if (delta->nrows >= delta->nbuckets) Rehash(delta);
  OutputRow **const bucket = &delta->buckets[static_cast<uint64>(hash) & (delta->nbuckets - 1)];
  for (OutputRow *row = *bucket; row != nullptr; row = row->next) {
    if (row->hash != hash) continue;
    Deform(delta, &row->tuple, delta->other_values, delta->other_nulls);
    if (SameImage(delta, delta->other_values, delta->other_nulls)) return row;
  }
  const MinimalTuple tuple = FormAddition(delta->extended, delta->values, delta->nulls, nullptr, nullptr);
  OutputRow *const row =
      static_cast<OutputRow *>(ArenaAllocate(&delta->rows, OutputRowSize(tuple)));
  row->next = *bucket;
  row->next_dirty = nullptr;
  row->hash = hash;
  row->weight = 0;
  row->dirty = row->masks = false;
  row->nplaces = 0;
  row->capacity = 1;
  memcpy(&row->tuple, tuple, tuple->t_len);
  *bucket = row;
  delta->nrows++;
  if (delta->parts == 1 && delta->nrows % kRowsPerMemoryCheck == 0)
    delta->overflowed = MemoryContextMemAllocated(delta->rows_context, true) > delta->memory_limit;
  return row;
}

bool InPart(const RowsDelta *delta, int64 hash) {
  return (static_cast<uint64>(hash) >> 32) % delta->parts == delta->part;
}

// Fetches the bucket of a row, then what is in it.
void PrepareSourceRow(NetRow *row, int step, void *argument) {
  RowsDelta *const delta = static_cast<RowsDelta *>(argument);
  if (delta->overflowed) return;
  if (step == 0) {
    const MemoryContext saved = MemoryContextSwitchTo(row->memory);
    row->hash = HashOutput(delta, row->values, row->nulls);
    MemoryContextSwitchTo(saved);
  }
  if (delta->nbuckets == 0) return;
  OutputRow **const bucket = &delta->buckets[static_cast<uint64>(row->hash) & (delta->nbuckets - 1)];
  if (step == 0)
    __builtin_prefetch(bucket, 1);
  else if (*bucket != nullptr)
    __builtin_prefetch(*bucket, 1);
}

void TakeSourceRow(const NetRow *net, int64 weight, void *argument) {
  RowsDelta *const delta = static_cast<RowsDelta *>(argument);
  delta->changes_seen++;
  if (delta->overflowed) return;
  const MemoryContext saved = MemoryContextSwitchTo(net->memory);
  memcpy(delta->values, net->values, delta->ncolumns * sizeof(Datum));
  memcpy(delta->nulls, net->nulls, delta->ncolumns * sizeof(bool));
  if (InPart(delta, net->hash)) {
    delta->changes_taken++;
    OutputRow *const row = FindOrAddOutput(delta, net->hash);
    row->weight += weight;
    if (!row->dirty) {
      row->dirty = true;
      row->next_dirty = delta->dirty;
      delta->dirty = row;
      delta->ndirty++;
    }
  }
  MemoryContextSwitchTo(saved);
}

// --- Mask and additions ------------------------------------------------------------------------------------------

uint64 PlaceOfTid(const ItemPointerData *tid) {
  return static_cast<uint64>(ItemPointerGetBlockNumber(tid)) << 16 | ItemPointerGetOffsetNumber(tid);
}

void PushPlace(RowsDelta *delta, OutputRow *row, uint64 place) {
  if (row->capacity == 1 && row->nplaces == 0) {
    row->place = place;
  } else {
    if (row->nplaces == row->capacity) {
      const int64 capacity = Max(row->capacity * 2, static_cast<int64>(4));
      uint64 *const places = static_cast<uint64 *>(
          MemoryContextAllocHuge(delta->rows_context, static_cast<Size>(capacity) * sizeof(uint64)));
      memcpy(places, row->capacity == 1 ? &row->place : row->places, row->nplaces * sizeof(uint64));
      if (row->capacity > 1) pfree(row->places);
      row->places = places;
      row->capacity = capacity;
    }
    row->places[row->nplaces] = place;
  }
  row->nplaces++;
}

// Takes the latest place of a row back. Only additions in memory can be taken back.
void PopPlace(RowsDelta *delta, OutputRow *row) {
  row->nplaces--;
  const uint64 place = row->capacity == 1 ? row->place : row->places[row->nplaces];
  if (row->masks)
    delta->overlay->mask.Remove(static_cast<uint32>(place >> 16), static_cast<uint32>(place & 0xFFFF));
  else
    AdditionsReplace(&delta->overlay->additions, static_cast<int64>(place), nullptr);
}

// A row of which base rows are to be masked. Its hash stands beside it: a row that is only compared with others is not fetched.
struct Masking {
  int64 hash;
  OutputRow *row;
};

// The rows of which base rows are to be masked, by number of the lookup.
struct MaskSearch {
  RowsDelta *delta;
  const Masking *rows;
  int64 deformed;  // of which of them the values are at hand
};

bool MaskCandidate(const BaseRow *base, int64 which, void *argument) {
  MaskSearch *const search = static_cast<MaskSearch *>(argument);
  OutputRow *const row = search->rows[which].row;
  if (row->nplaces >= -row->weight) return false;
  TupleTableSlot *const slot = base->slot;
  RowsDelta *const delta = search->delta;
  TidMask *const mask = &delta->overlay->mask;
  const BlockNumber block = ItemPointerGetBlockNumber(&slot->tts_tid);
  const OffsetNumber offset = ItemPointerGetOffsetNumber(&slot->tts_tid);
  if (TidMaskContains(mask, block, offset)) return true;
  if (search->deformed != which) {
    Deform(delta, &row->tuple, delta->values, delta->nulls);
    search->deformed = which;
  }
  slot_getallattrs(slot);
  if (!SameImage(delta, slot->tts_values, slot->tts_isnull)) return true;
  if (mask->Insert(block, offset) != MaskInsert::kAdded) elog(ERROR, "could not mask a base row");
  PushPlace(delta, row, PlaceOfTid(&slot->tts_tid));
  return row->nplaces < -row->weight;
}

int ByHash(const void *a, const void *b) {
  const int64 left = static_cast<const Masking *>(a)->hash, right = static_cast<const Masking *>(b)->hash;
  return left < right ? -1 : left > right;
}

// Masks base rows of count rows, all at once: see FindCandidates. Returns why it cannot.
const char *MaskBaseRows(RowsDelta *delta, Masking *rows, int64 count, BaseLookup *lookup) {
  qsort(rows, static_cast<size_t>(count), sizeof(Masking), ByHash);
  auto *const hashes = static_cast<int64 *>(palloc_extended(sizeof(int64) * count, MCXT_ALLOC_HUGE));
  for (int64 i = 0; i < count; i++) hashes[i] = rows[i].hash;
  MaskSearch search = {delta, rows, -1};
  FindCandidates(lookup, hashes, count, MaskCandidate, &search);
  pfree(hashes);
  for (int64 i = 0; i < count; i++) {
    if (rows[i].row->nplaces < -rows[i].row->weight) return "a base row is missing";
  }
  return nullptr;
}

// Makes the overlay show the weight of a row, except for base rows that are still to be masked. Returns why it cannot.
const char *ShowWeight(RowsDelta *delta, OutputRow *row) {
  const bool masks = row->weight < 0;
  const int64 wanted = masks ? -row->weight : row->weight;
  const int64 kept = row->masks == masks ? Min(wanted, row->nplaces) : 0;
  if (row->nplaces > kept && !row->masks && !AdditionsInMemory(&delta->overlay->additions))
    return "the additions to be changed were spilled to disk";
  while (row->nplaces > kept) PopPlace(delta, row);
  row->masks = masks;
  if (!masks) {
    while (row->nplaces < wanted)
      PushPlace(delta, row, static_cast<uint64>(AdditionsAppend(&delta->overlay->additions, &row->tuple)));
  }
  return nullptr;
}

// Shows the rows whose weight changed.
const char *ShowDirty(RowsDelta *delta, BaseLookup *lookup) {
  auto *const masking = static_cast<Masking *>(palloc_extended(sizeof(Masking) * Max(delta->ndirty, 1), MCXT_ALLOC_HUGE));
  int64 count = 0;
  OutputRow *next;
  for (OutputRow *row = delta->dirty; row != nullptr; row = next) {
    CHECK_FOR_INTERRUPTS();
    next = row->next_dirty;
    row->next_dirty = nullptr;
    row->dirty = false;
    if (const char *const why = ShowWeight(delta, row)) return why;
    if (row->nplaces < -row->weight) masking[count++] = {row->hash, row};
  }
  delta->dirty = nullptr;
  delta->ndirty = 0;
  const char *const why = count > 0 ? MaskBaseRows(delta, masking, count, lookup) : nullptr;
  pfree(masking);
  return why;
}

void ForgetRows(RowsDelta *delta) {
  MemoryContextReset(delta->rows_context);
  ForgetArena(&delta->rows);
  delta->buckets = nullptr;
  delta->nbuckets = 0;
  delta->nrows = 0;
  delta->dirty = nullptr;
  delta->ndirty = 0;
}

// Takes the net changes of one part of the output rows; false when they do not fit into memory.
bool TakePart(RowsDelta *delta, uint32 part, uint32 parts) {
  delta->part = part;
  delta->parts = parts;
  delta->changes_seen = delta->changes_taken = 0;
  delta->overflowed = false;
  VisitSourceDelta(delta->source, TakeSourceRow, delta, PrepareSourceRow);
  return !delta->overflowed;
}

const char *ShowInParts(RowsDelta *delta, BaseLookup *lookup) {
  const uint32 parts = static_cast<uint32>(delta->changes_seen / Max(delta->changes_taken, 1) + 2);
  delta->overlay->final = true;
  for (uint32 part = 0; part < parts; part++) {
    ForgetRows(delta);
    TakePart(delta, part, parts);
    if (const char *const why = ShowDirty(delta, lookup)) return why;
  }
  ForgetRows(delta);
  return nullptr;
}

const char *FinishRows(Delta *base, Relation rel, Snapshot snapshot) {
  RowsDelta *const delta = AsRows(base);
  if (delta->reason != nullptr) return delta->reason;
  const MemoryContext work =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream rows finish", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(work);
  const bool fresh = delta->nrows == 0;
  BaseLookup *const lookup = BeginBaseLookup(rel, LookupStream(RelationGetRelid(rel)), snapshot, delta->for_fold);
  if (TakePart(delta, 0, 1))
    delta->reason = ShowDirty(delta, lookup);
  else
    delta->reason = fresh ? ShowInParts(delta, lookup) : kTooManyRows;
  EndBaseLookup(lookup);
  ClearSourceDelta(delta->source);
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(work);
  return delta->reason;
}

}  // namespace

const DeltaOperations kRowsDelta = {BeginRows, ApplyRows, FinishRows, true};

}  // namespace pgstream
