// The limit of a change log; see log_limit.hpp.
#include "capture/log_limit.hpp"

#include "capture/change_log.hpp"
#include "capture/log_hints.hpp"
#include "capture/log_object.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/timestamp.h"
}

namespace pgstream {

namespace {

int max_log_size_kb = 4 * 1024 * 1024;

// How long no other writer of a log past its limit looks at it, and how many times it is looked at while it grows by the
// limit, from half of it on.
constexpr int64 kLookEveryMs = 1000;
constexpr BlockNumber kLooksPerLimit = 32;

// What this transaction has to do with the log of a source.
struct OwnLog {
  OwnLog *next;
  Oid source;
  int64 bytes;  // appended
  bool marked;  // said "recompute", after all frontiers and rollbacks of this transaction
  LogLook look;
};
OwnLog *own_logs = nullptr;  // in TopTransactionContext

OwnLog *OwnLogOf(Oid source) {
  for (OwnLog *own = own_logs; own != nullptr; own = own->next)
    if (own->source == source) return own;
  auto *own = static_cast<OwnLog *>(MemoryContextAllocZero(TopTransactionContext, sizeof(OwnLog)));
  own->source = source;
  own->next = own_logs;
  own_logs = own;
  return own;
}

void EndOfTransaction(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE ||
      event == XACT_EVENT_PARALLEL_COMMIT || event == XACT_EVENT_PARALLEL_ABORT)
    own_logs = nullptr;
}

// The mark may have gone with the subtransaction.
void EndOfSubtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void *) {
  if (event == SUBXACT_EVENT_ABORT_SUB) ForgetLogMarks();
}

// Keeps folds of a stream table out, if none is at work.
bool TryLockFold(Oid relid) { return ConditionalLockDatabaseObject(RelationRelationId, relid, 0, ExclusiveLock); }

bool RaiseLogStartOf(Oid source, Oid relid, int64 log_start) {
  CatalogScan scan;
  bool raised = false;
  if (!BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_source_idx", pgs_dependency::source_relid, source, nullptr,
                        RowExclusiveLock))
    return false;
  while (HeapTuple tuple = NextCatalogTuple(&scan)) {
    if (DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::relid, nullptr)) != relid) continue;
    raised = SetLogStart(&scan, tuple, log_start);
    break;
  }
  EndCatalogScan(&scan);
  return raised;
}

// Cuts off the consumers that lag: by more than half the limit, or at all when the log has twice the limit, as then
// something else keeps it from being emptied. Returns how many the log still serves.
int CutOffLaggards(Oid source, const LogEntry *entry, int64 bytes, StringInfo names) {
  int count, served = 0;
  const int64 limit = MaxLogBytes();
  Snapshot before = RegisterSnapshot(GetLatestSnapshot());
  const LogConsumer *consumers = ReadLogConsumers(source, before, &count);
  UnregisterSnapshot(before);
  bool *locked = static_cast<bool *>(palloc0(sizeof(bool) * (count + 1)));
  for (int i = 0; i < count; ++i) locked[i] = consumers[i].served && TryLockFold(consumers[i].relid);
  // Again, now that no fold can move them.
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  int count_again;
  const LogConsumer *again = ReadLogConsumers(source, snapshot, &count_again);
  UnregisterSnapshot(snapshot);
  for (int i = 0; i < count_again; ++i) {
    const LogConsumer *consumer = &again[i];
    if (!consumer->served) continue;
    bool is_locked = false;
    for (int k = 0; k < count; ++k) is_locked |= consumers[k].relid == consumer->relid && locked[k];
    if (is_locked && (bytes > 2 * limit || PendingLogBytes(entry, &consumer->frontier) > limit / 2) &&
        RaiseLogStartOf(source, consumer->relid, consumer->fold_number + 1)) {
      InvalidateStream(consumer->relid);
      appendStringInfo(names, "%s\"%s\"", names->len > 0 ? ", " : "", get_rel_name(consumer->relid));
    } else {
      ++served;
    }
  }
  return served;
}

// Nobody is served any more: writers stop writing, and whoever comes back attaches the capture anew.
void StopCapture(Oid source) {
  const AttrNumber column = pgs_log::captured_by;
  const Datum value = FullTransactionIdGetDatum(FullTransactionIdFromU64(0));
  (void)UpdateCatalogRow("pgs_log", "pgs_log_pkey", source, 1, &column, &value, nullptr);
  CacheInvalidateRelcacheByRelid(source);
}

}  // namespace

int64 MaxLogBytes() { return max_log_size_kb < 0 ? -1 : static_cast<int64>(max_log_size_kb) * 1024; }

