// Appending to the change log; see log_writer.hpp.
#include "capture/log_writer.hpp"

#include "capture/change_log.hpp"

extern "C" {
#include "access/hio.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
}

namespace pgstream {

// Two sources may share a slot: then both move to the other segment, which is as right as staying.
static constexpr int kHintSlots = 1024;
static pg_atomic_uint32 *hints = nullptr;  // nullptr: the library was not preloaded
static shmem_request_hook_type next_shmem_request = nullptr;
static shmem_startup_hook_type next_shmem_startup = nullptr;

static int64 last_sequence = 0;

int64 LastLogSequence() { return last_sequence; }

int WritingSegment(Oid source) {
  return hints == nullptr ? 0 : static_cast<int>(pg_atomic_read_u32(&hints[source % kHintSlots]) % kLogSegments);
}

void SetWritingSegment(Oid source, int segment) {
  if (hints != nullptr) pg_atomic_write_u32(&hints[source % kHintSlots], static_cast<uint32>(segment));
}

Relation OpenLogForWriting(Oid source, const Oid *segments) {
  const int first = WritingSegment(source);
  for (int i = 0; i < kLogSegments; ++i) {
    const Oid segment = segments[(first + i) % kLogSegments];
    if (ConditionalLockRelationOid(segment, RowExclusiveLock)) return table_open(segment, NoLock);
  }
  return table_open(segments[first], RowExclusiveLock);
}

void AppendLogRecord(Relation log, char kind, bytea *batch, bytea *large) {
  Datum values[kLogColumns];
  bool nulls[kLogColumns] = {};
  values[0] = FullTransactionIdGetDatum(GetTopFullTransactionId());
  values[1] = Int64GetDatum(++last_sequence);
  values[2] = CharGetDatum(kind);
  values[3] = PointerGetDatum(batch);
  values[4] = PointerGetDatum(large);
  nulls[3] = batch == nullptr;
  nulls[4] = large == nullptr;
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(log), values, nulls);
  // No free space map: a log only grows at its end, and each backend goes on where it left off.
  heap_insert(log, tuple, GetCurrentCommandId(true), HEAP_INSERT_SKIP_FSM, nullptr);
  heap_freetuple(tuple);
}

static void RequestHints() {
  if (next_shmem_request != nullptr) next_shmem_request();
  RequestAddinShmemSpace(sizeof(pg_atomic_uint32) * kHintSlots);
}

static void StartHints() {
  if (next_shmem_startup != nullptr) next_shmem_startup();
  bool found;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  hints = static_cast<pg_atomic_uint32 *>(
      ShmemInitStruct("pg_stream segment hints", sizeof(pg_atomic_uint32) * kHintSlots, &found));
  if (!found)
    for (int i = 0; i < kHintSlots; ++i) pg_atomic_init_u32(&hints[i], 0);
  LWLockRelease(AddinShmemInitLock);
}

void InitLogWriter() {
  if (!process_shared_preload_libraries_in_progress) return;
  next_shmem_request = shmem_request_hook;
  shmem_request_hook = RequestHints;
  next_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = StartHints;
}

}  // namespace pgstream
