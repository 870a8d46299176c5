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

void RequirePreload() {
  if (library_is_preloaded) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pg_stream is not preloaded"),
                  errdetail("Stream tables need the library in every backend from its start."),
                  errhint("Add pg_stream to shared_preload_libraries and restart the server.")));
}

KeyedEvaluation KeyedEvaluationSetting() { return static_cast<KeyedEvaluation>(keyed_evaluation); }

void InitSettings(bool preloaded) {
  library_is_preloaded = preloaded;
  DefineCustomEnumVariable("pgstream.keyed_evaluation",
                           "Whether changed keys of a stream table are evaluated by key or its whole query is run.",
                           "auto compares the costs; always and never do not.", &keyed_evaluation,
                           static_cast<int>(KeyedEvaluation::Auto), kKeyedEvaluations, PGC_USERSET, 0, nullptr, nullptr,
                           nullptr);
}

void ReserveSettings() { MarkGUCPrefixReserved("pgstream"); }

}  // namespace pgstream
