// SQL function refresh_stream_table().
#include "api/enroll.hpp"
#include "api/names.hpp"
#include "pg/boundary.hpp"
#include "pg/settings.hpp"
#include "refresh/fold.hpp"
#include "refresh/history.hpp"

extern "C" {
#include "utils/timestamp.h"
}

using namespace pgstream;

PGSTREAM_FUNCTION(pgstream_refresh_stream_table) {
  RequirePreload();
  PreventCommandIfReadOnly("refresh_stream_table()");
  PreventCommandIfParallelMode("refresh_stream_table()");
  PreventCommandDuringRecovery("refresh_stream_table()");
  const TimestampTz start = GetCurrentTimestamp();
  const Oid relid = ResolveStreamTable(PG_GETARG_TEXT_PP(0), AccessShareLock, true);
  EnrollRestored(relid);
  FollowDefinition(relid);
  const FoldResult result = RefreshStream(relid);
  if (strcmp(result.action, "NO_DATA") != 0) RecordRefresh(relid, &result, start);
  PG_RETURN_VOID();
}
