// Commands that change a source, or a tree that a source is part of, in ways that no trigger sees.
//
// Promises: stream tables that such a command concerns are marked for rebuild in the command's own transaction, in the first
// of DETACH CONCURRENTLY's; a new table of a captured tree is captured from its first row on. Refuses: to let a command
// fail, or its writers, because a captured tree gets a member that cannot be captured.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// What is to be done again after the command, when it has its locks.
struct SourceDdl {
  List *tables;  // OIDs that it changes
  List *marked;  // stream tables marked before it
};

// Before and after an ALTER TABLE that is not harmless, of relid and another table that it makes its parent or child (or
// neither: InvalidOid).
void BeforeTreeChange(Oid relid, Oid other, SourceDdl *ddl);
void AfterTreeChange(const SourceDdl *ddl);

// What has to be done for an ALTER TABLE statement that does not concern a stream table. Takes the lock that the command
// itself takes, if the user may alter the table.
void BeforeAlterTable(const AlterTableStmt *statement, SourceDdl *ddl);

// Before a CREATE FOREIGN TABLE with parents.
void BeforeForeignChild(List *parents);

// After any command: tables it created are captured where a source's rows may lie in them.
void AdoptNewTables();

void InitSourceDdl();  // called once by _PG_init, with the utility hook

}  // namespace pgstream
