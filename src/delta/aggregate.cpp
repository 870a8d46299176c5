// Promises and refusals are those of aggregate.hpp. The state's rules are nodeWindowAgg's: a strict transition skips NULLs
// and takes the first value as its state when it starts from NULL; removing the last value restores the initial state
// instead of calling the inverse; an inverse that returns NULL refuses.
#include "delta/aggregate.hpp"

#include "delta/aggregate_sums.hpp"
#include "pg/aggregate_catalog.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "common/hashfn.h"
#include "parser/parse_agg.h"
#include "utils/fmgrprotos.h"
#include "utils/fmgroids.h"
#include "utils/numeric.h"
}

namespace pgstream {

namespace {

FunctionCallInfo NewCall(FmgrInfo *function, int nargs, Oid collation, AggState *context) {
  auto *call = static_cast<FunctionCallInfo>(palloc0(SizeForFunctionCallInfo(nargs)));
  InitFunctionCallInfoData(*call, function, static_cast<short>(nargs), collation, reinterpret_cast<Node *>(context),
                           nullptr);
  return call;
}

Datum ReadInitialState(const char *text, Oid type) {
  Oid input;
  Oid io_param;
  getTypeInputInfo(type, &input, &io_param);
  return OidInputFunctionCall(input, const_cast<char *>(text), io_param, -1);
}

void PrepareAggregate(AggregateSet *set, const GroupAggregate *aggregate, AggregateProgram *program) {
  Aggref *const aggref = aggregate->aggref;
  const bool moving = aggregate->maintenance == AggregateMaintenance::Invertible;
  // As the executor does before it aggregates.
  if (!compat::MayExecute(aggref->aggfnoid, GetUserId()))
    aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_AGGREGATE, get_func_name(aggref->aggfnoid));
  AggregateFunctions functions;
  if (!LookupAggregateFunctions(aggref->aggfnoid, moving, &functions) ||
      aggregate->maintenance == AggregateMaintenance::Keyed) {
    elog(ERROR, "aggregate %u cannot be run incrementally", aggref->aggfnoid);
  }
  Oid input_types[FUNC_MAX_ARGS];
  const int nargs = get_aggregate_argtypes(aggref, input_types);
  program->aggregate = aggref->aggfnoid;
  program->maintenance = aggregate->maintenance;
  program->may_overflow =
      program->aggregate == F_SUM_MONEY || program->aggregate == F_SUM_INTERVAL || program->aggregate == F_AVG_INTERVAL;
  program->filtered = aggref->aggfilter != nullptr;
  program->nargs = nargs;
  program->collation = aggref->inputcollid;
  program->state_type =
      resolve_aggregate_transtype(aggref->aggfnoid, functions.declared_state_type, input_types, nargs);
  program->internal_state = program->state_type == INTERNALOID;
  get_typlenbyval(program->state_type, &program->state_length, &program->state_byval);
  program->initial_null = functions.initial == nullptr;
  if (!program->initial_null) program->initial = ReadInitialState(functions.initial, program->state_type);

