// The functions of a frame; see native_functions.hpp.
#include "pg/native_functions.hpp"

#include "core/stored_numeric.hpp"

extern "C" {
#include "access/tupmacs.h"
#include "catalog/pg_collation.h"
#include "pgstat.h"
#include "utils/expandeddatum.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
}

namespace pgstream {

static_assert(sizeof(Interval) == 16 && offsetof(Interval, time) == 0 && offsetof(Interval, day) == 8 && offsetof(Interval, month) == 12,
              "compiled code reads the parts of an interval");

Datum DatumOfImage(const char *data, int32 length, const FormData_pg_attribute *attribute) {
  if (attribute->attbyval) {
    Datum storage = 0;
    memcpy(&storage, data, static_cast<Size>(attribute->attlen));
    return fetch_att(&storage, true, attribute->attlen);
  }
  // A C string needs its NUL back, a varlena its header.
  const Size header = attribute->attlen == -1 ? VARHDRSZ : 0;
  const Size trailer = attribute->attlen == -2 ? 1 : 0;
  char *const value = static_cast<char *>(palloc(header + length + trailer));
  memcpy(value + header, data, static_cast<Size>(length));
  if (header != 0) SET_VARSIZE(value, header + length);
  if (trailer != 0) value[length] = '\0';
  return PointerGetDatum(value);
}

namespace {

void RaiseError(NativeFrame *, int32_t error) {
  const ProgramErrorText &text = DescribeError(static_cast<ProgramError>(error));
  const char *const code = text.sqlstate;
  ereport(ERROR, (errcode(MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4])), errmsg("%s", _(text.message))));
}

int64_t CallFunction(NativeFrame *frame, int32_t function, const int64_t *arguments, const uint8_t *nulls, uint8_t *isnull) {
  const NativeRowState *const state = static_cast<NativeRowState *>(frame->state);
  FunctionCallInfo const call = state->calls[function];
  for (int i = 0; i < call->nargs; i++) {
    call->args[i].value = static_cast<Datum>(arguments[i]);
    call->args[i].isnull = nulls[i] != 0;
  }
  call->isnull = false;
  Datum result;
  if (likely(pgstat_track_functions <= call->flinfo->fn_stats)) {
    result = FunctionCallInvoke(call);
  } else {
    PgStat_FunctionCallUsage usage;
    pgstat_init_function_usage(call, &usage);
    result = FunctionCallInvoke(call);
    pgstat_end_function_usage(&usage, true);
  }
  *isnull = call->isnull;
  // A register may be read more than once: nobody may change in place what is in it.
  return static_cast<int64_t>(state->varlenas[function] ? MakeExpandedObjectReadOnly(result, call->isnull, -1) : result);
}

int64_t MakeReference(NativeFrame *frame, int32_t column, const uint8_t *data, int32_t size) {
  const RowExpressions *const row = static_cast<NativeRowState *>(frame->state)->row;
  return static_cast<int64_t>(
      DatumOfImage(reinterpret_cast<const char *>(data), size, TupleDescAttr(row->descriptor, row->columns[column] - 1)));
}

// --- Texts and numerics ----------------------------------------------------------------------------------------------

// The bytes of a varlena that lies there as it is, with either header.
[[gnu::always_inline]] inline bool IsPlain(int64_t word, StoredNumeric *bytes) {
  const auto *const value = reinterpret_cast<const char *>(static_cast<Datum>(word));
  if (!VARATT_IS_4B_U(value) && (!VARATT_IS_SHORT(value) || VARATT_IS_EXTERNAL(value))) return false;
  *bytes = {reinterpret_cast<const uint8 *>(VARDATA_ANY(value)), static_cast<uint32>(VARSIZE_ANY_EXHDR(value))};
  return true;
}

int32_t EqualTexts(NativeFrame *, int64_t a, int64_t b) {
  StoredNumeric x, y;
  if (IsPlain(a, &x) && IsPlain(b, &y)) return x.size == y.size && memcmp(x.data, y.data, x.size) == 0;
  return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, static_cast<Datum>(a), static_cast<Datum>(b)));
}

int32_t CompareNumerics(NativeFrame *, int64_t a, int64_t b) {
  StoredNumeric x, y;
  int order;
  if (IsPlain(a, &x) && IsPlain(b, &y) && CompareStored(x, y, &order)) return order;
  return DatumGetInt32(DirectFunctionCall2(numeric_cmp, static_cast<Datum>(a), static_cast<Datum>(b)));
}

int64_t ToNumeric(const uint8 *bytes, uint32 size) {
  char *const value = static_cast<char *>(palloc(VARHDRSZ + size));
  SET_VARSIZE(value, VARHDRSZ + size);
  memcpy(VARDATA(value), bytes, size);
  return static_cast<int64_t>(PointerGetDatum(value));
}

int64_t ComputeNumeric(NativeFrame *, int32_t number, int64_t a, int64_t b) {
  const auto operation = static_cast<Operation>(number);
  StoredNumeric x, y;
  uint8 result[kMostStoredResult];
  const uint32 size = IsPlain(a, &x) && IsPlain(b, &y) ? ComputeStored(operation, x, y, result) : 0;
  if (size > 0) return ToNumeric(result, size);
  const PGFunction function = operation == Operation::kAdd ? numeric_add : operation == Operation::kSubtract ? numeric_sub : numeric_mul;
  return static_cast<int64_t>(DirectFunctionCall2(function, static_cast<Datum>(a), static_cast<Datum>(b)));
}

int64_t MakeNumeric(NativeFrame *, int64_t value) {
  uint8 result[kMostStoredResult];
  return ToNumeric(result, StoreInteger(value, result));
}

}  // namespace

const NativeFunctions kNativeFunctions = {RaiseError, CallFunction, MakeReference, EqualTexts, CompareNumerics, ComputeNumeric, MakeNumeric};

}  // namespace pgstream
