// Lookups through the key index: see base_lookup.hpp.

#include "delta/base_lookup.hpp"

#include "delta/hidden_state.hpp"
#include "pg/raw_scan.hpp"

namespace pgstream {

struct BaseLookup {
  Relation rel;
  Snapshot snapshot;
  TupleDesc extended;
  TupleTableSlot *slot;
  Relation index;      // nullptr: none
  IndexScanDesc scan;  // of the index
  MemoryContext context;  // an index scan keeps memory from one call to the next in whatever context is current
};

BaseLookup *BeginBaseLookup(Relation rel, const Stream *stream, Snapshot snapshot) {
  BaseLookup *const lookup = static_cast<BaseLookup *>(palloc0(sizeof(BaseLookup)));
  lookup->context = CurrentMemoryContext;
  lookup->rel = rel;
  lookup->snapshot = snapshot;
  lookup->extended = ExtendedDescriptor(rel);
  lookup->slot = table_slot_create(rel, nullptr);
  if (!OidIsValid(stream->key_index))
    return lookup;
  lookup->index = index_open(stream->key_index, AccessShareLock);
  if (lookup->index->rd_index->indisvalid)
    lookup->scan = BeginRawIndexScan(rel, lookup->index, snapshot, 1);
  return lookup;
}

namespace {

bool VisitSlot(BaseLookup *lookup, CandidateVisitor visit, void *argument) {
  bool should_free;
  const HeapTuple tuple = ExecFetchSlotHeapTuple(lookup->slot, false, &should_free);
  const bytea *const state = HiddenState(tuple, lookup->extended);
  const bool go_on = visit(lookup->slot, &lookup->slot->tts_tid, state, argument);
  if (should_free)
    pfree(tuple);
  return go_on;
}

}  // namespace

void VisitBase(BaseLookup *lookup, CandidateVisitor visit, void *argument) {
  const TableScanDesc scan = BeginRawScan(lookup->rel, lookup->snapshot, true);
  while (table_scan_getnextslot(scan, ForwardScanDirection, lookup->slot)) {
    CHECK_FOR_INTERRUPTS();
    if (!VisitSlot(lookup, visit, argument))
      break;
  }
  ExecClearTuple(lookup->slot);
  table_endscan(scan);
}

void FindCandidates(BaseLookup *lookup, int64 hash, CandidateVisitor visit, void *argument) {
  if (lookup->scan == nullptr) {
    VisitBase(lookup, visit, argument);
    return;
  }
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(hash));
  const MemoryContext caller = MemoryContextSwitchTo(lookup->context);
  index_rescan(lookup->scan, &key, 1, nullptr, 0);
  for (bool go_on = true; go_on && index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot);) {
    CHECK_FOR_INTERRUPTS();
    MemoryContextSwitchTo(caller);
    go_on = VisitSlot(lookup, visit, argument);
    MemoryContextSwitchTo(lookup->context);
  }
  MemoryContextSwitchTo(caller);
  ExecClearTuple(lookup->slot);
}

void EndBaseLookup(BaseLookup *lookup) {
  if (lookup->scan != nullptr)
    index_endscan(lookup->scan);
  if (lookup->index != nullptr)
    index_close(lookup->index, AccessShareLock);
  ExecDropSingleTupleTableSlot(lookup->slot);
  FreeTupleDesc(lookup->extended);
  pfree(lookup);
}

}  // namespace pgstream
