// What the two sides of the record codec share: the numbers of the format and access to unaligned memory.
#pragma once

#include "core/batch_codec.hpp"

#include <cstring>

namespace pgstream::batch_format {

constexpr uint8_t kMagic = 0xB5;
constexpr uint8_t kVersion = 2;

// Of weights.
constexpr uint8_t kAllPositive = 0;
constexpr uint8_t kAllNegative = 1;
constexpr uint8_t kAlternating = 2;
constexpr uint8_t kWeightBitmap = 3;

// Of a column's form.
constexpr uint8_t kPlain = 0x0F;
constexpr uint8_t kSomeNull = 0x10;
constexpr uint8_t kAllNull = 0x20;

template <class T>
T Load(const uint8_t *p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

template <class T>
void Store(uint8_t *p, T value) noexcept {
  std::memcpy(p, &value, sizeof(value));
}

inline bool GetBit(const uint8_t *bitmap, uint32_t i) noexcept {
  return (bitmap[i / 8] >> (i % 8) & 1) != 0;
}

inline void SetBit(uint8_t *bitmap, uint32_t i) noexcept {
  bitmap[i / 8] = static_cast<uint8_t>(bitmap[i / 8] | 1u << (i % 8));
}

constexpr size_t BitmapSize(uint32_t bits) noexcept {
  return (static_cast<size_t>(bits) + 7) / 8;
}

constexpr bool ValidLength(int16_t length) noexcept {
  return length > 0 || length == kVarlenaLength || length == kCStringLength;
}

/// Bytes of what a column has one of per row: the value, or the length of a varying one.
constexpr int ValueLength(int16_t length) noexcept {
  return length > 0 ? length : 4;
}

constexpr bool IsInteger(int length) noexcept {
  return length == 1 || length == 2 || length == 4 || length == 8;
}

}  // namespace pgstream::batch_format
