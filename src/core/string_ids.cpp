// Open addressing over strings; see string_ids.hpp.
//
// Some rows at a time are hashed before they are looked up: no hash waits for another, and what a lookup needs is on its way into the
// processor's caches meanwhile. Hashing multiplies 64 by 64 bits and folds the product, as wyhash does.
#include "core/string_ids.hpp"

#include "core/batch_format.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace pgstream {
namespace {

constexpr uint64_t kFirstCapacity = 512;
constexpr size_t kBlockSize = 8192;
constexpr uint32_t kRowsAtOnce = 64;
// So many rows before it is compared, an entry is fetched.
constexpr uint32_t kAhead = 8;

__extension__ typedef unsigned __int128 Product;

uint64_t Fold(uint64_t a, uint64_t b) noexcept {
  const Product product = static_cast<Product>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <class Word>
uint64_t LoadWord(const uint8_t *data) noexcept {
  Word word;
  std::memcpy(&word, data, sizeof(word));
  return word;
}

bool IsNull(const uint8_t *nulls, uint32_t row) noexcept { return nulls != nullptr && batch_format::GetBit(nulls, row); }

}  // namespace

// The words at both ends of a string. They overlap in one of less than 16 bytes; with the size they are all of one of up to 16.
struct StringIds::Ends {
  uint64_t first, last;

  Ends(const uint8_t *data, uint32_t size) noexcept {
    if (size >= 8) {
      first = LoadWord<uint64_t>(data);
      last = LoadWord<uint64_t>(data + size - 8);
    } else if (size >= 4) {
      first = LoadWord<uint32_t>(data);
      last = LoadWord<uint32_t>(data + size - 4);
    } else {
      first = size > 0 ? data[0] | static_cast<uint64_t>(data[size / 2]) << 8 | static_cast<uint64_t>(data[size - 1]) << 16 : 0;
      last = 0;
    }
  }

  uint32_t Hash(const uint8_t *data, uint32_t size, uint64_t seed) const noexcept {
    uint64_t hash = seed ^ size * 0xD6E8FEB86659FD93u;
    for (uint32_t at = 8; at + 8 < size; at += 8) hash = Fold(hash ^ LoadWord<uint64_t>(data + at), 0xA0761D6478BD642Fu);
    hash = Fold(first ^ hash, last ^ 0xE7037ED1A0B428DBu);
    return static_cast<uint32_t>(Fold(hash, seed | 1) >> 16);
  }
};

static_assert(std::is_trivially_destructible_v<StringIds>, "an error may jump over it");

void StringIds::Init(const MaskAllocator &allocator, size_t limit, uint64_t seed) noexcept {
  *this = StringIds();
  allocator_ = allocator;
  limit_ = limit;
  seed_ = seed;
}

void StringIds::Forget() noexcept {
  const MaskAllocator allocator = allocator_;
  Init(allocator, limit_, seed_);
}

void StringIds::Grow() noexcept {
  const uint64_t capacity = capacity_ == 0 ? kFirstCapacity : capacity_ * 2;
  auto *entries = static_cast<Entry *>(allocator_.allocate(allocator_.context, capacity / 2 * sizeof(Entry)));
  auto *directory = static_cast<uint32_t *>(allocator_.allocate(allocator_.context, capacity * sizeof(uint32_t)));
  std::memset(directory, 0, capacity * sizeof(uint32_t));
  if (capacity_ > 0) {
    std::memcpy(entries, entries_, count_ * sizeof(Entry));
    allocator_.release(allocator_.context, entries_);
    allocator_.release(allocator_.context, directory_);
    used_ -= capacity_ / 2 * (sizeof(Entry) + 2 * sizeof(uint32_t));
  }
  used_ += capacity / 2 * (sizeof(Entry) + 2 * sizeof(uint32_t));
  for (uint32_t i = 0; i < count_; i++) {
    uint64_t at = entries[i].hash & (capacity - 1);
    while (directory[at] != 0) at = (at + 1) & (capacity - 1);
    directory[at] = i + 1;
  }
  entries_ = entries;
  directory_ = directory;
  capacity_ = capacity;
}

const uint8_t *StringIds::Keep(const uint8_t *data, uint32_t size) noexcept {
  if (size > block_left_) {
    const size_t room = size > kBlockSize / 4 ? size : kBlockSize;
    auto *block = static_cast<uint8_t *>(allocator_.allocate(allocator_.context, room));
    used_ += room;
    if (room == size && room != kBlockSize) {
      std::memcpy(block, data, size);
      return block;
    }
    block_ = block;
    block_left_ = room;
  }
  uint8_t *const kept = block_;
  if (size > 0) std::memcpy(kept, data, size);
  block_ += size;
  block_left_ -= size;
  return kept;
}

int64_t StringIds::Find(const Ends &ends, uint32_t hash, const uint8_t *data, uint32_t size) noexcept {
  uint64_t at = hash & (capacity_ - 1);
  for (uint32_t found; (found = directory_[at]) != 0; at = (at + 1) & (capacity_ - 1)) {
    const Entry &entry = entries_[found - 1];
    if (entry.hash == hash && entry.size == size && entry.first == ends.first && entry.last == ends.last &&
        (size <= 16 || std::memcmp(entry.data + 8, data + 8, size - 16) == 0))
      return found - 1;
  }
  if (used_ + size > limit_ || count_ >= UINT32_MAX / 4) return -1;
  const uint8_t *const kept = Keep(data, size);
  entries_[count_] = {ends.first, ends.last, kept, size, hash};
  directory_[at] = ++count_;
  const int64_t id = count_ - 1;
  // Half full at most, and room for one more entry.
  if (static_cast<uint64_t>(count_) * 2 >= capacity_) Grow();
  return id;
}

void StringIds::IdsOf(uint32_t nrows, const uint8_t *const *data, const uint32_t *sizes, const uint8_t *nulls, int64_t *ids,
                      uint8_t *left) noexcept {
  if (capacity_ == 0) Grow();
  uint32_t hashes[kRowsAtOnce];
  for (uint32_t start = 0; start < nrows; start += kRowsAtOnce) {
    const uint32_t end = std::min(start + kRowsAtOnce, nrows);
    for (uint32_t r = start; r < end; r++) {
      hashes[r - start] = 0;
      if (IsNull(nulls, r)) continue;
      hashes[r - start] = Ends(data[r], sizes[r]).Hash(data[r], sizes[r], seed_);
      __builtin_prefetch(&directory_[hashes[r - start] & (capacity_ - 1)]);
    }
    for (uint32_t r = start; r < end; r++) {
      if (r + kAhead < end) {
        const uint32_t ahead = directory_[hashes[r + kAhead - start] & (capacity_ - 1)];
        if (ahead != 0) __builtin_prefetch(&entries_[ahead - 1]);
      }
      if (IsNull(nulls, r)) continue;
      ids[r] = Find(Ends(data[r], sizes[r]), hashes[r - start], data[r], sizes[r]);
      if (ids[r] < 0) left[r] = 1;
    }
  }
}

void StringIds::Add(uint32_t nrows, const uint8_t *const *data, const uint32_t *sizes, int64_t *ids, uint8_t *left) noexcept {
  const size_t limit = limit_;
  limit_ = SIZE_MAX;
  IdsOf(nrows, data, sizes, nullptr, ids, left);
  limit_ = limit;
}

}  // namespace pgstream
