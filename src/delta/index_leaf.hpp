// Several entries of one leaf of a B-tree, found by one descent.
//
// A lookup by the server's own index scan descends from the root each time. Who looks for many keys in their order comes to the
// same leaf again and again: once a descent has led there, further keys are found in it by bisection.
//
// Promises: of a key that a leaf is said to answer, every entry of the index is given that an index scan would return, in the
// same order. Refuses: other indexes than those on one column of bigint, in ascending order; keys that are not greater than the
// one of the descent.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

struct IndexLeaf {
  Relation index;
  Buffer buffer;  // pinned; InvalidBuffer: none is known
};

// True for the indexes that leaves can be read of.
bool MayReadLeaves(Relation index);

// Remembers the leaf on which `scan`, an index scan for one key, has just found its first entry.
void KeepLeaf(IndexLeaf *leaf, IndexScanDesc scan);

// Puts the places of the entries of this key into tids, `room` of them at most, and returns how many there are; room + 1 where
// there are more. -1: the leaf cannot tell, because the key is not known to belong to it alone.
int FindInLeaf(const IndexLeaf *leaf, IndexScanDesc scan, int64 key, ItemPointer tids, int room);

void ForgetLeaf(IndexLeaf *leaf);

}  // namespace pgstream
