// Enrolling; see enroll.hpp.
#include "api/enroll.hpp"

#include "api/drop.hpp"
#include "capture/registration.hpp"
#include "pg/catalog.hpp"
#include "pg/definition.hpp"
#include "pg/key_index.hpp"
#include "pg/stream.hpp"

extern "C" {
#include "catalog/pg_depend.h"
}

namespace pgstream {

namespace {

void InsertStream(Oid relid, const StreamOptions *options) {
  const Oid types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID};
  const Datum values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(RefreshModeName(options->mode)),
                          options->schedule != nullptr ? CStringGetTextDatum(options->schedule) : static_cast<Datum>(0),
                          CStringGetTextDatum("INITIALIZING"), SettingsToRecord()};
  const bool nulls[] = {false, false, options->schedule == nullptr, false, false};
  RunCatalogCommand("INSERT INTO pgstream.pgs_stream (pgs_relid, refresh_mode, schedule, status, settings) "
                    "VALUES ($1, $2, $3, $4, $5)",
                    lengthof(types), types, values, nulls);
}

void CreateKeyIndex(Relation rel, const DeltaPlan *plan) {
  StringInfoData command;
  initStringInfo(&command);
  appendStringInfo(&command, "CREATE INDEX ON %s.%s (pgstream.%s(",
                   quote_identifier(get_namespace_name(RelationGetNamespace(rel))),
                   quote_identifier(RelationGetRelationName(rel)), KeyFunction(plan));
  for (int i = 0; i < plan->nindex_columns; ++i)
    appendStringInfo(&command, "%s%s", i > 0 ? ", " : "",
                     quote_identifier(NameStr(
                         TupleDescAttr(RelationGetDescr(rel), plan->index_columns[i] - 1)->attname)));
  appendStringInfoString(&command, "))");
  // CREATE INDEX wants to be the only one to have the table open.
  table_close(rel, NoLock);
  SPI_connect();
  const int result = SPI_execute(command.data, false, 0);
  if (result != SPI_OK_UTILITY) elog(ERROR, "could not create key index: %s", SPI_result_code_string(result));
  SPI_finish();
  CommandCounterIncrement();
}

// Makes an object of a table one that cannot be dropped alone, once.
void DependInternally(Oid class_id, Oid object_id, Oid table) {
  ObjectAddress object_address, table_address;
  ObjectAddressSet(object_address, class_id, object_id);
  ObjectAddressSet(table_address, RelationRelationId, table);
  deleteDependencyRecordsForSpecific(class_id, object_id, DEPENDENCY_INTERNAL, RelationRelationId, table);
  recordDependencyOn(&object_address, &table_address, DEPENDENCY_INTERNAL);
}

}  // namespace

void EnrollStream(Relation rel, const StreamOptions *options) {
  const Oid relid = RelationGetRelid(rel);
  // Those of a table that came from a dump are the settings of its first refresh.
  InsertStream(relid, options);
  CommandCounterIncrement();
  if (options->mode == RefreshMode::Differential) (void)RegisterSources(relid, PlanDelta(LoadDefinition(rel)));
  InvalidateStream(relid);
  CommandCounterIncrement();
}

// Drops an index that only the extension may drop.
static void DropKeyIndex(Oid index) {
  ObjectAddress address;
  ObjectAddressSet(address, RelationRelationId, index);
  deleteDependencyRecordsFor(RelationRelationId, index, true);
  CommandCounterIncrement();
  performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

void ReenrollStream(Relation rel, RefreshMode mode, Oid old_index) {
  const Oid relid = RelationGetRelid(rel);
  const AttrNumber columns[] = {pgs_stream::version, pgs_stream::refresh_mode};
  const Datum values[] = {Int32GetDatum(LookupStream(relid)->version + 1), CStringGetTextDatum(RefreshModeName(mode))};
  UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, lengthof(columns), columns, values, nullptr);
  ForgetSources(relid);
  CommandCounterIncrement();
  const DeltaPlan *plan = PlanDelta(LoadDefinition(rel));
  if (mode == RefreshMode::Differential) (void)RegisterSources(relid, plan);
  if (OidIsValid(old_index) && (mode == RefreshMode::Full || FindKeyIndex(rel, plan) != old_index)) DropKeyIndex(old_index);
  InvalidateStream(relid);
  CommandCounterIncrement();
}

void EnsureKeyIndex(Oid relid) {
  const DeltaPlan *plan = LookupStream(relid)->plan;
  if (plan->nindex_columns == 0) return;
  Relation rel = table_open(relid, NoLock);
  Oid index = FindKeyIndex(rel, plan);
  if (!OidIsValid(index)) {
    CreateKeyIndex(rel, plan);
    rel = table_open(relid, NoLock);
    index = FindKeyIndex(rel, plan);
  }
  table_close(rel, NoLock);
  if (!OidIsValid(index)) elog(ERROR, "key index of stream table %u not found", relid);
  DependInternally(RelationRelationId, index, relid);
  InvalidateStream(relid);
  CommandCounterIncrement();
}

void FollowDefinition(Oid relid) {
  const Stream *stream = LookupStream(relid);
  if (stream == nullptr || !stream->enrolled || stream->mode == RefreshMode::Full) return;
  if (!stream->populated) NoticeUnsettled(relid);
  if (stream->plan->nindex_columns == 0 || OidIsValid(stream->key_index)) return;
  // As a refresh does: one at a time.
  LockDatabaseObject(RelationRelationId, relid, 0, ExclusiveLock);
  EnsureKeyIndex(relid);
}

void EnrollRestored(Oid relid) {
  const Stream *stream = LookupStream(relid);
  if (stream == nullptr || stream->enrolled) return;
  // As creation does, before anybody else refreshes or reads the key index.
  Relation rel = table_open(relid, ShareUpdateExclusiveLock);
  const StreamOptions options = {RefreshMode::Differential, kDefaultSchedule, false};
  MakeDefinitionInternal(rel);
  EnrollStream(rel, &options);
  table_close(rel, NoLock);
  EnsureKeyIndex(relid);
}

void NoticeUnsettled(Oid relid) {
  const Stream *stream = LookupStream(relid);
  if (stream == nullptr || stream->mode == RefreshMode::Full || stream->plan->dependence.unsettled == nullptr) return;
  ereport(NOTICE, (errmsg("stream table \"%s\" is recomputed on every read", get_rel_name(relid)),
                   errdetail("No change of its sources tells when its result changes: %s.", stream->plan->dependence.unsettled),
                   errhint("With refresh_mode = 'FULL' a stream table holds the result of its last refresh.")));
}

void MarkActive(Oid relid) {
  const AttrNumber column = pgs_stream::status;
  const Datum value = CStringGetTextDatum("ACTIVE");
  UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, 1, &column, &value, nullptr);
}

}  // namespace pgstream
