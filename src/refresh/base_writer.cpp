// Base rows with hidden state; see base_writer.hpp.
#include "refresh/base_writer.hpp"

#include "delta/hidden_state.hpp"
#include "pg/boundary.hpp"
#include "pg/progress.hpp"

namespace pgstream {

// New rows that wait for each other, at most.
static constexpr int kRowsTogether = 1000;
static constexpr Size kBytesTogether = 64 * 1024;

// Natts of a row without hidden state is the relation's own: it then reads as having none.
static TupleDesc DescriptorWithState(Relation rel) {
  const TupleDesc own = RelationGetDescr(rel);
  TupleDesc extended = CreateTemplateTupleDesc(own->natts + 1);
  for (int i = 1; i <= own->natts; ++i) TupleDescCopyEntry(extended, i, own, i);
  TupleDescInitEntry(extended, own->natts + 1, "pgstream_state", BYTEAOID, -1, 0);
  return extended;
}

// Runs `write`, a call of heap_multi_insert or heap_update with rows that may have hidden state.
//
// A server built with assertions makes sure, first of all in heap_update, that a row has no more attributes than pg_class says of
// its relation, and aborts otherwise. Neither looks at that number again, nor does what they call: everything else goes by
// the tuple descriptor. So there, and only there, the relation cache's copy of the number says one more meanwhile. (A
// rebuild of the cache entry amid the call may restore it early; the row was compared by then.)
template <class Write>
static void WithHiddenAttribute(const BaseWriter *writer, Write write) {
  if (!writer->server_asserts) {
    write();
    return;
  }
  const Relation rel = writer->rel;
  rel->rd_rel->relnatts = static_cast<int16>(RelationGetDescr(rel)->natts + 1);
  PG_TRY();
  write();
  PG_FINALLY();
  rel->rd_rel->relnatts = static_cast<int16>(RelationGetDescr(rel)->natts);
  PG_END_TRY();
}

BaseWriter *BeginBaseWrite(Relation rel) {
  auto *writer = static_cast<BaseWriter *>(palloc0(sizeof(BaseWriter)));
  writer->rel = rel;
  writer->extended = DescriptorWithState(rel);
  writer->additions = ExtendedDescriptor(rel);
  // Asked of the server, because this library may have been built without.
  writer->server_asserts = strcmp(GetConfigOption("debug_assertions", false, false), "on") == 0;
  writer->estate = CreateExecutorState();
  writer->result_rel = makeNode(ResultRelInfo);
  InitResultRelInfo(writer->result_rel, rel, 1, nullptr, 0);
  ExecOpenIndices(writer->result_rel, false);
  if (writer->result_rel->ri_NumIndices > 0) writer->entries = BeginIndexEntries(writer->result_rel, writer->estate);
  writer->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
  writer->bulk_insert = GetBulkInsertState();
  writer->waiting = static_cast<TupleTableSlot **>(palloc(sizeof(TupleTableSlot *) * kRowsTogether));
  writer->waiting_context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream new rows", ALLOCSET_DEFAULT_SIZES);
  writer->row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream base row", ALLOCSET_DEFAULT_SIZES);
  return writer;
}

// State is a cache: where it would make a row too large for a page it stays away, rather than make the fold fail.
static HeapTuple FormBaseTuple(BaseWriter *writer, const Datum *values, const bool *isnull, bytea *state) {
  const int natts = writer->extended->natts - 1;
  HeapTuple tuple = nullptr;
  if (state != nullptr && VARSIZE_ANY(state) < MaxHeapTupleSize) {
    Datum *all = static_cast<Datum *>(palloc(sizeof(Datum) * (natts + 1)));
    bool *nulls = static_cast<bool *>(palloc(sizeof(bool) * (natts + 1)));
    memcpy(all, values, sizeof(Datum) * natts);
    memcpy(nulls, isnull, sizeof(bool) * natts);
    all[natts] = PointerGetDatum(state);
    nulls[natts] = false;
    tuple = heap_form_tuple(writer->extended, all, nulls);
    if (MAXALIGN(tuple->t_len) > MaxHeapTupleSize) {
      heap_freetuple(tuple);
      tuple = nullptr;
    }
  }
  if (tuple == nullptr)
    tuple = heap_form_tuple(RelationGetDescr(writer->rel), const_cast<Datum *>(values), const_cast<bool *>(isnull));
  tuple->t_tableOid = RelationGetRelid(writer->rel);
  return tuple;
}

static HeapTuple TupleOfAddition(BaseWriter *writer, MinimalTuple addition) {
  HeapTuple tuple = BaseTuple(addition, writer->additions);
  tuple->t_tableOid = RelationGetRelid(writer->rel);
  const int natts = RelationGetDescr(writer->rel)->natts;
  if (HeapTupleHeaderGetNatts(tuple->t_data) <= natts || MAXALIGN(tuple->t_len) <= MaxHeapTupleSize) return tuple;
  auto *const values = static_cast<Datum *>(palloc(sizeof(Datum) * natts));
  auto *const isnull = static_cast<bool *>(palloc(sizeof(bool) * natts));
  heap_deform_tuple(tuple, RelationGetDescr(writer->rel), values, isnull);
  return FormBaseTuple(writer, values, isnull, nullptr);
}

// Not as an update: what that adds is a hint about unchanged keys, for which the executor looks into a range table.
static void AddIndexEntries(BaseWriter *writer, HeapTuple tuple, bool only_summarizing) {
  if (writer->entries == nullptr) return;
  ExecStoreHeapTuple(tuple, writer->slot, false);
  writer->slot->tts_tid = tuple->t_self;
  GatherIndexEntries(writer->entries, writer->slot, only_summarizing);
  ExecClearTuple(writer->slot);
}

static void EndRow(BaseWriter *writer) {
  ResetPerTupleExprContext(writer->estate);
  MemoryContextReset(writer->row_context);
  CHECK_FOR_INTERRUPTS();
}

static void InsertWaitingRows(BaseWriter *writer) {
  if (writer->nwaiting == 0) return;
  const MemoryContext saved = MemoryContextSwitchTo(writer->row_context);
  WithHiddenAttribute(writer, [&] {
    heap_multi_insert(writer->rel, writer->waiting, writer->nwaiting, GetCurrentCommandId(true), 0, writer->bulk_insert);
  });
  for (int i = 0; i < writer->nwaiting; i++) {
    if (writer->entries != nullptr) GatherIndexEntries(writer->entries, writer->waiting[i], false);
    ResetPerTupleExprContext(writer->estate);
    ExecClearTuple(writer->waiting[i]);
  }
  writer->nwaiting = 0;
  writer->waiting_bytes = 0;
  MemoryContextSwitchTo(saved);
  MemoryContextReset(writer->waiting_context);
}

// The tuple is one of the waiting context's.
static void Insert(BaseWriter *writer, HeapTuple tuple) {
  if (writer->nwaiting == writer->waiting_slots) {
    const MemoryContext saved = MemoryContextSwitchTo(GetMemoryChunkContext(writer));
    writer->waiting[writer->waiting_slots++] = MakeSingleTupleTableSlot(RelationGetDescr(writer->rel), &TTSOpsHeapTuple);
    MemoryContextSwitchTo(saved);
  }
  // As the slot's own: heap_multi_insert copies what is not.
  ExecStoreHeapTuple(tuple, writer->waiting[writer->nwaiting++], true);
  writer->waiting_bytes += tuple->t_len;
  SetProgress(kProgressInserted, ++writer->inserted);
  if (writer->nwaiting == kRowsTogether || writer->waiting_bytes >= kBytesTogether) InsertWaitingRows(writer);
  EndRow(writer);
}

void InsertBaseRow(BaseWriter *writer, const Datum *values, const bool *isnull, bytea *state) {
  const MemoryContext saved = MemoryContextSwitchTo(writer->waiting_context);
  HeapTuple tuple = FormBaseTuple(writer, values, isnull, state);
  MemoryContextSwitchTo(saved);
  Insert(writer, tuple);
}

void InsertAddition(BaseWriter *writer, MinimalTuple addition) {
  const MemoryContext saved = MemoryContextSwitchTo(writer->waiting_context);
  HeapTuple tuple = TupleOfAddition(writer, addition);
  MemoryContextSwitchTo(saved);
  Insert(writer, tuple);
}

void UpdateByAddition(BaseWriter *writer, ItemPointer tid, MinimalTuple addition) {
  const MemoryContext saved = MemoryContextSwitchTo(writer->row_context);
  HeapTuple tuple = TupleOfAddition(writer, addition);
  bool needs_entries = false, only_summarizing = false;
  WithHiddenAttribute(
      writer, [&] { needs_entries = compat::SimpleHeapUpdate(writer->rel, tid, tuple, &only_summarizing); });
  if (needs_entries) AddIndexEntries(writer, tuple, only_summarizing);
  MemoryContextSwitchTo(saved);
  SetProgress(kProgressUpdated, ++writer->updated);
  EndRow(writer);
}

void DeleteBaseRow(BaseWriter *writer, ItemPointer tid) {
  simple_heap_delete(writer->rel, tid);
  SetProgress(kProgressDeleted, ++writer->deleted);
  EndRow(writer);
}

void FinishBaseWrite(BaseWriter *writer) {
  InsertWaitingRows(writer);
  if (writer->entries != nullptr) InsertIndexEntries(writer->entries);
}

void EndBaseWrite(BaseWriter *writer) {
  if (writer->nwaiting > 0) elog(ERROR, "rows of a fold were left behind");
  for (int i = 0; i < writer->waiting_slots; i++) ExecDropSingleTupleTableSlot(writer->waiting[i]);
  if (writer->entries != nullptr) EndIndexEntries(writer->entries);
  FreeBulkInsertState(writer->bulk_insert);
  ExecCloseIndices(writer->result_rel);
  ExecDropSingleTupleTableSlot(writer->slot);
  FreeExecutorState(writer->estate);
  MemoryContextDelete(writer->waiting_context);
  MemoryContextDelete(writer->row_context);
}

}  // namespace pgstream
