// Adding rows to groups; see batch_groups.hpp.
//
// Three passes over the rows, each a loop over one column: which rows pass, which group each is of (batch_directory.cpp), what
// each adds. Rows of no group add to a group that nobody reads, so that the loops need not ask.
#include "core/batch_groups.hpp"

#include "core/batch_format.hpp"

#include <cstring>
#include <type_traits>

namespace pgstream {

using batch_format::GetBit;

namespace {

int SlotsOf(BatchSumKind kind) noexcept {
  switch (kind) {
    case BatchSumKind::kCount:
      return 1;
    case BatchSumKind::kSum:
      return 2;
    case BatchSumKind::kWideSum:
      return 3;
    default:
      return 4;
  }
}

// Sums go modulo their width.
int64_t Plus(int64_t a, int64_t b) noexcept { return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); }

int64_t Times(int64_t value, int weight) noexcept {
  return static_cast<int64_t>(static_cast<uint64_t>(value) * static_cast<uint64_t>(static_cast<int64_t>(weight)));
}

WideInteger LoadWide(const int64_t *slots) noexcept {
  WideInteger value;
  std::memcpy(&value, slots, sizeof(value));
  return value;
}

template <class Compare>
void Filter(const int64_t *values, uint32_t nrows, int64_t constant, uint8_t *passed, Compare compare) noexcept {
  for (uint32_t r = 0; r < nrows; r++) passed[r] = static_cast<uint8_t>(passed[r] & static_cast<uint8_t>(compare(values[r], constant)));
}

void FilterBy(BatchComparison comparison, const int64_t *values, uint32_t nrows, int64_t constant, uint8_t *passed) noexcept {
  switch (comparison) {
    case BatchComparison::kEqual:
      return Filter(values, nrows, constant, passed, [](int64_t a, int64_t b) { return a == b; });
    case BatchComparison::kNotEqual:
      return Filter(values, nrows, constant, passed, [](int64_t a, int64_t b) { return a != b; });
    case BatchComparison::kLess:
      return Filter(values, nrows, constant, passed, [](int64_t a, int64_t b) { return a < b; });
    case BatchComparison::kLessEqual:
      return Filter(values, nrows, constant, passed, [](int64_t a, int64_t b) { return a <= b; });
    case BatchComparison::kGreater:
      return Filter(values, nrows, constant, passed, [](int64_t a, int64_t b) { return a > b; });
    case BatchComparison::kGreaterEqual:
      return Filter(values, nrows, constant, passed, [](int64_t a, int64_t b) { return a >= b; });
  }
}

// Clears passed[r] where a condition is not true.
void Decide(uint32_t nrows, int nconditions, const BatchCondition *conditions, const BatchColumnValues *columns, uint8_t *passed) noexcept {
  std::memset(passed, 1, nrows);
  for (int i = 0; i < nconditions; i++) {
    const BatchColumnValues &column = columns[conditions[i].column];
    if (column.all_null) {
      std::memset(passed, 0, nrows);
      return;
    }
    FilterBy(conditions[i].comparison, column.values, nrows, conditions[i].constant, passed);
    if (column.nulls == nullptr) continue;
    for (uint32_t r = 0; r < nrows; r++)
      if (GetBit(column.nulls, r)) passed[r] = 0;
  }
}

// Calls visit(row) for each row that counts and whose value is not null.
template <class Visit>
void ForValues(uint32_t nrows, const uint8_t *nulls, const uint8_t *counts, Visit visit) noexcept {
  if (nulls == nullptr && counts == nullptr) {
    for (uint32_t r = 0; r < nrows; r++) visit(r);
  } else {
    for (uint32_t r = 0; r < nrows; r++)
      if ((nulls == nullptr || !GetBit(nulls, r)) && (counts == nullptr || counts[r] != 0)) visit(r);
  }
}

// The sum of a term per row over the rows of the only group (number 1): in registers, where the general loops wait for memory.
template <class Total, class Term>
Total TotalOf(uint32_t nrows, const uint32_t *groups, Term term) noexcept {
  Total total = 0;
  for (uint32_t r = 0; r < nrows; r++) total += static_cast<Total>(groups[r]) * term(r);
  return total;
}

}  // namespace

static_assert(std::is_trivially_destructible_v<BatchGroups>, "an error may jump over it");

void BatchGroups::Init(const BatchGroupPlan *plan, const MaskAllocator &allocator, uint32_t limit, uint64_t seed) noexcept {
  *this = BatchGroups();
  plan_ = plan;
  allocator_ = allocator;
  limit_ = limit;
  seed_ = seed;
  stride_ = static_cast<size_t>(plan->nkeys) + 1;
  for (int i = 0; i < plan->nsums; i++) stride_ += static_cast<size_t>(SlotsOf(plan->sums[i].kind));
}

