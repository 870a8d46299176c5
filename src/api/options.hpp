// The options of a stream table: schedule and refresh_mode.
//
// Promises: what passes is stored in canonical form. Refuses: unknown or malformed options, with an error that names the
// valid ones.
#pragma once

#include "pg/includes.hpp"
#include "pg/definition_options.hpp"
#include "pg/stream.hpp"

namespace pgstream {

inline constexpr const char *kDefaultSchedule = "1m";

struct StreamOptions {
  RefreshMode mode;
  const char *schedule;  // canonical; nullptr: calculated from downstream
  bool schedule_given;
};

// Takes our options out of a WITH list, leaving storage parameters of tables in *options for core.
StreamOptions ExtractStreamOptions(List **options);

// The options that a definition carries; defaults for what it lacks.
StreamOptions OptionsAmong(const DefinitionOption *given, int n);

RefreshMode ParseRefreshMode(const char *text);
// Canonical form in the current context; nullptr for the calculated schedule.
const char *ParseScheduleOption(const char *text);

// What the catalog has of an enrolled stream table.
struct StoredOptions {
  const char *schedule;  // nullptr: calculated
  const char *status;
};
StoredOptions ReadStoredOptions(Oid relid);

}  // namespace pgstream
