// ProcessUtility: CREATE TABLE AS with our access method goes the way of create.hpp; what a stream table cannot do is
// refused here; DDL of a source that no trigger sees marks its stream tables for rebuild.
#include "api/utility.hpp"

#include "api/create.hpp"
#include "api/definition_change.hpp"
#include "api/drop.hpp"
#include "api/key_index_upkeep.hpp"
#include "api/own_tables.hpp"
#include "api/replication.hpp"
#include "api/restore.hpp"
#include "api/source_ddl.hpp"
#include "api/stream_ddl.hpp"
#include "delta/shared_read.hpp"
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/definition.hpp"
#include "pg/restoring.hpp"
#include "pg/settings.hpp"
#include "pg/stream.hpp"

extern "C" {
#include "commands/event_trigger.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
}

namespace pgstream {

namespace {

ProcessUtility_hook_type previous_utility = nullptr;

// One call of the hook, to be handed on with another statement in place of the first.
struct UtilityCall {
  PlannedStmt *planned;
  const char *text;
  bool read_only_tree;
  ProcessUtilityContext context;
  ParamListInfo params;
  QueryEnvironment *environment;
  DestReceiver *receiver;
  QueryCompletion *completion;
};

void HandOn(const UtilityCall *call) {
  (previous_utility != nullptr ? previous_utility : standard_ProcessUtility)(
      call->planned, call->text, call->read_only_tree, call->context, call->params, call->environment, call->receiver,
      call->completion);
}

void HandOnInstead(const UtilityCall *original, Node *statement) {
  UtilityCall call = *original;
  call.planned = static_cast<PlannedStmt *>(copyObjectImpl(call.planned));
  call.planned->utilityStmt = statement;
  call.read_only_tree = false;
  HandOn(&call);
}

void RunCreateTable(CreateTableAsStmt *statement, void *argument) {
  UtilityCall call = *static_cast<UtilityCall *>(argument);
  call.context = PROCESS_UTILITY_SUBCOMMAND;
  HandOnInstead(&call, reinterpret_cast<Node *>(statement));
}

// Event triggers are shown the stream table, not what core has made of it halfway: they are called here.
int64 CreateWithEventTriggers(UtilityCall *call) {
  auto *statement = reinterpret_cast<CreateTableAsStmt *>(call->planned->utilityStmt);
  if (call->context == PROCESS_UTILITY_SUBCOMMAND) return CreateStreamTable(statement, RunCreateTable, call);
  volatile int64 rows = 0;
  const bool opened = EventTriggerBeginCompleteQuery();
  PG_TRY();
  {
    EventTriggerDDLCommandStart(reinterpret_cast<Node *>(statement));
    rows = CreateStreamTable(statement, RunCreateTable, call);
    EventTriggerSQLDrop(reinterpret_cast<Node *>(statement));
    EventTriggerDDLCommandEnd(reinterpret_cast<Node *>(statement));
  }
  PG_FINALLY();
  {
    if (opened) EventTriggerEndCompleteQuery();
  }
  PG_END_TRY();
  return rows;
}

[[noreturn]] void Refuse(const char *message, const char *hint) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("%s", message), errhint("%s", hint)));
  pg_unreachable();
}

// What is left to do after a statement.
struct Afterwards {
  SourceDdl ddl;
  Oid leaving;  // a stream table that becomes a plain table
};

