// Base rows in a hash table by image; see row_bag.hpp.
#include "delta/row_bag.hpp"

#include "delta/hash.hpp"
#include "delta/hidden_state.hpp"

namespace pgstream {

struct RowBag {
  MemoryContext rows;
  MemoryContext scratch;  // reset for each row
  Size limit;
  bool full;
  int ncolumns;
  TupleDesc extended;
  RowHasher *hasher;
  Datum *values;
  bool *nulls;
  BagRow **buckets;
  uint64 nbuckets;  // a power of two
  uint64 nrows;
};

namespace {

constexpr uint64 kInitialBuckets = 256;
constexpr uint64 kRowsPerMemoryCheck = 64;

BagRow **NewBuckets(const RowBag *bag, uint64 n) {
  return static_cast<BagRow **>(
      MemoryContextAllocExtended(bag->rows, n * sizeof(BagRow *), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
}

void Link(BagRow **bucket, BagRow *row) {
  row->next = *bucket;
  *bucket = row;
}

void Grow(RowBag *bag) {
  const uint64 nbuckets = bag->nbuckets * 2;
  BagRow **const buckets = NewBuckets(bag, nbuckets);
  for (uint64 i = 0; i < bag->nbuckets; i++) {
    BagRow *next;
    for (BagRow *row = bag->buckets[i]; row != nullptr; row = next) {
      next = row->next;
      Link(&buckets[static_cast<uint64>(row->hash) & (nbuckets - 1)], row);
    }
  }
  pfree(bag->buckets);
  bag->buckets = buckets;
  bag->nbuckets = nbuckets;
}

bool SameState(const bytea *a, Datum b, bool b_null) {
  if (a == nullptr || b_null) return (a == nullptr) == b_null;
  return ImagesEqual(PointerGetDatum(const_cast<bytea *>(a)), b, false, -1);
}

}  // namespace

RowBag *NewRowBag(Relation rel, Size limit) {
  const MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream row bag", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(context);
  auto *bag = static_cast<RowBag *>(palloc0(sizeof(RowBag)));
  bag->rows = AllocSetContextCreate(context, "pg_stream bag rows", ALLOCSET_DEFAULT_SIZES);
  bag->scratch = AllocSetContextCreate(context, "pg_stream bag row", ALLOCSET_DEFAULT_SIZES);
  bag->limit = limit;
  bag->extended = ExtendedDescriptor(rel);
  bag->ncolumns = RelationGetNumberOfAttributes(rel);
  auto *types = static_cast<Oid *>(palloc(sizeof(Oid) * bag->ncolumns));
  for (int i = 0; i < bag->ncolumns; i++) types[i] = TupleDescAttr(bag->extended, i)->atttypid;
  bag->hasher = NewRowHasher(bag->ncolumns, types, HashBy::Image);
  bag->values = static_cast<Datum *>(palloc(sizeof(Datum) * bag->extended->natts));
  bag->nulls = static_cast<bool *>(palloc(sizeof(bool) * bag->extended->natts));
  bag->nbuckets = kInitialBuckets;
  bag->buckets = NewBuckets(bag, bag->nbuckets);
  MemoryContextSwitchTo(saved);
  return bag;
}

BagRow *AddToBag(RowBag *bag, const BaseRow *row) {
  if (bag->full) return nullptr;
  if (++bag->nrows % kRowsPerMemoryCheck == 0 && MemoryContextMemAllocated(bag->rows, false) > bag->limit) {
    bag->full = true;
    MemoryContextReset(bag->rows);
    return nullptr;
  }
  if (bag->nrows > bag->nbuckets) Grow(bag);
  MemoryContext saved = MemoryContextSwitchTo(bag->scratch);
  slot_getallattrs(row->slot);
  const int64 hash = HashRow(bag->hasher, row->slot->tts_values, row->slot->tts_isnull);
  MinimalTuple tuple =
      FormAddition(bag->extended, row->slot->tts_values, row->slot->tts_isnull, HiddenStateOf(row), nullptr);
  MemoryContextSwitchTo(bag->rows);
  auto *added = static_cast<BagRow *>(palloc(sizeof(BagRow)));
  added->sibling = nullptr;
  added->hash = hash;
  added->taken = false;
  added->tid = row->slot->tts_tid;
  added->tuple = static_cast<MinimalTuple>(palloc(tuple->t_len));
  memcpy(added->tuple, tuple, tuple->t_len);
  Link(&bag->buckets[static_cast<uint64>(hash) & (bag->nbuckets - 1)], added);
  MemoryContextSwitchTo(saved);
  MemoryContextReset(bag->scratch);
  return added;
}

bool BagIsFull(const RowBag *bag) { return bag->full; }

BagRow *TakeFromBag(RowBag *bag, const Datum *values, const bool *nulls, const bytea *state) {
  if (bag->full) return nullptr;
  const MemoryContext saved = MemoryContextSwitchTo(bag->scratch);
  const int64 hash = HashRow(bag->hasher, values, nulls);
  BagRow **link = &bag->buckets[static_cast<uint64>(hash) & (bag->nbuckets - 1)];
  for (; *link != nullptr; link = &(*link)->next) {
    const BagRow *row = *link;
    if (row->hash != hash) continue;
    HeapTupleData wrapper;
    wrapper.t_len = row->tuple->t_len + MINIMAL_TUPLE_OFFSET;
    wrapper.t_data = reinterpret_cast<HeapTupleHeader>(reinterpret_cast<char *>(row->tuple) - MINIMAL_TUPLE_OFFSET);
    heap_deform_tuple(&wrapper, bag->extended, bag->values, bag->nulls);
    if (SameState(state, bag->values[bag->ncolumns], bag->nulls[bag->ncolumns]) &&
        RowImagesEqual(bag->extended, bag->ncolumns, values, nulls, bag->values, bag->nulls))
      break;
  }
  MemoryContextSwitchTo(saved);
  MemoryContextReset(bag->scratch);
  BagRow *const found = *link;
  if (found == nullptr) return nullptr;
  *link = found->next;
  found->taken = true;
  return found;
}

void VisitRestOfBag(const RowBag *bag, TidVisitor visit, void *argument) {
  for (uint64 i = 0; i < bag->nbuckets && !bag->full; i++)
    for (BagRow *row = bag->buckets[i]; row != nullptr; row = row->next) visit(&row->tid, argument);
}

}  // namespace pgstream
