// Lookups through the key index: see base_lookup.hpp.

#include "delta/base_lookup.hpp"

#include "delta/hidden_state.hpp"
#include "delta/index_leaf.hpp"
#include "pg/raw_scan.hpp"

extern "C" {
#include "optimizer/plancat.h"
}

namespace pgstream {

// What a lookup costs, in rows visited by a scan (measured, warm: 1.3 us against 50 ns).
static constexpr double kRowsPerLookup = 25;

// Where a row that lookup number `which` may be after was when the index was read.
struct Place {
  int64 which;
  ItemPointerData tid;
};

// Places gathered before their rows are visited, and how many of them one hash may have: more are rows many times alike, of
// which few may be wanted, or index entries of dead rows.
static constexpr int kPlaces = 4096;
static constexpr int kMostPlaces = 4;

// From so many lookups on for each page of the index, a descent serves more than one.
static constexpr int64 kLookupsPerLeaf = 2;

// Rows of a pass over the base that are prepared together.
static constexpr int kTogether = 16;

// Pages that are prepared together.
static constexpr int kPagesTogether = 8;

// Rows that are found at once in a page.
static constexpr int kMostFound = MaxHeapTuplesPerPage;

struct Found {
  HeapTupleData row;
  int64 which;
};

struct BaseLookup {
  Relation rel;
  Snapshot snapshot;
  bool for_fold;
  BaseRow row;
  Relation index;         // nullptr: none
  IndexScanDesc scan;     // of the index
  IndexLeaf leaf;
  bool by_leaves;         // several lookups are likely to meet in one leaf
  Place *places;
  int nplaces;
  Found *found;           // kMostFound
  Size row_room;          // what a new version of a row takes of its page, as far as seen
  MemoryContext context;  // an index scan keeps memory from one call to the next in whatever context is current
};

BaseLookup *BeginBaseLookup(Relation rel, const Stream *stream, Snapshot snapshot, bool for_fold) {
  BaseLookup *const lookup = static_cast<BaseLookup *>(palloc0(sizeof(BaseLookup)));
  lookup->context = CurrentMemoryContext;
  lookup->rel = rel;
  lookup->snapshot = snapshot;
  lookup->for_fold = for_fold;
  lookup->row_room = BLCKSZ;
  lookup->row = {table_slot_create(rel, nullptr), ExtendedDescriptor(rel), 0};
  if (!OidIsValid(stream->key_index)) return lookup;
  lookup->index = index_open(stream->key_index, AccessShareLock);
  if (lookup->index->rd_index->indisready) {
    lookup->scan = BeginRawIndexScan(rel, lookup->index, snapshot, 1);
    lookup->leaf = {lookup->index, InvalidBuffer};
    lookup->places = static_cast<Place *>(palloc(sizeof(Place) * kPlaces));
    lookup->found = static_cast<Found *>(palloc(sizeof(Found) * kMostFound));
  }
  return lookup;
}

const bytea *HiddenStateOf(const BaseRow *row) {
  bool should_free;
  const HeapTuple tuple = ExecFetchSlotHeapTuple(row->slot, false, &should_free);
  Assert(!should_free);
  return HiddenState(tuple, row->extended);
}

static double BaseRows(Relation rel) {
  BlockNumber pages;
  double rows, all_visible;
  estimate_rel_size(rel, nullptr, &pages, &rows, &all_visible);
  return rows;
}

bool VisitingIsCheaper(const BaseLookup *lookup, int64 lookups) {
  return lookup->scan == nullptr || static_cast<double>(lookups) * kRowsPerLookup > BaseRows(lookup->rel);
}

double LookupCost(Relation rel, int64 lookups) {
  return Min(static_cast<double>(lookups) * kRowsPerLookup, BaseRows(rel)) * cpu_tuple_cost;
}

static void VisitBaseAs(BaseLookup *lookup, int64 which, CandidateVisitor visit, void *argument) {
  const TableScanDesc scan = BeginRawScan(lookup->rel, lookup->snapshot, true);
  while (table_scan_getnextslot(scan, ForwardScanDirection, lookup->row.slot)) {
    CHECK_FOR_INTERRUPTS();
    if (!visit(&lookup->row, which, argument)) break;
  }
  ExecClearTuple(lookup->row.slot);
  table_endscan(scan);
}

// A slot that a scan has filled points to the scan's own head of the tuple, which the next row overwrites.
static void KeepHead(TupleTableSlot *slot) {
  auto *const heap = &reinterpret_cast<BufferHeapTupleTableSlot *>(slot)->base;
  heap->tupdata = *heap->tuple;
  heap->tuple = &heap->tupdata;
}

// Each row that waits has a slot of its own, which holds its page.
static void VisitBaseTogether(BaseLookup *lookup, CandidateVisitor visit, void *argument, CandidatePreparer prepare) {
  BaseRow rows[kTogether];
  for (BaseRow &row : rows) row = {table_slot_create(lookup->rel, nullptr), lookup->row.extended, 0};
  const TableScanDesc scan = BeginRawScan(lookup->rel, lookup->snapshot, true);
  for (bool more = true; more;) {
    CHECK_FOR_INTERRUPTS();
    int count = 0;
    while (count < kTogether && table_scan_getnextslot(scan, ForwardScanDirection, rows[count].slot)) KeepHead(rows[count++].slot);
    more = count == kTogether;
    for (int step = 0; step < kCandidateSteps; step++)
      for (int i = 0; i < count; i++) prepare(&rows[i], step, argument);
    for (int i = 0; i < count; i++) {
      if (visit(&rows[i], 0, argument)) continue;
      more = false;
      break;
    }
  }
  for (const BaseRow &row : rows) ExecDropSingleTupleTableSlot(row.slot);
  table_endscan(scan);
}

void VisitBase(BaseLookup *lookup, CandidateVisitor visit, void *argument, CandidatePreparer prepare) {
  if (prepare == nullptr)
    VisitBaseAs(lookup, 0, visit, argument);
  else
    VisitBaseTogether(lookup, visit, argument, prepare);
}

static void BeginHash(BaseLookup *lookup, int64 hash) {
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(hash));
  index_rescan(lookup->scan, &key, 1, nullptr, 0);
}

