// Settings of the library; see settings.hpp.
#include "pg/settings.hpp"

#include "pg/includes.hpp"

namespace pgstream {

static bool library_is_preloaded = false;

void RequirePreload() {
  if (library_is_preloaded) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("pg_stream is not preloaded"),
                  errdetail("Stream tables need the library in every backend from its start."),
                  errhint("Add pg_stream to shared_preload_libraries and restart the server.")));
}

void InitSettings(bool preloaded) {
  library_is_preloaded = preloaded;
}

void ReserveSettings() { MarkGUCPrefixReserved("pgstream"); }

}  // namespace pgstream
