// The change log of a source: append-only heaps of packed records, read by MVCC.
//
// A log has a few heap tables, its segments (pgstream.log_<source>_<n>), none with an index; a writer appends to the one
// the hint in shared memory names, a reader reads all of them. There are kFirstSegments to begin with; long writers, which
// keep theirs from being reclaimed, make it grow by more. A record is one heap tuple:
//
//     xid xid8       top-level transaction of the writer
//     sequence int8  order within that transaction (a per-backend counter that only rises)
//     kind "char"    'c' changes, 't' the source was truncated (or: recompute), 'o' more than the log may hold follows
//     batch bytea    PLAIN: a batch of row images (core/batch_codec.hpp), up to about 8 kB
//     large bytea    EXTENDED: the batch of one row too large for that
//
// Promises: what a transaction appended is visible exactly as its other writes are. Refuses: to say what is pending:
// that is the frontier's.
#pragma once

#include "core/batch_codec.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// Columns of a log table, and the bytes of their null bitmap.
inline constexpr int kLogColumns = 5;
inline constexpr Size kLogNullBitmap = (kLogColumns + 7) / 8;

// --- Attaching (capture/attach.cpp) ------------------------------------------------------------------------------

// Makes sure that changes of these columns of a source are captured, for a stream table being created in this
// transaction. Creates the log and the capture triggers where they are missing, widens the columns where they do not
// suffice; takes no lock that blocks a writer when nothing is missing, and otherwise ShareRowExclusiveLock on the source
// (held to the end of the transaction), so that no transaction that wrote before can still be open; 55P03 when that lock is
// not to be had within pgstream.attach_timeout. Takes AccessShareLock on the segments too (as LockLog). Returns true when
// this call changed what is captured.
bool AttachCapture(Oid source, const Bitmapset *columns);

// For a stream table over several sources, before AttachCapture of each: takes the locks that it will need together, so that a
// writer of one source that goes on to another does not meet us waiting for it.
void LockForAttaching(int nsources, const Oid *sources, Bitmapset *const *columns);

// Removes the triggers and the log of a source that no stream table reads any more (nothing when one does, or when the
// source's lock is not to be had soon: then a later call does it; the trigger writes nothing meanwhile).
void DetachCaptureIfUnused(Oid source);

// The capture triggers are there and enabled, and the source is still capturable: checked before a log is trusted.
bool CaptureIsIntact(Relation source);

// --- Writing (capture/trigger.cpp) --------------------------------------------------------------------------------

// The sequence number of the last record this backend wrote.
int64 LastLogSequence();

// --- Reading (capture/log_reader.cpp) -----------------------------------------------------------------------------

// Kind 't': the source was truncated, or changed in a way that the log does not hold (a row image near 1 GB): recompute. Kind
// 'o': so did this transaction, by more than the limit of the log.
struct LogRecord {
  uint64 xid;
  int64 sequence;
  char kind;
  const uint8 *batch;  // nullptr for a truncation
  Size batch_size;
};

// Takes AccessShareLock on the segments of a log, under which nobody reclaims; and gives it back.
void LockLog(const StreamSource *source);
void UnlockLog(const StreamSource *source);

struct LogPosition;  // how far a log has been read, for extending; allocated in a context of the caller's

LogPosition *NewLogPosition(MemoryContext context);

// Calls visit for every record visible under snapshot (a valid MVCC snapshot), in no particular order, not even within a
// transaction (writers of one may change segments, and old pages are filled up): changes are weights to be summed, so that
// a deletion may come before the insertion it cancels. With a position that an earlier call filled, pages on which nothing can be
// new are skipped; records the earlier snapshot already saw are visited again unless their page was settled, so visit
// must recognise them (by xid against the earlier snapshot). The batch is valid during the call only and no buffer lock
// is held. Under SERIALIZABLE, takes the predicate lock and does the conflict checks of an ordinary scan.
using LogVisitor = void (*)(const LogRecord *record, void *argument);
void ReadLog(const StreamSource *source, Snapshot snapshot, LogPosition *position, LogVisitor visit, void *argument);

// --- Reclaiming (capture/reclaim.cpp) -----------------------------------------------------------------------------

// To the end of the transaction nobody removes the log of a source, or adds a segment to it.
void ShareLog(Oid source);

// Asks for the segments of a log to be truncated all of whose records the frontier of every consumer contains, as committed
// now. Done at the end of this transaction, before its commit, if the segments' locks are free then; where they are not,
// writers turn to an empty segment. Raises log_start of the consumers in the same transaction, and captured_by when one of
// them is not populated. Called at the start of a refresh; never waits. Whoever computes a first frontier calls LockLog
// before taking the snapshot.
void ReclaimLog(Oid source);

void InitCapture();  // called once by _PG_init: GUCs, shared memory for the segment hints, callbacks

}  // namespace pgstream
