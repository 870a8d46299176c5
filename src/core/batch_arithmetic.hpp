// Integer arithmetic on columns of rows, as row programs have it (core/program.hpp).
//
// Promises: a result is exact, or the row is marked: where the server's operator would raise an error (overflow of the result's type,
// division by zero). Refuses: to know of nulls: their rows get some result and perhaps a mark, which the caller ignores.
#pragma once

#include "core/program.hpp"

namespace pgstream {

/// Whether BatchArithmetic knows an operation: +, -, *, /, %, and conversion and negation of one operand.
bool IsBatchArithmetic(Operation operation) noexcept;

/// out[r] = a[r] operation b[r] for all rows, or marked[r] = 1 (0 otherwise). type, of the result: one of the integers; b does not
/// count where there is one operand.
void BatchArithmetic(Operation operation, ValueType type, uint32_t nrows, const int64_t *a, const int64_t *b, int64_t *out,
                     uint8_t *marked) noexcept;

}  // namespace pgstream
