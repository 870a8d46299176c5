// What each aggregate allows when rows come and go.
//
// Promises: an aggregate that is not known to be exact is Keyed, with the reason. Refuses: users' aggregates: an
// inverse of theirs is only ever given the earliest row by the server, and may rely on it.
#pragma once

#include "pg/delta_plan.hpp"

namespace pgstream {

// Sets maintenance and why_keyed of an aggregate from its aggref.
void DecideMaintenance(GroupAggregate *aggregate);

}  // namespace pgstream
