// Who reads a change log and how far each of them has come, and what the log takes on disk.
//
// Promises: sizes and lags without reading the log (a lag looks at some twenty pages). Refuses: to be exact about lags: the
// records of a log are only roughly in the order of their transactions.
#pragma once

#include "capture/frontier.hpp"
#include "capture/source_capture.hpp"
#include "pg/catalog.hpp"

namespace pgstream {

struct LogConsumer {
  Oid relid;
  bool has_frontier;
  // Its frontier and the log together give its content. False: not populated, or cut off (log_start lies beyond its
  // frontier); then nothing in the log is kept for it, and its next refresh computes the base anew.
  bool served;
  int32 version;
  int64 fold_number;  // 0 without a frontier
  int64 log_start;
  Frontier frontier;  // arrays in the context current at ReadLogConsumers
};

// The consumers of a source's log, frontiers as snapshot sees them; palloc'd.
LogConsumer *ReadLogConsumers(Oid source, Snapshot snapshot, int *count);

// Takes AccessShareLock on the segments if that needs no waiting. False: somebody is emptying one of them, or they are gone.
bool TryLockSegments(const LogEntry *entry);

// Bytes of the segments and their TOAST tables; the segments are locked.
int64 LogBytes(const LogEntry *entry);

// Bytes of the log from about the first record on that the frontier lacks. The segments are locked.
int64 PendingLogBytes(const LogEntry *entry, const Frontier *frontier);

// Locks a row of pgs_dependency that a scan has found, without waiting, and sets its log_start. False when somebody else is
// changing the row.
bool SetLogStart(CatalogScan *scan, HeapTuple tuple, int64 log_start);

}  // namespace pgstream
