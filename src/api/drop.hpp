// Dropping stream tables: what the object-access hook sees of every DROP, CASCADE and DROP OWNED.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Forgets what a stream table reads; the sources are detached before the commit, unless used again.
void ForgetSources(Oid relid);

// Makes a stream table that was turned into a plain table (SET ACCESS METHOD) forget what it was: no definition, no catalog
// row, no key index.
void DisbandStream(Oid relid);

void InitDrop();  // called once by _PG_init

}  // namespace pgstream
