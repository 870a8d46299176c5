// Refreshes that failed. Their transaction takes with it whatever they write into a table, so they are kept in shared memory.
//
// Promises: the latest failures of a stream table, and how many there were since its last refresh that succeeded, until such
// a refresh commits; that one writes them into the history first. Refuses: to outlive a restart of the server, to hold more
// than kFailedTables stream tables (who failed longest ago makes room), and to hear of a session that is terminated.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

inline constexpr int kFailedTables = 256;
inline constexpr int kFailuresKept = 8;      // of one stream table, the latest
inline constexpr int kFailureMessage = 256;  // bytes, with the terminating one

struct FailedRefresh {
  TimestampTz start, end;
  const char *action;  // "DIFFERENTIAL" or "FULL": what it did, or would have done
  char message[kFailureMessage];
};

// The failures of one stream table, oldest first. errors counts those that are no longer kept, too.
struct Failures {
  Oid relid;
  int64 errors;
  uint64 last;  // number of the latest failure, for ForgetFailures
  int count;
  FailedRefresh kept[kFailuresKept];
};

// Notes that a refresh of relid, begun at start, ends with this error. Raises nothing.
void NoteFailedRefresh(Oid relid, TimestampTz start, const char *action, const ErrorData *error);

// False when there is nothing of this stream table. Without a preloaded library there is nothing of any.
bool ReadFailures(Oid relid, Failures *failures);
// All stream tables of this database: an array in the current context.
Failures *ReadAllFailures(int *count);

// When (and if) what runs here commits, the failures up to this number are forgotten: they are in the history, or the
// stream table is gone.
void ForgetFailures(Oid relid, uint64 last);

void InitFailures();

}  // namespace pgstream
