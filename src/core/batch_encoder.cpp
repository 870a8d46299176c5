// Encoder of the packed change-log record; layout and contract are in the header file.
#include "core/batch_codec.hpp"
#include "core/batch_format.hpp"

#include <cassert>
#include <type_traits>

namespace pgstream {

using namespace batch_format;

static_assert(std::is_trivially_destructible_v<BatchEncoder>, "codec objects live in frames that an error may jump over");

namespace {

void PutU16(uint8_t *p, uint16_t v) noexcept {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}

void PutU32(uint8_t *p, uint32_t v) noexcept {
  PutU16(p, static_cast<uint16_t>(v));
  PutU16(p + 2, static_cast<uint16_t>(v >> 16));
}

/// A value of 1, 2, 4 or 8 bytes as a signed integer.
int64_t LoadInteger(const uint8_t *p, int length) noexcept {
  switch (length) {
    case 1:
      return Load<int8_t>(p);
    case 2:
      return Load<int16_t>(p);
    case 4:
      return Load<int32_t>(p);
    default:
      return Load<int64_t>(p);
  }
}

/// Writes the low `size` bytes of a number in the machine's order.
void StoreInteger(uint8_t *p, uint64_t value, int size) noexcept {
  switch (size) {
    case 0:
      break;
    case 1:
      Store(p, static_cast<uint8_t>(value));
      break;
    case 2:
      Store(p, static_cast<uint16_t>(value));
      break;
    case 4:
      Store(p, static_cast<uint32_t>(value));
      break;
    default:
      Store(p, value);
  }
}

/// Bytes of a difference that suffice for a column's range, or kPlain where packing would not make values shorter.
uint8_t WidthFor(const EncoderColumn &column, int length) noexcept {
  if (!IsInteger(length))
    return kPlain;
  uint64_t range = static_cast<uint64_t>(column.high) - static_cast<uint64_t>(column.low);
  int width = range == 0 ? 0 : range <= UINT8_MAX ? 1 : range <= UINT16_MAX ? 2 : range <= UINT32_MAX ? 4 : 8;
  return width < length ? static_cast<uint8_t>(width) : kPlain;
}

/// Bytes of `nrows` values, or lengths of values, of `length` bytes each.
size_t ValuesSize(const EncoderColumn &column, int length, uint32_t nrows) noexcept {
  uint8_t width = WidthFor(column, length);
  if (width == kPlain)
    return static_cast<size_t>(length) * nrows;
  return static_cast<size_t>(length) + static_cast<size_t>(width) * nrows;
}

/// Bytes of a column in a record of `nrows` rows.
size_t ColumnSize(const EncoderColumn &column, int16_t length, uint32_t nrows) noexcept {
  if (column.nulls == nrows)
    return 0;
  size_t nulls = column.nulls > 0 ? BitmapSize(nrows) : 0;
  return nulls + ValuesSize(column, ValueLength(length), nrows) + column.bytes;
}

/// Takes note of one more value.
void Include(EncoderColumn *column, int16_t length, const ColumnValue &value) noexcept {
  if (value.isnull) {
    column->nulls++;
    return;
  }
  int64_t number = 0;
  if (length < 0) {
    number = value.size;
    column->bytes += value.size + (length == kCStringLength ? 1u : 0u);
  } else if (IsInteger(length)) {
    number = LoadInteger(value.data, length);
  }
  if (!column->any || number < column->low)
    column->low = number;
  if (!column->any || number > column->high)
    column->high = number;
  column->any = true;
}

/// Bytes of a row in the stage: a tag, a bitmap if there are nulls, the values in order, varying ones behind their length.
size_t StagedSize(const ColumnLayout *cols, int ncols, const ColumnValue *values) noexcept {
  size_t size = 1;
  bool any_null = false;
  for (int i = 0; i < ncols; i++) {
    if (values[i].isnull)
      any_null = true;
    else
      size += cols[i].length > 0 ? static_cast<size_t>(cols[i].length) : sizeof(uint32_t) + values[i].size;
  }
  return any_null ? size + BitmapSize(static_cast<uint32_t>(ncols)) : size;
}

constexpr uint8_t kTagNegative = 0x01;
constexpr uint8_t kTagHasNulls = 0x02;

uint8_t *PutBytes(uint8_t *p, const uint8_t *data, size_t size) noexcept {
  if (size > 0)
    std::memcpy(p, data, size);  // data may be null for an empty value
  return p + size;
}

/// The value of one column in each staged row, packed: all rows have the same size.
template <class Difference>
void PackDifferences(uint8_t *out, const uint8_t *staged, size_t stride, int length, int64_t low, uint32_t nrows) noexcept {
  for (uint32_t r = 0; r < nrows; r++, staged += stride)
    Store(out + r * sizeof(Difference), static_cast<Difference>(static_cast<uint64_t>(LoadInteger(staged, length)) -
                                                                static_cast<uint64_t>(low)));
}

void PackColumn(uint8_t *out, const uint8_t *staged, size_t stride, int length, uint8_t width, int64_t low,
                uint32_t nrows) noexcept {
  switch (width) {
    case 0:
      break;
    case 1:
      PackDifferences<uint8_t>(out, staged, stride, length, low, nrows);
      break;
    case 2:
      PackDifferences<uint16_t>(out, staged, stride, length, low, nrows);
      break;
    case 4:
      PackDifferences<uint32_t>(out, staged, stride, length, low, nrows);
      break;
    default:
      for (uint32_t r = 0; r < nrows; r++, staged += stride)
        std::memcpy(out + r * static_cast<size_t>(length), staged, static_cast<size_t>(length));
  }
}

uint8_t *PutHeader(uint8_t *p, int ncols, uint32_t nrows, uint8_t weights) noexcept {
  p[0] = kMagic;
  p[1] = kVersion;
  PutU16(p + 2, static_cast<uint16_t>(ncols));
  PutU32(p + 4, nrows);
  p[8] = weights;
  return p + 9;
}

uint8_t *PutColumnEntry(uint8_t *p, ColumnLayout layout, uint8_t form) noexcept {
  PutU16(p, static_cast<uint16_t>(layout.attnum));
  PutU16(p + 2, static_cast<uint16_t>(layout.length));
  p[4] = form;
  return p + 5;
}

bool ValidLayout(const ColumnLayout *cols, int ncols) noexcept {
  if (ncols < 0 || ncols > kMaxBatchColumns)
    return false;
  for (int i = 0; i < ncols; i++) {
    if (!ValidLength(cols[i].length))
      return false;
  }
  return true;
}

}  // namespace

bool BatchEncoder::Begin(const ColumnLayout *cols, int ncols, EncoderColumn *state) noexcept {
  if (!ValidLayout(cols, ncols) || HeaderSize(ncols) > capacity_)
    return false;
  cols_ = cols;
  state_ = state;
  ncols_ = ncols;
  nrows_ = nnegative_ = 0;
  staged_ = 0;
  alternating_ = all_fixed_ = true;
  any_null_ = false;
  for (int i = 0; i < ncols; i++) {
    state[i] = EncoderColumn();
    if (cols[i].length < 0)
      all_fixed_ = false;
  }
  packed_row_ = 0;
  fixed_row_ = 1;
  for (int i = 0; i < ncols; i++)
    fixed_row_ += static_cast<size_t>(ValueLength(cols[i].length));
  size_ = HeaderSize(ncols);
  return true;
}

bool BatchEncoder::Append(int weight, const ColumnValue *values) noexcept {
  return AppendRows(1, &values, &weight);
}

bool BatchEncoder::AppendPair(const ColumnValue *old_values, const ColumnValue *new_values) noexcept {
  const ColumnValue *const rows[2] = {old_values, new_values};
  const int weights[2] = {-1, 1};
  return AppendRows(2, rows, weights);
}

bool BatchEncoder::AppendRows(int count, const ColumnValue *const *rows, const int *weights) noexcept {
  assert(cols_ != nullptr || ncols_ == 0);
  if (nrows_ > kMaxBatchRows - static_cast<uint32_t>(count))
    return false;
  const uint32_t nrows = nrows_ + static_cast<uint32_t>(count);
  uint32_t nnegative = nnegative_;
  bool alternating = alternating_;
  for (int k = 0; k < count; k++) {
    assert(weights[k] == 1 || weights[k] == -1);
    if (weights[k] < 0)
      nnegative++;
    if ((weights[k] < 0) != ((nrows_ + static_cast<uint32_t>(k)) % 2 == 0))
      alternating = false;
  }
  const bool weight_bitmap = nnegative != 0 && nnegative != nrows && !alternating;
  if (nrows_ > 0 && all_fixed_ && !any_null_ && !weight_bitmap && StageInRange(count, rows, weights)) {
    size_ += static_cast<size_t>(count) * packed_row_;
    nrows_ = nrows;
    nnegative_ = nnegative;
    alternating_ = alternating;
    return true;
  }

  size_t staged = 0;
  for (int k = 0; k < count; k++)
    staged += StagedSize(cols_, ncols_, rows[k]);
  if (staged > stage_capacity_ - staged_)
    return false;
  size_t size = HeaderSize(ncols_);
  if (weight_bitmap)
    size += BitmapSize(nrows);
  for (int i = 0; i < ncols_; i++) {
    EncoderColumn column = state_[i];  // as it would be
    for (int k = 0; k < count; k++)
      Include(&column, cols_[i].length, rows[k][i]);
    size += ColumnSize(column, cols_[i].length, nrows);
  }
  if (size > capacity_)
    return false;

  packed_row_ = 0;
  for (int i = 0; i < ncols_; i++) {
    for (int k = 0; k < count; k++)
      Include(&state_[i], cols_[i].length, rows[k][i]);
    const int length = ValueLength(cols_[i].length);
    const uint8_t width = WidthFor(state_[i], length);
    packed_row_ += width == kPlain ? static_cast<size_t>(length) : width;
    state_[i].reach = width == kPlain ? UINT64_MAX : (UINT64_C(1) << 8 * width) - 1;
  }
  for (int k = 0; k < count; k++)
    Stage(weights[k], rows[k]);
  size_ = size;
  nrows_ = nrows;
  nnegative_ = nnegative;
  alternating_ = alternating;
  return true;
}

/// The common case: stages rows that make the record longer by just packed_row_ bytes each, having neither nulls nor values
/// for which a difference needs another width. False, and nothing has changed, for others and for those that do not fit.
bool BatchEncoder::StageInRange(int count, const ColumnValue *const *rows, const int *weights) noexcept {
  if (static_cast<size_t>(count) * fixed_row_ > stage_capacity_ - staged_ ||
      static_cast<size_t>(count) * packed_row_ > capacity_ - size_)
    return false;
  uint8_t *p = stage_ + staged_;
  for (int k = 0; k < count; k++) {
    *p++ = weights[k] < 0 ? kTagNegative : 0;
    const ColumnValue *values = rows[k];
    for (int i = 0; i < ncols_; i++) {
      if (values[i].isnull)
        return false;
      const int length = cols_[i].length;
      EncoderColumn &column = state_[i];
      int64_t number = column.low;
      switch (length) {
        case 4:
          Store(p, Load<int32_t>(values[i].data));
          number = Load<int32_t>(p);
          break;
        case 8:
          Store(p, Load<int64_t>(values[i].data));
          number = Load<int64_t>(p);
          break;
        default:
          std::memcpy(p, values[i].data, static_cast<size_t>(length));
          if (IsInteger(length))
            number = LoadInteger(p, length);
      }
      // A range may grow as far as its width suffices, also if the row is not taken in the end.
      if (number > column.high) {
        if (static_cast<uint64_t>(number) - static_cast<uint64_t>(column.low) > column.reach)
          return false;
        column.high = number;
      } else if (number < column.low) {
        if (static_cast<uint64_t>(column.high) - static_cast<uint64_t>(number) > column.reach)
          return false;
        column.low = number;
      }
      p += length;
    }
  }
  staged_ = static_cast<size_t>(p - stage_);
  return true;
}

void BatchEncoder::Stage(int weight, const ColumnValue *values) noexcept {
  uint8_t *p = stage_ + staged_;
  uint8_t *tag = p++;
  *tag = weight < 0 ? kTagNegative : 0;
  bool any_null = false;
  for (int i = 0; i < ncols_; i++)
    any_null |= values[i].isnull;
  if (any_null) {
    any_null_ = true;
    *tag = static_cast<uint8_t>(*tag | kTagHasNulls);
    size_t size = BitmapSize(static_cast<uint32_t>(ncols_));
    std::memset(p, 0, size);
    for (int i = 0; i < ncols_; i++) {
      if (values[i].isnull)
        SetBit(p, static_cast<uint32_t>(i));
    }
    p += size;
  }
  for (int i = 0; i < ncols_; i++) {
    if (values[i].isnull)
      continue;
    if (cols_[i].length > 0) {
      p = PutBytes(p, values[i].data, static_cast<size_t>(cols_[i].length));
    } else {
      Store(p, values[i].size);
      p = PutBytes(p + sizeof(uint32_t), values[i].data, values[i].size);
    }
  }
  staged_ = static_cast<size_t>(p - stage_);
}

size_t BatchEncoder::Finish() noexcept {
  uint8_t weights = nnegative_ == 0        ? kAllPositive
                    : nnegative_ == nrows_ ? kAllNegative
                    : alternating_         ? kAlternating
                                           : kWeightBitmap;
  uint8_t *entry = PutHeader(buf_, ncols_, nrows_, weights);
  uint8_t *p = buf_ + HeaderSize(ncols_);
  if (weights == kWeightBitmap) {
    std::memset(p, 0, BitmapSize(nrows_));
    p += BitmapSize(nrows_);
  }
  const uint8_t *staged = stage_;
  const bool uniform = all_fixed_ && !any_null_;
  const size_t stride = nrows_ > 0 ? staged_ / nrows_ : 0;  // if uniform
  size_t offset = 1;
  for (int i = 0; i < ncols_; i++) {
    EncoderColumn &column = state_[i];
    if (column.nulls == nrows_) {
      entry = PutColumnEntry(entry, cols_[i], kAllNull);
      continue;
    }
    const int length = ValueLength(cols_[i].length);
    const uint8_t width = WidthFor(column, length);
    entry = PutColumnEntry(entry, cols_[i], static_cast<uint8_t>(width | (column.nulls > 0 ? kSomeNull : 0)));
    size_t size = ColumnSize(column, cols_[i].length, nrows_);
    column.width = width;
    column.nulls_at = p;
    column.next_value = p + (column.nulls > 0 ? BitmapSize(nrows_) : 0);
    column.next_bytes = p + size - column.bytes;
    if (column.nulls > 0)
      std::memset(p, 0, BitmapSize(nrows_));
    if (width != kPlain) {
      StoreInteger(column.next_value, static_cast<uint64_t>(column.low), length);
      column.next_value += length;
    }
    if (uniform)
      PackColumn(column.next_value, staged + offset, stride, length, width, column.low, nrows_);
    offset += static_cast<size_t>(length);
    p += size;
  }
  assert(p == buf_ + size_);
  if (!uniform)
    PackByRow();
  if (weights == kWeightBitmap)
    PackWeights();
  return size_;
}

/// The columns of rows that differ in size, row by row.
void BatchEncoder::PackByRow() noexcept {
  const uint8_t *staged = stage_;
  for (uint32_t r = 0; r < nrows_; r++) {
    const uint8_t *nulls = nullptr;
    if ((*staged++ & kTagHasNulls) != 0) {
      nulls = staged;
      staged += BitmapSize(static_cast<uint32_t>(ncols_));
    }
    for (int i = 0; i < ncols_; i++) {
      EncoderColumn *const column = &state_[i];
      if (column->nulls == nrows_)
        continue;
      const int length = ValueLength(cols_[i].length);
      const size_t place = column->width == kPlain ? static_cast<size_t>(length) : column->width;
      if (nulls != nullptr && GetBit(nulls, static_cast<uint32_t>(i))) {
        SetBit(column->nulls_at, r);
        if (place > 0)
          std::memset(column->next_value, 0, place);
      } else {
        // A varying value's length is staged as a value of 4 bytes.
        if (column->width == kPlain)
          std::memcpy(column->next_value, staged, place);
        else
          StoreInteger(column->next_value,
                       static_cast<uint64_t>(LoadInteger(staged, length)) - static_cast<uint64_t>(column->low),
                       column->width);
        uint32_t size = cols_[i].length < 0 ? Load<uint32_t>(staged) : 0;
        staged += length;
        column->next_bytes = PutBytes(column->next_bytes, staged, size);
        staged += size;
        if (cols_[i].length == kCStringLength)
          *column->next_bytes++ = 0;
      }
      column->next_value += place;
    }
  }
}

void BatchEncoder::PackWeights() noexcept {
  uint8_t *bitmap = buf_ + HeaderSize(ncols_);
  const uint8_t *staged = stage_;
  for (uint32_t r = 0; r < nrows_; r++) {
    const uint8_t tag = *staged++;
    if ((tag & kTagNegative) != 0)
      SetBit(bitmap, r);
    const uint8_t *nulls = nullptr;
    if ((tag & kTagHasNulls) != 0) {
      nulls = staged;
      staged += BitmapSize(static_cast<uint32_t>(ncols_));
    }
    for (int i = 0; i < ncols_; i++) {
      if (nulls != nullptr && GetBit(nulls, static_cast<uint32_t>(i)))
        continue;
      staged += cols_[i].length > 0 ? static_cast<size_t>(cols_[i].length) : sizeof(uint32_t) + Load<uint32_t>(staged);
    }
  }
}

size_t BatchEncoder::RowRecordSize(const ColumnLayout *cols, int ncols, const ColumnValue *values) noexcept {
  size_t size = HeaderSize(ncols);
  for (int i = 0; i < ncols; i++) {
    if (!values[i].isnull)
      size += static_cast<size_t>(ValueLength(cols[i].length)) + (cols[i].length < 0 ? values[i].size : 0) +
              (cols[i].length == kCStringLength ? 1 : 0);
  }
  return size;
}

void BatchEncoder::EncodeRow(const ColumnLayout *cols, int ncols, int weight, const ColumnValue *values,
                             uint8_t *buf) noexcept {
  uint8_t *entry = PutHeader(buf, ncols, 1, weight < 0 ? kAllNegative : kAllPositive);
  uint8_t *p = buf + HeaderSize(ncols);
  for (int i = 0; i < ncols; i++) {
    const ColumnValue &value = values[i];
    const int16_t length = cols[i].length;
    // One value is its column's base.
    const uint8_t form = value.isnull ? kAllNull : IsInteger(ValueLength(length)) ? 0 : kPlain;
    entry = PutColumnEntry(entry, cols[i], form);
    if (value.isnull)
      continue;
    if (length > 0) {
      p = PutBytes(p, value.data, static_cast<size_t>(length));
      continue;
    }
    Store(p, value.size);
    p = PutBytes(p + sizeof(uint32_t), value.data, value.size);
    if (length == kCStringLength)
      *p++ = 0;
  }
}

}  // namespace pgstream
