// Snapshots and frontiers against a model that enumerates transactions and records one by one.
#include "core/frontier.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace pgstream {
namespace {

/// Xids of the model are 1 .. kXids; everything from kXids on behaves as kXids does.
constexpr uint64_t kXids = 12;
constexpr int64_t kSeqs = 4;

struct OwnedSnapshot {
  uint64_t xmin = 1, xmax = 1;
  std::vector<uint64_t> xip;
  SnapshotView view() const { return {xmin, xmax, xip.data(), static_cast<uint32_t>(xip.size())}; }
};

OwnedSnapshot RandomSnapshot(std::mt19937_64 &rng) {
  OwnedSnapshot s;
  s.xmin = rng() % (kXids - 2) + 1;
  s.xmax = s.xmin + rng() % (kXids - s.xmin);
  for (uint64_t xid = s.xmin; xid < s.xmax; xid++) {
    if (rng() % 2 == 0)
      s.xip.push_back(xid);
  }
  return s;
}

bool ModelSees(const OwnedSnapshot &s, uint64_t xid) {
  if (xid < s.xmin)
    return true;
  if (xid >= s.xmax)
    return false;
  return std::find(s.xip.begin(), s.xip.end(), xid) == s.xip.end();
}

TEST(Frontier, SeesAsTheModel) {
  std::mt19937_64 rng(1);
  for (int round = 0; round < 2000; round++) {
    OwnedSnapshot s = RandomSnapshot(rng);
    ASSERT_TRUE(IsValid(s.view()));
    for (uint64_t xid = 1; xid <= kXids + 1; xid++)
      ASSERT_EQ(ModelSees(s, xid), Sees(s.view(), xid));
  }
}

TEST(Frontier, SeesAtTheEdges) {
  const uint64_t xip[] = {5, 9};
  const SnapshotView s = {5, 10, xip, 2};
  EXPECT_TRUE(Sees(s, 4));
  EXPECT_FALSE(Sees(s, 5));
  EXPECT_TRUE(Sees(s, 6));
  EXPECT_FALSE(Sees(s, 9));
  EXPECT_FALSE(Sees(s, 10));
  EXPECT_FALSE(Sees(s, UINT64_MAX));
  const SnapshotView all = {UINT64_MAX, UINT64_MAX, nullptr, 0};
  EXPECT_TRUE(Sees(all, UINT64_MAX - 1));
  EXPECT_FALSE(Sees(all, UINT64_MAX));
}

TEST(Frontier, IsValidKnowsTheRules) {
  const uint64_t xip[] = {5, 9};
  const uint64_t twice[] = {5, 5};
  const uint64_t down[] = {9, 5};
  EXPECT_TRUE(IsValid({5, 10, xip, 2}));
  EXPECT_TRUE(IsValid({7, 7, nullptr, 0}));
  EXPECT_FALSE(IsValid({0, 10, nullptr, 0}));
  EXPECT_FALSE(IsValid({8, 7, nullptr, 0}));
  EXPECT_FALSE(IsValid({6, 10, xip, 2}));
  EXPECT_FALSE(IsValid({5, 9, xip, 2}));
  EXPECT_FALSE(IsValid({5, 10, twice, 2}));
  EXPECT_FALSE(IsValid({5, 10, down, 2}));
}

TEST(Frontier, CoversOwnRecordsByOrderAlone) {
  const uint64_t xip[] = {7};
  const Frontier own = {{7, 9, xip, 1}, 7, 3};
  EXPECT_TRUE(Covers(own, 7, 3));  // not visible in the snapshot
  EXPECT_FALSE(Covers(own, 7, 4));
  EXPECT_TRUE(Covers(own, 8, 100));
  EXPECT_FALSE(Covers(own, 9, 0));
  const Frontier seen = {{20, 20, nullptr, 0}, 7, 3};
  EXPECT_TRUE(Covers(seen, 7, 3));
  EXPECT_FALSE(Covers(seen, 7, 4));  // although visible in the snapshot
  const Frontier none = {{7, 9, xip, 1}, 0, 100};
  EXPECT_FALSE(Covers(none, 7, 3));
}

TEST(Frontier, IncludesAsTheModel) {
  std::mt19937_64 rng(2);
  int included = 0;
  for (int round = 0; round < 40000; round++) {
    OwnedSnapshot a = RandomSnapshot(rng);
    OwnedSnapshot b = RandomSnapshot(rng);
    bool expected = true;
    for (uint64_t xid = 1; xid <= kXids; xid++)
      expected = expected && (!ModelSees(b, xid) || ModelSees(a, xid));
    ASSERT_EQ(expected, Includes(a.view(), b.view()))
        << a.xmin << ":" << a.xmax << " " << a.xip.size() << " and " << b.xmin << ":" << b.xmax << " " << b.xip.size();
    ASSERT_TRUE(Includes(a.view(), a.view()));
    if (expected)
      included++;
  }
  EXPECT_GT(included, 1000);
  EXPECT_LT(included, 39000);
}

TEST(Frontier, IncludesOfFrontiersAsTheModel) {
  std::mt19937_64 rng(3);
  int included = 0;
  for (int round = 0; round < 40000; round++) {
    OwnedSnapshot sa = RandomSnapshot(rng);
    OwnedSnapshot sb = rng() % 2 == 0 ? RandomSnapshot(rng) : sa;
    auto own = [&rng] { return rng() % 2 == 0 ? 0 : rng() % kXids + 1; };
    Frontier a = {sa.view(), own(), static_cast<int64_t>(rng() % kSeqs)};
    Frontier b = {sb.view(), rng() % 3 == 0 ? a.own_xid : own(), static_cast<int64_t>(rng() % kSeqs)};
    bool expected = true;
    for (uint64_t xid = 1; xid <= kXids + 1; xid++) {
      for (int64_t seq = 0; seq <= kSeqs; seq++) {
        bool in_a = a.own_xid == xid ? seq <= a.own_seq : ModelSees(sa, xid);
        bool in_b = b.own_xid == xid ? seq <= b.own_seq : ModelSees(sb, xid);
        ASSERT_EQ(in_a, Covers(a, xid, seq));
        expected = expected && (!in_b || in_a);
      }
    }
    ASSERT_EQ(expected, Includes(a, b)) << "round " << round;
    if (expected)
      included++;
  }
  EXPECT_GT(included, 1000);
  EXPECT_LT(included, 39000);
}

std::string Format(const SnapshotView &s) {
  std::string text(SnapshotTextBound(s.nxip), 'x');
  size_t length = FormatSnapshot(s, text.data(), text.size());
  EXPECT_LT(length, text.size());
  EXPECT_EQ('\0', text[length]);
  text.resize(length);
  return text;
}

TEST(Frontier, TextRoundTrips) {
  std::mt19937_64 rng(4);
  for (int round = 0; round < 1000; round++) {
    OwnedSnapshot s = RandomSnapshot(rng);
    std::string text = Format(s.view());
    uint64_t storage[kXids];
    SnapshotView back;
    uint32_t needed;
    ASSERT_EQ(SnapshotParse::kOk, ParseSnapshot(text.data(), text.size(), storage, kXids, &back, &needed)) << text;
    ASSERT_EQ(s.xip.size(), needed);
    ASSERT_EQ(text, Format(back));
  }
  const uint64_t xip[] = {UINT64_MAX - 2, UINT64_MAX - 1};
  const SnapshotView big = {UINT64_MAX - 2, UINT64_MAX, xip, 2};
  EXPECT_EQ("18446744073709551613:18446744073709551615:18446744073709551613,18446744073709551614", Format(big));
  EXPECT_EQ("7:7:", Format({7, 7, nullptr, 0}));
}

TEST(Frontier, FormatTellsWhatItNeeds) {
  const uint64_t xip[] = {10, 12};
  const SnapshotView s = {10, 20, xip, 2};
  char buf[12] = "###########";
  EXPECT_EQ(11u, FormatSnapshot(s, nullptr, 0));
  EXPECT_EQ(11u, FormatSnapshot(s, buf, 11));
  EXPECT_STREQ("", buf);
  EXPECT_EQ(11u, FormatSnapshot(s, buf, 12));
  EXPECT_STREQ("10:20:10,12", buf);
}

SnapshotParse Parse(const std::string &text, std::string *back = nullptr) {
  uint64_t storage[4];
  SnapshotView s;
  SnapshotParse result = ParseSnapshot(text.data(), text.size(), storage, 4, &s, nullptr);
  if (result == SnapshotParse::kOk && back != nullptr)
    *back = Format(s);
  return result;
}

TEST(Frontier, ParseRefuses) {
  for (const char *text : {"", "1", "1:", "1:2", "x:2:", "1:2:x", "1:2:,", "1:3:1,", "1:3:1,,2",
                           " 1:2:", "1:2: ", "1:2:1 ", "-1:2:", "1::", ":1:", "1:2:3:4", "+1:2:"}) {
    EXPECT_EQ(SnapshotParse::kSyntax, Parse(text)) << text;
  }
  for (const char *text : {"0:2:", "3:2:", "5:9:4", "5:9:9", "5:9:7,6", "18446744073709551616:18446744073709551616:",
                           "1:99999999999999999999999:", "1:18446744073709551620:"}) {
    EXPECT_EQ(SnapshotParse::kRange, Parse(text)) << text;
  }
}

TEST(Frontier, ParseDropsRepeatsAndCountsRoom) {
  std::string back;
  EXPECT_EQ(SnapshotParse::kOk, Parse("5:9:6,6,7,7,7", &back));
  EXPECT_EQ("5:9:6,7", back);
  const std::string five = "5:10:5,6,7,8,9";
  uint64_t storage[5] = {0, 0, 0, 0, 77};
  SnapshotView s;
  uint32_t needed = 0;
  EXPECT_EQ(SnapshotParse::kNoRoom, ParseSnapshot(five.data(), five.size(), storage, 4, &s, &needed));
  EXPECT_EQ(5u, needed);
  EXPECT_EQ(77u, storage[4]);
  EXPECT_EQ(SnapshotParse::kOk, ParseSnapshot(five.data(), five.size(), storage, 5, &s, &needed));
  EXPECT_EQ(5u, s.nxip);
}

}  // namespace
}  // namespace pgstream
