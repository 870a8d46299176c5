// The columns of some rows; see direct_rows.hpp.
#include "delta/direct_rows.hpp"

#include "core/stored_numeric.hpp"

namespace pgstream {
namespace {

void MakeRoom(DirectGroups *direct, uint32 nrows) {
  if (nrows <= direct->room) return;
  const auto columns = static_cast<Size>(direct->ncolumns);
  if (direct->room > 0) pfree(direct->values);
  direct->room = 0;
  const Size room = TYPEALIGN(64, nrows);
  auto *memory = static_cast<char *>(
      MemoryContextAllocHuge(direct->context, room * (columns * sizeof(int64) + sizeof(uint8 *) + sizeof(uint32) + 3) + room / 8 * columns));
  direct->values = reinterpret_cast<int64 *>(memory);
  memory += room * columns * sizeof(int64);
  direct->places = reinterpret_cast<const uint8 **>(memory);
  memory += room * sizeof(uint8 *);
  direct->sizes = reinterpret_cast<uint32 *>(memory);
  memory += room * sizeof(uint32);
  direct->weights = reinterpret_cast<int8 *>(memory);
  direct->left = reinterpret_cast<uint8 *>(memory + room);
  direct->marked = direct->left + room;
  direct->nulls = direct->marked + room;
  direct->room = static_cast<uint32>(room);
}

// A computed column. It is NULL where an operand is; where it is not and there is no result, the row is marked.
void Compute(DirectGroups *direct, int number, uint32 nrows) {
  int64 *const values = DirectValues(direct, number);
  const DirectColumn *const column = &direct->columns[number];
  const BatchColumnValues a = direct->given[column->a], b = direct->given[column->b];
  BatchColumnValues *const given = &direct->given[number];
  *given = {values, a.nulls != nullptr ? a.nulls : b.nulls, a.all_null || b.all_null};
  if (given->all_null) return;
  if (a.nulls != nullptr && b.nulls != nullptr && a.nulls != b.nulls) {
    uint8 *const nulls = direct->nulls + static_cast<Size>(number) * (direct->room / 8);
    for (uint32 i = 0; i < (nrows + 7) / 8; i++) nulls[i] = a.nulls[i] | b.nulls[i];
    given->nulls = nulls;
  }
  BatchArithmetic(column->operation, column->type, nrows, a.values, b.values, values, direct->marked);
  const uint8 *const nulls = given->nulls;
  for (uint32 row = 0; row < nrows; row++) {
    const bool isnull = nulls != nullptr && (nulls[row / 8] >> (row % 8) & 1) != 0;
    direct->left[row] |= static_cast<uint8>(direct->marked[row] != 0 && !isnull);
  }
}

// The scale at which a column is summed: that of the first value that anybody met who gathers together.
int AgreedScale(const DirectColumn *column, int scale) {
  uint32 agreed = 0;
  if (scale < 0 || column->agreed == nullptr || pg_atomic_compare_exchange_u32(column->agreed, &agreed, static_cast<uint32>(scale) + 1))
    return scale;
  return static_cast<int>(agreed) - 1;
}

}  // namespace

void BeginRows(DirectGroups *direct, uint32 nrows) {
  MakeRoom(direct, nrows);
  memset(direct->left, 0, nrows);
}

bool DeriveColumn(DirectGroups *direct, int number, uint32 nrows) {
  const DirectColumn *const column = &direct->columns[number];
  if (column->kind == DirectKind::Computed) {
    Compute(direct, number, nrows);
    return true;
  }
  if (column->kind != DirectKind::Constant) return false;
  int64 *const values = DirectValues(direct, number);
  direct->given[number] = {values, nullptr, false};
  for (uint32 row = 0; row < nrows; row++) values[row] = column->constant;
  return true;
}

void TakeStored(DirectGroups *direct, int number, uint32 nrows) {
  DirectColumn *const column = &direct->columns[number];
  int64 *const values = DirectValues(direct, number);
  const uint8 *const nulls = direct->given[number].nulls;
  if (column->kind == DirectKind::Bytes)
    return column->ids->IdsOf(nrows, direct->places, direct->sizes, nulls, values, direct->left);
  for (uint32 row = 0; row < nrows; row++) {
    if (nulls != nullptr && (nulls[row / 8] >> (row % 8) & 1) != 0) continue;
    const uint8 *const data = direct->places[row];
    const uint32 size = direct->sizes[row];
    if (column->scale < 0) column->scale = AgreedScale(column, StoredScale(data, size));
    if (column->scale < 0 || !StoredInteger(data, size, column->scale, &values[row])) {
      values[row] = 0;
      direct->left[row] = 1;
    }
  }
}

const uint8 *SumRows(DirectGroups *direct, uint32 nrows) {
  const uint32 left = direct->groups.Add(nrows, direct->given, direct->weights, direct->left);
  direct->rows += nrows - left;
  return left > 0 ? direct->left : nullptr;
}

const uint8 *TakeDirectly(DirectGroups *direct, const BatchDecoder *record, const int *positions) {
  const uint32 nrows = record->nrows();
  if (nrows == 0) return nullptr;
  BeginRows(direct, nrows);
  for (int i = 0; i < direct->ncolumns; i++) {
    if (DeriveColumn(direct, i, nrows)) continue;
    const DirectColumn *const column = &direct->columns[i];
    const int position = positions[column->used];
    direct->given[i] = {DirectValues(direct, i), record->Nulls(position), record->AllNull(position)};
    if (direct->given[i].all_null || column->kind == DirectKind::Nulls) continue;
    if (column->kind == DirectKind::Integer)
      record->Integers(position, column->is_unsigned, DirectValues(direct, i));
    else if (record->Places(position, direct->places, direct->sizes))
      TakeStored(direct, i, nrows);
    else
      memset(direct->left, 1, nrows);
  }
  record->Weights(direct->weights);
  return SumRows(direct, nrows);
}

}  // namespace pgstream
