// How far a refresh or populate is, for pgstream.pg_stat_progress_refresh.
//
// Promises: uses the server's own progress facility, so track_activities switches it, and an error or the end of the session
// clears it. Refuses: to appear in any of the server's pg_stat_progress views: the command's number is none of theirs.
#pragma once

#include "pg/includes.hpp"

extern "C" {
#include "utils/backend_progress.h"
}

namespace pgstream {

// Numbers of the server's facility. The order of phases is that of the names in api/progress.cpp.
inline constexpr int kProgressCommandNumber = 7;
enum class ProgressCommand : int64 { Populate = 1, Refresh = 2 };
enum class ProgressAction : int64 { Differential = 1, Full = 2 };
enum class ProgressPhase : int64 { Locking = 1, ReadingChanges, EvaluatingChanges, RunningQuery, WritingRows };
enum ProgressParameter : int {
  kProgressOf,
  kProgressAction,
  kProgressPhase,
  kProgressChanges,   // pending changes read
  kProgressComputed,  // rows of the content computed
  kProgressInserted,
  kProgressUpdated,
  kProgressDeleted,
  kProgressParameters
};

// All but BeginProgress do nothing where none has begun.
void BeginProgress(Oid relid, ProgressCommand command, ProgressAction action);
void SetProgressAction(ProgressAction action);
void SetProgressPhase(ProgressPhase phase);
void SetProgress(ProgressParameter parameter, int64 value);
void AddProgress(ProgressParameter parameter, int64 amount);
void EndProgress();

void InitProgress();

// "DIFFERENTIAL" or "FULL".
const char *ActionName(ProgressAction action);
// The action of the refresh that runs or has just failed, as far as it came.
ProgressAction LastAction();

}  // namespace pgstream