// One hash, row by row: the server marks index entries of dead rows on the way, and the visitor may end it early.
static void FindOneByOne(BaseLookup *lookup, int64 hash, int64 which, CandidateVisitor visit, void *argument) {
  const MemoryContext caller = MemoryContextSwitchTo(lookup->context);
  BeginHash(lookup, hash);
  for (bool go_on = true; go_on && index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->row.slot);) {
    CHECK_FOR_INTERRUPTS();
    MemoryContextSwitchTo(caller);
    go_on = visit(&lookup->row, which, argument);
    MemoryContextSwitchTo(lookup->context);
  }
  MemoryContextSwitchTo(caller);
}

static int ByPlace(const void *a, const void *b) {
  auto *left = static_cast<const Place *>(a), *right = static_cast<const Place *>(b);
  const int32 order = ItemPointerCompare(const_cast<ItemPointer>(&left->tid), const_cast<ItemPointer>(&right->tid));
  return order != 0 ? order : left->which < right->which ? -1 : left->which > right->which;
}

// Finds what the snapshot sees at some places of one page.
static int FindOnPage(BaseLookup *lookup, Buffer buffer, Place *places, int count) {
  int nfound = 0;
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  for (int i = 0; i < count; i++) {
    Found *const found = &lookup->found[nfound];
    if (!heap_hot_search_buffer(&places[i].tid, lookup->rel, buffer, lookup->snapshot, &found->row, nullptr, true)) continue;
    found->which = places[i].which;
    nfound++;
  }
  LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
  return nfound;
}

// Who looks up, and what for.
struct Visit {
  BaseLookup *lookup;
  CandidateVisitor visitor;
  LookupPreparer prepare;  // nullptr: nothing to prepare
  void *argument;
};

// Where the places of one page are, which is pinned.
struct PagePlaces {
  Buffer buffer;
  Place *places;
  int count;
};

// Takes the places of the next page, from `first` on.
static PagePlaces PinPage(const Visit *visit, int first) {
  const BaseLookup *const lookup = visit->lookup;
  Place *const places = lookup->places + first;
  const BlockNumber block = ItemPointerGetBlockNumber(&places->tid);
  int count = 1;
  while (first + count < lookup->nplaces && count < kMostFound && ItemPointerGetBlockNumber(&places[count].tid) == block) count++;
  const Buffer buffer = ReadBuffer(lookup->rel, block);
  const Page page = BufferGetPage(buffer);
  __builtin_prefetch(page);
  for (int i = 0; i < count; i++) {
    __builtin_prefetch(PageGetItemId(page, ItemPointerGetOffsetNumber(&places[i].tid)));
    if (visit->prepare != nullptr) visit->prepare(places[i].which, 0, visit->argument);
  }
  return {buffer, places, count};
}

// heap would prune a page, which costs more than all else, whenever it is fetched and some version has died; here it is where a
// fold would not find room beside the rows that it is about to replace.
static void PreparePage(const Visit *visit, const PagePlaces *pinned) {
  const BaseLookup *const lookup = visit->lookup;
  const Page page = BufferGetPage(pinned->buffer);
  if (lookup->for_fold && PageGetHeapFreeSpace(page) < static_cast<Size>(pinned->count) * lookup->row_room)
    heap_page_prune_opt(lookup->rel, pinned->buffer);
  for (int i = 0; i < pinned->count; i++) {
    // Without a lock it may be another row, or none, by now; what is fetched in vain does no harm.
    const ItemId item = PageGetItemId(page, ItemPointerGetOffsetNumber(&pinned->places[i].tid));
    const char *const row = reinterpret_cast<const char *>(page) + ItemIdGetOffset(item);
    __builtin_prefetch(row);
    __builtin_prefetch(row + PG_CACHE_LINE_SIZE / 2);
    if (visit->prepare != nullptr) visit->prepare(pinned->places[i].which, 1, visit->argument);
  }
}

