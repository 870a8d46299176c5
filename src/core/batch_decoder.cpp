// Decoder of the packed change-log record; layout and contract are in the header file.
//
// It trusts nothing: every size is computed in size_t from bounded counts and compared with the bytes that are left (never by
// adding to a pointer first). What Open has accepted needs no further check.
#include "core/batch_codec.hpp"
#include "core/batch_format.hpp"

#include <cassert>
#include <type_traits>

namespace pgstream {

using namespace batch_format;

static_assert(std::is_trivially_destructible_v<BatchDecoder>, "codec objects live in frames that an error may jump over");

namespace {

uint16_t GetU16(const uint8_t *p) noexcept {
  return static_cast<uint16_t>(p[0] | p[1] << 8);
}

uint32_t GetU32(const uint8_t *p) noexcept {
  return GetU16(p) | static_cast<uint32_t>(GetU16(p + 2)) << 16;
}

bool SpareBitsAreZero(const uint8_t *bitmap, uint32_t bits) noexcept {
  return bits % 8 == 0 || (bitmap[bits / 8] & (0xFFu << (bits % 8) & 0xFFu)) == 0;
}

/// A base or a plain value of 1, 2, 4 or 8 bytes; what is above them is zero.
uint64_t LoadUnsigned(const uint8_t *p, int size) noexcept {
  switch (size) {
    case 0:
      return 0;
    case 1:
      return *p;
    case 2:
      return Load<uint16_t>(p);
    case 4:
      return Load<uint32_t>(p);
    default:
      return Load<uint64_t>(p);
  }
}

/// The length of value `row` of a varying column.
uint32_t LengthAt(const DecoderColumn &column, uint32_t row) noexcept {
  if (column.width == kPlain)
    return Load<uint32_t>(column.values + 4 * static_cast<size_t>(row));
  return static_cast<uint32_t>(column.base) +
         static_cast<uint32_t>(LoadUnsigned(column.values + static_cast<size_t>(column.width) * row, column.width));
}

/// Calls visit(lengths), where lengths(row) is the length of value `row` of a varying column: for loops over all rows.
template <class Visit>
auto WithLengths(const DecoderColumn &column, Visit visit) noexcept {
  const uint8_t *const values = column.values;
  const auto base = static_cast<uint32_t>(column.base);
  switch (column.width) {
    case 0:
      return visit([base](uint32_t) { return base; });
    case 1:
      return visit([base, values](uint32_t row) { return base + values[row]; });
    case 2:
      return visit([base, values](uint32_t row) { return base + Load<uint16_t>(values + 2 * static_cast<size_t>(row)); });
    default:
      return visit([&column](uint32_t row) { return LengthAt(column, row); });
  }
}

/// Moves *pos behind the bytes of a varying column's values.
template <class Lengths>
BatchStatus SkipBytes(const DecoderColumn &column, uint32_t nrows, Lengths lengths, const uint8_t **pos, const uint8_t *end) noexcept {
  const size_t trailer = column.layout.length == kCStringLength ? 1 : 0;
  const uint8_t *at = *pos;
  for (uint32_t r = 0; r < nrows; r++) {
    if (column.nulls != nullptr && GetBit(column.nulls, r))
      continue;
    const size_t bytes = lengths(r);
    if (bytes > INT32_MAX)
      return BatchStatus::kBadLength;
    if (bytes + trailer > static_cast<size_t>(end - at))
      return BatchStatus::kTruncated;
    if (trailer != 0 && (at[bytes] != 0 || (bytes > 0 && std::memchr(at, 0, bytes) != nullptr)))
      return BatchStatus::kBadCString;
    at += bytes + trailer;
  }
  *pos = at;
  return BatchStatus::kOk;
}

// The loops that a compiler turns into vector instructions: no branch, no call, and where values are contiguous (Stride equal
// to their size) constant steps.
template <class Value, class Difference>
void Unpack(const uint8_t *differences, Value base, uint8_t *out, size_t stride, uint32_t nrows) noexcept {
  if (stride == sizeof(Value)) {
    for (size_t r = 0; r < nrows; r++)
      Store(out + r * sizeof(Value),
            static_cast<Value>(base + static_cast<Value>(Load<Difference>(differences + r * sizeof(Difference)))));
  } else {
    for (size_t r = 0; r < nrows; r++)
      Store(out + r * stride,
            static_cast<Value>(base + static_cast<Value>(Load<Difference>(differences + r * sizeof(Difference)))));
  }
}

template <class Value>
void UnpackColumn(const DecoderColumn &column, uint8_t *out, size_t stride, uint32_t nrows) noexcept {
  const Value base = static_cast<Value>(column.base);
  switch (column.width) {
    case 0:
      for (size_t r = 0; r < nrows; r++)
        Store(out + r * stride, base);
      break;
    case 1:
      Unpack<Value, uint8_t>(column.values, base, out, stride, nrows);
      break;
    case 2:
      Unpack<Value, uint16_t>(column.values, base, out, stride, nrows);
      break;
    case 4:
      Unpack<Value, uint32_t>(column.values, base, out, stride, nrows);
      break;
    default:
      if (stride == sizeof(Value)) {
        std::memcpy(out, column.values, nrows * sizeof(Value));
      } else {
        for (size_t r = 0; r < nrows; r++)
          Store(out + r * stride, Load<Value>(column.values + r * sizeof(Value)));
      }
  }
}

// As Unpack, of integers that become 8 bytes wide.
template <class Value, class Difference>
void Widen(const uint8_t *differences, uint64_t base, int64_t *out, uint32_t nrows) noexcept {
  for (size_t r = 0; r < nrows; r++)
    out[r] = static_cast<int64_t>(
        static_cast<Value>(base + static_cast<uint64_t>(Load<Difference>(differences + r * sizeof(Difference)))));
}

template <class Value>
void WidenColumn(const DecoderColumn &column, int64_t *out, uint32_t nrows) noexcept {
  switch (column.width) {
    case 0:
      for (size_t r = 0; r < nrows; r++)
        out[r] = static_cast<int64_t>(static_cast<Value>(column.base));
      break;
    case 1:
      Widen<Value, uint8_t>(column.values, column.base, out, nrows);
      break;
    case 2:
      Widen<Value, uint16_t>(column.values, column.base, out, nrows);
      break;
    case 4:
      Widen<Value, uint32_t>(column.values, column.base, out, nrows);
      break;
    default:
      Widen<Value, Value>(column.values, 0, out, nrows);
  }
}

}  // namespace

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
      return "more rows than a record can have";
    case BatchStatus::kBadWeights:
      return "invalid weights";
    case BatchStatus::kBadNulls:
      return "invalid null bitmap";
    case BatchStatus::kBadLength:
      return "invalid value length";
    case BatchStatus::kBadCString:
      return "invalid string termination";
    case BatchStatus::kTrailingBytes:
      return "bytes after the last column";
  }
  return "unknown status";
}

