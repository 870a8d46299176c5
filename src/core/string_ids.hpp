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

  /// The numbers of rows' strings. A row whose bit in `nulls` (low bit first; nullptr: none) is set has none, and nothing of it is looked
  /// at; left[r] is set, and ids[r] is of no use, where a new string is beyond the limit.
  void IdsOf(uint32_t nrows, const uint8_t *const *data, const uint32_t *sizes, const uint8_t *nulls, int64_t *ids, uint8_t *left) noexcept;

  /// The same of rows that all have one, whatever the limit of bytes.
  void Add(uint32_t nrows, const uint8_t *const *data, const uint32_t *sizes, int64_t *ids, uint8_t *left) noexcept;

  uint32_t count() const noexcept { return count_; }

  /// The bytes of a number's string.
  const uint8_t *Bytes(int64_t id, uint32_t *size) const noexcept {
    *size = entries_[id].size;
    return entries_[id].data;
  }

  /// Forgets all; the caller has taken back all memory.
  void Forget() noexcept;

 private:
  struct Entry {
    uint64_t first, last;  // the words of its ends: all of it, up to 16 bytes
    const uint8_t *data;
    uint32_t size;
    uint32_t hash;
  };
  struct Ends;
  int64_t Find(const Ends &ends, uint32_t hash, const uint8_t *data, uint32_t size) noexcept;
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
