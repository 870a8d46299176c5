// The packed change-log record: a batch of row images of one source table, by columns.
//
// Promises: no allocation, no exception, no destructor (all classes may live in server frames; the caller gives the memory);
// a record decodes to exactly the rows that were appended, in order; a damaged record gives a status when it is opened,
// never a read outside the record; what could be opened can be read to its end. Refuses: interpreting values beyond this: a
// fixed-width value of 1, 2, 4 or 8 bytes is compared and packed as a signed integer of that size, which gives back its bytes
// whatever they mean. Damage inside the bytes of a value is not detected (page checksums do that).
//
// Layout, format version 2. Counts are little-endian, values and what they are computed from in the machine's order; nothing
// is aligned:
//
//   byte  0      magic, 0xB5
//   byte  1      format version, 2
//   bytes 2-3    number of columns (uint16)
//   bytes 4-7    number of rows (uint32), at most kMaxBatchRows
//   byte  8      weights: 0 all are +1, 1 all are -1, 2 they alternate, beginning with -1, 3 a bitmap says
//   per column   attribute number (int16)
//                storage length (int16): n > 0 fixed width, -1 varlena, -2 cstring
//                form (one byte): low four bits: 0, 1, 2 or 4 bytes of difference per row, or 15 for plain;
//                                 0x10 some values are null, 0x20 all are (then the other bits are zero); no other bits
//   weights      only if a bitmap says: one bit per row, low bit first, set = -1
//   per column, unless all its values are null
//     nulls      only if some are: a bitmap as above, set = null
//     values     fixed width, plain:  one value per row
//                fixed width, packed: the base, a value, then per row its difference to the base (none of 0 bytes: all rows have
//                                     the base); only of 1, 2, 4 or 8 bytes, and fewer than the value has
//                varying:             lengths, plain or packed like fixed-width values of 4 bytes, then the bytes of all
//                                     values; a cstring's are followed by a NUL, which its length does not count
//                the place of a null in this is zero, and it has no bytes
//   Spare bits of a bitmap are zero. The record ends with its last column.
//
// Two int columns of small range take 4 bytes a row: k in 0..9999 and v in 0..999 are two 2-byte differences.
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
/// Most rows a record can have, as rows may take no bytes at all.
constexpr uint32_t kMaxBatchRows = 32768;

/// One column of a record: which attribute of the source it is and how its values are stored.
struct ColumnLayout {
  int16_t attnum;
  int16_t length;
};

/// One value. For a fixed-width column `size` is ignored by the encoder (the layout's length counts) and set by the
/// decoder. `data` is unaligned; that of a decoded value lives until the next row is read.
struct ColumnValue {
  const uint8_t *data;
  uint32_t size;
  bool isnull;
};
using ColumnView = ColumnValue;

/// What the encoder knows of a column of the record it is writing. The caller has one for each and does not look inside.
struct EncoderColumn {
  int64_t low, high;  // of the integers, or of the lengths, that are not null
  uint64_t reach;     // high - low up to which differences keep their width
  uint64_t bytes;     // of varying values
  uint32_t nulls;
  bool any;       // low and high are set
  uint8_t width;  // while packing: of a difference, and where what comes next goes
  uint8_t *nulls_at, *next_value, *next_bytes;
};

/// Writes one record. Rows are gathered in a stage of the caller's and packed by Finish, when their ranges are known.
class BatchEncoder {
 public:
  /// Uses `buf[0 .. capacity)` for the record and `stage[0 .. stage_capacity)` for its rows; both stay the caller's. Nothing is
  /// written before Begin.
  BatchEncoder(uint8_t *buf, size_t capacity, uint8_t *stage, size_t stage_capacity) noexcept
      : buf_(buf), capacity_(capacity), stage_(stage), stage_capacity_(stage_capacity) {}

  /// Starts a record of `ncols` columns (0 is allowed: rows without values). `cols` and `state`, of as many elements, must
  /// outlive the record. False when the header does not fit, or the layout is none (more than kMaxBatchColumns, a length of 0
  /// or below -2).
  bool Begin(const ColumnLayout *cols, int ncols, EncoderColumn *state) noexcept;

  /// Appends a row of `ncols` values with weight -1 or +1. False, and the record unchanged, when it does not fit, as packed
  /// with the others: finish this record, begin another, retry.
  bool Append(int weight, const ColumnValue *values) noexcept;
  /// Appends a row with weight -1 and one with +1, or neither.
  bool AppendPair(const ColumnValue *old_values, const ColumnValue *new_values) noexcept;

  /// Packs the rows and returns the record's length in bytes. More rows may be appended after it; finish again then.
  size_t Finish() noexcept;

  /// Bytes of a header with `ncols` columns.
  static constexpr size_t HeaderSize(int ncols) noexcept { return 9 + 5 * static_cast<size_t>(ncols); }
  /// Bytes of the record that EncodeRow writes.
  static size_t RowRecordSize(const ColumnLayout *cols, int ncols, const ColumnValue *values) noexcept;
  /// Writes the record of one row, of RowRecordSize() bytes, without a stage: for rows too large for one.
  static void EncodeRow(const ColumnLayout *cols, int ncols, int weight, const ColumnValue *values, uint8_t *buf) noexcept;
  /// Rows appended since Begin.
  uint32_t nrows() const noexcept { return nrows_; }
  /// Bytes that Finish would return.
  size_t size() const noexcept { return size_; }

 private:
  bool AppendRows(int count, const ColumnValue *const *rows, const int *weights) noexcept;
  bool StageInRange(int count, const ColumnValue *const *rows, const int *weights) noexcept;
  void Stage(int weight, const ColumnValue *values) noexcept;
  void PackByRow() noexcept;
  void PackWeights() noexcept;