BatchStatus ReadBatchHeader(const uint8_t *data, size_t size, BatchHeader *header) noexcept {
  if (size < 2)
    return BatchStatus::kTruncated;
  if (data[0] != kMagic)
    return BatchStatus::kBadMagic;
  if (data[1] != kVersion)
    return BatchStatus::kBadVersion;
  if (size < BatchEncoder::HeaderSize(0))
    return BatchStatus::kTruncated;
  header->ncols = GetU16(data + 2);
  header->nrows = GetU32(data + 4);
  if (header->ncols > kMaxBatchColumns)
    return BatchStatus::kBadLayout;
  if (header->nrows > kMaxBatchRows)
    return BatchStatus::kBadRowCount;
  return size < BatchEncoder::HeaderSize(header->ncols) ? BatchStatus::kTruncated : BatchStatus::kOk;
}

BatchStatus BatchDecoder::Fail(BatchStatus status) noexcept {
  status_ = status;
  return status;
}

BatchStatus BatchDecoder::Open(const uint8_t *data, size_t size, DecoderColumn *columns, int ncolumns) noexcept {
  *this = BatchDecoder();
  BatchHeader header;
  BatchStatus status = ReadBatchHeader(data, size, &header);
  if (status != BatchStatus::kOk)
    return Fail(status);
  if (header.ncols > ncolumns)
    return Fail(BatchStatus::kBadLayout);
  nrows_ = header.nrows;
  weight_form_ = data[8];
  const uint8_t *pos = data + BatchEncoder::HeaderSize(header.ncols);
  const uint8_t *const end = data + size;
  if (weight_form_ > kWeightBitmap)
    return Fail(BatchStatus::kBadWeights);
  if (weight_form_ == kWeightBitmap) {
    if (BitmapSize(nrows_) > static_cast<size_t>(end - pos))
      return Fail(BatchStatus::kTruncated);
    if (!SpareBitsAreZero(pos, nrows_))
      return Fail(BatchStatus::kBadWeights);
    weights_ = pos;
    pos += BitmapSize(nrows_);
  }
  const uint8_t *entry = data + BatchEncoder::HeaderSize(0);
  for (int i = 0; i < header.ncols; i++, entry += 5) {
    columns[i] = DecoderColumn();
    columns[i].layout = {static_cast<int16_t>(GetU16(entry)), static_cast<int16_t>(GetU16(entry + 2))};
    status = OpenColumn(&columns[i], entry[4], &pos, end);
    if (status != BatchStatus::kOk)
      return Fail(status);
  }
  if (pos != end)
    return Fail(BatchStatus::kTrailingBytes);
  columns_ = columns;
  ncols_ = header.ncols;
  return status_ = BatchStatus::kOk;
}

