// Summing the pages of a table together with parallel workers.
//
// The workers are the server's: they have its snapshot, transaction state, settings, locks and errors, as those of a parallel
// sequential scan, whose blocks all share. Each sums column by column into groups of its own, which it sends to the leader when no
// block is left, and rows that it does not sum at once, as they are.
//
// Promises: every row is summed or taken once; workers call no function that a query names, write nothing, and are gone when it
// returns. Where none is to be had, the leader does it alone. Refuses: to run beside anything that writes (parallel mode).
#pragma once

#include "delta/direct_page.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// How many workers the server would scan the stream table's one source with, to run its query; 0: it would not do so in parallel.
int PlannedWorkers(const Stream *stream, Snapshot snapshot);

// Sums all pages under the active snapshot, until *stop. wanted: the used columns of groups that are empty. Each process takes about
// `limit` bytes for its groups, and the leader for all of them. Returns how many workers took part.
int SumTogether(DirectGroups *direct, Relation rel, int nwanted, const AttrNumber *wanted, int nworkers, Size limit, RowTaker take,
                void *argument, const bool *stop);

}  // namespace pgstream
