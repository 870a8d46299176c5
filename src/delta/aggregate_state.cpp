// Aggregate states as bytes: what the hidden attribute of a group's row holds.
//
//     byte 0      format version
//     byte 1      major version of the server: the representation of a state is the server's own business
//     bytes 2-3   fingerprint of the plan's aggregates
//     varint      rows in the group
//     per aggregate: varint count of transitions * 2 + (state is NULL), then unless NULL
//                 smallint, integer, bigint: a signed varint
//                 other by value: its bytes; fixed length: its bytes
//                 varlena: varint length + 1, payload without header
//                 internal: varint length + 1, what its serialization function returned
//                 where the count says the rest, a 0 and: of a sum of numerics that is plain (aggregate.hpp) a byte, the scale,
//                 and a signed varint, the sum; of an array of count and sum a signed varint, the sum
//
// A signed varint is the varint of twice the number, of a negative one's complement and one more. Every row of the base has such
// bytes, so their length is what a scan of it reads and a fold writes.
//
// Promises: a state read back continues exactly as the one written. Deserialization functions of the numeric family lose
// the mark that squares are to be summed, so a deserialized state passes through the combine function, which makes a
// complete one, except where no squares ever are: sum and avg of numerics. Those stay integers where they can, which saves most
// of what a group costs beside its rows; what is written is the same, to the byte. Refuses: anything that does not parse to its last byte.
#include "core/numeric_sum.hpp"
#include "delta/aggregate.hpp"
#include "pg/aggregate_catalog.hpp"

extern "C" {
#include "utils/array.h"
#include "utils/fmgroids.h"
}

