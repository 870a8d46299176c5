// The background worker that makes native code which a reader missed (pg/compile_request.hpp).
//
// Promises: what is constant in the query is evaluated as it is for every reader, as the owner and in his scope, though the worker
// itself is nobody's session. It writes nothing but the file, waits for moments only, for whatever lock, and ends within a minute
// unless LLVM takes longer. Refuses: to try again; another reader's asking does, and where there is no code afterwards, after a
// while only.
#include "delta/row_evaluator.hpp"
#include "pg/boundary.hpp"
#include "pg/compile_request.hpp"

extern "C" {
#include "postmaster/bgworker.h"
#include "utils/backend_status.h"
#include "utils/timeout.h"

PGDLLEXPORT void pgstream_compile_worker(Datum unused);
}

namespace pgstream {
namespace {

constexpr int kMostMs = 60000;

void SetTo(const char *name, const char *value) { SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE); }

// Whatever is set for the database or for everybody: who asked had native code on, and this level.
void Connect(const CompileErrand *errand) {
  BackgroundWorkerInitializeConnectionByOid(errand->database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
  char level[16];
  snprintf(level, sizeof(level), "%d", errand->optimization);
  SetTo("search_path", "pg_catalog");
  SetTo("default_transaction_isolation", "read committed");
  SetTo("default_transaction_read_only", "on");
  SetTo("lock_timeout", "500");
  SetTo("pgstream.jit", "on");
  SetTo("pgstream.jit_optimization", level);
}

void Compile(const CompileErrand *errand) {
  LockRelationOid(errand->relid, AccessShareLock);
  const Stream *const stream = IsStreamRelid(errand->relid) ? LookupStream(errand->relid) : nullptr;
  if (stream != nullptr) CompileStream(stream);
  const char *why;
  LoadedCode *const code = HoldCode(errand->relid, &errand->key, &why);
  if (code != nullptr)
    DropCode(code);
  else
    PutOffCompiling(&errand->key);
}

void CompileForOther() {
  CompileErrand errand;
  memcpy(&errand, MyBgworkerEntry->bgw_extra, sizeof(errand));
  Connect(&errand);
  SetCurrentStatementStartTimestamp();
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  pgstat_report_activity(STATE_RUNNING, "making native code");
  enable_timeout_after(STATEMENT_TIMEOUT, kMostMs);
  MemoryContextSwitchTo(TopMemoryContext);
  const ErrorData *const error = Attempt([&] { Compile(&errand); });
  disable_timeout(STATEMENT_TIMEOUT, false);
  PopActiveSnapshot();
  CommitTransactionCommand();
  if (error != nullptr)
    ereport(LOG, (errcode(error->sqlerrcode),
                  errmsg("could not make native code for a stream table: %s", error->message != nullptr ? error->message : "")));
}

}  // namespace
}  // namespace pgstream

void pgstream_compile_worker(Datum) {
  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  pgstream::Entry([] { pgstream::CompileForOther(); });
}