  Expr *transition_expr;
  Expr *inverse_expr;
  build_aggregate_transfn_expr(input_types, nargs, 0, false, program->state_type, aggref->inputcollid,
                               functions.transition, functions.inverse, &transition_expr, &inverse_expr);
  fmgr_info(functions.transition, &program->transition);
  fmgr_info_set_expr(reinterpret_cast<Node *>(transition_expr), &program->transition);
  program->transition_call = NewCall(&program->transition, nargs + 1, aggref->inputcollid, set->call_context);
  if (OidIsValid(functions.inverse)) {
    fmgr_info(functions.inverse, &program->inverse);
    fmgr_info_set_expr(reinterpret_cast<Node *>(inverse_expr), &program->inverse);
    program->inverse_call = NewCall(&program->inverse, nargs + 1, aggref->inputcollid, set->call_context);
  }
  program->has_final = OidIsValid(functions.final);
  program->nfinal_args = functions.final_extra ? nargs + 1 : 1;
  if (program->has_final) {
    Expr *final_expr;
    build_aggregate_finalfn_expr(input_types, program->nfinal_args, program->state_type, aggref->aggtype,
                                 aggref->inputcollid, functions.final, &final_expr);
    fmgr_info(functions.final, &program->final);
    fmgr_info_set_expr(reinterpret_cast<Node *>(final_expr), &program->final);
  }
  program->has_serial = OidIsValid(functions.serialize);
  if (program->has_serial) {
    fmgr_info(functions.serialize, &program->serialize);
    fmgr_info(functions.deserialize, &program->deserialize);
    fmgr_info(functions.combine, &program->combine);
  }
  program->may_be_plain = moving && program->has_serial && functions.deserialize == F_NUMERIC_AVG_DESERIALIZE &&
                          (functions.final == F_NUMERIC_SUM || functions.final == F_NUMERIC_AVG);
  program->has_sort = !moving && OidIsValid(functions.sort_operator) && nargs == 1;
  if (program->has_sort) fmgr_info(get_opcode(functions.sort_operator), &program->sort);

  const Oid parts[] = {aggref->aggfnoid, program->state_type, functions.transition};
  set->fingerprint = static_cast<uint16>((set->fingerprint * 31) ^
                                         hash_bytes(reinterpret_cast<const unsigned char *>(parts), sizeof(parts)));
}

// Makes newval the state: copied into the state context unless it is the old one changed in place. (The type internal is
// passed by value: the pointer is taken as it is.)
void ReplaceState(const AggregateSet *set, const AggregateProgram *program, AggregateState *state, Datum newval,
                  bool isnull) {
  if (!program->state_byval && DatumGetPointer(newval) != DatumGetPointer(state->value)) {
    if (!isnull) {
      // A state outlives the row it came from, whose toasted values may go: it holds no pointer to one.
      const MemoryContext old = MemoryContextSwitchTo(set->state_context);
      newval = program->state_length == -1 && VARATT_IS_EXTENDED(DatumGetPointer(newval))
                   ? PointerGetDatum(PG_DETOAST_DATUM_COPY(newval))
                   : datumCopy(newval, false, program->state_length);
      MemoryContextSwitchTo(old);
    }
    if (!state->isnull) pfree(DatumGetPointer(state->value));
  }
  state->value = newval;
  state->isnull = isnull;
}

void InitializeState(const AggregateSet *set, const AggregateProgram *program, AggregateState *state) {
  state->count = 0;
  state->doubtful = state->plain = false;
  state->isnull = program->initial_null;
  state->value = 0;
  if (!program->initial_null) {
    const MemoryContext old = MemoryContextSwitchTo(set->state_context);
    state->value = datumCopy(program->initial, program->state_byval, program->state_length);
    MemoryContextSwitchTo(old);
  }
}

// Frees what a single state holds. An internal state's parts are its functions' secret: they stay until the context goes.
void FreeState(const AggregateProgram *program, AggregateState *state) {
  const bool pointer = (!program->state_byval || program->internal_state) && !state->plain;
  if (!state->isnull && pointer && DatumGetPointer(state->value) != nullptr) {
    pfree(DatumGetPointer(state->value));
  }
  state->value = 0;
  state->isnull = true;
  state->plain = false;
}

bool HasNoInputs(const AggregateProgram *program) {
  return program->nargs == 0 && !program->filtered;
}
bool Skips(uint64 skip, int aggregate) {
  return aggregate < 64 && (skip >> aggregate & 1) != 0;
}

// Puts the arguments of one input row into a call. False when the filter or a NULL leaves the row out: functions that are not strict
// pass over NULLs themselves, all those of aggregates that keep states. A NULL must not count, as it does not where rows are
// summed column by column: the same row may come the one way and go the other.
bool LoadArguments(const AggregateProgram *program, FunctionCallInfo call, const Datum *values, const bool *nulls) {
  int input = program->first_input;
  if (program->filtered) {
    if (nulls[input] || !DatumGetBool(values[input])) return false;
    input++;
  }
  for (int i = 0; i < program->nargs; i++, input++) {
    if (nulls[input]) return false;
    call->args[i + 1].value = values[input];
    call->args[i + 1].isnull = nulls[input];
  }
  return true;
}

// False when the result is out of range and that is no error.
bool Invoke(const AggregateSet *set, const AggregateProgram *program, FunctionCallInfo call, Datum *result) {
  if (!program->may_overflow || !set->overflow_is_doubt) {
    *result = FunctionCallInvoke(call);
    return true;
  }
  return InRange([=]() { *result = FunctionCallInvoke(call); });
}

void AdvanceState(const AggregateSet *set, AggregateProgram *program, AggregateState *state, const Datum *values,
                  const bool *nulls) {
  FunctionCallInfo call = program->transition_call;
  if (!LoadArguments(program, call, values, nulls)) return;
  CompleteState(set, program, state);
  const MemoryContext old = MemoryContextSwitchTo(set->temporary);
  if (program->transition.fn_strict && state->isnull) {
    if (state->count == 0) {
      ReplaceState(set, program, state, call->args[1].value, false);
      state->count = 1;
    }
    MemoryContextSwitchTo(old);
    return;
  }
  call->args[0].value = state->value;
  call->args[0].isnull = state->isnull;
  call->isnull = false;
  Datum result;
  if (!Invoke(set, program, call, &result)) {
    state->doubtful = true;
    MemoryContextSwitchTo(old);
    return;
  }
  if (call->isnull && program->maintenance == AggregateMaintenance::Invertible) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("moving-aggregate transition function must not return null")));
  }
  ReplaceState(set, program, state, result, call->isnull);
  state->count++;
  MemoryContextSwitchTo(old);
}

