// The planner's hooks for paths over stream tables. Promises and refusals: scan/paths.cpp.
#pragma once

namespace pgstream {

void InitPathHooks();  // called by InitScanHooks

}  // namespace pgstream
