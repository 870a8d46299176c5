// SQL function refresh_stream_table().
//
// Promises: an error is noted where the owner's monitoring finds it, although everything is rolled back. Errors of who may
// not refresh are not: nobody fills the records of another's table.
#include "api/enroll.hpp"
#include "api/names.hpp"
#include "pg/boundary.hpp"
#include "pg/progress.hpp"
#include "pg/settings.hpp"
#include "refresh/failures.hpp"
#include "refresh/fold.hpp"
#include "refresh/history.hpp"

extern "C" {
#include "utils/timestamp.h"
}

using namespace pgstream;

static void Refresh(Oid relid, TimestampTz start) {
  const Stream *stream = LookupStream(relid);
  const bool full = stream->mode == RefreshMode::Full || !stream->populated;
  BeginProgress(relid, ProgressCommand::Refresh, full ? ProgressAction::Full : ProgressAction::Differential);
  EnrollRestored(relid);
  FollowDefinition(relid);
  const FoldResult result = RefreshStream(relid);
  RecordFailures(relid);
  RecordEmptiness(relid);
  if (strcmp(result.action, "NO_DATA") != 0) RecordRefresh(relid, &result, start);
  EndProgress();
}

PGSTREAM_FUNCTION(pgstream_refresh_stream_table) {
  RequirePreload();
  PreventCommandIfReadOnly("refresh_stream_table()");
  PreventCommandIfParallelMode("refresh_stream_table()");
  PreventCommandDuringRecovery("refresh_stream_table()");
  const TimestampTz start = GetCurrentTimestamp();
  const Oid relid = ResolveStreamTable(PG_GETARG_TEXT_PP(0), AccessShareLock, true);
  Observe([&] { Refresh(relid, start); },
          [&](const ErrorData *error) { NoteFailedRefresh(relid, start, ActionName(LastAction()), error); });
  PG_RETURN_VOID();
}
