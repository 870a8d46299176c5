// Partition and inheritance trees, as pg_inherits has them now.
//
// Promises: no lock on any relation; the order in which the server itself locks a tree (the root first, then level by
// level, by OID). Refuses: to leave out a partition whose detaching is under way: it is reported, and in the list.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// A relation and everything that inherits from it, each once. *detaching (may be nullptr) is set when DETACH
// CONCURRENTLY has not finished somewhere in it.
List *TreeMembers(Oid root, bool *detaching);

// Everything that a relation inherits from, near or far, each once, in the order of OIDs.
List *AncestorsOf(Oid relid);

// True when rows of the relation may be written by a statement that names another one, or lie in another one.
bool IsInTree(Oid relid);

}  // namespace pgstream
