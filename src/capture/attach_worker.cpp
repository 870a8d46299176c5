// The background worker that attaches and detaches for others; see attach_worker.hpp.
//
// A request travels in a dynamic shared memory segment, and the answer comes back in it; who asked waits for the worker's exit.
// What an abort asks for fits into the worker's registration: nobody waits for that one.
#include "capture/attach_worker.hpp"

#include "capture/change_log.hpp"
#include "capture/source_lock.hpp"
#include "capture/unused_capture.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

PGDLLEXPORT void pgstream_attach_worker(Datum segment);
PGDLLEXPORT void pgstream_detach_worker(Datum unused);
}

namespace pgstream {

namespace {

// How long the worker tries for its locks before it lets the one who asked wait again, whom others see waiting.
constexpr int kTryMs = 500;
constexpr int kPauseForSlotMs = 10;

enum Outcome : uint32 { kNoAnswer, kAttached, kBusy, kFailed };

// The shared memory segment.
struct Exchange {
  Oid database;
  int try_ms;
  pg_atomic_uint32 outcome;
  int sqlstate;  // when it failed, with the texts, empty where the error had none
  char message[512], detail[512], hint[256];
  int nsources;
  int32 words[FLEXIBLE_ARRAY_MEMBER];  // for each source: its OID, how many columns, their numbers
};

struct DetachRequest {
  Oid database;
  int nsources;
  Oid sources[kMostToDetach];
};
static_assert(sizeof(DetachRequest) <= BGW_EXTRALEN, "a worker's registration holds the request");

// Of the worker that this transaction waits for, in TopTransactionContext.
BackgroundWorkerHandle *asked = nullptr;

BackgroundWorker Describe(const char *function, const char *purpose) {
  BackgroundWorker worker = {};
  strlcpy(worker.bgw_name, purpose, sizeof(worker.bgw_name));
  strlcpy(worker.bgw_type, purpose, sizeof(worker.bgw_type));
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  strlcpy(worker.bgw_library_name, "pg_stream", sizeof(worker.bgw_library_name));
  strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
  return worker;
}

// --- Who asks ----------------------------------------------------------------------------------------------------

dsm_segment *WriteRequest(const CaptureRequest *request) {
  Size nwords = 0;
  for (int i = 0; i < request->nsources; ++i) nwords += 2 + bms_num_members(request->columns[i]);
  dsm_segment *segment = dsm_create(offsetof(Exchange, words) + sizeof(int32) * nwords, 0);
  auto *exchange = static_cast<Exchange *>(dsm_segment_address(segment));
  exchange->database = MyDatabaseId;
  exchange->try_ms = Min(kTryMs, AttachTimeoutMs());
  pg_atomic_init_u32(&exchange->outcome, kNoAnswer);
  exchange->nsources = request->nsources;
  int32 *word = exchange->words;
  for (int i = 0; i < request->nsources; ++i) {
    *word++ = static_cast<int32>(request->sources[i]);
    *word++ = bms_num_members(request->columns[i]);
    for (int column = -1; (column = bms_next_member(request->columns[i], column)) >= 0;) *word++ = column;
  }
  return segment;
}

[[noreturn]] void RaiseNoWorker(Oid source, bool started) {
  ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                  errmsg("could not run a background worker to attach change capture to table \"%s\"", get_rel_name(source)),
                  errdetail(started ? "It ended without an answer; the server's log may tell why."
                                    : "All of \"max_worker_processes\" are in use."),
                  errhint("Raise \"max_worker_processes\". The owner of the table, and who has the TRIGGER privilege on it, need "
                          "no worker.")));
  pg_unreachable();
}

// Workers of parallel queries use the same slots, and give them back.
void StartAttaching(const CaptureRequest *request, dsm_segment *segment) {
  BackgroundWorker worker = Describe("pgstream_attach_worker", "pg_stream attach worker");
  worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
  worker.bgw_notify_pid = MyProcPid;
  const TimestampTz begin = GetCurrentTimestamp();
  const MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
  while (!RegisterDynamicBackgroundWorker(&worker, &asked)) {
    if (TimestampDifferenceExceeds(begin, GetCurrentTimestamp(), AttachTimeoutMs())) RaiseNoWorker(request->sources[0], false);
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kPauseForSlotMs, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
  MemoryContextSwitchTo(saved);
}

void RaiseAnswer(const Exchange *exchange) {
  ereport(ERROR, (errcode(exchange->sqlstate), errmsg_internal("%s", exchange->message),
                  exchange->detail[0] != '\0' ? errdetail_internal("%s", exchange->detail) : 0,
                  exchange->hint[0] != '\0' ? errhint("%s", exchange->hint) : 0));
}

// Who is cancelled while he waits has no more use for the worker.
void StopAsked() {
  if (asked != nullptr) TerminateBackgroundWorker(asked);
  asked = nullptr;
}

void EndOfTransaction(XactEvent event, void *) {
  if (event == XACT_EVENT_ABORT) StopAsked();
}

void EndOfSubtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void *) {
  if (event == SUBXACT_EVENT_ABORT_SUB) StopAsked();
}

// --- The worker --------------------------------------------------------------------------------------------------

void SetTo(const char *name, const char *value) { SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE); }

