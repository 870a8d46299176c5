// Building an overlay from the logs under one snapshot, and extending it to a later one.
//
// Promises: an error leaves no half-built overlay in any cache: what is being built hangs off the caller's context until
// it is complete. Refuses: to decide when to build (overlay.cpp and the fold do).
#pragma once

#include "capture/change_log.hpp"
#include "capture/frontier.hpp"
#include "delta/overlay.hpp"
#include "delta/strategy.hpp"

namespace pgstream {

// An overlay with what is needed to extend it. `merges` false: nothing is pending and `overlay` says nothing.
struct BuiltOverlay {
  Overlay overlay;
  bool merges;
  bool extendable;
  bool as_new;     // masks what one built anew for its snapshot would mask
  bool momentary;  // what its snapshot sees may still change, so that only its own statement may find it again
  uint64 stream_generation;
  Oid storage;            // of the base, whose TIDs the mask holds
  FrontierRow *frontier;  // nullptr: none was visible
  SnapshotView view;      // what the snapshot saw, without the own transaction
  uint64 own_xid;         // of the building transaction, 0 when it had none
  int64 own_sequence;     // its latest record that was seen
  LogPosition **positions;  // one a source
  const DeltaOperations *operations;
  Delta *delta;  // nullptr until a change is pending
};

// Of each source, the segments in which nothing is pending for who has this frontier (capture/log_hints.hpp); nullptr: all must be
// read.
const SegmentSet *SettledBehind(const Stream *stream, const Frontier *frontier);
bool AnySettled(const Stream *stream);

// Builds in a new context under the current one (built->overlay.context). for_fold: see DeltaOperations::begin. With a
// decision other than Own the overlay merges or recomputes as told; XX000 when the strategy cannot merge after all.
// settled: the segments left alone (LockLogs), whose locks are not held. by_key: changed groups may stay unresolved.
BuiltOverlay *BuildOverlay(Relation rel, const Stream *stream, const SegmentSet *settled, Snapshot snapshot, bool for_fold,
                           MergeDecision decision, bool by_key);

// What a snapshot knows of who last changed a relation's pg_class row, which a new definition or new storage does. Own: this
// transaction.
enum class LatestChange { Seen, Unseen, Own, Gone };
LatestChange LatestChangeOf(Oid relid, Snapshot snapshot);

// True when a transaction snapshot cannot tell what the sources held at its time: one of them, or a member of its tree, was
// changed or rewritten since (only_here: by this very transaction). A query under the snapshot and the log then say different
// things.
bool SourcesChangedBeyondSnapshot(const Stream *stream, Snapshot snapshot, bool only_here);

// True when the overlay of an earlier snapshot can be brought up to snapshot instead of built anew.
bool CanExtend(const BuiltOverlay *built, Relation rel, const Stream *stream, Snapshot snapshot);

// True when the logs still hold everything that a frontier lacks: their locks must be held.
bool LogReaches(const FrontierRow *frontier, const Stream *stream);

// Brings it up to snapshot, in place. The caller has taken it out of any cache; nobody holds it.
void ExtendOverlay(BuiltOverlay *built, Relation rel, const Stream *stream, const SegmentSet *settled, Snapshot snapshot);

// The 64-bit id of the current top-level transaction, 0 when it has none.
uint64 OwnTransactionId();

}  // namespace pgstream
