// States moved by sums; see aggregate_sums.hpp.
//
// States of an SQL type (a number, an array of count and sum) are written as the server's functions write them. Internal ones are the
// server's secret: they are brought to the new count and sum by its transition, inverse and combine functions, the count by
// combining states of 1, 2, 4, ... zeros; sums of numerics that are plain (aggregate.hpp) are added up as integers.
#include "delta/aggregate_sums.hpp"

#include "core/numeric_sum.hpp"

extern "C" {
#include "common/int.h"
#include "utils/array.h"
#include "utils/numeric.h"
}

namespace pgstream {
namespace {

// Beyond so many zeros, states of many are combined.
constexpr int64 kFewZeros = 8;

// The count a state will have; false where there is nothing more to do: nothing changed, no value is left, or it cannot be.
bool MoveCount(const AggregateSet *set, AggregateProgram *program, AggregateState *state, int64 count, int64 *result) {
  *result = state->count + count;
  if (*result < 0) {
    state->doubtful = true;
    return false;
  }
  if (*result == 0) {
    if (count != 0) ResetState(set, program, state);
    return false;
  }
  return true;
}

Datum CallState(FunctionCallInfo call, AggregateState *state, Datum value) {
  call->args[0].value = state->value;
  call->args[0].isnull = state->isnull;
  call->args[1].value = value;
  call->args[1].isnull = false;
  call->isnull = false;
  return FunctionCallInvoke(call);
}

// One transition of an internal state.
void Advance(AggregateState *state, FunctionCallInfo call, Datum value) {
  state->value = CallState(call, state, value);
  state->isnull = call->isnull;
}

// An argument of the transition functions.
Datum Argument(int64 value, int scale) {
  return scale < 0 ? Int64GetDatum(value) : NumericGetDatum(int64_div_fast_to_numeric(value, scale));
}

Datum Combine(const AggregateSet *set, AggregateProgram *program, Datum first, bool first_null, Datum second) {
  LOCAL_FCINFO(call, 2);
  InitFunctionCallInfoData(*call, &program->combine, 2, InvalidOid, reinterpret_cast<Node *>(set->call_context), nullptr);
  call->args[0].value = first;
  call->args[0].isnull = first_null;
  call->args[1].value = second;
  call->args[1].isnull = false;
  const Datum result = FunctionCallInvoke(call);
  if (call->isnull) elog(ERROR, "aggregate combine function %u returned null", program->combine.fn_oid);
  return result;
}

// The state of 2^power zeros of this scale, kept as long as the set.
Datum ZerosOf(const AggregateSet *set, AggregateProgram *program, int scale, int power) {
  if (program->zeros != nullptr && program->zeros_scale != scale) program->nzeros = 0;
  program->zeros_scale = scale;
  if (program->zeros == nullptr)
    program->zeros = static_cast<Datum *>(MemoryContextAllocZero(set->constants, sizeof(Datum) * 64));
  ExprContext *const econtext = set->call_context->curaggcontext;
  const MemoryContext states = econtext->ecxt_per_tuple_memory;
  for (int i = program->nzeros; i <= power; i++) {
    econtext->ecxt_per_tuple_memory = set->constants;
    if (i == 0) {
      AggregateState first = {};
      first.isnull = true;
      Advance(&first, program->transition_call, Argument(0, scale));
      program->zeros[0] = first.value;
    } else {
      program->zeros[i] = Combine(set, program, Combine(set, program, 0, true, program->zeros[i - 1]), false, program->zeros[i - 1]);
    }
    econtext->ecxt_per_tuple_memory = states;
    program->nzeros = i + 1;
  }
  return program->zeros[power];
}

// Adds `count` zeros to an internal state that is not null, or takes them back.
void AddZeros(const AggregateSet *set, AggregateProgram *program, AggregateState *state, int scale, int64 count) {
  const Datum zero = Argument(0, scale);
  for (; count < 0; count++) {
    CHECK_FOR_INTERRUPTS();
    const Datum result = CallState(program->inverse_call, state, zero);
    if (program->inverse_call->isnull) {
      state->doubtful = true;  // of numerics, the last one of the widest scale may be gone
      return;
    }
    state->value = result;
  }
  if (count > kFewZeros) {
    for (int power = 0; power < 63; power++)
      if ((count >> power & 1) != 0) state->value = Combine(set, program, state->value, false, ZerosOf(set, program, scale, power));
    return;
  }
  for (; count > 0; count--) Advance(state, program->transition_call, zero);
}

// Moves a state that is plain, or that has nothing in it yet, and stays plain. False: the server's functions must.
bool AddPlainSum(const AggregateProgram *program, AggregateState *state, int64 count, WideInteger sum, int scale) {
  if (!program->may_be_plain || !(state->isnull || (state->plain && state->scale == scale))) return false;
  const WideInteger total = state->isnull ? sum : sum + DatumGetInt64(state->value);
  if (total > PG_INT64_MAX || total < PG_INT64_MIN || !FitsNumericSum(static_cast<int64>(total), scale)) return false;
  *state = {Int64GetDatum(static_cast<int64>(total)), count, false, false, true, static_cast<uint8>(scale)};
  return true;
}

}  // namespace

void AddCount(const AggregateSet *set, int aggregate, AggregateState *state, int64 count) {
  int64 result;
  if (state->doubtful || count == 0 || !MoveCount(set, &set->programs[aggregate], state, count, &result)) return;
  int64 value;
  if (state->isnull || pg_add_s64_overflow(DatumGetInt64(state->value), count, &value)) {
    state->doubtful = true;
    return;
  }
  state->value = Int64GetDatum(value);
  state->count = result;
}

void AddNarrowSum(const AggregateSet *set, int aggregate, AggregateState *state, int64 count, int64 sum) {
  int64 result;
  if (state->doubtful || !MoveCount(set, &set->programs[aggregate], state, count, &result)) return;
  // An array of two: what int4_avg_accum and its like keep.
  auto *const array = reinterpret_cast<ArrayType *>(DatumGetPointer(state->value));
  if (state->isnull || ARR_HASNULL(array) || ARR_SIZE(array) != ARR_OVERHEAD_NONULLS(1) + 2 * sizeof(int64)) {
    state->doubtful = true;
    return;
  }
  int64 parts[2];
  memcpy(parts, ARR_DATA_PTR(array), sizeof(parts));
  parts[0] += count;
  parts[1] = static_cast<int64>(static_cast<uint64>(parts[1]) + static_cast<uint64>(sum));
  memcpy(ARR_DATA_PTR(array), parts, sizeof(parts));
  state->count = result;
}

void AddWideSum(const AggregateSet *set, int aggregate, AggregateState *state, int64 count, WideInteger sum, int scale) {
  AggregateProgram *const program = &set->programs[aggregate];
  int64 result;
  if (state->doubtful || !MoveCount(set, program, state, count, &result) || (count == 0 && sum == 0)) return;
  if (AddPlainSum(program, state, result, sum, scale)) return;
  CompleteState(set, program, state);
  const MemoryContext old = MemoryContextSwitchTo(set->temporary);
  int64 rest = count;
  while (sum != 0) {
    CHECK_FOR_INTERRUPTS();
    const int64 piece = sum > PG_INT64_MAX ? PG_INT64_MAX : sum < PG_INT64_MIN ? PG_INT64_MIN : static_cast<int64>(sum);
    Advance(state, program->transition_call, Argument(piece, scale));
    sum -= piece;
    rest--;
  }
  if (state->isnull && rest > 0) {
    Advance(state, program->transition_call, Argument(0, scale));
    rest--;
  }
  AddZeros(set, program, state, scale, rest);
  state->count = result;
  MemoryContextSwitchTo(old);
}

void AddExtreme(const AggregateSet *set, int aggregate, AggregateState *state, int64 count, Datum extreme, int64 net) {
  AggregateProgram *const program = &set->programs[aggregate];
  int64 result;
  if (state->doubtful || !MoveCount(set, program, state, count, &result)) return;
  const bool beyond = state->isnull || Sorts(program, extreme, state->value);
  const bool within = !state->isnull && Sorts(program, state->value, extreme);
  // Below the state's own value nothing matters. At it or beyond, what came decides, and where as much of it went as
  // came, or more, the next value is known to the rows alone.
  if (!within && (net < 0 || (beyond && net == 0))) {
    state->doubtful = true;
    return;
  }
  if (beyond) {
    state->value = extreme;
    state->isnull = false;
  }
  state->count = result;
}

}  // namespace pgstream
