// Reading, comparing and computing stored numerics; see stored_numeric.hpp.
//
// Arithmetic is done on integers of 128 bits: a number times 10,000 to the power of its digits behind the point.
#include "core/stored_numeric.hpp"

#include <algorithm>
#include <cstring>

namespace pgstream {
namespace {

using Wide = unsigned __int128;

constexpr uint16_t kSpecial = 0xC000, kLongNegative = 0x4000;
constexpr uint16_t kShort = 0x8000, kShortNegative = 0x2000, kShortScale = 0x1F80, kShortWeightSign = 0x0040, kShortWeight = 0x003F;
constexpr int kShortScaleShift = 7, kMostShortScale = 63, kMostShortWeight = 63;
constexpr int64_t kBase = 10000;
// Of an operand as an integer: 36 decimal digits, and the sum of two still fits.
constexpr int kMostDigits = 9;
constexpr uint64_t kPowers[] = {1, 10000, 100000000, 1000000000000, 10000000000000000};
// Of digits that fit into 64 bits.
constexpr int kNarrowDigits = 4;

// What the header says, and where the digits are.
struct Parts {
  const uint8_t *digits;
  int ndigits;
  int weight;  // of the first digit: 10,000^weight
  int scale;
  bool negative;
};

int DigitAt(const Parts &parts, int i) noexcept {
  int16_t digit;
  std::memcpy(&digit, parts.digits + sizeof(digit) * static_cast<size_t>(i), sizeof(digit));
  return digit;
}

// False for what is no number, or not in the form that the server makes. Inlined: comparing is short.
[[gnu::always_inline]] inline bool Take(StoredNumeric numeric, Parts *parts) noexcept {
  uint16_t header;
  if (numeric.size < sizeof(header)) return false;
  std::memcpy(&header, numeric.data, sizeof(header));
  if ((header & kSpecial) == kSpecial) return false;
  uint32_t at = sizeof(header);
  if ((header & kShort) != 0) {
    parts->negative = (header & kShortNegative) != 0;
    parts->scale = (header & kShortScale) >> kShortScaleShift;
    parts->weight = (header & kShortWeight) - (header & kShortWeightSign);
  } else {
    int16_t weight;
    if (numeric.size < at + sizeof(weight)) return false;
    std::memcpy(&weight, numeric.data + at, sizeof(weight));
    at += sizeof(weight);
    parts->negative = (header & kLongNegative) != 0;
    parts->scale = header & 0x3FFF;
    parts->weight = weight;
  }
  if ((numeric.size - at) % sizeof(int16_t) != 0) return false;
  parts->digits = numeric.data + at;
  parts->ndigits = static_cast<int>((numeric.size - at) / sizeof(int16_t));
  return parts->ndigits == 0 || (DigitAt(*parts, 0) != 0 && DigitAt(*parts, parts->ndigits - 1) != 0);
}

// A number as an integer, its magnitude below 10,000^ndigits: times 10,000^behind it is one.
struct Fixed {
  Wide magnitude;
  int ndigits;
  int behind;
  int scale;
  bool negative;
};

Wide PowerOfBase(int n) noexcept {
  Wide power = kPowers[n % kNarrowDigits];
  for (; n >= kNarrowDigits; n -= kNarrowDigits) power *= kPowers[kNarrowDigits];
  return power;
}

bool MakeFixed(StoredNumeric numeric, Fixed *fixed) noexcept {
  Parts parts;
  if (!Take(numeric, &parts)) return false;
  const int behind = parts.ndigits - 1 - parts.weight;  // negative: zeroes before the point follow
  *fixed = {0, 0, 0, parts.scale, parts.negative};
  if (parts.ndigits == 0) return true;
  fixed->behind = std::max(behind, 0);
  fixed->ndigits = parts.ndigits + fixed->behind - behind;
  // No digit is behind what is shown; where one were, the server would round.
  if (parts.ndigits > kMostDigits || parts.weight >= kMostDigits || fixed->ndigits > kMostDigits || fixed->behind * 4 >= parts.scale + 4)
    return false;
  uint64_t narrow = 0;
  int i = 0;
  for (; i < parts.ndigits && i < kNarrowDigits; i++) narrow = narrow * kBase + static_cast<uint64_t>(DigitAt(parts, i));
  fixed->magnitude = narrow;
  for (; i < parts.ndigits; i++) fixed->magnitude = fixed->magnitude * kBase + static_cast<uint64_t>(DigitAt(parts, i));
  if (behind < 0) fixed->magnitude *= PowerOfBase(-behind);
  return true;
}

// So that `behind` digits are behind its point; false when it grows too large.
bool Widen(Fixed *fixed, int behind) noexcept {
  const int more = behind - fixed->behind;
  if (fixed->magnitude != 0) {
    if (fixed->ndigits + more > kMostDigits) return false;
    if (more > 0) fixed->magnitude *= PowerOfBase(more);
    fixed->ndigits += more;
  }
  fixed->behind = behind;
  return true;
}

uint32_t Store(const Fixed &fixed, uint8_t *result) noexcept {
  int16_t digits[kMostDigits + 1];  // the last one first
  int ndigits = 0;
  Wide rest = fixed.magnitude;
  // Digits of 64 bits at a time: dividing 128 is slow.
  while (rest > UINT64_MAX) {
    auto low = static_cast<uint64_t>(rest % kPowers[kNarrowDigits]);
    rest /= kPowers[kNarrowDigits];
    for (int i = 0; i < kNarrowDigits; i++, low /= kBase) digits[ndigits++] = static_cast<int16_t>(low % kBase);
  }
  for (auto low = static_cast<uint64_t>(rest); low > 0; low /= kBase) digits[ndigits++] = static_cast<int16_t>(low % kBase);
  int first = 0;
  while (first < ndigits && digits[first] == 0) first++;
  const bool zero = ndigits == 0;
  const int weight = zero ? 0 : ndigits - 1 - fixed.behind;
  if (fixed.scale > kMostShortScale || weight > kMostShortWeight || weight < -kMostShortWeight - 1) return 0;
  const auto header = static_cast<uint16_t>(kShort | (fixed.negative && !zero ? kShortNegative : 0) | fixed.scale << kShortScaleShift |
                                            (weight < 0 ? kShortWeightSign : 0) | (weight & kShortWeight));
  std::memcpy(result, &header, sizeof(header));
  uint8_t *at = result + sizeof(header);
  for (int i = ndigits; i-- > first; at += sizeof(int16_t)) std::memcpy(at, &digits[i], sizeof(int16_t));
  return static_cast<uint32_t>(at - result);
}

}  // namespace

int StoredScale(const uint8_t *data, uint32_t size) noexcept {
  uint16_t header;
  if (size < sizeof(header)) return -1;
  std::memcpy(&header, data, sizeof(header));
  if ((header & kSpecial) == kSpecial) return -1;
  return (header & kShort) != 0 ? (header & kShortScale) >> kShortScaleShift : header & 0x3FFF;
}

namespace {

template <int64_t kDivisor>
bool DropDigits(int64_t *number) noexcept {
  const int64_t quotient = *number / kDivisor;
  const bool exact = quotient * kDivisor == *number;
  *number = quotient;
  return exact;
}

// Divides by ten to the power of ndigits, at most 3; false when something remains. By constants: it is done with every value.
bool DropZeroes(int64_t *number, int ndigits) noexcept {
  switch (ndigits) {
    case 0:
      return true;
    case 1:
      return DropDigits<10>(number);
    case 2:
      return DropDigits<100>(number);
    default:
      return DropDigits<1000>(number);
  }
}

}  // namespace

bool StoredInteger(const uint8_t *data, uint32_t size, int scale, int64_t *value) noexcept {
  Parts parts;
  if (!Take({data, size}, &parts) || parts.scale != scale) return false;
  const int behind = (scale + 3) / 4;  // digits behind the point
  if (parts.ndigits - 1 - parts.weight > behind || behind > kNarrowDigits) return false;
  const int ndigits = parts.weight + 1 + behind;
  if (parts.ndigits > 0 && ndigits > kNarrowDigits) return false;
  int64_t number = 0;
  for (int i = 0; i < parts.ndigits; i++) number = number * kBase + DigitAt(parts, i);
  if (parts.ndigits > 0) number *= static_cast<int64_t>(kPowers[ndigits - parts.ndigits]);
  if (!DropZeroes(&number, behind * 4 - scale)) return false;
  *value = parts.negative ? -number : number;
  return true;
}

bool CompareStored(StoredNumeric a, StoredNumeric b, int *order) noexcept {
  Parts x, y;
  if (!Take(a, &x) || !Take(b, &y)) return false;
  const int x_sign = x.ndigits == 0 ? 0 : x.negative ? -1 : 1, y_sign = y.ndigits == 0 ? 0 : y.negative ? -1 : 1;
  if (x_sign != y_sign || x_sign == 0) {
    *order = x_sign - y_sign;
    return true;
  }
  int difference = x.weight - y.weight;
  for (int i = 0; difference == 0 && i < std::min(x.ndigits, y.ndigits); i++) difference = DigitAt(x, i) - DigitAt(y, i);
  if (difference == 0) difference = x.ndigits - y.ndigits;
  *order = x_sign * difference;
  return true;
}

uint32_t ComputeStored(Operation operation, StoredNumeric a, StoredNumeric b, uint8_t *result) noexcept {
  Fixed x, y;
  if (!MakeFixed(a, &x) || !MakeFixed(b, &y)) return 0;
  if (operation == Operation::kMultiply) {
    if (x.ndigits + y.ndigits > kMostDigits) return 0;
    return Store({x.magnitude * y.magnitude, 0, x.behind + y.behind, x.scale + y.scale, x.negative != y.negative}, result);
  }
  if (operation == Operation::kSubtract) y.negative = !y.negative;
  const int behind = std::max(x.behind, y.behind);
  if (!Widen(&x, behind) || !Widen(&y, behind)) return 0;
  Fixed sum = {0, 0, behind, std::max(x.scale, y.scale), x.negative};
  if (x.negative == y.negative) {
    sum.magnitude = x.magnitude + y.magnitude;
  } else if (x.magnitude >= y.magnitude) {
    sum.magnitude = x.magnitude - y.magnitude;
  } else {
    sum.magnitude = y.magnitude - x.magnitude;
    sum.negative = y.negative;
  }
  return Store(sum, result);
}

uint32_t StoreInteger(int64_t value, uint8_t *result) noexcept {
  const uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  return Store({magnitude, 0, 0, 0, value < 0}, result);
}

}  // namespace pgstream
