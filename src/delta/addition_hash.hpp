// Additions found by the value of their columns: hash tables that an overlay keeps for the lookups of a backend, one for
// each set of columns asked for, until the overlay is extended.
//
// Promises: every addition whose columns have the hash is proposed, in order of ordinal; others may be too, so the caller
// checks. Refuses: additions whose hash table would not fit into hash_mem; rows with a NULL in a hashed column are not in it
// (no strict equality finds them).
#pragma once

#include "delta/overlay.hpp"

namespace pgstream {

// A column that additions are hashed by.
struct HashedColumn {
  AttrNumber column;
  Oid collation;
  FmgrInfo hash;  // of the column's type, 32 bits
};

// Chains of ordinals; -1 ends one.
struct AdditionHash {
  AdditionHash *next_hash;  // of the overlay's
  MemoryContext context;    // of everything here
  int ncolumns;
  HashedColumn *columns;
  Size bytes;
  uint32 mask;     // buckets - 1
  int64 *buckets;  // first ordinal
  int64 *next;     // by ordinal
  uint32 *hashes;  // by ordinal
};

// The hash table of a held overlay over these columns, built when it is not there yet; nullptr when it does not fit.
const AdditionHash *HashAdditions(Overlay *overlay, Relation rel, const HashedColumn *columns, int ncolumns);

// An empty one of so many rows, in a context of its own under the current one; rows are to be added from the last to the first, so
// that chains follow their numbers.
AdditionHash *NewAdditionHash(Size count, const HashedColumn *columns, int ncolumns);
inline void AddHashed(AdditionHash *hash, int64 ordinal, uint32 value) {
  hash->hashes[ordinal] = value;
  hash->next[ordinal] = hash->buckets[value & hash->mask];
  hash->buckets[value & hash->mask] = ordinal;
}
bool IsOfColumns(const AdditionHash *hash, const HashedColumn *columns, int ncolumns);

// Forgets the hash tables of an overlay that nobody holds: its additions are about to change.
void ForgetAdditionHashes(Overlay *overlay);

// The hash of a row's columns, from first to last, beginning with 0.
inline uint32 CombineHashes(uint32 hash, uint32 of_column) {
  return pg_rotate_left32(hash, 5) ^ of_column;
}

// The next ordinal that may have the hash, from `ordinal` on in a chain; -1 when there is none.
inline int64 SkipOthers(const AdditionHash *hash, int64 ordinal, uint32 value) {
  while (ordinal >= 0 && hash->hashes[ordinal] != value) ordinal = hash->next[ordinal];
  return ordinal;
}
inline int64 FirstHashed(const AdditionHash *hash, uint32 value) {
  return SkipOthers(hash, hash->buckets[value & hash->mask], value);
}
inline int64 NextHashed(const AdditionHash *hash, int64 ordinal, uint32 value) {
  return SkipOthers(hash, hash->next[ordinal], value);
}

}  // namespace pgstream
