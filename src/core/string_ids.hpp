// Numbers for byte strings: equal bytes have one number, 0, 1, 2, ... in order of appearance.
//
// What makes group keys that are texts (of a deterministic collation), UUIDs and the like keys of batch_groups.hpp.
//
// Promises: a number and its bytes stay until the memory goes; what has a number keeps it, also beyond the limit. Plain data
// without a destructor; memory is the caller's, as in batch_groups.hpp. Refuses: to forget single strings.
#pragma once

#include "core/tid_mask.hpp"

namespace pgstream {

class StringIds {
 public:
  /// Empty, without memory. New strings are refused once about `limit` bytes are in use.
  void Init(const MaskAllocator &allocator, size_t limit, uint64_t seed) noexcept;

  /// The number of a string; -1 when it has none and the limit is reached.
  int64_t IdOf(const uint8_t *data, uint32_t size) noexcept;

  /// The bytes of a number's string.
  const uint8_t *Bytes(int64_t id, uint32_t *size) const noexcept {
    *size = entries_[id].size;
    return entries_[id].data;
  }

  /// Forgets all; the caller has taken back all memory.
  void Forget() noexcept;

 private:
  struct Entry {
    const uint8_t *data;
    uint32_t size;
    uint32_t hash;
  };
  void Grow() noexcept;
  const uint8_t *Keep(const uint8_t *data, uint32_t size) noexcept;

  MaskAllocator allocator_;
  size_t limit_, used_;
  uint64_t seed_;
  Entry *entries_;
  uint32_t *directory_;  // open addressing over numbers + 1; 0: free
  uint64_t capacity_;    // of the directory, a power of two; there is room for half as many entries
  uint32_t count_;
  uint8_t *block_;       // where the next bytes go
  size_t block_left_;
};

}  // namespace pgstream
