// Statements whose changes of a source are visible before their log records are.
//
// While a statement on a source runs, a query inside it (of a row trigger, or of a function called for each row) sees rows
// that it has changed, but not the log record, which its AFTER STATEMENT trigger writes. That query's snapshot is inexact
// for the log: then, and also when a cursor with it is read later. So the command ids from the first change to the log write
// are kept, for each source, until the transaction ends.
//
// Promises: what belongs to an aborted subtransaction is forgotten with it; a statement that never came to its end is told to
// the log as a change that it does not hold. Refuses: to know of other backends' statements,
// which no snapshot of ours sees half.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Called before the first change, and after the log was written. first: the statement's changes have this command id or, where
// that is not known, an earlier one than any snapshot taken from now on that sees them; it is marked as used.
void OpenStatement(Oid source, CommandId first);
void CloseStatement(Oid source);

// True while a statement on source runs, whose end will be told.
bool StatementIsOpen(Oid source);

// True when a snapshot of this transaction with this command id sees changes of source that it may not see in the log.
bool IsMidStatement(Oid source, CommandId command);

// True when any statement of this transaction has left such command ids behind: nearly always false, and cheap.
bool AnyMidStatement();

void InitOpenStatements();  // called once by InitCapture

}  // namespace pgstream
