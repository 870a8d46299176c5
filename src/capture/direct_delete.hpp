// Bulk capture of DELETE without a transition table.
//
// For a transition table the server fetches every deleted row again, one by one, and copies it, which costs as much as the
// deletion itself. So a plain DELETE notes the TIDs of the rows it is given and reads their images off the heap pages later,
// where a deleted row stays as it was, a page at a time; the statement's capture trigger then finds its transition table empty.
//
// Promises: exactly the rows that the statement deleted, in the version that it deleted, whatever a BEFORE ROW trigger keeps,
// a join returns twice, or a concurrent update moved on. Refuses (and leaves to the transition table): statements with
// data-modifying CTEs, MERGE, tables of a tree, and tables where another trigger asks for deleted rows as a table.
#pragma once

namespace pgstream {

void InitDirectDelete();  // called once by InitCapture

}  // namespace pgstream