BatchStatus BatchDecoder::OpenColumn(DecoderColumn *column, uint8_t form, const uint8_t **pos, const uint8_t *end) noexcept {
  const int16_t length = column->layout.length;
  if (!ValidLength(length))
    return BatchStatus::kBadLayout;
  if (form == kAllNull) {
    column->all_null = true;
    return BatchStatus::kOk;
  }
  const int value_length = ValueLength(length);
  column->width = form & 0x0F;
  if ((form & ~(0x0F | kSomeNull)) != 0)
    return BatchStatus::kBadLayout;
  const bool packed = column->width != kPlain;
  if (packed && (!IsInteger(value_length) || column->width >= value_length || (column->width != 0 && !IsInteger(column->width))))
    return BatchStatus::kBadLayout;

  // The counts are bounded, so no sum of these overflows.
  const size_t nulls_size = (form & kSomeNull) != 0 ? BitmapSize(nrows_) : 0;
  const size_t base_size = packed ? static_cast<size_t>(value_length) : 0;
  const size_t values_size = static_cast<size_t>(packed ? column->width : value_length) * nrows_;
  if (nulls_size + base_size + values_size > static_cast<size_t>(end - *pos))
    return BatchStatus::kTruncated;
  if (nulls_size > 0) {
    column->nulls = *pos;
    if (!SpareBitsAreZero(*pos, nrows_))
      return BatchStatus::kBadNulls;
    *pos += nulls_size;
  }
  if (packed)
    column->base = LoadUnsigned(*pos, value_length);
  column->values = *pos + base_size;
  *pos = column->values + values_size;
  if (length > 0)
    return BatchStatus::kOk;

  column->bytes = *pos;
  return WithLengths(*column, [=](auto lengths) { return SkipBytes(*column, nrows_, lengths, pos, end); });
}

int BatchDecoder::Weight(uint32_t row) const noexcept {
  switch (weight_form_) {
    case kAllPositive:
      return 1;
    case kAllNegative:
      return -1;
    case kAlternating:
      return row % 2 == 0 ? -1 : 1;
    default:
      return GetBit(weights_, row) ? -1 : 1;
  }
}

BatchStatus BatchDecoder::Next(int *weight, ColumnView *out) noexcept {
  if (status_ != BatchStatus::kOk)
    return status_;
  if (read_ == nrows_)
    return Fail(BatchStatus::kEnd);
  for (int i = 0; i < ncols_; i++) {
    DecoderColumn *const column = &columns_[i];
    if (column->all_null || (column->nulls != nullptr && GetBit(column->nulls, read_))) {
      out[i] = {nullptr, 0, true};
      continue;
    }
    const int16_t length = column->layout.length;
    if (length < 0) {
      const uint32_t size = LengthAt(*column, read_);
      out[i] = {column->bytes, size, false};
      column->bytes += size + (length == kCStringLength ? 1u : 0u);
    } else if (column->width == kPlain) {
      out[i] = {column->values + static_cast<size_t>(length) * read_, static_cast<uint32_t>(length), false};
    } else {
      const uint64_t value =
          column->base + LoadUnsigned(column->values + static_cast<size_t>(column->width) * read_, column->width);
      switch (length) {
        case 1:
          Store(column->value, static_cast<uint8_t>(value));
          break;
        case 2:
          Store(column->value, static_cast<uint16_t>(value));
          break;
        case 4:
          Store(column->value, static_cast<uint32_t>(value));
          break;
        default:
          Store(column->value, value);
      }
      out[i] = {column->value, static_cast<uint32_t>(length), false};
    }
  }
  *weight = Weight(read_);
  read_++;
  return BatchStatus::kOk;
}

