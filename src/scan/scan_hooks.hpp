// The planner and EXPLAIN hooks of pg_stream.
//
// Promises: earlier hooks are called first; a statement without a stream table costs a walk over its range table.
#pragma once

namespace pgstream {

// Called once by _PG_init.
void InitScanHooks();

}  // namespace pgstream