void BatchGroups::Forget() noexcept {
  const MaskAllocator allocator = allocator_;
  Init(plan_, allocator, limit_, seed_);
}

BatchSumValue BatchGroups::Value(uint32_t group, int i) const noexcept {
  const int64_t *slots = Record(group) + plan_->nkeys + 1;
  for (int before = 0; before < i; before++) slots += SlotsOf(plan_->sums[before].kind);
  BatchSumValue value = {slots[0], 0, false, 0, 0};
  switch (plan_->sums[i].kind) {
    case BatchSumKind::kCount:
      break;
    case BatchSumKind::kSum:
      value.sum = slots[1];
      break;
    case BatchSumKind::kWideSum:
      value.sum = LoadWide(slots + 1);
      break;
    default:
      value.any = slots[1] != 0;
      value.extreme = slots[2];
      value.net = slots[3];
  }
  return value;
}

void BatchGroups::MakeRoomForRows(uint32_t nrows) noexcept {
  if (nrows <= rows_room_) return;
  if (rows_room_ > 0) {
    allocator_.release(allocator_.context, hashes_);
    rows_room_ = 0;
  }
  const size_t room = (static_cast<size_t>(nrows) + 63) / 64 * 64;
  auto *memory = static_cast<uint8_t *>(allocator_.allocate(allocator_.context, room * (sizeof(uint64_t) + sizeof(uint32_t) + 2)));
  hashes_ = reinterpret_cast<uint64_t *>(memory);
  memory += room * sizeof(uint64_t);
  groups_ = reinterpret_cast<uint32_t *>(memory);
  passed_ = memory + room * sizeof(uint32_t);
  counts_ = passed_ + room;
  rows_room_ = static_cast<uint32_t>(room);
}

// --- What each adds ------------------------------------------------------------------------------------------------------

// AddSum where there are no keys and every value counts. False for what it does not do.
bool BatchGroups::AddToOnlyGroup(BatchSumKind kind, int64_t *at, uint32_t nrows, const int64_t *values, const int8_t *weights) const noexcept {
  if (kind == BatchSumKind::kLeast || kind == BatchSumKind::kGreatest) return false;
  at[0] += TotalOf<int64_t>(nrows, groups_, [=](uint32_t r) { return weights[r]; });
  if (kind == BatchSumKind::kSum) {
    const auto term = [=](uint32_t r) { return static_cast<uint64_t>(Times(values[r], weights[r])); };
    at[1] = Plus(at[1], static_cast<int64_t>(TotalOf<uint64_t>(nrows, groups_, term)));
  } else if (kind == BatchSumKind::kWideSum) {
    const auto term = [=](uint32_t r) { return static_cast<WideInteger>(values[r]) * weights[r]; };
    const WideInteger total = LoadWide(at + 1) + TotalOf<WideInteger>(nrows, groups_, term);
    std::memcpy(at + 1, &total, sizeof(total));
  }
  return true;
}

void BatchGroups::AddSum(const BatchSum &sum, int slot, uint32_t nrows, const BatchColumnValues *columns, const int8_t *weights) noexcept {
  const BatchColumnValues column = sum.column < 0 ? BatchColumnValues{nullptr, nullptr, false} : columns[sum.column];
  if (column.all_null) return;
  const uint8_t *const nulls = column.nulls;
  const uint8_t *const counts = sum.nconditions > 0 ? counts_ : nullptr;
  if (counts != nullptr) Decide(nrows, sum.nconditions, sum.conditions, columns, counts_);
  const int64_t *const values = column.values;
  const uint32_t *const groups = groups_;
  int64_t *const records = records_ + slot;
  const size_t stride = stride_;
  if (plan_->nkeys == 0 && nulls == nullptr && counts == nullptr && AddToOnlyGroup(sum.kind, records + stride, nrows, values, weights)) return;
  switch (sum.kind) {
    case BatchSumKind::kCount:
      return ForValues(nrows, nulls, counts, [=](uint32_t r) { records[groups[r] * stride] += weights[r]; });
    case BatchSumKind::kSum:
      return ForValues(nrows, nulls, counts, [=](uint32_t r) {
        int64_t *const at = records + groups[r] * stride;
        at[0] += weights[r];
        at[1] = Plus(at[1], Times(values[r], weights[r]));
      });
    case BatchSumKind::kWideSum:
      return ForValues(nrows, nulls, counts, [=](uint32_t r) {
        int64_t *const at = records + groups[r] * stride;
        at[0] += weights[r];
        // No product of 8 bytes and no sum of so few values leaves 16 bytes.
        const WideInteger total = LoadWide(at + 1) + static_cast<WideInteger>(values[r]) * weights[r];
        std::memcpy(at + 1, &total, sizeof(total));
      });
    case BatchSumKind::kLeast:
    case BatchSumKind::kGreatest: {
      const bool least = sum.kind == BatchSumKind::kLeast;
      return ForValues(nrows, nulls, counts, [=](uint32_t r) {
        int64_t *const at = records + groups[r] * stride;
        at[0] += weights[r];
        if (at[1] == 0 || (least ? values[r] < at[2] : values[r] > at[2])) {
          at[1] = 1;
          at[2] = values[r];
          at[3] = weights[r];
        } else if (values[r] == at[2]) {
          at[3] += weights[r];
        }
      });
    }
  }
}

