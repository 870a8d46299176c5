// Altering; see alter.hpp.
#include "api/alter.hpp"

#include "api/enroll.hpp"
#include "api/key_index_upkeep.hpp"
#include "api/options.hpp"
#include "api/query_checks.hpp"
#include "capture/change_log.hpp"
#include "delta/evaluate.hpp"
#include "pg/catalog.hpp"
#include "pg/definition.hpp"
#include "pg/query_identity.hpp"
#include "pg/source_privilege.hpp"
#include "pg/query_settings.hpp"
#include "refresh/fold.hpp"

extern "C" {
#include "commands/tablecmds.h"
}

namespace pgstream {

namespace {

bool SameText(const char *a, const char *b) { return a == b || (a != nullptr && b != nullptr && strcmp(a, b) == 0); }

const char *ShowSchedule(const char *schedule) { return schedule != nullptr ? schedule : "calculated"; }

List *VisibleTargets(const Query *query) {
  List *targets = NIL;
  ListCell *cell;
  foreach (cell, query->targetList) {
    auto *target = lfirst_node(TargetEntry, cell);
    if (!target->resjunk) targets = lappend(targets, target);
  }
  return targets;
}

// How the columns of a query differ from those of the table, whose names the present definition may know by others; nullptr
// when they fit.
char *Misfits(Relation rel, const Query *definition, const Query *query) {
  StringInfoData text;
  initStringInfo(&text);
  const List *targets = VisibleTargets(query), *old_targets = VisibleTargets(definition);
  const TupleDesc desc = RelationGetDescr(rel);
  if (list_length(targets) != desc->natts)
    appendStringInfo(&text, "The stream table has %d columns, and the query %d.", desc->natts, list_length(targets));
  for (int i = 0; i < Min(desc->natts, list_length(targets)); i++) {
    const Form_pg_attribute column = TupleDescAttr(desc, i);
    const auto *target = list_nth_node(TargetEntry, targets, i), *old_target = list_nth_node(TargetEntry, old_targets, i);
    const Node *value = reinterpret_cast<const Node *>(target->expr);
    const bool same_name = strcmp(target->resname, NameStr(column->attname)) == 0 ||
                           strcmp(target->resname, old_target->resname) == 0;
    const bool same_type = exprType(value) == column->atttypid && exprTypmod(value) == column->atttypmod &&
                           exprCollation(value) == column->attcollation;
    if (same_name && same_type) continue;
    appendStringInfo(&text, "%sColumn %d is \"%s\" %s, and would be \"%s\" %s.", text.len > 0 ? "\n" : "", i + 1,
                     NameStr(column->attname), format_type_with_typemod(column->atttypid, column->atttypmod),
                     target->resname, format_type_with_typemod(exprType(value), exprTypmod(value)));
    if (exprCollation(value) != column->attcollation) appendStringInfoString(&text, " Their collations differ.");
  }
  return text.len > 0 ? text.data : nullptr;
}

void Redefine(Relation rel, const Query *query, RefreshMode mode) {
  const Oid relid = RelationGetRelid(rel);
  CheckTableNotInUse(rel, "alter_stream_table()");
  const Stream *before = LookupStream(relid);
  const bool populate = before->populated;
  const Oid key_index = before->key_index;
  if (query != nullptr) {
    ReplaceDefinition(rel, query);
    const AttrNumber column = pgs_stream::settings;
    const Datum settings = SettingsToRecord(nullptr, 0);
    UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, 1, &column, &settings, nullptr);
    CommandCounterIncrement();
  }
  ReenrollStream(rel, mode, key_index);
  RecordOptions(rel);
  int64 rows = 0;
  const bool populated = populate && PopulateStream(relid, &rows);
  CommandCounterIncrement();
  const char *name = pstrdup(RelationGetRelationName(rel));
  // CREATE INDEX wants to be the only one to have the table open.
  table_close(rel, NoLock);
  if (mode == RefreshMode::Differential) EnsureKeyIndex(relid);
  if (query != nullptr) NoticeMissingIndex(relid);
  InvalidateStream(relid);
  if (populate && !populated)
    ereport(NOTICE, (errmsg("stream table \"%s\" is left without data", name),
                     errdetail("What this transaction sees of its sources does not fit the begin of their capture."),
                     errhint("It answers by running its query until it is refreshed in another transaction.")));
  CommandCounterIncrement();
  RecordEmptiness(relid);
}

RefreshMode ModeAfter(Relation rel, const Alteration *alteration) {
  return alteration->sets_mode ? alteration->mode : LookupStream(RelationGetRelid(rel))->mode;
}

const Query *QueryAfter(Relation rel, const Alteration *alteration) {
  return alteration->query != nullptr ? alteration->query : LoadDefinition(rel);
}

void CheckRedefinition(Relation rel, const Alteration *alteration, const AlterationEffect *effect) {
  if (effect->misfits != nullptr)
    ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
                    errmsg("cannot change the columns of stream table \"%s\"", RelationGetRelationName(rel)),
                    errdetail("%s", effect->misfits),
                    errhint("Let the query return the same columns, or drop the stream table and create it anew.")));
  const Query *query = QueryAfter(rel, alteration);
  CheckDefinition(reinterpret_cast<const Node *>(query), ModeAfter(rel, alteration));
  if (alteration->query != nullptr && ReadsStream(query, RelationGetRelid(rel)))
    ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                    errmsg("stream table \"%s\" cannot read itself", RelationGetRelationName(rel)),
                    errdetail("The query reads it, be it through views or other stream tables.")));
}

}  // namespace

