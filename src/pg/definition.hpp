// Where the definition of a stream table is kept: a disabled ON INSERT DO INSTEAD SELECT rule of the table itself.
//
// The server then records what the query depends on, follows renames, refuses to change a used column's type, shows the
// query in \d and dumps it after the data. Promises: the query that comes back is the analysed one, without the rule's
// OLD and NEW entries. Refuses: nothing; who may define is api's matter.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

inline constexpr const char *kDefinitionRule = "pgstream_query";

// Stores query as the definition of relation rel (AccessExclusiveLock held by its creation), and makes the dependency of
// the rule on the table internal, so that dropping a source with CASCADE drops the stream table.
void StoreDefinition(Relation rel, const Query *query);

// Replaces the definition of rel (AccessExclusiveLock held) by another query with the same columns.
void ReplaceDefinition(Relation rel, const Query *query);

// That last step alone, for a rule that a restore created.
void MakeDefinitionInternal(Relation rel);

// The defining query of rel in the current memory context; nullptr when rel has no such rule, or one (written by hand) whose
// query does not have its columns, modifies or locks what it reads, or reads what a rule alone can read.
Query *LoadDefinition(Relation rel);

// The query's text with every name qualified, in the current memory context.
char *DeparseQuery(const Query *query, bool pretty);

}  // namespace pgstream
