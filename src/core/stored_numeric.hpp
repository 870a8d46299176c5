// Numerics in the form in which the server stores them, without the header of their length: a header of 16 or 32 bits with sign,
// display scale and weight, then digits of base 10,000 without zeroes at either end.
//
// Promises: exact, down to the bytes: what is computed here is what the server computes, display scale included. Refuses
// (returns false, 0 or -1, and the caller asks the server): NaN and infinities, what does not fit into 128 bits, results that
// the server would not store in its short form, and values that are not in the form it makes.
#pragma once

#include <cstdint>

#include "core/program.hpp"

namespace pgstream {

struct StoredNumeric {
  const uint8_t *data;  ///< need not be aligned
  uint32_t size;
};

/// The scale a numeric is shown with; -1: it is no number.
int StoredScale(const uint8_t *data, uint32_t size) noexcept;

/// A numeric of this scale without its point. False when it is too large, or of another scale.
bool StoredInteger(const uint8_t *data, uint32_t size, int scale, int64_t *value) noexcept;

/// Less than, equal to or greater than zero, as a is to b.
bool CompareStored(StoredNumeric a, StoredNumeric b, int *order) noexcept;

/// The most that a result takes: its header and nine digits, and a carry.
constexpr uint32_t kMostStoredResult = sizeof(uint16_t) * 11;

/// a op b (Add, Subtract or Multiply) to `result`, of kMostStoredResult bytes. Returns its size, or 0.
uint32_t ComputeStored(Operation operation, StoredNumeric a, StoredNumeric b, uint8_t *result) noexcept;

/// An integer as a numeric, of scale 0; returns its size.
uint32_t StoreInteger(int64_t value, uint8_t *result) noexcept;

}  // namespace pgstream
