// Areas of the server's shared memory, each of which has one owner among the sources.
//
// Promises: an area is there, zeroed before it is first started, from the server's start on, again after a crash. Refuses: where the
// library is not preloaded there is none, and `start` is not called.
#pragma once

#include "pg/includes.hpp"

extern "C" {
#include "port/atomics.h"
#include "storage/lwlock.h"
}

namespace pgstream {

struct SharedArea {
  const char *name;
  Size size;
  int nlocks;  // of a tranche of the area's name: GetNamedLWLockTranche
  // Takes the area's place; found: it has been started before. Others wait.
  void (*start)(void *memory, bool found);
};

// Asks for an area, while the library is loaded.
void AddSharedArea(const SharedArea *area);

// True for one caller of all backends, once in so many milliseconds. next: in shared memory, the time (TimestampTz) before which
// it is nobody's turn.
inline bool TakeTurn(pg_atomic_uint64 *next, uint64 now, int64 every_ms) {
  uint64 known = pg_atomic_read_u64(next);
  return now >= known && pg_atomic_compare_exchange_u64(next, &known, now + static_cast<uint64>(every_ms) * 1000);
}

}  // namespace pgstream
