// The packed record: what goes in comes out, nothing is written or read outside the buffer, damage gives a status.
#include "core/batch_codec.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace pgstream {
namespace {

/// A row as the tests keep it: weight and, per column, its bytes or null.
struct Row {
  int weight;
  std::vector<std::unique_ptr<std::string>> values;
};

ColumnValue ValueOf(const std::string *s) {
  if (s == nullptr)
    return {nullptr, 0, true};
  return {reinterpret_cast<const uint8_t *>(s->data()), static_cast<uint32_t>(s->size()), false};
}

std::vector<ColumnValue> ValuesOf(const Row &row) {
  std::vector<ColumnValue> out;
  for (const auto &v : row.values)
    out.push_back(ValueOf(v.get()));
  return out;
}

Row MakeRow(int weight, const std::vector<const char *> &values) {
  Row row{weight, {}};
  for (const char *v : values)
    row.values.push_back(v == nullptr ? nullptr : std::make_unique<std::string>(v));
  return row;
}

Row RandomRow(std::mt19937_64 &rng, const std::vector<ColumnLayout> &cols) {
  Row row{rng() % 2 == 0 ? 1 : -1, {}};
  for (const ColumnLayout &col : cols) {
    if (rng() % 4 == 0) {
      row.values.push_back(nullptr);
      continue;
    }
    size_t size = col.length > 0 ? static_cast<size_t>(col.length) : rng() % (rng() % 8 == 0 ? 300 : 6);
    auto value = std::make_unique<std::string>();
    for (size_t i = 0; i < size; i++) {
      char c = static_cast<char>(rng());
      value->push_back(c == 0 && col.length == kCStringLength ? 'x' : c);
    }
    row.values.push_back(std::move(value));
  }
  return row;
}

std::vector<ColumnLayout> RandomLayout(std::mt19937_64 &rng) {
  static const int16_t lengths[] = {1, 2, 4, 8, 16, 64, kVarlenaLength, kVarlenaLength, kCStringLength};
  std::vector<ColumnLayout> cols(rng() % 12);
  for (ColumnLayout &col : cols) {
    col.attnum = static_cast<int16_t>(rng() % 1600 + 1);
    col.length = lengths[rng() % (sizeof(lengths) / sizeof(lengths[0]))];
  }
  return cols;
}

/// Encodes rows while they fit; returns the record in a block of exactly its size, so that a sanitizer sees any
/// overrun.
std::vector<uint8_t> Encode(const std::vector<ColumnLayout> &cols, const std::vector<Row> &rows, size_t capacity,
                            size_t *nencoded) {
  std::unique_ptr<uint8_t[]> buf(new uint8_t[capacity]);
  BatchEncoder encoder(buf.get(), capacity);
  *nencoded = 0;
  if (!encoder.Begin(cols.data(), static_cast<int>(cols.size())))
    return {};
  for (const Row &row : rows) {
    std::vector<ColumnValue> values = ValuesOf(row);
    size_t before = encoder.size();
    bool fits = encoder.RowSize(values.data()) <= capacity - before;
    EXPECT_EQ(fits, encoder.Append(row.weight, values.data()));
    if (!fits) {
      EXPECT_EQ(before, encoder.size());
      break;
    }
    EXPECT_EQ(before + encoder.RowSize(values.data()), encoder.size());
    ++*nencoded;
  }
  size_t size = encoder.Finish();
  return std::vector<uint8_t>(buf.get(), buf.get() + size);
}

void ExpectRows(const std::vector<uint8_t> &record, const std::vector<ColumnLayout> &cols, const std::vector<Row> &rows,
                size_t nrows) {
  BatchDecoder decoder;
  ASSERT_EQ(BatchStatus::kOk, decoder.Open(record.data(), record.size()));
  ASSERT_EQ(static_cast<int>(cols.size()), decoder.ncols());
  ASSERT_EQ(nrows, decoder.nrows());
  for (size_t i = 0; i < cols.size(); i++) {
    EXPECT_EQ(cols[i].attnum, decoder.layout(static_cast<int>(i)).attnum);
    EXPECT_EQ(cols[i].length, decoder.layout(static_cast<int>(i)).length);
  }
  std::vector<ColumnView> out(cols.size() + 1);
  int weight = 0;
  for (size_t r = 0; r < nrows; r++) {
    ASSERT_EQ(BatchStatus::kOk, decoder.Next(&weight, out.data()));
    EXPECT_EQ(rows[r].weight, weight);
    for (size_t c = 0; c < cols.size(); c++) {
      const std::string *expected = rows[r].values[c].get();
      ASSERT_EQ(expected == nullptr, out[c].isnull);
      if (expected == nullptr)
        continue;
      ASSERT_EQ(*expected, std::string(reinterpret_cast<const char *>(out[c].data), out[c].size));
      if (cols[c].length == kCStringLength) {
        EXPECT_STREQ(expected->c_str(), reinterpret_cast<const char *>(out[c].data));
      }
    }
  }
  EXPECT_EQ(BatchStatus::kEnd, decoder.Next(&weight, out.data()));
  EXPECT_EQ(BatchStatus::kEnd, decoder.Next(&weight, out.data()));
}

TEST(BatchCodec, WritesTheDocumentedBytes) {
  const std::vector<ColumnLayout> cols = {{1, 4}, {3, kVarlenaLength}, {7, kCStringLength}};
  std::vector<Row> rows;
  rows.push_back(MakeRow(1, {"abcd", "xy", "z"}));
  rows.push_back(MakeRow(-1, {"efgh", nullptr, ""}));
  size_t n;
  std::vector<uint8_t> record = Encode(cols, rows, 100, &n);
  const std::vector<uint8_t> expected = {
      0xB5, 1,    3,   0,   2,   0,   0,    0,                         // header
      1,    0,    4,   0,   3,   0,   0xFF, 0xFF, 7, 0,   0xFE, 0xFF,  // columns
      0,    'a',  'b', 'c', 'd', 2,   'x',  'y',  1, 'z', 0,           // +1
      3,    0x02, 'e', 'f', 'g', 'h', 0,    0,                         // -1, second is null
  };
  EXPECT_EQ(expected, record);
  ExpectRows(record, cols, rows, 2);
}

TEST(BatchCodec, TenBytesForAnIntAndASmallNumeric) {
  const std::vector<ColumnLayout> cols = {{1, 4}, {2, kVarlenaLength}};
  Row row = MakeRow(1, {"\1\2\3\4", "abcd"});
  size_t n;
  std::vector<Row> rows;
  rows.push_back(std::move(row));
  std::vector<uint8_t> record = Encode(cols, rows, 100, &n);
  EXPECT_EQ(BatchEncoder::HeaderSize(2) + 10, record.size());
}

TEST(BatchCodec, NoColumnsAndNoRows) {
  size_t n;
  std::vector<Row> none;
  ExpectRows(Encode({}, none, 8, &n), {}, none, 0);
  std::vector<Row> rows;
  for (int i = 0; i < 5; i++)
    rows.push_back(MakeRow(i % 2 == 0 ? 1 : -1, {}));
  std::vector<uint8_t> record = Encode({}, rows, 12, &n);
  EXPECT_EQ(4u, n);
  ExpectRows(record, {}, rows, 4);
}

TEST(BatchCodec, FixedWidthIgnoresTheGivenSize) {
  const ColumnLayout col = {1, 4};
  uint8_t buf[32];
  const uint8_t value[4] = {1, 2, 3, 4};
  BatchEncoder encoder(buf, sizeof(buf));
  ASSERT_TRUE(encoder.Begin(&col, 1));
  ColumnValue v = {value, 0, false};
  ASSERT_TRUE(encoder.Append(1, &v));
  BatchDecoder decoder;
  int weight;
  ASSERT_EQ(BatchStatus::kOk, decoder.Open(buf, encoder.Finish()));
  ASSERT_EQ(BatchStatus::kOk, decoder.Next(&weight, &v));
  EXPECT_EQ(4u, v.size);
  EXPECT_EQ(0, std::memcmp(value, v.data, 4));
}

TEST(BatchCodec, BeginRefusesWhatIsNoLayout) {
  uint8_t buf[64];
  BatchEncoder encoder(buf, sizeof(buf));
  std::vector<ColumnLayout> cols(kMaxBatchColumns + 1, ColumnLayout{1, 4});
  EXPECT_FALSE(encoder.Begin(cols.data(), 15));  // 68 bytes of header
  EXPECT_TRUE(encoder.Begin(cols.data(), 14));
  EXPECT_FALSE(encoder.Begin(cols.data(), -1));
  cols[0].length = 0;
  EXPECT_FALSE(encoder.Begin(cols.data(), 1));
  cols[0].length = -3;
  EXPECT_FALSE(encoder.Begin(cols.data(), 1));
  std::vector<uint8_t> big(10000);
  cols[0].length = 4;
  BatchEncoder wide(big.data(), big.size());
  EXPECT_TRUE(wide.Begin(cols.data(), kMaxBatchColumns));
  EXPECT_FALSE(wide.Begin(cols.data(), kMaxBatchColumns + 1));
}

TEST(BatchCodec, LengthsAroundTheVarintSteps) {
  const std::vector<ColumnLayout> cols = {{1, kVarlenaLength}};
  for (size_t length : {0u, 1u, 127u, 128u, 16383u, 16384u, 2097151u, 2097152u}) {
    std::vector<Row> rows;
    rows.push_back(Row{-1, {}});
    rows[0].values.push_back(std::make_unique<std::string>(length, 'v'));
    size_t n;
    std::vector<uint8_t> record = Encode(cols, rows, length + 20, &n);
    ASSERT_EQ(1u, n) << length;
    ExpectRows(record, cols, rows, 1);
  }
}

TEST(BatchCodec, RandomRowsComeBack) {
  std::mt19937_64 rng(20240501);
  for (int round = 0; round < 300; round++) {
    std::vector<ColumnLayout> cols = RandomLayout(rng);
    std::vector<Row> rows;
    for (size_t i = rng() % 60; i > 0; i--)
      rows.push_back(RandomRow(rng, cols));
    size_t n;
    std::vector<uint8_t> record = Encode(cols, rows, BatchEncoder::HeaderSize(12) + rng() % 4000, &n);
    ExpectRows(record, cols, rows, n);
  }
}

TEST(BatchCodec, EncoderIsReusedAfterFinish) {
  const std::vector<ColumnLayout> cols = {{2, 4}};
  uint8_t buf[64];
  BatchEncoder encoder(buf, sizeof(buf));
  for (int round = 0; round < 3; round++) {
    ASSERT_TRUE(encoder.Begin(cols.data(), 1));
    Row row = MakeRow(1, {"wxyz"});
    std::vector<ColumnValue> values = ValuesOf(row);
    uint32_t expected = 0;
    while (encoder.Append(1, values.data()))
      expected++;
    EXPECT_EQ((64u - 12u) / 5u, expected);
    size_t size = encoder.Finish();
    BatchDecoder decoder;
    ASSERT_EQ(BatchStatus::kOk, decoder.Open(buf, size));
    EXPECT_EQ(expected, decoder.nrows());
  }
}

/// Reads a record to its end; every byte of every value is touched, so a sanitizer sees views that leave the record.
BatchStatus ReadAll(const uint8_t *data, size_t size, uint64_t *checksum) {
  BatchDecoder decoder;
  BatchStatus status = decoder.Open(data, size);
  if (status != BatchStatus::kOk)
    return status;
  std::vector<ColumnView> out(static_cast<size_t>(decoder.ncols()) + 1);
  int weight;
  uint32_t nrows = 0;
  while ((status = decoder.Next(&weight, out.data())) == BatchStatus::kOk) {
    nrows++;
    EXPECT_TRUE(weight == 1 || weight == -1);
    for (int i = 0; i < decoder.ncols(); i++) {
      if (out[i].isnull)
        continue;
      for (uint32_t b = 0; b < out[i].size; b++)
        *checksum += out[i].data[b];
    }
  }
  EXPECT_LE(nrows, decoder.nrows());
  EXPECT_EQ(status, decoder.Next(&weight, out.data())) << "errors are sticky";
  return status;
}

TEST(BatchCodec, EveryTruncationIsNoticed) {
  std::mt19937_64 rng(7);
  uint64_t checksum = 0;
  for (int round = 0; round < 40; round++) {
    std::vector<ColumnLayout> cols = RandomLayout(rng);
    std::vector<Row> rows;
    for (size_t i = rng() % 10 + 1; i > 0; i--)
      rows.push_back(RandomRow(rng, cols));
    size_t n;
    std::vector<uint8_t> record = Encode(cols, rows, 2000, &n);
    for (size_t size = 0; size < record.size(); size++) {
      std::unique_ptr<uint8_t[]> cut(new uint8_t[size]);
      std::copy(record.begin(), record.begin() + static_cast<ptrdiff_t>(size), cut.get());
      BatchStatus status = ReadAll(cut.get(), size, &checksum);
      ASSERT_TRUE(status == BatchStatus::kTruncated || status == BatchStatus::kBadRowCount)
          << BatchStatusMessage(status) << " at " << size << " of " << record.size();
    }
    record.push_back(0);
    EXPECT_EQ(BatchStatus::kTrailingBytes, ReadAll(record.data(), record.size(), &checksum));
  }
}

TEST(BatchCodec, FlippedBytesNeverReadOutside) {
  std::mt19937_64 rng(99);
  uint64_t checksum = 0;
  int errors = 0;
  const int rounds = 20000;
  std::vector<uint8_t> record;
  for (int round = 0; round < rounds; round++) {
    if (round % 50 == 0) {
      std::vector<ColumnLayout> cols = RandomLayout(rng);
      std::vector<Row> rows;
      for (size_t i = rng() % 20 + 1; i > 0; i--)
        rows.push_back(RandomRow(rng, cols));
      size_t n;
      record = Encode(cols, rows, 1500, &n);
    }
    std::unique_ptr<uint8_t[]> damaged(new uint8_t[record.size()]);
    std::copy(record.begin(), record.end(), damaged.get());
    for (size_t flips = rng() % 4 + 1; flips > 0; flips--) {
      // Half of the damage goes to the header and the first rows, where it does most harm.
      size_t at = rng() % (rng() % 2 == 0 ? record.size() : std::min<size_t>(record.size(), 60));
      damaged[at] = static_cast<uint8_t>(damaged[at] ^ (1u << rng() % 8));
    }
    BatchStatus status = ReadAll(damaged.get(), record.size(), &checksum);
    ASSERT_STRNE("unknown status", BatchStatusMessage(status));
    if (status != BatchStatus::kEnd)
      errors++;
  }
  EXPECT_GT(errors, rounds / 3);
  EXPECT_NE(0u, checksum);
}

TEST(BatchCodec, RandomBytesNeverReadOutside) {
  std::mt19937_64 rng(4711);
  uint64_t checksum = 0;
  for (int round = 0; round < 20000; round++) {
    size_t size = rng() % 80;
    std::unique_ptr<uint8_t[]> bytes(new uint8_t[size]);
    for (size_t i = 0; i < size; i++)
      bytes[i] = static_cast<uint8_t>(rng());
    if (size > 8) {  // a header that passes, now and then
      const uint8_t head[8] = {0xB5, 1, static_cast<uint8_t>(rng() % 6), 0, static_cast<uint8_t>(rng() % 20), 0, 0, 0};
      std::memcpy(bytes.get(), head, 8);
      for (size_t c = 0; c < head[2] && 8 + 4 * c + 4 <= size; c++) {
        uint16_t length = static_cast<uint16_t>(static_cast<int>(rng() % 10) - 2);
        bytes[10 + 4 * c] = static_cast<uint8_t>(length);
        bytes[11 + 4 * c] = static_cast<uint8_t>(length >> 8);
      }
      for (size_t i = 8 + 4u * head[2]; i < size; i++)
        bytes[i] = static_cast<uint8_t>(bytes[i] & 7);
    }
    ReadAll(bytes.get(), size, &checksum);
  }
}

/// A record of one row under one varlena column, with these bytes as the row.
BatchStatus ReadRow(int16_t length, std::vector<uint8_t> row) {
  std::vector<uint8_t> record = {0xB5, 1, 1, 0, 1, 0, 0, 0, 1, 0};
  record.push_back(static_cast<uint8_t>(length));
  record.push_back(static_cast<uint8_t>(static_cast<uint16_t>(length) >> 8));
  record.insert(record.end(), row.begin(), row.end());
  record.shrink_to_fit();
  uint64_t checksum = 0;
  return ReadAll(record.data(), record.size(), &checksum);
}

TEST(BatchCodec, EachKindOfDamageHasItsStatus) {
  EXPECT_EQ(BatchStatus::kEnd, ReadRow(kVarlenaLength, {0, 1, 'a'}));
  EXPECT_EQ(BatchStatus::kBadTag, ReadRow(kVarlenaLength, {4, 1, 'a'}));
  EXPECT_EQ(BatchStatus::kEnd, ReadRow(kVarlenaLength, {2, 1}));
  EXPECT_EQ(BatchStatus::kBadNulls, ReadRow(kVarlenaLength, {2, 0, 1, 'a'}));
  EXPECT_EQ(BatchStatus::kBadNulls, ReadRow(kVarlenaLength, {2, 3}));
  EXPECT_EQ(BatchStatus::kBadLength, ReadRow(kVarlenaLength, {0, 0x81, 0, 'a'}));
  EXPECT_EQ(BatchStatus::kBadLength, ReadRow(kVarlenaLength, {0, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 'a'}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadRow(kVarlenaLength, {0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 'a'}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadRow(kVarlenaLength, {0, 2, 'a'}));
  EXPECT_EQ(BatchStatus::kEnd, ReadRow(kCStringLength, {0, 1, 'a', 0}));
  EXPECT_EQ(BatchStatus::kBadCString, ReadRow(kCStringLength, {0, 1, 'a', 1}));
  EXPECT_EQ(BatchStatus::kBadCString, ReadRow(kCStringLength, {0, 2, 'a', 0, 0}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadRow(kCStringLength, {0, 1, 'a'}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadRow(4, {0, 1, 2, 3}));
  EXPECT_EQ(BatchStatus::kTrailingBytes, ReadRow(2, {0, 1, 2, 3}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadRow(0, {0}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadRow(-3, {0}));
  uint64_t checksum = 0;
  const uint8_t magic[8] = {0xB4, 1, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(BatchStatus::kBadMagic, ReadAll(magic, 8, &checksum));
  const uint8_t version[8] = {0xB5, 2, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(BatchStatus::kBadVersion, ReadAll(version, 8, &checksum));
  const uint8_t rows[8] = {0xB5, 1, 0, 0, 1, 0, 0, 0};
  EXPECT_EQ(BatchStatus::kBadRowCount, ReadAll(rows, 8, &checksum));
  const uint8_t columns[8] = {0xB5, 1, 0xFF, 0xFF, 0, 0, 0, 0};
  EXPECT_EQ(BatchStatus::kBadLayout, ReadAll(columns, 8, &checksum));
}

TEST(BatchCodec, NextBeforeOpenIsAnError) {
  BatchDecoder decoder;
  int weight;
  EXPECT_EQ(BatchStatus::kTruncated, decoder.Next(&weight, nullptr));
}

}  // namespace
}  // namespace pgstream
