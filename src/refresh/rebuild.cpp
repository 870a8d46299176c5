// The multiset difference between base and content; see rebuild.hpp.
//
// New rows wait in a tuplestore until those that go are deleted, so that unique indexes of the user's meet no row twice.
#include "refresh/rebuild.hpp"

#include "delta/evaluate.hpp"
#include "delta/hidden_state.hpp"
#include "delta/row_bag.hpp"
#include "delta/row_evaluator.hpp"
#include "delta/strategy.hpp"
#include "pg/progress.hpp"
#include "pg/raw_scan.hpp"

extern "C" {
#include "utils/tuplestore.h"
}

namespace pgstream {

namespace {

// Visits every base row visible under snapshot.
void VisitBaseRows(Relation rel, Snapshot snapshot, CandidateVisitor visit, void *argument) {
  TableScanDesc scan = BeginRawScan(rel, snapshot);
  BaseRow row = {table_slot_create(rel, nullptr), ExtendedDescriptor(rel), 0};
  while (table_scan_getnextslot(scan, ForwardScanDirection, row.slot)) {
    CHECK_FOR_INTERRUPTS();
    if (!visit(&row, 0, argument)) break;
  }
  ExecDropSingleTupleTableSlot(row.slot);
  table_endscan(scan);
}

bool DeleteVisited(const BaseRow *row, int64, void *argument) {
  DeleteBaseRow(static_cast<BaseWriter *>(argument), &row->slot->tts_tid);
  return true;
}

void InsertContentRow(TupleTableSlot *slot, bytea *state, void *argument) {
  slot_getallattrs(slot);
  AddProgress(kProgressComputed, 1);
  InsertBaseRow(static_cast<BaseWriter *>(argument), slot->tts_values, slot->tts_isnull, state);
}

bool CollectVisited(const BaseRow *row, int64, void *argument) {
  return AddToBag(static_cast<RowBag *>(argument), row) != nullptr;
}

void DeleteTid(ItemPointer tid, void *argument) { DeleteBaseRow(static_cast<BaseWriter *>(argument), tid); }

struct Difference {
  RowBag *base;  // rows that are not in the content so far
  Tuplestorestate *surplus;  // rows of the content that are not in the base
  TupleDesc extended;
  Datum *values;
  bool *nulls;
  MemoryContext row_context;
};

void CompareContentRow(TupleTableSlot *slot, bytea *state, void *argument) {
  auto *difference = static_cast<Difference *>(argument);
  AddProgress(kProgressComputed, 1);
  slot_getallattrs(slot);
  if (TakeFromBag(difference->base, slot->tts_values, slot->tts_isnull, state) != nullptr) return;
  const int natts = difference->extended->natts - 2;
  const MemoryContext saved = MemoryContextSwitchTo(difference->row_context);
  memcpy(difference->values, slot->tts_values, sizeof(Datum) * natts);
  memcpy(difference->nulls, slot->tts_isnull, sizeof(bool) * natts);
  difference->values[natts] = PointerGetDatum(state);
  difference->nulls[natts] = state == nullptr;
  difference->nulls[natts + 1] = true;
  tuplestore_putvalues(difference->surplus, difference->extended, difference->values, difference->nulls);
  MemoryContextSwitchTo(saved);
  MemoryContextReset(difference->row_context);
}

void InsertSurplus(const Difference *difference, BaseWriter *writer) {
  const int natts = difference->extended->natts - 2;
  TupleTableSlot *slot = MakeSingleTupleTableSlot(difference->extended, &TTSOpsMinimalTuple);
  while (tuplestore_gettupleslot(difference->surplus, true, false, slot)) {
    slot_getallattrs(slot);
    bytea *state = slot->tts_isnull[natts] ? nullptr : DatumGetByteaPP(slot->tts_values[natts]);
    InsertBaseRow(writer, slot->tts_values, slot->tts_isnull, state);
  }
  ExecDropSingleTupleTableSlot(slot);
}

void WriteDifference(Relation rel, const Stream *stream, Snapshot snapshot, RowBag *base, BaseWriter *writer) {
  Difference difference = {};
  difference.base = base;
  difference.surplus = tuplestore_begin_heap(false, false, work_mem);
  difference.extended = ExtendedDescriptor(rel);
  difference.values = static_cast<Datum *>(palloc0(sizeof(Datum) * difference.extended->natts));
  difference.nulls = static_cast<bool *>(palloc0(sizeof(bool) * difference.extended->natts));
  difference.row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream new row", ALLOCSET_DEFAULT_SIZES);
  ComputeContent(rel, stream, snapshot, CompareContentRow, &difference);
  SetProgressPhase(ProgressPhase::WritingRows);
  VisitRestOfBag(base, DeleteTid, writer);
  InsertSurplus(&difference, writer);
  tuplestore_end(difference.surplus);
}

}  // namespace

void RebuildBase(Relation rel, const Stream *stream, Snapshot snapshot, BaseWriter *writer) {
  const MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "pg_stream rebuild", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(work);
  SetProgressAction(ProgressAction::Full);
  SetProgressPhase(ProgressPhase::RunningQuery);
  RowBag *base = nullptr;
  if (RelationGetNumberOfBlocks(rel) > 0) {
    base = NewRowBag(rel, DeltaMemoryLimit(true));
    VisitBaseRows(rel, snapshot, CollectVisited, base);
  }
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  if (base != nullptr && !BagIsFull(base)) {
    WriteDifference(rel, stream, snapshot, base, writer);
  } else {
    if (base != nullptr) VisitBaseRows(rel, snapshot, DeleteVisited, writer);
    ComputeContent(rel, stream, snapshot, InsertContentRow, writer);
  }
  FinishBaseWrite(writer);
  LeaveOwnerScope(&scope);
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(work);
  // A definition is new, or its code may be: the next changes are evaluated by it.
  CompileStream(stream);
}

}  // namespace pgstream
