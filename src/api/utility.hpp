// The utility hook: where statements become operations on stream tables, or are refused.
#pragma once

namespace pgstream {

void InitUtility();  // called once by _PG_init

}  // namespace pgstream
