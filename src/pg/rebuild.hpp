// Marking stream tables for rebuild: what their bases contain can no longer be trusted, and readers recompute until the
// next refresh. The mark is the version in pgs_stream, which the frontier no longer matches.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Marks one stream table. Waits for a transaction that is changing its row in pgs_stream.
void RaiseVersion(Oid stream);

// Marks every stream table that reads a captured source.
void MarkForRebuild(Oid source);

}  // namespace pgstream
