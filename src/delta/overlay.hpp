// The overlay: what turns the base heap of a stream table, as of its frontier, into its content under a snapshot.
//
//     content = base - mask + additions
//
// Reading is that formula; folding writes exactly that. Promises: an overlay is complete and immutable while anybody
// holds it, but for groups that who asks for them one by one resolves as he comes to them; the same snapshot gives the same
// additions, and an addition keeps its ordinal. Refuses: snapshots other than MVCC ones
// (they see the raw base).
#pragma once

#include "core/tid_mask.hpp"
#include "delta/additions.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

struct OverlayStatistics {
  int64 pending_changes;  // row images (weights) read from the logs and not in the frontier
  int64 masked;           // base rows superseded; -1 when all are
  int64 added;
  double build_ms;        // time of the last build or extension
  int64 keys_evaluated;   // groups or keys that the last build or extension evaluated from their rows
  double keyed_cost;      // of that, as the planner reckons; 0 when there was nothing to choose
  double whole_cost;      // ... and of the whole query
  bool from_cache;        // this acquisition found it ready
  bool extended;          // ... or extended an earlier one
  int64 summed;           // changed rows that were summed as they lie in the log, ever
  int64 groups_changed;   // where some are not in the overlay yet: all that changed; else 0
  int64 groups_resolved;  // ... and of these, how many are in it
  bool evaluates;         // rows were evaluated: by native code where why_interpreted is a null pointer
  const char *why_interpreted;
  int64 code_size;         // of the native code; bytes
  int64 code_calls;        // functions that it calls
  double code_load_ms;     // from its file into this backend
};

struct Overlay {
  Oid relid;
  MemoryContext context;
  Strategy strategy;   // the one that answered: Recompute when a better one could not
  const char *reason;  // why that one; nullptr when it is the plan's own
  bool masks_all;      // recompute: no base row counts
  bool must_merge;     // a parallel leader merges: no choice is left
  bool may_defer;      // who asks for it asks for single groups: they may wait for it
  struct UnresolvedGroups *unresolved;  // changed groups of which not all are in it yet (unresolved_groups.hpp); nullptr: complete
  bool final;          // the delta gave back what it would need to be extended
  TidMask mask;
  Additions additions;
  struct AdditionHash *hashes;  // of the additions; see addition_hash.hpp
  OverlayStatistics statistics;
  int holders;
};

// The overlay of a stream table under an MVCC snapshot, or nullptr when base and content are the same (nothing pending).
// Held until ReleaseOverlay or the end of the transaction. Raises what the defining query would raise. by_key: it may have
// unresolved groups.
Overlay *AcquireOverlay(Relation rel, const Stream *stream, Snapshot snapshot, bool by_key);
void ReleaseOverlay(Overlay *overlay);

// The overlay of a held or cached snapshot that has the addition of this synthetic TID (see additions.hpp), for
// EvalPlanQual's refetch; nullptr when none does.
Overlay *FindOverlayOfAddition(Oid relid, ItemPointer tid);

// True when the base row at tid is superseded.
inline bool OverlayMasks(const Overlay *overlay, ItemPointer tid) {
  return overlay->masks_all || TidMaskContains(&overlay->mask, ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
}

// How a read is merged. Participants of one parallel scan must agree, or rows are lost or doubled; what makes one recompute
// (memory, DDL) may look different to another. So the leader's decision travels to the workers.
enum class MergeDecision { Own, Merge, Recompute };
MergeDecision DecisionOf(const Overlay *overlay);  // of an acquired overlay; nullptr counts as Merge
// For the rest of this (parallel worker's) transaction, overlays of relid follow the decision.
void FollowMergeDecision(Oid relid, MergeDecision decision);

// What the latest acquisition for relid in this transaction did, for EXPLAIN; nullptr before the first one. reads counts
// acquisitions since ResetOverlayReports.
struct OverlayReport {
  Oid relid;
  bool merged;  // false: nothing was pending
  Strategy strategy;
  const char *reason;
  OverlayStatistics statistics;
  TimestampTz data_timestamp;  // of the frontier; 0 when there was none
  double frontier_age_ms;      // computed when asked
  int64 reads;
};
const OverlayReport *LastOverlayReport(Oid relid);
void NoteResolution(const Overlay *overlay);  // its statistics have changed
void ResetOverlayReports();

// How many rows the latest overlay of relid that this backend still has adds to the base_rows of the base (negative: takes
// away), for estimates. False when there is none.
bool OverlayGrowth(Oid relid, double base_rows, double *growth);

void InitOverlayCache();  // called once by _PG_init

}  // namespace pgstream
