// Keeping what lies in a stream table's rows beyond its columns from leaving a query.
//
// A base row, or an addition, may have attributes beyond the relation's last column (hidden state, say). To the executor it is
// a tuple like any other, and where nothing projects, it copies tuples whole: CREATE TABLE AS, INSERT ... SELECT, a function's
// result. In the table that they end up in they would turn up as the value of the next column added.
//
// Promises: whatever a finished plan returns or inserts consists of columns. Costs a projection in scans whose rows would
// otherwise reach the plan's top as they are; scans under joins and aggregates are left alone.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// streams: range table indexes of stream tables.
void ProjectEscapingRows(const PlannedStmt *plan, const Bitmapset *streams);

}  // namespace pgstream
