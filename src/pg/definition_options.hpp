// The options of a stream table as its definition carries them, so that a dump does: the condition of the defining rule is
// pgstream.stream_options('{refresh_mode=..., schedule=..., TimeZone=...}'). The rule is disabled: nothing evaluates it.
//
// Promises: the catalog row is what counts while there is one; this is a copy of it, from which a restored table gets its
// row. Refuses: to judge the options (api does, at the first refresh after a restore).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

inline constexpr const char *kRefreshModeOption = "refresh_mode", *kScheduleOption = "schedule";
// Of a FULL stream table whose last refresh gave no rows (pg/dumped_rows.hpp).
inline constexpr const char *kContentOption = "content", *kContentEmpty = "empty";

struct DefinitionOption {
  const char *name;  // refresh_mode, schedule, content, or the name of a recorded setting
  const char *value;
};

// Puts n options into the defining rule of rel (ShareUpdateExclusiveLock or more), in the place of those it has.
void StoreDefinitionOptions(Relation rel, const DefinitionOption *options, int n);

// Likewise from a condition as it was parsed, which must be a call of stream_options with constants.
void StoreOptionsCondition(Relation rel, Node *condition);

// Reads them in the current context; returns their number, 0 for a rule that carries none.
int LoadDefinitionOptions(Relation rel, DefinitionOption **options);

}  // namespace pgstream