// True when taking this value out of an InsertOnly state could change it.
bool MayBeExtremum(const AggregateProgram *program, const AggregateState *state, Datum value) {
  if (!program->has_sort) return true;
  // Of two booleans, the one that the other sorts before never decides.
  if (program->state_type == BOOLOID && Sorts(program, BoolGetDatum(!DatumGetBool(value)), value)) return false;
  return state->isnull || !Sorts(program, state->value, value);
}

void RetractState(const AggregateSet *set, AggregateProgram *program, AggregateState *state, const Datum *values,
                  const bool *nulls) {
  const bool moving = program->maintenance == AggregateMaintenance::Invertible;
  FunctionCallInfo call = moving ? program->inverse_call : program->transition_call;
  if (!LoadArguments(program, call, values, nulls)) return;
  if (state->count == 1) {
    ResetState(set, program, state);
    return;
  }
  if (state->count <= 0 || (moving && state->isnull)) {
    state->doubtful = true;  // it never had this value: only the rows themselves can tell
    return;
  }
  CompleteState(set, program, state);
  const MemoryContext old = MemoryContextSwitchTo(set->temporary);
  if (moving) {
    call->args[0].value = state->value;
    call->args[0].isnull = state->isnull;
    call->isnull = false;
    Datum result;
    if (!Invoke(set, program, call, &result) || call->isnull) {
      state->doubtful = true;
    } else {
      ReplaceState(set, program, state, result, false);
      state->count--;
    }
  } else if (MayBeExtremum(program, state, call->args[1].value)) {
    state->doubtful = true;
  } else {
    state->count--;
  }
  MemoryContextSwitchTo(old);
}

}  // namespace

void ResetState(const AggregateSet *set, const AggregateProgram *program, AggregateState *state) {
  FreeState(program, state);
  InitializeState(set, program, state);
}

bool Sorts(const AggregateProgram *program, Datum a, Datum b) {
  return DatumGetBool(FunctionCall2Coll(const_cast<FmgrInfo *>(&program->sort), program->collation, a, b));
}

