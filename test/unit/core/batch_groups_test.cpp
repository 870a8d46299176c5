// Groups of log records against a plain evaluation, row by row: random plans, records with and without nulls, limits.
#include "core/batch_groups.hpp"

#include "core/batch_codec.hpp"
#include "core/string_ids.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace pgstream {
namespace {

constexpr int16_t kLengths[] = {1, 2, 4, 8, 8, kVarlenaLength};
constexpr int kColumns = 6;

/// Memory that is counted, and given back at the end.
struct Memory {
  std::vector<void *> all;
  ~Memory() {
    for (void *piece : all) std::free(piece);
  }
  static void *Allocate(void *self, size_t size) {
    static_cast<Memory *>(self)->all.push_back(std::malloc(size));
    return static_cast<Memory *>(self)->all.back();
  }
  static void Release(void *self, void *memory) {
    auto &all = static_cast<Memory *>(self)->all;
    for (void *&piece : all) {
      if (piece != memory) continue;
      std::free(piece);
      piece = all.back();
      all.pop_back();
      return;
    }
    ADD_FAILURE() << "released what was not allocated";
  }
};

struct Row {
  int weight;
  std::optional<int64_t> values[kColumns];  // of a varying column: any is a value
};

int64_t Narrow(int64_t value, int16_t length, bool is_unsigned) {
  switch (length) {
    case 1:
      return is_unsigned ? static_cast<int64_t>(static_cast<uint8_t>(value)) : static_cast<int8_t>(value);
    case 2:
      return is_unsigned ? static_cast<int64_t>(static_cast<uint16_t>(value)) : static_cast<int16_t>(value);
    case 4:
      return is_unsigned ? static_cast<int64_t>(static_cast<uint32_t>(value)) : static_cast<int32_t>(value);
    default:
      return value;
  }
}

bool Compare(BatchComparison comparison, int64_t a, int64_t b) {
  switch (comparison) {
    case BatchComparison::kEqual:
      return a == b;
    case BatchComparison::kNotEqual:
      return a != b;
    case BatchComparison::kLess:
      return a < b;
    case BatchComparison::kLessEqual:
      return a <= b;
    case BatchComparison::kGreater:
      return a > b;
    default:
      return a >= b;
  }
}

/// What a group should have of a column: all values with their net number.
using Bag = std::map<int64_t, int64_t>;

struct Expected {
  int64_t net = 0;
  std::vector<Bag> bags;
  std::vector<int64_t> counts;
};

struct Trial {
  std::mt19937_64 rng;
  bool is_unsigned[kColumns];
  std::vector<int> keys;
  std::vector<BatchCondition> conditions;
  BatchCondition filter;  // of some sums
  std::vector<BatchSum> sums;
  BatchGroupPlan plan;
  int64_t range;  // of values; 0: all there are
  int64_t shift = 0;  // of a record's values

  explicit Trial(uint64_t seed) : rng(seed) {
    for (int i = 0; i < kColumns; i++) is_unsigned[i] = rng() % 4 == 0 && kLengths[i] < 8;
    for (uint64_t n = rng() % 4; n > 0; n--) keys.push_back(static_cast<int>(rng() % 5));
    if (rng() % 2 == 0)
      for (uint64_t n = rng() % 3; n > 0; n--) {
        const int column = static_cast<int>(rng() % 5);
        conditions.push_back({column, static_cast<BatchComparison>(rng() % 6), static_cast<int64_t>(rng() % 20) - 5});
      }
    filter = {static_cast<int>(rng() % 5), static_cast<BatchComparison>(rng() % 6), static_cast<int64_t>(rng() % 20) - 5};
    for (uint64_t n = rng() % 5; n > 0; n--) {
      const auto kind = static_cast<BatchSumKind>(rng() % 5);
      const int column = kind == BatchSumKind::kCount ? static_cast<int>(rng() % 7) - 1 : static_cast<int>(rng() % 5);
      sums.push_back({kind, column, rng() % 3 == 0 ? 1 : 0, &filter});
    }
    plan = {static_cast<int>(keys.size()), keys.data(), static_cast<int>(conditions.size()), conditions.data(),
            static_cast<int>(sums.size()), sums.data()};
    range = rng() % 4 == 0 ? 0 : static_cast<int64_t>(1 + rng() % 30);
  }

  int64_t RandomValue() {
    if (range == 0) {
      constexpr int64_t kExtremes[] = {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), 0, -1, 1};
      return rng() % 3 == 0 ? kExtremes[rng() % 5] : static_cast<int64_t>(rng());
    }
    return static_cast<int64_t>(rng() % static_cast<uint64_t>(range)) - range / 3 + shift;
  }

