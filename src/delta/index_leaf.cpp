// Reading a leaf; see index_leaf.hpp.
//
// Why a leaf that was right for a smaller key can answer for a greater one: entries only ever move to the right, by a split, so
// what is not below the leaf's first key, and is below its high key while its lock is held, is on it or nowhere. A leaf that
// VACUUM has deleted says so, and its page is not given to others while a transaction may still come to it, as this one may.
//
// Under SERIALIZABLE the descent has locked the leaf's page for conflicts; a split passes such locks on.
#include "delta/index_leaf.hpp"

#include "pg/compat.hpp"

extern "C" {
#include "access/nbtree.h"
}

namespace pgstream {
namespace {

IndexTuple EntryAt(Page page, OffsetNumber offset) {
  return reinterpret_cast<IndexTuple>(PageGetItem(page, PageGetItemId(page, offset)));
}

// Less than, equal to or greater than zero, as the entry's key is to this one. NULL comes behind all others.
int CompareEntry(IndexTuple entry, int64 key) {
  if (IndexTupleHasNulls(entry)) return 1;
  int64 stored;
  memcpy(&stored, reinterpret_cast<const char *>(entry) + IndexInfoFindDataOffset(entry->t_info), sizeof(stored));
  return stored < key ? -1 : stored > key;
}

// True when entries of this key, which is greater than one that led here, can be nowhere else.
bool IsOfLeaf(Relation index, Page page, int64 key) {
  const BTPageOpaque opaque = BTPageGetOpaque(page);
  if (!P_ISLEAF(opaque) || P_IGNORE(opaque)) return false;
  if (P_RIGHTMOST(opaque)) return true;
  const IndexTuple high = EntryAt(page, P_HIKEY);
  return BTreeTupleGetNAtts(high, index) > 0 && CompareEntry(high, key) > 0;
}

OffsetNumber FirstNotBelow(Page page, int64 key) {
  OffsetNumber low = P_FIRSTDATAKEY(BTPageGetOpaque(page)), high = OffsetNumberNext(PageGetMaxOffsetNumber(page));
  while (low < high) {
    const auto middle = static_cast<OffsetNumber>(low + (high - low) / 2);
    if (CompareEntry(EntryAt(page, middle), key) < 0)
      low = OffsetNumberNext(middle);
    else
      high = middle;
  }
  return low;
}

// Puts the places of an entry behind the `count` that are there, as far as there is room, and returns how many there are then;
// no more than room + 1.
int TakePlaces(IndexTuple entry, ItemPointer tids, int count, int room) {
  const int more = BTreeTupleIsPosting(entry) ? BTreeTupleGetNPosting(entry) : 1;
  if (count + more > room) return room + 1;
  memcpy(tids + count, BTreeTupleIsPosting(entry) ? BTreeTupleGetPosting(entry) : &entry->t_tid,
         sizeof(ItemPointerData) * static_cast<Size>(more));
  return count + more;
}

}  // namespace

bool MayReadLeaves(Relation index) {
  return index->rd_rel->relam == BTREE_AM_OID && IndexRelationGetNumberOfAttributes(index) == 1 &&
         index->rd_opcintype[0] == INT8OID && index->rd_indoption[0] == 0;
}

void KeepLeaf(IndexLeaf *leaf, IndexScanDesc scan) {
  const BlockNumber block = static_cast<BTScanOpaque>(scan->opaque)->currPos.currPage;
  if (BufferIsValid(leaf->buffer) && BufferGetBlockNumber(leaf->buffer) == block) return;
  ForgetLeaf(leaf);
  leaf->buffer = ReadBuffer(leaf->index, block);
}

int FindInLeaf(const IndexLeaf *leaf, IndexScanDesc scan, int64 key, ItemPointer tids, int room) {
  if (!BufferIsValid(leaf->buffer)) return -1;
  LockBuffer(leaf->buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(leaf->buffer);
  int count = -1;
  if (IsOfLeaf(leaf->index, page, key)) {
    count = 0;
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    for (OffsetNumber at = FirstNotBelow(page, key); at <= last && count <= room; at = OffsetNumberNext(at)) {
      if (CompareEntry(EntryAt(page, at), key) != 0) break;
      // The server has seen that nobody needs the row; a snapshot of a standby might.
      if (scan->ignore_killed_tuples && ItemIdIsDead(PageGetItemId(page, at))) continue;
      count = TakePlaces(EntryAt(page, at), tids, count, room);
    }
  }
  LockBuffer(leaf->buffer, BUFFER_LOCK_UNLOCK);
  return count;
}

void ForgetLeaf(IndexLeaf *leaf) {
  if (BufferIsValid(leaf->buffer)) ReleaseBuffer(leaf->buffer);
  leaf->buffer = InvalidBuffer;
}

}  // namespace pgstream
