// Appending to the change log; see log_writer.hpp.
#include "capture/log_writer.hpp"

#include "capture/change_log.hpp"
#include "capture/log_limit.hpp"

extern "C" {
#include "access/hio.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
}

namespace pgstream {

// Two sources may share a slot: then both move to another segment, which is as right as staying.
static constexpr int kHintSlots = 1024;
struct Hint {
  pg_atomic_uint32 segment;
  pg_atomic_uint64 next_look;  // a time (TimestampTz): when a writer may look at the size of the log
};
static Hint *hints = nullptr;  // nullptr: the library was not preloaded
static shmem_request_hook_type next_shmem_request = nullptr;
static shmem_startup_hook_type next_shmem_startup = nullptr;

static int64 last_sequence = 0;

int64 LastLogSequence() { return last_sequence; }

int WritingSegment(Oid source, int nsegments) {
  return hints == nullptr ? 0 : static_cast<int>(pg_atomic_read_u32(&hints[source % kHintSlots].segment)) % nsegments;
}

void SetWritingSegment(Oid source, int segment) {
  if (hints != nullptr) pg_atomic_write_u32(&hints[source % kHintSlots].segment, static_cast<uint32>(segment));
}

bool MayLookAtLog(Oid source, int64 every_ms) {
  if (hints == nullptr) return true;
  pg_atomic_uint64 *next_look = &hints[source % kHintSlots].next_look;
  const uint64 now = static_cast<uint64>(GetCurrentTimestamp());
  uint64 known = pg_atomic_read_u64(next_look);
  return now >= known && pg_atomic_compare_exchange_u64(next_look, &known, now + static_cast<uint64>(every_ms) * 1000);
}

Relation OpenLogForWriting(Oid source, const Oid *segments, int nsegments) {
  const int first = WritingSegment(source, nsegments);
  for (int i = 0; i < nsegments; ++i) {
    const Oid segment = segments[(first + i) % nsegments];
    if (ConditionalLockRelationOid(segment, RowExclusiveLock)) return table_open(segment, NoLock);
  }
  return table_open(segments[first], RowExclusiveLock);
}

void AppendLogRecord(Oid source, Relation log, char kind, bytea *batch, bytea *large) {
  if (kind == 'c') {
    const LogAdmission admission = AdmitLogRecord(source, VARSIZE(batch != nullptr ? batch : large));
    if (admission == LogAdmission::Drop) return;
    if (admission == LogAdmission::Mark) {
      kind = 'o';
      batch = large = nullptr;
    }
  }
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
  // No free space map: a log only grows at its end, and each backend goes on where it left off. Nor does logical decoding
  // ever see it, whatever is published.
  heap_insert(log, tuple, GetCurrentCommandId(true), HEAP_INSERT_SKIP_FSM | HEAP_INSERT_NO_LOGICAL, nullptr);
  NoteLogBlock(source, ItemPointerGetBlockNumber(&tuple->t_self), large != nullptr);
  heap_freetuple(tuple);
}

static void RequestHints() {
  if (next_shmem_request != nullptr) next_shmem_request();
  RequestAddinShmemSpace(sizeof(Hint) * kHintSlots);
}

static void StartHints() {
  if (next_shmem_startup != nullptr) next_shmem_startup();
  bool found;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  hints = static_cast<Hint *>(
      ShmemInitStruct("pg_stream segment hints", sizeof(Hint) * kHintSlots, &found));
  if (!found)
    for (int i = 0; i < kHintSlots; ++i) {
      pg_atomic_init_u32(&hints[i].segment, 0);
      pg_atomic_init_u64(&hints[i].next_look, 0);
    }
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
