// An ordinary table read page by page: of all rows of a page that a snapshot sees, where the values of some columns lie.
//
// What a sequential scan does for each page is heap's own: pruning, visibility, predicate locks and what they conflict with, scans
// that follow each other, statistics. Only handing out rows one by one is left out.
//
// Several processes may share the pages, as those of a parallel sequential scan do.
//
// Promises: rows and order of a sequential scan under the same snapshot; columns that were added after a row was written have the
// value they were added with. Rows and places stay until the next page. Refuses: other access methods than heap, snapshots
// that are not MVCC (MayReadPages).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// What comes before the last column that is wanted, column by column.
struct PageColumn {
  int16 length;
  uint8 alignment;
  int32 offset;          // where no column before it is NULL or of varying length; -1: it has none
  int wanted;            // its number among the columns wanted; -1: it is none
  const uint8 *missing;  // the value of rows that are shorter; nullptr: NULL
};

struct HeapPages {
  Relation rel;
  TableScanDesc scan;
  int nwanted;
  int ncolumns, nfixed;  // so many in all; so many, from the first on, have an offset
  Size fixed_size;       // of those
  PageColumn *columns;

  // Of a page.
  uint32 nrows;
  bool any_null;         // some value of a column wanted may be NULL
  HeapTupleData *rows;
  const uint8 **places;  // of the columns wanted, one after the other: kMostPageRows values each; nullptr: NULL
};

inline constexpr Size kMostPageRows = MaxHeapTuplesPerPage;

bool MayReadPages(Relation rel, Snapshot snapshot);

// Begins to read, in the current context. wanted: attribute numbers, ascending. The snapshot is the active one.
HeapPages *BeginHeapPages(Relation rel, Snapshot snapshot, int nwanted, const AttrNumber *wanted);
// Begins to read what falls to this process of the pages, under the snapshot that `shared` has.
HeapPages *BeginSharedHeapPages(Relation rel, ParallelTableScanDesc shared, int nwanted, const AttrNumber *wanted);

// The next page with rows; false: there is none.
bool NextHeapPage(HeapPages *pages);

void EndHeapPages(HeapPages *pages);

}  // namespace pgstream
