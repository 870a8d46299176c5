// The state of a sum of numerics as the server writes it, of the kind that nearly all are: every number has the same scale, none
// is NaN or infinite, and the sum is short. It can then be read, moved and written as an integer.
//
// What the server writes for sum and avg of numerics is, in big-endian order: the count (64 bits); the sum's number of digits,
// weight, sign, scale (32 bits each) and digits of base 10,000 (16 bits each, no zeroes at either end); the widest scale met (32
// bits), how many had it (64); how many were NaN, infinity and minus infinity (64 each).
//
// Promises: what is written is, to the byte, what the server writes of such a state. Refuses (returns false) every other one: it
// is left to the server.
#pragma once

#include <cstdint>

namespace pgstream {

struct NumericSum {
  int64_t count;  ///< more than zero
  int64_t sum;    ///< without its point
  int scale;      ///< digits behind it: of every number, and of the sum
};

/// The most that WriteNumericSum writes: its fixed parts and four digits.
constexpr uint32_t kMostNumericSum = 60 + 4 * 2;

/// True when a sum of this scale is short enough.
bool FitsNumericSum(int64_t sum, int scale) noexcept;

/// Reads a state that is of this kind.
bool ReadNumericSum(const uint8_t *data, uint32_t size, NumericSum *state) noexcept;

/// Writes a state whose sum fits; returns its size.
uint32_t WriteNumericSum(const NumericSum &state, uint8_t *data) noexcept;

}  // namespace pgstream
