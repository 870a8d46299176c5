// What each refresh leaves in the catalogs: its history row and the table's state.
#pragma once

#include "pg/includes.hpp"
#include "refresh/fold.hpp"

namespace pgstream {

// Writes into the history what shared memory has of refreshes that failed, which is forgotten at the commit. To be called by a
// refresh that has succeeded, be it that nothing was pending.
void RecordFailures(Oid relid);

// Records a finished refresh that wrote something, and marks the stream table ACTIVE. start: when it began.
void RecordRefresh(Oid relid, const FoldResult *result, TimestampTz start);

}  // namespace pgstream
