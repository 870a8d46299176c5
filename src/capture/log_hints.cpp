// Shared memory about change logs; see log_hints.hpp.
#include "capture/log_hints.hpp"

#include "pg/shared_memory.hpp"

extern "C" {
#include "storage/spin.h"
#include "utils/timestamp.h"
}

namespace pgstream {

namespace {

// Two sources may share a slot: then both move to another segment, which is as right as staying.
constexpr int kWriterSlots = 1024;
struct WriterHint {
  pg_atomic_uint32 segment;
  pg_atomic_uint64 next_look;  // a time (TimestampTz): when a writer may look at the size of the log
};

// Of two sources that share a slot the later one is known.
constexpr int kSettledSlots = 256;
// Open transactions older than the last record; with more of them a segment does not count as settled.
constexpr uint32 kMostOpen = 32;
struct Settled {
  slock_t lock;
  pg_atomic_uint32 segment;  // InvalidOid: none. Changed under the lock
  Oid database;              // segments of two databases may have one OID
  uint64 xmin, xmax, own_xid;
  int64 own_seq;
  uint32 nxip;
  uint64_t xip[kMostOpen];
};

struct Hints {
  WriterHint writers[kWriterSlots];
  Settled settled[kSettledSlots][kMostSegments];
};

Hints *hints = nullptr;  // nullptr: the library was not preloaded

WriterHint *WriterHintOf(Oid source) { return &hints->writers[source % kWriterSlots]; }
Settled *SettledOf(Oid source, int number) { return &hints->settled[source % kSettledSlots][number]; }

bool IsBehind(Settled *settled, Oid segment, const Frontier *frontier) {
  if (pg_atomic_read_u32(&settled->segment) != segment) return false;
  uint64_t xip[kMostOpen];
  SpinLockAcquire(&settled->lock);
  const bool known = pg_atomic_read_u32(&settled->segment) == segment && settled->database == MyDatabaseId;
  const Frontier behind = {{settled->xmin, settled->xmax, xip, settled->nxip}, settled->own_xid, settled->own_seq};
  if (known) memcpy(xip, settled->xip, sizeof(uint64_t) * settled->nxip);
  SpinLockRelease(&settled->lock);
  return known && Includes(*frontier, behind);
}

void StartHints(void *memory, bool found) {
  hints = static_cast<Hints *>(memory);
  if (found) return;
  for (WriterHint &writer : hints->writers) {
    pg_atomic_init_u32(&writer.segment, 0);
    pg_atomic_init_u64(&writer.next_look, 0);
  }
  for (auto &slot : hints->settled)
    for (Settled &settled : slot) {
      SpinLockInit(&settled.lock);
      pg_atomic_init_u32(&settled.segment, InvalidOid);
    }
}

}  // namespace

int WritingSegment(Oid source, int nsegments) {
  return hints == nullptr ? 0 : static_cast<int>(pg_atomic_read_u32(&WriterHintOf(source)->segment)) % nsegments;
}

void SetWritingSegment(Oid source, int segment) {
  if (hints != nullptr) pg_atomic_write_u32(&WriterHintOf(source)->segment, static_cast<uint32>(segment));
}

bool MayLookAtLog(Oid source, int64 every_ms) {
  return hints == nullptr || TakeTurn(&WriterHintOf(source)->next_look, static_cast<uint64>(GetCurrentTimestamp()), every_ms);
}

void NoteSettled(Oid source, int number, Oid segment, const Frontier *frontier, uint64 last_xid) {
  if (hints == nullptr) return;
  // Nothing after the last record matters.
  const SnapshotView *view = &frontier->snapshot;
  const uint64 xmax = Min(view->xmax, last_xid + 1);
  uint32 nxip = 0;
  while (nxip < view->nxip && view->xip[nxip] < xmax) ++nxip;
  if (nxip > kMostOpen) return;
  Settled *settled = SettledOf(source, number);
  SpinLockAcquire(&settled->lock);
  settled->database = MyDatabaseId;
  settled->xmin = Min(view->xmin, xmax);
  settled->xmax = xmax;
  settled->own_xid = frontier->own_xid < xmax ? frontier->own_xid : 0;
  settled->own_seq = frontier->own_seq;
  settled->nxip = nxip;
  if (nxip > 0) memcpy(settled->xip, view->xip, sizeof(uint64_t) * nxip);
  pg_atomic_write_u32(&settled->segment, segment);
  SpinLockRelease(&settled->lock);
}

void NoteUnsettled(Oid source, int number, Oid segment) {
  if (hints == nullptr) return;
  Settled *settled = SettledOf(source, number);
  if (pg_atomic_read_u32(&settled->segment) != segment) return;
  SpinLockAcquire(&settled->lock);
  if (settled->database == MyDatabaseId) pg_atomic_write_u32(&settled->segment, InvalidOid);
  SpinLockRelease(&settled->lock);
}

bool AnySettled(const StreamSource *source) {
  if (hints == nullptr) return false;
  for (int i = 0; i < source->nsegments; ++i)
    if (pg_atomic_read_u32(&SettledOf(source->relid, i)->segment) == source->segments[i]) return true;
  return false;
}

SegmentSet SettledSegments(const StreamSource *source, const Frontier *frontier) {
  SegmentSet set = 0;
  if (hints == nullptr) return set;
  for (int i = 0; i < source->nsegments; ++i)
    if (IsBehind(SettledOf(source->relid, i), source->segments[i], frontier)) set |= SegmentSet{1} << i;
  return set;
}

void InitLogHints() {
  const SharedArea area = {"pg_stream log hints", sizeof(Hints), 0, StartHints};
  AddSharedArea(&area);
}

}  // namespace pgstream
