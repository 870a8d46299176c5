// Keyed re-evaluation or the whole query: which is cheaper by the planner's reckoning.
//
// Promises: the whole query is planned once for a definition and a size of its sources, not for each read. Refuses: to
// choose where a parallel leader has chosen, or where the setting pgstream.keyed_evaluation has.
#pragma once

#include "delta/overlay.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// Adds the evaluation of `keys` keys at this cost to the overlay's statistics. Returns nullptr when what they cost by now
// is less than recomputing, or why recomputing is the better answer. In the owner's scope.
const char *WhyNotByKey(Overlay *overlay, const Stream *stream, Snapshot snapshot, int64 keys, double cost);

// The planner's cost of the whole query, taking its rows included.
double WholeQueryCost(const Stream *stream, Snapshot snapshot);

}  // namespace pgstream
