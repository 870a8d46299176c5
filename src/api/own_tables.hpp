// The extension's own tables, catalogs and change logs, are written by the library alone.
//
// Promises: INSERT, UPDATE, DELETE, MERGE, COPY, row locks and TRUNCATE of them fail with 42501, whoever was granted the right,
// by pg_write_all_data, by ownership or through a view; so do LOCK TABLE commands of others than superusers that could stop
// the library. Refuses to hinder a superuser who has set allow_system_table_mods (or deletes
// from the history), scripts of extensions, and pg_upgrade.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

void InitOwnTables();

// Raises 42501 where the statement would lock the extension's tables against the library.
void CheckLock(const LockStmt *lock);

}  // namespace pgstream
