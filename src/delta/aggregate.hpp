// Executes the built-in aggregates of a delta plan outside an Agg node: forward and inverse transitions, results, and
// states written into a row and read back.
//
// The functions are the server's own moving-aggregate functions, under nodeWindowAgg's rules, so a result is exactly
// what the executor returns. Invertible aggregates run in moving mode, InsertOnly ones in plain mode.
//
// Promises: states live in one context given by the caller at a time; nothing else outlives the caller's reset of the
// temporary context. A serialized state that this server or this plan did not write reads as
// absent. Refuses: plans with a Keyed aggregate (see GroupsKeepState).
#pragma once

#include "pg/delta_plan.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// The running state of one aggregate of one group.
struct AggregateState {
  Datum value;  // in the state context when by reference
  int64 count;  // transitions it has in it that were not taken back, of values that are not NULL
  bool isnull;
  bool doubtful;  // a change was refused: the group must be evaluated from its rows
  bool plain;     // of a sum of numerics: value is the sum without its point (core/numeric_sum.hpp), not yet the server's state
  uint8 scale;    // then: of every number in it
};

// One aggregate, for the two files that execute it.
struct AggregateProgram {
  Oid aggregate;
  AggregateMaintenance maintenance;
  int first_input;  // of the input row: the filter, when there is one, then the arguments
  bool filtered;
  int nargs;
  int nfinal_args;
  bool has_final, internal_state, has_sort, has_serial;
  bool may_be_plain;  // its states may
  bool may_overflow;  // on the way, in another order of rows than the query's, where the result is in range
  Oid collation;
  Oid state_type;
  int16 state_length;
  bool state_byval;
  Datum initial;
  bool initial_null;
  FmgrInfo transition, inverse, final, serialize, deserialize, combine, sort;
  FunctionCallInfo transition_call, inverse_call;
  Datum *zeros;  // of internal states: those of 1, 2, 4, ... zeros of one scale, nzeros of them (aggregate_sums.cpp)
  int nzeros;
  int zeros_scale;
};

// The aggregates of a plan, made ready to run. An *input row* holds, aggregate by aggregate, the filter's verdict (when
// there is a FILTER) and the arguments: ninputs values, the types of AggregateInputs.
struct AggregateSet {
  int naggregates;
  AggregateProgram *programs;
  int ninputs;
  int16 *input_lengths;
  bool *input_byval;
  bool overflow_is_doubt;       // see AdvanceStates
  uint16 fingerprint;           // of the functions and state types, stored with every state
  MemoryContext state_context;  // what AggCheckCallContext tells the functions
  MemoryContext constants;      // of the set itself
  MemoryContext temporary;      // a child of the creating context; the caller resets it between rows
  AggState *call_context;
};

// The expressions of an input row over the source (Vars of varno 1). Arguments under a FILTER are NULL where it is not
// true, and not evaluated there.
List *AggregateInputs(const DeltaPlan *plan);

// Prepares the aggregates in the current context. states: where the groups' states are kept.
AggregateSet *PrepareAggregates(const DeltaPlan *plan, MemoryContext states);

// From now on states are kept in this context, to which those made before do not move. Returns the one before.
MemoryContext KeepStatesIn(AggregateSet *set, MemoryContext states);

// Sets the states (naggregates of them) to those of a group without rows.
void InitializeStates(const AggregateSet *set, AggregateState *states);

// Gives a state that is plain the server's form, which the server's functions can go on from.
void CompleteState(const AggregateSet *set, AggregateProgram *program, AggregateState *state);

// Makes a state that of no rows again, freeing what it held.
void ResetState(const AggregateSet *set, const AggregateProgram *program, AggregateState *state);

// Of min and max: true when a comes before b, the result being the first.
bool Sorts(const AggregateProgram *program, Datum a, Datum b);

// Adds one input row to the states of all aggregates but those in `skip` (bit i: aggregate i; only the first 64 can be
// skipped). What leaves the type's range is an error, as in the query, or, if overflow_is_doubt, makes the state doubtful.
void AdvanceStates(const AggregateSet *set, AggregateState *states, const Datum *values, const bool *nulls,
                   uint64 skip);

// Takes one input row back, in the same way; all additions must have been done before. An aggregate that cannot is marked
// doubtful and left alone from then on.
void RetractStates(const AggregateSet *set, AggregateState *states, const Datum *values, const bool *nulls,
                   uint64 skip);

// Both for the aggregates that have no inputs (count(*)), n rows at once, taken back when n < 0; AdvanceStates and
// RetractStates pass them over.
void AdvanceWithoutInputs(const AggregateSet *set, AggregateState *states, int64 n);

// True when both input rows are, for this aggregate, the same image: adding one and taking back the other is nothing.
bool SameInputImage(const AggregateSet *set, int aggregate, const Datum *values_a, const bool *nulls_a,
                    const Datum *values_b, const bool *nulls_b);

// Some aggregate was marked doubtful.
bool AnyDoubtful(const AggregateSet *set, const AggregateState *states);

// The results of the states; by-reference ones live in set->temporary or point into a state.
void FinalizeStates(const AggregateSet *set, AggregateState *states, Datum *values, bool *nulls);

// Forgets the states' memory as far as it can be freed one by one; they must be initialized before the next use.
void FreeStates(const AggregateSet *set, AggregateState *states);

// The states and the number of rows of a group as a bytea in the current context.
bytea *SerializeStates(const AggregateSet *set, int64 rows, AggregateState *states);

// Reads what SerializeStates wrote. False (states then hold nothing) for anything else: another server version's, another
// plan's, a damaged one.
bool DeserializeStates(const AggregateSet *set, const bytea *data, int64 *rows, AggregateState *states);

}  // namespace pgstream
