// Gathering and inserting index entries; see index_entries.hpp.
#include "refresh/index_entries.hpp"

#include "pg/compat.hpp"

namespace pgstream {

namespace {

constexpr int64 kFirstRoom = 64;
constexpr int64 kRowsPerMemoryCheck = 256;

struct Entry {
  Datum first;  // first column of the index, by which entries are sorted
  Datum *rest;  // the others', then the flags of those that are NULL
  ItemPointerData tid;
  bool first_null;
};

// Of one index.
struct Waiting {
  Relation index;  // nullptr: its entries do not wait
  IndexInfo *info;
  SortSupportData sort;
  Entry *entries;
  int64 count, room;
};

}  // namespace

struct IndexEntries {
  ResultRelInfo *result;
  EState *estate;
  MemoryContext context;  // of this
  MemoryContext memory;   // of what waits
  Size limit;
  bool any_at_once;  // an index gets entries at once
  int64 rows;
  Waiting waiting[FLEXIBLE_ARRAY_MEMBER];
};

namespace {

bool MayWait(Relation index, const IndexInfo *info) {
  return index->rd_rel->relam == BTREE_AM_OID && info->ii_ExclusionOps == nullptr &&
         (!index->rd_index->indisunique || index->rd_index->indimmediate);
}

void PrepareSort(Waiting *waiting) {
  SortSupportData *const sort = &waiting->sort;
  sort->ssup_cxt = CurrentMemoryContext;
  sort->ssup_collation = waiting->index->rd_indcollation[0];
  sort->ssup_nulls_first = (waiting->index->rd_indoption[0] & INDOPTION_NULLS_FIRST) != 0;
  sort->ssup_attno = 1;
  const bool descending = (waiting->index->rd_indoption[0] & INDOPTION_DESC) != 0;
  compat::PrepareIndexSort(waiting->index, descending, sort);
}

int ByFirstColumn(const void *a, const void *b, void *argument) {
  auto *left = static_cast<const Entry *>(a), *right = static_cast<const Entry *>(b);
  const int order = ApplySortComparator(left->first, left->first_null, right->first, right->first_null,
                                        static_cast<SortSupport>(argument));
  return order != 0 ? order
                    : ItemPointerCompare(const_cast<ItemPointer>(&left->tid), const_cast<ItemPointer>(&right->tid));
}

Datum CopyColumn(const Waiting *waiting, int column, Datum value, bool isnull) {
  const FormData_pg_attribute *const attribute = TupleDescAttr(RelationGetDescr(waiting->index), column);
  return isnull || attribute->attbyval ? value : datumCopy(value, false, attribute->attlen);
}

bool *RestNulls(const Waiting *waiting, Datum *rest) {
  return reinterpret_cast<bool *>(rest + waiting->info->ii_NumIndexAttrs - 1);
}

void AddEntry(IndexEntries *entries, Waiting *waiting, const ItemPointerData *tid, const Datum *values, const bool *isnull) {
  const MemoryContext saved = MemoryContextSwitchTo(entries->memory);
  if (waiting->count == waiting->room) {
    waiting->room = Max(waiting->room * 2, kFirstRoom);
    const Size size = sizeof(Entry) * static_cast<Size>(waiting->room);
    waiting->entries = static_cast<Entry *>(waiting->entries == nullptr ? palloc(size) : repalloc_huge(waiting->entries, size));
  }
  Entry *const entry = &waiting->entries[waiting->count++];
  *entry = {CopyColumn(waiting, 0, values[0], isnull[0]), nullptr, *tid, isnull[0]};
  const int more = waiting->info->ii_NumIndexAttrs - 1;
  if (more > 0) {
    entry->rest = static_cast<Datum *>(palloc((sizeof(Datum) + sizeof(bool)) * static_cast<Size>(more)));
    for (int i = 0; i < more; ++i) entry->rest[i] = CopyColumn(waiting, i + 1, values[i + 1], isnull[i + 1]);
    memcpy(RestNulls(waiting, entry->rest), isnull + 1, sizeof(bool) * static_cast<Size>(more));
  }
  MemoryContextSwitchTo(saved);
}

// True when the row belongs into the index.
bool IsIndexed(const IndexEntries *entries, const Waiting *waiting, ExprContext *econtext) {
  IndexInfo *const info = waiting->info;
  if (info->ii_Predicate == NIL) return true;
  if (info->ii_PredicateState == nullptr) info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, entries->estate);
  return ExecQual(info->ii_PredicateState, econtext);
}

void InsertWaiting(IndexEntries *entries, Waiting *waiting) {
  if (waiting->count > 1)
    qsort_arg(waiting->entries, static_cast<size_t>(waiting->count), sizeof(Entry), ByFirstColumn, &waiting->sort);
  Datum values[INDEX_MAX_KEYS];
  bool isnull[INDEX_MAX_KEYS];
  const int more = waiting->info->ii_NumIndexAttrs - 1;
  const IndexUniqueCheck check = waiting->index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
  ExprContext *const econtext = GetPerTupleExprContext(entries->estate);
  const MemoryContext saved = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
  for (int64 i = 0; i < waiting->count; ++i) {
    CHECK_FOR_INTERRUPTS();
    Entry *const entry = &waiting->entries[i];
    values[0] = entry->first;
    isnull[0] = entry->first_null;
    if (more > 0) {
      memcpy(values + 1, entry->rest, sizeof(Datum) * static_cast<Size>(more));
      memcpy(isnull + 1, RestNulls(waiting, entry->rest), sizeof(bool) * static_cast<Size>(more));
    }
    index_insert(waiting->index, values, isnull, &entry->tid, entries->result->ri_RelationDesc, check, false, waiting->info);
    ResetExprContext(econtext);
  }
  MemoryContextSwitchTo(saved);
  waiting->entries = nullptr;
  waiting->count = waiting->room = 0;
}

}  // namespace