// Refuses, or takes note of, a statement before it runs.
void CheckStatement(Node *statement, Afterwards *after) {
  switch (nodeTag(statement)) {
    case T_CreateStmt:
      CheckCreateTable(reinterpret_cast<CreateStmt *>(statement));
      break;
    case T_AlterObjectSchemaStmt:
      CheckSetSchema(reinterpret_cast<AlterObjectSchemaStmt *>(statement));
      break;
    case T_CreateTableAsStmt: {
      const auto *create = reinterpret_cast<CreateTableAsStmt *>(statement);
      if (create->objtype == OBJECT_MATVIEW && NamesStreamMethod(EffectiveMethod(create->into->accessMethod)))
        Refuse("a materialized view cannot have the access method pgstream",
               "Use CREATE TABLE ... USING pgstream AS SELECT ...");
      break;
    }
    case T_ExplainStmt: {
      const auto *explain = reinterpret_cast<ExplainStmt *>(statement);
      const auto *query = reinterpret_cast<Query *>(explain->query);
      if (query == nullptr || !IsA(query, Query) || query->utilityStmt == nullptr ||
          !IsA(query->utilityStmt, CreateTableAsStmt))
        break;
      if (CreatesStreamTable(reinterpret_cast<CreateTableAsStmt *>(query->utilityStmt)))
        Refuse("EXPLAIN of the creation of a stream table is not supported", "Use EXPLAIN on its query.");
      break;
    }
    case T_AlterTableStmt:
      if (CheckAlterTable(reinterpret_cast<AlterTableStmt *>(statement), &after->leaving))
        BeforeAlterTable(reinterpret_cast<AlterTableStmt *>(statement), &after->ddl);
      break;
    case T_CreateForeignTableStmt:
      CheckCreateTable(&reinterpret_cast<CreateForeignTableStmt *>(statement)->base);
      BeforeForeignChild(reinterpret_cast<CreateForeignTableStmt *>(statement)->base.inhRelations);
      break;
    case T_CreateTrigStmt: {
      const auto *trigger = reinterpret_cast<CreateTrigStmt *>(statement);
      if (OidIsValid(StreamNamed(trigger->relation)))
        Refuse("stream tables cannot have triggers", "Put the trigger on a source of the stream table.");
      break;
    }
    case T_RuleStmt: {
      const auto *rule = reinterpret_cast<RuleStmt *>(statement);
      if (!OidIsValid(StreamNamed(rule->relation))) break;
      if (strcmp(rule->rulename, kDefinitionRule) == 0)
        Refuse("cannot replace the rule that defines a stream table", "Change its query with pgstream.alter_stream_table().");
      // It would stand beside the definition, or turn the table into a view. Rules for what is refused anyway are harmless.
      if (rule->event == CMD_INSERT || rule->event == CMD_SELECT)
        Refuse("stream tables cannot have further rules for INSERT or SELECT",
               "Their content follows from their query: change its sources.");
      break;
    }
    case T_RenameStmt: {
      const auto *rename = reinterpret_cast<RenameStmt *>(statement);
      if (rename->renameType == OBJECT_RULE && strcmp(rename->subname, kDefinitionRule) == 0 &&
          OidIsValid(StreamNamed(rename->relation)))
        Refuse("cannot rename the rule that defines a stream table", "It is known by its name.");
      break;
    }
    case T_CopyStmt: {
      const auto *copy = reinterpret_cast<CopyStmt *>(statement);
      if (copy->is_from && copy->relation != nullptr && !RestoringDump() && OidIsValid(StreamNamed(copy->relation)))
        Refuse("cannot copy into a stream table", "Its content follows from its query: change its sources.");
      break;
    }
    case T_CreatePublicationStmt:
    case T_AlterPublicationStmt:
      CheckPublication(statement);
      break;
    case T_LockStmt:
      CheckLock(reinterpret_cast<LockStmt *>(statement));
      break;
    case T_TruncateStmt: {
      ListCell *cell;
      foreach (cell, reinterpret_cast<TruncateStmt *>(statement)->relations)
        if (OidIsValid(StreamNamed(lfirst_node(RangeVar, cell))))
          Refuse("cannot truncate a stream table", "Its content follows from its query: change its sources.");
      break;
    }
    default:
      break;
  }
}

void ProcessStreamUtility(UtilityCall *call) {
  Node *statement = call->planned->utilityStmt;
  if (IsA(statement, CreateTableAsStmt) && CreatesStreamTable(reinterpret_cast<CreateTableAsStmt *>(statement))) {
    const int64 rows = CreateWithEventTriggers(call);
    if (rows >= 0 && call->completion != nullptr) SetQueryCompletion(call->completion, CMDTAG_SELECT, rows);
    return;
  }
  // Without the extension in this database there is nothing to look after, and statements of a failed transaction
  // (ROLLBACK) must not look into catalogs.
  const bool watched = IsTransactionState() && OidIsValid(CatalogRelationId("pgs_stream"));
  Afterwards after = {};
  RestoreStep restore = {statement};
  if (watched) {
    // What CREATE TABLE (LIKE ... INCLUDING INDEXES) makes of a key index serves nobody.
    if (call->context == PROCESS_UTILITY_SUBCOMMAND && IsA(statement, IndexStmt) &&
        CopiesKeyIndex(reinterpret_cast<IndexStmt *>(statement)))
      return;
    restore = BeginRestoreStep(statement);
    if (GetCommandLogLevel(statement) == LOGSTMT_DDL) CompleteSharedReads();
    if (restore.statement != nullptr) {
      CheckStatement(restore.statement, &after);
      MarkBefore(restore.statement);
    }
  }
  if (restore.statement == statement)
    HandOn(call);
  else if (restore.statement != nullptr)
    HandOnInstead(call, restore.statement);
  if (!watched || !IsTransactionState()) return;
  FinishRestoreStep(&restore);
  if (OidIsValid(after.leaving)) DisbandStream(after.leaving);
  AfterTreeChange(&after.ddl);
  AdoptNewTables();
  if (IsA(statement, VacuumStmt) || IsA(statement, ClusterStmt) || IsA(statement, ReindexStmt)) HideKeyIndexes();
}

void UtilityHook(PlannedStmt *planned, const char *text, bool read_only_tree, ProcessUtilityContext context,
                 ParamListInfo params, QueryEnvironment *environment, DestReceiver *receiver,
                 QueryCompletion *completion) {
  Entry([&] {
    UtilityCall call = {planned, text, read_only_tree, context, params, environment, receiver, completion};
    ProcessStreamUtility(&call);
  });
}

}  // namespace

void InitUtility() {
  previous_utility = ProcessUtility_hook;
  ProcessUtility_hook = UtilityHook;
  InitSourceDdl();
}

}  // namespace pgstream
