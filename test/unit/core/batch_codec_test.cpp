// The packed record: what goes in comes out, nothing is written or read outside the buffer, damage gives a status.
#include "core/batch_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
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
                            size_t *nencoded, size_t stage_capacity = 1 << 16) {
  std::unique_ptr<uint8_t[]> buf(new uint8_t[capacity]);
  std::unique_ptr<uint8_t[]> stage(new uint8_t[stage_capacity]);
  std::unique_ptr<EncoderColumn[]> state(new EncoderColumn[cols.size()]);
  BatchEncoder encoder(buf.get(), capacity, stage.get(), stage_capacity);
  *nencoded = 0;
  if (!encoder.Begin(cols.data(), static_cast<int>(cols.size()), state.get()))
    return {};
  for (const Row &row : rows) {
    std::vector<ColumnValue> values = ValuesOf(row);
    size_t before = encoder.size();
    if (!encoder.Append(row.weight, values.data())) {
      EXPECT_EQ(before, encoder.size());
      break;
    }
    EXPECT_LE(encoder.size(), capacity);
    ++*nencoded;
    if (*nencoded % 7 == 0) {
      EXPECT_EQ(encoder.size(), encoder.Finish()) << "appending goes on after finishing";
    }
  }
  size_t size = encoder.Finish();
  EXPECT_EQ(encoder.size(), size);
  return std::vector<uint8_t>(buf.get(), buf.get() + size);
}

/// A decoder with columns of its own, in a block of exactly their number.
struct Reader {
  BatchDecoder decoder;
  std::unique_ptr<DecoderColumn[]> columns;
  std::vector<ColumnView> out;

  BatchStatus Open(const uint8_t *data, size_t size) {
    BatchHeader header = {0, 0};
    BatchStatus status = ReadBatchHeader(data, size, &header);
    int ncols = status == BatchStatus::kOk ? header.ncols : 0;
    columns.reset(new DecoderColumn[static_cast<size_t>(ncols)]);
    out.resize(static_cast<size_t>(ncols) + 1);
    BatchStatus opened = decoder.Open(data, size, columns.get(), ncols);
    if (status != BatchStatus::kOk) {
      EXPECT_EQ(status, opened);
    }
    return opened;
  }
};