// As the bootstrap superuser, whatever was set for the database or for everybody.
void Connect(Oid database, int try_ms) {
  BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
  char milliseconds[16];
  snprintf(milliseconds, sizeof(milliseconds), "%d", Max(try_ms, 1));
  SetTo("search_path", "pg_catalog");
  SetTo("default_transaction_isolation", "read committed");
  SetTo("default_transaction_read_only", "off");
  // Who relies on what is done here writes later to the same log.
  SetTo("synchronous_commit", "off");
  SetTo("lock_timeout", milliseconds);
  SetTo("pgstream.attach_timeout", milliseconds);
}

// Runs f in a transaction; the error that it ended with, in the surrounding memory context, or nullptr.
template <class F>
const ErrorData *InTransaction(const char *activity, F &&f) {
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  pgstat_report_activity(STATE_RUNNING, activity);
  MemoryContextSwitchTo(TopMemoryContext);
  ErrorData *error = Attempt(f);
  if (error == nullptr) {
    PopActiveSnapshot();
    CommitTransactionCommand();
  } else {
    AbortCurrentTransaction();
  }
  pgstat_report_activity(STATE_IDLE, nullptr);
  return error;
}

void Attach(const Exchange *exchange) {
  auto *sources = static_cast<Oid *>(palloc(sizeof(Oid) * exchange->nsources));
  auto **columns = static_cast<Bitmapset **>(palloc0(sizeof(Bitmapset *) * exchange->nsources));
  const int32 *word = exchange->words;
  for (int i = 0; i < exchange->nsources; ++i) {
    sources[i] = static_cast<Oid>(*word++);
    for (int n = *word++; n > 0; --n) columns[i] = bms_add_member(columns[i], *word++);
  }
  LockForAttaching(exchange->nsources, sources, columns, InvalidOid, nullptr);
  for (int i = 0; i < exchange->nsources; ++i) (void)AttachCapture(sources[i], columns[i]);
}

void CopyText(char *to, Size size, const char *text) {
  const int length = text != nullptr ? pg_mbcliplen(text, strlen(text), size - 1) : 0;
  memcpy(to, text, length);
  to[length] = '\0';
}

void AttachForOther(Datum handle) {
  dsm_segment *segment = dsm_attach(DatumGetUInt32(handle));
  if (segment == nullptr) return;  // nobody waits any more
  auto *exchange = static_cast<Exchange *>(dsm_segment_address(segment));
  Connect(exchange->database, exchange->try_ms);
  const ErrorData *error = InTransaction("attaching change capture", [&] { Attach(exchange); });
  Outcome outcome = kAttached;
  if (error != nullptr && (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)) {
    outcome = kBusy;
  } else if (error != nullptr) {
    outcome = kFailed;
    exchange->sqlstate = error->sqlerrcode;
    CopyText(exchange->message, sizeof(exchange->message), error->message);
    CopyText(exchange->detail, sizeof(exchange->detail), error->detail);
    CopyText(exchange->hint, sizeof(exchange->hint), error->hint);
  }
  pg_write_barrier();
  pg_atomic_write_u32(&exchange->outcome, outcome);
}

void DetachForOther() {
  DetachRequest request;
  memcpy(&request, MyBgworkerEntry->bgw_extra, sizeof(request));
  Connect(request.database, kTryMs);
  const ErrorData *error = InTransaction("detaching change capture", [&] {
    for (int i = 0; i < request.nsources; ++i) DetachCaptureIfUnused(request.sources[i]);
  });
  if (error != nullptr)
    ereport(LOG, (errcode(error->sqlerrcode), errmsg("could not detach the capture of a source that no stream table reads: %s",
                                                     error->message != nullptr ? error->message : "")));
}

}  // namespace

bool AskWorkerToAttach(const CaptureRequest *request) {
  for (int i = 0; i < request->nsources; ++i)
    if (ConsumersOf(request->sources[i]) == NIL) DetachUnlessUsed(request->sources[i]);
  dsm_segment *segment = WriteRequest(request);
  const auto *exchange = static_cast<const Exchange *>(dsm_segment_address(segment));
  StartAttaching(request, segment);
  const BgwHandleStatus status = WaitForBackgroundWorkerShutdown(asked);
  asked = nullptr;
  if (status == BGWH_POSTMASTER_DIED)
    ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("postmaster exited while change capture was attached")));
  const uint32 outcome = pg_atomic_read_u32(const_cast<pg_atomic_uint32 *>(&exchange->outcome));
  pg_read_barrier();
  if (outcome == kFailed) RaiseAnswer(exchange);
  if (outcome == kNoAnswer) RaiseNoWorker(request->sources[0], true);
  dsm_detach(segment);
  return outcome == kAttached;
}

void AskWorkerToDetach(int nsources, const Oid *sources) {
  DetachRequest request = {MyDatabaseId, nsources, {}};
  memcpy(request.sources, sources, sizeof(Oid) * nsources);
  BackgroundWorker worker = Describe("pgstream_detach_worker", "pg_stream detach worker");
  memcpy(worker.bgw_extra, &request, sizeof(request));
  (void)RegisterDynamicBackgroundWorker(&worker, nullptr);
}

void InitAttachWorker() {
  RegisterXactCallback(EndOfTransaction, nullptr);
  RegisterSubXactCallback(EndOfSubtransaction, nullptr);
}

}  // namespace pgstream

void pgstream_attach_worker(Datum segment) {
  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  pgstream::Entry([&] { pgstream::AttachForOther(segment); });
}

void pgstream_detach_worker(Datum) {
  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  pgstream::Entry([] { pgstream::DetachForOther(); });
}