  std::vector<Row> RandomRows() {
    std::vector<Row> rows(rng() % 400);
    shift = rng() % 3 == 0 ? static_cast<int64_t>(rng() % 4) * 40000 : 0;
    const uint64_t nulls = rng() % 3 == 0 ? 4 : rng() % 2 == 0 ? 40 : 0, weights = rng() % 4;
    const int all_null = rng() % 5 == 0 ? static_cast<int>(rng() % kColumns) : -1;
    int turn = 1;
    for (Row &row : rows) {
      turn = -turn;
      row.weight = weights == 0 ? 1 : weights == 1 ? -1 : weights == 2 ? turn : rng() % 2 == 0 ? 1 : -1;
      for (int i = 0; i < kColumns; i++)
        if (i != all_null && (nulls == 0 || rng() % nulls != 0)) row.values[i] = Narrow(RandomValue(), kLengths[i], is_unsigned[i]);
    }
    return rows;
  }

  static bool IsTrue(const Row &row, const BatchCondition &condition) {
    const auto &value = row.values[condition.column];
    return value && Compare(condition.comparison, *value, condition.constant);
  }

  bool Passes(const Row &row) const {
    for (const BatchCondition &condition : conditions)
      if (!IsTrue(row, condition)) return false;
    return true;
  }

  std::optional<std::vector<int64_t>> KeysOf(const Row &row) const {
    std::vector<int64_t> result;
    for (const int key : keys) {
      if (!row.values[key]) return std::nullopt;
      result.push_back(*row.values[key]);
    }
    return result;
  }
};

/// A record of rows, as the log has it.
std::vector<uint8_t> Encode(const std::vector<Row> &rows) {
  ColumnLayout layout[kColumns];
  for (int i = 0; i < kColumns; i++) layout[i] = {static_cast<int16_t>(i + 1), kLengths[i]};
  std::vector<uint8_t> buffer(64 * 1024), stage(64 * 1024);
  EncoderColumn state[kColumns];
  BatchEncoder encoder(buffer.data(), buffer.size(), stage.data(), stage.size());
  EXPECT_TRUE(encoder.Begin(layout, kColumns, state));
  for (const Row &row : rows) {
    ColumnValue values[kColumns];
    uint8_t bytes[kColumns][8];
    for (int i = 0; i < kColumns; i++) {
      values[i] = {nullptr, 0, !row.values[i]};
      if (!row.values[i]) continue;
      std::memcpy(bytes[i], &*row.values[i], 8);
      values[i] = {bytes[i], static_cast<uint32_t>(kLengths[i] > 0 ? kLengths[i] : 3), false};
    }
    EXPECT_TRUE(encoder.Append(row.weight, values));
  }
  buffer.resize(encoder.Finish());
  return buffer;
}

void CheckSum(const BatchSumValue &value, const BatchSum &sum, const Bag &bag, int64_t count) {
  EXPECT_EQ(value.count, count);
  WideInteger total = 0;
  for (const auto &[each, net] : bag) total += static_cast<WideInteger>(each) * net;
  switch (sum.kind) {
    case BatchSumKind::kCount:
      break;
    case BatchSumKind::kSum:
      EXPECT_EQ(static_cast<uint64_t>(value.sum), static_cast<uint64_t>(total));
      break;
    case BatchSumKind::kWideSum:
      EXPECT_TRUE(value.sum == total);
      break;
    default: {
      EXPECT_EQ(value.any, !bag.empty());
      if (bag.empty()) break;
      const auto &extreme = sum.kind == BatchSumKind::kLeast ? *bag.begin() : *bag.rbegin();
      EXPECT_EQ(value.extreme, extreme.first);
      EXPECT_EQ(value.net, extreme.second);
    }
  }
}

/// Merges all groups, some at a time, some of the keys given apart.
void MergeInto(BatchGroups *all, const BatchGroups &part, Trial *trial) {
  for (uint32_t first = 0; first < part.count();) {
    const auto n = static_cast<uint32_t>(1 + trial->rng() % (part.count() - first));
    std::vector<int64_t> columns(part.width() * n + 1, -1), keys(trial->keys.size() * n + 1);
    part.CopyColumns(first, n, columns.data());
    EXPECT_EQ(columns.back(), -1);
    std::vector<const int64_t *> places;
    for (size_t i = 0; i < trial->keys.size(); i++) {
      const auto column = columns.begin() + static_cast<std::ptrdiff_t>(i * n);
      std::copy(column, column + n, keys.begin() + static_cast<std::ptrdiff_t>(i * n));
      places.push_back(keys.data() + i * n);
      std::fill(column, column + n, 77);
    }
    all->Merge(n, columns.data(), places.data());
    first += n;
  }
}

