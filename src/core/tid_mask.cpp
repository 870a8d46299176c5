// The mask's hash table, slabs and ordered iteration; the contract is in the header file.
#include "core/tid_mask.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace pgstream {

static_assert(std::is_trivial_v<TidMask> && std::is_trivial_v<TidMaskIterator>,
              "masks live in frames that an error may jump over");

namespace {

constexpr uint32_t kFirstSlots = 16;
constexpr uint32_t kFirstSlabBitmaps = 8;
constexpr uint32_t kMaxSlabBitmaps = 1024;

/// Bitmaps of a slab start right behind its header.
uint64_t *SlabBitmap(TidMask::Slab *slab, uint32_t index, uint32_t nwords) noexcept {
  return reinterpret_cast<uint64_t *>(slab + 1) + static_cast<size_t>(index) * nwords;
}

}  // namespace

void TidMask::Init(const MaskAllocator &allocator, uint32_t max_offset) noexcept {
  allocator_ = allocator;
  slots_ = nullptr;
  slabs_ = nullptr;
  memory_ = 0;
  count_ = 0;
  nslots_ = 0;
  nused_ = 0;
  shift_ = 63;
  max_offset_ = std::clamp<uint32_t>(max_offset, 1, kMaxOffset);
  nwords_ = (max_offset_ + 63) / 64;
}

TidMask::Slot *TidMask::Find(uint32_t block) const noexcept {
  if (nslots_ == 0)
    return nullptr;
  for (uint32_t i = Home(block);; i = (i + 1) & (nslots_ - 1)) {
    if (slots_[i].words == nullptr)
      return nullptr;
    if (slots_[i].block == block)
      return &slots_[i];
  }
}

/// Doubles the table. The new one is complete before the old one is given up.
bool TidMask::Grow() noexcept {
  uint32_t nslots = nslots_ == 0 ? kFirstSlots : nslots_ * 2;
  if (nslots == 0)
    return false;  // 2^32 slots: out of any memory before this
  size_t size = static_cast<size_t>(nslots) * sizeof(Slot);
  Slot *slots = static_cast<Slot *>(allocator_.allocate(allocator_.context, size));
  if (slots == nullptr)
    return false;
  std::memset(static_cast<void *>(slots), 0, size);

  Slot *old = slots_;
  uint32_t nold = nslots_;
  slots_ = slots;
  nslots_ = nslots;
  shift_ = 64;
  for (uint32_t n = nslots; n > 1; n /= 2)
    shift_--;
  for (uint32_t i = 0; i < nold; i++) {
    if (old[i].words == nullptr)
      continue;
    uint32_t to = Home(old[i].block);
    while (slots_[to].words != nullptr)
      to = (to + 1) & (nslots_ - 1);
    slots_[to] = old[i];
  }
  memory_ += size;
  if (old != nullptr) {
    memory_ -= static_cast<size_t>(nold) * sizeof(Slot);
    allocator_.release(allocator_.context, old);
  }
  return true;
}

/// A cleared bitmap, or null.
uint64_t *TidMask::NewBitmap() noexcept {
  if (slabs_ == nullptr || slabs_->used == slabs_->capacity) {
    uint32_t capacity = slabs_ == nullptr ? kFirstSlabBitmaps : std::min(slabs_->capacity * 2, kMaxSlabBitmaps);
    size_t size = sizeof(Slab) + static_cast<size_t>(capacity) * nwords_ * sizeof(uint64_t);
    Slab *slab = static_cast<Slab *>(allocator_.allocate(allocator_.context, size));
    if (slab == nullptr)
      return nullptr;
    *slab = {slabs_, 0, capacity};
    slabs_ = slab;
    memory_ += size;
  }
  uint64_t *words = SlabBitmap(slabs_, slabs_->used++, nwords_);
  std::memset(words, 0, nwords_ * sizeof(uint64_t));
  return words;
}

/// The block's slot; a new one has an empty bitmap, which the set reports as absent until a bit is set.
TidMask::Slot *TidMask::FindOrAdd(uint32_t block) noexcept {
  Slot *slot = Find(block);
  if (slot != nullptr)
    return slot;
  // At most two thirds full, so that a probe for an absent block stays short.
  if (static_cast<uint64_t>(nused_ + 1) * 3 > static_cast<uint64_t>(nslots_) * 2 && !Grow())
    return nullptr;
  uint64_t *words = NewBitmap();
  if (words == nullptr)
    return nullptr;
  uint32_t i = Home(block);
  while (slots_[i].words != nullptr)
    i = (i + 1) & (nslots_ - 1);
  slots_[i] = {words, block, 0};
  nused_++;
  return &slots_[i];
}

