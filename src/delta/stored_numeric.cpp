// Reading stored numerics: digits of base 10,000, the first of weight 10,000^weight; see stored_numeric.hpp.
#include "delta/stored_numeric.hpp"

namespace pgstream {

constexpr int kMostDigitGroups = 4;

int StoredScale(const uint8 *data, uint32 size) {
  uint16 header;
  if (size < sizeof(header)) return -1;
  memcpy(&header, data, sizeof(header));
  if ((header & 0xC000) == 0xC000) return -1;
  return (header & 0x8000) != 0 ? (header & 0x1F80) >> 7 : header & 0x3FFF;
}

bool StoredInteger(const uint8 *data, uint32 size, int scale, int64 *value) {
  if (StoredScale(data, size) != scale) return false;
  uint16 header;
  memcpy(&header, data, sizeof(header));
  const bool is_short = (header & 0x8000) != 0;
  int weight;
  uint32 at = sizeof(header);
  if (is_short) {
    weight = (header & 0x3F) - ((header & 0x40) != 0 ? 0x40 : 0);
  } else {
    int16 stored;
    if (size < at + sizeof(stored)) return false;
    memcpy(&stored, data + at, sizeof(stored));
    weight = stored;
    at += sizeof(stored);
  }
  const bool negative = is_short ? (header & 0x2000) != 0 : (header & 0xC000) == 0x4000;
  const int fraction = (scale + 3) / 4;  // digits behind the point
  const int ndigits = static_cast<int>((size - at) / sizeof(int16));
  if ((size - at) % sizeof(int16) != 0 || ndigits - 1 - weight > fraction || fraction > kMostDigitGroups) return false;
  if (ndigits > 0 && weight + 1 + fraction > kMostDigitGroups) return false;
  int64 number = 0;
  for (int i = 0; i < ndigits; i++, at += sizeof(int16)) {
    int16 digit;
    memcpy(&digit, data + at, sizeof(digit));
    number = number * 10000 + digit;
  }
  if (ndigits > 0)
    for (int i = ndigits; i < weight + 1 + fraction; i++) number *= 10000;
  for (int i = scale; i < fraction * 4; i++) {
    if (number % 10 != 0) return false;
    number /= 10;
  }
  *value = negative ? -number : number;
  return true;
}

}  // namespace pgstream
