// The mask: the set of base rows, by TID, that an overlay supersedes.
//
// Promises: O(1) probe of a block, a bit test for an offset, iteration in TID order; all memory comes from the caller's
// allocator and dies with it (or by Free); plain data without a destructor. Every change first gets its memory and then
// alters the set, so an allocator that leaves by longjmp loses nothing but what was being added.
// Refuses: offsets above the limit given at the start, and concurrent change (readers of a set that nobody changes are
// fine).
//
// Open-addressing hash, block -> bitmap. Bitmaps have one size for the whole set, bit (offset - 1), and are carved from
// slabs, so they never move: 291 line pointers (8 kB heap pages) take 40 bytes a block. A block whose last bit was
// cleared keeps its slot and bitmap until Clear, and is reported as absent.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pgstream {

/// Where a mask gets its memory. `allocate` returns memory aligned for uint64_t, or null, or does not return (longjmp);
/// it must not return memory that it later takes back. One piece may exceed 1 GB (the server needs its huge flag then).
/// Both get `context` as their first argument.
struct MaskAllocator {
  void *(*allocate)(void *context, size_t size);
  void (*release)(void *context, void *memory);
  void *context;
};

/// What TidMask::Insert did.
enum class MaskInsert : uint8_t {
  kAdded,
  kPresent,    ///< the TID was in the set before
  kBadOffset,  ///< offset 0 or above the limit: not inserted
  kNoMemory,   ///< the allocator returned null: not inserted
};

/// A set of (block, offset) pairs.
struct TidMask {
  /// Largest offset that any mask can hold.
  static constexpr uint32_t kMaxOffset = 2048;

  /// Makes the set empty without any memory. `max_offset` (1 .. kMaxOffset) sizes the bitmaps; a value outside is taken
  /// as the nearest bound. Memory of an earlier use is not released: Free does that.
  void Init(const MaskAllocator &allocator, uint32_t max_offset = kMaxOffset) noexcept;

  /// Adds a TID.
  MaskInsert Insert(uint32_t block, uint32_t offset) noexcept;

  /// Takes a TID out; true when it was in the set.
  bool Remove(uint32_t block, uint32_t offset) noexcept;

  /// True when the TID is in the set.
  bool Contains(uint32_t block, uint32_t offset) const noexcept {
    const uint64_t *words = Block(block);
    return words != nullptr && offset - 1 < max_offset_ && TestBit(words, offset);
  }

  /// The bitmap of a block, words() words long, or null when none of its TIDs is in the set. Valid until Clear or Free;
  /// later insertions into the block show in it.
  const uint64_t *Block(uint32_t block) const noexcept {
    if (count_ == 0)
      return nullptr;
    for (uint32_t i = Home(block);; i = (i + 1) & (nslots_ - 1)) {
      const Slot &slot = slots_[i];
      if (slot.words == nullptr)
        return nullptr;
      if (slot.block == block)
        return slot.nset > 0 ? slot.words : nullptr;
    }
  }

  /// Tests a bit of a bitmap that Block returned; 1 <= offset <= max_offset().
  static bool TestBit(const uint64_t *words, uint32_t offset) noexcept {
    return (words[(offset - 1) / 64] >> ((offset - 1) % 64) & 1) != 0;
  }

  /// Makes `*copy` (any state: it is initialized first, nothing of it is released) an equal set with memory of
  /// `allocator`. False when the allocator returned null: the copy then is a valid, incomplete set.
  bool Clone(const MaskAllocator &allocator, TidMask *copy) const noexcept;

  /// Empties the set and releases its memory. The set can be used again.
  void Free() noexcept;

  /// Number of TIDs in the set.
  uint64_t count() const noexcept { return count_; }
  /// Words of a bitmap.
  uint32_t words() const noexcept { return nwords_; }
  /// Largest offset that this set takes.
  uint32_t max_offset() const noexcept { return max_offset_; }
  /// Bytes taken from the allocator, for a memory budget.
  size_t memory() const noexcept { return memory_; }

  struct Slot {
    uint64_t *words;  // null: the slot is free
    uint32_t block;
    uint32_t nset;  // bits set in words
  };
  struct Slab {
    Slab *next;
    uint32_t used;      // bitmaps handed out
    uint32_t capacity;  // bitmaps it has room for; they follow this header
  };

 private:
  friend struct TidMaskIterator;

  /// Fibonacci hashing: consecutive blocks spread over the table. The table has at least two slots (shift < 64).
  uint32_t Home(uint32_t block) const noexcept {
    return static_cast<uint32_t>(block * UINT64_C(0x9E3779B97F4A7C15) >> shift_);
  }
  Slot *Find(uint32_t block) const noexcept;
  bool Grow() noexcept;
  uint64_t *NewBitmap() noexcept;
  Slot *FindOrAdd(uint32_t block) noexcept;

  MaskAllocator allocator_;
  Slot *slots_;
  Slab *slabs_;  // newest first; only the newest has room
  size_t memory_;
  uint64_t count_;
  uint32_t nslots_;  // power of two, or 0 before the first insertion
  uint32_t nused_;   // slots taken
  uint32_t shift_;   // 64 - log2(nslots_)
  uint32_t nwords_;
  uint32_t max_offset_;
};

/// TidMask::Contains for callers written in the server's style.
inline bool TidMaskContains(const TidMask *mask, uint32_t block, uint32_t offset) noexcept {
  return mask->Contains(block, offset);
}

/// Walks a mask in order of block and offset. The set must not change meanwhile.
struct TidMaskIterator {
  /// Starts; takes memory for the sorted blocks from the mask's allocator. False when that returned null.
  bool Begin(const TidMask &mask) noexcept;

  /// The next TID; false after the last.
  bool Next(uint32_t *block, uint32_t *offset) noexcept;

  /// The next block that has any TID in the set, with its bitmap; false after the last. Do not mix with Next.
  bool NextBlock(uint32_t *block, const uint64_t **words) noexcept;

  /// Releases the memory (or leave that to the allocator's context).
  void End() noexcept;

 private:
  const TidMask *mask_;
  TidMask::Slot *sorted_;
  uint32_t nsorted_;
  uint32_t next_;          // next entry of sorted_
  uint32_t word_;          // word of the current block that `rest_` belongs to
  uint64_t rest_;          // its bits that were not returned yet
  const uint64_t *words_;  // bitmap of the current block, null before the first
};

}  // namespace pgstream
