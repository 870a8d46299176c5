// Patient locking; see source_lock.hpp.
#include "capture/source_lock.hpp"

#include "capture/log_object.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

namespace pgstream {

static int attach_timeout_ms = 10000;

static constexpr int kPauseMs = 5;
static constexpr int kFirstQueueMs = 20, kLongestQueueMs = 200;

static void Pause(int milliseconds) {
  (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds, PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

bool TryLockTables(const List *relids, LOCKMODE mode, int milliseconds) {
  for (int i = 0; i < list_length(relids); ++i) {
    if (TryLockRelation(list_nth_oid(relids, i), mode, milliseconds)) continue;
    while (--i >= 0) UnlockRelationOid(list_nth_oid(relids, i), mode);
    return false;
  }
  return true;
}

bool TryLockRelation(Oid relid, LOCKMODE mode, int milliseconds) {
  for (int waited = 0;; waited += kPauseMs) {
    if (ConditionalLockRelationOid(relid, mode)) return true;
    if (waited >= milliseconds) return false;
    Pause(kPauseMs);
  }
}

bool TryLockLogObject(Oid source, LOCKMODE mode, int milliseconds) {
  for (int waited = 0;; waited += kPauseMs) {
    if (TryLockLogObjectOnce(source, mode)) return true;
    if (waited >= milliseconds) return false;
    Pause(kPauseMs);
  }
}

// For the current GUC nest level.
static void SetLockTimeout(int milliseconds) {
  char text[16];
  snprintf(text, sizeof(text), "%d", milliseconds);
  (void)set_config_option("lock_timeout", text, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// Runs wait under a lock_timeout, in a subtransaction. False when it timed out; other errors are raised.
template <class F>
static bool WaitWithTimeout(int milliseconds, F &&wait) {
  ErrorData *error = Attempt([&] {
    const int level = NewGUCNestLevel();
    SetLockTimeout(milliseconds);
    wait();
    AtEOXact_GUC(true, level);
  });
  if (error == nullptr) return true;
  if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE) ReThrowError(error);
  FreeErrorData(error);
  return false;
}

// Locks all of them or none, without waiting. Returns the one that was not free, InvalidOid when all are locked.
static Oid LockAllAtOnce(const List *relids, LOCKMODE mode) {
  for (int i = 0; i < list_length(relids); ++i) {
    const Oid relid = list_nth_oid(relids, i);
    if (ConditionalLockRelationOid(relid, mode)) continue;
    while (--i >= 0) UnlockRelationOid(list_nth_oid(relids, i), mode);
    return relid;
  }
  return InvalidOid;
}

static int MillisecondsLeft(TimestampTz deadline) {
  return static_cast<int>(Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline), INT_MAX / 2));
}

void LockTablesPatiently(Oid source, const List *relids, LOCKMODE mode) {
  Oid busy = LockAllAtOnce(relids, mode);
  if (!OidIsValid(busy)) return;
  const TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), attach_timeout_ms);
  int queue_ms = kFirstQueueMs;
  for (;;) {
    const int left = MillisecondsLeft(deadline);
    if (left <= 0) break;
    // Wait out those who hold the lock now, as CREATE INDEX CONCURRENTLY does: nobody queues behind us, and the deadlock
    // detector and pg_blocking_pids see whom we wait for. Nothing is held meanwhile: a writer of one table of a tree that goes
    // on to another must not meet us there.
    LOCKTAG tag;
    SET_LOCKTAG_RELATION(tag, MyDatabaseId, busy);
    const bool waited_out = WaitWithTimeout(left, [&] {
      int count;
      VirtualTransactionId *holders = GetLockConflicts(&tag, mode, &count);
      for (int i = 0; i < count; ++i) (void)VirtualXactLock(holders[i], true);
    });
    if (!waited_out) break;
    busy = LockAllAtOnce(relids, mode);
    if (!OidIsValid(busy)) return;
    // Writers follow each other without a gap: queue, for a moment that they can bear.
    const TimestampTz patience = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), queue_ms);
    if (WaitWithTimeout(queue_ms, [&] {
          for (int i = 0; i < list_length(relids); ++i) {
            if (ConditionalLockRelationOid(list_nth_oid(relids, i), mode)) continue;
            SetLockTimeout(Max(MillisecondsLeft(patience), 1));
            LockRelationOid(list_nth_oid(relids, i), mode);
          }
        }))
      return;
    queue_ms = Min(queue_ms * 2, kLongestQueueMs);
    Pause(kPauseMs);
  }
  char *name = get_rel_name(source);
  ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
                  errmsg("could not attach change capture to table \"%s\"", name != nullptr ? name : "?"),
                  errdetail("Transactions that write the table did not end within %d milliseconds.", attach_timeout_ms),
                  errhint("Try again when they have ended, or raise \"pgstream.attach_timeout\".")));
}

void InitSourceLock() {
  DefineCustomIntVariable("pgstream.attach_timeout", "How long creating a stream table waits for writers of its sources.",
                          "Capturing the changes of a table can only begin when no transaction that wrote it is open.",
                          &attach_timeout_ms, 10000, 0, INT_MAX / 2, PGC_USERSET, GUC_UNIT_MS, nullptr, nullptr, nullptr);
}

}  // namespace pgstream
