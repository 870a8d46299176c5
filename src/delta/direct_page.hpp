// Grouping the rows of heap pages column by column.
//
// Promises and refusals are those of direct_groups.hpp; a row with a value that is compressed or stored out of line is left, too.
#pragma once

#include "delta/direct_groups.hpp"
#include "delta/heap_pages.hpp"

namespace pgstream {

using RowTaker = void (*)(HeapTuple row, void *argument);

// Sums the rows of a page, as rows that came. The columns wanted are the used ones. Those that are left are given to `take`.
void SumPage(DirectGroups *direct, HeapPages *pages, RowTaker take, void *argument);

}  // namespace pgstream
