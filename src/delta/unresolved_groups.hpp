// Changed groups that wait to be asked for.
//
// A lookup of one key needs one group. So where all parts of a scan ask for single groups (delta/shared_read.hpp), the groups
// strategy only groups what is pending; a group is *resolved*, which brings it into the overlay, when somebody comes to it: the
// delta arm by the values of key columns, an index scan by a base row, whose group says whether it is masked. All that are left are
// resolved together for who wants the overlay whole, once single ones have cost as much as that, and where a group has to be
// evaluated by key.
//
// Promises: what is resolved is what the whole overlay would have, whenever it is asked for and after any error on the way; what
// is in the overlay stays. Refuses: to have the reader recompute: base rows may have been returned.
#pragma once

#include "delta/addition_hash.hpp"
#include "delta/overlay.hpp"

namespace pgstream {

struct GroupsDelta;

// Lets all touched groups of a delta wait: its overlay has them unresolved.
void DeferGroups(GroupsDelta *delta);

// False while some are being resolved, or when that ended in an error: who holds the overlay can go on, nobody else should.
bool MayBeAsked(const UnresolvedGroups *unresolved);

// Resolves all groups of an overlay that has unresolved ones; the snapshot is one that it was made for.
void ResolveAllGroups(Overlay *overlay, Relation rel, Snapshot snapshot);

// Resolves the group of a base row, if that has changed: afterwards the mask says whether the row is superseded.
void ResolveGroupOfRow(Overlay *overlay, Relation rel, TupleTableSlot *row, Snapshot snapshot);

// The changed groups by the hash of key columns; its ordinals are numbers of groups. nullptr: a column is none of a key, or looking
// up has cost so much that the overlay is whole now.
const AdditionHash *LookUpUnresolved(Overlay *overlay, Relation rel, Snapshot snapshot, const HashedColumn *columns, int ncolumns);

// Resolves a group by its number. Returns the ordinal of its addition, -1 when it has none. The numbers hold for as long as the
// overlay is held, also when it is whole by then.
int64 AdditionOfGroup(UnresolvedGroups *unresolved, int64 number, Relation rel, Snapshot snapshot);

}  // namespace pgstream
