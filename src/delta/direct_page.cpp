// The columns of a page's rows; see direct_page.hpp.
#include "delta/direct_page.hpp"

#include "delta/direct_rows.hpp"

namespace pgstream {
namespace {

// Where a value is read that counts for nothing.
alignas(8) constexpr uint8 kNothing[8] = {};

// Which values of a column are NULL; places that can all be read.
const uint8 *const *FindNulls(DirectGroups *direct, int number, const HeapPages *pages, const uint8 *const *places) {
  BatchColumnValues *const given = &direct->given[number];
  *given = {DirectValues(direct, number), nullptr, false};
  if (!pages->any_null) return places;
  uint8 *const nulls = direct->nulls + static_cast<Size>(number) * (direct->room / 8);
  memset(nulls, 0, (pages->nrows + 7) / 8);
  uint32 count = 0;
  for (uint32 row = 0; row < pages->nrows; row++) {
    const bool isnull = places[row] == nullptr;
    direct->places[row] = isnull ? kNothing : places[row];
    nulls[row / 8] |= static_cast<uint8>(isnull << (row % 8));
    count += isnull;
  }
  given->all_null = count == pages->nrows;
  if (count > 0 && !given->all_null) given->nulls = nulls;
  return direct->places;
}

template <class Value>
void Load(const uint8 *const *places, uint32 nrows, int64 *values) {
  for (uint32 row = 0; row < nrows; row++) {
    Value value;
    memcpy(&value, places[row], sizeof(value));
    values[row] = static_cast<int64>(value);
  }
}

void LoadIntegers(const DirectColumn *column, const uint8 *const *places, uint32 nrows, int64 *values) {
  switch (column->length) {
    case 1:
      return Load<int8>(places, nrows, values);
    case 2:
      return Load<int16>(places, nrows, values);
    case 4:
      return column->is_unsigned ? Load<uint32>(places, nrows, values) : Load<int32>(places, nrows, values);
    default:
      return Load<int64>(places, nrows, values);
  }
}

// Where the bytes of a column's values lie. Those that are not at hand are taken for none, and their rows are left.
void FindBytes(DirectGroups *direct, int number, const uint8 *const *places, uint32 nrows) {
  const int16 length = direct->columns[number].length;
  for (uint32 row = 0; row < nrows; row++) {
    const uint8 *const place = places[row];
    if (length > 0) {
      direct->sizes[row] = static_cast<uint32>(length);
      direct->places[row] = place;
    } else if (place == kNothing || VARATT_IS_EXTERNAL(place) || VARATT_IS_COMPRESSED(place)) {
      direct->left[row] |= place != kNothing;
      direct->sizes[row] = 0;
      direct->places[row] = kNothing;
    } else {
      direct->sizes[row] = static_cast<uint32>(VARSIZE_ANY_EXHDR(place));
      direct->places[row] = reinterpret_cast<const uint8 *>(VARDATA_ANY(place));
    }
  }
}

// Takes the rows of a page. nullptr: all of them; else the others are those whose byte is not 0.
const uint8 *TakePage(DirectGroups *direct, const HeapPages *pages) {
  const uint32 nrows = pages->nrows;
  BeginRows(direct, nrows);
  for (int i = 0; i < direct->ncolumns; i++) {
    if (DeriveColumn(direct, i, nrows)) continue;
    const DirectColumn *const column = &direct->columns[i];
    const uint8 *const *const places =
        FindNulls(direct, i, pages, pages->places + static_cast<Size>(column->used) * kMostPageRows);
    if (direct->given[i].all_null || column->kind == DirectKind::Nulls) continue;
    if (column->kind == DirectKind::Integer) {
      LoadIntegers(column, places, nrows, DirectValues(direct, i));
    } else {
      FindBytes(direct, i, places, nrows);
      TakeStored(direct, i, nrows);
    }
  }
  memset(direct->weights, 1, nrows);
  return SumRows(direct, nrows);
}

}  // namespace

void SumPage(DirectGroups *direct, HeapPages *pages, RowTaker take, void *argument) {
  const uint8 *const left = TakePage(direct, pages);
  for (uint32 row = 0; left != nullptr && row < pages->nrows; row++)
    if (left[row] != 0) take(&pages->rows[row], argument);
}

}  // namespace pgstream
