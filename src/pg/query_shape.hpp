// The query as the strategies see it: views expanded, WITH queries used once put in their place, and simple subqueries
// in FROM (filter and projection) merged into the query around them.
//
// What is left is a chain: the outermost query, whose FROM may be one subquery, whose FROM may be one subquery, and so
// on to a table. Promises: the query that comes back has the same result and asks for the same permissions. Refuses:
// to take joins, set operations or anything with a LIMIT apart; such queries come back as far as they were brought.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Brings a rewritten query, which is changed in place, into that shape.
Query *SimplifyShape(Query *rewritten);

// The queries of the chain, outermost first. The last one's FROM is not a single subquery.
List *QueryLevels(Query *query);

// The last of them.
Query *InnermostQuery(Query *query);

// What rows of the one entry in FROM must fulfil, as a list of conditions in the order in which they may be evaluated.
List *Conditions(const Query *query);

// True when a table is read by a subquery in some expression of this query (not of those in its FROM).
bool SubqueryReadsTable(const Query *query);

// A permission that running a query asks for: SELECT on columns (offset as in RTE) of relid for user (0: who runs it).
struct NeededPermission {
  Oid relid;
  Oid user;
  Bitmapset *columns;
};

// Those of a rewritten query, as a list of NeededPermission *.
List *PermissionsNeeded(Query *rewritten);

}  // namespace pgstream
