// The keyed strategy: the rows of the base that have a changed key are masked, and the query, restricted to these keys,
// says what stands in their place.
//
// A base row is found by the hash of its key through the key index, or by a pass over the base. A key that changes again
// is evaluated again, and its earlier additions go.
//
// A read masks all rows of a key, because participants of a parallel scan must mask the same whatever their plans
// make of ties. A fold keeps the base rows that stay and pairs the others with new rows of the same key, as updates.
//
// Promises: what DeltaOperations asks. Refuses: more keys than fit into memory (then only recompute can answer).
#include "delta/base_lookup.hpp"
#include "delta/choice.hpp"
#include "delta/group_output.hpp"
#include "delta/group_table.hpp"
#include "delta/hidden_state.hpp"
#include "delta/keyed.hpp"
#include "delta/row_bag.hpp"
#include "delta/source_delta.hpp"
#include "delta/strategy.hpp"

namespace pgstream {
namespace {

constexpr uint64 kKeysPerMemoryCheck = 256;
constexpr const char *kTooManyKeys = "the changed keys exceed hash_mem";
constexpr const char *kSpilled = "the additions to be changed were spilled to disk";

// What a Delta is to this strategy. A Group of the table is a key: `ordinal` its latest addition.
struct KeyedDelta {
  Overlay *overlay;
  const Stream *stream;
  const DeltaPlan *plan;
  bool for_fold;
  const char *failure;
  Size memory_limit;
  MemoryContext context;  // of everything here
  MemoryContext keys;
  SourceDelta *source;
  GroupRowReader *reader;
  GroupTable *table;
  TupleDesc extended;
  Datum *values;  // of one row's keys
  bool *nulls;
  Group *touched;
  int64 ntouched;
  bool overflowed;
  // Of each addition, by ordinal: the key's addition before it (-1: none), and in a fold the key.
  int64 *previous;
  Group **owner;
  int64 capacity;
  RowBag *bag;  // of a running fold
};

KeyedDelta *AsKeyed(Delta *delta) { return reinterpret_cast<KeyedDelta *>(delta); }

Delta *Begin(Overlay *overlay, Relation rel, const Stream *stream, bool for_fold) {
  const MemoryContext context = AllocSetContextCreate(overlay->context, "pg_stream keyed", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(context);
  auto *delta = static_cast<KeyedDelta *>(palloc0(sizeof(KeyedDelta)));
  const DeltaPlan *plan = stream->plan;
  delta->overlay = overlay;
  delta->stream = stream;
  delta->plan = plan;
  delta->for_fold = for_fold;
  delta->memory_limit = DeltaMemoryLimit(for_fold);
  delta->context = context;
  delta->keys = AllocSetContextCreate(context, "pg_stream changed keys", ALLOCSET_DEFAULT_SIZES);
  delta->source = NewSourceDelta(stream, for_fold);
  NoteEvaluation(delta->source, &overlay->statistics);
  delta->reader = NewGroupRowReader(plan, false);
  delta->table = NewGroupTable(plan, delta->keys);
  delta->extended = ExtendedDescriptor(rel);
  delta->values = static_cast<Datum *>(palloc(sizeof(Datum) * plan->nkeys));
  delta->nulls = static_cast<bool *>(palloc(sizeof(bool) * plan->nkeys));
  MemoryContextSwitchTo(old);
  return reinterpret_cast<Delta *>(delta);
}

void Apply(Delta *opaque, const LogRecord *record) {
  KeyedDelta *delta = AsKeyed(opaque);
  if (delta->failure == nullptr) delta->failure = AddRecord(delta->source, record);
}

// --- The changed keys ---------------------------------------------------------------------------------------------

void TakeChange(const NetRow *row, int64, void *argument) {
  auto *delta = static_cast<KeyedDelta *>(argument);
  if (delta->overflowed) return;
  const MemoryContext old = MemoryContextSwitchTo(row->memory);
  bool created;
  Group *key = FindGroup(delta->table, row->values, row->nulls, &created);
  MemoryContextSwitchTo(old);
  if (created && delta->table->count % kKeysPerMemoryCheck == 0)
    delta->overflowed = MemoryContextMemAllocated(delta->keys, true) > delta->memory_limit;
  if (key->touched) return;
  key->touched = true;
  key->next_touched = delta->touched;
  delta->touched = key;
  delta->ntouched++;
}

// The touched key of a row of the result or the base; nullptr when it is not touched.
Group *TouchedKeyOf(KeyedDelta *delta, TupleTableSlot *slot) {
  for (int i = 0; i < delta->plan->nkeys; i++)
    delta->values[i] = slot_getattr(slot, delta->plan->keys[i].output_column, &delta->nulls[i]);
  Group *key = FindGroup(delta->table, delta->values, delta->nulls, nullptr);
  return key != nullptr && key->touched ? key : nullptr;
}

KeySet TouchedKeys(const KeyedDelta *delta) {
  const int nkeys = delta->plan->nkeys;
  const Size room = static_cast<Size>(delta->ntouched) * nkeys;
  auto *values = static_cast<Datum *>(palloc_extended(sizeof(Datum) * room, MCXT_ALLOC_HUGE));
  auto *nulls = static_cast<bool *>(palloc_extended(sizeof(bool) * room, MCXT_ALLOC_HUGE));
  int64 at = 0;
  for (const Group *key = delta->touched; key != nullptr; key = key->next_touched) {
    for (int i = 0; i < nkeys; i++, at++) {
      values[at] = key->keys[i];
      nulls[at] = key->nulls[i];
    }
  }
  return KeySet{nkeys, delta->ntouched, values, nulls};
}

// --- The base -----------------------------------------------------------------------------------------------------

bool MaskBaseRow(const BaseRow *row, int64, void *argument) {
  auto *delta = static_cast<KeyedDelta *>(argument);
  Group *key = TouchedKeyOf(delta, row->slot);
  if (key == nullptr) return true;
  const ItemPointerData tid = row->slot->tts_tid;
  (void)delta->overlay->mask.Insert(ItemPointerGetBlockNumber(&tid), ItemPointerGetOffsetNumber(&tid));
  BagRow *kept = delta->bag != nullptr ? AddToBag(delta->bag, row) : nullptr;
  if (kept == nullptr) return true;
  kept->sibling = key->base_rows;
  key->base_rows = kept;
  return true;
}

int ByHash(const void *a, const void *b) {
  const int64 left = *static_cast<const int64 *>(a), right = *static_cast<const int64 *>(b);
  return left < right ? -1 : left > right;
}

// Masks all base rows of the touched keys: by the key index, in its order, or by a pass over the base.
void MaskTouched(KeyedDelta *delta, Relation rel, Snapshot snapshot) {
  BaseLookup *lookup = BeginBaseLookup(rel, delta->stream, snapshot, delta->for_fold);
  if (VisitingIsCheaper(lookup, delta->ntouched)) {
    VisitBase(lookup, MaskBaseRow, delta);
  } else {
    auto *hashes = static_cast<int64 *>(palloc_extended(sizeof(int64) * delta->ntouched, MCXT_ALLOC_HUGE));
    int64 count = 0;
    for (const Group *key = delta->touched; key != nullptr; key = key->next_touched) hashes[count++] = key->hash;
    qsort(hashes, static_cast<size_t>(count), sizeof(int64), ByHash);
    // Keys of one hash are found together.
    int64 distinct = 0;
    for (int64 i = 0; i < count; i++)
      if (i == 0 || hashes[i] != hashes[distinct - 1]) hashes[distinct++] = hashes[i];
    FindCandidates(lookup, hashes, distinct, MaskBaseRow, delta);
  }
  EndBaseLookup(lookup);
}

// --- The result ---------------------------------------------------------------------------------------------------

// Takes back what an earlier finish added for the touched keys.
const char *RemoveAdditions(KeyedDelta *delta) {
  Additions *additions = &delta->overlay->additions;
  for (Group *key = delta->touched; key != nullptr; key = key->next_touched) {
    if (key->ordinal >= 0 && !AdditionsInMemory(additions)) return kSpilled;
    for (; key->ordinal >= 0; key->ordinal = delta->previous[key->ordinal])
      AdditionsReplace(additions, key->ordinal, nullptr);
  }
  return nullptr;
}

void NoteAddition(KeyedDelta *delta, Group *key, int64 ordinal) {
  if (ordinal >= delta->capacity) {
    const int64 capacity = Max(delta->capacity * 2, Max(ordinal + 1, static_cast<int64>(64)));
    const MemoryContext old = MemoryContextSwitchTo(delta->context);
    const Size size = static_cast<Size>(capacity) * sizeof(int64);
    delta->previous = static_cast<int64 *>(
        delta->previous == nullptr ? palloc_extended(size, MCXT_ALLOC_HUGE) : repalloc_huge(delta->previous, size));
    if (delta->for_fold) {
      const Size owners = static_cast<Size>(capacity) * sizeof(Group *);
      delta->owner = static_cast<Group **>(
          delta->owner == nullptr ? palloc_extended(owners, MCXT_ALLOC_HUGE) : repalloc_huge(delta->owner, owners));
    }
    delta->capacity = capacity;
    MemoryContextSwitchTo(old);
  }
  delta->previous[ordinal] = key->ordinal;
  key->ordinal = ordinal;
  if (delta->for_fold) delta->owner[ordinal] = key;
}

void TakeResultRow(TupleTableSlot *slot, void *argument) {
  auto *delta = static_cast<KeyedDelta *>(argument);
  const MemoryContext old = MemoryContextSwitchTo(delta->reader->econtext->ecxt_per_tuple_memory);
  ResetExprContext(delta->reader->econtext);
  slot_getallattrs(slot);
  Group *key = TouchedKeyOf(delta, slot);
  if (key == nullptr) elog(ERROR, "keyed evaluation returned a row of another key");
  const BagRow *stays =
      delta->bag != nullptr ? TakeFromBag(delta->bag, slot->tts_values, slot->tts_isnull, nullptr) : nullptr;
  if (stays != nullptr) {
    delta->overlay->mask.Remove(ItemPointerGetBlockNumber(&stays->tid), ItemPointerGetOffsetNumber(&stays->tid));
  } else {
    MinimalTuple tuple = FormAddition(delta->extended, slot->tts_values, slot->tts_isnull, nullptr, nullptr);
    NoteAddition(delta, key, AdditionsAppend(&delta->overlay->additions, tuple));
  }
  MemoryContextSwitchTo(old);
}

// Turns additions of a fold into updates of base rows that have the same key and go: what the indexes need stays small.
void PairWithBase(KeyedDelta *delta) {
  Additions *additions = &delta->overlay->additions;
  if (delta->bag == nullptr || BagIsFull(delta->bag) || !AdditionsInMemory(additions)) return;
  auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * delta->extended->natts));
  auto *nulls = static_cast<bool *>(palloc(sizeof(bool) * delta->extended->natts));
  for (int64 i = 0; i < additions->count; i++) {
    Group *key = delta->owner[i];
    while (key->base_rows != nullptr && key->base_rows->taken) key->base_rows = key->base_rows->sibling;
    MinimalTuple tuple = additions->tuples[i];
    if (key->base_rows == nullptr || tuple == nullptr) continue;
    HeapTupleData wrapper;
    wrapper.t_len = tuple->t_len + MINIMAL_TUPLE_OFFSET;
    wrapper.t_data = reinterpret_cast<HeapTupleHeader>(reinterpret_cast<char *>(tuple) - MINIMAL_TUPLE_OFFSET);
    heap_deform_tuple(&wrapper, delta->extended, values, nulls);
    MinimalTuple update = FormAddition(delta->extended, values, nulls, nullptr, &key->base_rows->tid);
    AdditionsReplace(additions, i, update);
    pfree(update);
    key->base_rows->taken = true;
  }
}

const char *Evaluate(KeyedDelta *delta, Relation rel, Snapshot snapshot) {
  const KeySet keys = TouchedKeys(delta);
  KeyedRun *run = PlanKeyedQuery(delta->stream, &keys, snapshot);
  if (const char *why = WhyNotByKey(delta->overlay, delta->stream, snapshot, keys.count,
                                    KeyedRunCost(run) + LookupCost(rel, keys.count)))
    return why;
  if (const char *why = RemoveAdditions(delta)) return why;
  if (delta->for_fold) delta->bag = NewRowBag(rel, delta->memory_limit);
  MaskTouched(delta, rel, snapshot);
  RunKeyed(run, snapshot, TakeResultRow, delta);
  PairWithBase(delta);
  return nullptr;
}

const char *Finish(Delta *opaque, Relation rel, Snapshot snapshot) {
  KeyedDelta *delta = AsKeyed(opaque);
  if (delta->failure != nullptr) return delta->failure;
  const MemoryContext work =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream keyed finish", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext old = MemoryContextSwitchTo(work);
  VisitSourceDelta(delta->source, TakeChange, delta);
  if (delta->overflowed)
    delta->failure = kTooManyKeys;
  else if (delta->touched != nullptr)
    delta->failure = Evaluate(delta, rel, snapshot);
  ClearSourceDelta(delta->source);
  for (Group *key = delta->touched; key != nullptr; key = key->next_touched) {
    key->touched = false;
    key->base_rows = nullptr;
  }
  delta->touched = nullptr;
  delta->ntouched = 0;
  delta->bag = nullptr;
  MemoryContextSwitchTo(old);
  MemoryContextDelete(work);
  return delta->failure;
}

}  // namespace

const DeltaOperations kKeyedDelta = {Begin, Apply, Finish, false};

}  // namespace pgstream
