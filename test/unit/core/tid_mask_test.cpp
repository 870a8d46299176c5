// The mask against std::set, its memory, and allocators that fail by null and by longjmp.
#include "core/tid_mask.hpp"

#include <gtest/gtest.h>

#include <csetjmp>
#include <cstdlib>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace pgstream {
namespace {

using Tid = std::pair<uint32_t, uint32_t>;

/// An allocator that counts what is out, and fails on demand: after `budget` allocations, by null or by longjmp.
struct Counter {
  std::set<void *> out;
  long budget = -1;  // -1: never fails
  bool jumps = false;
  std::jmp_buf target;

  static void *Allocate(void *context, size_t size) {
    Counter *self = static_cast<Counter *>(context);
    if (self->budget == 0) {
      if (self->jumps)
        std::longjmp(self->target, 1);
      return nullptr;
    }
    if (self->budget > 0)
      self->budget--;
    void *memory = std::malloc(size);
    self->out.insert(memory);
    return memory;
  }
  static void Release(void *context, void *memory) {
    Counter *self = static_cast<Counter *>(context);
    EXPECT_EQ(1u, self->out.erase(memory)) << "released what is not out";
    std::free(memory);
  }
  MaskAllocator allocator() { return {Allocate, Release, this}; }
  ~Counter() {
    EXPECT_EQ(0u, out.size()) << "leaked";
    for (void *memory : out)
      std::free(memory);
  }
};

void ExpectEqual(const TidMask &mask, const std::set<Tid> &model) {
  ASSERT_EQ(model.size(), mask.count());
  TidMaskIterator it;
  ASSERT_TRUE(it.Begin(mask));
  uint32_t block, offset;
  for (const Tid &tid : model) {
    ASSERT_TRUE(it.Next(&block, &offset));
    ASSERT_EQ(tid, Tid(block, offset));
    ASSERT_TRUE(mask.Contains(block, offset));
  }
  EXPECT_FALSE(it.Next(&block, &offset));
  EXPECT_FALSE(it.Next(&block, &offset));
  it.End();

  std::set<uint32_t> blocks;
  for (const Tid &tid : model)
    blocks.insert(tid.first);
  ASSERT_TRUE(it.Begin(mask));
  const uint64_t *words;
  for (uint32_t expected : blocks) {
    ASSERT_TRUE(it.NextBlock(&block, &words));
    ASSERT_EQ(expected, block);
    ASSERT_EQ(words, mask.Block(block));
  }
  EXPECT_FALSE(it.NextBlock(&block, &words));
  it.End();
}

TEST(TidMask, EmptyTakesNoMemory) {
  Counter counter;
  TidMask mask;
  mask.Init(counter.allocator());
  EXPECT_EQ(0u, mask.count());
  EXPECT_EQ(0u, mask.memory());
  EXPECT_EQ(nullptr, mask.Block(0));
  EXPECT_FALSE(mask.Contains(0, 1));
  EXPECT_FALSE(mask.Remove(0, 1));
  ExpectEqual(mask, {});
  mask.Free();
}

TEST(TidMask, EdgesOfBlocksAndOffsets) {
  Counter counter;
  TidMask mask;
  mask.Init(counter.allocator());
  std::set<Tid> model;
  for (uint32_t block : {0u, 1u, 0x7FFFFFFFu, 0xFFFFFFFEu, 0xFFFFFFFFu}) {
    for (uint32_t offset : {1u, 63u, 64u, 65u, 291u, 2047u, 2048u}) {
      EXPECT_FALSE(mask.Contains(block, offset));
      EXPECT_EQ(MaskInsert::kAdded, mask.Insert(block, offset));
      EXPECT_EQ(MaskInsert::kPresent, mask.Insert(block, offset));
      model.insert({block, offset});
    }
    EXPECT_EQ(MaskInsert::kBadOffset, mask.Insert(block, 0));
    EXPECT_EQ(MaskInsert::kBadOffset, mask.Insert(block, 2049));
    EXPECT_FALSE(mask.Contains(block, 0));
    EXPECT_FALSE(mask.Contains(block, 2049));
    EXPECT_FALSE(mask.Contains(block, 0xFFFFFFFF));
  }
  EXPECT_EQ(32u, mask.words());
  ExpectEqual(mask, model);
  mask.Free();
}

TEST(TidMask, BitmapWordsHoldTheOffsets) {
  Counter counter;
  TidMask mask;
  mask.Init(counter.allocator(), 291);
  EXPECT_EQ(5u, mask.words());
  mask.Insert(7, 1);
  mask.Insert(7, 66);
  const uint64_t *words = mask.Block(7);
  ASSERT_NE(nullptr, words);
  EXPECT_EQ(1u, words[0]);
  EXPECT_EQ(2u, words[1]);
  EXPECT_EQ(0u, words[2]);
  EXPECT_TRUE(TidMask::TestBit(words, 66));
  EXPECT_FALSE(TidMask::TestBit(words, 65));
  EXPECT_EQ(MaskInsert::kBadOffset, mask.Insert(7, 292));
  EXPECT_TRUE(mask.Remove(7, 1));
  EXPECT_NE(nullptr, mask.Block(7));
  EXPECT_TRUE(mask.Remove(7, 66));
  EXPECT_FALSE(mask.Remove(7, 66));
  EXPECT_EQ(nullptr, mask.Block(7));
  EXPECT_EQ(MaskInsert::kAdded, mask.Insert(7, 2));
  EXPECT_EQ(2u, mask.Block(7)[0]);
  mask.Free();
}

TEST(TidMask, LimitIsClamped) {
  Counter counter;
  TidMask mask;
  mask.Init(counter.allocator(), 0);
  EXPECT_EQ(1u, mask.max_offset());
  mask.Init(counter.allocator(), 5000);
  EXPECT_EQ(2048u, mask.max_offset());
}

TEST(TidMask, AsTheModelUnderRandomChange) {
  std::mt19937_64 rng(11);
  for (uint32_t nblocks : {1u, 20u, 3000u}) {
    Counter counter;
    TidMask mask;
    mask.Init(counter.allocator(), 291);
    std::set<Tid> model;
    for (int step = 0; step < 30000; step++) {
      uint32_t block = static_cast<uint32_t>(rng() % nblocks) * (nblocks == 20 ? 0x10000001u : 1u);
      uint32_t offset = static_cast<uint32_t>(rng() % 291) + 1;
      if (rng() % 3 != 0) {
        bool added = model.insert({block, offset}).second;
        ASSERT_EQ(added ? MaskInsert::kAdded : MaskInsert::kPresent, mask.Insert(block, offset));
      } else {
        ASSERT_EQ(model.erase({block, offset}) == 1, mask.Remove(block, offset));
      }
      ASSERT_EQ(model.count({block, offset}) == 1, mask.Contains(block, offset));
    }
    ExpectEqual(mask, model);
    for (const Tid &tid : std::set<Tid>(model))
      ASSERT_TRUE(mask.Remove(tid.first, tid.second));
    ExpectEqual(mask, {});
    mask.Free();
    EXPECT_EQ(0u, mask.memory());
    EXPECT_EQ(MaskInsert::kAdded, mask.Insert(3, 4));  // usable again
    mask.Free();
  }
}

TEST(TidMask, BitmapsDoNotMove) {
  Counter counter;
  TidMask mask;
  mask.Init(counter.allocator(), 291);
  mask.Insert(5, 5);
  const uint64_t *words = mask.Block(5);
  for (uint32_t block = 0; block < 5000; block++)
    mask.Insert(block, 1);
  EXPECT_EQ(words, mask.Block(5));
  // 5 words a block, a slot of 16 bytes at a load of at least a third, and room ahead in the newest slab.
  EXPECT_LT(mask.memory(), 5000u * 40 + 1024u * 40 + 16384u * 16 + 1000u);
  EXPECT_GT(mask.memory(), 5000u * 40 + 5000u * 16);
  mask.Free();
}

TEST(TidMask, CloneIsEqualAndApart) {
  std::mt19937_64 rng(12);
  Counter first, second;
  TidMask mask, copy;
  mask.Init(first.allocator(), 291);
  std::set<Tid> model;
  for (int i = 0; i < 5000; i++) {
    Tid tid(static_cast<uint32_t>(rng() % 700), static_cast<uint32_t>(rng() % 291) + 1);
    mask.Insert(tid.first, tid.second);
    model.insert(tid);
  }
  for (uint32_t offset = 1; offset <= 291; offset++) {  // an emptied block is not copied
    mask.Remove(3, offset);
    model.erase({3, offset});
  }
  ASSERT_TRUE(mask.Clone(second.allocator(), &copy));
  ExpectEqual(copy, model);
  copy.Insert(9999, 1);
  copy.Remove(model.begin()->first, model.begin()->second);
  ExpectEqual(mask, model);
  mask.Free();
  model.erase(model.begin());
  model.insert({9999, 1});
  ExpectEqual(copy, model);
  copy.Free();
}

/// Inserts into a mask whose allocator fails at its `budget`-th allocation; the set must hold what was added before,
/// and go on working once memory is there again. volatile: the values are read after a longjmp.
void FailAt(long budget, bool jumps) {
  Counter counter;
  counter.jumps = jumps;
  counter.budget = budget;
  TidMask mask;
  mask.Init(counter.allocator(), 291);
  volatile uint32_t added = 0;
  if (setjmp(counter.target) == 0) {
    while (added < 2000 && mask.Insert(added, 1 + added % 291) == MaskInsert::kAdded)
      added = added + 1;
  }
  ASSERT_LT(added, 2000u) << "the budget was not met";
  std::set<Tid> model;
  for (uint32_t block = 0; block < added; block++)
    model.insert({block, 1 + block % 291});
  counter.budget = -1;
  ExpectEqual(mask, model);
  ASSERT_EQ(nullptr, mask.Block(added));
  for (uint32_t block = added; block < 2000; block++) {
    ASSERT_EQ(MaskInsert::kAdded, mask.Insert(block, 1 + block % 291));
    model.insert({block, 1 + block % 291});
  }
  ExpectEqual(mask, model);
  mask.Free();
}

TEST(TidMask, SurvivesAnAllocatorThatFails) {
  for (long budget = 0; budget < 14; budget++) {
    FailAt(budget, false);
    FailAt(budget, true);
  }
}

TEST(TidMask, CloneAndIteratorReportMissingMemory) {
  Counter good, bad;
  TidMask mask, copy;
  mask.Init(good.allocator(), 291);
  for (uint32_t block = 0; block < 1000; block++)
    mask.Insert(block, 1);
  bad.budget = 3;
  EXPECT_FALSE(mask.Clone(bad.allocator(), &copy));
  EXPECT_LT(copy.count(), 1000u);
  copy.Free();
  good.budget = 0;
  TidMaskIterator it;
  uint32_t block, offset;
  EXPECT_FALSE(it.Begin(mask));
  EXPECT_FALSE(it.Next(&block, &offset));
  good.budget = -1;
  mask.Free();
}

}  // namespace
}  // namespace pgstream
