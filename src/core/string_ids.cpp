// Open addressing over strings; see string_ids.hpp.
#include "core/string_ids.hpp"

#include <cstring>
#include <type_traits>

namespace pgstream {
namespace {

constexpr uint64_t kFirstCapacity = 512;
constexpr size_t kBlockSize = 8192;

uint64_t Mix(uint64_t h) noexcept {
  h ^= h >> 32;
  h *= 0xD6E8FEB86659FD93u;
  h ^= h >> 32;
  h *= 0xD6E8FEB86659FD93u;
  return h ^ h >> 32;
}

uint32_t HashOf(const uint8_t *data, uint32_t size, uint64_t seed) noexcept {
  uint64_t hash = seed ^ size;
  uint64_t word;
  for (; size >= sizeof(word); size -= static_cast<uint32_t>(sizeof(word)), data += sizeof(word)) {
    std::memcpy(&word, data, sizeof(word));
    hash = Mix(hash ^ word);
  }
  word = 0;
  if (size > 0) std::memcpy(&word, data, size);
  return static_cast<uint32_t>(Mix(hash ^ word));
}

}  // namespace

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

int64_t StringIds::IdOf(const uint8_t *data, uint32_t size) noexcept {
  if (capacity_ == 0) Grow();
  const uint32_t hash = HashOf(data, size, seed_);
  uint64_t at = hash & (capacity_ - 1);
  for (uint32_t found; (found = directory_[at]) != 0; at = (at + 1) & (capacity_ - 1)) {
    const Entry &entry = entries_[found - 1];
    if (entry.hash == hash && entry.size == size && (size == 0 || std::memcmp(entry.data, data, size) == 0)) return found - 1;
  }
  if (used_ + size > limit_ || count_ >= UINT32_MAX / 4) return -1;
  const uint8_t *const kept = Keep(data, size);
  entries_[count_] = {kept, size, hash};
  directory_[at] = ++count_;
  const int64_t id = count_ - 1;
  // Half full at most, and room for one more entry.
  if (static_cast<uint64_t>(count_) * 2 >= capacity_) Grow();
  return id;
}

}  // namespace pgstream
