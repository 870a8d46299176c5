// Failed refreshes in shared memory; see failures.hpp.
#include "refresh/failures.hpp"

#include "pg/boundary.hpp"
#include "pg/shared_memory.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "utils/timestamp.h"
}

namespace pgstream {

namespace {

constexpr const char *kName = "pg_stream failed refreshes";

struct TableFailures {
  Oid database;  // InvalidOid: free
  Failures failures;
};

struct SharedFailures {
  uint64 last;  // number of the latest failure of all
  TableFailures tables[kFailedTables];
};

SharedFailures *shared = nullptr;
LWLock *lock = nullptr;

// What is forgotten at commit, in TopTransactionContext.
struct Forgetting {
  Oid relid;
  uint64 last;
  SubTransactionId subtransaction;
};
List *forgettings = NIL;

TableFailures *Find(Oid relid) {
  for (TableFailures &table : shared->tables)
    if (table.database == MyDatabaseId && table.failures.relid == relid) return &table;
  return nullptr;
}

// A free place, or that of who failed longest ago.
TableFailures *MakeRoom() {
  TableFailures *oldest = &shared->tables[0];
  for (TableFailures &table : shared->tables) {
    if (!OidIsValid(table.database)) return &table;
    if (table.failures.last < oldest->failures.last) oldest = &table;
  }
  return oldest;
}

// Takes out the failures up to number last; false when none is left. Each has a number of its own among those of all stream
// tables, so what is left counts as many as the numbers since, at most.
bool TakeOut(Failures *failures, uint64 last) {
  if (failures->last <= last) return false;
  const int64 rest = Min(failures->errors, static_cast<int64>(failures->last - last));
  const int keep = static_cast<int>(Min(static_cast<int64>(failures->count), rest));
  memmove(failures->kept, failures->kept + (failures->count - keep), sizeof(FailedRefresh) * keep);
  failures->count = keep;
  failures->errors = rest;
  return true;
}

void Forget(Oid relid, uint64 last) {
  LWLockAcquire(lock, LW_EXCLUSIVE);
  TableFailures *table = Find(relid);
  if (table != nullptr && !TakeOut(&table->failures, last)) table->database = InvalidOid;
  LWLockRelease(lock);
}

// What this transaction has written into the history counts no longer for itself.
bool TakeOutForgotten(Failures *failures) {
  ListCell *cell;
  foreach (cell, forgettings) {
    const auto *forgetting = static_cast<const Forgetting *>(lfirst(cell));
    if (forgetting->relid == failures->relid && !TakeOut(failures, forgetting->last)) return false;
  }
  return true;
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE) {
    ListCell *cell;
    foreach (cell, forgettings) {
      const auto *forgetting = static_cast<const Forgetting *>(lfirst(cell));
      Forget(forgetting->relid, forgetting->last);
    }
  }
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT) forgettings = NIL;
}

void AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId, void *) {
  if (event != SUBXACT_EVENT_ABORT_SUB) return;
  ListCell *cell;
  foreach (cell, forgettings)
    if (static_cast<const Forgetting *>(lfirst(cell))->subtransaction >= mine)
      forgettings = foreach_delete_current(forgettings, cell);
}

void Start(void *memory, bool) {
  shared = static_cast<SharedFailures *>(memory);
  lock = &GetNamedLWLockTranche(kName)->lock;
}

}  // namespace

void NoteFailedRefresh(Oid relid, TimestampTz start, const char *action, const ErrorData *error) {
  if (shared == nullptr) return;
  FailedRefresh failed = {start, GetCurrentTimestamp(), action, {}};
  const char *message = error->message != nullptr ? error->message : "";
  const int length = static_cast<int>(strlen(message));
  memcpy(failed.message, message, pg_mbcliplen(message, length, kFailureMessage - 1));

  LWLockAcquire(lock, LW_EXCLUSIVE);
  TableFailures *table = Find(relid);
  if (table == nullptr) {
    table = MakeRoom();
    memset(table, 0, sizeof(*table));
    table->database = MyDatabaseId;
    table->failures.relid = relid;
  }
  Failures *failures = &table->failures;
  if (failures->count == kFailuresKept) {
    memmove(failures->kept, failures->kept + 1, sizeof(FailedRefresh) * (kFailuresKept - 1));
    --failures->count;
  }
  failures->kept[failures->count++] = failed;
  ++failures->errors;
  failures->last = ++shared->last;
  LWLockRelease(lock);
}

bool ReadFailures(Oid relid, Failures *failures) {
  if (shared == nullptr) return false;
  LWLockAcquire(lock, LW_SHARED);
  const TableFailures *table = Find(relid);
  if (table != nullptr) *failures = table->failures;
  LWLockRelease(lock);
  return table != nullptr && TakeOutForgotten(failures);
}

Failures *ReadAllFailures(int *count) {
  *count = 0;
  auto *all = static_cast<Failures *>(palloc(sizeof(Failures) * kFailedTables));
  if (shared == nullptr) return all;
  LWLockAcquire(lock, LW_SHARED);
  for (const TableFailures &table : shared->tables)
    if (table.database == MyDatabaseId) all[(*count)++] = table.failures;
  LWLockRelease(lock);
  int left = 0;
  for (int i = 0; i < *count; ++i)
    if (TakeOutForgotten(&all[i])) all[left++] = all[i];
  *count = left;
  return all;
}

void ForgetFailures(Oid relid, uint64 last) {
  const MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
  auto *forgetting = static_cast<Forgetting *>(palloc(sizeof(Forgetting)));
  *forgetting = {relid, last, GetCurrentSubTransactionId()};
  forgettings = lappend(forgettings, forgetting);
  MemoryContextSwitchTo(saved);
}

void InitFailures() {
  const SharedArea area = {kName, sizeof(SharedFailures), 1, Start};
  AddSharedArea(&area);
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubtransactionEnd, nullptr);
}

}  // namespace pgstream