void LockForRedefinition(Relation rel, LOCKMODE lock, const Alteration *alteration, const AlterationEffect *effect) {
  const Oid relid = RelationGetRelid(rel);
  // Nobody is made to wait for what is refused.
  CheckRedefinition(rel, alteration, effect);
  const bool captures = ModeAfter(rel, alteration) == RefreshMode::Differential;
  const Oid owner = LookupStream(relid)->owner;
  const DeltaPlan *plan = captures ? PlanDelta(static_cast<Query *>(copyObjectImpl(QueryAfter(rel, alteration)))) : nullptr;
  if (captures) {
    Stream after = *LookupStream(relid);
    after.plan = plan;
    CheckOwnerMayRead(&after);
    CheckSourcePrivilege(owner, plan);
  }
  table_close(rel, NoLock);
  UnlockRelationOid(relid, lock);
  if (captures)
    LockForAttaching(plan->nsources, plan->sources, plan->columns, owner, WantTable(relid, AccessExclusiveLock));
  else
    LockRelationOid(relid, AccessExclusiveLock);
}

AlterationEffect EffectOf(Relation rel, const Alteration *alteration) {
  AlterationEffect effect = {};
  const Stream *stream = LookupStream(RelationGetRelid(rel));
  const StoredOptions options = ReadStoredOptions(stream->relid);
  if (alteration->sets_schedule && !SameText(options.schedule, alteration->schedule)) {
    effect.options = true;
    effect.reasons = lappend(effect.reasons, psprintf("schedule changes from %s to %s", ShowSchedule(options.schedule),
                                                      ShowSchedule(alteration->schedule)));
  }
  if (alteration->status != nullptr && !SameText(options.status, alteration->status)) {
    effect.options = true;
    effect.reasons = lappend(effect.reasons, psprintf("status changes from %s to %s", options.status, alteration->status));
  }
  if (alteration->sets_mode && alteration->mode != stream->mode) {
    effect.redefines = true;
    effect.reasons = lappend(effect.reasons, psprintf("refresh mode changes from %s to %s", RefreshModeName(stream->mode),
                                                      RefreshModeName(alteration->mode)));
  }
  const Query *definition = LoadDefinition(rel);
  if (alteration->query != nullptr && !SameQuery(definition, alteration->query)) {
    effect.redefines = true;
    effect.misfits = Misfits(rel, definition, alteration->query);
    effect.reasons = lappend(effect.reasons, pstrdup("the query is another one"));
    if (effect.misfits != nullptr) effect.reasons = lappend(effect.reasons, effect.misfits);
  }
  return effect;
}

void AlterStream(Relation rel, const Alteration *alteration, const AlterationEffect *effect) {
  const Oid relid = RelationGetRelid(rel);
  if (effect->redefines) CheckRedefinition(rel, alteration, effect);
  if (alteration->sets_schedule || alteration->status != nullptr) {
    const StoredOptions stored = ReadStoredOptions(relid);
    const char *schedule = alteration->sets_schedule ? alteration->schedule : stored.schedule;
    const AttrNumber columns[] = {pgs_stream::schedule, pgs_stream::status};
    const Datum values[] = {schedule != nullptr ? CStringGetTextDatum(schedule) : static_cast<Datum>(0),
                            CStringGetTextDatum(alteration->status != nullptr ? alteration->status : stored.status)};
    const bool nulls[] = {schedule == nullptr, false};
    UpdateCatalogRow("pgs_stream", "pgs_stream_pkey", relid, lengthof(columns), columns, values, nulls);
    CommandCounterIncrement();
  }
  if (!effect->redefines) {
    if (effect->options) RecordOptions(rel);
    table_close(rel, NoLock);
    return;
  }
  Redefine(rel, alteration->query, ModeAfter(rel, alteration));
}

const char *ParseStatus(const char *text) {
  if (pg_strcasecmp(text, "ACTIVE") == 0) return "ACTIVE";
  if (pg_strcasecmp(text, "PAUSED") == 0) return "PAUSED";
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("cannot set the status of a stream table to \"%s\"", text),
                  errhint("Valid values are \"ACTIVE\" and \"PAUSED\".")));
}

}  // namespace pgstream
