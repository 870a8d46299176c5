// Whether two analysed queries are spellings of one: what a definition is compared by before it is replaced.
//
// Promises: whitespace, comments, case, implicit or explicit casts and the aliases of tables make no difference. True means
// that both return the same under every snapshot. Refuses: to find equivalences (a reordered join is another query).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// definition comes from LoadDefinition, query from the parser's analysis.
bool SameQuery(const Query *definition, const Query *query);

// Whether the query's text gives the same query again. Not so where CASE, NULLIF, IS DISTINCT FROM or JOIN ... USING, which do
// not name their operator, use one that is not in pg_catalog (citext's, say): like a view's, its dump is another query.
bool TextReadsBackAlike(const Query *query);

}  // namespace pgstream
