// Which plans of groups can be grouped column by column, and what becomes of such a plan: the columns that are looked at, the
// keys, conditions and sums over them.
//
// Promises: a row that neither lacks a column's value nor has an operation without a result means to keys, conditions and sums what
// it means to the plan's expressions. Refuses: plans with other keys, conditions or aggregates (PlanDirectly says no).
#pragma once

#include "core/batch_arithmetic.hpp"
#include "core/batch_groups.hpp"
#include "core/string_ids.hpp"
#include "pg/delta_plan.hpp"
#include "pg/row_program.hpp"

namespace pgstream {

enum class DirectKind : uint8 {
  Nulls,    // all that counts is which are NULL
  Integer,  // a value by value
  Decimal,  // a numeric: an integer, at the scale of the first one
  Bytes,    // of a key: a number of string_ids.hpp
  Constant,
  Computed  // integer arithmetic on columns before it
};

// A column that is looked at.
struct DirectColumn {
  DirectKind kind;
  int used;        // which of the row's used columns
  int16 length;    // of the type
  bool is_unsigned;
  int scale;       // of Decimal; -1 before the first value
  pg_atomic_uint32 *agreed;  // of Decimal: 1 + the scale that all who gather together take, 0 before the first value of any; nullptr: alone
  StringIds *ids;  // of Bytes
  int64 constant;
  // Of Computed: the operation, its result's type, its operands.
  Operation operation;
  ValueType type;
  int a, b;
};

struct DirectPlan {
  BatchGroupPlan batch;
  int ncolumns;
  DirectColumn *columns;  // without scale, agreement and ids
  int *sums;              // of each aggregate: its sum; -1: it counts rows
};

// The plan in that form, in the current context; false where it has none.
bool PlanDirectly(const DeltaPlan *plan, const RowExpressions *row, DirectPlan *direct);

}  // namespace pgstream
