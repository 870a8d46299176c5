// What DDL may not do with a stream table, and what happens when ALTER TABLE makes it a plain one.
//
// Promises: what would leave a table that is not what its query says, or a relation that relies on its rows staying, is
// refused before it runs, with what to do instead. Refuses: to judge DDL of sources (source_ddl.hpp does).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// A stream table with a definition behind a name; InvalidOid otherwise. No lock: the statement itself takes it.
Oid StreamNamed(const RangeVar *relation);

// Whether a name given in a statement is that of our access method.
bool NamesStreamMethod(const char *access_method);
// The method that a statement without a name takes is the session's.
const char *EffectiveMethod(const char *access_method);

// Whether an ALTER TABLE command leaves the rows, columns, constraints and triggers of whatever table it is about as they are.
bool IsAboutStorage(AlterTableType type);

// Before an ALTER TABLE. True when it is of an existing table that is no stream table. *leaving: the stream table that it
// takes out of our access method, to be given to DisbandStream after it; or InvalidOid.
bool CheckAlterTable(const AlterTableStmt *statement, Oid *leaving);
// Before a CREATE TABLE or CREATE FOREIGN TABLE.
void CheckCreateTable(const CreateStmt *statement);
void CheckSetSchema(const AlterObjectSchemaStmt *statement);

// True for the copy of a key index that CREATE TABLE (LIKE ... INCLUDING INDEXES) is about to make on another table.
bool CopiesKeyIndex(const IndexStmt *statement);

}  // namespace pgstream