List *AggregateInputs(const DeltaPlan *plan) {
  List *inputs = NIL;
  for (int i = 0; i < plan->naggregates; i++) {
    const Aggref *aggref = plan->aggregates[i].aggref;
    if (aggref->aggfilter != nullptr) inputs = lappend(inputs, copyObjectImpl(aggref->aggfilter));
    ListCell *cell;
    foreach (cell, aggref->args) {
      Expr *argument = static_cast<Expr *>(copyObjectImpl(lfirst_node(TargetEntry, cell)->expr));
      if (aggref->aggfilter != nullptr) {
        CaseWhen *when = makeNode(CaseWhen);
        when->expr = static_cast<Expr *>(copyObjectImpl(aggref->aggfilter));
        when->result = argument;
        when->location = -1;
        CaseExpr *guarded = makeNode(CaseExpr);
        guarded->casetype = exprType(reinterpret_cast<Node *>(argument));
        guarded->casecollid = exprCollation(reinterpret_cast<Node *>(argument));
        guarded->args = lappend(NIL, when);
        guarded->defresult = reinterpret_cast<Expr *>(
            makeNullConst(guarded->casetype, exprTypmod(reinterpret_cast<Node *>(argument)), guarded->casecollid));
        guarded->location = -1;
        argument = reinterpret_cast<Expr *>(guarded);
      }
      inputs = lappend(inputs, argument);
    }
  }
  return inputs;
}

AggregateSet *PrepareAggregates(const DeltaPlan *plan, MemoryContext states) {
  auto *set = static_cast<AggregateSet *>(palloc0(sizeof(AggregateSet)));
  set->naggregates = plan->naggregates;
  set->programs = static_cast<AggregateProgram *>(palloc0(sizeof(AggregateProgram) * Max(plan->naggregates, 1)));
  set->state_context = states;
  set->constants = CurrentMemoryContext;
  set->temporary = AllocSetContextCreate(CurrentMemoryContext, "pgstream aggregate call", ALLOCSET_SMALL_SIZES);

  // All that the support functions look at is curaggcontext's memory (AggCheckCallContext) and, for a scratch context,
  // tmpcontext's.
  ExprContext *state_econtext = makeNode(ExprContext);
  state_econtext->ecxt_per_tuple_memory = states;
  ExprContext *temporary_econtext = makeNode(ExprContext);
  temporary_econtext->ecxt_per_tuple_memory = set->temporary;
  set->call_context = makeNode(AggState);
  set->call_context->curaggcontext = state_econtext;
  set->call_context->tmpcontext = temporary_econtext;

  List *inputs = AggregateInputs(plan);
  set->ninputs = list_length(inputs);
  set->input_lengths = static_cast<int16 *>(palloc(sizeof(int16) * Max(set->ninputs, 1)));
  set->input_byval = static_cast<bool *>(palloc(sizeof(bool) * Max(set->ninputs, 1)));
  for (int i = 0; i < set->ninputs; i++) {
    get_typlenbyval(exprType(static_cast<Node *>(list_nth(inputs, i))), &set->input_lengths[i], &set->input_byval[i]);
  }
  int next_input = 0;
  for (int i = 0; i < plan->naggregates; i++) {
    AggregateProgram *program = &set->programs[i];
    PrepareAggregate(set, &plan->aggregates[i], program);
    program->first_input = next_input;
    next_input += (program->filtered ? 1 : 0) + program->nargs;
  }
  Assert(next_input == set->ninputs);
  return set;
}

MemoryContext KeepStatesIn(AggregateSet *set, MemoryContext states) {
  const MemoryContext before = set->state_context;
  set->state_context = set->call_context->curaggcontext->ecxt_per_tuple_memory = states;
  return before;
}

void InitializeStates(const AggregateSet *set, AggregateState *states) {
  for (int i = 0; i < set->naggregates; i++) InitializeState(set, &set->programs[i], &states[i]);
}

void AdvanceStates(const AggregateSet *set, AggregateState *states, const Datum *values, const bool *nulls,
                   uint64 skip) {
  for (int i = 0; i < set->naggregates; i++) {
    AggregateProgram *program = &set->programs[i];
    if (HasNoInputs(program) || Skips(skip, i)) continue;
    if (!states[i].doubtful) AdvanceState(set, program, &states[i], values, nulls);
  }
}

