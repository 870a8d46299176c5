// What pg_aggregate says of an aggregate: the functions that run it forward alone, or forward and back ("moving").
//
// Promises: serialization functions only where they belong to the very state that this mode keeps. Refuses: ordered-set
// and hypothetical-set aggregates (found is false).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

struct AggregateFunctions {
  Oid transition;
  Oid inverse;  // InvalidOid when not moving
  Oid final;    // InvalidOid: the state is the result
  bool final_extra;
  Oid declared_state_type;              // possibly polymorphic
  Oid serialize, deserialize, combine;  // valid only for a storable internal state
  Oid sort_operator;                    // min/max-like: the state sorts before every other value; else InvalidOid
  char *initial;                        // text of the initial state; nullptr when it is NULL
};

// The functions of an aggregate in moving mode (forward and inverse) or in plain mode. False when it has no such mode, or
// is not a plain aggregate.
bool LookupAggregateFunctions(Oid aggregate, bool moving, AggregateFunctions *functions);

}  // namespace pgstream