void ExpectRows(const std::vector<uint8_t> &record, const std::vector<ColumnLayout> &cols, const std::vector<Row> &rows,
                size_t nrows) {
  Reader reader;
  BatchDecoder &decoder = reader.decoder;
  ASSERT_EQ(BatchStatus::kOk, reader.Open(record.data(), record.size()));
  ASSERT_EQ(static_cast<int>(cols.size()), decoder.ncols());
  ASSERT_EQ(nrows, decoder.nrows());
  for (size_t i = 0; i < cols.size(); i++) {
    EXPECT_EQ(cols[i].attnum, decoder.layout(static_cast<int>(i)).attnum);
    EXPECT_EQ(cols[i].length, decoder.layout(static_cast<int>(i)).length);
  }
  // By columns first, which does not move the rows on.
  for (size_t c = 0; c < cols.size(); c++) {
    bool any_null = false;
    for (size_t r = 0; r < nrows; r++)
      any_null |= rows[r].values[c] == nullptr;
    if (nrows > 0) {
      EXPECT_EQ(any_null, decoder.HasNulls(static_cast<int>(c)));
    }
    if (cols[c].length < 0)
      continue;
    const size_t length = static_cast<size_t>(cols[c].length);
    for (size_t stride : {length, length + 5}) {
      std::unique_ptr<uint8_t[]> values(new uint8_t[nrows == 0 ? 0 : (nrows - 1) * stride + length]);
      decoder.FixedValues(static_cast<int>(c), values.get(), stride);
      for (size_t r = 0; r < nrows; r++) {
        if (rows[r].values[c] != nullptr) {
          ASSERT_EQ(0, std::memcmp(rows[r].values[c]->data(), values.get() + r * stride, length));
        }
      }
    }
  }
  int weight = 0;
  std::vector<ColumnView> &out = reader.out;
  for (size_t r = 0; r < nrows; r++) {
    EXPECT_EQ(rows[r].weight, decoder.Weight(static_cast<uint32_t>(r)));
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

template <class T>
std::unique_ptr<std::string> Bytes(T value) {
  return std::make_unique<std::string>(reinterpret_cast<const char *>(&value), sizeof(value));
}

// The machine's order is that of the record's values; the expected bytes are those of a little-endian one.
TEST(BatchCodec, WritesTheDocumentedBytes) {
  const std::vector<ColumnLayout> cols = {{1, 4}, {3, kVarlenaLength}, {7, kCStringLength}, {9, 2}, {300, 16}};
  std::vector<Row> rows;
  rows.push_back(MakeRow(1, {nullptr, "xy", "z", nullptr, "0123456789abcdef"}));
  rows.push_back(MakeRow(-1, {nullptr, nullptr, "", nullptr, "fedcba9876543210"}));
  rows.push_back(MakeRow(-1, {nullptr, "w", "yz", nullptr, "0123456789abcdef"}));
  rows[0].values[0] = Bytes<int32_t>(-2);
  rows[1].values[0] = Bytes<int32_t>(253);
  rows[2].values[0] = Bytes<int32_t>(10);
  size_t n;
  std::vector<uint8_t> record = Encode(cols, rows, 200, &n);
  const std::vector<uint8_t> expected = {
      0xB5, 2,    5,    0,    3,    0,   0, 0, 3,                                                               // header
      1,    0,    4,    0,    1,                                                                                // int4
      3,    0,    0xFF, 0xFF, 0x11,                                                                             // varlena
      7,    0,    0xFE, 0xFF, 1,                                                                                // cstring
      9,    0,    2,    0,    0x20,                                                                             // all null
      44,   1,    16,   0,    15,                                                                               // 16 bytes
      6,                                                                                                        // weights
      0xFE, 0xFF, 0xFF, 0xFF, 0,    255, 12,                                                                    // int4
      2,    1,    0,    0,    0,    1,   0, 0, 'x', 'y', 'w',                                                   // varlena
      0,    0,    0,    0,    1,    0,   2, 'z', 0, 0, 'y', 'z', 0,                                             // cstring
      '0',  '1',  '2',  '3',  '4',  '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',                      // 16 bytes
      'f',  'e',  'd',  'c',  'b',  'a', '9', '8', '7', '6', '5', '4', '3', '2', '1', '0',
      '0',  '1',  '2',  '3',  '4',  '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
  };
  EXPECT_EQ(expected, record);
  ExpectRows(record, cols, rows, 3);
}

TEST(BatchCodec, FourBytesForTwoIntsOfSmallRange) {
  const std::vector<ColumnLayout> cols = {{1, 4}, {2, 4}};
  std::vector<Row> rows;
  for (int32_t i = 0; i < 1000; i++) {
    rows.push_back(Row{i % 2 == 0 ? -1 : 1, {}});
    rows.back().values.push_back(Bytes<int32_t>(i * 37 % 10000));
    rows.back().values.push_back(Bytes<int32_t>(1000000 + i % 300));
  }
  size_t n;
  std::vector<uint8_t> record = Encode(cols, rows, 8000, &n);
  ASSERT_EQ(1000u, n);
  EXPECT_EQ(BatchEncoder::HeaderSize(2) + 2 * (4 + 1000 * 2), record.size()) << "and no bytes for alternating weights";
  ExpectRows(record, cols, rows, n);
}

/// Values at the ends of every width of a difference, and where it wraps around.
template <class T>
void ExpectExtremes(int16_t length) {
  const std::vector<ColumnLayout> cols = {{1, length}};
  const T low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
  std::vector<T> starts = {low, 0, 1, -1, static_cast<T>(high / 2), static_cast<T>(low / 2), high};
  std::vector<uint64_t> ranges = {0, 1, 255, 256, 65535, 65536, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
  for (T start : starts) {
    for (uint64_t range : ranges) {
      std::vector<Row> rows;
      for (uint64_t offset : {range, uint64_t{0}, range / 2, range}) {
        rows.push_back(Row{1, {}});
        rows.back().values.push_back(Bytes(static_cast<T>(static_cast<uint64_t>(start) + offset)));
      }
      size_t n;
      std::vector<uint8_t> record = Encode(cols, rows, 200, &n);
      ExpectRows(record, cols, rows, 4);
      EXPECT_LE(record.size(), BatchEncoder::HeaderSize(1) + 4 * sizeof(T) + sizeof(T));
    }
  }
}

TEST(BatchCodec, IntegersOfAnyRangeComeBack) {
  ExpectExtremes<int8_t>(1);
  ExpectExtremes<int16_t>(2);
  ExpectExtremes<int32_t>(4);
  ExpectExtremes<int64_t>(8);
}

TEST(BatchCodec, NoColumnsAndNoRows) {
  size_t n;
  std::vector<Row> none;
  ExpectRows(Encode({}, none, 9, &n), {}, none, 0);
  ExpectRows(Encode({{1, 4}, {2, kVarlenaLength}}, none, 19, &n), {{1, 4}, {2, kVarlenaLength}}, none, 0);
  std::vector<Row> rows;
  for (int i = 0; i < 12; i++)
    rows.push_back(MakeRow(i % 3 == 0 ? 1 : -1, {}));
  std::vector<uint8_t> record = Encode({}, rows, 10, &n);
  EXPECT_EQ(8u, n) << "one byte of weights";
  ExpectRows(record, {}, rows, 8);
}

TEST(BatchCodec, RowsOfNoBytesAreBounded) {
  const ColumnLayout col = {1, 4};
  uint8_t buf[64];
  std::vector<uint8_t> stage(1 << 20);
  EncoderColumn state;
  BatchEncoder encoder(buf, sizeof(buf), stage.data(), stage.size());
  ASSERT_TRUE(encoder.Begin(&col, 1, &state));
  const uint8_t value[4] = {1, 2, 3, 4};
  ColumnValue v = {value, 0, false};
  uint32_t appended = 0;
  while (encoder.Append(1, &v))
    appended++;
  EXPECT_EQ(kMaxBatchRows, appended);
  EXPECT_FALSE(encoder.AppendPair(&v, &v));
  EXPECT_EQ(BatchEncoder::HeaderSize(1) + 4, encoder.Finish());
  Reader reader;
  ASSERT_EQ(BatchStatus::kOk, reader.Open(buf, encoder.size()));
  int weight;
  uint32_t read = 0;
  while (reader.decoder.Next(&weight, reader.out.data()) == BatchStatus::kOk) {
    ASSERT_EQ(4u, reader.out[0].size) << "the given size of a fixed-width value does not count";
    ASSERT_EQ(0, std::memcmp(value, reader.out[0].data, 4));
    read++;
  }
  EXPECT_EQ(kMaxBatchRows, read);
}

TEST(BatchCodec, ThePairIsInOneRecordOrInNone) {
  const std::vector<ColumnLayout> cols = {{1, kVarlenaLength}};
  std::mt19937_64 rng(5);
  for (int round = 0; round < 200; round++) {
    const size_t capacity = 40 + rng() % 200;
    std::vector<uint8_t> buf(capacity), stage(400);
    EncoderColumn state;
    BatchEncoder encoder(buf.data(), capacity, stage.data(), stage.size());
    ASSERT_TRUE(encoder.Begin(cols.data(), 1, &state));
    std::vector<Row> rows;
    for (;;) {
      Row old_row = RandomRow(rng, cols), new_row = RandomRow(rng, cols);
      old_row.weight = -1;
      new_row.weight = 1;
      const size_t before = encoder.size();
      if (!encoder.AppendPair(ValuesOf(old_row).data(), ValuesOf(new_row).data())) {
        EXPECT_EQ(before, encoder.size());
        EXPECT_EQ(rows.size(), encoder.nrows());
        break;
      }
      rows.push_back(std::move(old_row));
      rows.push_back(std::move(new_row));
    }
    const size_t size = encoder.Finish();
    ASSERT_LE(size, capacity);
    ExpectRows(std::vector<uint8_t>(buf.begin(), buf.begin() + static_cast<ptrdiff_t>(size)), cols, rows, rows.size());
  }
}

TEST(BatchCodec, ARecordOfOneRowNeedsNoStage) {
  std::mt19937_64 rng(11);
  for (int round = 0; round < 300; round++) {
    std::vector<ColumnLayout> cols = RandomLayout(rng);
    std::vector<Row> rows;
    rows.push_back(RandomRow(rng, cols));
    std::vector<ColumnValue> values = ValuesOf(rows[0]);
    const int ncols = static_cast<int>(cols.size());
    std::vector<uint8_t> record(BatchEncoder::RowRecordSize(cols.data(), ncols, values.data()));
    record.shrink_to_fit();
    BatchEncoder::EncodeRow(cols.data(), ncols, rows[0].weight, values.data(), record.data());
    ExpectRows(record, cols, rows, 1);
    size_t n;
    std::vector<uint8_t> staged = Encode(cols, rows, 8000, &n);
    EXPECT_EQ(1u, n);
    EXPECT_EQ(staged.size(), record.size()) << "a row that fits a page does so either way";
  }
}

TEST(BatchCodec, BeginRefusesWhatIsNoLayout) {
  uint8_t buf[64], stage[64];
  std::vector<EncoderColumn> state(kMaxBatchColumns + 1);
  BatchEncoder encoder(buf, sizeof(buf), stage, sizeof(stage));
  std::vector<ColumnLayout> cols(kMaxBatchColumns + 1, ColumnLayout{1, 4});
  EXPECT_FALSE(encoder.Begin(cols.data(), 12, state.data()));  // 69 bytes of header
  EXPECT_TRUE(encoder.Begin(cols.data(), 11, state.data()));
  EXPECT_FALSE(encoder.Begin(cols.data(), -1, state.data()));
  cols[0].length = 0;
  EXPECT_FALSE(encoder.Begin(cols.data(), 1, state.data()));
  cols[0].length = -3;
  EXPECT_FALSE(encoder.Begin(cols.data(), 1, state.data()));
  std::vector<uint8_t> big(10000);
  cols[0].length = 4;
  BatchEncoder wide(big.data(), big.size(), stage, sizeof(stage));
  EXPECT_TRUE(wide.Begin(cols.data(), kMaxBatchColumns, state.data()));
  EXPECT_FALSE(wide.Begin(cols.data(), kMaxBatchColumns + 1, state.data()));
}

TEST(BatchCodec, LengthsOfAnyRange) {
  const std::vector<ColumnLayout> cols = {{1, kVarlenaLength}, {2, kCStringLength}};
  for (size_t length : {0u, 1u, 127u, 128u, 255u, 256u, 65535u, 65536u, 2097152u}) {
    for (size_t other : {size_t{0}, size_t{3}, length}) {
      std::vector<Row> rows;
      for (size_t size : {length, other, length}) {
        rows.push_back(Row{-1, {}});
        rows.back().values.push_back(std::make_unique<std::string>(size, 'v'));
        rows.back().values.push_back(std::make_unique<std::string>(other + 1, 'c'));
      }
      size_t n;
      std::vector<uint8_t> record = Encode(cols, rows, 4 * (length + other) + 200, &n, 8 * (length + other) + 200);
      ASSERT_EQ(3u, n) << length;
      ExpectRows(record, cols, rows, 3);
    }
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
    const size_t stage = rng() % 3 == 0 ? rng() % 3000 : 100000;
    std::vector<uint8_t> record = Encode(cols, rows, BatchEncoder::HeaderSize(12) + rng() % 4000, &n, stage);
    ExpectRows(record, cols, rows, n);
  }
}

TEST(BatchCodec, EncoderIsReusedAfterFinish) {
  const std::vector<ColumnLayout> cols = {{2, 16}};
  uint8_t buf[200], stage[200];
  EncoderColumn state;
  BatchEncoder encoder(buf, sizeof(buf), stage, sizeof(stage));
  for (int round = 0; round < 3; round++) {
    ASSERT_TRUE(encoder.Begin(cols.data(), 1, &state));
    Row row = MakeRow(1, {"wxyzwxyzwxyzwxyz"});
    std::vector<ColumnValue> values = ValuesOf(row);
    uint32_t expected = 0;
    while (encoder.Append(1, values.data()))
      expected++;
    EXPECT_EQ((200u - 14u) / 16u, expected);
    size_t size = encoder.Finish();
    Reader reader;
    ASSERT_EQ(BatchStatus::kOk, reader.Open(buf, size));
    EXPECT_EQ(expected, reader.decoder.nrows());
  }
}

/// Reads a record to its end; every byte of every value is touched, so a sanitizer sees views that leave the record.
BatchStatus ReadAll(const uint8_t *data, size_t size, uint64_t *checksum) {
  Reader reader;
  BatchDecoder &decoder = reader.decoder;
  int weight;
  BatchStatus status = reader.Open(data, size);
  if (status != BatchStatus::kOk) {
    EXPECT_EQ(status, decoder.Next(&weight, reader.out.data())) << "errors are sticky";
    return status;
  }
  for (int i = 0; i < decoder.ncols(); i++) {
    const ColumnLayout layout = decoder.layout(i);
    if (layout.length < 0 || decoder.nrows() > 1000)
      continue;
    const size_t length = static_cast<size_t>(layout.length);
    std::vector<uint8_t> values(length * decoder.nrows());
    decoder.FixedValues(i, values.data(), length);
    for (uint8_t byte : values)
      *checksum += byte;
  }
  uint32_t nrows = 0;
  while ((status = decoder.Next(&weight, reader.out.data())) == BatchStatus::kOk) {
    nrows++;
    EXPECT_TRUE(weight == 1 || weight == -1);
    for (int i = 0; i < decoder.ncols(); i++) {
      const ColumnView &value = reader.out[static_cast<size_t>(i)];
      if (value.isnull)
        continue;
      for (uint32_t b = 0; b < value.size; b++)
        *checksum += value.data[b];
    }
  }
  EXPECT_EQ(BatchStatus::kEnd, status) << "what was opened is read to its end";
  EXPECT_EQ(decoder.nrows(), nrows);
  return status;
}

/// The same in a block of exactly the record's size.
BatchStatus ReadCopy(const uint8_t *data, size_t size, uint64_t *checksum) {
  std::unique_ptr<uint8_t[]> copy(new uint8_t[size]);
  std::copy(data, data + size, copy.get());
  return ReadAll(copy.get(), size, checksum);
}

std::vector<uint8_t> RandomRecord(std::mt19937_64 &rng, size_t most_rows) {
  std::vector<ColumnLayout> cols = RandomLayout(rng);
  std::vector<Row> rows;
  for (size_t i = rng() % most_rows + 1; i > 0; i--)
    rows.push_back(RandomRow(rng, cols));
  size_t n;
  return Encode(cols, rows, 2000, &n);
}

TEST(BatchCodec, EveryTruncationIsNoticed) {
  std::mt19937_64 rng(7);
  uint64_t checksum = 0;
  for (int round = 0; round < 40; round++) {
    std::vector<uint8_t> record = RandomRecord(rng, 10);
    ASSERT_EQ(BatchStatus::kEnd, ReadCopy(record.data(), record.size(), &checksum));
    for (size_t size = 0; size < record.size(); size++)
      ASSERT_EQ(BatchStatus::kTruncated, ReadCopy(record.data(), size, &checksum)) << size << " of " << record.size();
    record.push_back(0);
    EXPECT_EQ(BatchStatus::kTrailingBytes, ReadCopy(record.data(), record.size(), &checksum));
  }
}

// The fuzz test: records that were right are mutated as fuzzers do it, again and again, those that can still be opened being
// kept to go on from. The seeds are fixed and the rounds bounded; the sanitizers are the judges.
TEST(BatchCodec, MutatedRecordsNeverReadOutside) {
  uint64_t checksum = 0;
  int errors = 0, opened = 0;
  for (uint64_t seed = 1; seed <= 40; seed++) {
    std::mt19937_64 rng(seed);
    std::vector<std::vector<uint8_t>> corpus;
    for (int i = 0; i < 8; i++)
      corpus.push_back(RandomRecord(rng, 30));
    for (int round = 0; round < 2000; round++) {
      std::vector<uint8_t> record = corpus[rng() % corpus.size()];
      for (size_t changes = rng() % 4 + 1; changes > 0 && !record.empty(); changes--) {
        // Half of the damage goes to the header, where it does most harm.
        const size_t at = rng() % (rng() % 2 == 0 ? record.size() : std::min<size_t>(record.size(), 40));
        static const uint8_t interesting[] = {0, 1, 2, 4, 8, 0x0F, 0x10, 0x1F, 0x20, 0x7F, 0x80, 0xFE, 0xFF};
        switch (rng() % 7) {
          case 0:
            record[at] = static_cast<uint8_t>(record[at] ^ (1u << rng() % 8));
            break;
          case 1:
            record[at] = static_cast<uint8_t>(rng());
            break;
          case 2:
            record[at] = interesting[rng() % sizeof(interesting)];
            break;
          case 3:
            record[at] = static_cast<uint8_t>(record[at] + static_cast<int>(rng() % 9) - 4);
            break;
          case 4: {  // a piece goes
            const size_t size = std::min<size_t>(record.size() - at, rng() % 9);
            record.erase(record.begin() + static_cast<ptrdiff_t>(at), record.begin() + static_cast<ptrdiff_t>(at + size));
            break;
          }
          case 5: {  // a piece comes twice
            const std::vector<uint8_t> piece(record.begin() + static_cast<ptrdiff_t>(at),
                                             record.begin() + static_cast<ptrdiff_t>(
                                                 at + std::min<size_t>(record.size() - at, rng() % 17)));
            record.insert(record.begin() + static_cast<ptrdiff_t>(rng() % (record.size() + 1)), piece.begin(), piece.end());
            break;
          }
          default: {  // the end of another one
            const std::vector<uint8_t> &other = corpus[rng() % corpus.size()];
            const size_t from = other.empty() ? 0 : rng() % other.size();
            record.resize(at);
            record.insert(record.end(), other.begin() + static_cast<ptrdiff_t>(from), other.end());
          }
        }
      }
      const BatchStatus status = ReadCopy(record.data(), record.size(), &checksum);
      ASSERT_STRNE("unknown status", BatchStatusMessage(status));
      if (status != BatchStatus::kEnd) {
        errors++;
      } else {
        opened++;
        if (record.size() < 4000)
          corpus[rng() % corpus.size()] = record;
      }
    }
  }
  EXPECT_GT(errors, 10000);
  EXPECT_GT(opened, 5000);
  EXPECT_NE(0u, checksum);
}

TEST(BatchCodec, RandomBytesNeverReadOutside) {
  std::mt19937_64 rng(4711);
  uint64_t checksum = 0;
  int opened = 0;
  for (int round = 0; round < 50000; round++) {
    std::vector<uint8_t> bytes(rng() % 80);
    for (uint8_t &byte : bytes)
      byte = static_cast<uint8_t>(rng() % 3 == 0 ? rng() : rng() % 4);
    if (bytes.size() > 9) {  // a header that passes, now and then
      const uint8_t head[9] = {0xB5, 2, static_cast<uint8_t>(rng() % 4), 0, static_cast<uint8_t>(rng() % 20), 0, 0, 0,
                               static_cast<uint8_t>(rng() % 4)};
      std::memcpy(bytes.data(), head, 9);
      static const uint8_t forms[] = {0, 1, 2, 4, 15, 0x20, 0x10, 0x1F};
      for (size_t c = 0; c < head[2] && 9 + 5 * c + 5 <= bytes.size(); c++) {
        const uint16_t length = static_cast<uint16_t>(static_cast<int>(rng() % 10) - 2);
        bytes[11 + 5 * c] = static_cast<uint8_t>(length);
        bytes[12 + 5 * c] = static_cast<uint8_t>(length >> 8);
        bytes[13 + 5 * c] = forms[rng() % sizeof(forms)];
      }
    }
    if (ReadCopy(bytes.data(), bytes.size(), &checksum) == BatchStatus::kEnd)
      opened++;
  }
  EXPECT_GT(opened, 0);
}

/// A record of two rows, all +1, under one column, with these bytes behind the header.
BatchStatus ReadColumn(int16_t length, uint8_t form, std::vector<uint8_t> column, uint8_t nrows = 2, uint8_t weights = 0) {
  std::vector<uint8_t> record = {0xB5, 2, 1, 0, nrows, 0, 0, 0, weights, 1, 0};
  record.push_back(static_cast<uint8_t>(length));
  record.push_back(static_cast<uint8_t>(static_cast<uint16_t>(length) >> 8));
  record.push_back(form);
  record.insert(record.end(), column.begin(), column.end());
  uint64_t checksum = 0;
  return ReadCopy(record.data(), record.size(), &checksum);
}

TEST(BatchCodec, EachKindOfDamageHasItsStatus) {
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(2, 15, {1, 2, 3, 4}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadColumn(2, 15, {1, 2, 3}));
  EXPECT_EQ(BatchStatus::kTrailingBytes, ReadColumn(2, 15, {1, 2, 3, 4, 5}));
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(2, 0, {1, 2}));
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(2, 1, {1, 2, 3, 4}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(2, 2, {1, 2, 3, 4, 5, 6}));  // as long as the value
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(8, 3, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(16, 0, {1, 2}));  // no integer
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(2, 0x4F, {1, 2, 3, 4}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(2, 0x30, {1, 2, 3, 4}));
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(2, 0x20, {}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(2, 0x21, {}));
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(2, 0x1F, {2, 1, 2, 0, 0}));
  EXPECT_EQ(BatchStatus::kBadNulls, ReadColumn(2, 0x1F, {4, 1, 2, 0, 0}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(0, 15, {}));
  EXPECT_EQ(BatchStatus::kBadLayout, ReadColumn(-3, 15, {}));
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(kVarlenaLength, 0, {1, 0, 0, 0, 'a', 'b'}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadColumn(kVarlenaLength, 0, {1, 0, 0, 0, 'a'}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadColumn(kVarlenaLength, 0, {0xFF, 0xFF, 0xFF, 0x7F, 'a'}));
  EXPECT_EQ(BatchStatus::kBadLength, ReadColumn(kVarlenaLength, 0, {0xFF, 0xFF, 0xFF, 0xFF, 'a'}));
  EXPECT_EQ(BatchStatus::kTrailingBytes, ReadColumn(kVarlenaLength, 0, {1, 0, 0, 0, 'a', 'b', 'c'}));
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(kCStringLength, 0, {1, 0, 0, 0, 'a', 0, 'b', 0}));
  EXPECT_EQ(BatchStatus::kBadCString, ReadColumn(kCStringLength, 0, {1, 0, 0, 0, 'a', 1, 'b', 0}));
  EXPECT_EQ(BatchStatus::kBadCString, ReadColumn(kCStringLength, 0, {2, 0, 0, 0, 'a', 0, 0, 'b', 'c', 0}));
  EXPECT_EQ(BatchStatus::kTruncated, ReadColumn(kCStringLength, 0, {1, 0, 0, 0, 'a', 0, 'b'}));
  EXPECT_EQ(BatchStatus::kBadWeights, ReadColumn(2, 0, {1, 2}, 2, 4));
  EXPECT_EQ(BatchStatus::kEnd, ReadColumn(2, 0, {2, 1, 2}, 2, 3));
  EXPECT_EQ(BatchStatus::kBadWeights, ReadColumn(2, 0, {4, 1, 2}, 2, 3));
  uint64_t checksum = 0;
  const uint8_t magic[9] = {0xB4, 2, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(BatchStatus::kBadMagic, ReadAll(magic, 9, &checksum));
  const uint8_t rows[9] = {0xB5, 2, 0, 0, 1, 0x80, 0, 0, 0};
  EXPECT_EQ(BatchStatus::kBadRowCount, ReadAll(rows, 9, &checksum));
  const uint8_t columns[9] = {0xB5, 2, 0xFF, 0xFF, 0, 0, 0, 0, 0};
  EXPECT_EQ(BatchStatus::kBadLayout, ReadAll(columns, 9, &checksum));
}

// What an earlier or a later version wrote is never taken for this one's, whatever follows.
TEST(BatchCodec, OtherVersionsAreKnownAsSuch) {
  uint64_t checksum = 0;
  const uint8_t first[10] = {0xB5, 1, 0, 0, 2, 0, 0, 0, 0, 1};  // version 1: two rows of no columns
  EXPECT_EQ(BatchStatus::kBadVersion, ReadAll(first, 10, &checksum));
  const uint8_t later[2] = {0xB5, 3};
  EXPECT_EQ(BatchStatus::kBadVersion, ReadAll(later, 2, &checksum));
}

TEST(BatchCodec, OpenNeedsRoomForTheColumns) {
  size_t n;
  std::vector<Row> none;
  std::vector<uint8_t> record = Encode({{1, 4}, {2, 4}}, none, 100, &n);
  DecoderColumn columns[2];
  BatchDecoder decoder;
  EXPECT_EQ(BatchStatus::kBadLayout, decoder.Open(record.data(), record.size(), columns, 1));
  EXPECT_EQ(BatchStatus::kOk, decoder.Open(record.data(), record.size(), columns, 2));
}

TEST(BatchCodec, NextBeforeOpenIsAnError) {
  BatchDecoder decoder;
  int weight;
  EXPECT_EQ(BatchStatus::kTruncated, decoder.Next(&weight, nullptr));
}

}  // namespace
}  // namespace pgstream