uint32_t BatchGroups::Add(uint32_t nrows, const BatchColumnValues *columns, const int8_t *weights, uint8_t *left) noexcept {
  if (nrows == 0) return 0;
  MakeRoomForRows(nrows);
  Decide(nrows, plan_->nconditions, plan_->conditions, columns, passed_);
  const uint32_t nleft = FindGroups(nrows, columns, left);
  if (count_ == 0) return nleft;
  int64_t *const nets = records_ + plan_->nkeys;
  if (plan_->nkeys == 0)
    nets[stride_] += TotalOf<int64_t>(nrows, groups_, [=](uint32_t r) { return weights[r]; });
  else
    for (uint32_t r = 0; r < nrows; r++) nets[groups_[r] * stride_] += weights[r];
  int slot = plan_->nkeys + 1;
  for (int i = 0; i < plan_->nsums; i++) {
    AddSum(plan_->sums[i], slot, nrows, columns, weights);
    slot += SlotsOf(plan_->sums[i].kind);
  }
  return nleft;
}

// --- Groups that others gathered -----------------------------------------------------------------------------------------

void BatchGroups::CopyColumns(uint32_t first, uint32_t n, int64_t *columns) const noexcept {
  for (uint32_t group = 0; group < n; group++) {
    const int64_t *const record = Record(first + group);
    for (size_t i = 0; i < stride_; i++) columns[i * n + group] = record[i];
  }
}

void BatchGroups::MergeSum(BatchSumKind kind, int slot, uint32_t n, const int64_t *columns) noexcept {
  const uint32_t *const groups = groups_;
  int64_t *const records = records_ + slot;
  const size_t stride = stride_;
  const auto column = [=](int i) { return columns + (static_cast<size_t>(slot) + static_cast<size_t>(i)) * n; };
  const int64_t *const counts = column(0);
  for (uint32_t r = 0; r < n; r++) records[groups[r] * stride] += counts[r];
  switch (kind) {
    case BatchSumKind::kCount:
      return;
    case BatchSumKind::kSum:
      for (uint32_t r = 0; r < n; r++) {
        int64_t *const at = records + groups[r] * stride;
        at[1] = Plus(at[1], column(1)[r]);
      }
      return;
    case BatchSumKind::kWideSum:
      for (uint32_t r = 0; r < n; r++) {
        int64_t *const at = records + groups[r] * stride;
        const int64_t parts[] = {column(1)[r], column(2)[r]};
        const WideInteger total = LoadWide(at + 1) + LoadWide(parts);
        std::memcpy(at + 1, &total, sizeof(total));
      }
      return;
    case BatchSumKind::kLeast:
    case BatchSumKind::kGreatest:
      for (uint32_t r = 0; r < n; r++) {
        if (column(1)[r] == 0) continue;
        int64_t *const at = records + groups[r] * stride;
        const int64_t value = column(2)[r];
        if (at[1] == 0 || (kind == BatchSumKind::kLeast ? value < at[2] : value > at[2])) {
          at[1] = 1;
          at[2] = value;
          at[3] = column(3)[r];
        } else if (value == at[2]) {
          at[3] += column(3)[r];
        }
      }
      return;
  }
}

void BatchGroups::Merge(uint32_t n, const int64_t *columns, const int64_t *const *keys) noexcept {
  if (n == 0) return;
  MakeRoomForRows(n);
  std::memset(passed_, 1, n);
  std::memset(counts_, 0, n);
  const uint32_t limit = limit_;
  limit_ = UINT32_MAX / 2;
  (void)FindByKeys(n, keys, counts_);
  limit_ = limit;
  int slot = plan_->nkeys;
  const int64_t *const nets = columns + static_cast<size_t>(slot) * n;
  for (uint32_t r = 0; r < n; r++) records_[groups_[r] * stride_ + static_cast<size_t>(slot)] += nets[r];
  slot++;
  for (int i = 0; i < plan_->nsums; i++) {
    MergeSum(plan_->sums[i].kind, slot, n, columns);
    slot += SlotsOf(plan_->sums[i].kind);
  }
}

}  // namespace pgstream
