// The images of deleted rows, read off the heap.
//
// The server deletes by TID and needs no image; fetching one row by row would cost as much as the deletion. So a DELETE notes
// the TIDs of the rows it is given, and their images are read off the heap pages later, where a deleted row stays as it was, a
// page at a time.
//
// Promises: exactly the rows whose TIDs were kept, in the version that this statement deleted, also where it followed a
// concurrent update. Refuses: to tell which of the TIDs a statement was given it deleted: the caller takes the others back.
#pragma once

#include "capture/source_capture.hpp"

namespace pgstream {

// TIDs in place; more are in the query's memory.
constexpr int kFirstTids = 32;

struct DeletedRows {
  int count, capacity;
  ItemPointerData *tids;  // first_tids, or in the query's memory
  ItemPointerData first_tids[kFirstTids];
};

void InitDeletedRows(DeletedRows *rows);

// Notes one more TID; first writes those that there are where they have become many.
void NoteDeletion(DeletedRows *rows, Relation source, SourceCapture *capture, EState *estate, ItemPointer tid);

// Writes the rows of all TIDs, which this statement has deleted, to the log of the source, if it is captured (still).
void CaptureDeletions(DeletedRows *rows, Relation source, SourceCapture *capture, EState *estate);

}  // namespace pgstream
