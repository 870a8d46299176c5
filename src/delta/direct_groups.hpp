// Changed rows grouped straight from the records of the log, for plans simple enough: keys, conditions and the arguments of all
// aggregates are plain columns of integers (or dates, times, timestamps, oids).
//
// Promises: a group's changes taken from here and those that were consolidated row by row are of disjoint sets of row images,
// so that either order of applying them gives what the query gives. Nothing is evaluated: no row can raise an error.
// Refuses: other plans (NewDirectGroups), and single rows, which go the usual way: those with a NULL key, those of groups
// beyond what memory allows.
#pragma once

#include "core/batch_groups.hpp"
#include "delta/aggregate.hpp"
#include "pg/row_program.hpp"

namespace pgstream {

struct DirectGroups {
  BatchGroups groups;
  int64 rows;  // that were taken, ever

  BatchGroupPlan plan;
  int *columns;         // of the plan's columns: which of the row's used ones
  int *positions;       // ... and, for a record, which of its columns
  int16 *key_lengths;
  int *sums;            // of each aggregate: its sum; -1: it counts rows
  uint8 *left;
  uint32 left_room;
  MemoryContext context;  // of what is gathered
};

// For a plan of groups with states, in the current context; nullptr where the plan is not of that kind. What is gathered lives in
// `context`, in about `limit` bytes.
DirectGroups *NewDirectGroups(const DeltaPlan *plan, const RowExpressions *row, MemoryContext context, Size limit);

// Takes the rows of a record; positions are those of the row's used columns. nullptr: all of them; else the others are those
// whose byte is not 0.
const uint8 *TakeDirectly(DirectGroups *direct, const BatchDecoder *record, const int *positions);

// Forgets everything gathered; the caller has reset its context.
void ForgetDirectGroups(DirectGroups *direct);

// False for a group of which as much came as went, to the last value.
bool HasChanges(const DirectGroups *direct, uint32 group);

// A group's key values; none is NULL.
void DirectKeys(const DirectGroups *direct, uint32 group, Datum *values, bool *nulls);

// Brings states up to date by what was gathered of a group, except those of aggregates without inputs.
void ApplyDirectly(const DirectGroups *direct, uint32 group, const AggregateSet *set, AggregateState *states);

}  // namespace pgstream
