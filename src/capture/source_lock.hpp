// Locks that attaching and detaching need, taken so that nobody queues behind them for long.
//
// Promises: no writer waits longer than a fraction of a second because somebody waits for such a lock: open transactions
// are waited out without queueing, and a place in the queue is taken for moments only. Refuses: to wait for ever.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Locks a source and its relatives until the end of the transaction, all together: while it waits it holds none of these
// locks, but for moments. Raises 55P03 when pgstream.attach_timeout passes first.
void LockTablesPatiently(Oid source, const List *relids, LOCKMODE mode);

// Tries for about `milliseconds` without ever queueing. False when the lock was not free in that time.
bool TryLockRelation(Oid relid, LOCKMODE mode, int milliseconds);

// Tries that for each of some relations. Locks all or none.
bool TryLockTables(const List *relids, LOCKMODE mode, int milliseconds);

void InitSourceLock();  // called once by InitCapture: the setting

}  // namespace pgstream
