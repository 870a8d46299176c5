// States of sums against the same written out digit by digit, from decimal text.
#include "core/numeric_sum.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace pgstream {
namespace {

using Bytes = std::vector<uint8_t>;

void Put(Bytes *bytes, int64_t value, int size) {
  for (int i = size - 1; i >= 0; i--) bytes->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

// What the server writes; `widest` of the numbers had the widest scale, `special` were not finite.
Bytes Written(int64_t count, int64_t sum, int scale, int64_t widest, int64_t special = 0) {
  std::string text = std::to_string(std::llabs(sum));
  if (static_cast<int>(text.size()) < scale) text.insert(0, static_cast<size_t>(scale) - text.size(), '0');
  std::string before = text.substr(0, text.size() - static_cast<size_t>(scale));
  std::string behind = text.substr(text.size() - static_cast<size_t>(scale));
  before.insert(0, (4 - before.size() % 4) % 4, '0');
  behind.append((4 - behind.size() % 4) % 4, '0');
  std::vector<int> digits;
  for (size_t i = 0; i < before.size() + behind.size(); i += 4) digits.push_back(std::stoi((before + behind).substr(i, 4)));
  int weight = static_cast<int>(before.size() / 4) - 1;
  while (!digits.empty() && digits.front() == 0) {
    digits.erase(digits.begin());
    weight--;
  }
  while (!digits.empty() && digits.back() == 0) digits.pop_back();
  if (digits.empty()) weight = 0;
  Bytes bytes;
  Put(&bytes, count, 8);
  Put(&bytes, static_cast<int64_t>(digits.size()), 4);
  Put(&bytes, weight, 4);
  Put(&bytes, sum < 0 ? 0x4000 : 0, 4);
  Put(&bytes, scale, 4);
  for (const int digit : digits) Put(&bytes, digit, 2);
  Put(&bytes, scale, 4);
  Put(&bytes, widest, 8);
  Put(&bytes, special, 8);
  Put(&bytes, 0, 8);
  Put(&bytes, 0, 8);
  return bytes;
}

bool Reads(const Bytes &bytes, NumericSum *state) {
  return ReadNumericSum(bytes.data(), static_cast<uint32_t>(bytes.size()), state);
}

void ExpectSame(int64_t count, int64_t sum, int scale) {
  SCOPED_TRACE(std::to_string(sum) + " of scale " + std::to_string(scale));
  const Bytes expected = Written(count, sum, scale, count);
  ASSERT_TRUE(FitsNumericSum(sum, scale));
  Bytes written(kMostNumericSum);
  written.resize(WriteNumericSum({count, sum, scale}, written.data()));
  EXPECT_EQ(written, expected);
  NumericSum state;
  ASSERT_TRUE(Reads(expected, &state));
  EXPECT_EQ(state.count, count);
  EXPECT_EQ(state.sum, sum);
  EXPECT_EQ(state.scale, scale);
}

TEST(NumericSum, Corners) {
  for (int scale = 0; scale <= 16; scale++) {
    for (const int64_t sum : {0, 1, 9, 10, 99, 100, 9999, 10000, 10001, 99990000}) {
      ExpectSame(1, sum, scale);
      ExpectSame(7, -sum, scale);
    }
  }
}

TEST(NumericSum, Random) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 100000; i++) {
    const int scale = static_cast<int>(random() % 17);
    const auto sum = static_cast<int64_t>(random() >> (random() % 64));
    if (FitsNumericSum(sum, scale)) ExpectSame(static_cast<int64_t>(random() % 1000 + 1), sum, scale);
    if (FitsNumericSum(-sum, scale)) ExpectSame(static_cast<int64_t>(random() % 1000 + 1), -sum, scale);
  }
}

TEST(NumericSum, Limits) {
  EXPECT_TRUE(FitsNumericSum(9999999999999999, 0));
  EXPECT_FALSE(FitsNumericSum(10000000000000000, 0));
  EXPECT_TRUE(FitsNumericSum(-99999999999999, 2));
  EXPECT_FALSE(FitsNumericSum(-100000000000000, 2));
  EXPECT_FALSE(FitsNumericSum(INT64_MIN, 0));
  EXPECT_FALSE(FitsNumericSum(0, -1));
  EXPECT_FALSE(FitsNumericSum(0, 17));
}

// Whatever is not exactly of the kind is left to the server.
TEST(NumericSum, Refusals) {
  NumericSum state;
  EXPECT_FALSE(Reads(Written(3, 12345, 2, 2), &state)) << "one number has another scale";
  EXPECT_FALSE(Reads(Written(3, 12345, 2, 3, 1), &state)) << "a NaN";
  EXPECT_FALSE(Reads(Written(0, 0, 2, 0), &state)) << "of none";
  EXPECT_FALSE(Reads(Written(3, 1000000000000000000, 2, 3), &state)) << "too long";
  const Bytes good = Written(3, -123456789, 3, 3);
  ASSERT_TRUE(Reads(good, &state));
  for (size_t size = 0; size < good.size(); size++) EXPECT_FALSE(Reads(Bytes(good.begin(), good.begin() + static_cast<long>(size)), &state));
  // What is read although a bit of it changed is written as it was read.
  for (size_t bit = 0; bit < good.size() * 8; bit++) {
    Bytes changed = good;
    changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ 1U << bit % 8);
    if (!Reads(changed, &state)) continue;
    ASSERT_TRUE(FitsNumericSum(state.sum, state.scale));
    Bytes written(kMostNumericSum);
    written.resize(WriteNumericSum(state, written.data()));
    EXPECT_EQ(written, changed);
  }
}

}  // namespace
}  // namespace pgstream
