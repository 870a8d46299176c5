// A bag of base rows, found by their image: what a fold compares new rows with, so that rows that stay are not written.
//
// Promises: rows match when all their columns and their hidden states have the same bytes; each base row is taken once.
// Refuses: to grow past its limit: it then says so, and holds no rows.
#pragma once

#include "delta/base_lookup.hpp"
#include "pg/includes.hpp"

namespace pgstream {

struct BagRow {
  BagRow *next;     // in its bucket
  BagRow *sibling;  // another row that its owner keeps in a list
  int64 hash;
  bool taken;
  ItemPointerData tid;
  MinimalTuple tuple;  // with the hidden attributes
};

struct RowBag;

// An empty bag of rows of rel. It lives in a memory context of its own under the current one.
RowBag *NewRowBag(Relation rel, Size limit);

// Adds a base row. nullptr when the bag has no room, from then on.
BagRow *AddToBag(RowBag *bag, const BaseRow *row);

bool BagIsFull(const RowBag *bag);

// Takes a row that is equal to these values (the relation's columns) and this state (or nullptr) out of the bag; nullptr
// when there is none.
BagRow *TakeFromBag(RowBag *bag, const Datum *values, const bool *nulls, const bytea *state);

// Visits the TIDs of the rows that were not taken.
using TidVisitor = void (*)(ItemPointer tid, void *argument);
void VisitRestOfBag(const RowBag *bag, TidVisitor visit, void *argument);

}  // namespace pgstream
