// SQL function create_or_replace_stream_table(): what a deployment tool runs every time.
//
// Promises: afterwards there is a stream table of that name with that query and those options, and it was touched no more
// than that takes; two sessions that do so at once do it one after the other. With dry_run it only tells what it would do.
// Refuses: other columns than the table's (dry_run says RECREATE), and relations that are not stream tables.
#include "api/alter.hpp"
#include "api/create.hpp"
#include "api/drop.hpp"
#include "api/enroll.hpp"
#include "api/names.hpp"
#include "api/options.hpp"
#include "api/query_checks.hpp"
#include "pg/boundary.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "catalog/pg_namespace.h"
#include "common/hashfn.h"
#include "utils/array.h"
}

using namespace pgstream;

// Nobody else creates or replaces a stream table of that name until this transaction ends.
static void LockName(Oid schema, const char *name) {
  const uint32 hash = hash_bytes(reinterpret_cast<const unsigned char *>(name), static_cast<int>(strlen(name)));
  // Sub-object 0 is the schema itself.
  LockDatabaseObject(NamespaceRelationId, schema, static_cast<uint16>(hash % PG_UINT16_MAX + 1), ExclusiveLock);
}

static Datum Answer(FunctionCallInfo fcinfo, const char *action, const List *reasons) {
  TupleDesc desc;
  if (get_call_result_type(fcinfo, nullptr, &desc) != TYPEFUNC_COMPOSITE) elog(ERROR, "return type must be a row type");
  Datum *texts = static_cast<Datum *>(palloc(sizeof(Datum) * (list_length(reasons) + 1)));
  int n = 0;
  ListCell *cell;
  foreach (cell, reasons) texts[n++] = CStringGetTextDatum(static_cast<char *>(lfirst(cell)));
  Datum values[] = {CStringGetTextDatum(action),
                    PointerGetDatum(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT))};
  bool nulls[] = {false, false};
  return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

// Arguments: name, query, schedule (NULL: calculated), refresh_mode, initialize, dry_run.
PGSTREAM_FUNCTION(pgstream_create_or_replace_stream_table) {
  RequirePreload();
  RangeVar *name = ParseRelationName(RequiredArgument(fcinfo, 0, "the name"));
  char *query = text_to_cstring(RequiredArgument(fcinfo, 1, "the query"));
  const char *schedule = PG_ARGISNULL(2) ? "calculated" : text_to_cstring(PG_GETARG_TEXT_PP(2));
  const char *mode = text_to_cstring(RequiredArgument(fcinfo, 3, "the refresh mode"));
  const bool initialize = PG_ARGISNULL(4) || PG_GETARG_BOOL(4);
  const bool dry_run = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
  Alteration alteration = {true, ParseScheduleOption(schedule), true, ParseRefreshMode(mode), nullptr, AnalyseSelect(query)};

  LockName(RangeVarGetAndCheckCreationNamespace(name, NoLock, nullptr), name->relname);
  // As in alter_stream_table().
  for (LOCKMODE lock = ShareUpdateExclusiveLock;; lock = AccessExclusiveLock) {
    Oid relid;
    RangeVarGetAndCheckCreationNamespace(name, lock, &relid);
    if (!OidIsValid(relid)) {
      CheckDefinition(reinterpret_cast<const Node *>(alteration.query), alteration.mode);
      if (!dry_run) CreateByName(name, query, schedule, mode, initialize);
      return Answer(fcinfo, "CREATE", list_make1(pstrdup("there is no such stream table")));
    }
    CheckIsStreamTable(relid, name->relname);
    if (!dry_run) EnrollRestored(relid);
    Relation rel = table_open(relid, NoLock);
    const AlterationEffect effect = EffectOf(rel, &alteration);
    const char *action = effect.misfits != nullptr ? "RECREATE" : effect.redefines ? "REDEFINE" : effect.options ? "ALTER" : "NONE";
    if (dry_run || strcmp(action, "NONE") == 0) {
      table_close(rel, NoLock);
    } else if (effect.redefines && lock != AccessExclusiveLock) {
      LockForRedefinition(rel, lock, &alteration, &effect);
      continue;
    } else {
      AlterStream(rel, &alteration, &effect);
    }
    return Answer(fcinfo, action, effect.reasons);
  }
}
