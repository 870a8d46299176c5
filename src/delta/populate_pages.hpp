// The rows of a populate, grouped from the pages of the source column by column.
//
// Promises: locks, permission checks, errors and rows of the executor. Refuses: plans that are not a scan of the whole of an ordinary
// table, or whose groups are not of the kind of direct_groups.hpp (SumPages says so, before it reads a row).
#pragma once

#include "delta/direct_groups.hpp"
#include "delta/evaluate.hpp"

namespace pgstream {

// Groups the rows of a stream table's source. run: the plan of the query that gives keys and aggregate inputs of each row. Rows that
// cannot be summed are visited as that query would give them, until *stop. Everything is allocated in the current context, in
// about `limit` bytes, and as many more for each of the parallel workers that took part. nullptr: nothing was done, and the plan is
// to be run. In the owner's scope.
const DirectGroups *SumPages(const Stream *stream, PlannedStmt *run, Snapshot snapshot, Size limit, RowVisitor visit, void *argument,
                             const bool *stop, int *workers);

}  // namespace pgstream
