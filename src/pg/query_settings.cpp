// Recording and applying settings: see query_settings.hpp.
#include "pg/query_settings.hpp"

extern "C" {
#include "utils/array.h"
#include "utils/rls.h"
}

namespace pgstream {
namespace {

constexpr const char *kDefaultTextSearchConfig = "default_text_search_config";

// Every setting a user may change that an input, output or other built-in function reads, and those by which the text body
// of a user's function is parsed.
constexpr const char *kSettings[] = {"TimeZone",
                                     "timezone_abbreviations",
                                     "DateStyle",
                                     "IntervalStyle",
                                     "extra_float_digits",
                                     "bytea_output",
                                     "lc_monetary",
                                     "lc_numeric",
                                     "lc_time",
                                     "xmlbinary",
                                     "xmloption",
                                     kDefaultTextSearchConfig,
                                     "array_nulls",
                                     "quote_all_identifiers",
                                     "transform_null_equals",
                                     "standard_conforming_strings",
                                     "backslash_quote"};

const char *ValueGiven(const DefinitionOption *given, int n, const char *name) {
  for (int i = 0; i < n; i++)
    if (strcmp(given[i].name, name) == 0) return given[i].value;
  return nullptr;
}

}  // namespace

int SettingsAmong(const DefinitionOption *options, int n, RecordedSetting **settings) {
  *settings = static_cast<RecordedSetting *>(palloc(sizeof(RecordedSetting) * lengthof(kSettings)));
  int count = 0;
  for (const char *const name : kSettings) {
    const char *const value = ValueGiven(options, n, name);
    if (value != nullptr) (*settings)[count++] = {name, value};
  }
  return count;
}

Datum SettingsToRecord(const DefinitionOption *given, int ngiven) {
  Datum texts[lengthof(kSettings)];
  int n = 0;
  for (const char *const name : kSettings) {
    const char *value = ValueGiven(given, ngiven, name);
    if (value == nullptr) value = GetConfigOption(name, true, false);
    if (value != nullptr) texts[n++] = CStringGetTextDatum(psprintf("%s=%s", name, value));
  }
  return PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
}

int ReadRecordedSettings(Datum array, RecordedSetting **settings) {
  if (array == static_cast<Datum>(0)) return 0;
  Datum *texts;
  int n, count = 0;
  deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts, nullptr, &n);
  *settings = static_cast<RecordedSetting *>(palloc(sizeof(RecordedSetting) * Max(n, 1)));
  for (int i = 0; i < n; i++) {
    char *const name = TextDatumGetCString(texts[i]);
    char *const equals = strchr(name, '=');
    if (equals == nullptr) continue;
    *equals = '\0';
    (*settings)[count++] = {name, equals + 1};
  }
  return count;
}

void LiftRelationRestrictions() {
  if (!row_security)
    (void)set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  if (restrict_nonsystem_relation_kind != 0)
    (void)set_config_option("restrict_nonsystem_relation_kind", "", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
}

void ApplyRecordedSettings(int nsettings, const RecordedSetting *settings, bool query_reads_settings,
                           bool query_reads_default_text_search) {
  if (!query_reads_settings) return;
  for (int i = 0; i < nsettings; i++) {
    const char *const current = GetConfigOption(settings[i].name, true, false);
    if (current == nullptr || strcmp(current, settings[i].value) == 0) continue;
    const bool needed = query_reads_default_text_search || strcmp(settings[i].name, kDefaultTextSearchConfig) != 0;
    (void)set_config_option(settings[i].name, settings[i].value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                            needed ? 0 : DEBUG1, false);
  }
}

}  // namespace pgstream
