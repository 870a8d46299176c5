// The table access method pgstream: heap in place, with the overlay merged into what MVCC snapshots read.
//
// Promises: a relation without a definition (*detached*) is a plain heap in every respect; where nothing is pending a
// scan is heap's own scan; snapshots other than MVCC ones see the raw base. Refuses: data changes and row locks on
// stream tables (refresh writes the base through heap's functions, not through here); TABLESAMPLE while rows are
// pending.
#pragma once

#include "delta/overlay.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// Called once by _PG_init.
void InitAccessMethod();

// False when no overlay can apply to a read of rel under snapshot; costs a cache probe.
bool MayHaveOverlay(Relation rel, Snapshot snapshot);

// The overlay that a read of rel under snapshot has to apply, held; nullptr when it reads the base as it is. ForRows: who asks
// resolves the groups he comes to, and so do all parts of his scan; the overlay may have unresolved ones. Whole: it has none.
enum class Wanted { Whole, ForRows };
Overlay *OverlayForRead(Relation rel, Snapshot snapshot, Wanted wanted);

}  // namespace pgstream
