// A change log as an object: its lock, its tables, its row.
//
// The lock is shared by those who rely on a capture from now on (AccessShareLock), exclusive to the one who removes it
// (AccessExclusiveLock); who reclaims excludes others who do and those who remove (ShareUpdateExclusiveLock). Writers and
// readers of the log never take it. Nobody waits for a relation's lock while he holds it, and the other way round it comes
// last: who changes a tree, attaches or folds has the tables by then, so that whom he waits for does not wait for him.
#pragma once

#include "capture/source_capture.hpp"
#include "capture/source_lock.hpp"
#include "pg/catalog.hpp"
#include "pg/includes.hpp"

namespace pgstream {

inline WantedLock *WantLogObject(Oid source, LOCKMODE mode) {
  return WantObject(CatalogRelationId("pgs_log"), source, mode);
}

inline bool TryLockLogObjectOnce(Oid source, LOCKMODE mode) {
  return ConditionalLockDatabaseObject(CatalogRelationId("pgs_log"), source, 0, mode);
}

// Tries for about `milliseconds`, without queueing.
bool TryLockLogObject(Oid source, LOCKMODE mode, int milliseconds);

// Empties what nobody is served by any more of a log, by the frontiers as this transaction is about to commit them. To be called
// just before the commit, with an active snapshot; never waits.
void EmptyLog(Oid source);

// Makes a segment of a log: an empty table, a member of the extension.
Oid CreateLogSegment(Oid source, int number);

// Attribute numbers as pgs_log and pgs_dependency have them: an int2[], ascending.
ArrayType *ColumnNumbers(const Bitmapset *columns);

// Writes what pgs_log has of a source, in place of what it had.
void WriteLogEntry(Oid source, const LogEntry *entry);

void InitReclaim();  // called once by InitCapture

}  // namespace pgstream
