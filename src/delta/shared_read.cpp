// The open shared reads of the backend; see shared_read.hpp. There is one for every delta arm of a running statement: a handful.
#include "delta/shared_read.hpp"

#include "delta/unresolved_groups.hpp"

extern "C" {
#include "access/parallel.h"
#include "utils/resowner.h"
}

namespace pgstream {

struct SharedRead {
  SharedRead *next;
  Oid relid;
  Snapshot snapshot;                // registered while the read is open: nobody else gets its address
  SubTransactionId subtransaction;  // whose abort closes it
  bool decided;
  bool by_key;
  bool by_leader;    // in parallel mode: the log stays locked, and workers come to the same overlay
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

// Its memory stays: a function evaluated row by row may outlive the subtransaction that it was started in, and end it yet.
void Close(SharedRead *read) {
  for (SharedRead **link = &open_reads; *link != nullptr; link = &(*link)->next)
    if (*link == read) {
      *link = read->next;
      UnregisterSnapshotFromOwner(read->snapshot, TopTransactionResourceOwner);
      return;
    }
}

// A leader accepts only what a leader decided.
bool Leads() { return IsInParallelMode() && !IsParallelWorker(); }

void EndOfTransaction(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PARALLEL_COMMIT || event == XACT_EVENT_PREPARE)
    while (open_reads != nullptr) Close(open_reads);  // of cursors that failed
  else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
    open_reads = nullptr;  // the snapshots go with the transaction's resource owner
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
      Close(read);
  }
}

}  // namespace

SharedRead *BeginSharedRead(Oid relid, Snapshot snapshot, bool by_key) {
  auto *const read = static_cast<SharedRead *>(MemoryContextAllocZero(TopTransactionContext, sizeof(SharedRead)));
  read->relid = relid;
  read->by_key = by_key;
  read->snapshot = RegisterSnapshotOnOwner(snapshot, TopTransactionResourceOwner);
  read->subtransaction = GetCurrentSubTransactionId();
  read->next = open_reads;
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
  Close(read);
  pfree(read);
}

bool FindSharedOverlay(Oid relid, Snapshot snapshot, Overlay **overlay) {
  if (open_reads == nullptr) return false;
  const Snapshot known = SnapshotOfReads(relid, snapshot);
  if (known == nullptr) return false;
  for (SharedRead *read = open_reads; read != nullptr; read = read->next) {
    if (read->relid != relid || read->snapshot != known || !read->decided || (Leads() && !read->by_leader)) continue;
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
    read->by_leader = Leads();
    read->overlay = overlay;
    if (overlay != nullptr) ++overlay->holders;
  }
}

bool AllReadByKey(Oid relid, Snapshot snapshot) {
  bool any = false;
  for (const SharedRead *read = open_reads; read != nullptr; read = read->next) {
    if (read->relid != relid || read->snapshot != snapshot) continue;
    if (!read->by_key) return false;
    any = true;
  }
  return any;
}

void CompleteSharedReads() {
  for (const SharedRead *read = open_reads; read != nullptr; read = read->next) {
    if (read->overlay == nullptr || read->overlay->unresolved == nullptr) continue;
    Relation rel = table_open(read->relid, NoLock);
    ResolveAllGroups(read->overlay, rel, read->snapshot);
    table_close(rel, NoLock);
  }
}

void InitSharedReads() {
  RegisterXactCallback(EndOfTransaction, nullptr);
  RegisterSubXactCallback(EndOfSubtransaction, nullptr);
}

}  // namespace pgstream
