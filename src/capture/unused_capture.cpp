// Detaching just before the commit; see unused_capture.hpp.
#include "capture/unused_capture.hpp"

#include "capture/attach_worker.hpp"
#include "capture/change_log.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"

namespace pgstream {

namespace {

struct Note {
  Note *next;
  Oid source;
  bool dropped;  // a stream table over it
  bool attached;  // by a worker, for us
};

Note *notes = nullptr;  // of this transaction, in TopTransactionContext

Note *NoteOf(Oid source) {
  for (Note *note = notes; note != nullptr; note = note->next)
    if (note->source == source) return note;
  auto *note = static_cast<Note *>(MemoryContextAllocZero(TopTransactionContext, sizeof(Note)));
  note->source = source;
  note->next = notes;
  notes = note;
  return note;
}

void Detach(const Note *note, bool prepares) {
  ErrorData *error = Attempt([&] {
    // Where nothing was dropped, whoever reads the source by now is a reason not to disturb anybody.
    if (note->dropped || ConsumersOf(note->source) == NIL) {
      if (prepares)
        StopCaptureIfUnused(note->source);
      else
        DetachCaptureIfUnused(note->source);
    }
  });
  if (error == nullptr) return;
  ereport(LOG, (errcode(error->sqlerrcode), errmsg("could not detach the capture of a source that no stream table reads: %s",
                                                   error->message != nullptr ? error->message : "")));
  FreeErrorData(error);
}

void DetachAll(bool prepares) {
  const MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream detach", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(context);
  PushActiveSnapshot(GetLatestSnapshot());
  for (const Note *note = notes; note != nullptr; note = note->next) Detach(note, prepares);
  notes = nullptr;
  PopActiveSnapshot();
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(context);
}

// Allocates nothing, reads no catalog, and raises no error.
void AskForDetaching() {
  Oid sources[kMostToDetach];
  int count = 0;
  for (const Note *note = notes; note != nullptr; note = note->next) {
    if (note->attached) sources[count++] = note->source;
    if (count == kMostToDetach || (count > 0 && note->next == nullptr)) {
      AskWorkerToDetach(count, sources);
      count = 0;
    }
  }
}

void EndOfTransaction(XactEvent event, void *) {
  if (notes == nullptr) return;
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
      DetachAll(event == XACT_EVENT_PRE_PREPARE);
      break;
    case XACT_EVENT_ABORT:
      AskForDetaching();
      [[fallthrough]];
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE:
      notes = nullptr;
      break;
    default:
      break;
  }
}

}  // namespace

void DetachLater(Oid source) { NoteOf(source)->dropped = true; }

void DetachUnlessUsed(Oid source) { NoteOf(source)->attached = true; }

void InitUnusedCapture() { RegisterXactCallback(EndOfTransaction, nullptr); }

}  // namespace pgstream
