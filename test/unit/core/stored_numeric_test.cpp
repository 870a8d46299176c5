// Stored numerics against arithmetic on decimal digits, one at a time, of numbers written out.
#include "core/stored_numeric.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace pgstream {
namespace {

using Bytes = std::vector<uint8_t>;

// A number written out: digits, the last `scale` of them behind the point.
struct Decimal {
  std::string digits;
  int scale = 0;
  bool negative = false;
};

std::string Trimmed(std::string digits) {
  const size_t first = digits.find_first_not_of('0');
  return first == std::string::npos ? "" : digits.substr(first);
}

void Put(Bytes *bytes, int value) {
  const auto word = static_cast<uint16_t>(value);
  bytes->push_back(static_cast<uint8_t>(word));
  bytes->push_back(static_cast<uint8_t>(word >> 8));
}

// As the server stores it.
Bytes Stored(const Decimal &decimal, bool force_long = false) {
  std::string digits = Trimmed(decimal.digits);
  const int padding = (4 - decimal.scale % 4) % 4;
  digits += std::string(static_cast<size_t>(digits.empty() ? 0 : padding), '0');
  digits = std::string((4 - digits.size() % 4) % 4, '0') + digits;
  std::vector<int> groups;
  for (size_t i = 0; i < digits.size(); i += 4) groups.push_back(std::stoi(digits.substr(i, 4)));
  int weight = static_cast<int>(groups.size()) - 1 - (decimal.scale + padding) / 4;
  while (!groups.empty() && groups.back() == 0) groups.pop_back();
  if (groups.empty()) weight = 0;
  const bool negative = decimal.negative && !groups.empty();
  Bytes bytes;
  if (!force_long && decimal.scale <= 63 && weight <= 63 && weight >= -64) {
    Put(&bytes, 0x8000 | (negative ? 0x2000 : 0) | decimal.scale << 7 | (weight & 0x7F));
  } else {
    Put(&bytes, (negative ? 0x4000 : 0) | decimal.scale);
    Put(&bytes, weight);
  }
  for (const int group : groups) Put(&bytes, group);
  return bytes;
}

// Unsigned arithmetic on digits.
int Order(const std::string &a, const std::string &b) {
  const std::string x = Trimmed(a), y = Trimmed(b);
  if (x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
  return x < y ? -1 : x > y;
}
std::string Sum(std::string a, std::string b) {
  const size_t n = std::max(a.size(), b.size()) + 1;
  a.insert(0, n - a.size(), '0');
  b.insert(0, n - b.size(), '0');
  for (size_t i = n, carry = 0; i-- > 0;) {
    const size_t digit = static_cast<size_t>(a[i] - '0' + b[i] - '0') + carry;
    a[i] = static_cast<char>('0' + digit % 10);
    carry = digit / 10;
  }
  return a;
}
std::string Difference(std::string a, std::string b) {  // a is not less
  b.insert(0, a.size() > b.size() ? a.size() - b.size() : 0, '0');
  a.insert(0, b.size() - a.size(), '0');
  int borrow = 0;
  for (size_t i = a.size(); i-- > 0;) {
    int digit = a[i] - b[i] - borrow;
    borrow = digit < 0;
    a[i] = static_cast<char>('0' + (digit + 10) % 10);
  }
  return a;
}
std::string Product(const std::string &a, const std::string &b) {
  std::string result = "0";
  for (const char digit : b) {
    result += '0';
    for (int i = 0; i < digit - '0'; i++) result = Sum(result, a);
  }
  return result;
}

void Align(Decimal *a, Decimal *b) {
  for (Decimal *x : {a, b}) {
    const int scale = std::max(a->scale, b->scale);
    x->digits.append(static_cast<size_t>(scale - x->scale), '0');
    x->scale = scale;
  }
}

Decimal Compute(Operation operation, Decimal a, Decimal b) {
  if (operation == Operation::kMultiply) return {Product(a.digits, b.digits), a.scale + b.scale, a.negative != b.negative};
  if (operation == Operation::kSubtract) b.negative = !b.negative;
  Align(&a, &b);
  if (a.negative == b.negative) return {Sum(a.digits, b.digits), a.scale, a.negative};
  if (Order(a.digits, b.digits) >= 0) return {Difference(a.digits, b.digits), a.scale, a.negative};
  return {Difference(b.digits, a.digits), a.scale, b.negative};
}

int SignedOrder(Decimal a, Decimal b) {
  Align(&a, &b);
  const int x = Trimmed(a.digits).empty() ? 0 : a.negative ? -1 : 1, y = Trimmed(b.digits).empty() ? 0 : b.negative ? -1 : 1;
  if (x != y) return x < y ? -1 : 1;
  return x * Order(a.digits, b.digits);
}

class Numbers {
 public:
  explicit Numbers(uint32_t seed) : random_(seed) {}
  uint32_t Pick(uint32_t n) { return random_() % n; }
  Decimal Make(int most_digits, int most_scale) {
    Decimal decimal;
    decimal.scale = static_cast<int>(Pick(static_cast<uint32_t>(most_scale) + 1));
    const uint32_t n = Pick(static_cast<uint32_t>(most_digits) + 1);
    const uint32_t kind = Pick(5);
    for (uint32_t i = 0; i < n; i++)
      decimal.digits += static_cast<char>('0' + (kind == 0 ? 9 : kind == 1 ? (i == 0) : kind == 2 && i % 7 > 1 ? 0 : Pick(10)));
    decimal.negative = Pick(2) == 0;
    return decimal;
  }

 private:
  std::mt19937 random_;
};

StoredNumeric View(const Bytes &bytes) { return {bytes.data(), static_cast<uint32_t>(bytes.size())}; }

constexpr Operation kArithmetic[] = {Operation::kAdd, Operation::kSubtract, Operation::kMultiply};

TEST(StoredNumeric, ArithmeticIsExact) {
  Numbers numbers(1);
  int computed = 0;
  for (int i = 0; i < 60000; i++) {
    const int most = i % 3 == 0 ? 8 : i % 3 == 1 ? 18 : 45;
    const Decimal a = numbers.Make(most, most), b = numbers.Make(most, most);
    const Bytes x = Stored(a, numbers.Pick(10) == 0), y = Stored(b);
    const Operation operation = kArithmetic[numbers.Pick(3)];
    Bytes result(kMostStoredResult);
    const uint32_t size = ComputeStored(operation, View(x), View(y), result.data());
    ASSERT_LE(size, kMostStoredResult);
    // What fits easily must not be refused.
    if (most <= 8) {
      ASSERT_GT(size, 0u) << a.digits << " " << b.digits;
    }
    if (size == 0) continue;
    computed++;
    result.resize(size);
    ASSERT_EQ(result, Stored(Compute(operation, a, b)))
        << (a.negative ? "-" : "") << a.digits << "e-" << a.scale << " " << static_cast<int>(operation) << " " << (b.negative ? "-" : "") << b.digits << "e-" << b.scale;
  }
  EXPECT_GT(computed, 40000);
}

TEST(StoredNumeric, OrderIsExact) {
  Numbers numbers(2);
  for (int i = 0; i < 60000; i++) {
    const Decimal a = numbers.Make(i % 2 == 0 ? 6 : 300, i % 2 == 0 ? 4 : 200);
    Decimal b = numbers.Pick(3) == 0 ? a : numbers.Make(i % 2 == 0 ? 6 : 300, i % 2 == 0 ? 4 : 200);
    if (numbers.Pick(4) == 0) b.digits += "000", b.scale += 3;
    int order;
    ASSERT_TRUE(CompareStored(View(Stored(a, numbers.Pick(4) == 0)), View(Stored(b)), &order));
    ASSERT_EQ((order > 0) - (order < 0), SignedOrder(a, b)) << a.digits << "e-" << a.scale << " and " << b.digits << "e-" << b.scale;
  }
}

TEST(StoredNumeric, Integers) {
  for (const int64_t value : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{10000}, int64_t{-9999}, INT64_MAX, INT64_MIN, int64_t{1000000000000000000}}) {
    Bytes result(kMostStoredResult);
    result.resize(StoreInteger(value, result.data()));
    std::string text = std::to_string(value);
    const bool negative = text[0] == '-';
    if (negative) text.erase(0, 1);
    EXPECT_EQ(result, Stored({text, 0, negative})) << value;
  }
}

TEST(StoredNumeric, WithoutItsPoint) {
  Numbers numbers(3);
  for (int i = 0; i < 20000; i++) {
    const Decimal a = numbers.Make(14, 14);
    const Bytes bytes = Stored(a, numbers.Pick(5) == 0);
    int64_t value = -77;
    EXPECT_EQ(StoredScale(bytes.data(), static_cast<uint32_t>(bytes.size())), a.scale);
    EXPECT_FALSE(StoredInteger(bytes.data(), static_cast<uint32_t>(bytes.size()), a.scale + 1, &value));
    if (!StoredInteger(bytes.data(), static_cast<uint32_t>(bytes.size()), a.scale, &value)) continue;
    const std::string digits = Trimmed(a.digits);
    ASSERT_EQ(value, digits.empty() ? 0 : std::stoll(digits) * (a.negative ? -1 : 1));
  }
}

TEST(StoredNumeric, WhatIsNoNumberIsRefused) {
  const Bytes one = Stored({"1", 0, false});
  const std::vector<Bytes> strange = {{}, {0}, {0, 0xC0}, {0, 0xD0}, {0, 0xF0}, {0, 0xC0, 0, 0}, {0, 0}, {0, 0, 0}, {0, 0x80, 1},
                                      {0, 0x80, 0, 0}, {0, 0x80, 1, 0, 0, 0}};
  for (const Bytes &bytes : strange) {
    int order;
    Bytes result(kMostStoredResult);
    EXPECT_FALSE(CompareStored(View(bytes), View(one), &order));
    EXPECT_FALSE(CompareStored(View(one), View(bytes), &order));
    for (const Operation operation : kArithmetic) {
      EXPECT_EQ(ComputeStored(operation, View(bytes), View(one), result.data()), 0u);
      EXPECT_EQ(ComputeStored(operation, View(one), View(bytes), result.data()), 0u);
    }
  }
}

// A digit behind what is shown: the server would round it away in a product.
TEST(StoredNumeric, HiddenDigitsAreRefused) {
  Bytes hidden;
  Put(&hidden, 0x8000 | 1 << 7 | (-2 & 0x7F));
  Put(&hidden, 5000);
  const Bytes one = Stored({"1", 0, false});
  Bytes result(kMostStoredResult);
  EXPECT_EQ(ComputeStored(Operation::kMultiply, View(hidden), View(one), result.data()), 0u);
}

TEST(StoredNumeric, LargeScalesAreRefused) {
  const Bytes a = Stored({"1", 40, false});
  Bytes result(kMostStoredResult);
  EXPECT_EQ(ComputeStored(Operation::kMultiply, View(a), View(a), result.data()), 0u);
}

}  // namespace
}  // namespace pgstream
