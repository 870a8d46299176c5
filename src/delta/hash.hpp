// Hashes that find base rows: of a group key (by its equality) and of a row (by its bytes).
//
// Promises: the SQL functions pgstream.key_hash and pgstream.image_hash, which the key index is built on, and the
// hashers here give the same value for the same values. A hash only finds candidates: who uses it compares. Refuses: to
// agree across server versions with other hash functions: the key index is rebuilt with the table.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

enum class HashBy {
  Key,   // the type's own extended hash where it has one (equal values, equal hashes), else the image
  Image  // the bytes of the value, decompressed and without header
};

struct RowHasher;  // of values of fixed types; palloc'd in one piece with what it holds

// A hasher for rows of `ncolumns` values of these types (domains count as their base types), in the current context.
RowHasher *NewRowHasher(int ncolumns, const Oid *types, HashBy by);

// The hash of a row. A NULL counts as a value of its own. Memory taken for detoasting is freed again.
int64 HashRow(RowHasher *hasher, const Datum *values, const bool *nulls);

// True when two values that are not NULL have the same bytes, decompressed and without header.
bool ImagesEqual(Datum a, Datum b, bool typbyval, int16 typlen);

// The same of rows, the first `ncolumns` attributes of a descriptor; NULLs are equal to each other.
bool RowImagesEqual(TupleDesc descriptor, int ncolumns, const Datum *a_values, const bool *a_nulls,
                    const Datum *b_values, const bool *b_nulls);

}  // namespace pgstream
