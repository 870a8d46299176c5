// Grouping the rows of heap pages column by column.
//
// Promises and refusals are those of direct_groups.hpp; a row with a value that is compressed or stored out of line is left, too.
#pragma once

#include "delta/direct_groups.hpp"
#include "delta/heap_pages.hpp"

namespace pgstream {

// Takes the rows of a page, as rows that came. The columns wanted are the used ones. nullptr: all of them; else the others are those
// whose byte is not 0.
const uint8 *TakePage(DirectGroups *direct, const HeapPages *pages);

}  // namespace pgstream
