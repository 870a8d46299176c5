// Dropping stream tables: what the object-access hook sees of every DROP, CASCADE and DROP OWNED.
#pragma once

namespace pgstream {

// Detaches capture from the sources whose last stream table went since the last call.
void DetachUnusedSources();

void InitDrop();  // called once by _PG_init

}  // namespace pgstream
