// What the parts of one scan agree upon.
//
// Base rows that an index finds, or that parallel participants share out, and the delta arm's additions make up one content, but
// ask for the overlay one after the other, with any time between them. A fold and a reclaim in that time may change the
// answer to "merge or recompute?": rows would be doubled or lost (specs/one_statement). So a delta arm opens a shared read
// for its statement when the executor starts, and whoever asks first for that statement's snapshot decides for all.
//
// Promises: as long as a shared read is open, every acquisition for the same relation and the same snapshot, by address, gets the
// same overlay, or none, like the first one; so does a copy of the snapshot in a parallel query, whose scans bring one.
// Refuses: to let statements share that have equal snapshots only, as in one REPEATABLE READ transaction: DDL between them may
// have made another one of the same query.
#pragma once

#include "delta/overlay.hpp"

namespace pgstream {

struct SharedRead;

// Opens a shared read; snapshot must live as long. It ends by EndSharedRead, or with its (sub)transaction's abort. by_key: it
// wants groups of given keys only.
SharedRead *BeginSharedRead(Oid relid, Snapshot snapshot, bool by_key);
void EndSharedRead(SharedRead *read);

// Sets *overlay (held, or nullptr) and returns true where the shared read of relid and snapshot has been decided.
bool FindSharedOverlay(Oid relid, Snapshot snapshot, Overlay **overlay);
// Decides the shared reads of relid and snapshot, if there are any: by this overlay, which they hold too, or by none (nullptr).
void DecideSharedRead(Oid relid, Snapshot snapshot, Overlay *overlay);

// True when there are shared reads of relid and snapshot and all of them want groups of given keys only: an overlay with unresolved
// groups will do.
bool AllReadByKey(Oid relid, Snapshot snapshot);

// Resolves what is unresolved in the overlays of all open shared reads. Before DDL of this very transaction: a source that it rewrites
// looks empty to their snapshots, and groups that have to be evaluated by key would come out so.
void CompleteSharedReads();

void InitSharedReads();  // called once by _PG_init

}  // namespace pgstream
