// The triggers by which a source is captured: which they are, on which tables, and what of them is there.
//
// A table that is alone is captured by statement: transition tables give its changed rows. A table with relatives (it
// is partitioned or a partition, has children or is one) is captured by row: a transition table belongs to the table that a
// statement names, which may be any of them, and on a partitioned one it would take COPY its multi-insert. So each *holder*
// (a member of the source's tree; those that are partitioned hold no rows) has a row trigger; and each table through which
// holders may be written has statement triggers that open and close the statement. The argument of all of these is the OID of
// the source, as several sources may be captured at one table.
//
// Promises: reads catalogs only, with no lock on a relation. Refuses: to judge whether the source may be captured.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

struct CaptureTrigger {
  const char *name;  // the server appends its OID
  bool row;
  bool before;    // marks the start of a statement; the others write the log
  int16 events;   // TRIGGER_TYPE_*
  char enabled;   // TRIGGER_FIRES_*
  bool old_table, new_table;
};

// The OID of pgstream.capture_changes(), InvalidOid when the extension is not there.
Oid CaptureFunction();

// Some of a table's triggers capture it by statement.
bool HasStatementCapture(const TriggerDesc *triggers);
// The kinds of statement (1 << CmdType) that may be captured without the triggers that capture a table by statement: none
// unless all of those are there and enabled. triggers: of the table, or nullptr. *only: those are all that it has.
uint32 DirectOperations(const TriggerDesc *triggers, bool *only);
// A table's triggers but for those that capture it by statement, in the current memory context; nullptr when no other is left.
TriggerDesc *WithoutStatementCapture(TriggerDesc *triggers);

// How a source is to be captured, by what its tree is now.
struct CaptureShape {
  bool by_row;
  List *holders;   // OIDs of tables whose rows count as the source's; the source alone unless by_row
  List *passages;  // OIDs of partitioned members, and of ancestors of members
};
CaptureShape ShapeOf(Oid source);
bool SameShape(const CaptureShape *a, const CaptureShape *b);

// Every trigger that the shape asks for is there and enabled as it must be.
bool TriggersAreComplete(Oid source, const CaptureShape *shape);

// Creates those that are missing. The caller has ShareRowExclusiveLock on all tables of the shape.
void CreateMissingTriggers(Oid source, const CaptureShape *shape);

// The triggers that capture a source beyond those of the shape (nullptr: all), as OIDs, and the tables they are on.
List *TriggersBeyond(Oid source, const CaptureShape *shape, List **tables);

// Drops triggers. The caller has ShareRowExclusiveLock on their tables.
void DropTriggers(List *triggers);

// The statement triggers of a source captured by statement, whose transition tables a foreign child would make fail.
List *TransitionTriggersOf(Oid source);

}  // namespace pgstream
