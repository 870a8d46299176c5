// Refresh history; see history.hpp.
#include "refresh/history.hpp"

#include "pg/catalog.hpp"

extern "C" {
#include "utils/timestamp.h"
}

namespace pgstream {

static bool IsPaused(Oid relid) {
  CatalogScan scan;
  bool paused = false;
  if (!BeginCatalogScan(&scan, "pgs_stream", "pgs_stream_pkey", pgs_stream::relid, relid, nullptr, AccessShareLock))
    return false;
  if (HeapTuple tuple = NextCatalogTuple(&scan))
    paused = strcmp(TextDatumGetCString(CatalogColumn(&scan, tuple, pgs_stream::status, nullptr)), "PAUSED") == 0;
  EndCatalogScan(&scan);
  return paused;
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
  // Refreshing a paused stream table by hand does not resume it.
  const AttrNumber columns[] = {pgs_stream::last_refresh_at, pgs_stream::status};
  const Datum state[] = {TimestampTzGetDatum(end), CStringGetTextDatum("ACTIVE")};
  const int count = IsPaused(relid) ? 1 : static_cast<int>(lengthof(columns));
  UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, count, columns, state, nullptr);
}

}  // namespace pgstream
