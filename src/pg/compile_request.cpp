// Who asks for a worker, and how often; see compile_request.hpp. Shared memory holds the times before which nobody asks again.
#include "pg/compile_request.hpp"

#include "pg/settings.hpp"
#include "pg/shared_memory.hpp"

extern "C" {
#include "access/parallel.h"
#include "access/xlog.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"
}

namespace pgstream {
namespace {

// Two keys may share a slot: one of them then waits.
constexpr uint32 kSlots = 256;
constexpr int64 kAgainMs = 10000, kNextMs = 200, kAfterFailureMs = 600000;

struct Requests {
  pg_atomic_uint64 next;             // a time (TimestampTz)
  pg_atomic_uint64 next_of[kSlots];  // of the keys of a slot
};
Requests *requests = nullptr;  // nullptr: the library was not preloaded

// The latest keys this backend has asked for.
constexpr unsigned kRemembered = 64;
CodeKey asked[kRemembered];
unsigned nasked = 0;  // ever

bool HasAsked(const CodeKey *key) {
  for (unsigned i = 0; i < Min(nasked, kRemembered); i++)
    if (memcmp(&asked[i], key, sizeof(CodeKey)) == 0) return true;
  return false;
}

pg_atomic_uint64 *NextOf(const CodeKey *key) {
  uint32 slot;
  memcpy(&slot, key->bytes, sizeof(slot));
  return &requests->next_of[slot % kSlots];
}

void Start(void *memory, bool found) {
  requests = static_cast<Requests *>(memory);
  if (found) return;
  pg_atomic_init_u64(&requests->next, 0);
  for (pg_atomic_uint64 &next : requests->next_of) pg_atomic_init_u64(&next, 0);
}

}  // namespace

void AskToCompile(Oid relid, const CodeKey *key) {
  if (requests == nullptr || IsParallelWorker() || RecoveryInProgress() || HasAsked(key)) return;
  const auto now = static_cast<uint64>(GetCurrentTimestamp());
  pg_atomic_uint64 *const next_of = NextOf(key);
  if (now < pg_atomic_read_u64(next_of) || !TakeTurn(&requests->next, now, kNextMs) || !TakeTurn(next_of, now, kAgainMs)) return;
  asked[nasked++ % kRemembered] = *key;

  const CompileErrand errand = {MyDatabaseId, relid, JitOptimization(), *key};
  static_assert(sizeof(errand) <= BGW_EXTRALEN, "a worker's registration holds the errand");
  BackgroundWorker worker = {};
  strlcpy(worker.bgw_name, "pg_stream compile worker", sizeof(worker.bgw_name));
  strlcpy(worker.bgw_type, "pg_stream compile worker", sizeof(worker.bgw_type));
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  strlcpy(worker.bgw_library_name, "pg_stream", sizeof(worker.bgw_library_name));
  strlcpy(worker.bgw_function_name, "pgstream_compile_worker", sizeof(worker.bgw_function_name));
  memcpy(worker.bgw_extra, &errand, sizeof(errand));
  (void)RegisterDynamicBackgroundWorker(&worker, nullptr);
}

void PutOffCompiling(const CodeKey *key) {
  if (requests != nullptr) pg_atomic_write_u64(NextOf(key), static_cast<uint64>(GetCurrentTimestamp()) + kAfterFailureMs * 1000);
}

void InitCompileRequests() {
  const SharedArea area = {"pg_stream compile requests", sizeof(Requests), 0, Start};
  AddSharedArea(&area);
}

}  // namespace pgstream
