// Settings of the library; see settings.hpp.
#include "pg/settings.hpp"

#include "pg/includes.hpp"

namespace pgstream {

static bool library_is_preloaded = false;
static int keyed_evaluation = static_cast<int>(KeyedEvaluation::Auto);

static const config_enum_entry kKeyedEvaluations[] = {{"auto", static_cast<int>(KeyedEvaluation::Auto), false},
                                                      {"always", static_cast<int>(KeyedEvaluation::Always), false},
                                                      {"never", static_cast<int>(KeyedEvaluation::Never), false},
                                                      {nullptr, 0, false}};

static int lookup_by_key = static_cast<int>(LookupByKey::Auto);

static const config_enum_entry kLookupsByKey[] = {{"auto", static_cast<int>(LookupByKey::Auto), false},
                                                  {"always", static_cast<int>(LookupByKey::Always), false},
                                                  {"never", static_cast<int>(LookupByKey::Never), false},
                                                  {nullptr, 0, false}};

static int jit = static_cast<int>(Jit::On);
static int jit_optimization = 2;
static bool jit_dump = false;

static const config_enum_entry kJits[] = {{"off", static_cast<int>(Jit::Off), false},
                                          {"on", static_cast<int>(Jit::On), false},
                                          {"force", static_cast<int>(Jit::Force), false},
                                          {nullptr, 0, false}};

bool IsPreloaded() { return library_is_preloaded; }

void RequirePreload() {
  if (library_is_preloaded) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pg_stream is not preloaded"),
                  errdetail("Stream tables need the library in every backend from its start."),
                  errhint("Add pg_stream to shared_preload_libraries and restart the server.")));
}

KeyedEvaluation KeyedEvaluationSetting() { return static_cast<KeyedEvaluation>(keyed_evaluation); }

LookupByKey LookupByKeySetting() { return static_cast<LookupByKey>(lookup_by_key); }

Jit JitSetting() { return static_cast<Jit>(jit); }
int JitOptimization() { return jit_optimization; }
bool JitDump() { return jit_dump; }

void InitSettings(bool preloaded) {
  library_is_preloaded = preloaded;
  DefineCustomEnumVariable("pgstream.keyed_evaluation",
                           "Whether changed keys of a stream table are evaluated by key or its whole query is run.",
                           "auto compares the costs; always and never do not.", &keyed_evaluation,
                           static_cast<int>(KeyedEvaluation::Auto), kKeyedEvaluations, PGC_USERSET, 0, nullptr, nullptr,
                           nullptr);
  DefineCustomEnumVariable("pgstream.lookup_by_key",
                           "Whether a lookup by group key works out the pending changes of that group alone.",
                           "auto does until all at once would be cheaper; always never does all because of lookups.",
                           &lookup_by_key, static_cast<int>(LookupByKey::Auto), kLookupsByKey, PGC_USERSET, 0, nullptr, nullptr,
                           nullptr);
  DefineCustomEnumVariable("pgstream.jit", "Whether changes are evaluated by native code.",
                           "on uses what was compiled at definition, at refresh or by a worker; force compiles when reading, too.", &jit,
                           static_cast<int>(Jit::On), kJits, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("pgstream.jit_optimization", "How much the compiler optimizes native code.",
                          "The stored code of a stream table is of one level, for all sessions.", &jit_optimization, 2, 0, 3, PGC_SUSET, GUC_NOT_IN_SAMPLE, nullptr, nullptr, nullptr);
  DefineCustomBoolVariable("pgstream.jit_dump", "Writes the compiler's intermediate code beside the native code.", nullptr,
                           &jit_dump, false, PGC_SUSET, GUC_NOT_IN_SAMPLE, nullptr, nullptr, nullptr);
}

void ReserveSettings() { MarkGUCPrefixReserved("pgstream"); }

}  // namespace pgstream
