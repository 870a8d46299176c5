// SQL function alter_stream_table().
#include "api/alter.hpp"
#include "api/drop.hpp"
#include "api/enroll.hpp"
#include "api/names.hpp"
#include "api/options.hpp"
#include "api/query_checks.hpp"
#include "pg/boundary.hpp"
#include "pg/settings.hpp"

using namespace pgstream;

static const char *OptionalText(FunctionCallInfo fcinfo, int n) {
  return PG_ARGISNULL(n) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

// Arguments: name, schedule, refresh_mode, status, query; NULL leaves unchanged.
PGSTREAM_FUNCTION(pgstream_alter_stream_table) {
  RequirePreload();
  const text *name = RequiredArgument(fcinfo, 0, "the name");
  const char *schedule = OptionalText(fcinfo, 1), *mode = OptionalText(fcinfo, 2), *status = OptionalText(fcinfo, 3),
             *query = OptionalText(fcinfo, 4);
  Alteration alteration = {};
  AlterationEffect effect;
  Relation rel;
  // The first lock keeps other alterations out. Where more is needed everything is looked at anew under the second.
  for (LOCKMODE lock = ShareUpdateExclusiveLock;; lock = AccessExclusiveLock) {
    const Oid relid = ResolveStreamTable(name, lock, true);
    EnrollRestored(relid);
    alteration.sets_schedule = schedule != nullptr;
    if (schedule != nullptr) alteration.schedule = ParseScheduleOption(schedule);
    alteration.sets_mode = mode != nullptr;
    if (mode != nullptr) alteration.mode = ParseRefreshMode(mode);
    if (status != nullptr) alteration.status = ParseStatus(status);
    if (query != nullptr && alteration.query == nullptr) alteration.query = AnalyseSelect(query);
    rel = table_open(relid, NoLock);
    effect = EffectOf(rel, &alteration);
    if (!effect.redefines || lock == AccessExclusiveLock) break;
    LockForRedefinition(rel, lock, &alteration, &effect);
  }
  AlterStream(rel, &alteration, &effect);
  PG_RETURN_VOID();
}