LogAdmission AdmitLogRecord(Oid source, Size bytes) {
  OwnLog *own = OwnLogOf(source);
  const int64 limit = MaxLogBytes();
  if (limit >= 0 && own->bytes > limit) {
    if (own->marked) return LogAdmission::Drop;
    own->marked = true;
    return LogAdmission::Mark;
  }
  own->bytes += static_cast<int64>(bytes);
  return LogAdmission::Write;
}

void NoteLogBlock(Oid source, BlockNumber block, bool has_large) {
  if (max_log_size_kb < 0) return;
  const BlockNumber limit = static_cast<BlockNumber>(max_log_size_kb) / (BLCKSZ / 1024);
  if (likely(block < limit / kFirstSegments && !has_large)) return;
  if (block >= limit / kFirstSegments && block % Max(limit / kLooksPerLimit, 1) == 0)
    NoteLogLook(source, LogLook::Now);
  else if (block >= limit || has_large)
    NoteLogLook(source, LogLook::InTurn);
}

void NoteLogLook(Oid source, LogLook look) {
  OwnLog *own = OwnLogOf(source);
  own->look = Max(own->look, look);
}

void ForgetLogMarks() {
  for (OwnLog *own = own_logs; own != nullptr; own = own->next) own->marked = false;
}

bool LogLooksWanted() {
  for (const OwnLog *own = own_logs; own != nullptr; own = own->next)
    if (own->look != LogLook::None) return true;
  return false;
}

// What a refresh has just made superfluous may be all there is to do.
static void EmptyFirst(Oid source) {
  LogEntry entry;
  if (!ReadLogEntry(source, &entry) || !TryLockSegments(&entry)) return;
  if (MaxLogBytes() >= 0 && LogBytes(&entry) > MaxLogBytes()) EmptyLog(source);
}

bool EnforceLogLimit(Oid source) {
  LogEntry entry;
  if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(source)) || !ReadLogEntry(source, &entry) || !TryLockSegments(&entry))
    return false;
  const int64 bytes = LogBytes(&entry);
  if (entry.captured_by == 0) return bytes > 0;
  // Left behind by a creation that failed when no worker was to be had.
  if (ConsumersOf(source) == NIL) {
    DetachCaptureIfUnused(source);
    return ReadLogEntry(source, &entry) && entry.captured_by == 0;
  }
  if (MaxLogBytes() < 0 || bytes <= MaxLogBytes()) return false;
  // Excludes others who look or reclaim.
  if (!TryLockLogObjectOnce(source, ShareUpdateExclusiveLock)) return false;
  // What was read before the lock may have been attached anew.
  if (!ReadLogEntry(source, &entry) || entry.captured_by == 0 || !TryLockSegments(&entry)) return false;
  StringInfoData names;
  initStringInfo(&names);
  const int served = CutOffLaggards(source, &entry, bytes, &names);
  if (served > 0 && names.len == 0) return false;
  // Those who fold, rebuild or create rely on the capture as it is, and hold this lock.
  if (served == 0 && TryLockLogObjectOnce(source, AccessExclusiveLock)) StopCapture(source);
  CommandCounterIncrement();
  if (names.len > 0)
    ereport(LOG, (errmsg("change log of table \"%s\" has exceeded \"pgstream.max_log_size\"", get_rel_name(source)),
                  errdetail("Until they are refreshed, these stream tables answer by their queries: %s.", names.data)));
  return true;
}

void LookAtLogLimits() {
  for (OwnLog *own = own_logs; own != nullptr; own = own->next) {
    if (own->look == LogLook::None || RecoveryInProgress() || IsInParallelMode() || XactReadOnly) continue;
    if (own->look == LogLook::InTurn && !MayLookAtLog(own->source, kLookEveryMs)) continue;
    ErrorData *error = Attempt([&] {
      if (own->look == LogLook::Asked) EmptyFirst(own->source);
      if (EnforceLogLimit(own->source)) EmptyLog(own->source);
    });
    if (error == nullptr) continue;
    ereport(LOG, (errcode(error->sqlerrcode),
                  errmsg("could not enforce the limit of a change log: %s", error->message != nullptr ? error->message : "")));
    FreeErrorData(error);
  }
}

void InitLogLimit() {
  DefineCustomIntVariable("pgstream.max_log_size", "The size beyond which a change log is given up.",
                          "Stream tables that lag then answer by their queries until they are refreshed. -1 means no limit.",
                          &max_log_size_kb, 4 * 1024 * 1024, -1, INT_MAX, PGC_SUSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
  RegisterXactCallback(EndOfTransaction, nullptr);
  RegisterSubXactCallback(EndOfSubtransaction, nullptr);
}

}  // namespace pgstream
