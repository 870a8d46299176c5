// Dropping stream tables: what the object-access hook sees of every DROP, CASCADE and DROP OWNED.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Detaches capture from the sources whose last stream table went since the last call.
void DetachUnusedSources();

// Forgets what a stream table reads; the sources are detached by the next DetachUnusedSources, unless used again.
void ForgetSources(Oid relid);

void InitDrop();  // called once by _PG_init

}  // namespace pgstream
