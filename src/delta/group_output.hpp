// A group's way in and out: source row -> (keys, inputs), and (keys, results) -> row of the stream table.
//
// Promises: rows hold no pointer to toasted values of another table; nothing outlives the next call but what is said to.
#pragma once

#include "delta/group_table.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// The target list of a *group row* over the source: the keys, then, with_inputs, the aggregates' input row.
List *GroupRowTargets(const DeltaPlan *plan, bool with_inputs);

struct GroupRowReader {
  ExprContext *econtext;
  TupleTableSlot *slot;
  ProjectionInfo *projection;
};

// Evaluates group rows. In the owner's scope.
GroupRowReader *NewGroupRowReader(const DeltaPlan *plan, bool with_inputs);

// The group row of a source row: a virtual tuple, valid until the next.
TupleTableSlot *ReadGroupRow(GroupRowReader *reader, TupleTableSlot *source);

struct GroupWriter {
  const DeltaPlan *plan;
  AggregateSet *aggregates;  // nullptr where groups have no states
  TupleTableSlot *inner;     // keys and results
  ExprContext *econtext;
  ExprState *having;
  ProjectionInfo *outputs;
  TupleTableSlot *row;  // of the stream table
  TupleDesc extended;   // with the hidden attributes (delta/hidden_state.hpp)
};

// Makes rows of rel out of groups; aggregates may be nullptr when only ResultTuple is used. In the owner's scope.
GroupWriter *NewGroupWriter(Relation rel, const DeltaPlan *plan, AggregateSet *aggregates);

// The row of a group by its keys and states; nullptr when HAVING leaves it out. Valid until the next.
TupleTableSlot *WriteGroupRow(GroupWriter *writer, Group *group);

// Row and state of a group as a tuple, in the writer's per-tuple memory: valid until the next row is written. With
// hidden, it carries the group's state and the TID of its base row.
MinimalTuple GroupTuple(GroupWriter *writer, TupleTableSlot *row, Group *group, bool hidden);

// The same of a row that the query itself returned, without state.
MinimalTuple ResultTuple(GroupWriter *writer, TupleTableSlot *slot, Group *group, bool hidden);

// The hidden state of a group, in the writer's per-tuple memory.
bytea *GroupStateBytes(GroupWriter *writer, Group *group);

}  // namespace pgstream
