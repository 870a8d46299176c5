// Hash tables over additions; see addition_hash.hpp. Each lies in a memory context of its own below the overlay's.
#include "delta/addition_hash.hpp"

extern "C" {
#include "executor/nodeHash.h"
}

namespace pgstream {
namespace {

template <class T>
T *Allocate(Size count) {
  return static_cast<T *>(MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(T)));
}

// The hash of an addition; false when one of its columns is NULL.
bool HashAddition(const AdditionHash *hash, HeapTuple tuple, TupleDesc descriptor, uint32 *value) {
  *value = 0;
  for (int i = 0; i < hash->ncolumns; i++) {
    HashedColumn *const column = &hash->columns[i];
    bool null;
    const Datum datum = heap_getattr(tuple, column->column, descriptor, &null);
    if (null) return false;
    *value = CombineHashes(*value, DatumGetUInt32(FunctionCall1Coll(&column->hash, column->collation, datum)));
  }
  return true;
}

void Fill(AdditionHash *hash, const Additions *additions, TupleDesc descriptor) {
  const MemoryContext temporary =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream addition hashing", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext caller = MemoryContextSwitchTo(temporary);
  AdditionsCursor cursor = {};
  // From the last to the first, so that chains follow the ordinals.
  for (int64 ordinal = additions->count - 1; ordinal >= 0; ordinal--) {
    CHECK_FOR_INTERRUPTS();
    MinimalTuple tuple = AdditionsFetch(additions, ordinal, &cursor);
    if (tuple == nullptr) continue;
    HeapTupleData wrapper = {};
    wrapper.t_len = tuple->t_len + MINIMAL_TUPLE_OFFSET;
    wrapper.t_data = reinterpret_cast<HeapTupleHeader>(reinterpret_cast<char *>(tuple) - MINIMAL_TUPLE_OFFSET);
    uint32 value;
    if (HashAddition(hash, &wrapper, descriptor, &value)) AddHashed(hash, ordinal, value);
    // The cursor's buffer lives here.
    if (cursor.buffer == nullptr) MemoryContextReset(temporary);
  }
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(temporary);
}

}  // namespace

AdditionHash *NewAdditionHash(Size count, const HashedColumn *columns, int ncolumns) {
  const MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "pg_stream addition hash", ALLOCSET_SMALL_SIZES);
  const MemoryContext caller = MemoryContextSwitchTo(context);
  auto *const hash = static_cast<AdditionHash *>(palloc0(sizeof(AdditionHash)));
  hash->context = context;
  hash->ncolumns = ncolumns;
  hash->columns = Allocate<HashedColumn>(static_cast<Size>(ncolumns));
  for (int i = 0; i < ncolumns; i++) {
    hash->columns[i] = columns[i];
    fmgr_info_copy(&hash->columns[i].hash, const_cast<FmgrInfo *>(&columns[i].hash), context);
  }
  Size nbuckets = 16;
  while (nbuckets < count && nbuckets < (UINT32_C(1) << 31)) nbuckets *= 2;
  hash->mask = static_cast<uint32>(nbuckets - 1);
  hash->buckets = Allocate<int64>(nbuckets);
  memset(hash->buckets, -1, nbuckets * sizeof(int64));
  hash->next = Allocate<int64>(count);
  hash->hashes = Allocate<uint32>(count);
  MemoryContextSwitchTo(caller);
  return hash;
}

bool IsOfColumns(const AdditionHash *hash, const HashedColumn *columns, int ncolumns) {
  if (hash->ncolumns != ncolumns) return false;
  for (int i = 0; i < ncolumns; i++) {
    const HashedColumn *const own = &hash->columns[i];
    if (own->column != columns[i].column || own->collation != columns[i].collation ||
        own->hash.fn_oid != columns[i].hash.fn_oid) {
      return false;
    }
  }
  return true;
}

const AdditionHash *HashAdditions(Overlay *overlay, Relation rel, const HashedColumn *columns, int ncolumns) {
  const Additions *const additions = &overlay->additions;
  const auto count = static_cast<Size>(additions->count);
  Size bytes = count * (2 * sizeof(int64) + sizeof(uint32));
  const Size own_bytes = bytes;
  for (const AdditionHash *hash = overlay->hashes; hash != nullptr; hash = hash->next_hash) {
    if (IsOfColumns(hash, columns, ncolumns)) return hash;
    bytes += hash->bytes;
  }
  if (bytes > get_hash_memory_limit()) return nullptr;

  AdditionHash *const hash = NewAdditionHash(count, columns, ncolumns);
  hash->bytes = own_bytes;
  const MemoryContext caller = MemoryContextSwitchTo(hash->context);
  Fill(hash, additions, RelationGetDescr(rel));
  MemoryContextSwitchTo(caller);
  // Complete: from here on it is the overlay's.
  MemoryContextSetParent(hash->context, overlay->context);
  hash->next_hash = overlay->hashes;
  overlay->hashes = hash;
  return hash;
}

void ForgetAdditionHashes(Overlay *overlay) {
  while (overlay->hashes != nullptr) {
    AdditionHash *const hash = overlay->hashes;
    overlay->hashes = hash->next_hash;
    MemoryContextDelete(hash->context);
  }
}

}  // namespace pgstream
