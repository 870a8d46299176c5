// What backends tell each other about change logs in shared memory.
//
// Promises: exact or silent. Where the library was not preloaded, or two sources share a slot, less is known, never anything
// wrong; nothing survives a restart, and on a standby nothing is known of the primary's writers. Refuses: to wait for anybody
// for longer than a few instructions.
#pragma once

#include "capture/change_log.hpp"
#include "core/frontier.hpp"

namespace pgstream {

// The segment that writers of a source use; any answer is right.
int WritingSegment(Oid source, int nsegments);
void SetWritingSegment(Oid source, int segment);

// True for one caller every so many milliseconds, of all backends together: whose turn it is to look at a log.
bool MayLookAtLog(Oid source, int64 every_ms);

// A segment is settled behind a frontier when no transaction that wrote to it is open and the frontier covers every visible
// record on it. Said with a lock on it that excludes writers (ShareLock); from then on readers whose frontiers include that
// one leave it alone (SettledSegments), so that its lock becomes free. The next writer, with his lock on it and before he
// writes, takes it back.
void NoteSettled(Oid source, int number, Oid segment, const Frontier *frontier, uint64 last_xid);
void NoteUnsettled(Oid source, int number, Oid segment);

// The segments of a source in which nothing can be pending for a reader who has this frontier, with a snapshot that was taken
// before the call: what is written to them from now on it does not see. Not for SERIALIZABLE, which must see conflicts too.
SegmentSet SettledSegments(const StreamSource *source, const Frontier *frontier);

// False when SettledSegments has none to name, whatever the frontier.
bool AnySettled(const StreamSource *source);

void InitLogHints();  // called once by InitCapture, while the library is loaded

}  // namespace pgstream
