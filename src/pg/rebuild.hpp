// Marking stream tables for rebuild: what their bases contain can no longer be trusted, and readers recompute until the
// next refresh. The mark is the version in pgs_stream, which the frontier no longer matches.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Marks one stream table. Waits for a transaction that is changing its row in pgs_stream. Nothing for one that is not in the
// catalogs, or that holds the result of its last refresh in any case.
void RaiseVersion(Oid stream);

// The same where the command counter must not be incremented: the mark is visible after the next increment.
void RaiseVersionAmidCommand(Oid stream);

// The version of a stream table as committed now (or by this transaction), whatever this backend has cached; 0 when gone.
int32 CurrentStreamVersion(Oid stream);

// Marks every stream table that reads a captured source.
void MarkForRebuild(Oid source);

}  // namespace pgstream
