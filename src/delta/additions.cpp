// Rows by ordinal, spilling; see additions.hpp.
#include "delta/additions.hpp"

extern "C" {
#include "storage/buffile.h"
}

namespace pgstream {

namespace {

// Positions are addressed through BufFileSeek by segment and offset: segments are 1 GB, so this many fit in one.
constexpr int64 kPositionsPerFile = (INT64CONST(1) << 30) / 16;

struct SpillPosition {
  int file;
  off_t offset;
};

void WriteSpilled(Additions *additions, int64 ordinal, MinimalTuple tuple) {
  SpillPosition position = {-1, 0};
  if (tuple != nullptr) {
    // Reads move the file's position; the end is remembered here because BufFileSeek's own does not count what is still
    // in the file's buffer.
    position = {additions->end_file, additions->end_offset};
    if (BufFileSeek(additions->rows, position.file, position.offset, SEEK_SET) != 0)
      ereport(ERROR,
              (errcode_for_file_access(), errmsg("could not seek in temporary file of a stream table's overlay")));
    BufFileWrite(additions->rows, tuple, tuple->t_len);
    BufFileTell(additions->rows, &additions->end_file, &additions->end_offset);
  }
  if (BufFileSeek(additions->offsets, static_cast<int>(ordinal / kPositionsPerFile),
                  static_cast<off_t>(ordinal % kPositionsPerFile) * sizeof(SpillPosition), SEEK_SET) != 0)
    ereport(ERROR, (errcode_for_file_access(), errmsg("could not seek in temporary file of a stream table's overlay")));
  BufFileWrite(additions->offsets, &position, sizeof(position));
}

void CloseFiles(void *argument) { AdditionsEnd(static_cast<Additions *>(argument)); }

void Spill(Additions *additions) {
  const MemoryContext saved = MemoryContextSwitchTo(additions->context);
  // An overlay outlives the statement, and its files go when its memory context does, whoever deletes that.
  MemoryContextCallback *callback =
      static_cast<MemoryContextCallback *>(MemoryContextAllocZero(additions->context, sizeof(MemoryContextCallback)));
  callback->func = CloseFiles;
  callback->arg = additions;
  MemoryContextRegisterResetCallback(additions->context, callback);
  additions->rows = BufFileCreateTemp(true);
  additions->offsets = BufFileCreateTemp(true);
  MemoryContextSwitchTo(saved);
  for (int64 i = 0; i < additions->count; ++i) {
    WriteSpilled(additions, i, additions->tuples[i]);
    if (additions->tuples[i] != nullptr) pfree(additions->tuples[i]);
  }
  if (additions->tuples != nullptr) pfree(additions->tuples);
  additions->tuples = nullptr;
  additions->capacity = 0;
  additions->bytes = 0;
}

void ReadSpilled(BufFile *file, void *data, Size size) {
  if (BufFileRead(file, data, size) != size)
    ereport(ERROR, (errcode_for_file_access(), errmsg("could not read from temporary file of a stream table's overlay")));
}

MinimalTuple FetchSpilled(const Additions *additions, int64 ordinal, AdditionsCursor *cursor) {
  SpillPosition position;
  if (BufFileSeek(additions->offsets, static_cast<int>(ordinal / kPositionsPerFile),
                  static_cast<off_t>(ordinal % kPositionsPerFile) * sizeof(SpillPosition), SEEK_SET) != 0)
    ereport(ERROR, (errcode_for_file_access(), errmsg("could not seek in temporary file of a stream table's overlay")));
  ReadSpilled(additions->offsets, &position, sizeof(position));
  if (position.file < 0) return nullptr;
  if (BufFileSeek(additions->rows, position.file, position.offset, SEEK_SET) != 0)
    ereport(ERROR, (errcode_for_file_access(), errmsg("could not seek in temporary file of a stream table's overlay")));
  uint32 length;
  ReadSpilled(additions->rows, &length, sizeof(length));
  if (cursor->buffer_size < length) {
    if (cursor->buffer != nullptr) pfree(cursor->buffer);
    cursor->buffer = static_cast<MinimalTuple>(palloc(length));
    cursor->buffer_size = length;
  }
  cursor->buffer->t_len = length;
  ReadSpilled(additions->rows, reinterpret_cast<char *>(cursor->buffer) + sizeof(length), length - sizeof(length));
  return cursor->buffer;
}

}  // namespace

void AdditionsInit(Additions *additions, MemoryContext context, Size limit) {
  static uint16 next_tag = 0;
  *additions = {};
  additions->tag = next_tag++ % kAdditionTags;
  additions->context = context;
  additions->limit = limit;
}

bool AdditionsInMemory(const Additions *additions) { return additions->rows == nullptr; }

int64 AdditionsAppend(Additions *additions, MinimalTuple tuple) {
  const int64 ordinal = additions->count;
  if (AdditionsInMemory(additions) && additions->bytes + tuple->t_len > additions->limit) Spill(additions);
  if (!AdditionsInMemory(additions)) {
    WriteSpilled(additions, ordinal, tuple);
  } else {
    if (additions->count == additions->capacity) {
      const int64 capacity = Max(additions->capacity * 2, 64);
      const Size size = sizeof(MinimalTuple) * capacity;
      additions->tuples = static_cast<MinimalTuple *>(
          additions->tuples == nullptr ? MemoryContextAllocHuge(additions->context, size)
                                       : repalloc_huge(additions->tuples, size));
      additions->capacity = capacity;
    }
    MinimalTuple copy = static_cast<MinimalTuple>(MemoryContextAlloc(additions->context, tuple->t_len));
    memcpy(copy, tuple, tuple->t_len);
    additions->tuples[ordinal] = copy;
    additions->bytes += tuple->t_len + sizeof(MinimalTuple);
  }
  ++additions->count;
  ++additions->live;
  return ordinal;
}

void AdditionsReplace(Additions *additions, int64 ordinal, MinimalTuple tuple) {
  Assert(AdditionsInMemory(additions) && ordinal < additions->count);
  MinimalTuple old = additions->tuples[ordinal];
  MinimalTuple copy = nullptr;
  if (tuple != nullptr) {
    copy = static_cast<MinimalTuple>(MemoryContextAlloc(additions->context, tuple->t_len));
    memcpy(copy, tuple, tuple->t_len);
    additions->bytes += tuple->t_len;
    ++additions->live;
  }
  additions->tuples[ordinal] = copy;
  if (old != nullptr) {
    additions->bytes -= old->t_len;
    --additions->live;
    pfree(old);
  }
}

MinimalTuple AdditionsFetch(const Additions *additions, int64 ordinal, AdditionsCursor *cursor) {
  if (ordinal < 0 || ordinal >= additions->count) return nullptr;
  return AdditionsInMemory(additions) ? additions->tuples[ordinal] : FetchSpilled(additions, ordinal, cursor);
}

void AdditionsCursorEnd(AdditionsCursor *cursor) {
  if (cursor->buffer != nullptr) pfree(cursor->buffer);
  if (cursor->row != nullptr) pfree(cursor->row);
  *cursor = {};
}

void AdditionsEnd(Additions *additions) {
  if (additions->rows != nullptr) BufFileClose(additions->rows);
  if (additions->offsets != nullptr) BufFileClose(additions->offsets);
  additions->rows = additions->offsets = nullptr;
}

void SyntheticTid(const Additions *additions, int64 ordinal, ItemPointer tid) {
  ItemPointerSet(tid, kFirstSyntheticBlock + static_cast<BlockNumber>(ordinal / kOrdinalsPerBlock),
                 static_cast<OffsetNumber>(additions->tag * kOrdinalsPerBlock + ordinal % kOrdinalsPerBlock + 1));
}

int64 SyntheticOrdinal(const Additions *additions, const ItemPointerData *tid) {
  const int offset = ItemPointerGetOffsetNumberNoCheck(tid) - 1;
  if (offset / kOrdinalsPerBlock != additions->tag) return -1;
  const int64 ordinal = static_cast<int64>(ItemPointerGetBlockNumberNoCheck(tid) - kFirstSyntheticBlock) * kOrdinalsPerBlock +
                        offset % kOrdinalsPerBlock;
  return ordinal < additions->count ? ordinal : -1;
}

// As a row that was always there: the header of a MinimalTuple has no system columns of its own. What lies beyond the
// relation's columns stays out of sight.
static void StoreHeapTuple(MinimalTuple tuple, const ItemPointerData *tid, AdditionsCursor *cursor, Relation rel,
                           TupleTableSlot *slot) {
  const Size length = tuple->t_len + MINIMAL_TUPLE_OFFSET;
  ExecClearTuple(slot);
  if (cursor->row_size < length) {
    if (cursor->row != nullptr) pfree(cursor->row);
    cursor->row_size = 0;
    cursor->row = static_cast<HeapTupleHeader>(MemoryContextAlloc(slot->tts_mcxt, length * 2));
    cursor->row_size = length * 2;
  }
  HeapTupleHeader const row = cursor->row;
  memcpy(reinterpret_cast<char *>(row) + MINIMAL_TUPLE_OFFSET, tuple, tuple->t_len);
  HeapTupleHeaderSetNatts(row, RelationGetNumberOfAttributes(rel));
  row->t_infomask |= HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
  HeapTupleHeaderSetXmin(row, FrozenTransactionId);
  HeapTupleHeaderSetXmax(row, InvalidTransactionId);
  HeapTupleHeaderSetCmin(row, FirstCommandId);
  row->t_ctid = *tid;

  auto *const buffered = reinterpret_cast<BufferHeapTupleTableSlot *>(slot);
  HeapTupleData *const shown = &buffered->base.tupdata;
  shown->t_len = static_cast<uint32>(length);
  shown->t_self = *tid;
  shown->t_tableOid = RelationGetRelid(rel);
  shown->t_data = row;
  buffered->base.tuple = shown;
  buffered->base.off = 0;
  slot->tts_nvalid = 0;
  slot->tts_flags &= ~TTS_FLAG_EMPTY;
}

bool AdditionsStore(const Additions *additions, int64 ordinal, AdditionsCursor *cursor, Relation rel,
                    TupleTableSlot *slot) {
  MinimalTuple tuple = AdditionsFetch(additions, ordinal, cursor);
  if (tuple == nullptr) return false;
  ItemPointerData tid;
  SyntheticTid(additions, ordinal, &tid);
  if (TTS_IS_BUFFERTUPLE(slot)) {
    StoreHeapTuple(tuple, &tid, cursor, rel, slot);
  } else {
    HeapTupleData heap_tuple = {};
    heap_tuple.t_len = tuple->t_len + MINIMAL_TUPLE_OFFSET;
    heap_tuple.t_data = reinterpret_cast<HeapTupleHeader>(reinterpret_cast<char *>(tuple) - MINIMAL_TUPLE_OFFSET);
    ExecClearTuple(slot);
    heap_deform_tuple(&heap_tuple, RelationGetDescr(rel), slot->tts_values, slot->tts_isnull);
    ExecStoreVirtualTuple(slot);
  }
  slot->tts_tid = tid;
  slot->tts_tableOid = RelationGetRelid(rel);
  return true;
}

}  // namespace pgstream