void BatchDecoder::FixedValues(int i, uint8_t *out, size_t stride) const noexcept {
  const DecoderColumn &column = columns_[i];
  const int16_t length = column.layout.length;
  assert(status_ == BatchStatus::kOk && i < ncols_ && length > 0);
  if (column.all_null || nrows_ == 0)
    return;
  switch (length) {
    case 1:
      return UnpackColumn<uint8_t>(column, out, stride, nrows_);
    case 2:
      return UnpackColumn<uint16_t>(column, out, stride, nrows_);
    case 4:
      return UnpackColumn<uint32_t>(column, out, stride, nrows_);
    case 8:
      return UnpackColumn<uint64_t>(column, out, stride, nrows_);
    default:
      for (size_t r = 0; r < nrows_; r++)
        std::memcpy(out + r * stride, column.values + r * static_cast<size_t>(length), static_cast<size_t>(length));
  }
}

void BatchDecoder::Integers(int i, bool is_unsigned, int64_t *out) const noexcept {
  const DecoderColumn &column = columns_[i];
  assert(status_ == BatchStatus::kOk && i < ncols_ && IsInteger(column.layout.length));
  if (column.all_null)
    return;
  switch (column.layout.length) {
    case 1:
      return is_unsigned ? WidenColumn<uint8_t>(column, out, nrows_) : WidenColumn<int8_t>(column, out, nrows_);
    case 2:
      return is_unsigned ? WidenColumn<uint16_t>(column, out, nrows_) : WidenColumn<int16_t>(column, out, nrows_);
    case 4:
      return is_unsigned ? WidenColumn<uint32_t>(column, out, nrows_) : WidenColumn<int32_t>(column, out, nrows_);
    default:
      return WidenColumn<int64_t>(column, out, nrows_);
  }
}

bool BatchDecoder::Places(int i, const uint8_t **data, uint32_t *sizes) const noexcept {
  const DecoderColumn &column = columns_[i];
  assert(status_ == BatchStatus::kOk && i < ncols_);
  const int16_t length = column.layout.length;
  if (length > 0 && column.width != kPlain && !column.all_null)
    return false;
  const auto isnull = [&column](uint32_t r) { return column.all_null || (column.nulls != nullptr && GetBit(column.nulls, r)); };
  if (length > 0) {
    for (uint32_t r = 0; r < nrows_; r++) {
      data[r] = isnull(r) ? nullptr : column.values + static_cast<size_t>(length) * r;
      sizes[r] = static_cast<uint32_t>(length);
    }
    return true;
  }
  const uint32_t nrows = nrows_, trailer = length == kCStringLength ? 1 : 0;
  return WithLengths(column, [=](auto lengths) {
    const uint8_t *bytes = column.bytes;
    for (uint32_t r = 0; r < nrows; r++) {
      sizes[r] = isnull(r) ? 0 : lengths(r);
      data[r] = bytes;
      if (!isnull(r))
        bytes += sizes[r] + trailer;
    }
    return true;
  });
}

void BatchDecoder::Weights(int8_t *out) const noexcept {
  switch (weight_form_) {
    case kAllPositive:
    case kAllNegative:
      std::memset(out, weight_form_ == kAllPositive ? 1 : -1, nrows_);
      break;
    case kAlternating:
      for (uint32_t r = 0; r < nrows_; r++)
        out[r] = static_cast<int8_t>(static_cast<int>(r % 2) * 2 - 1);
      break;
    default:
      for (uint32_t r = 0; r < nrows_; r++)
        out[r] = GetBit(weights_, r) ? -1 : 1;
  }
}

}  // namespace pgstream
