// Options of a stream table; see options.hpp.
#include "api/options.hpp"

#include "core/schedule.hpp"
#include "pg/catalog.hpp"

namespace pgstream {

RefreshMode ParseRefreshMode(const char *text) {
  if (pg_strcasecmp(text, "DIFFERENTIAL") == 0) return RefreshMode::Differential;
  if (pg_strcasecmp(text, "FULL") == 0) return RefreshMode::Full;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unrecognized refresh mode: \"%s\"", text),
                  errhint("Valid refresh modes are \"DIFFERENTIAL\" and \"FULL\".")));
}

const char *ParseScheduleOption(const char *text) {
  ScheduleKind kind;
  int64_t seconds;
  char canonical[kScheduleTextSize], error[256], hint[512];
  if (!ParseScheduleC(text, &kind, &seconds, canonical, sizeof(canonical), error, sizeof(error), hint, sizeof(hint)))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid schedule: \"%s\"", text),
                    errdetail("%s", error), hint[0] != '\0' ? errhint("%s", hint) : 0));
  return kind == ScheduleKind::kCalculated ? nullptr : pstrdup(canonical);
}

StreamOptions OptionsAmong(const DefinitionOption *given, int n) {
  StreamOptions options = {RefreshMode::Differential, kDefaultSchedule, false};
  for (int i = 0; i < n; i++) {
    if (strcmp(given[i].name, kRefreshModeOption) == 0) options.mode = ParseRefreshMode(given[i].value);
    if (strcmp(given[i].name, kScheduleOption) == 0) options.schedule = ParseScheduleOption(given[i].value);
  }
  return options;
}

// Storage parameters that core validates itself.
static bool IsStorageParameter(const DefElem *option) {
  static const char *const kParameters[] = {"fillfactor", "toast_tuple_target", "parallel_workers", "log_autovacuum_min_duration"};
  if (option->defnamespace != nullptr) return true;
  for (const char *parameter : kParameters)
    if (strcmp(option->defname, parameter) == 0) return true;
  return strncmp(option->defname, "autovacuum_", strlen("autovacuum_")) == 0 ||
         strncmp(option->defname, "vacuum_", strlen("vacuum_")) == 0;
}

StreamOptions ExtractStreamOptions(List **options) {
  StreamOptions result = {RefreshMode::Differential, kDefaultSchedule, false};
  bool mode_given = false;
  List *rest = NIL;
  ListCell *cell;
  foreach (cell, *options) {
    DefElem *option = lfirst_node(DefElem, cell);
    const bool is_schedule = option->defnamespace == nullptr && strcmp(option->defname, "schedule") == 0;
    const bool is_mode = option->defnamespace == nullptr && strcmp(option->defname, "refresh_mode") == 0;
    if ((is_schedule && result.schedule_given) || (is_mode && mode_given))
      ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("option \"%s\" specified more than once", option->defname)));
    if (is_schedule) {
      result.schedule = ParseScheduleOption(defGetString(option));
      result.schedule_given = true;
    } else if (is_mode) {
      result.mode = ParseRefreshMode(defGetString(option));
      mode_given = true;
    } else if (IsStorageParameter(option)) {
      rest = lappend(rest, option);
    } else {
      ereport(ERROR,
              (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unrecognized stream table option \"%s\"", option->defname),
               errhint("Valid options are \"schedule\" and \"refresh_mode\", besides the storage parameters of tables.")));
    }
  }
  *options = rest;
  return result;
}

StoredOptions ReadStoredOptions(Oid relid) {
  StoredOptions options = {};
  CatalogScan scan;
  if (!BeginCatalogScan(&scan, "pgs_stream", "pgs_stream_pkey", pgs_stream::relid, relid, nullptr, AccessShareLock))
    return options;
  if (HeapTuple tuple = NextCatalogTuple(&scan)) {
    bool isnull;
    const Datum schedule = CatalogColumn(&scan, tuple, pgs_stream::schedule, &isnull);
    if (!isnull) options.schedule = TextDatumGetCString(schedule);
    options.status = TextDatumGetCString(CatalogColumn(&scan, tuple, pgs_stream::status, nullptr));
  }
  EndCatalogScan(&scan);
  return options;
}

}  // namespace pgstream
