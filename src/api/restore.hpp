// What the script of a dump does to stream tables, where the server or this extension would refuse it.
//
// Promises: --clean and --data-only restore into databases that have the stream tables; a definition that is a set operation
// is restored; what comes from a dump goes with its sources and is kept out of replication before it is enrolled. Nothing here
// gives a user more than dropping his stream tables would. Refuses: the first two outside of such scripts (pg/restoring.hpp).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

enum class RestoreSequel { Nothing, StoreOptions, NoteRows, TakeRows, SettleDefinition, HideCatalog };

struct RestoreStep {
  Node *statement;  // to be run in place of the original; nullptr: nothing
  RestoreSequel sequel = RestoreSequel::Nothing;
  Oid table = InvalidOid;     // what the sequel concerns
  Node *condition = nullptr;  // StoreOptions: that of the rule, as parsed
};

// Before a statement: what to run in its place, which is the statement itself for nearly all.
RestoreStep BeginRestoreStep(Node *statement);
void FinishRestoreStep(const RestoreStep *step);

}  // namespace pgstream
