// Refresh: folding what is pending into the base, or computing the base anew.
//
// Promises: one transaction; base rows and frontier change together; what a reader sees does not change. Nothing pending:
// nothing is written but the time as of which the base is. One fold at a time per stream table; readers and writers of the sources are not blocked.
// Refuses (40001): a fold whose snapshot is older than the latest fold's.
#pragma once

#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

struct FoldResult {
  const char *action;  // "NO_DATA" (nothing pending), "DIFFERENTIAL", "FULL"
  int64 inserted, deleted;
  TimestampTz data_timestamp;  // as of when the base is now
};

// Folds stream table relid (ownership already checked); the caller records history.
FoldResult RefreshStream(Oid relid);

// Fills the base of a stream table that is being created or redefined in this transaction, which nobody else can read
// meanwhile; false when this transaction's snapshot cannot serve as its first frontier (REPEATABLE READ and above, with
// capture attached after the snapshot).
bool PopulateStream(Oid relid, int64 *rows);

}  // namespace pgstream
