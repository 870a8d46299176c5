// SQL function refresh_progress(): how far refreshes and populates are, of all sessions; behind pg_stat_progress_refresh.
//
// Promises: shows what the server's own progress views show of a backend, to whom they show it.
#include "pg/progress.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "catalog/pg_authid.h"
#include "pgstat.h"
}

using namespace pgstream;

namespace {

const char *CommandName(int64 command) {
  return static_cast<ProgressCommand>(command) == ProgressCommand::Populate ? "POPULATE" : "REFRESH";
}

const char *PhaseName(int64 phase) {
  switch (static_cast<ProgressPhase>(phase)) {
    case ProgressPhase::Locking:
      return "acquiring locks";
    case ProgressPhase::ReadingChanges:
      return "reading changes";
    case ProgressPhase::EvaluatingChanges:
      return "evaluating changes";
    case ProgressPhase::RunningQuery:
      return "running the query";
    case ProgressPhase::WritingRows:
      return "writing rows";
  }
  return nullptr;
}

void PutProgress(const ReturnSetInfo *result, const PgBackendStatus *backend) {
  constexpr int kColumns = 11, kFirstCounter = 6;
  Datum values[kColumns] = {Int32GetDatum(backend->st_procpid), ObjectIdGetDatum(backend->st_databaseid)};
  bool nulls[kColumns] = {};
  if (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) || has_privs_of_role(GetUserId(), backend->st_userid)) {
    const int64 *numbers = backend->st_progress_param;
    values[2] = ObjectIdGetDatum(backend->st_progress_command_target);
    const char *names[] = {CommandName(numbers[kProgressOf]), ActionName(static_cast<ProgressAction>(numbers[kProgressAction])),
                           PhaseName(numbers[kProgressPhase])};
    for (int i = 0; i < 3; ++i) {
      nulls[3 + i] = names[i] == nullptr;
      if (names[i] != nullptr) values[3 + i] = CStringGetTextDatum(names[i]);
    }
    for (int i = kFirstCounter; i < kColumns; ++i)
      values[i] = Int64GetDatum(numbers[kProgressChanges + i - kFirstCounter]);
  } else {
    for (int i = 2; i < kColumns; ++i) nulls[i] = true;
  }
  tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

}  // namespace

PGSTREAM_FUNCTION(pgstream_refresh_progress) {
  InitMaterializedSRF(fcinfo, 0);
  const auto *result = reinterpret_cast<const ReturnSetInfo *>(fcinfo->resultinfo);
  const int count = pgstat_fetch_stat_numbackends();
  for (int i = 1; i <= count; ++i) {
    const PgBackendStatus *backend = compat::BackendStatus(i);
    if (backend != nullptr && static_cast<int>(backend->st_progress_command) == kProgressCommandNumber)
      PutProgress(result, backend);
  }
  return static_cast<Datum>(0);
}
