// The open shared reads of the backend; see shared_read.hpp. There is one for every delta arm of a running statement: a handful.
#include "delta/shared_read.hpp"

namespace pgstream {

struct SharedRead {
  SharedRead *next;
  Oid relid;
  Snapshot snapshot;
  SubTransactionId subtransaction;  // whose abort ends it
  bool decided;
  Overlay *overlay;  // held once decided; nullptr: nothing is merged
};

namespace {

SharedRead *open_reads = nullptr;  // newest first, in TopTransactionContext

bool SameXids(const TransactionId *a, const TransactionId *b, uint32 n) {
  return n == 0 || memcmp(a, b, sizeof(TransactionId) * n) == 0;
}

// A parallel scan's snapshot is a copy that went through shared memory.
bool IsCopy(Snapshot a, Snapshot b) {
  return a->xmin == b->xmin && a->xmax == b->xmax && a->curcid == b->curcid && a->xcnt == b->xcnt && a->subxcnt == b->subxcnt &&
         a->takenDuringRecovery == b->takenDuringRecovery && SameXids(a->xip, b->xip, a->xcnt) &&
         SameXids(a->subxip, b->subxip, static_cast<uint32>(Max(a->subxcnt, 0)));
}

// The snapshot by which the reads that this one takes part in know each other; nullptr: there are none.
Snapshot SnapshotOfReads(Oid relid, Snapshot snapshot) {
  const SharedRead *copied = nullptr;
  for (const SharedRead *read = open_reads; read != nullptr; read = read->next) {
    if (read->relid != relid) continue;
    if (read->snapshot == snapshot) return snapshot;
    if (copied == nullptr && IsInParallelMode() && IsCopy(read->snapshot, snapshot)) copied = read;
  }
  return copied != nullptr ? copied->snapshot : nullptr;
}

void Remove(SharedRead *read) {
  for (SharedRead **link = &open_reads; *link != nullptr; link = &(*link)->next)
    if (*link == read) {
      *link = read->next;
      pfree(read);
      return;
    }
}

void EndOfTransaction(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PARALLEL_COMMIT || event == XACT_EVENT_PREPARE ||
      event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
    open_reads = nullptr;
}

// A statement that a subtransaction began goes with it, or becomes its parent's.
void EndOfSubtransaction(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId parent, void *) {
  if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB) return;
  SharedRead *next;
  for (SharedRead *read = open_reads; read != nullptr; read = next) {
    next = read->next;
    if (read->subtransaction != subtransaction) continue;
    if (event == SUBXACT_EVENT_COMMIT_SUB)
      read->subtransaction = parent;
    else
      Remove(read);
  }
}

}  // namespace

SharedRead *BeginSharedRead(Oid relid, Snapshot snapshot) {
  auto *const read = static_cast<SharedRead *>(MemoryContextAllocZero(TopTransactionContext, sizeof(SharedRead)));
  read->next = open_reads;
  read->relid = relid;
  read->snapshot = snapshot;
  read->subtransaction = GetCurrentSubTransactionId();
  open_reads = read;
  // One more arm of a statement that has begun: EvalPlanQual's, or that of a function under the same snapshot.
  Overlay *overlay;
  if (FindSharedOverlay(relid, snapshot, &overlay)) {
    read->decided = true;
    read->overlay = overlay;
  }
  return read;
}

void EndSharedRead(SharedRead *read) {
  if (read->overlay != nullptr) ReleaseOverlay(read->overlay);
  Remove(read);
}

bool FindSharedOverlay(Oid relid, Snapshot snapshot, Overlay **overlay) {
  if (open_reads == nullptr) return false;
  const Snapshot known = SnapshotOfReads(relid, snapshot);
  if (known == nullptr) return false;
  for (SharedRead *read = open_reads; read != nullptr; read = read->next) {
    if (read->relid != relid || read->snapshot != known || !read->decided) continue;
    if (read->overlay != nullptr) ++read->overlay->holders;
    *overlay = read->overlay;
    return true;
  }
  return false;
}

void DecideSharedRead(Oid relid, Snapshot snapshot, Overlay *overlay) {
  if (open_reads == nullptr) return;
  const Snapshot known = SnapshotOfReads(relid, snapshot);
  if (known == nullptr) return;
  for (SharedRead *read = open_reads; read != nullptr; read = read->next) {
    if (read->relid != relid || read->snapshot != known || read->decided) continue;
    read->decided = true;
    read->overlay = overlay;
    if (overlay != nullptr) ++overlay->holders;
  }
}

void InitSharedReads() {
  RegisterXactCallback(EndOfTransaction, nullptr);
  RegisterSubXactCallback(EndOfSubtransaction, nullptr);
}

}  // namespace pgstream
