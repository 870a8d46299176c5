// Groups of changed rows: how many came and went, and the sums of integer columns, by key.
//
// What the groups strategy does for a plan whose keys, conditions and aggregates' arguments are plain columns: nothing
// of it can raise an error, and what is summed does not depend on the order of rows. So rows need not be
// consolidated first, no expression is evaluated, and the rows of a record are done column by column.
//
// Promises: every row is rejected by a condition, summed in its group, or left to the caller; which of these
// depends on its values alone, except that groups beyond the limit are left, always all their rows (unless groups are merged
// between rows, which makes room for none but themselves). Sums are exact (kSum
// modulo 2^64, kWideSum modulo 2^128). Plain data without a destructor; all memory comes from the caller's
// allocator, which may leave by longjmp: what was being added is undefined then.
// Refuses: NULL keys (such rows are left to the caller), and to forget single groups.
#pragma once

#include "core/tid_mask.hpp"

namespace pgstream {

/// A column of some rows.
struct BatchColumnValues {
  const int64_t *values;  ///< of each row; what a null's place has does not matter. Of no use where only nulls count
  const uint8_t *nulls;   ///< bitmap, low bit first, set: null; nullptr: none, or all
  bool all_null;
};

enum class BatchComparison : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

/// A row passes when the comparison is true: a null does not.
struct BatchCondition {
  int column;
  BatchComparison comparison;
  int64_t constant;
};

/// What is kept of a column in each group. Nulls count for nothing.
enum class BatchSumKind : uint8_t {
  kCount,    ///< the net number of values
  kSum,      ///< and their net sum, in 8 bytes
  kWideSum,  ///< and their net sum, in 16 bytes
  kLeast,    ///< and of the least value among those that came or went, how many came, net
  kGreatest  ///< and of the greatest
};

struct BatchSum {
  BatchSumKind kind;
  int column;  ///< kCount: or -1, rows are counted
  int nconditions;  ///< of rows that count for this sum, beside those of the plan
  const BatchCondition *conditions;
};

__extension__ typedef __int128 WideInteger;

/// What became of a column in a group.
struct BatchSumValue {
  int64_t count;       ///< net number of values
  WideInteger sum;     ///< kSum (as an int64_t), kWideSum
  bool any;            ///< kLeast, kGreatest: a value came or went
  int64_t extreme;     ///< the least or greatest of those
  int64_t net;         ///< how many of that value came, net
};

/// Most keys a plan can have.
constexpr int kMostBatchKeys = 32;

/// What is done with rows. Arrays are the caller's and outlive the groups.
struct BatchGroupPlan {
  int nkeys;  ///< at most kMostBatchKeys; 0: all rows are one group
  const int *keys;
  int nconditions;
  const BatchCondition *conditions;
  int nsums;
  const BatchSum *sums;
};

class BatchGroups {
 public:
  /// Empty, without memory. At most `limit` groups; `seed` makes the hash no constant.
  void Init(const BatchGroupPlan *plan, const MaskAllocator &allocator, uint32_t limit, uint64_t seed) noexcept;

  /// Adds rows, given their columns and weights (-1 or +1). Where left[r] is not zero a row must not be summed here. Returns how
  /// many rows are left to the caller, and which in left: those of them, and of others, that no condition rejects.
  uint32_t Add(uint32_t nrows, const BatchColumnValues *columns, const int8_t *weights, uint8_t *left) noexcept;

  /// What a group is to another process: so many integers.
  size_t width() const noexcept { return stride_; }
  /// Copies groups, column by column: width() columns of n values, which begin with the keys.
  void CopyColumns(uint32_t first, uint32_t n, int64_t *columns) const noexcept;
  /// Adds groups that others of the same plan gathered, whatever the limit, as CopyColumns gives them. keys: their keys instead.
  void Merge(uint32_t n, const int64_t *columns, const int64_t *const *keys) noexcept;

  /// Forgets all groups; the caller has taken back all memory that was allocated.
  void Forget() noexcept;

  /// Number of groups; they are numbered from 0 in order of appearance.
  uint32_t count() const noexcept { return count_; }
  /// The values of a group's keys.
  const int64_t *Keys(uint32_t group) const noexcept { return Record(group); }
  /// Rows that came less rows that went.
  int64_t Net(uint32_t group) const noexcept { return Record(group)[plan_->nkeys]; }
  /// What became of sum `i` in a group.
  BatchSumValue Value(uint32_t group, int i) const noexcept;

 private:
  const int64_t *Record(uint32_t group) const noexcept { return records_ + (static_cast<size_t>(group) + 1) * stride_; }
  void MakeRoomForRows(uint32_t nrows) noexcept;
  uint32_t FindGroups(uint32_t nrows, const BatchColumnValues *columns, uint8_t *left) noexcept;
  uint32_t FindByKeys(uint32_t nrows, const int64_t *const *keys, uint8_t *left) noexcept;
  template <int kKeys>
  uint32_t FindGroupsOf(uint32_t nrows, const int64_t *const *keys, uint8_t *left) noexcept;
  // Copies of what finds groups: a loop that writes bytes would read the members anew with every row.
  struct AtHand {
    const int64_t *records;
    const uint32_t *directory;
    uint64_t mask;
    size_t stride;
  };
  AtHand Hand() const noexcept { return {records_, directory_, capacity_ - 1, stride_}; }
  template <int kKeys>
  uint32_t Find(const int64_t *const *keys, uint32_t row, uint64_t hash, AtHand *at_hand) noexcept;
  uint32_t FindOnlyGroup(uint32_t nrows, const uint8_t *left) noexcept;
  bool AddToOnlyGroup(BatchSumKind kind, int64_t *at, uint32_t nrows, const int64_t *values, const int8_t *weights) const noexcept;
  void ChooseNear(uint32_t nrows, const int64_t *keys, const uint8_t *left) noexcept;
  uint32_t FindGroupsNear(uint32_t nrows, const int64_t *keys, uint8_t *left) noexcept;
  bool Approach(int64_t least, int64_t greatest) noexcept;
  template <int kKeys>
  void Hash(uint32_t nrows, const int64_t *const *keys) noexcept;
  void MakeRoomForGroups() noexcept;
  uint32_t NewGroup() noexcept;
  void GrowDirectory() noexcept;
  void MergeSum(BatchSumKind kind, int slot, uint32_t n, const int64_t *columns) noexcept;
  void AddSum(const BatchSum &sum, int slot, uint32_t nrows, const BatchColumnValues *columns, const int8_t *weights) noexcept;

  const BatchGroupPlan *plan_;
  MaskAllocator allocator_;
  uint32_t limit_, count_;
  uint64_t seed_;
  size_t stride_;        // integers of a group: its keys, its net rows, its sums
  // Group g is record g + 1. Record 0 takes what is of no group.
  int64_t *records_;
  uint32_t room_;        // records there is memory for
  uint32_t *directory_;  // open addressing over numbers of records; 0: free
  uint64_t capacity_;    // a power of two, or 0
  // Of one key: the records of near_size_ keys from near_from_ on; 0: not known. nullptr: not in use.
  uint32_t *near_;
  uint64_t near_from_, near_size_;
  uint32_t keys_seen_;  // until that is decided
  int64_t least_key_, greatest_key_;
  // Of the rows that are added.
  uint32_t rows_room_;
  uint64_t *hashes_;     // of each row's keys
  uint32_t *groups_;     // of each row, the number of its record
  uint8_t *passed_;      // 1: it passes the conditions
  uint8_t *counts_;      // 1: it passes those of a sum
};

}  // namespace pgstream
