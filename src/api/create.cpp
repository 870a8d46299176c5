// The one way in; see create.hpp.
#include "api/create.hpp"

#include "api/options.hpp"
#include "capture/change_log.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/definition.hpp"
#include "pg/settings.hpp"
#include "pg/stream.hpp"
#include "refresh/fold.hpp"

extern "C" {
#include "parser/parse_param.h"
#include "utils/array.h"
}

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

// The analysed query as the rewriter expands it, for checks that must look through views.
Query *Rewritten(const Query *query) {
  Query *copy = static_cast<Query *>(copyObjectImpl(query));
  AcquireRewriteLocks(copy, true, false);
  return linitial_node(Query, QueryRewrite(copy));
}

void CheckTarget(const IntoClause *into) {
  if (into->rel->relpersistence == RELPERSISTENCE_TEMP ||
      (into->rel->schemaname != nullptr && strcmp(into->rel->schemaname, "pg_temp") == 0))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be temporary", "Create a temporary view, or a permanent stream table.");
  if (into->rel->relpersistence == RELPERSISTENCE_UNLOGGED)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be unlogged", "Create it without UNLOGGED.");
}

void CheckQuery(const Node *node, RefreshMode mode) {
  const Query *query = castNode(Query, const_cast<Node *>(node));
  if (query->commandType == CMD_UTILITY)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be defined by EXECUTE", "Write the query itself.");
  if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a stream table must not modify data", "Use a SELECT without data-modifying statements in WITH.");
  if (query->rowMarks != NIL)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a stream table must not lock rows", "Remove FOR UPDATE or FOR SHARE.");
  if (query_contains_extern_params(const_cast<Query *>(query)))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be defined using bound parameters", "Put the values into the query.");
  if (isQueryUsingTempRelation(const_cast<Query *>(query)))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot use temporary tables or views", "Use permanent ones.");
  if (mode == RefreshMode::Differential && contain_volatile_functions(reinterpret_cast<Node *>(Rewritten(query))))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a differential stream table must not use volatile functions",
           "With refresh_mode = 'FULL' a stream table holds the result of its last refresh, and may use them.");
}

ArrayType *AttributeArray(const Bitmapset *columns) {
  Datum *datums = static_cast<Datum *>(palloc(sizeof(Datum) * Max(bms_num_members(columns), 1)));
  int n = 0, column = -1;
  while ((column = bms_next_member(columns, column)) >= 0) datums[n++] = Int16GetDatum(static_cast<int16>(column));
  return construct_array(datums, n, INT2OID, sizeof(int16), true, TYPALIGN_SHORT);
}

void InsertStream(Oid relid, const StreamOptions *options) {
  const Oid types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID};
  const Datum values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(RefreshModeName(options->mode)),
                          options->schedule != nullptr ? CStringGetTextDatum(options->schedule) : static_cast<Datum>(0),
                          CStringGetTextDatum("INITIALIZING")};
  const bool nulls[] = {false, false, options->schedule == nullptr, false};
  RunCatalogCommand("INSERT INTO pgstream.pgs_stream (pgs_relid, refresh_mode, schedule, status) VALUES ($1, $2, $3, $4)",
                    lengthof(types), types, values, nulls);
}

void InsertDependency(Oid relid, Oid source, const Bitmapset *columns) {
  Relation rel = table_open(CatalogRelationId("pgs_dependency"), RowExclusiveLock);
  const Datum values[pgs_dependency::natts] = {ObjectIdGetDatum(relid), ObjectIdGetDatum(source),
                                               PointerGetDatum(AttributeArray(columns)), Int64GetDatum(0)};
  const bool nulls[pgs_dependency::natts] = {};
  CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), const_cast<Datum *>(values), const_cast<bool *>(nulls)));
  table_close(rel, NoLock);
}

// Attaches capture to every source of a plan, in OID order so that two creators cannot deadlock.
void AttachSources(Oid relid, const DeltaPlan *plan) {
  int *order = static_cast<int *>(palloc(sizeof(int) * Max(plan->nsources, 1)));
  for (int i = 0; i < plan->nsources; ++i) {
    int j = i;
    for (; j > 0 && plan->sources[order[j - 1]] > plan->sources[i]; --j) order[j] = order[j - 1];
    order[j] = i;
  }
  for (int i = 0; i < plan->nsources; ++i) {
    const Oid source = plan->sources[order[i]];
    AttachCapture(source, plan->columns[order[i]]);
    InsertDependency(relid, source, plan->columns[order[i]]);
    CommandCounterIncrement();
    CacheInvalidateRelcacheByRelid(source);
  }
}

