// Enrolling; see enroll.hpp.
#include "api/enroll.hpp"

#include "api/drop.hpp"
#include "api/key_index_upkeep.hpp"
#include "api/replication.hpp"
#include "capture/registration.hpp"
#include "delta/evaluate.hpp"
#include "pg/catalog.hpp"
#include "pg/definition.hpp"
#include "pg/dumped_rows.hpp"
#include "pg/key_index.hpp"
#include "pg/query_settings.hpp"
#include "pg/raw_scan.hpp"
#include "pg/source_index.hpp"
#include "pg/stream.hpp"

namespace pgstream {

namespace {

void InsertStream(Oid relid, const StreamOptions *options, Datum settings) {
  const Oid types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID};
  const Datum values[] = {ObjectIdGetDatum(relid), CStringGetTextDatum(RefreshModeName(options->mode)),
                          options->schedule != nullptr ? CStringGetTextDatum(options->schedule) : static_cast<Datum>(0),
                          CStringGetTextDatum("INITIALIZING"), settings};
  const bool nulls[] = {false, false, options->schedule == nullptr, false, false};
  RunCatalogCommand("INSERT INTO pgstream.pgs_stream (pgs_relid, refresh_mode, schedule, status, settings) "
                    "VALUES ($1, $2, $3, $4, $5)",
                    lengthof(types), types, values, nulls);
}

// Of a FULL stream table, which alone needs to be told from one that was never filled.
bool HoldsNoRows(Relation rel, const Stream *stream) {
  if (stream->mode != RefreshMode::Full || !stream->populated) return false;
  Snapshot latest = RegisterSnapshot(GetLatestSnapshot());
  TableScanDesc scan = BeginRawScan(rel, latest, true);
  TupleTableSlot *slot = table_slot_create(rel, nullptr);
  const bool none = !table_scan_getnextslot(scan, ForwardScanDirection, slot);
  ExecDropSingleTupleTableSlot(slot);
  table_endscan(scan);
  UnregisterSnapshot(latest);
  return none;
}

}  // namespace

void EnrollStream(Relation rel, const StreamOptions *options, Datum settings) {
  const Oid relid = RelationGetRelid(rel);
  // Nothing of a source is touched for who may not read it.
  if (options->mode == RefreshMode::Differential) CheckMayRun(LookupStream(relid));
  InsertStream(relid, options, settings);
  CommandCounterIncrement();
  HideFromReplication(rel);
  if (options->mode == RefreshMode::Differential) (void)RegisterSources(relid, PlanDelta(LoadDefinition(rel)));
  InvalidateStream(relid);
  CommandCounterIncrement();
}

void RecordOptions(Relation rel) {
  const Stream *stream = LookupStream(RelationGetRelid(rel));
  const StoredOptions stored = ReadStoredOptions(stream->relid);
  const int nsettings = stream->plan->dependence.settings ? stream->nsettings : 0;
  auto *options = static_cast<DefinitionOption *>(palloc(sizeof(DefinitionOption) * (nsettings + 3)));
  int n = 0;
  options[n++] = {kRefreshModeOption, RefreshModeName(stream->mode)};
  options[n++] = {kScheduleOption, stored.schedule != nullptr ? stored.schedule : "calculated"};
  for (int i = 0; i < nsettings; i++) options[n++] = {stream->settings[i].name, stream->settings[i].value};
  if (HoldsNoRows(rel, stream)) options[n++] = {kContentOption, kContentEmpty};
  StoreDefinitionOptions(rel, options, n);
}

void RecordEmptiness(Oid relid) {
  const Stream *stream = LookupStream(relid);
  if (stream == nullptr || stream->mode != RefreshMode::Full) return;
  CommandCounterIncrement();  // its rows, and that it is populated
  // Who alters the stream table may be waiting for this refresh.
  if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock)) return;
  Relation rel = table_open(relid, NoLock);
  if (HoldsNoRows(rel, LookupStream(relid)) != ContentIsSaidEmpty(rel)) RecordOptions(rel);
  table_close(rel, NoLock);
}

void ReenrollStream(Relation rel, RefreshMode mode, Oid old_index) {
  const Oid relid = RelationGetRelid(rel);
  if (mode == RefreshMode::Differential) CheckMayRun(LookupStream(relid));
  const AttrNumber columns[] = {pgs_stream::version, pgs_stream::refresh_mode};
  const Datum values[] = {Int32GetDatum(LookupStream(relid)->version + 1), CStringGetTextDatum(RefreshModeName(mode))};
  UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, lengthof(columns), columns, values, nullptr);
  ForgetSources(relid);
  CommandCounterIncrement();
  const DeltaPlan *plan = PlanDelta(LoadDefinition(rel));
  if (mode == RefreshMode::Differential) (void)RegisterSources(relid, plan);
  if (OidIsValid(old_index) && (mode == RefreshMode::Full || FindKeyIndex(rel, plan) != old_index)) DropInternal(RelationRelationId, old_index);
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
  // Whoever wrote the rule needed to own the table, and nothing more: no source is touched before its checks.
  CheckMayRun(stream);
  // As creation does, before anybody else refreshes or reads the key index.
  Relation rel = table_open(relid, ShareUpdateExclusiveLock);
  stream = LookupStream(relid);
  if (stream == nullptr || stream->enrolled) {
    // Somebody else did, while this waited for the lock.
    table_close(rel, NoLock);
    return;
  }
  DefinitionOption *given;
  const int n = LoadDefinitionOptions(rel, &given);
  const StreamOptions options = OptionsAmong(given, n);
  MakeDefinitionInternal(rel);
  EnrollStream(rel, &options, SettingsToRecord(given, n));
  RecordOptions(rel);
  table_close(rel, NoLock);
  if (options.mode == RefreshMode::Differential) EnsureKeyIndex(relid);
}

void NoticeMissingIndex(Oid relid) {
  const Stream *stream = LookupStream(relid);
  if (stream == nullptr || stream->mode == RefreshMode::Full) return;
  const char *columns = MissingSourceIndex(stream->plan);
  if (columns == nullptr) return;
  ereport(NOTICE, (errmsg("table \"%s\" has no index on (%s)", get_rel_name(stream->plan->sources[0]), columns),
                   errdetail("Stream table \"%s\" evaluates changed keys anew, which has to scan the whole table.",
                             get_rel_name(relid)),
                   errhint("%s", IndexCommand(stream->plan, columns))));
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
