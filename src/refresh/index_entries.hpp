// Index entries of the rows that a fold writes, gathered and inserted index by index in the index's own order.
//
// In the order of the rows, every entry goes to another page of an index: a descent through memory that is in no cache. In the
// order of the index, entries for one page follow each other.
//
// Promises: after InsertIndexEntries each row given has its entries, and what a unique index refuses was refused. Entries of
// B-trees wait (until they take maintenance_work_mem); other indexes, and those with constraints of another kind than uniqueness,
// get theirs at once. Predicates and expressions are evaluated when the row is given. Refuses: to be without entries for rows that
// anybody else could see: gather in the transaction that writes the rows, insert before it does anything else.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

struct IndexEntries;

// result has its indexes open (ExecOpenIndices); it has them again after EndIndexEntries. In the current context.
IndexEntries *BeginIndexEntries(ResultRelInfo *result, EState *estate);
// slot: the row as it lies in the heap, with TID and table OID. only_summarizing as ExecInsertIndexTuples has it.
void GatherIndexEntries(IndexEntries *entries, TupleTableSlot *slot, bool only_summarizing);
void InsertIndexEntries(IndexEntries *entries);
// Nothing may be waiting.
void EndIndexEntries(IndexEntries *entries);

}  // namespace pgstream