static void VisitPage(const Visit *visit, const PagePlaces *pinned) {
  BaseLookup *const lookup = visit->lookup;
  const int nfound = FindOnPage(lookup, pinned->buffer, pinned->places, pinned->count);
  TupleTableSlot *const slot = lookup->row.slot;
  HeapTuple const row = &reinterpret_cast<BufferHeapTupleTableSlot *>(slot)->base.tupdata;
  Size room = lookup->row_room < BLCKSZ ? lookup->row_room : 0;
  for (int i = 0; i < nfound; i++) {
    *row = lookup->found[i].row;
    room = Max(room, MAXALIGN(row->t_len) + sizeof(ItemIdData));
    ExecStoreBufferHeapTuple(row, slot, pinned->buffer);
    visit->visitor(&lookup->row, lookup->found[i].which, visit->argument);
  }
  if (room > 0) lookup->row_room = room;
  ReleaseBuffer(pinned->buffer);
}

// Visits the rows at the places gathered, in the order of the base's pages. A place may have been vacuumed and taken again
// since it was read from the index: no such row is visible to the snapshot. Pages lie anywhere in memory: a few at a time are
// fetched into the processor's caches.
static void VisitPlaces(const Visit *visit) {
  BaseLookup *const lookup = visit->lookup;
  qsort(lookup->places, static_cast<size_t>(lookup->nplaces), sizeof(Place), ByPlace);
  for (int next = 0; next < lookup->nplaces;) {
    CHECK_FOR_INTERRUPTS();
    PagePlaces pages[kPagesTogether];
    int npages = 0;
    for (; npages < kPagesTogether && next < lookup->nplaces; npages++) {
      pages[npages] = PinPage(visit, next);
      next += pages[npages].count;
    }
    for (int i = 0; i < npages; i++) PreparePage(visit, &pages[i]);
    for (int i = 0; i < npages; i++) VisitPage(visit, &pages[i]);
  }
  lookup->nplaces = 0;
}

// Reads the places of one hash from the index, kMostPlaces at most, and returns how many there are, or kMostPlaces + 1.
static int ReadPlaces(BaseLookup *lookup, int64 hash, ItemPointer tids) {
  const MemoryContext caller = MemoryContextSwitchTo(lookup->context);
  BeginHash(lookup, hash);
  int count = 0;
  while (const ItemPointer tid = index_getnext_tid(lookup->scan, ForwardScanDirection)) {
    if (count == 0 && lookup->by_leaves) KeepLeaf(&lookup->leaf, lookup->scan);
    if (count++ == kMostPlaces) break;
    tids[count - 1] = *tid;
  }
  MemoryContextSwitchTo(caller);
  return count;
}

// Gathers the places of one hash; false when they are too many to be kept.
static bool GatherPlaces(BaseLookup *lookup, int64 hash, int64 which) {
  ItemPointerData tids[kMostPlaces];
  int count = lookup->by_leaves ? FindInLeaf(&lookup->leaf, lookup->scan, hash, tids, kMostPlaces) : -1;
  if (count < 0) count = ReadPlaces(lookup, hash, tids);
  if (count > kMostPlaces) return false;
  for (int i = 0; i < count; i++) lookup->places[lookup->nplaces++] = {which, tids[i]};
  return true;
}

void FindCandidates(BaseLookup *lookup, const int64 *hashes, int64 count, CandidateVisitor visit, void *argument,
                    LookupPreparer prepare) {
  const Visit places = {lookup, visit, prepare, argument};
  lookup->by_leaves = lookup->scan != nullptr && MayReadLeaves(lookup->index) &&
                      count / kLookupsPerLeaf > RelationGetNumberOfBlocks(lookup->index);
  for (int64 i = 0; i < count; i++) {
    CHECK_FOR_INTERRUPTS();
    if (lookup->scan == nullptr) {
      VisitBaseAs(lookup, i, visit, argument);
    } else if (count == 1 || !GatherPlaces(lookup, hashes[i], i)) {
      FindOneByOne(lookup, hashes[i], i, visit, argument);
    } else if (lookup->nplaces > kPlaces - kMostPlaces) {
      VisitPlaces(&places);
    }
  }
  ForgetLeaf(&lookup->leaf);
  if (lookup->nplaces > 0) VisitPlaces(&places);
  ExecClearTuple(lookup->row.slot);
}

void EndBaseLookup(BaseLookup *lookup) {
  if (lookup->scan != nullptr) index_endscan(lookup->scan);
  if (lookup->index != nullptr) index_close(lookup->index, AccessShareLock);
  ExecDropSingleTupleTableSlot(lookup->row.slot);
  FreeTupleDesc(lookup->row.extended);
  if (lookup->places != nullptr) {
    pfree(lookup->places);
    pfree(lookup->found);
  }
  pfree(lookup);
}

}  // namespace pgstream