void Try(uint64_t seed) {
  SCOPED_TRACE(seed);
  Trial trial(seed);
  Memory memory;
  const uint32_t limit = trial.rng() % 3 == 0 ? static_cast<uint32_t>(1 + trial.rng() % 20) : 1u << 20;
  // Without a limit, by some who do not know each other's groups.
  const uint64_t nparts = limit == 1u << 20 ? 1 + trial.rng() % 3 : 1;
  BatchGroups parts[3], all;
  const MaskAllocator allocator = {Memory::Allocate, Memory::Release, &memory};
  for (BatchGroups &part : parts) part.Init(&trial.plan, allocator, limit, trial.rng());
  for (int round = 0; round < 2; round++) {
    std::map<std::vector<int64_t>, Expected> expected;
    // Of one key many rows, after which it is decided how its groups are found.
    for (uint64_t n = 1 + trial.rng() % (trial.keys.size() == 1 && seed % 2 == 0 ? 60 : 6); n > 0; n--) {
      const std::vector<Row> rows = trial.RandomRows();
      const std::vector<uint8_t> record = Encode(rows);
      DecoderColumn columns[kColumns];
      BatchDecoder decoder;
      ASSERT_EQ(decoder.Open(record.data(), record.size(), columns, kColumns), BatchStatus::kOk);
      std::vector<uint8_t> left(rows.size() + 1, 0x77), should(rows.size() + 1, 0);
      uint32_t nleft = 0;
      should.back() = 0x77;
      std::vector<std::vector<int64_t>> values(kColumns, std::vector<int64_t>(rows.size() + 1));
      std::vector<BatchColumnValues> given;
      std::vector<int8_t> weights(rows.size() + 1);
      decoder.Weights(weights.data());
      for (int i = 0; i < kColumns; i++) {
        if (kLengths[i] > 0) decoder.Integers(i, trial.is_unsigned[i], values[i].data());
        given.push_back({values[i].data(), decoder.Nulls(i), decoder.AllNull(i)});
      }
      for (size_t r = 0; r < rows.size(); r++) left[r] = trial.rng() % 50 == 0;
      const std::vector<uint8_t> refused = left;
      for (size_t r = 0; r < rows.size(); r++) {
        if (!trial.Passes(rows[r])) continue;
        const auto keys = trial.KeysOf(rows[r]);
        if (!keys || refused[r] != 0 || (expected.find(*keys) == expected.end() && expected.size() == limit)) {
          should[r] = 1;
          nleft++;
          continue;
        }
        Expected &group = expected[*keys];
        group.bags.resize(trial.sums.size());
        group.counts.resize(trial.sums.size());
        group.net += rows[r].weight;
        for (size_t i = 0; i < trial.sums.size(); i++) {
          const BatchSum &sum = trial.sums[i];
          const auto &value = sum.column < 0 ? std::optional<int64_t>(0) : rows[r].values[sum.column];
          if (!value || (sum.nconditions > 0 && !Trial::IsTrue(rows[r], trial.filter))) continue;
          group.bags[i][*value] += rows[r].weight;
          group.counts[i] += rows[r].weight;
        }
      }
      EXPECT_EQ(parts[trial.rng() % nparts].Add(decoder.nrows(), given.data(), weights.data(), left.data()), nleft);
      if (!rows.empty()) { EXPECT_EQ(left, should); }
    }
    all.Init(&trial.plan, allocator, static_cast<uint32_t>(trial.rng() % 3), trial.rng());
    for (uint64_t i = 0; nparts > 1 && i < nparts; i++) MergeInto(&all, parts[i], &trial);
    const BatchGroups &groups = nparts > 1 ? all : parts[0];
    ASSERT_EQ(groups.count(), expected.size());
    for (uint32_t g = 0; g < groups.count(); g++) {
      const std::vector<int64_t> keys(groups.Keys(g), groups.Keys(g) + trial.keys.size());
      const auto found = expected.find(keys);
      ASSERT_NE(found, expected.end());
      EXPECT_EQ(groups.Net(g), found->second.net);
      for (size_t i = 0; i < trial.sums.size(); i++)
        CheckSum(groups.Value(g, static_cast<int>(i)), trial.sums[i], found->second.bags[i], found->second.counts[i]);
    }
    for (BatchGroups &part : parts) part.Forget();
  }
}

