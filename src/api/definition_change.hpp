// Silent changes: DDL that makes a defining query return something else although no source's log tells of it. A function is
// replaced, a view, an enum's label, an attribute of a composite type.
//
// Promises: every stream table whose definition such DDL can reach has its version raised in the DDL's own transaction, so
// that from the instant the change is seen, by whoever sees it, readers recompute until a refresh has rebuilt the base. A
// rollback takes both back. Refuses: to know what a function's text body calls.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Raises the version of all stream tables that an object's change can reach.
void MarkReached(Oid class_id, Oid object_id);

// Marks what a statement is about to change, where the object-access hook does not tell or tells too late.
void MarkBefore(Node *statement);

void InitDefinitionChange();  // called once by _PG_init

}  // namespace pgstream
