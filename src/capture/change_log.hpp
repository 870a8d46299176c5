// The change log of a source: append-only heaps of packed records, read by MVCC.
//
// A log has a few heap tables, its segments (pgstream.log_<source>_<n>), none with an index; a writer appends to the one
// the hint in shared memory names, a reader reads all of them. There are kFirstSegments to begin with; long writers, which
// keep theirs from being reclaimed, make it grow by more. A record is one heap tuple:
//
//     xid xid8       top-level transaction of the writer
//     sequence int8  order within that transaction (a per-backend counter that only rises)
//     kind "char"    'c' changes, 't' the source was truncated, 'u' changed in a way not held here, 'o' more than the log may hold follows
//     batch bytea    PLAIN: a batch of row images (core/batch_codec.hpp), up to about 8 kB
//     large bytea    EXTENDED: the batch of one row too large for that
//
// Promises: what a transaction appended is visible exactly as its other writes are. Refuses: to say what is pending:
// that is the frontier's.
#pragma once

#include "capture/source_lock.hpp"
#include "core/batch_codec.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// Columns of a log table, and the bytes of their null bitmap.
inline constexpr int kLogColumns = 5;
inline constexpr Size kLogNullBitmap = (kLogColumns + 7) / 8;

// --- Attaching (capture/attach.cpp) ------------------------------------------------------------------------------

// Takes, together, the locks that attaching the sources of a stream table needs, so that a writer of one source who goes on to
// another does not meet us waiting for it: AccessShareLock on what they consist of, the logs as objects (shared), and
// ShareRowExclusiveLock on the tables where something is missing, so that no transaction that wrote before can still be open;
// 55P03 when that is not to be had within pgstream.attach_timeout. further (or nullptr) is had together with them. Where the
// owner of the stream table has no right to lock a source so, a background worker attaches it instead, in a transaction of its
// own that is committed on return (capture/attach_worker.hpp): the first two kinds of lock then do. InvalidOid: the worker itself, who asks nobody.
void LockForAttaching(int nsources, const Oid *sources, Bitmapset *const *columns, Oid owner, WantedLock *further);

// After that: makes sure that changes of these columns of a source are captured, for a stream table being created in this
// transaction. Creates the log and the capture triggers where they are missing, widens the columns where they do not
// suffice. Takes AccessShareLock on the segments too (as LockLogs). Returns true when this call changed what is captured.
bool AttachCapture(Oid source, const Bitmapset *columns);

// Removes the triggers and the log of a source that no stream table reads any more (nothing when one does, or when the
// source's lock is not to be had soon: then a later call does it; the trigger writes nothing meanwhile). Called just before a
// commit (capture/unused_capture.hpp). StopCaptureIfUnused leaves it at the triggers' writing nothing: it locks no source.
void DetachCaptureIfUnused(Oid source);
void StopCaptureIfUnused(Oid source);

// The capture triggers are there and enabled, and the source is still capturable: checked before a log is trusted.
bool CaptureIsIntact(Relation source);

// --- Writing (capture/trigger.cpp) --------------------------------------------------------------------------------

// The sequence number of the last record this backend wrote.
int64 LastLogSequence();

// --- Reading (capture/log_reader.cpp) -----------------------------------------------------------------------------

// All kinds but 'c' mean: recompute. Kind 't': the source was truncated; 'u': it changed in a way that the log does not hold (a
// row image near 1 GB, a statement that never ended); 'o': this transaction changed it by more than the limit of the log.
struct LogRecord {
  uint64 xid;
  int64 sequence;
  char kind;
  const uint8 *batch;  // nullptr for a truncation
  Size batch_size;
};

// Takes AccessShareLock on the segments of some logs, under which nobody reclaims; and gives it back. Holds none while it waits
// for another: a standby's replay, or who reclaims, may have locked them in any order.
// Settled: of each source, the segments to be left alone (capture/log_hints.hpp), the same ones in all calls; nullptr: none.
using SegmentSet = uint32;  // bit i: segments[i]
void LockLogs(const StreamSource *sources, int nsources, const SegmentSet *settled);
void UnlockLogs(const StreamSource *sources, int nsources, const SegmentSet *settled);

struct LogPosition;  // how far a log has been read, for extending; allocated in a context of the caller's

LogPosition *NewLogPosition(MemoryContext context);

// Calls visit for every record visible under snapshot (a valid MVCC snapshot), in no particular order, not even within a
// transaction (writers of one may change segments, and old pages are filled up): changes are weights to be summed, so that
// a deletion may come before the insertion it cancels. With a position that an earlier call filled, pages on which nothing can be
// new are skipped; records the earlier snapshot already saw are visited again unless their page was settled, so visit
// must recognise them (by xid against the earlier snapshot). The batch is valid during the call only and no buffer lock
// is held. Settled segments are left out. Under SERIALIZABLE, takes the predicate lock and does the conflict checks of an ordinary scan.
using LogVisitor = void (*)(const LogRecord *record, void *argument);
void ReadLog(const StreamSource *source, SegmentSet settled, Snapshot snapshot, LogPosition *position, LogVisitor visit,
             void *argument);

// --- Reclaiming (capture/reclaim.cpp) -----------------------------------------------------------------------------

// Nobody removes the logs of some sources, or adds segments to them, until UnlockTogether is called with the result, or the
// transaction ends.
List *ShareLogs(const StreamSource *sources, int nsources);

// Asks for the segments of a log to be truncated all of whose records the frontier of every consumer contains, as committed
// now. Done at the end of this transaction, before its commit, if the segments' locks are free then; where they are not,
// writers turn to an empty segment. Raises log_start of the consumers in the same transaction, and captured_by when one of
// them is not populated. Called at the start of a refresh; never waits. Whoever computes a first frontier calls LockLog
// before taking the snapshot.
void ReclaimLog(Oid source);

void InitCapture();  // called once by _PG_init: GUCs, shared memory for the segment hints, callbacks

}  // namespace pgstream
