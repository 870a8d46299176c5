// Changed rows grouped straight from the records of the log, for plans simple enough: what conditions compare with constants are plain
// columns, and so are keys and the arguments of all aggregates, or integer arithmetic on such. Keys may be of any type passed by value, of texts or UUIDs, whose equality
// is that of bytes; what is summed or compared, integers or alike (dates, times, timestamps, oids) or, summed only, numerics.
//
// Promises: a group's changes taken from here and those that were consolidated row by row are of disjoint sets of row images,
// so that either order of applying them gives what the query gives. No row raises an error.
// Refuses: other plans (NewDirectGroups), and single rows, which go the usual way: those with a NULL key, those of groups
// beyond what memory allows, those with a numeric of another scale than the first one has, or of more
// than 16 digits, those for which arithmetic would raise an error.
#pragma once

#include "core/batch_codec.hpp"
#include "delta/aggregate.hpp"
#include "delta/direct_plan.hpp"

namespace pgstream {

struct DirectGroups {
  BatchGroups groups;
  int64 rows;  // that were taken, ever

  BatchGroupPlan plan;
  int ncolumns;
  DirectColumn *columns;
  int *sums;            // of each aggregate: its sum; -1: it counts rows
  MemoryContext context;  // of what is gathered

  // Of rows that are taken together: room for so many, and the plan's columns of them.
  uint32 room;
  int64 *values;  // column after column
  const uint8 **places;
  uint32 *sizes;
  int8 *weights;
  uint8 *left;
  uint8 *marked;  // rows for which an operation has no result
  uint8 *nulls;   // bitmap after bitmap, of Computed columns
  BatchColumnValues *given;
};

// For a plan of groups with states, in the current context; nullptr where the plan is not of that kind. What is gathered lives in
// `context`, in about `limit` bytes.
DirectGroups *NewDirectGroups(const DeltaPlan *plan, const RowExpressions *row, MemoryContext context, Size limit);

// The same of a plan in that form. Nothing of it is written to but columns.
DirectGroups *NewDirectGroupsOf(const DirectPlan *plan, MemoryContext context, Size limit);

// Takes the rows of a record; positions are those of the row's used columns. nullptr: all of them; else the others are those
// whose byte is not 0.
const uint8 *TakeDirectly(DirectGroups *direct, const BatchDecoder *record, const int *positions);

// Forgets everything gathered; the caller has reset its context.
void ForgetDirectGroups(DirectGroups *direct);

// False for a group of which as much came as went, to the last value.
bool HasChanges(const DirectGroups *direct, uint32 group);

// A group's key values, in the current context where by reference; none is NULL.
void DirectKeys(const DirectGroups *direct, uint32 group, Datum *values, bool *nulls);

// Brings states up to date by what was gathered of a group, except those of aggregates without inputs.
void ApplyDirectly(const DirectGroups *direct, uint32 group, const AggregateSet *set, AggregateState *states);

}  // namespace pgstream
