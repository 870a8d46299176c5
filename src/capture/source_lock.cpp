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

int AttachTimeoutMs() { return attach_timeout_ms; }

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

WantedLock *WantTable(Oid relid, LOCKMODE mode) {
  auto *wanted = static_cast<WantedLock *>(palloc(sizeof(WantedLock)));
  SET_LOCKTAG_RELATION(wanted->tag, MyDatabaseId, relid);
  wanted->mode = mode;
  return wanted;
}

WantedLock *WantObject(Oid class_id, Oid object_id, LOCKMODE mode) {
  auto *wanted = static_cast<WantedLock *>(palloc(sizeof(WantedLock)));
  SET_LOCKTAG_OBJECT(wanted->tag, MyDatabaseId, class_id, object_id, 0);
  wanted->mode = mode;
  return wanted;
}

static WantedLock *NthLock(const List *wanted, int i) { return static_cast<WantedLock *>(list_nth(wanted, i)); }

// The first n go. Their owner is the transaction, as it is for those that a subtransaction of ours left to it.
static void UnlockFirst(const List *wanted, int n) {
  const ResourceOwner saved = CurrentResourceOwner;
  CurrentResourceOwner = CurTransactionResourceOwner;
  while (--n >= 0) (void)LockRelease(&NthLock(wanted, n)->tag, NthLock(wanted, n)->mode, false);
  CurrentResourceOwner = saved;
}

void UnlockTogether(const List *wanted) { UnlockFirst(wanted, list_length(wanted)); }

static bool TryLock(WantedLock *wanted) {
  return LockAcquire(&wanted->tag, wanted->mode, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

// Locks all of them or none, without waiting. Returns the one that was not free, nullptr when all are locked.
static WantedLock *LockAllAtOnce(const List *wanted) {
  const ResourceOwner saved = CurrentResourceOwner;
  CurrentResourceOwner = CurTransactionResourceOwner;
  int i = 0;
  while (i < list_length(wanted) && TryLock(NthLock(wanted, i))) ++i;
  CurrentResourceOwner = saved;
  if (i == list_length(wanted)) return nullptr;
  UnlockFirst(wanted, i);
  return NthLock(wanted, i);
}

// Who holds the lock now is waited for, as CREATE INDEX CONCURRENTLY does: nobody queues behind us, and the deadlock detector
// and pg_blocking_pids see whom we wait for.
static void WaitOutHolders(const WantedLock *busy) {
  int count;
  VirtualTransactionId *holders = GetLockConflicts(&busy->tag, busy->mode, &count);
  for (int i = 0; i < count; ++i) (void)VirtualXactLock(holders[i], true);
}

static int MillisecondsLeft(TimestampTz deadline) {
  return static_cast<int>(Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline), INT_MAX / 2));
}

// A place in the queue, for a moment that others can bear: those who hold a lock may follow each other without a gap.
static bool QueueFor(const List *wanted, int milliseconds) {
  const TimestampTz patience = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
  return WaitWithTimeout(milliseconds, [&] {
    for (int i = 0; i < list_length(wanted); ++i) {
      WantedLock *one = NthLock(wanted, i);
      if (TryLock(one)) continue;
      SetLockTimeout(Max(MillisecondsLeft(patience), 1));
      (void)LockAcquire(&one->tag, one->mode, false, false);
    }
  });
}

void RaiseSourceBusy(Oid source) {
  char *name = get_rel_name(source);
  ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
                  errmsg("could not attach change capture to table \"%s\"", name != nullptr ? name : "?"),
                  errdetail("Transactions that write the table did not end within %d milliseconds.", attach_timeout_ms),
                  errhint("Try again when they have ended, or raise \"pgstream.attach_timeout\".")));
}

static void LockPatiently(Oid source, const List *wanted) {
  const TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), attach_timeout_ms);
  int queue_ms = kFirstQueueMs;
  while (const WantedLock *busy = LockAllAtOnce(wanted)) {
    // Nothing is held meanwhile: a writer of one table that goes on to another must not meet us there.
    if (busy->mode == ShareRowExclusiveLock) {
      const int left = MillisecondsLeft(deadline);
      if (left <= 0 || !WaitWithTimeout(left, [&] { WaitOutHolders(busy); })) RaiseSourceBusy(source);
    } else {
      WaitOutHolders(busy);
    }
    if (LockAllAtOnce(wanted) == nullptr || QueueFor(wanted, queue_ms)) return;
    // Who waits for more than a source must get his turn, in the end.
    if (MillisecondsLeft(deadline) > 0 || busy->mode == ShareRowExclusiveLock)
      queue_ms = Min(queue_ms * 2, kLongestQueueMs);
    else if (queue_ms < attach_timeout_ms)
      queue_ms *= 2;
    Pause(kPauseMs);
  }
}

void LockTogether(Oid source, const List *wanted) {
  LockPatiently(source, wanted);
  AcceptInvalidationMessages();
}

void InitSourceLock() {
  DefineCustomIntVariable("pgstream.attach_timeout", "How long creating a stream table waits for writers of its sources.",
                          "Capturing the changes of a table can only begin when no transaction that wrote it is open.",
                          &attach_timeout_ms, 10000, 0, INT_MAX / 2, PGC_USERSET, GUC_UNIT_MS, nullptr, nullptr, nullptr);
}

}  // namespace pgstream
