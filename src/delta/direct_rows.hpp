// Filling in the columns of some rows, which are then grouped: what takers of rows share (those of a record of the log are taken in
// direct_rows.cpp itself).
//
// A taker calls BeginRows, gives values to every column in order of their numbers, and weights to the rows, and calls SumRows.
//
// Promises: a row whose value cannot be had is left. Refuses: to know where rows come from.
#pragma once

#include "delta/direct_groups.hpp"

namespace pgstream {

// Room for so many rows, none of which is left.
void BeginRows(DirectGroups *direct, uint32 nrows);

// Where the values of a column belong.
inline int64 *DirectValues(DirectGroups *direct, int number) {
  return direct->values + static_cast<Size>(number) * direct->room;
}

// Fills in a column that follows from others, before it, or from nothing; false for one of the source's.
bool DeriveColumn(DirectGroups *direct, int number, uint32 nrows);

// Fills in a column of Bytes or Decimal whose values lie at direct->places and have direct->sizes, except where direct->given says
// that they are NULL.
void TakeStored(DirectGroups *direct, int number, uint32 nrows);

// Sums rows. nullptr: all of them; else the others are those whose byte is not 0.
const uint8 *SumRows(DirectGroups *direct, uint32 nrows);

}  // namespace pgstream