void RetractStates(const AggregateSet *set, AggregateState *states, const Datum *values, const bool *nulls,
                   uint64 skip) {
  for (int i = 0; i < set->naggregates; i++) {
    AggregateProgram *program = &set->programs[i];
    if (HasNoInputs(program) || Skips(skip, i)) continue;
    if (!states[i].doubtful) RetractState(set, program, &states[i], values, nulls);
  }
}

void AdvanceWithoutInputs(const AggregateSet *set, AggregateState *states, int64 n) {
  for (int i = 0; i < set->naggregates; i++) {
    AggregateProgram *program = &set->programs[i];
    if (!HasNoInputs(program)) continue;
    if (program->aggregate == F_COUNT_) {
      AddCount(set, i, &states[i], n);
      continue;
    }
    for (int64 done = 0; done < n && !states[i].doubtful; done++)
      AdvanceState(set, program, &states[i], nullptr, nullptr);
    for (int64 done = 0; done > n && !states[i].doubtful; done--)
      RetractState(set, program, &states[i], nullptr, nullptr);
  }
}

bool SameInputImage(const AggregateSet *set, int aggregate, const Datum *values_a, const bool *nulls_a,
                    const Datum *values_b, const bool *nulls_b) {
  const AggregateProgram *program = &set->programs[aggregate];
  const int end = program->first_input + (program->filtered ? 1 : 0) + program->nargs;
  for (int i = program->first_input; i < end; i++) {
    if (nulls_a[i] != nulls_b[i]) return false;
    if (!nulls_a[i] && !datum_image_eq(values_a[i], values_b[i], set->input_byval[i], set->input_lengths[i]))
      return false;
  }
  return true;
}

bool AnyDoubtful(const AggregateSet *set, const AggregateState *states) {
  for (int i = 0; i < set->naggregates; i++) {
    if (states[i].doubtful) return true;
  }
  return false;
}

// What the final function makes of a plain state.
static Datum PlainResult(const AggregateProgram *program, const AggregateState *state) {
  const Datum sum = NumericGetDatum(int64_div_fast_to_numeric(DatumGetInt64(state->value), state->scale));
  if (program->final.fn_oid == F_NUMERIC_SUM) return sum;
  return DirectFunctionCall2(numeric_div, sum, NumericGetDatum(int64_to_numeric(state->count)));
}

void FinalizeStates(const AggregateSet *set, AggregateState *states, Datum *values, bool *nulls) {
  const MemoryContext old = MemoryContextSwitchTo(set->temporary);
  for (int i = 0; i < set->naggregates; i++) {
    AggregateProgram *program = &set->programs[i];
    const AggregateState *state = &states[i];
    values[i] = state->value;
    nulls[i] = state->isnull;
    if (!program->has_final) continue;
    if (state->plain) {
      values[i] = PlainResult(program, state);
      continue;
    }
    LOCAL_FCINFO(call, FUNC_MAX_ARGS);
    InitFunctionCallInfoData(*call, &program->final, static_cast<short>(program->nfinal_args), program->collation,
                             reinterpret_cast<Node *>(set->call_context), nullptr);
    call->args[0].value = state->value;
    call->args[0].isnull = state->isnull;
    for (int arg = 1; arg < program->nfinal_args; arg++) {
      call->args[arg].value = 0;
      call->args[arg].isnull = true;
    }
    if (program->final.fn_strict && (state->isnull || program->nfinal_args > 1)) {
      values[i] = 0;
      nulls[i] = true;
      continue;
    }
    values[i] = FunctionCallInvoke(call);
    nulls[i] = call->isnull;
  }
  MemoryContextSwitchTo(old);
}

void FreeStates(const AggregateSet *set, AggregateState *states) {
  for (int i = 0; i < set->naggregates; i++) FreeState(&set->programs[i], &states[i]);
}

}  // namespace pgstream
