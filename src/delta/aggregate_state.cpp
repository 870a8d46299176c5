// Aggregate states as bytes: what the hidden attribute of a group's row holds.
//
//     byte 0      format version
//     byte 1      major version of the server: the representation of a state is the server's own business
//     bytes 2-3   fingerprint of the plan's aggregates
//     varint      rows in the group
//     per aggregate: varint count of transitions * 2 + (state is NULL), then unless NULL
//                 by value: its bytes; fixed length: its bytes; varlena: varint length, payload without header
//                 internal: varint length, what its serialization function returned
//
// Promises: a state read back continues exactly as the one written. Deserialization functions of the numeric family lose
// the mark that squares are to be summed, so a deserialized state passes through the combine function, which makes a
// complete one, except where no squares ever are: sum and avg of numerics. Those stay integers where they can, which saves most
// of what a group costs beside its rows; what is written is the same, to the byte. Refuses: anything that does not parse to its last byte.
#include "core/numeric_sum.hpp"
#include "delta/aggregate.hpp"
#include "pg/aggregate_catalog.hpp"

extern "C" {
#include "utils/fmgroids.h"
}

namespace pgstream {
namespace {

// Format 1 counted NULLs where rows were taken one by one and did not where they were summed: what it says is not relied upon.
constexpr uint8 kStateFormat = 2;

void AppendVarint(StringInfo out, uint64 value) {
  while (value >= 0x80) {
    appendStringInfoCharMacro(out, static_cast<char>(value | 0x80));
    value >>= 7;
  }
  appendStringInfoCharMacro(out, static_cast<char>(value));
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
    uint8 image[kMostNumericSum];
    const uint32 size = WriteNumericSum(PlainSum(state), image);
    AppendVarint(out, size);
    appendBinaryStringInfo(out, reinterpret_cast<const char *>(image), static_cast<int>(size));
  } else if (program->internal_state) {
    const Datum image = CallWithContext(set, &program->serialize, state->value, false, 0, 1);
    bytea *bytes = DatumGetByteaPP(image);
    AppendVarint(out, VARSIZE_ANY_EXHDR(bytes));
    appendBinaryStringInfo(out, VARDATA_ANY(bytes), static_cast<int>(VARSIZE_ANY_EXHDR(bytes)));
  } else if (program->state_byval) {
    Datum image = 0;
    store_att_byval(&image, state->value, program->state_length);
    appendBinaryStringInfo(out, reinterpret_cast<char *>(&image), program->state_length);
  } else if (program->state_length > 0) {
    appendBinaryStringInfo(out, DatumGetPointer(state->value), program->state_length);
  } else if (program->state_length == -1) {
    varlena *value = PG_DETOAST_DATUM_PACKED(state->value);
    AppendVarint(out, VARSIZE_ANY_EXHDR(value));
    appendBinaryStringInfo(out, VARDATA_ANY(value), static_cast<int>(VARSIZE_ANY_EXHDR(value)));
  } else {
    const auto length = static_cast<int>(strlen(DatumGetCString(state->value)));
    AppendVarint(out, static_cast<uint64>(length));
    appendBinaryStringInfo(out, DatumGetPointer(state->value), length);
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

// False for states that are not plain, which are then read by the server's functions.
bool ReadPlain(const AggregateProgram *program, const uint8 *bytes, uint64 length, AggregateState *state) {
  NumericSum sum;
  if (!program->may_be_plain || !ReadNumericSum(bytes, static_cast<uint32>(length), &sum) || sum.count != state->count) return false;
  state->value = Int64GetDatum(sum.sum);
  state->scale = static_cast<uint8>(sum.scale);
  state->plain = true;
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
  if ((program->internal_state || program->state_length < 0) && !ReadVarint(reader, &length)) return false;
  if (length > static_cast<uint64>(reader->end - reader->position) || length > MaxAllocSize / 2) return false;
  const uint8 *const bytes = reader->position;
  reader->position += length;
  if (program->internal_state) {
    if (!ReadPlain(program, bytes, length, state)) state->value = ReadInternal(set, program, bytes, length);
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
