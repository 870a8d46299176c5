// The hidden state of a row: one bytea beyond the relation's last column, which the server never deforms.
//
// A base row has one attribute more than its relation (the state), an addition two (the state and the TID of the base
// row that it replaces, for the fold). Promises: reading it from a row that has none gives a null pointer. Refuses: to
// promise that it is there: it is a cache (VACUUM FULL, restore and TOAST lose it), and who needs it must do without.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// The relation's row type with both further attributes: number natts + 1 is the state (bytea), natts + 2 the TID of the
// replaced base row (tid). Made in the current context.
TupleDesc ExtendedDescriptor(Relation rel);

// The hidden state of a row, nullptr when it has none. Points into the tuple, perhaps with a short header
// (VARDATA_ANY).
bytea *HiddenState(HeapTuple tuple, TupleDesc extended);

// The TID of the base row that an addition replaces, nullptr when it replaces none. Points into the tuple.
ItemPointer ReplacedRow(MinimalTuple addition, TupleDesc extended);

// The row of an addition as the base keeps it, in the current context: without the TID, and without the state's attribute where it
// has none.
HeapTuple BaseTuple(MinimalTuple addition, TupleDesc extended);

// Forms the tuple of an addition in the current context from the values of the relation's own columns. Values out of
// line or compressed are fetched, since what they point to may be gone when the addition is read. state and
// base_tid may be null pointers.
MinimalTuple FormAddition(TupleDesc extended, const Datum *values, const bool *nulls, const bytea *state,
                          const ItemPointerData *base_tid);

}  // namespace pgstream
