// What a backend knows of the capture of a source: its log, the captured columns, whether its triggers are in order.
//
// Promises: one hash probe while nothing changed; a relcache invalidation of the source (which everybody who changes
// pgs_log sends) makes the next lookup read the catalogs again. What is returned stays in memory until the next lookup of
// the same source. Refuses: to wait for anything, and to look at the rows of the source.
#pragma once

#include "core/batch_codec.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// The capture triggers, each by its event and the condition it is enabled for.
struct CaptureTrigger {
  const char *name;  // the server appends its OID
  bool row;
  bool before;       // marks the start of a statement; the others write the log
  int16 events;      // TRIGGER_TYPE_*
  char enabled;      // TRIGGER_FIRES_*
  bool old_table, new_table;
};
inline constexpr int kCaptureTriggers = 6;
extern const CaptureTrigger kCaptureTrigger[kCaptureTriggers];

// The OID of pgstream.capture_changes(), InvalidOid when the extension is not there.
Oid CaptureFunction();

// A captured column, ready for taking its value out of a slot.
struct CapturedColumn {
  AttrNumber attnum;
  int16 attlen;
  bool byval;
};

struct SourceCapture {
  Oid relid;  // the hash key
  bool valid;
  bool stale;         // invalidated since reading it began
  bool logged;        // there is a log and some stream table reads it: changes must be written
  bool intact;        // all triggers are there and enabled, and the source is capturable
  Oid segments[kLogSegments];
  int ncolumns;
  AttrNumber highest;       // the highest attribute captured
  CapturedColumn *columns;  // ascending
  ColumnLayout *layouts;    // the same, for the codec
  TupleTableSlot *old_slot, *new_slot;  // for transition tables; nullptr until used, abandoned by an error
  TupleDesc descriptor;     // of the slots
  MemoryContext context;    // of all of the above
};

// The capture of an open source.
SourceCapture *LookupSourceCapture(Relation source);

// The log of a source as pgs_log has it now (catalog snapshot). False when there is none.
struct LogEntry {
  Oid segments[kLogSegments];
  Bitmapset *columns;  // plain attribute numbers
  uint64 captured_by;  // 0: nobody reads it, nothing is written
};
bool ReadLogEntry(Oid source, LogEntry *entry);

// Which of the capture triggers a relation has, as a bit set, and whether all of these are enabled as they must be.
uint32 PresentCaptureTriggers(Relation source, bool *enabled);

void InitSourceCapture();  // called once by InitCapture

}  // namespace pgstream
