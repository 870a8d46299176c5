// The limit of a change log, pgstream.max_log_size.
//
// A stream table that nobody refreshes must not fill the disk. When a log outgrows the limit, the consumers that lag are *cut
// off*: log_start rises above the fold number of their frontier, so that every reader recomputes, and nothing is kept for
// them any more. When no consumer is left that the log serves, pgs_log.captured_by becomes 0 and writers stop writing, until
// a refresh attaches the capture again. All of it is rows of catalogs, so it is as transactional, durable and replicated as
// they are; shared memory only says when to look again.
//
// Who does it: a transaction that wrote to a log past its limit, refreshed or asked for the health, just before its commit.
// Promises: a writer below half the limit pays a comparison; those past it share a look a second; no lock is
// waited for, and an error of the look does not fail the transaction. Refuses: to cut off a consumer that is being folded.
#pragma once

#include "capture/log_consumers.hpp"

namespace pgstream {

// Bytes that a log may take before lagging consumers are cut off; -1: no limit.
int64 MaxLogBytes();

// A transaction's own records alone may reach the limit, too: what it writes then is one record that says "recompute".
enum class LogAdmission { Write, Mark, Drop };
LogAdmission AdmitLogRecord(Oid source, Size bytes);

// To be called when a record was written to a block of a segment.
void NoteLogBlock(Oid source, BlockNumber block, bool has_large);

// Asks for a look at the log before this transaction commits: when nobody else has looked lately, in any case, or with leave
// to take some time over it.
enum class LogLook { None, InTurn, Now, Asked };
void NoteLogLook(Oid source, LogLook look);

// A frontier was written that covers this transaction's records: a mark of its own no longer stands for later changes.
void ForgetLogMarks();

// To be called just before a commit, with nothing left to run in the transaction and an active snapshot.
void LookAtLogLimits();
bool LogLooksWanted();

// Cuts off what must be. Returns true when the log may now be emptied as far as nobody is served by it.
bool EnforceLogLimit(Oid source);

void InitLogLimit();  // called once by InitCapture

}  // namespace pgstream
