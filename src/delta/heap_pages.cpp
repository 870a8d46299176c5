// Reading a heap by pages; see heap_pages.hpp.
#include "delta/heap_pages.hpp"

extern "C" {
#include "access/tupmacs.h"
#include "pgstat.h"
}

namespace pgstream {
namespace {

constexpr Size kCacheLine = 64;

uint8 AlignmentOf(char align) {
  switch (align) {
    case TYPALIGN_DOUBLE:
      return ALIGNOF_DOUBLE;
    case TYPALIGN_INT:
      return ALIGNOF_INT;
    case TYPALIGN_SHORT:
      return ALIGNOF_SHORT;
    default:
      return 1;
  }
}

// A value as it would lie in a row.
const uint8 *MissingValue(TupleDesc descriptor, AttrNumber attnum) {
  const FormData_pg_attribute *const attribute = TupleDescAttr(descriptor, attnum - 1);
  bool isnull = true;
  const Datum value = attribute->atthasmissing ? getmissingattr(descriptor, attnum, &isnull) : static_cast<Datum>(0);
  if (isnull) return nullptr;
  if (!attribute->attbyval) return reinterpret_cast<const uint8 *>(DatumGetPointer(value));
  void *const place = palloc0(sizeof(Datum));
  store_att_byval(place, value, attribute->attlen);
  return static_cast<const uint8 *>(place);
}

void TakeColumns(HeapPages *pages, const AttrNumber *wanted) {
  const TupleDesc descriptor = RelationGetDescr(pages->rel);
  pages->ncolumns = pages->nwanted > 0 ? wanted[pages->nwanted - 1] : 0;
  pages->columns = static_cast<PageColumn *>(palloc0(sizeof(PageColumn) * static_cast<Size>(pages->ncolumns + 1)));
  bool fixed = true;
  Size offset = 0;
  for (int i = 0, next = 0; i < pages->ncolumns; i++) {
    const FormData_pg_attribute *const attribute = TupleDescAttr(descriptor, i);
    PageColumn *const column = &pages->columns[i];
    *column = {attribute->attlen, AlignmentOf(attribute->attalign), -1, -1, nullptr};
    if (wanted[next] == i + 1) {
      column->wanted = next++;
      column->missing = MissingValue(descriptor, attribute->attnum);
    }
    fixed = fixed && attribute->attlen > 0;
    if (!fixed) continue;
    offset = TYPEALIGN(column->alignment, offset);
    column->offset = static_cast<int32>(offset);
    offset += static_cast<Size>(attribute->attlen);
    pages->nfixed = i + 1;
    pages->fixed_size = offset;
  }
}

Size LengthAt(const PageColumn *column, const uint8 *place) {
  if (column->length > 0) return static_cast<Size>(column->length);
  return column->length == -1 ? VARSIZE_ANY(place) : strlen(reinterpret_cast<const char *>(place)) + 1;
}

const uint8 *ValuesOf(HeapTupleHeader row) { return reinterpret_cast<const uint8 *>(row) + row->t_hoff; }

// Finds the wanted values of a row from a column on, which lies at this offset or, aligned, behind it.
void FindPlaces(const HeapPages *pages, HeapTupleHeader row, int first, Size offset, const uint8 **places) {
  const int natts = HeapTupleHeaderGetNatts(row);
  const bool nulls = (row->t_infomask & HEAP_HASNULL) != 0;
  const uint8 *const data = ValuesOf(row);
  for (int i = first; i < pages->ncolumns; i++) {
    const PageColumn *const column = &pages->columns[i];
    const uint8 *place = nullptr;
    if (i >= natts) {
      place = column->missing;
    } else if (!nulls || !att_isnull(i, row->t_bits)) {
      // A varlena with a short header is not aligned, and what pads one with a long header is zero.
      if (column->length != -1 || data[offset] == 0) offset = TYPEALIGN(column->alignment, offset);
      place = data + offset;
      offset += LengthAt(column, place);
    }
    if (column->wanted >= 0) places[static_cast<Size>(column->wanted) * kMostPageRows] = place;
  }
}

// The same for all rows of the page. Where no row has a NULL or is short, columns that have an offset need no look at the row.
void FindAllPlaces(HeapPages *pages) {
  pages->any_null = false;
  for (uint32 row = 0; row < pages->nrows; row++) {
    const HeapTupleHeader header = pages->rows[row].t_data;
    pages->any_null |= (header->t_infomask & HEAP_HASNULL) != 0 || HeapTupleHeaderGetNatts(header) < pages->ncolumns;
  }
  const int first = pages->any_null ? 0 : pages->nfixed;
  for (int i = 0; i < first; i++) {
    const PageColumn *const column = &pages->columns[i];
    if (column->wanted < 0) continue;
    const uint8 **const places = pages->places + static_cast<Size>(column->wanted) * kMostPageRows;
    for (uint32 row = 0; row < pages->nrows; row++) places[row] = ValuesOf(pages->rows[row].t_data) + column->offset;
  }
  if (first == pages->ncolumns) return;
  const Size offset = first > 0 ? pages->fixed_size : 0;
  for (uint32 row = 0; row < pages->nrows; row++)
    FindPlaces(pages, pages->rows[row].t_data, first, offset, pages->places + row);
}

HeapPages *NewHeapPages(Relation rel, TableScanDesc scan, int nwanted, const AttrNumber *wanted) {
  auto *const made = static_cast<HeapPages *>(palloc0(sizeof(HeapPages)));
  made->rel = rel;
  made->nwanted = nwanted;
  TakeColumns(made, wanted);
  made->rows = static_cast<HeapTupleData *>(palloc(sizeof(HeapTupleData) * kMostPageRows));
  made->places = static_cast<const uint8 **>(palloc(sizeof(uint8 *) * kMostPageRows * static_cast<Size>(nwanted + 1)));
  made->scan = scan;
  return made;
}

}  // namespace

bool MayReadPages(Relation rel, Snapshot snapshot) {
  return rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_tableam == GetHeapamTableAmRoutine() && IsMVCCSnapshot(snapshot);
}

HeapPages *BeginHeapPages(Relation rel, Snapshot snapshot, int nwanted, const AttrNumber *wanted) {
  return NewHeapPages(rel, table_beginscan(rel, snapshot, 0, nullptr), nwanted, wanted);
}

HeapPages *BeginSharedHeapPages(Relation rel, ParallelTableScanDesc shared, int nwanted, const AttrNumber *wanted) {
  return NewHeapPages(rel, table_beginscan_parallel(rel, shared), nwanted, wanted);
}

// Heap has found all visible rows of a page when it returns the first; it is told that this was the last.
bool NextHeapPage(HeapPages *pages) {
  CHECK_FOR_INTERRUPTS();
  if (heap_getnext(pages->scan, ForwardScanDirection) == nullptr) return false;
  const HeapScanDesc scan = reinterpret_cast<HeapScanDesc>(pages->scan);
  const Page page = BufferGetPage(scan->rs_cbuf);
  pages->nrows = static_cast<uint32>(scan->rs_ntuples);
  for (uint32 i = 0; i < pages->nrows; i++) {
    const ItemId item = PageGetItemId(page, scan->rs_vistuples[i]);
    HeapTuple const row = &pages->rows[i];
    row->t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    // Where nothing was to be checked about visibility, nobody has looked at the rows of this page so far.
    __builtin_prefetch(row->t_data);
    __builtin_prefetch(reinterpret_cast<const char *>(row->t_data) + kCacheLine);
    row->t_len = ItemIdGetLength(item);
    row->t_tableOid = RelationGetRelid(pages->rel);
    ItemPointerSet(&row->t_self, scan->rs_cblock, scan->rs_vistuples[i]);
    if (i > 0) pgstat_count_heap_getnext(pages->rel);
  }
  scan->rs_cindex = scan->rs_ntuples - 1;
  FindAllPlaces(pages);
  return true;
}

void EndHeapPages(HeapPages *pages) { table_endscan(pages->scan); }

}  // namespace pgstream
