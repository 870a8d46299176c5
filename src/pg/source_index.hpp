// The index that keyed evaluation would like to find on the source.
//
// Promises: knows plans of which no part is ever evaluated by key (they need none). Refuses: to demand an index; without
// one keyed evaluation scans the source, and cost decides.
#pragma once

#include "pg/delta_plan.hpp"

namespace pgstream {

// What the source lacks: the list of columns and expressions that an index on it should be over, as CREATE INDEX takes
// it; nullptr when some valid index begins with a key, or none is needed. A plan of strategy Keyed or Groups.
const char *MissingSourceIndex(const DeltaPlan *plan);

// The command that would make it.
char *IndexCommand(const DeltaPlan *plan, const char *columns);

}  // namespace pgstream
