// What tells a FULL stream table that a dump gave no rows from one that a dump gave nothing: an empty page.
//
// A materialized view that holds no rows is populated by a dump's REFRESH. The script of a stream table has a COPY without rows
// instead, which leaves no trace; it has the same for one that was never populated. So the definition says that the content is
// empty (the option content), and a COPY without rows from a dump leaves a page. Together they mean: populated, without rows.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Leaves a page in a table that has none. RowExclusiveLock or more on rel.
void MarkRowsDumped(Relation rel);

// Takes it away again where the definition does not say that the content is empty. AccessExclusiveLock on rel, which has a
// definition.
void SettleDumpedRows(Relation rel);

// Whether the definition says that the last refresh of a FULL stream table gave no rows.
bool ContentIsSaidEmpty(Relation rel);

}  // namespace pgstream