namespace pgstream {
namespace {

// Format 1 counted NULLs where rows were taken one by one and did not where they were summed: what it says is not relied upon.
// Format 2 had no short forms. States of either are as good as none: their groups are read again by key.
constexpr uint8 kStateFormat = 3;

void AppendVarint(StringInfo out, uint64 value) {
  while (value >= 0x80) {
    appendStringInfoCharMacro(out, static_cast<char>(value | 0x80));
    value >>= 7;
  }
  appendStringInfoCharMacro(out, static_cast<char>(value));
}

void AppendSigned(StringInfo out, int64 value) {
  AppendVarint(out, static_cast<uint64>(value) << 1 ^ static_cast<uint64>(value >> 63));
}

struct Reader {
  const uint8 *position;
  const uint8 *end;
};

bool ReadVarint(Reader *reader, uint64 *value) {
  *value = 0;
  for (int shift = 0; shift < 64 && reader->position < reader->end; shift += 7) {
    const uint8 byte = *reader->position++;
    *value |= static_cast<uint64>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

bool ReadSigned(Reader *reader, int64 *value) {
  uint64 folded;
  if (!ReadVarint(reader, &folded)) return false;
  *value = static_cast<int64>(folded >> 1 ^ (UINT64CONST(0) - (folded & 1)));
  return true;
}

bool IsInteger(const AggregateProgram *program) {
  return program->state_type == INT8OID || program->state_type == INT4OID || program->state_type == INT2OID;
}

int64 IntegerOf(const AggregateProgram *program, Datum value) {
  return program->state_type == INT8OID ? DatumGetInt64(value)
                                        : program->state_type == INT4OID ? DatumGetInt32(value) : DatumGetInt16(value);
}

Datum DatumOfInteger(const AggregateProgram *program, int64 value) {
  return program->state_type == INT8OID ? Int64GetDatum(value)
                                        : program->state_type == INT4OID ? Int32GetDatum(static_cast<int32>(value))
                                                                         : Int16GetDatum(static_cast<int16>(value));
}

// What int4_avg_accum and its like keep: an array of count and sum, laid out as the initial one.
constexpr Size kCountAndSum = ARR_OVERHEAD_NONULLS(1) + 2 * sizeof(int64);

bool MayBeCountAndSum(const AggregateProgram *program) {
  return program->state_type == INT8ARRAYOID && !program->initial_null && VARSIZE(DatumGetPointer(program->initial)) == kCountAndSum;
}

bool IsCountAndSum(const AggregateProgram *program, const varlena *value, int64 count, int64 *sum) {
  if (!MayBeCountAndSum(program) || VARATT_IS_EXTENDED(value) || VARSIZE(value) != kCountAndSum) return false;
  const char *const parts = reinterpret_cast<const char *>(value) + ARR_OVERHEAD_NONULLS(1);
  if (memcmp(value, DatumGetPointer(program->initial), ARR_OVERHEAD_NONULLS(1)) != 0 || memcmp(parts, &count, sizeof(count)) != 0)
    return false;
  memcpy(sum, parts + sizeof(int64), sizeof(*sum));
  return true;
}

void AppendBytes(StringInfo out, const void *data, Size size) {
  AppendVarint(out, size + 1);
  appendBinaryStringInfo(out, static_cast<const char *>(data), static_cast<int>(size));
}

void AppendPlain(StringInfo out, int64 sum, int scale) {
  AppendVarint(out, 0);
  appendStringInfoCharMacro(out, static_cast<char>(scale));
  AppendSigned(out, sum);
}

Datum CallWithContext(const AggregateSet *set, FmgrInfo *function, Datum first, bool first_null, Datum second,
                      int nargs) {
  LOCAL_FCINFO(call, 2);
  InitFunctionCallInfoData(*call, function, static_cast<short>(nargs), InvalidOid,
                           reinterpret_cast<Node *>(set->call_context), nullptr);
  call->args[0].value = first;
  call->args[0].isnull = first_null;
  call->args[1].value = second;
  call->args[1].isnull = false;
  const Datum result = FunctionCallInvoke(call);
  if (call->isnull) elog(ERROR, "aggregate support function %u returned null", function->fn_oid);
  return result;
}

NumericSum PlainSum(const AggregateState *state) { return {state->count, DatumGetInt64(state->value), state->scale}; }

void AppendState(const AggregateSet *set, AggregateProgram *program, const AggregateState *state, StringInfo out) {
  AppendVarint(out, static_cast<uint64>(state->count) * 2 + (state->isnull ? 1 : 0));
  if (state->isnull) return;
  if (state->plain) {
    AppendPlain(out, DatumGetInt64(state->value), state->scale);
  } else if (program->internal_state) {
    const Datum image = CallWithContext(set, &program->serialize, state->value, false, 0, 1);
    bytea *bytes = DatumGetByteaPP(image);
    NumericSum sum;
    // Whichever way the state was moved, it is written the same.
    if (program->may_be_plain &&
        ReadNumericSum(reinterpret_cast<const uint8 *>(VARDATA_ANY(bytes)), static_cast<uint32>(VARSIZE_ANY_EXHDR(bytes)), &sum) &&
        sum.count == state->count)
      AppendPlain(out, sum.sum, sum.scale);
    else
      AppendBytes(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
  } else if (IsInteger(program)) {
    AppendSigned(out, IntegerOf(program, state->value));
  } else if (program->state_byval) {
    Datum image = 0;
    store_att_byval(&image, state->value, program->state_length);
    appendBinaryStringInfo(out, reinterpret_cast<char *>(&image), program->state_length);
  } else if (program->state_length > 0) {
    appendBinaryStringInfo(out, DatumGetPointer(state->value), program->state_length);
  } else if (program->state_length == -1) {
    varlena *value = PG_DETOAST_DATUM_PACKED(state->value);
    int64 sum;
    if (IsCountAndSum(program, value, state->count, &sum)) {
      AppendVarint(out, 0);
      AppendSigned(out, sum);
    } else {
      AppendBytes(out, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
    }
  } else {
    AppendBytes(out, DatumGetPointer(state->value), strlen(DatumGetCString(state->value)));
  }
}

// What the server's functions make of a state that they wrote.
Datum ReadInternal(const AggregateSet *set, AggregateProgram *program, const uint8 *bytes, Size length) {
  const bool complete = program->deserialize.fn_oid == F_NUMERIC_AVG_DESERIALIZE;
  const MemoryContext old = MemoryContextSwitchTo(set->temporary);
  auto *image = static_cast<bytea *>(palloc(VARHDRSZ + length));
  SET_VARSIZE(image, VARHDRSZ + length);
  memcpy(VARDATA(image), bytes, length);
  // What is deserialized lives where the function is called.
  if (complete) MemoryContextSwitchTo(set->state_context);
  Datum state = CallWithContext(set, &program->deserialize, PointerGetDatum(image), false, 0, 2);
  if (!complete) state = CallWithContext(set, &program->combine, 0, true, state, 2);
  MemoryContextSwitchTo(old);
  return state;
}

// A state whose count says the rest. False where it is damaged, or none of ours.
bool ReadShort(const AggregateSet *set, const AggregateProgram *program, Reader *reader, AggregateState *state) {
  int64 sum;
  if (program->may_be_plain) {
    if (reader->position == reader->end) return false;
    state->scale = *reader->position++;
    if (!ReadSigned(reader, &sum) || !FitsNumericSum(sum, state->scale) || state->count <= 0) return false;
    state->value = Int64GetDatum(sum);
    state->plain = true;
    return true;
  }
  if (!MayBeCountAndSum(program) || !ReadSigned(reader, &sum)) return false;
  auto *const array = static_cast<char *>(MemoryContextAlloc(set->state_context, kCountAndSum));
  memcpy(array, DatumGetPointer(program->initial), ARR_OVERHEAD_NONULLS(1));
  memcpy(array + ARR_OVERHEAD_NONULLS(1), &state->count, sizeof(state->count));
  memcpy(array + ARR_OVERHEAD_NONULLS(1) + sizeof(int64), &sum, sizeof(sum));
  state->value = PointerGetDatum(array);
  return true;
}

bool ReadState(const AggregateSet *set, AggregateProgram *program, Reader *reader, AggregateState *state) {
  uint64 head;
  if (!ReadVarint(reader, &head)) return false;
  *state = {};
  state->count = static_cast<int64>(head / 2);
  state->isnull = head % 2 == 1;
  if (state->isnull) return true;
  // The type internal is declared as passed by value; what was written for it has a length of its own.
  uint64 length = static_cast<uint64>(program->state_length);
  if (program->internal_state || program->state_length < 0) {
    if (!ReadVarint(reader, &length)) return false;
    if (length-- == 0) return ReadShort(set, program, reader, state);
  } else if (IsInteger(program)) {
    int64 value;
    if (!ReadSigned(reader, &value)) return false;
    state->value = DatumOfInteger(program, value);
    return true;
  }
  if (length > static_cast<uint64>(reader->end - reader->position) || length > MaxAllocSize / 2) return false;
  const uint8 *const bytes = reader->position;
  reader->position += length;
  if (program->internal_state) {
    state->value = ReadInternal(set, program, bytes, length);
  } else if (program->state_byval) {
    Datum image = 0;
    memcpy(&image, bytes, length);
    state->value = fetch_att(&image, true, program->state_length);
  } else if (program->state_length == -1) {
    auto *value = static_cast<varlena *>(MemoryContextAlloc(set->state_context, VARHDRSZ + length));
    SET_VARSIZE(value, VARHDRSZ + length);
    memcpy(VARDATA(value), bytes, length);
    state->value = PointerGetDatum(value);
  } else {
    auto *value = static_cast<char *>(MemoryContextAlloc(set->state_context, length + 1));
    memcpy(value, bytes, length);
    value[length] = '\0';
    state->value = PointerGetDatum(value);
  }
  return true;
}

}  // namespace

void CompleteState(const AggregateSet *set, AggregateProgram *program, AggregateState *state) {
  if (!state->plain) return;
  uint8 image[kMostNumericSum];
  const uint32 size = WriteNumericSum(PlainSum(state), image);
  state->value = ReadInternal(set, program, image, size);
  state->plain = false;
}

bytea *SerializeStates(const AggregateSet *set, int64 rows, AggregateState *states) {
  StringInfoData out;
  initStringInfo(&out);
  const char header[VARHDRSZ] = {};
  appendBinaryStringInfo(&out, header, VARHDRSZ);
  appendStringInfoChar(&out, kStateFormat);
  appendStringInfoChar(&out, static_cast<char>(compat::kServerMajor));
  appendBinaryStringInfo(&out, reinterpret_cast<const char *>(&set->fingerprint), sizeof(set->fingerprint));
  AppendVarint(&out, static_cast<uint64>(rows));
  const MemoryContext old = MemoryContextSwitchTo(set->temporary);
  for (int i = 0; i < set->naggregates; i++) AppendState(set, &set->programs[i], &states[i], &out);
  MemoryContextSwitchTo(old);
  auto *result = reinterpret_cast<bytea *>(out.data);
  SET_VARSIZE(result, out.len);
  return result;
}

bool DeserializeStates(const AggregateSet *set, const bytea *data, int64 *rows, AggregateState *states) {
  Reader reader = {reinterpret_cast<const uint8 *>(VARDATA_ANY(data)), nullptr};
  reader.end = reader.position + VARSIZE_ANY_EXHDR(data);
  uint16 fingerprint;
  if (reader.end - reader.position < 4 || reader.position[0] != kStateFormat ||
      reader.position[1] != compat::kServerMajor) {
    return false;
  }
  memcpy(&fingerprint, reader.position + 2, sizeof(fingerprint));
  reader.position += 4;
  uint64 count;
  if (fingerprint != set->fingerprint || !ReadVarint(&reader, &count)) return false;
  *rows = static_cast<int64>(count);
  for (int i = 0; i < set->naggregates; i++) {
    if (!ReadState(set, &set->programs[i], &reader, &states[i])) return false;
  }
  return reader.position == reader.end;
}

}  // namespace pgstream
