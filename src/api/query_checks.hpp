// What a query must be like to define a stream table.
//
// Promises: what passes can be stored as a definition and answered, by recompute at least. Refuses: data-modifying and
// locking queries, parameters, temporary relations, volatile functions outside FULL mode, a table that would read itself.
#pragma once

#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// The text of a defining query as one SELECT, and that analysed; anything else is refused with a clear message.
SelectStmt *ParseSelect(const char *query);
const Query *AnalyseSelect(const char *query);

// query: what CREATE TABLE AS holds after analysis, a Query.
void CheckDefinition(const Node *query, RefreshMode mode);

// Whether the query reads stream table relid, be it through views or other stream tables.
bool ReadsStream(const Query *query, Oid relid);

}  // namespace pgstream
