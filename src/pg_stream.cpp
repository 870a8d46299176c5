// pg_stream: incrementally maintained tables as a native kind of relation. The library's entry point.
#include "am/access_method.hpp"
#include "api/definition_change.hpp"
#include "api/drop.hpp"
#include "api/own_tables.hpp"
#include "api/utility.hpp"
#include "capture/change_log.hpp"
#include "delta/overlay.hpp"
#include "delta/shared_read.hpp"
#include "pg/boundary.hpp"
#include "pg/compile_request.hpp"
#include "pg/progress.hpp"
#include "pg/settings.hpp"
#include "pg/source_privilege.hpp"
#include "pg/stream.hpp"
#include "refresh/failures.hpp"
#include "scan/scan_hooks.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
  using namespace pgstream;
  const bool preloaded = process_shared_preload_libraries_in_progress;
  InitSettings(preloaded);
  InitSourcePrivilege();
  InitCompileRequests();
  InitStreamCache();
  InitOverlayCache();
  InitSharedReads();
  InitAccessMethod();
  if (preloaded) {  // otherwise creating and reading stream tables is refused with a hint
    InitCapture();
    InitProgress();
    InitFailures();
    InitUtility();
    InitDrop();
    InitDefinitionChange();
    InitOwnTables();
    InitScanHooks();
  }
  ReserveSettings();
}
