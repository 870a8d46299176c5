// A plan of direct_plan.hpp in memory that processes share.
//
// It consists of numbers alone, so that who groups by it needs neither the stream table's definition nor its catalogs.
//
// Promises: all who have the plan from there sum a numeric column at one scale, that of the first value that any of them met.
// Refuses: to carry which aggregate a sum is of; only who wrote the plan makes states.
#pragma once

#include "delta/direct_groups.hpp"

namespace pgstream {

// The memory it takes.
Size SharedPlanSize(const DirectGroups *direct);

// Writes the plan of groups that are empty still, and makes them sum by it.
void WriteSharedPlan(DirectGroups *direct, char *memory);

// The plan, in the current context but for what is never written to. The memory must stay.
void ReadSharedPlan(char *memory, DirectPlan *plan);

// Takes over the scales that others have found.
void TakeAgreedScales(DirectGroups *direct);

}  // namespace pgstream