MaskInsert TidMask::Insert(uint32_t block, uint32_t offset) noexcept {
  if (offset == 0 || offset > max_offset_)
    return MaskInsert::kBadOffset;
  Slot *slot = FindOrAdd(block);
  if (slot == nullptr)
    return MaskInsert::kNoMemory;
  if (TestBit(slot->words, offset))
    return MaskInsert::kPresent;
  slot->words[(offset - 1) / 64] |= UINT64_C(1) << ((offset - 1) % 64);
  slot->nset++;
  count_++;
  return MaskInsert::kAdded;
}

bool TidMask::Remove(uint32_t block, uint32_t offset) noexcept {
  if (offset == 0 || offset > max_offset_)
    return false;
  Slot *slot = Find(block);
  if (slot == nullptr || !TestBit(slot->words, offset))
    return false;
  slot->words[(offset - 1) / 64] &= ~(UINT64_C(1) << ((offset - 1) % 64));
  slot->nset--;
  count_--;
  return true;
}

bool TidMask::Clone(const MaskAllocator &allocator, TidMask *copy) const noexcept {
  copy->Init(allocator, max_offset_);
  for (uint32_t i = 0; i < nslots_; i++) {
    if (slots_[i].words == nullptr || slots_[i].nset == 0)
      continue;
    Slot *slot = copy->FindOrAdd(slots_[i].block);
    if (slot == nullptr)
      return false;
    std::memcpy(slot->words, slots_[i].words, nwords_ * sizeof(uint64_t));
    slot->nset = slots_[i].nset;
    copy->count_ += slots_[i].nset;
  }
  return true;
}

void TidMask::Free() noexcept {
  Slot *slots = slots_;
  Slab *slab = slabs_;
  Init(allocator_, max_offset_);
  if (slots != nullptr)
    allocator_.release(allocator_.context, slots);
  while (slab != nullptr) {
    Slab *next = slab->next;
    allocator_.release(allocator_.context, slab);
    slab = next;
  }
}

bool TidMaskIterator::Begin(const TidMask &mask) noexcept {
  mask_ = &mask;
  sorted_ = nullptr;
  nsorted_ = 0;
  next_ = 0;
  word_ = 0;
  rest_ = 0;
  words_ = nullptr;
  if (mask.count_ == 0)
    return true;
  size_t size = static_cast<size_t>(mask.nused_) * sizeof(TidMask::Slot);
  sorted_ = static_cast<TidMask::Slot *>(mask.allocator_.allocate(mask.allocator_.context, size));
  if (sorted_ == nullptr)
    return false;
  for (uint32_t i = 0; i < mask.nslots_; i++) {
    if (mask.slots_[i].words != nullptr && mask.slots_[i].nset > 0)
      sorted_[nsorted_++] = mask.slots_[i];
  }
  std::sort(sorted_, sorted_ + nsorted_,
            [](const TidMask::Slot &a, const TidMask::Slot &b) { return a.block < b.block; });
  return true;
}

bool TidMaskIterator::NextBlock(uint32_t *block, const uint64_t **words) noexcept {
  if (next_ == nsorted_)
    return false;
  *block = sorted_[next_].block;
  *words = sorted_[next_].words;
  next_++;
  return true;
}

bool TidMaskIterator::Next(uint32_t *block, uint32_t *offset) noexcept {
  while (rest_ == 0) {
    if (words_ != nullptr && word_ + 1 < mask_->nwords_) {
      word_++;
    } else {
      if (next_ == nsorted_)
        return false;
      words_ = sorted_[next_++].words;
      word_ = 0;
    }
    rest_ = words_[word_];
  }
  *block = sorted_[next_ - 1].block;
  *offset = word_ * 64 + static_cast<uint32_t>(__builtin_ctzll(rest_)) + 1;
  rest_ &= rest_ - 1;
  return true;
}

void TidMaskIterator::End() noexcept {
  if (sorted_ != nullptr)
    mask_->allocator_.release(mask_->allocator_.context, sorted_);
  sorted_ = nullptr;
  nsorted_ = 0;
  next_ = 0;
  rest_ = 0;
  words_ = nullptr;
}

}  // namespace pgstream
