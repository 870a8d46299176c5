// Which group each row is of; see batch_groups.hpp.
//
// Groups are found by a hash of their keys, in a directory with open addressing. Where the one key is an integer, and those of
// the first rows are near each other, an array over the integers around them says it at once.
#include "core/batch_groups.hpp"

#include "core/batch_format.hpp"

#include <cstring>

namespace pgstream {

using batch_format::GetBit;

namespace {

constexpr uint32_t kFirstRoom = 256;
// So many rows before it is looked at, a group is fetched into the processor's caches.
constexpr uint32_t kAhead = 16;
// Groups of one integer are found without a hash where the keys of so many rows are among so many that follow each other.
constexpr uint32_t kRowsForNear = 4096;
constexpr uint64_t kLeastNear = 4096, kMostNear = uint64_t{1} << 19;

uint64_t Mix(uint64_t h) noexcept {
  h ^= h >> 32;
  h *= 0xD6E8FEB86659FD93u;
  h ^= h >> 32;
  return h;
}

}  // namespace

void BatchGroups::GrowDirectory() noexcept {
  const uint64_t capacity = capacity_ == 0 ? kFirstRoom * 2 : capacity_ * 2;
  auto *directory = static_cast<uint32_t *>(allocator_.allocate(allocator_.context, capacity * sizeof(uint32_t)));
  std::memset(directory, 0, capacity * sizeof(uint32_t));
  for (uint32_t group = 0; group < count_; group++) {
    const int64_t *keys = Keys(group);
    uint64_t hash = seed_;
    for (int i = 0; i < plan_->nkeys; i++) hash = Mix(hash ^ static_cast<uint64_t>(keys[i]));
    uint64_t at = hash & (capacity - 1);
    while (directory[at] != 0) at = (at + 1) & (capacity - 1);
    directory[at] = group + 1;
  }
  if (capacity_ > 0) allocator_.release(allocator_.context, directory_);
  directory_ = directory;
  capacity_ = capacity;
}

// Records of zeros for more groups.
void BatchGroups::MakeRoomForGroups() noexcept {
  const uint32_t room = room_ == 0 ? kFirstRoom : room_ * 2;
  auto *records = static_cast<int64_t *>(allocator_.allocate(allocator_.context, room * stride_ * sizeof(int64_t)));
  std::memset(records, 0, room * stride_ * sizeof(int64_t));
  if (room_ > 0) {
    std::memcpy(records, records_, room_ * stride_ * sizeof(int64_t));
    allocator_.release(allocator_.context, records_);
  }
  records_ = records;
  room_ = room;
}

uint32_t BatchGroups::NewGroup() noexcept {
  if (count_ + 2 > room_) MakeRoomForGroups();
  return ++count_;
}

// The hashes of all rows' keys. What is found by them lies anywhere in memory: it is fetched while other rows are hashed and found.
template <int kKeys>
void BatchGroups::Hash(uint32_t nrows, const int64_t *const *values) noexcept {
  const int nkeys = kKeys >= 0 ? kKeys : plan_->nkeys;
  const uint64_t seed = seed_, mask = capacity_ - 1;
  const uint32_t *const directory = directory_;
  uint64_t *const hashes = hashes_;
  for (uint32_t r = 0; r < nrows; r++) {
    uint64_t hash = seed;
    for (int i = 0; i < nkeys; i++) hash = Mix(hash ^ static_cast<uint64_t>(values[i][r]));
    hashes[r] = hash;
    __builtin_prefetch(&directory[hash & mask]);
  }
}

// The number of a row's record; 0 when its group is beyond the limit. What it needs of the groups is with the caller, in `at_hand`.
template <int kKeys>
uint32_t BatchGroups::Find(const int64_t *const *values, uint32_t row, uint64_t hash, AtHand *at_hand) noexcept {
  const int nkeys = kKeys >= 0 ? kKeys : plan_->nkeys;
  uint64_t at = hash & at_hand->mask;
  for (uint32_t found; (found = at_hand->directory[at]) != 0; at = (at + 1) & at_hand->mask) {
    const int64_t *keys = at_hand->records + found * at_hand->stride;
    int same = 0;
    while (same < nkeys && keys[same] == values[same][row]) same++;
    if (same == nkeys) return found;
  }
  if (count_ >= limit_) return 0;
  const uint32_t made = NewGroup();
  for (int i = 0; i < nkeys; i++) records_[made * stride_ + static_cast<size_t>(i)] = values[i][row];
  directory_[at] = made;
  // Half full at most.
  if (static_cast<uint64_t>(count_) * 2 > capacity_) GrowDirectory();
  *at_hand = Hand();
  return made;
}

template <int kKeys>
uint32_t BatchGroups::FindGroupsOf(uint32_t nrows, const int64_t *const *keys, uint8_t *left) noexcept {
  uint32_t nleft = 0;
  Hash<kKeys>(nrows, keys);
  AtHand at_hand = Hand();
  const uint64_t *const hashes = hashes_;
  const uint8_t *const passed = passed_;
  uint32_t *const groups = groups_;
  for (uint32_t r = 0; r < nrows; r++) {
    // The record that a later row is likely to be of.
    const uint32_t ahead = r + kAhead < nrows ? r + kAhead : r;
    const int64_t *const record = at_hand.records + at_hand.directory[hashes[ahead] & at_hand.mask] * at_hand.stride;
    __builtin_prefetch(record, 1);
    __builtin_prefetch(record + at_hand.stride - 1, 1);
    groups[r] = passed[r] != 0 && left[r] == 0 ? Find<kKeys>(keys, r, hashes[r], &at_hand) : 0;
    left[r] = static_cast<uint8_t>(left[r] | (passed[r] != 0 && groups[r] == 0));
    nleft += left[r];
  }
  return nleft;
}

// Looks at the keys of the first rows; what is near lies around them.
void BatchGroups::ChooseNear(uint32_t nrows, const int64_t *keys, const uint8_t *left) noexcept {
  int64_t least = keys_seen_ > 0 ? least_key_ : INT64_MAX, greatest = keys_seen_ > 0 ? greatest_key_ : INT64_MIN;
  uint32_t seen = 0;
  for (uint32_t r = 0; r < nrows; r++) {
    const bool counts = passed_[r] != 0 && left[r] == 0;
    least = counts && keys[r] < least ? keys[r] : least;
    greatest = counts && keys[r] > greatest ? keys[r] : greatest;
    seen += counts;
  }
  keys_seen_ += seen;
  least_key_ = least;
  greatest_key_ = greatest;
  if (keys_seen_ >= kRowsForNear) Approach(least, greatest);
}

// Makes these keys near, with as much room around them; what was near stays so, as it lies between them. False when they lie too far apart.
bool BatchGroups::Approach(int64_t least, int64_t greatest) noexcept {
  const uint64_t range = static_cast<uint64_t>(greatest) - static_cast<uint64_t>(least);
  if (range > kMostNear / 2) return false;
  uint64_t size = kLeastNear;
  while (size < range * 2) size *= 2;
  auto *near = static_cast<uint32_t *>(allocator_.allocate(allocator_.context, size * sizeof(uint32_t)));
  std::memset(near, 0, size * sizeof(uint32_t));
  const uint64_t from = static_cast<uint64_t>(least) - (size - range) / 2;
  if (near_ != nullptr) {
    const uint64_t known = static_cast<uint64_t>(greatest_key_) - static_cast<uint64_t>(least_key_) + 1;
    std::memcpy(near + (static_cast<uint64_t>(least_key_) - from), near_ + (static_cast<uint64_t>(least_key_) - near_from_),
                known * sizeof(uint32_t));
    allocator_.release(allocator_.context, near_);
  }
  near_ = near;
  near_size_ = size;
  near_from_ = from;
  least_key_ = least;
  greatest_key_ = greatest;
  return true;
}

// As FindGroupsOf<1>. Rows that are not near, or the first of their group, are found by hash.
uint32_t BatchGroups::FindGroupsNear(uint32_t nrows, const int64_t *keys, uint8_t *left) noexcept {
  const uint64_t from = near_from_, size = near_size_;
  const uint32_t *const near = near_;
  const int64_t *const records = records_;
  const size_t stride = stride_;
  const uint8_t *const passed = passed_;
  uint32_t *const groups = groups_;
  uint32_t unknown = 0, far = 0, nleft = 0;
  for (uint32_t r = 0; r < nrows; r++) {
    const uint64_t at = static_cast<uint64_t>(keys[r]) - from;
    const bool counts = passed[r] != 0 && left[r] == 0;
    groups[r] = counts && at < size ? near[at] : 0;
    __builtin_prefetch(records + groups[r] * stride, 1);
    __builtin_prefetch(records + (groups[r] + 1) * stride - 1, 1);
    unknown += counts && groups[r] == 0;
    nleft += left[r];
  }
  if (unknown == 0) return nleft;
  AtHand at_hand = Hand();
  int64_t least = least_key_, greatest = greatest_key_;
  for (uint32_t r = 0; r < nrows; r++) {
    if (groups[r] != 0 || passed[r] == 0 || left[r] != 0) continue;
    const uint64_t at = static_cast<uint64_t>(keys[r]) - from;
    groups[r] = Find<1>(&keys, r, Mix(seed_ ^ static_cast<uint64_t>(keys[r])), &at_hand);
    if (groups[r] == 0) {
      left[r] = 1;
      nleft++;
    } else if (at < size) {
      near_[at] = groups[r];
    } else {
      far++;
    }
    least = keys[r] < least ? keys[r] : least;
    greatest = keys[r] > greatest ? keys[r] : greatest;
  }
  if (far == 0) {
    least_key_ = least;
    greatest_key_ = greatest;
  } else if (!Approach(least, greatest) && far > nrows / 2) {
    // Keys have gone elsewhere, as those do that a sequence makes.
    allocator_.release(allocator_.context, near_);
    near_ = nullptr;
  }
  return nleft;
}

// Without keys all rows are of one group, which exists.
uint32_t BatchGroups::FindOnlyGroup(uint32_t nrows, const uint8_t *left) noexcept {
  const uint8_t *const passed = passed_;
  uint32_t *const groups = groups_;
  uint32_t nleft = 0;
  for (uint32_t r = 0; r < nrows; r++) {
    groups[r] = passed[r] != 0 && left[r] == 0;
    nleft += left[r];
  }
  return nleft;
}

uint32_t BatchGroups::FindByKeys(uint32_t nrows, const int64_t *const *keys, uint8_t *left) noexcept {
  if (capacity_ == 0) {
    GrowDirectory();
    MakeRoomForGroups();
  }
  switch (plan_->nkeys) {
    case 0:
      return count_ > 0 ? FindOnlyGroup(nrows, left) : FindGroupsOf<0>(nrows, keys, left);
    case 1:
      if (keys_seen_ < kRowsForNear) ChooseNear(nrows, keys[0], left);
      if (near_ != nullptr) return FindGroupsNear(nrows, keys[0], left);
      return FindGroupsOf<1>(nrows, keys, left);
    case 2:
      return FindGroupsOf<2>(nrows, keys, left);
    default:
      return FindGroupsOf<-1>(nrows, keys, left);
  }
}

uint32_t BatchGroups::FindGroups(uint32_t nrows, const BatchColumnValues *columns, uint8_t *left) noexcept {
  const int64_t *keys[kMostBatchKeys];
  for (int i = 0; i < plan_->nkeys; i++) {
    const BatchColumnValues &key = columns[plan_->keys[i]];
    keys[i] = key.values;
    if (key.all_null) {
      std::memset(left, 1, nrows);
    } else if (key.nulls != nullptr) {
      for (uint32_t r = 0; r < nrows; r++)
        if (GetBit(key.nulls, r)) left[r] = 1;
    }
  }
  for (uint32_t r = 0; r < nrows; r++) left[r] = static_cast<uint8_t>(left[r] & passed_[r]);
  return FindByKeys(nrows, keys, left);
}

}  // namespace pgstream
