// Logical replication and what belongs to pg_stream: its own tables are neither sent nor received, whatever is published.
//
// Promises: no change of a stream table's base reaches a logical decoding plugin, as it would tell subscribers of rows, at a
// fold, which the initial copy had as pending ones; what a publisher sends for a stream table of ours is left out, as our
// table follows from our sources. Refuses: to publish a stream table by name.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Makes both so for a stream table, which the caller holds a self-exclusive lock on.
void HideFromReplication(Relation rel);

// The first alone, for one of our catalogs. Creating the extension does so itself; pg_upgrade does not run its script.
void HideCatalogFromReplication(Oid relid);

// Takes both back, for one that becomes an ordinary table.
void ShowToReplication(Oid relid);

// Raises an error when a publication names a stream table.
void CheckPublication(Node *statement);

}  // namespace pgstream
