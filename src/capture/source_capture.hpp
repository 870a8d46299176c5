// What a backend knows of the capture of a source at one table: its log, where the captured columns are in that table's
// rows, whether the source's triggers are in order.
//
// Promises: one hash probe while nothing changed; a relcache invalidation of the table or of the source (which everybody who
// changes pgs_log sends) makes the next lookup read the catalogs again. What is returned stays in memory until the next
// lookup of the same pair. Refuses: to wait for anything, and to look at the rows of the source.
#pragma once

#include "core/batch_codec.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// A captured column, ready for taking its value out of a slot.
struct CapturedColumn {
  AttrNumber attnum;  // in the table's rows
  int16 attlen;
  bool byval;
};

struct CaptureKey {
  Oid table;   // whose rows are captured: the source, or a member of its tree
  Oid source;  // as whose changes they are logged
};

struct SourceCapture {
  CaptureKey key;  // the hash key
  bool valid;
  bool stale;         // invalidated since reading it began
  uint64 generation;  // another one whenever it was read anew
  bool logged;        // there is a log, and some stream table reads it: changes must be written
  bool only_triggers; // the table has no other triggers than those that capture it by statement
  uint32 direct;      // the statements (1 << CmdType) that need not run the table's triggers (capture/direct_capture.hpp)
  bool abandoned;     // there is a log, but it serves no stream table: nothing is written, and it should be empty
  int nsegments;
  Oid segments[kMostSegments];
  int ncolumns;
  AttrNumber highest;       // the highest attribute captured
  CapturedColumn *columns;  // in the order of the source's attribute numbers
  ColumnLayout *layouts;    // the same, with the source's attribute numbers, for the codec
  TupleTableSlot *old_slot, *new_slot;  // for transition tables; nullptr until used, abandoned by an error
  TupleTableSlot *heap_slot;            // for rows on heap pages; likewise
  ColumnValue *old_values, *new_values; // of the row being captured: ncolumns + 1 each
  uint64 *old_bytes, *new_bytes;        // where its by-value columns lie
  EncoderColumn *encoder_columns;       // likewise
  TupleDesc descriptor;     // of the slots
  // Of the source at itself only, once CaptureIsIntact has looked:
  bool intact_known, intact;
  int nrelatives;  // tables that the answer depends on, sorted
  Oid *relatives;
  MemoryContext context;  // of all of the above
};

// The capture of a source at an open table.
SourceCapture *LookupSourceCapture(Relation table, Oid source);

// That of a source at itself if it is known and valid, else nullptr: one hash probe.
SourceCapture *KnownSourceCapture(Oid source);
// One that was looked up earlier in this transaction, read anew if need be.
inline SourceCapture *StillCapture(SourceCapture *capture, Relation table) {
  return likely(capture->valid) ? capture : LookupSourceCapture(table, capture->key.source);
}

// The log of a source as pgs_log has it now (catalog snapshot). False when there is none.
struct LogEntry {
  int nsegments;
  Oid segments[kMostSegments];
  Bitmapset *columns;  // plain attribute numbers
  uint64 captured_by;  // 0: nobody reads it, nothing is written
};
bool ReadLogEntry(Oid source, LogEntry *entry);

void InitSourceCapture();  // called once by InitCapture

}  // namespace pgstream
