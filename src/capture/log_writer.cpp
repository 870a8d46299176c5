// Appending to the change log; see log_writer.hpp.
#include "capture/log_writer.hpp"

#include "capture/change_log.hpp"
#include "capture/log_hints.hpp"
#include "capture/log_limit.hpp"

extern "C" {
#include "access/hio.h"
}

namespace pgstream {

static int64 last_sequence = 0;

int64 LastLogSequence() { return last_sequence; }

Relation OpenLogForWriting(Oid source, const Oid *segments, int nsegments) {
  const int first = WritingSegment(source, nsegments);
  int number = first, tries = 0;
  while (!ConditionalLockRelationOid(segments[number], RowExclusiveLock)) {
    number = (number + 1) % nsegments;
    if (++tries < nsegments) continue;
    LockRelationOid(segments[number], RowExclusiveLock);
    break;
  }
  NoteUnsettled(source, number, segments[number]);
  return table_open(segments[number], NoLock);
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

}  // namespace pgstream
