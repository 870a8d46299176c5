// Loops over columns; see batch_arithmetic.hpp.
#include "core/batch_arithmetic.hpp"

namespace pgstream {
namespace {

// compute(a, b, &result) is true where there is no result; a result outside of low .. high is none either.
template <class Compute>
void Loop(uint32_t nrows, const int64_t *a, const int64_t *b, int64_t low, int64_t high, int64_t *out, uint8_t *marked, Compute compute) noexcept {
  for (uint32_t r = 0; r < nrows; r++) {
    int64_t result = 0;
    const bool none = compute(a[r], b[r], &result);
    out[r] = result;
    marked[r] = static_cast<uint8_t>(none || result < low || result > high);
  }
}

bool Divide(int64_t a, int64_t b, int64_t *result) noexcept {
  if (b == 0) return true;
  if (b == -1) return __builtin_sub_overflow(int64_t{0}, a, result);
  *result = a / b;
  return false;
}

bool Remainder(int64_t a, int64_t b, int64_t *result) noexcept {
  if (b == 0) return true;
  *result = b == -1 ? 0 : a % b;
  return false;
}

}  // namespace

bool IsBatchArithmetic(Operation operation) noexcept {
  switch (operation) {
    case Operation::kAdd:
    case Operation::kSubtract:
    case Operation::kMultiply:
    case Operation::kDivide:
    case Operation::kModulo:
    case Operation::kNegate:
    case Operation::kConvert:
      return true;
    default:
      return false;
  }
}

void BatchArithmetic(Operation operation, ValueType type, uint32_t nrows, const int64_t *a, const int64_t *b, int64_t *out,
                     uint8_t *marked) noexcept {
  const int64_t low = type == ValueType::kInt16 ? INT16_MIN : type == ValueType::kInt32 ? INT32_MIN : INT64_MIN;
  const int64_t high = -(low + 1);
  switch (operation) {
    case Operation::kAdd:
      return Loop(nrows, a, b, low, high, out, marked, [](int64_t x, int64_t y, int64_t *z) { return __builtin_add_overflow(x, y, z); });
    case Operation::kSubtract:
      return Loop(nrows, a, b, low, high, out, marked, [](int64_t x, int64_t y, int64_t *z) { return __builtin_sub_overflow(x, y, z); });
    case Operation::kMultiply:
      return Loop(nrows, a, b, low, high, out, marked, [](int64_t x, int64_t y, int64_t *z) { return __builtin_mul_overflow(x, y, z); });
    case Operation::kDivide:
      return Loop(nrows, a, b, low, high, out, marked, Divide);
    case Operation::kModulo:
      return Loop(nrows, a, b, low, high, out, marked, Remainder);
    case Operation::kNegate:
      return Loop(nrows, a, a, low, high, out, marked, [](int64_t x, int64_t, int64_t *z) { return __builtin_sub_overflow(int64_t{0}, x, z); });
    default:
      return Loop(nrows, a, a, low, high, out, marked, [](int64_t x, int64_t, int64_t *z) {
        *z = x;
        return false;
      });
  }
}

}  // namespace pgstream
