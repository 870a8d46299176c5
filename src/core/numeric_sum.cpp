// Reading and writing states of sums; see numeric_sum.hpp.
#include "core/numeric_sum.hpp"

namespace pgstream {
namespace {

constexpr uint64_t kPowersOfTen[] = {1,
                                     10,
                                     100,
                                     1000,
                                     10000,
                                     100000,
                                     1000000,
                                     10000000,
                                     100000000,
                                     1000000000,
                                     10000000000,
                                     100000000000,
                                     1000000000000,
                                     10000000000000,
                                     100000000000000,
                                     1000000000000000,
                                     10000000000000000};
constexpr uint32_t kBase = 10000;
constexpr int kBaseDigits = 4;
// Digits of base 10,000 in all, before and behind the point.
constexpr int kMostDigits = 4;
constexpr int kMostScale = kMostDigits * kBaseDigits;
constexpr uint32_t kNegative = 0x4000;
constexpr uint32_t kFixedSize = 60;

int DigitsBehindPoint(int scale) noexcept { return (scale + kBaseDigits - 1) / kBaseDigits; }

// Decimal digits that fill up the last digit of base 10,000.
int Padding(int scale) noexcept { return DigitsBehindPoint(scale) * kBaseDigits - scale; }

uint64_t Magnitude(int64_t value) noexcept { return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value); }

struct Input {
  const uint8_t *at;
};

template <int bytes>
uint64_t Get(Input *input) noexcept {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | *input->at++;
  return value;
}

int32_t GetInt(Input *input) noexcept { return static_cast<int32_t>(static_cast<uint32_t>(Get<4>(input))); }

struct Output {
  uint8_t *at;
};

template <int bytes>
void Put(Output *output, uint64_t value) noexcept {
  for (int i = 0; i < bytes; i++) *output->at++ = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
}

// The digits as an integer that ends with the last digit behind the point.
bool TakeDigits(Input *input, int ndigits, int weight, int behind, uint64_t *aligned) noexcept {
  *aligned = 0;
  if (ndigits == 0) return weight == 0;
  const int zeroes = weight - ndigits + 1 + behind;
  if (zeroes < 0 || weight + 1 + behind > kMostDigits) return false;
  for (int i = 0; i < ndigits; i++) {
    const uint64_t digit = Get<2>(input);
    if (digit >= kBase || (digit == 0 && (i == 0 || i == ndigits - 1))) return false;
    *aligned = *aligned * kBase + digit;
  }
  *aligned *= kPowersOfTen[zeroes * kBaseDigits];
  return true;
}

}  // namespace

bool FitsNumericSum(int64_t sum, int scale) noexcept {
  return scale >= 0 && scale <= kMostScale && Magnitude(sum) < kPowersOfTen[kMostScale - Padding(scale)];
}

bool ReadNumericSum(const uint8_t *data, uint32_t size, NumericSum *state) noexcept {
  if (size < kFixedSize) return false;
  Input input = {data};
  const auto count = static_cast<int64_t>(Get<8>(&input));
  const int32_t ndigits = GetInt(&input), weight = GetInt(&input);
  const auto sign = static_cast<uint32_t>(Get<4>(&input));
  const int32_t scale = GetInt(&input);
  if (count <= 0 || ndigits < 0 || ndigits > kMostDigits || size != kFixedSize + 2 * static_cast<uint32_t>(ndigits)) return false;
  if (weight < -kMostDigits || weight > kMostDigits || scale < 0 || scale > kMostScale) return false;
  if (sign != 0 && (sign != kNegative || ndigits == 0)) return false;
  uint64_t aligned;
  if (!TakeDigits(&input, ndigits, weight, DigitsBehindPoint(scale), &aligned)) return false;
  const uint64_t padding = kPowersOfTen[Padding(scale)];
  if (aligned % padding != 0) return false;
  if (GetInt(&input) != scale || static_cast<int64_t>(Get<8>(&input)) != count) return false;
  if ((Get<8>(&input) | Get<8>(&input) | Get<8>(&input)) != 0) return false;
  const auto magnitude = static_cast<int64_t>(aligned / padding);
  *state = {count, sign == 0 ? magnitude : -magnitude, scale};
  return true;
}

uint32_t WriteNumericSum(const NumericSum &state, uint8_t *data) noexcept {
  uint64_t rest = Magnitude(state.sum) * kPowersOfTen[Padding(state.scale)];
  int weight = -DigitsBehindPoint(state.scale);  // of the last digit, in the end of the first
  while (rest != 0 && rest % kBase == 0) {
    rest /= kBase;
    weight++;
  }
  uint16_t digits[kMostDigits];  // the last one first
  int ndigits = 0;
  for (; rest != 0; rest /= kBase) digits[ndigits++] = static_cast<uint16_t>(rest % kBase);
  weight = ndigits == 0 ? 0 : weight + ndigits - 1;

  Output output = {data};
  Put<8>(&output, static_cast<uint64_t>(state.count));
  Put<4>(&output, static_cast<uint64_t>(ndigits));
  Put<4>(&output, static_cast<uint32_t>(weight));
  Put<4>(&output, state.sum < 0 ? kNegative : 0);
  Put<4>(&output, static_cast<uint64_t>(state.scale));
  for (int i = ndigits - 1; i >= 0; i--) Put<2>(&output, digits[i]);
  Put<4>(&output, static_cast<uint64_t>(state.scale));
  Put<8>(&output, static_cast<uint64_t>(state.count));
  for (int i = 0; i < 3; i++) Put<8>(&output, 0);
  return static_cast<uint32_t>(output.at - data);
}

}  // namespace pgstream
