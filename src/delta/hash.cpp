// Hashing keys and rows: see hash.hpp.

#include "delta/hash.hpp"

#include "pg/boundary.hpp"

extern "C" {
#include "access/detoast.h"
#include "common/hashfn.h"
}

namespace pgstream {
namespace {

struct ColumnHasher {
  bool by_function;
  FmgrInfo function;  // (value, int8 seed) -> int8
  bool typbyval;
  int16 typlen;
};

// The bytes that make up a value.
struct Image {
  const char *data;
  Size size;
  char storage[sizeof(Datum)];  // of a value passed by value
  void *detoasted;              // to be freed, or nullptr
};

void TakeImage(Datum value, bool typbyval, int16 typlen, Image *image) {
  image->detoasted = nullptr;
  if (typbyval) {
    store_att_byval(image->storage, value, typlen);
    image->data = image->storage;
    image->size = static_cast<Size>(typlen);
  } else if (typlen == -1) {
    struct varlena *const original = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
    struct varlena *const plain = pg_detoast_datum_packed(original);
    if (plain != original)
      image->detoasted = plain;
    image->data = VARDATA_ANY(plain);
    image->size = VARSIZE_ANY_EXHDR(plain);
  } else {
    image->data = static_cast<const char *>(DatumGetPointer(value));
    image->size = typlen == -2 ? strlen(image->data) : static_cast<Size>(typlen);
  }
}

void FreeImage(Image *image) {
  if (image->detoasted != nullptr)
    pfree(image->detoasted);
}

constexpr uint64 kNullHash = UINT64CONST(0x9e3779b97f4a7c15);

uint64 HashValue(ColumnHasher *column, Datum value) {
  // A key whose collation is not deterministic is never looked up by hash, so bytes decide.
  if (column->by_function)
    return DatumGetUInt64(FunctionCall2Coll(&column->function, C_COLLATION_OID, value, UInt64GetDatum(0)));
  Image image;
  TakeImage(value, column->typbyval, column->typlen, &image);
  const uint64 hash =
      hash_bytes_extended(reinterpret_cast<const unsigned char *>(image.data), static_cast<int>(image.size), 0);
  FreeImage(&image);
  return hash;
}

}  // namespace

struct RowHasher {
  int ncolumns;
  HashBy by;
  ColumnHasher columns[FLEXIBLE_ARRAY_MEMBER];
};

RowHasher *NewRowHasher(int ncolumns, const Oid *types, HashBy by) {
  RowHasher *const hasher =
      static_cast<RowHasher *>(palloc0(offsetof(RowHasher, columns) + ncolumns * sizeof(ColumnHasher)));
  hasher->ncolumns = ncolumns;
  hasher->by = by;
  for (int i = 0; i < ncolumns; i++) {
    ColumnHasher *const column = &hasher->columns[i];
    const Oid type = getBaseType(types[i]);
    get_typlenbyval(type, &column->typlen, &column->typbyval);
    if (by == HashBy::Image)
      continue;
    const TypeCacheEntry *const entry = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC);
    if (!OidIsValid(entry->hash_extended_proc))
      continue;
    column->by_function = true;
    fmgr_info(entry->hash_extended_proc, &column->function);
  }
  return hasher;
}

int64 HashRow(RowHasher *hasher, const Datum *values, const bool *nulls) {
  uint64 hash = 0;
  for (int i = 0; i < hasher->ncolumns; i++) {
    const uint64 value = nulls[i] ? kNullHash : HashValue(&hasher->columns[i], values[i]);
    hash = i == 0 ? value : hash_combine64(hash, value);
  }
  return static_cast<int64>(hash);
}

bool ImagesEqual(Datum a, Datum b, bool typbyval, int16 typlen) {
  // Sizes are known without detoasting, and differ more often than not.
  if (!typbyval && typlen == -1 && toast_raw_datum_size(a) != toast_raw_datum_size(b))
    return false;
  Image image_a, image_b;
  TakeImage(a, typbyval, typlen, &image_a);
  TakeImage(b, typbyval, typlen, &image_b);
  const bool result = image_a.size == image_b.size && memcmp(image_a.data, image_b.data, image_a.size) == 0;
  FreeImage(&image_a);
  FreeImage(&image_b);
  return result;
}

bool RowImagesEqual(TupleDesc descriptor, int ncolumns, const Datum *a_values, const bool *a_nulls,
                    const Datum *b_values, const bool *b_nulls) {
  for (int i = 0; i < ncolumns; i++)
    if (a_nulls[i] != b_nulls[i])
      return false;
  for (int i = 0; i < ncolumns; i++) {
    const Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (!a_nulls[i] && !ImagesEqual(a_values[i], b_values[i], attribute->attbyval, attribute->attlen))
      return false;
  }
  return true;
}

namespace {

// The SQL functions: one hasher per call site, made at its first call.
Datum HashArguments(FunctionCallInfo fcinfo, HashBy by) {
  RowHasher *hasher = static_cast<RowHasher *>(fcinfo->flinfo->fn_extra);
  if (hasher == nullptr) {
    if (get_fn_expr_variadic(fcinfo->flinfo))
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("VARIADIC arguments are not supported"),
                      errhint("Give the values as separate arguments.")));
    Oid types[FUNC_MAX_ARGS];
    for (int i = 0; i < PG_NARGS(); i++) {
      types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
      if (!OidIsValid(types[i]))
        ereport(ERROR, (errcode(ERRCODE_INDETERMINATE_DATATYPE),
                        errmsg("could not determine the type of argument %d", i + 1)));
      if (types[i] == UNKNOWNOID)
        types[i] = CSTRINGOID;
    }
    const MemoryContext saved = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    hasher = NewRowHasher(PG_NARGS(), types, by);
    MemoryContextSwitchTo(saved);
    fcinfo->flinfo->fn_extra = hasher;
  }
  Datum values[FUNC_MAX_ARGS];
  bool nulls[FUNC_MAX_ARGS];
  for (int i = 0; i < PG_NARGS(); i++) {
    nulls[i] = PG_ARGISNULL(i);
    values[i] = nulls[i] ? static_cast<Datum>(0) : PG_GETARG_DATUM(i);
  }
  return Int64GetDatum(HashRow(hasher, values, nulls));
}

}  // namespace
}  // namespace pgstream

PGSTREAM_FUNCTION(pgstream_key_hash) {
  return pgstream::HashArguments(fcinfo, pgstream::HashBy::Key);
}

PGSTREAM_FUNCTION(pgstream_image_hash) {
  return pgstream::HashArguments(fcinfo, pgstream::HashBy::Image);
}
