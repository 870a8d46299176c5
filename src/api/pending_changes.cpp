// SQL functions behind the status views: what is pending for a stream table, whether the log serves it, and whether its
// schedule has passed.
//
// Promises: numbers of this statement's snapshot; counts and sizes, never contents, so anybody may ask. Refuses: a number
// where there is none: FULL stream tables, those that are recomputed on every read, and those whose log was given up.
#include "api/names.hpp"
#include "capture/change_log.hpp"
#include "capture/frontier.hpp"
#include "capture/log_consumers.hpp"
#include "core/schedule.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "utils/timestamp.h"
}

using namespace pgstream;

namespace {

struct PendingCount {
  const Frontier *frontier;
  int64 changes;
};

void CountRecord(const LogRecord *record, void *argument) {
  auto *count = static_cast<PendingCount *>(argument);
  if (Covers(*count->frontier, record->xid, record->sequence)) return;
  if (record->kind != 'c') {
    ++count->changes;
    return;
  }
  BatchHeader header;
  const BatchStatus status = ReadBatchHeader(record->batch, record->batch_size, &header);
  if (status == BatchStatus::kBadVersion) {  // "recompute", to a reader
    ++count->changes;
    return;
  }
  if (status != BatchStatus::kOk)
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid change log record"),
                    errdetail_internal("%s.", BatchStatusMessage(status))));
  count->changes += header.nrows;
}

// The pending row images of all sources; false when the log cannot tell.
bool CountPending(const Stream *stream, int64 *changes, int64 *bytes) {
  *changes = *bytes = 0;
  if (stream->mode == RefreshMode::Full || !stream->enrolled || stream->plan->strategy == Strategy::RecomputeAlways)
    return false;
  const FrontierRow *frontier = ReadFrontier(stream->relid, GetActiveSnapshot(), CurrentMemoryContext);
  if (frontier == nullptr || frontier->version != stream->version) return false;
  for (int i = 0; i < stream->nsources; ++i) {
    const StreamSource *source = &stream->sources[i];
    LogEntry entry;
    if (frontier->fold_number < source->log_start || !ReadLogEntry(source->relid, &entry) || entry.captured_by == 0) return false;
    LockLogs(source, 1, nullptr);
    PendingCount count = {&frontier->frontier, 0};
    ReadLog(source, 0, GetActiveSnapshot(), nullptr, CountRecord, &count);
    *changes += count.changes;
    *bytes += PendingLogBytes(&entry, &frontier->frontier);
    UnlockLogs(source, 1, nullptr);
  }
  return true;
}

}  // namespace

PGSTREAM_FUNCTION(pgstream_pending_changes) {
  const Oid relid = PG_GETARG_OID(0);
  TupleDesc descriptor;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE) elog(ERROR, "return type must be a row type");
  Datum values[2] = {};
  bool nulls[2] = {true, true};
  Relation rel = try_relation_open(relid, AccessShareLock);
  if (rel != nullptr) {
    const Stream *stream = HasStreamAccessMethod(rel) ? LookupStream(relid) : nullptr;
    int64 changes, bytes;
    if (stream != nullptr && CountPending(stream, &changes, &bytes)) {
      values[0] = Int64GetDatum(changes);
      values[1] = Int64GetDatum(bytes);
      nulls[0] = nulls[1] = false;
    }
    relation_close(rel, AccessShareLock);
  }
  return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

// schedule_passed(schedule text, since timestamptz): a schedule was due since then.
PGSTREAM_FUNCTION(pgstream_schedule_passed) {
  char *schedule_text = text_to_cstring(PG_GETARG_TEXT_PP(0));
  Schedule schedule;
  ScheduleError error;
  if (!ParseSchedule(schedule_text, &schedule, &error))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid schedule: \"%s\"", schedule_text)));
  const UtcSeconds since{std::chrono::seconds(timestamptz_to_time_t(PG_GETARG_TIMESTAMPTZ(1)))};
  const std::optional<UtcSeconds> due = schedule.NextAfter(since);
  if (!due.has_value()) PG_RETURN_BOOL(false);
  PG_RETURN_BOOL(due->time_since_epoch().count() <= timestamptz_to_time_t(GetCurrentTransactionStartTimestamp()));
}
