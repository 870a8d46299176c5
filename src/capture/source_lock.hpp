// Locks that attaching and detaching need, taken so that nobody queues behind them for long.
//
// Promises: no writer waits longer than a fraction of a second because somebody waits for such a lock: open transactions
// are waited out without queueing, and a place in the queue is taken for moments only. Refuses: to wait for ever.
#pragma once

#include "pg/includes.hpp"

extern "C" {
#include "storage/lock.h"
}

namespace pgstream {

// A lock that is wanted together with others. In palloc memory.
struct WantedLock {
  LOCKTAG tag;
  LOCKMODE mode;
};
WantedLock *WantTable(Oid relid, LOCKMODE mode);
WantedLock *WantObject(Oid class_id, Oid object_id, LOCKMODE mode);

// Takes all locks of a list of WantedLocks until the end of the transaction: while it waits for one it holds none of the
// others, but for moments. Raises 55P03, in the name of a source, when a ShareRowExclusiveLock among them is not to be had in
// pgstream.attach_timeout; waits for the others without limit.
void LockTogether(Oid source, const List *wanted);

// The error, in the name of a source; and pgstream.attach_timeout.
[[noreturn]] void RaiseSourceBusy(Oid source);
int AttachTimeoutMs();

// Gives back what one call of LockTogether took.
void UnlockTogether(const List *wanted);

// Tries for about `milliseconds` without ever queueing. False when the lock was not free in that time.
bool TryLockRelation(Oid relid, LOCKMODE mode, int milliseconds);

// Tries that for each of some relations. Locks all or none.
bool TryLockTables(const List *relids, LOCKMODE mode, int milliseconds);

void InitSourceLock();  // called once by InitCapture: the setting

}  // namespace pgstream
