// Computing the whole content anew and making the base that.
//
// Promises: rows that stay as they are, hidden state included, are not written, as long as the base fits into memory
// (maintenance_work_mem or hash_mem, whichever is more); else every row is. Refuses: to decide that it is needed.
#pragma once

#include "pg/stream.hpp"
#include "refresh/base_writer.hpp"

namespace pgstream {

// The base, as visible under snapshot, becomes what the query returns under it. Evaluates as the owner.
void RebuildBase(Relation rel, const Stream *stream, Snapshot snapshot, BaseWriter *writer);

}  // namespace pgstream
