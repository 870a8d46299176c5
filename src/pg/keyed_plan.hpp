// Keys of a query that is neither rows nor groups: columns of its output by which its result can be had piece by piece.
//
// Restricting the source to the rows of some keys must give just the result's rows of these keys. That holds where every
// level of the query keeps keys apart: its groups, the partitions of all its window functions, what its DISTINCT or
// DISTINCT ON compares, all are of one key; and where the key comes through each level's output unchanged.
//
// Promises: fills the fields of a Keyed plan. Refuses: keys that the output does not show (no base row could be found),
// LIMIT, grouping sets, subqueries in expressions that read tables.
#pragma once

#include "pg/delta_plan.hpp"

namespace pgstream {

// plan->flat and plan->sources are set. Returns nullptr, or why the query has no keys.
const char *PlanKeyed(DeltaPlan *plan);

}  // namespace pgstream
