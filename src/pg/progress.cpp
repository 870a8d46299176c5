// Progress of refreshes; see progress.hpp.
//
// The server keeps one command per backend. A function of the query may run one of its own (CREATE INDEX, say), whose end
// clears ours, as does the rollback of a subtransaction: so our own copy is written again with the next step.
#include "pg/progress.hpp"

extern "C" {
#include "utils/backend_status.h"
}

namespace pgstream {

namespace {

Oid progress_relid = InvalidOid;  // InvalidOid: none has begun, or an error took it
SubTransactionId begun_in = InvalidSubTransactionId;
int64 values[kProgressParameters];

constexpr auto kCommand = static_cast<ProgressCommandType>(kProgressCommandNumber);

bool IsShown() {
  return MyBEEntry != nullptr && MyBEEntry->st_progress_command == kCommand &&
         MyBEEntry->st_progress_command_target == progress_relid;
}

void ShowAll() {
  int indexes[kProgressParameters];
  for (int i = 0; i < kProgressParameters; ++i) indexes[i] = i;
  pgstat_progress_start_command(kCommand, progress_relid);
  pgstat_progress_update_multi_param(kProgressParameters, indexes, values);
}

void AtTransactionEnd(XactEvent, void *) { progress_relid = InvalidOid; }

void AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId, void *) {
  if (event == SUBXACT_EVENT_ABORT_SUB && begun_in >= mine) progress_relid = InvalidOid;
}

}  // namespace

void InitProgress() {
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubtransactionEnd, nullptr);
}

void BeginProgress(Oid relid, ProgressCommand command, ProgressAction action) {
  progress_relid = relid;
  begun_in = GetCurrentSubTransactionId();
  memset(values, 0, sizeof(values));
  values[kProgressOf] = static_cast<int64>(command);
  values[kProgressAction] = static_cast<int64>(action);
  values[kProgressPhase] = static_cast<int64>(ProgressPhase::Locking);
  ShowAll();
}

void SetProgress(ProgressParameter parameter, int64 value) {
  if (!OidIsValid(progress_relid)) return;
  values[parameter] = value;
  if (IsShown())
    pgstat_progress_update_param(parameter, value);
  else if (pgstat_track_activities)
    ShowAll();
}

void AddProgress(ProgressParameter parameter, int64 amount) {
  if (OidIsValid(progress_relid)) SetProgress(parameter, values[parameter] + amount);
}

void SetProgressAction(ProgressAction action) { SetProgress(kProgressAction, static_cast<int64>(action)); }
void SetProgressPhase(ProgressPhase phase) { SetProgress(kProgressPhase, static_cast<int64>(phase)); }

void EndProgress() {
  if (IsShown()) pgstat_progress_end_command();
  progress_relid = InvalidOid;
}

const char *ActionName(ProgressAction action) { return action == ProgressAction::Full ? "FULL" : "DIFFERENTIAL"; }

ProgressAction LastAction() { return static_cast<ProgressAction>(values[kProgressAction]); }

}  // namespace pgstream
