// Memory for many small records that go all at once: one after the other in blocks, without a header each.
//
// A palloc rounds up to a power of two and adds a header, which doubles what small records take; they count against
// hash_mem. Promises: records never move and can be walked block by block. Refuses: to free one.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

struct ArenaBlock {
  ArenaBlock *next;
  Size used, size;  // of data
  char data[FLEXIBLE_ARRAY_MEMBER];
};

struct Arena {
  MemoryContext context;
  ArenaBlock *first, *last;
};

// Of blocks with more than one record.
inline constexpr Size kLargestArenaBlock = 1024 * 1024;

// Memory for one record, aligned for anything, in a block of the arena's context.
inline void *ArenaAllocate(Arena *arena, Size record_size) {
  constexpr Size kFirstBlock = 8 * 1024;
  const Size size = MAXALIGN(record_size);
  ArenaBlock *block = arena->last;
  if (block == nullptr || block->used + size > block->size) {
    const Size wanted = block == nullptr ? kFirstBlock : Min(block->size * 2, kLargestArenaBlock);
    const Size block_size = Max(wanted, size);
    block = static_cast<ArenaBlock *>(MemoryContextAllocHuge(arena->context, offsetof(ArenaBlock, data) + block_size));
    block->next = nullptr;
    block->used = 0;
    block->size = block_size;
    if (arena->last != nullptr)
      arena->last->next = block;
    else
      arena->first = block;
    arena->last = block;
  }
  void *const record = block->data + block->used;
  block->used += size;
  return record;
}

// Forgets all records; the caller resets the context.
inline void ForgetArena(Arena *arena) {
  arena->first = arena->last = nullptr;
}

}  // namespace pgstream
