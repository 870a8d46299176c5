// Encoder and decoder of the packed change-log record; layout and contract are in the header file.
//
// The decoder trusts nothing: every length is compared with the bytes that are left (never by adding to a pointer
// first), so whatever the bytes are, it reads inside them only.
#include "core/batch_codec.hpp"

#include <cassert>
#include <cstring>
#include <type_traits>

namespace pgstream {

static_assert(std::is_trivially_destructible_v<BatchEncoder> && std::is_trivially_destructible_v<BatchDecoder>,
              "codec objects live in frames that an error may jump over");

namespace {

constexpr uint8_t kMagic = 0xB5;
constexpr uint8_t kVersion = 1;
constexpr uint8_t kTagNegative = 0x01;
constexpr uint8_t kTagHasNulls = 0x02;
constexpr uint8_t kTagKnown = kTagNegative | kTagHasNulls;

void PutU16(uint8_t *p, uint16_t v) noexcept {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}

void PutU32(uint8_t *p, uint32_t v) noexcept {
  PutU16(p, static_cast<uint16_t>(v));
  PutU16(p + 2, static_cast<uint16_t>(v >> 16));
}

uint16_t GetU16(const uint8_t *p) noexcept {
  return static_cast<uint16_t>(p[0] | p[1] << 8);
}

uint32_t GetU32(const uint8_t *p) noexcept {
  return GetU16(p) | static_cast<uint32_t>(GetU16(p + 2)) << 16;
}

size_t VarintSize(uint32_t v) noexcept {
  size_t n = 1;
  while (v >= 0x80) {
    v >>= 7;
    n++;
  }
  return n;
}

uint8_t *PutVarint(uint8_t *p, uint32_t v) noexcept {
  while (v >= 0x80) {
    *p++ = static_cast<uint8_t>(v | 0x80);
    v >>= 7;
  }
  *p++ = static_cast<uint8_t>(v);
  return p;
}

constexpr size_t BitmapSize(int ncols) noexcept {
  return (static_cast<size_t>(ncols) + 7) / 8;
}

bool ValidLength(int16_t length) noexcept {
  return length > 0 || length == kVarlenaLength || length == kCStringLength;
}

uint8_t *PutBytes(uint8_t *p, const uint8_t *data, size_t size) noexcept {
  if (size > 0)
    std::memcpy(p, data, size);  // data may be null for an empty value
  return p + size;
}

/// Bytes of one row, and whether any of its values is null.
size_t MeasureRow(const ColumnLayout *cols, int ncols, const ColumnValue *values, bool *has_nulls) noexcept {
  size_t size = 1;
  bool nulls = false;
  for (int i = 0; i < ncols; i++) {
    if (values[i].isnull) {
      nulls = true;
    } else if (cols[i].length > 0) {
      size += static_cast<size_t>(cols[i].length);
    } else {
      size += VarintSize(values[i].size) + values[i].size;
      if (cols[i].length == kCStringLength)
        size += 1;
    }
  }
  *has_nulls = nulls;
  return nulls ? size + BitmapSize(ncols) : size;
}

}  // namespace

bool BatchEncoder::Begin(const ColumnLayout *cols, int ncols) noexcept {
  if (ncols < 0 || ncols > kMaxBatchColumns)
    return false;
  size_t header = HeaderSize(ncols);
  if (header > capacity_)
    return false;
  for (int i = 0; i < ncols; i++) {
    if (!ValidLength(cols[i].length))
      return false;
  }
  cols_ = cols;
  ncols_ = ncols;
  nrows_ = 0;
  used_ = header;
  buf_[0] = kMagic;
  buf_[1] = kVersion;
  PutU16(buf_ + 2, static_cast<uint16_t>(ncols));
  PutU32(buf_ + 4, 0);
  for (int i = 0; i < ncols; i++) {
    PutU16(buf_ + 8 + 4 * i, static_cast<uint16_t>(cols[i].attnum));
    PutU16(buf_ + 10 + 4 * i, static_cast<uint16_t>(cols[i].length));
  }
  return true;
}

size_t BatchEncoder::RowSize(const ColumnValue *values) const noexcept {
  bool has_nulls;
  return MeasureRow(cols_, ncols_, values, &has_nulls);
}

bool BatchEncoder::Append(int weight, const ColumnValue *values) noexcept {
  assert(used_ >= HeaderSize(ncols_) && "Append before Begin");
  assert(weight == 1 || weight == -1);
  bool has_nulls;
  size_t size = MeasureRow(cols_, ncols_, values, &has_nulls);
  if (size > capacity_ - used_ || nrows_ == UINT32_MAX)
    return false;

  uint8_t *p = buf_ + used_;
  *p++ = static_cast<uint8_t>((weight < 0 ? kTagNegative : 0) | (has_nulls ? kTagHasNulls : 0));
  if (has_nulls) {
    std::memset(p, 0, BitmapSize(ncols_));
    for (int i = 0; i < ncols_; i++) {
      if (values[i].isnull)
        p[i / 8] = static_cast<uint8_t>(p[i / 8] | 1u << (i % 8));
    }
    p += BitmapSize(ncols_);
  }
  for (int i = 0; i < ncols_; i++) {
    if (values[i].isnull)
      continue;
    if (cols_[i].length > 0) {
      p = PutBytes(p, values[i].data, static_cast<size_t>(cols_[i].length));
    } else {
      p = PutVarint(p, values[i].size);
      p = PutBytes(p, values[i].data, values[i].size);
      if (cols_[i].length == kCStringLength)
        *p++ = 0;
    }
  }
  used_ += size;
  nrows_++;
  assert(p == buf_ + used_);
  return true;
}

size_t BatchEncoder::Finish() noexcept {
  assert(used_ >= HeaderSize(ncols_) && "Finish before Begin");
  PutU32(buf_ + 4, nrows_);
  return used_;
}

const char *BatchStatusMessage(BatchStatus status) noexcept {
  switch (status) {
    case BatchStatus::kOk:
      return "no error";
    case BatchStatus::kEnd:
      return "end of record";
    case BatchStatus::kTruncated:
      return "record is truncated";
    case BatchStatus::kBadMagic:
      return "not a change log record";
    case BatchStatus::kBadVersion:
      return "unknown format version";
    case BatchStatus::kBadLayout:
      return "invalid column layout";
    case BatchStatus::kBadRowCount:
      return "row count exceeds the size of the record";
    case BatchStatus::kBadTag:
      return "invalid row tag";
    case BatchStatus::kBadNulls:
      return "invalid null bitmap";
    case BatchStatus::kBadLength:
      return "invalid value length";
    case BatchStatus::kBadCString:
      return "invalid string termination";
    case BatchStatus::kTrailingBytes:
      return "bytes after the last row";
  }
  return "unknown status";
}

BatchStatus BatchDecoder::Fail(BatchStatus status) noexcept {
  status_ = status;
  return status;
}

BatchStatus BatchDecoder::Open(const uint8_t *data, size_t size) noexcept {
  *this = BatchDecoder();
  if (size < BatchEncoder::HeaderSize(0))
    return Fail(BatchStatus::kTruncated);
  if (data[0] != kMagic)
    return Fail(BatchStatus::kBadMagic);
  if (data[1] != kVersion)
    return Fail(BatchStatus::kBadVersion);
  int ncols = GetU16(data + 2);
  uint32_t nrows = GetU32(data + 4);
  if (ncols > kMaxBatchColumns)
    return Fail(BatchStatus::kBadLayout);
  size_t header = BatchEncoder::HeaderSize(ncols);
  if (size < header)
    return Fail(BatchStatus::kTruncated);
  layout_ = data + 8;
  for (int i = 0; i < ncols; i++) {
    if (!ValidLength(static_cast<int16_t>(GetU16(layout_ + 4 * i + 2))))
      return Fail(BatchStatus::kBadLayout);
  }
  // A row takes one byte at least: callers may size an array by nrows() without being led astray.
  if (nrows > size - header)
    return Fail(BatchStatus::kBadRowCount);
  ncols_ = ncols;
  nrows_ = nrows;
  pos_ = data + header;
  end_ = data + size;
  return status_ = BatchStatus::kOk;
}

ColumnLayout BatchDecoder::layout(int i) const noexcept {
  assert(i >= 0 && i < ncols_);
  return {static_cast<int16_t>(GetU16(layout_ + 4 * i)), static_cast<int16_t>(GetU16(layout_ + 4 * i + 2))};
}

/// Reads a varint and checks that as many bytes follow it.
BatchStatus BatchDecoder::ReadLength(uint32_t *length) noexcept {
  uint32_t value = 0;
  for (int shift = 0;; shift += 7) {
    if (pos_ == end_)
      return BatchStatus::kTruncated;
    uint8_t byte = *pos_++;
    if (shift == 28 && byte > 0x0F)
      return BatchStatus::kBadLength;  // beyond 32 bits, or a sixth byte
    value |= static_cast<uint32_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift > 0)
        return BatchStatus::kBadLength;  // not the shortest form
      break;
    }
  }
  if (value > static_cast<size_t>(end_ - pos_))
    return BatchStatus::kTruncated;
  *length = value;
  return BatchStatus::kOk;
}

