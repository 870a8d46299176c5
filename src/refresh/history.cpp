// Refresh history; see history.hpp.
#include "refresh/history.hpp"

#include "pg/catalog.hpp"

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

void RecordRefresh(Oid relid, const FoldResult *result, TimestampTz start) {
  const TimestampTz end = GetCurrentTimestamp();
  const Oid types[] = {OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT8OID, FLOAT8OID};
  const Datum values[] = {ObjectIdGetDatum(relid),
                          TimestampTzGetDatum(start),
                          TimestampTzGetDatum(end),
                          CStringGetTextDatum(result->action),
                          Int64GetDatum(result->inserted),
                          Int64GetDatum(result->deleted),
                          Float8GetDatum((end - start) / 1000.0)};
  RunCatalogCommand(
      "INSERT INTO pgstream.pgs_refresh_history (pgs_relid, data_timestamp, start_time, end_time, action, status, "
      "rows_inserted, rows_deleted, duration_ms) VALUES ($1, $2, $2, $3, $4, 'COMPLETED', $5, $6, $7)",
      lengthof(types), types, values, nullptr);
  NoteState(relid, end);
}

}  // namespace pgstream