// The number of one string; -1 when it is left.
int64_t IdOf(StringIds *ids, const void *data, size_t size) {
  const auto *place = static_cast<const uint8_t *>(data);
  const auto bytes = static_cast<uint32_t>(size);
  int64_t id = 0;
  uint8_t left = 0;
  ids->IdsOf(1, &place, &bytes, nullptr, &id, &left);
  return left != 0 ? -1 : id;
}

TEST(StringIds, EqualBytesHaveOneId) {
  Memory memory;
  StringIds ids;
  ids.Init({Memory::Allocate, Memory::Release, &memory}, 4 * 1024 * 1024, 17);
  std::mt19937_64 rng(5);
  std::map<std::string, int64_t> expected;
  for (int i = 0; i < 20000; i++) {
    std::string text(rng() % (rng() % 4 == 0 ? 200 : 5), 'a');
    for (char &c : text) c = static_cast<char>(rng() % 3);
    const int64_t id = IdOf(&ids, text.data(), text.size());
    const auto [found, added] = expected.emplace(text, static_cast<int64_t>(expected.size()));
    ASSERT_EQ(id, found->second);
  }
  for (const auto &[text, id] : expected) {
    uint32_t size;
    const uint8_t *const bytes = ids.Bytes(id, &size);
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(bytes), size), text);
  }
}

TEST(StringIds, BeyondTheLimitKnownOnesAreFound) {
  Memory memory;
  StringIds ids;
  ids.Init({Memory::Allocate, Memory::Release, &memory}, 20000, 3);
  int64_t known = 0;
  for (uint64_t round = 0; round < 2; round++) {
    for (uint64_t i = 0; i < 5000; i++) {
      const int64_t id = IdOf(&ids, &i, sizeof(i));
      if (round == 0 && id >= 0) known++;
      EXPECT_EQ(id, static_cast<int64_t>(i) < known ? static_cast<int64_t>(i) : -1);
    }
    EXPECT_GT(known, 100);
    EXPECT_LT(known, 2000);
  }
  EXPECT_EQ(ids.count(), known);
  for (const uint64_t i : {4000, 4001, 4002, 0}) {
    const auto *const place = reinterpret_cast<const uint8_t *>(&i);
    const uint32_t size = sizeof(i);
    int64_t id = -1;
    uint8_t left = 0;
    ids.Add(1, &place, &size, &id, &left);
    EXPECT_EQ(id, i == 0 ? 0 : known + static_cast<int64_t>(i) - 4000);
    EXPECT_EQ(left, 0);
  }
  const uint64_t another = 4999;
  EXPECT_EQ(IdOf(&ids, &another, sizeof(another)), -1);
}

// Many rows at once, NULLs among them, whose places nobody may look at; strings that differ in any one byte have different numbers.
TEST(StringIds, RowsAtOnce) {
  Memory memory;
  StringIds ids;
  ids.Init({Memory::Allocate, Memory::Release, &memory}, 4 * 1024 * 1024, 99);
  std::mt19937_64 rng(7);
  std::map<std::string, int64_t> expected;
  for (int round = 0; round < 200; round++) {
    const auto nrows = static_cast<uint32_t>(rng() % 200);
    std::vector<std::string> texts(nrows);
    std::vector<const uint8_t *> places(nrows);
    std::vector<uint32_t> sizes(nrows);
    std::vector<uint8_t> nulls(nrows / 8 + 1), left(nrows);
    std::vector<int64_t> numbers(nrows, -7);
    for (uint32_t r = 0; r < nrows; r++) {
      texts[r] = std::string(rng() % 40, 'x');
      if (!texts[r].empty()) texts[r][rng() % texts[r].size()] = static_cast<char>(rng() % 2);
      places[r] = reinterpret_cast<const uint8_t *>(texts[r].data());
      sizes[r] = static_cast<uint32_t>(texts[r].size());
      if (rng() % 5 != 0) continue;
      nulls[r / 8] = static_cast<uint8_t>(nulls[r / 8] | 1 << (r % 8));
      places[r] = nullptr;
    }
    ids.IdsOf(nrows, places.data(), sizes.data(), nulls.data(), numbers.data(), left.data());
    for (uint32_t r = 0; r < nrows; r++) {
      EXPECT_EQ(left[r], 0);
      if (places[r] == nullptr)
        EXPECT_EQ(numbers[r], -7);
      else
        EXPECT_EQ(numbers[r], expected.emplace(texts[r], static_cast<int64_t>(expected.size())).first->second);
    }
  }
}

TEST(BatchGroups, RandomRecords) {
  for (uint64_t seed = 1; seed <= 1000; seed++) Try(seed);
}

}  // namespace
}  // namespace pgstream