BatchStatus BatchDecoder::Next(int *weight, ColumnView *out) noexcept {
  if (status_ != BatchStatus::kOk)
    return status_;
  if (read_ == nrows_)
    return Fail(pos_ == end_ ? BatchStatus::kEnd : BatchStatus::kTrailingBytes);
  if (pos_ == end_)
    return Fail(BatchStatus::kTruncated);
  uint8_t tag = *pos_++;
  if ((tag & ~kTagKnown) != 0)
    return Fail(BatchStatus::kBadTag);

  const uint8_t *nulls = nullptr;
  if ((tag & kTagHasNulls) != 0) {
    size_t size = BitmapSize(ncols_);
    if (size > static_cast<size_t>(end_ - pos_))
      return Fail(BatchStatus::kTruncated);
    nulls = pos_;
    pos_ += size;
    unsigned any = 0;
    for (size_t i = 0; i < size; i++)
      any |= nulls[i];
    unsigned spare = ncols_ % 8 == 0 ? 0 : 0xFFu << (ncols_ % 8) & 0xFFu;
    if (any == 0 || (nulls[size - 1] & spare) != 0)
      return Fail(BatchStatus::kBadNulls);
  }

  const uint8_t *length_pos = layout_ + 2;
  for (int i = 0; i < ncols_; i++, length_pos += 4) {
    if (nulls != nullptr && (nulls[i / 8] >> (i % 8) & 1) != 0) {
      out[i] = {nullptr, 0, true};
      continue;
    }
    int16_t length = static_cast<int16_t>(GetU16(length_pos));
    uint32_t size;
    if (length > 0) {
      size = static_cast<uint32_t>(length);
      if (size > static_cast<size_t>(end_ - pos_))
        return Fail(BatchStatus::kTruncated);
    } else {
      BatchStatus status = ReadLength(&size);
      if (status != BatchStatus::kOk)
        return Fail(status);
    }
    out[i] = {pos_, size, false};
    pos_ += size;
    if (length == kCStringLength) {
      if (pos_ == end_)
        return Fail(BatchStatus::kTruncated);
      if (*pos_ != 0 || (size > 0 && std::memchr(out[i].data, 0, size) != nullptr)) {
        return Fail(BatchStatus::kBadCString);
      }
      pos_++;
    }
  }
  *weight = (tag & kTagNegative) != 0 ? -1 : 1;
  read_++;
  return BatchStatus::kOk;
}

}  // namespace pgstream
