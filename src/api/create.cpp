// The one way in; see create.hpp.
#include "api/create.hpp"

#include "api/enroll.hpp"
#include "api/key_index_upkeep.hpp"
#include "api/options.hpp"
#include "api/query_checks.hpp"
#include "pg/boundary.hpp"
#include "pg/definition.hpp"
#include "pg/query_settings.hpp"
#include "pg/settings.hpp"
#include "pg/stream.hpp"
#include "refresh/fold.hpp"

namespace pgstream {

bool CreatesStreamTable(const CreateTableAsStmt *statement) {
  if (statement->objtype != OBJECT_TABLE) return false;
  const char *method =
      statement->into->accessMethod != nullptr ? statement->into->accessMethod : default_table_access_method;
  return strcmp(method, kAccessMethod) == 0;
}

namespace {

[[noreturn]] void Refuse(int sqlstate, const char *message, const char *hint) {
  ereport(ERROR, (errcode(sqlstate), errmsg("%s", message), hint != nullptr ? errhint("%s", hint) : 0));
  pg_unreachable();
}

void CheckTarget(const IntoClause *into) {
  if (into->rel->relpersistence == RELPERSISTENCE_TEMP ||
      (into->rel->schemaname != nullptr && strcmp(into->rel->schemaname, "pg_temp") == 0))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be temporary", "Create a temporary view, or a permanent stream table.");
  if (into->rel->relpersistence == RELPERSISTENCE_UNLOGGED)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be unlogged", "Create it without UNLOGGED.");
}

// Refreshes replace the rows of groups in place. Where pages are full, the new versions go elsewhere and need index entries.
constexpr int kGroupsFillFactor = 90;

void LeaveRoomForUpdates(const Query *query, const StreamOptions *options, IntoClause *into) {
  if (options->mode != RefreshMode::Differential || (query->groupClause == NIL && query->distinctClause == NIL)) return;
  ListCell *cell;
  foreach (cell, into->options) {
    const DefElem *option = lfirst_node(DefElem, cell);
    if (option->defnamespace == nullptr && strcmp(option->defname, "fillfactor") == 0) return;
  }
  into->options =
      lappend(into->options, makeDefElem(pstrdup("fillfactor"), reinterpret_cast<Node *>(makeInteger(kGroupsFillFactor)), -1));
}

// Turns the empty table that core has just created into a stream table.
int64 DefineStream(Oid relid, const Query *query, const StreamOptions *options, bool with_data) {
  Relation rel = table_open(relid, AccessExclusiveLock);
  if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be temporary", "Create a permanent stream table.");
  StoreDefinition(rel, query);
  EnrollStream(rel, options, SettingsToRecord(nullptr, 0));
  RecordOptions(rel);
  NoticeUnsettled(relid);
  NoticeMissingIndex(relid);

  int64 rows = 0;
  const bool populated = with_data && PopulateStream(relid, &rows);
  CommandCounterIncrement();
  // CREATE INDEX wants to be the only one to have the table open.
  table_close(rel, NoLock);
  if (options->mode == RefreshMode::Differential) EnsureKeyIndex(relid);
  rel = table_open(relid, NoLock);
  if (populated) MarkActive(relid);
  if (with_data && !populated)
    ereport(NOTICE, (errmsg("stream table \"%s\" is created without data", RelationGetRelationName(rel)),
                     errdetail("What this transaction sees of its sources does not fit the begin of their capture."),
                     errhint("It answers by running its query until it is refreshed in another transaction.")));
  InvalidateStream(relid);
  table_close(rel, NoLock);
  CommandCounterIncrement();
  RecordEmptiness(relid);
  return rows;
}

}  // namespace

int64 CreateStreamTable(const CreateTableAsStmt *original, CreateTableRunner create_table, void *argument) {
  RequirePreload();
  auto *statement = static_cast<CreateTableAsStmt *>(copyObjectImpl(original));
  IntoClause *into = statement->into;
  const bool with_data = !into->skipData;
  CheckTarget(into);
  const StreamOptions options = ExtractStreamOptions(&into->options);
  CheckDefinition(statement->query, options.mode);
  LeaveRoomForUpdates(castNode(Query, statement->query), &options, into);
  if (statement->if_not_exists) {
    const Oid schema = RangeVarGetAndCheckCreationNamespace(into->rel, NoLock, nullptr);
    if (OidIsValid(get_relname_relid(into->rel->relname, schema))) {
      create_table(statement, argument);
      return -1;
    }
  }
  into->skipData = true;
  into->accessMethod = pstrdup(kAccessMethod);
  Query *query = castNode(Query, copyObjectImpl(statement->query));
  create_table(statement, argument);
  CommandCounterIncrement();
  // Not by search_path, where a temporary table or one of the system's may come first.
  const Oid relid = get_relname_relid(into->rel->relname, RangeVarGetCreationNamespace(into->rel));
  // Not for the default, which a function call always has.
  if (options.schedule_given && (options.schedule == nullptr || strcmp(options.schedule, kDefaultSchedule) != 0))
    ereport(NOTICE, (errmsg("schedule of stream table \"%s\" is stored", into->rel->relname),
                     errdetail("Folding by schedule comes with the scheduler; reads are live in any case."),
                     errhint("Fold with pgstream.refresh_stream_table().")));
  return DefineStream(relid, query, &options, with_data);
}

}  // namespace pgstream