IndexEntries *BeginIndexEntries(ResultRelInfo *result, EState *estate) {
  const int n = result->ri_NumIndices;
  auto *entries = static_cast<IndexEntries *>(
      palloc0(offsetof(IndexEntries, waiting) + sizeof(Waiting) * static_cast<Size>(n)));
  entries->result = result;
  entries->estate = estate;
  entries->memory = AllocSetContextCreate(CurrentMemoryContext, "pg_stream index entries", ALLOCSET_DEFAULT_SIZES);
  entries->limit = static_cast<Size>(maintenance_work_mem) * 1024;
  for (int i = 0; i < n; ++i) {
    Waiting *const waiting = &entries->waiting[i];
    waiting->info = result->ri_IndexRelationInfo[i];
    if (!waiting->info->ii_ReadyForInserts) continue;
    if (!MayWait(result->ri_IndexRelationDescs[i], waiting->info)) {
      entries->any_at_once = true;
      continue;
    }
    waiting->index = result->ri_IndexRelationDescs[i];
    PrepareSort(waiting);
    // The executor passes over indexes that are not there.
    result->ri_IndexRelationDescs[i] = nullptr;
  }
  return entries;
}

void GatherIndexEntries(IndexEntries *entries, TupleTableSlot *slot, bool only_summarizing) {
  if (entries->any_at_once)
    compat::InsertIndexTuples(entries->result, slot, entries->estate, false, only_summarizing);
  if (only_summarizing) return;
  ExprContext *const econtext = GetPerTupleExprContext(entries->estate);
  econtext->ecxt_scantuple = slot;
  Datum values[INDEX_MAX_KEYS];
  bool isnull[INDEX_MAX_KEYS];
  for (int i = 0; i < entries->result->ri_NumIndices; ++i) {
    Waiting *const waiting = &entries->waiting[i];
    if (waiting->index == nullptr || !IsIndexed(entries, waiting, econtext)) continue;
    FormIndexDatum(waiting->info, slot, entries->estate, values, isnull);
    AddEntry(entries, waiting, &slot->tts_tid, values, isnull);
  }
  if (++entries->rows % kRowsPerMemoryCheck == 0 && MemoryContextMemAllocated(entries->memory, false) > entries->limit)
    InsertIndexEntries(entries);
}

void InsertIndexEntries(IndexEntries *entries) {
  for (int i = 0; i < entries->result->ri_NumIndices; ++i)
    if (entries->waiting[i].count > 0) InsertWaiting(entries, &entries->waiting[i]);
  MemoryContextReset(entries->memory);
}

void EndIndexEntries(IndexEntries *entries) {
  for (int i = 0; i < entries->result->ri_NumIndices; ++i) {
    const Waiting *const waiting = &entries->waiting[i];
    if (waiting->index == nullptr) continue;
    if (waiting->count > 0) elog(ERROR, "index entries of a fold were left behind");
    entries->result->ri_IndexRelationDescs[i] = waiting->index;
  }
  MemoryContextDelete(entries->memory);
  pfree(entries);
}

}  // namespace pgstream
