// Capture of plain statements without their triggers.
//
// Transition tables and statement triggers cost more than the log: the server copies the table's triggers for each statement,
// creates a tuplestore for each transition table, copies every row into it, and calls the trigger's function twice. So a plain
// INSERT, UPDATE or DELETE is captured from its plan: what is below ModifyTable gets a wrapper that sees each row before
// ModifyTable has it and learns, at the next call, from the statement's count of processed rows whether it was written. By then
// the images are in ModifyTable's own slots, but for those of deleted rows (capture/direct_delete.hpp). The server starts such a
// statement as if the capture triggers were not there.
//
// Promises: exactly the rows that the statement wrote, as it wrote them, whatever a join returns twice, a BEFORE ROW trigger
// keeps or changes, or a concurrent update moved on; the interval of open_statements.hpp, as the triggers keep it. All is in the
// log before the first AFTER trigger runs. Refuses (and leaves to the triggers): statements with data-modifying CTEs, ON CONFLICT
// DO UPDATE, MERGE, COPY, tables of a tree, what foreign keys cascade to and what cascades, UPDATE where a BEFORE ROW trigger may
// change the new row.
#pragma once

namespace pgstream {

void InitDirectCapture();  // called once by InitCapture

}  // namespace pgstream
