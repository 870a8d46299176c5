// Reading the base heap of a stream table as it is, without its overlay: what computes an overlay, and what folds one,
// must not see through it.
//
// Promises: works for plain tables as well; rawness belongs to the scan alone, so that an error leaves nothing
// switched. Refuses: parallel scans.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// What index_fetch_begin of the access method returns. Heap's own descriptor comes first: heap's functions take it.
struct StreamIndexFetch {
  IndexFetchHeapData heap;
  bool raw;
  Snapshot snapshot;        // the one overlay belongs to
  struct Overlay *overlay;  // held; nullptr: nothing to suppress under snapshot
};

// A sequential scan of the base. Continue with table_scan_getnextslot, end with table_endscan.
// in_order: from the first block on, instead of where another scan of the same table may be.
inline TableScanDesc BeginRawScan(Relation rel, Snapshot snapshot, bool in_order = false) {
  const uint32 flags = SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE | (in_order ? 0 : SO_ALLOW_SYNC);
  return GetHeapamTableAmRoutine()->scan_begin(rel, snapshot, 0, nullptr, nullptr, flags);
}

// An index scan of the base. Continue with index_rescan and index_getnext_slot, end with index_endscan.
inline IndexScanDesc BeginRawIndexScan(Relation rel, Relation index, Snapshot snapshot, int nkeys) {
  const IndexScanDesc scan = compat::BeginIndexScan(rel, index, snapshot, nkeys, 0);
  if (rel->rd_tableam != GetHeapamTableAmRoutine())
    reinterpret_cast<StreamIndexFetch *>(scan->xs_heapfetch)->raw = true;
  return scan;
}

}  // namespace pgstream