  uint8_t *buf_;
  size_t capacity_;
  uint8_t *stage_;
  size_t stage_capacity_;
  size_t size_ = 0;    // as packed
  size_t staged_ = 0;  // bytes of the stage in use
  size_t packed_row_ = 0;  // what a row within all ranges adds to size_
  size_t fixed_row_ = 0;   // what a row of fixed width without nulls takes of the stage
  const ColumnLayout *cols_ = nullptr;
  EncoderColumn *state_ = nullptr;
  int ncols_ = 0;
  uint32_t nrows_ = 0;
  uint32_t nnegative_ = 0;
  bool alternating_ = true;
  bool all_fixed_ = true;   // no column of varying length
  bool any_null_ = false;
};

/// What a decoder met.
enum class BatchStatus : uint8_t {
  kOk,
  kEnd,            ///< all rows were read; not an error
  kTruncated,      ///< the record ends inside its header or a column
  kBadMagic,       ///< not a change-log record
  kBadVersion,     ///< a format that this code does not know
  kBadLayout,      ///< impossible number of columns, storage length or form
  kBadRowCount,    ///< more rows than a record can have
  kBadWeights,     ///< weights in no known form, or spare bits set in their bitmap
  kBadNulls,       ///< a null bitmap with spare bits set
  kBadLength,      ///< a value of negative or impossible length
  kBadCString,     ///< a C string without its NUL, or with one inside
  kTrailingBytes,  ///< bytes after the last column
};

/// Static text for a status: lower case, no period, fit for an errdetail_internal.
const char *BatchStatusMessage(BatchStatus status) noexcept;

/// The part of a record's header that tells its size.
struct BatchHeader {
  int ncols;
  uint32_t nrows;
};

/// Reads it, and checks no more than that.
BatchStatus ReadBatchHeader(const uint8_t *data, size_t size, BatchHeader *header) noexcept;

/// What the decoder knows of a column. The caller has one for each; of its members only `layout` is of interest.
struct DecoderColumn {
  ColumnLayout layout;
  uint8_t width;          // bytes of a difference; kPlain
  bool all_null;
  const uint8_t *nulls;   // nullptr: none, or all
  const uint8_t *values;  // plain values, or differences; of a varying column, lengths
  const uint8_t *bytes;   // of the value that Next reads next
  uint64_t base;          // of packed values
  uint8_t value[8];       // the packed value that Next read last
};

/// Reads one record.
class BatchDecoder {
 public:
  /// Checks all of the record in `data[0 .. size)`. It and `columns`, of at least as many elements as its header says (and
  /// `ncolumns` says how many there are), must outlive the decoder and its views.
  BatchStatus Open(const uint8_t *data, size_t size, DecoderColumn *columns, int ncolumns) noexcept;

  /// Reads the next row: its weight (-1 or +1) and `ncols()` values into `out`. kEnd after the last row; whatever Open did not
  /// accept is returned again.
  BatchStatus Next(int *weight, ColumnView *out) noexcept;

  /// Column by column: the weight of row `row`, each a call of one comparison.
  int Weight(uint32_t row) const noexcept;
  /// Whether any value of column `i` is null.
  bool HasNulls(int i) const noexcept { return columns_[i].all_null || columns_[i].nulls != nullptr; }
  /// Writes the values of the fixed-width column `i` to `out`, `out + stride`, ..., all `nrows()` of them, as they were in
  /// memory; what is written for a null has no meaning. With a stride of the storage length, this is a loop without branches.
  void FixedValues(int i, uint8_t *out, size_t stride) const noexcept;

  /// Writes the values of column `i`, an integer of 1, 2, 4 or 8 bytes (without a sign if `is_unsigned`), as integers of 8
  /// bytes, all `nrows()` of them; what is written for a null has no meaning. A loop without branches.
  void Integers(int i, bool is_unsigned, int64_t *out) const noexcept;
  /// Where the values of column `i`, of any length, lie and how long they are, all `nrows()` of them; what is written for a null
  /// has no meaning. Not for an integer column that is packed: it does not lie anywhere (false, and nothing is written).
  bool Places(int i, const uint8_t **data, uint32_t *sizes) const noexcept;
  /// The null bitmap of column `i` (low bit first, set: null), or nullptr when no value is null, or all are.
  const uint8_t *Nulls(int i) const noexcept { return columns_[i].nulls; }
  /// Whether all values of column `i` are null.
  bool AllNull(int i) const noexcept { return columns_[i].all_null; }
  /// Writes the weights of all rows, -1 or +1.
  void Weights(int8_t *out) const noexcept;

  /// Number of columns of the opened record.
  int ncols() const noexcept { return ncols_; }
  /// Number of rows of the opened record.
  uint32_t nrows() const noexcept { return nrows_; }
  /// Layout of column `i`, 0 <= i < ncols().
  ColumnLayout layout(int i) const noexcept { return columns_[i].layout; }

 private:
  BatchStatus Fail(BatchStatus status) noexcept;
  BatchStatus OpenColumn(DecoderColumn *column, uint8_t form, const uint8_t **pos, const uint8_t *end) noexcept;

  DecoderColumn *columns_ = nullptr;
  const uint8_t *weights_ = nullptr;  // the bitmap
  uint32_t nrows_ = 0;
  uint32_t read_ = 0;  // rows returned so far
  int ncols_ = 0;
  uint8_t weight_form_ = 0;
  BatchStatus status_ = BatchStatus::kTruncated;
};

}  // namespace pgstream
