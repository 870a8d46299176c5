// Changing stream tables: options, state, mode and query, without dropping them.
//
// Promises: OID, grants, comments, users' indexes and dependants stay; a query that is another spelling of the present one
// changes nothing. Refuses: a query whose columns are others, and one that reads the stream table itself.
#pragma once

#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

struct Alteration {
  bool sets_schedule;
  const char *schedule;  // canonical; nullptr: calculated
  bool sets_mode;
  RefreshMode mode;
  const char *status;  // nullptr: unchanged
  const Query *query;  // analysed; nullptr: unchanged
};

// What an alteration would do to a stream table.
struct AlterationEffect {
  bool options;       // schedule or status differ
  bool redefines;     // query or mode differ: the base is computed anew
  char *misfits;      // nullptr, or how the new query's columns differ: the alteration would be refused
  List *reasons;      // C strings, for people
};

AlterationEffect EffectOf(Relation rel, const Alteration *alteration);

// Checks an alteration that redefines, gives back `lock` (and closes the table), and waits for the exclusive lock together with
// what attaching the sources needs. A refresh may be waiting for the first, whose reads the second waits for, and a writer of a
// source may be about to read the table. What was known of the table may have changed then.
void LockForRedefinition(Relation rel, LOCKMODE lock, const Alteration *alteration, const AlterationEffect *effect);

// Alters stream table rel, on which the caller holds AccessExclusiveLock (ShareUpdateExclusiveLock suffices for options).
// Closes rel.
void AlterStream(Relation rel, const Alteration *alteration, const AlterationEffect *effect);

// "ACTIVE" or "PAUSED", whatever the case it is written in; other states are not a user's to set.
const char *ParseStatus(const char *text);

}  // namespace pgstream
