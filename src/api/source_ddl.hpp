// Commands that change a source, or a tree that a source is part of, in ways that no trigger sees.
//
// Promises: stream tables that such a command concerns are marked for rebuild in the command's own transaction, in the first
// of DETACH CONCURRENTLY's; a new table of a captured tree is captured from its first row on. Refuses: to let a command
// fail, or its writers, because a captured tree gets a member that cannot be captured.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// What is to be done again after a command, when it has its locks.
struct SourceDdl {
  Oid table;    // that it changes, or whose place in a tree; InvalidOid: nothing is to be done
  Oid parent;   // whose child the table becomes or ceases to be; InvalidOid for another change
  List *marked; // stream tables marked before the command
};

// Before an ALTER TABLE of what is not a stream table. Takes the lock that the command itself takes, if the user may alter
// the table.
void BeforeAlterTable(const AlterTableStmt *statement, SourceDdl *ddl);
void AfterTreeChange(const SourceDdl *ddl);

// Before a CREATE FOREIGN TABLE with parents.
void BeforeForeignChild(List *parents);

// After any command: tables it created are captured where a source's rows may lie in them.
void AdoptNewTables();

void InitSourceDdl();  // called once by _PG_init, with the utility hook

}  // namespace pgstream
