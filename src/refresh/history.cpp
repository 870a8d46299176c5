// Refresh history; see history.hpp.
#include "refresh/history.hpp"

#include "pg/catalog.hpp"
#include "refresh/failures.hpp"

extern "C" {
#include "utils/timestamp.h"
}

namespace pgstream {

// Refreshing a paused stream table by hand does not resume it. DDL that has marked the stream table and is still open holds its
// row: the time alone is not worth a wait, or a deadlock, as it is in the history too.
static void NoteState(Oid relid, TimestampTz end) {
  const AttrNumber columns[] = {pgs_stream::last_refresh_at, pgs_stream::status};
  const Datum values[] = {TimestampTzGetDatum(end), CStringGetTextDatum("ACTIVE")};
  CatalogScan scan;
  bool activate = false;
  if (!BeginCatalogScan(&scan, "pgs_stream", "pgs_stream_pkey", pgs_stream::relid, relid, nullptr, RowExclusiveLock)) return;
  if (HeapTuple tuple = NextCatalogTuple(&scan)) {
    const char *status = TextDatumGetCString(CatalogColumn(&scan, tuple, pgs_stream::status, nullptr));
    activate = strcmp(status, "PAUSED") != 0 && strcmp(status, "ACTIVE") != 0;
    if (!activate) (void)UpdateRowUnlessBusy(&scan, tuple, 1, columns, values, nullptr);
  }
  EndCatalogScan(&scan);
  if (activate) (void)UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, lengthof(columns), columns, values, nullptr);
}

static void RecordFailure(Oid relid, const FailedRefresh *failed) {
  const Oid types[] = {OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, FLOAT8OID, TEXTOID};
  const Datum values[] = {ObjectIdGetDatum(relid),
                          TimestampTzGetDatum(failed->start),
                          TimestampTzGetDatum(failed->end),
                          CStringGetTextDatum(failed->action),
                          Float8GetDatum((failed->end - failed->start) / 1000.0),
                          CStringGetTextDatum(failed->message)};
  RunCatalogCommand(
      "INSERT INTO pgstream.pgs_refresh_history (pgs_relid, start_time, end_time, action, status, duration_ms, error_message) "
      "VALUES ($1, $2, $3, $4, 'FAILED', $5, $6)",
      lengthof(types), types, values, nullptr);
}

// In a database whose objects are still those of 0.1.0 everybody may read the history's messages: there none are written.
void RecordFailures(Oid relid) {
  const bool has_place = OidIsValid(CatalogRelationId("pgs_refreshes"));
  auto *failures = static_cast<Failures *>(palloc(sizeof(Failures)));
  if (ReadFailures(relid, failures)) {
    for (int i = 0; has_place && i < failures->count; ++i) RecordFailure(relid, &failures->kept[i]);
    ForgetFailures(relid, failures->last);
  }
  pfree(failures);
}

void RecordRefresh(Oid relid, const FoldResult *result, TimestampTz start) {
  const TimestampTz end = GetCurrentTimestamp();
  const Oid types[] = {OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT8OID, FLOAT8OID};
  const Datum values[] = {ObjectIdGetDatum(relid),
                          TimestampTzGetDatum(result->data_timestamp),
                          TimestampTzGetDatum(start),
                          TimestampTzGetDatum(end),
                          CStringGetTextDatum(result->action),
                          Int64GetDatum(result->inserted),
                          Int64GetDatum(result->deleted),
                          Float8GetDatum((end - start) / 1000.0)};
  RunCatalogCommand(
      "INSERT INTO pgstream.pgs_refresh_history (pgs_relid, data_timestamp, start_time, end_time, action, status, "
      "rows_inserted, rows_deleted, duration_ms) VALUES ($1, $2, $3, $4, $5, 'COMPLETED', $6, $7, $8)",
      lengthof(types), types, values, nullptr);
  NoteState(relid, end);
}

}  // namespace pgstream
