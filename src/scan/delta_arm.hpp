// The delta arm: the plan node that returns the additions of a stream table beside a core scan of its base.
//
// Promises: returns every addition that satisfies the plan's quals once per (re)scan, in order of ordinal; finds out at
// execution whether there are any, so that plans can be cached; takes part in EvalPlanQual as a base scan does.
// Refuses: backward scans (the server materializes above it) and orderings (the server sorts above it).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// A path over the additions of rel with the parameterization of base_path, which it stands beside. shared: that path is a
// partial one, whose participants follow the leader's decision on how to merge.
Path *MakeDeltaArmPath(RelOptInfo *rel, const Path *base_path, bool shared);

// True for the plan node of such a path.
bool IsDeltaArm(const Plan *plan);

// Registers the node, so that parallel workers and copied plans find it by name. Called once by _PG_init.
void RegisterDeltaArm();

}  // namespace pgstream
