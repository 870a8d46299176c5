// Open queries of this session that read a stream table, when a source of it is about to change without regard to snapshots.
//
// A cursor may run the defining query as late as at its first fetch. What TRUNCATE, a rewriting ALTER TABLE or a DROP TABLE of a part
// of the source takes away from the cursor's snapshot in this very transaction would be missing there, so the command is refused,
// as the server refuses it where a query is open on the source itself.
//
// Refuses: to look at other sessions; what they have open keeps the command waiting.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Raises 55006 where a query of this session has one of these stream tables (OIDs) open. command: as in "cannot TRUNCATE".
void CheckNotRead(Oid source, const List *streams, const char *command);

}  // namespace pgstream