// The internal index that finds a base row from its key. The internal dependency keeps users from dropping it alone.
void CreateKeyIndex(Oid relid, const DeltaPlan *plan) {
  if (plan->nindex_columns == 0) return;
  Relation rel = table_open(relid, NoLock);
  StringInfoData command;
  initStringInfo(&command);
  appendStringInfo(&command, "CREATE INDEX ON %s.%s (pgstream.%s(",
                   quote_identifier(get_namespace_name(RelationGetNamespace(rel))),
                   quote_identifier(RelationGetRelationName(rel)),
                   plan->strategy == Strategy::Groups ? "key_hash" : "image_hash");
  for (int i = 0; i < plan->nindex_columns; ++i)
    appendStringInfo(&command, "%s%s", i > 0 ? ", " : "",
                     quote_identifier(NameStr(
                         TupleDescAttr(RelationGetDescr(rel), plan->index_columns[i] - 1)->attname)));
  appendStringInfoString(&command, "))");
  table_close(rel, NoLock);
  SPI_connect();
  const int result = SPI_execute(command.data, false, 0);
  if (result != SPI_OK_UTILITY) elog(ERROR, "could not create key index: %s", SPI_result_code_string(result));
  SPI_finish();
  CommandCounterIncrement();

  rel = table_open(relid, NoLock);
  List *indexes = RelationGetIndexList(rel);
  if (list_length(indexes) != 1) elog(ERROR, "key index of \"%s\" not found", RelationGetRelationName(rel));
  const Oid index = linitial_oid(indexes);
  ObjectAddress index_address, table_address;
  ObjectAddressSet(index_address, RelationRelationId, index);
  ObjectAddressSet(table_address, RelationRelationId, RelationGetRelid(rel));
  recordDependencyOn(&index_address, &table_address, DEPENDENCY_INTERNAL);
  const AttrNumber column = pgs_stream::key_index;
  const Datum value = ObjectIdGetDatum(index);
  UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", RelationGetRelid(rel), 1, &column, &value, nullptr);
  table_close(rel, NoLock);
  CommandCounterIncrement();
}

void MarkActive(Oid relid) {
  const AttrNumber column = pgs_stream::status;
  const Datum value = CStringGetTextDatum("ACTIVE");
  UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, 1, &column, &value, nullptr);
}

// Turns the empty table that core has just created into a stream table.
int64 DefineStream(Oid relid, const Query *query, const StreamOptions *options, bool with_data) {
  Relation rel = table_open(relid, AccessExclusiveLock);
  if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be temporary", "Create a permanent stream table.");
  StoreDefinition(rel, query);
  InsertStream(relid, options);
  CommandCounterIncrement();
  const DeltaPlan *plan = PlanDelta(LoadDefinition(rel));
  if (options->mode == RefreshMode::Differential) AttachSources(relid, plan);
  InvalidateStream(relid);
  CommandCounterIncrement();

  int64 rows = 0;
  const bool populated = with_data && PopulateNewStream(relid, &rows);
  CommandCounterIncrement();
  // CREATE INDEX wants to be the only one to have the table open.
  table_close(rel, NoLock);
  if (options->mode == RefreshMode::Differential) CreateKeyIndex(relid, plan);
  rel = table_open(relid, NoLock);
  if (populated) MarkActive(relid);
  if (with_data && !populated)
    ereport(NOTICE, (errmsg("stream table \"%s\" is created without data", RelationGetRelationName(rel)),
                     errdetail("The snapshot of this transaction is older than the capture of its sources."),
                     errhint("It answers by running its query until it is refreshed in another transaction.")));
  InvalidateStream(relid);
  table_close(rel, NoLock);
  CommandCounterIncrement();
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
  CheckQuery(statement->query, options.mode);
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
  const Oid relid = RangeVarGetRelid(into->rel, NoLock, false);
  if (options.schedule_given)
    ereport(NOTICE, (errmsg("schedule of stream table \"%s\" is stored", into->rel->relname),
                     errdetail("Folding by schedule comes with the scheduler; reads are live in any case."),
                     errhint("Fold with pgstream.refresh_stream_table().")));
  return DefineStream(relid, query, &options, with_data);
}

}  // namespace pgstream
