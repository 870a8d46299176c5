// Which stream tables a change of an object can reach, by the dependencies that the server records.
//
// Promises: everything that a defining query uses, through views, functions with SQL-standard bodies, operators, casts,
// aggregates, types, columns of types and stream tables. Refuses: what nobody records, such as what a function's text body
// calls.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// The stream tables whose defining query uses an object, directly or not; OIDs in ascending order.
List *StreamsReaching(Oid class_id, Oid object_id);

// Every stream table of the database, likewise.
List *AllStreams();

}  // namespace pgstream
