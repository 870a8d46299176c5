// The index that finds a base row from its key: a hash of the columns that the plan names.
//
// Promises: it is known by what it is, not by an OID that somebody noted, so REINDEX CONCURRENTLY (which makes a new index)
// and a restore (which makes one under any name) do not lose it. Refuses: to take locks; the table must be open.
#pragma once

#include "pg/delta_plan.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// True for the functions that key indexes are over.
bool IsKeyFunction(Oid function);

// The hash function (in our schema) that the key index of a plan is over.
const char *KeyFunction(const DeltaPlan *plan);

// The index of rel, valid or hidden by us (see api/key_index_upkeep.hpp), on pgstream.<KeyFunction>(key columns of the plan) and nothing else; InvalidOid: none.
Oid FindKeyIndex(Relation rel, const DeltaPlan *plan);

// Whether an index depends internally on its table: one of ours.
bool IsInternalIndex(Oid index, Oid table);

}  // namespace pgstream
