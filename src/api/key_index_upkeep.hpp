// Making, hiding and dropping the internal index that finds a base row from its key.
//
// Promises: the index depends internally on its table, so nobody drops it alone, and is marked invalid though it is complete
// and kept up to date: so no plan uses it and no dump has it. Refuses: to hide an index that somebody is rebuilding; a later
// call does.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Finds or creates the key index of a stream table that needs one. Where a cursor of this session has the table open, none is
// created: base rows are then found by passes until the next refresh.
void EnsureKeyIndex(Oid relid);

// Drops an index or rule that depends internally on its table, which the server does not do alone.
void DropInternal(Oid class_id, Oid object_id);

// Hides every key index that a rebuild (REINDEX, VACUUM FULL, CLUSTER) has made valid.
void HideKeyIndexes();

}  // namespace pgstream
