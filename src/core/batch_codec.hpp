// The packed change-log record: a batch of row images of one source table.
//
// Promises: no allocation, no exception, no destructor (both classes may live in server frames); a record decodes to
// exactly the rows that were appended, in order; a damaged record gives a status, never a read outside the record.
// Refuses: interpreting values. A column is bytes with a storage length; what they mean is the caller's knowledge.
// Damage inside the bytes of a value is not detected (page checksums do that).
//
// Layout, integers little-endian, nothing aligned:
//
//   byte  0      magic, 0xB5
//   byte  1      format version, 1
//   bytes 2-3    number of columns (uint16)
//   bytes 4-7    number of rows (uint32)
//   per column   attribute number (int16), storage length (int16): n > 0 fixed width, -1 varlena, -2 cstring
//   per row      tag byte: bit 0 set = weight -1, clear = weight +1; bit 1 = has nulls; other bits zero
//                null bitmap, only when has nulls: one bit per column, low bit first, set = null; unused bits zero
//                the values that are not null, in column order:
//                  fixed width: the bytes as they are in memory (native byte order)
//                  varlena:     length without header as LEB128 varint (1-5 bytes), then the bytes
//                  cstring:     length as varint, the bytes, a NUL (so the view can be used in place as a C string)
//
// The record ends with its last row. (int4, short numeric) with 4 bytes of digits: 1 + 4 + 1 + 4 = 10 bytes a row.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pgstream {

/// Storage length of a column whose values are varlenas (given and returned without their header).
constexpr int16_t kVarlenaLength = -1;
/// Storage length of a column whose values are C strings (given and returned without counting the NUL).
constexpr int16_t kCStringLength = -2;
/// Most columns a record can have: above what PostgreSQL allows in a table (1600).
constexpr int kMaxBatchColumns = 1664;

/// One column of a record: which attribute of the source it is and how its values are stored.
struct ColumnLayout {
  int16_t attnum;
  int16_t length;
};

/// One value. For a fixed-width column `size` is ignored by the encoder (the layout's length counts) and set by the
/// decoder. `data` of a decoded value points into the record, unaligned; it lives as long as the record's bytes.
struct ColumnValue {
  const uint8_t *data;
  uint32_t size;
  bool isnull;
};
using ColumnView = ColumnValue;

/// Writes one record into the caller's buffer.
class BatchEncoder {
 public:
  /// Uses `buf[0 .. capacity)`, which stays the caller's. Nothing is written before Begin.
  BatchEncoder(uint8_t *buf, size_t capacity) noexcept : buf_(buf), capacity_(capacity) {}

  /// Starts a record of `ncols` columns (0 is allowed: rows without values). `cols` must outlive the record.
  /// False when the header does not fit, or the layout is none (more than kMaxBatchColumns, a length of 0 or below -2).
  bool Begin(const ColumnLayout *cols, int ncols) noexcept;

  /// Appends a row of `ncols` values with weight -1 or +1. False, and the record unchanged, when it does not fit:
  /// finish this record, begin another, retry; when the record has no rows yet, the row needs HeaderSize() + RowSize()
  /// bytes.
  bool Append(int weight, const ColumnValue *values) noexcept;

  /// Bytes that Append would take for this row under the layout given to Begin.
  size_t RowSize(const ColumnValue *values) const noexcept;

  /// Completes the record and returns its length in bytes. More rows may be appended after it; finish again then.
  size_t Finish() noexcept;

  /// Bytes of a header with `ncols` columns.
  static constexpr size_t HeaderSize(int ncols) noexcept { return 8 + 4 * static_cast<size_t>(ncols); }
  /// Rows appended since Begin.
  uint32_t nrows() const noexcept { return nrows_; }
  /// Bytes used so far, header included.
  size_t size() const noexcept { return used_; }

 private:
  uint8_t *buf_;
  size_t capacity_;
  size_t used_ = 0;
  const ColumnLayout *cols_ = nullptr;
  int ncols_ = 0;
  uint32_t nrows_ = 0;
};

/// What a decoder met.
enum class BatchStatus : uint8_t {
  kOk,
  kEnd,            ///< all rows were read; not an error
  kTruncated,      ///< the record ends inside its header or a row
  kBadMagic,       ///< not a change-log record
  kBadVersion,     ///< a format that this code does not know
  kBadLayout,      ///< impossible number of columns or storage length
  kBadRowCount,    ///< more rows claimed than the record has bytes for
  kBadTag,         ///< unknown bits in a row's tag
  kBadNulls,       ///< a null bitmap with unused bits set, or without any null
  kBadLength,      ///< a varint that is too long, or not the shortest for its value
  kBadCString,     ///< a C string without its NUL, or with one inside
  kTrailingBytes,  ///< bytes after the last row
};

/// Static text for a status: lower case, no period, fit for an errdetail_internal.
const char *BatchStatusMessage(BatchStatus status) noexcept;

/// Reads one record.
class BatchDecoder {
 public:
  /// Checks the header of the record in `data[0 .. size)`, which must outlive the decoder and its views.
  BatchStatus Open(const uint8_t *data, size_t size) noexcept;

  /// Reads the next row: its weight (-1 or +1) and `ncols()` values into `out`. kEnd after the last row. An error is
  /// sticky: the following calls return it again, and what `out` holds then means nothing.
  BatchStatus Next(int *weight, ColumnView *out) noexcept;

  /// Number of columns of the opened record.
  int ncols() const noexcept { return ncols_; }
  /// Number of rows of the opened record.
  uint32_t nrows() const noexcept { return nrows_; }
  /// Layout of column `i`, 0 <= i < ncols().
  ColumnLayout layout(int i) const noexcept;

 private:
  BatchStatus Fail(BatchStatus status) noexcept;
  BatchStatus ReadLength(uint32_t *length) noexcept;

  const uint8_t *layout_ = nullptr;  // the column entries of the header
  const uint8_t *pos_ = nullptr;     // next unread byte
  const uint8_t *end_ = nullptr;     // one past the record
  uint32_t nrows_ = 0;
  uint32_t read_ = 0;  // rows returned so far
  int ncols_ = 0;
  BatchStatus status_ = BatchStatus::kTruncated;
};

}  // namespace pgstream
