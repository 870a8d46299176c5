// Scripts of dumps; see restoring.hpp.
#include "pg/restoring.hpp"

#include "pg/includes.hpp"

extern "C" {
#include "utils/guc.h"
}

namespace pgstream {

bool RestoringDump() { return !check_function_bodies && namespace_search_path != nullptr && namespace_search_path[0] == '\0'; }

}  // namespace pgstream
