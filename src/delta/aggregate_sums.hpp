// What many rows do to an aggregate's state at once: their net number and sum, or the extreme among them.
//
// Promises: the state is what single transitions, all additions before all retractions, would leave, or it is doubtful where
// those might not be. count is the net number of values that are not NULL. Refuses: other aggregates than those named.
#pragma once

#include "core/batch_groups.hpp"
#include "delta/aggregate.hpp"

namespace pgstream {

// count(*), count(any).
void AddCount(const AggregateSet *set, int aggregate, AggregateState *state, int64 count);

// sum and avg of int2 and int4.
void AddNarrowSum(const AggregateSet *set, int aggregate, AggregateState *state, int64 count, int64 sum);

// sum and avg of int8 (scale -1), and of numerics that all have this scale: sum is without the point then.
void AddWideSum(const AggregateSet *set, int aggregate, AggregateState *state, int64 count, WideInteger sum, int scale);

// min and max of types passed by value. extreme: the most extreme value that came or went, net: how many of it came, net.
void AddExtreme(const AggregateSet *set, int aggregate, AggregateState *state, int64 count, Datum extreme, int64 net);

}  // namespace pgstream
