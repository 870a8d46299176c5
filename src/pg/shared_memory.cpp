// The hooks of shared memory, one pair for all areas; see shared_memory.hpp.
#include "pg/shared_memory.hpp"

extern "C" {
#include "storage/ipc.h"
#include "storage/shmem.h"
}

namespace pgstream {
namespace {

constexpr int kMostAreas = 8;
SharedArea areas[kMostAreas];
int nareas = 0;
shmem_request_hook_type next_shmem_request = nullptr;
shmem_startup_hook_type next_shmem_startup = nullptr;

void RequestMemory() {
  if (next_shmem_request != nullptr) next_shmem_request();
  for (int i = 0; i < nareas; ++i) {
    RequestAddinShmemSpace(areas[i].size);
    if (areas[i].nlocks > 0) RequestNamedLWLockTranche(areas[i].name, areas[i].nlocks);
  }
}

void StartMemory() {
  if (next_shmem_startup != nullptr) next_shmem_startup();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  for (int i = 0; i < nareas; ++i) {
    bool found;
    void *const memory = ShmemInitStruct(areas[i].name, areas[i].size, &found);
    if (!found) memset(memory, 0, areas[i].size);
    areas[i].start(memory, found);
  }
  LWLockRelease(AddinShmemInitLock);
}

}  // namespace

void AddSharedArea(const SharedArea *area) {
  if (!process_shared_preload_libraries_in_progress) return;
  if (nareas == kMostAreas) elog(ERROR, "too many areas of shared memory");
  if (nareas == 0) {
    next_shmem_request = shmem_request_hook;
    shmem_request_hook = RequestMemory;
    next_shmem_startup = shmem_startup_hook;
    shmem_startup_hook = StartMemory;
  }
  areas[nareas++] = *area;
}

}  // namespace pgstream
