// Changes of trees; see source_ddl.hpp.
//
// A change of a table concerns the stream tables that read it, what it inherits from, or what inherits from it; a change of
// where a table belongs, those that read it or what is below it, and those that read the parent or what is above that. The
// marks are made before the command, as parts of it may be committed before it ends, and again after it for stream tables whose
// creators it had to wait for: between the commits of DETACH CONCURRENTLY every reader recomputes.
#include "api/source_ddl.hpp"

#include "api/stream_ddl.hpp"
#include "capture/capture_triggers.hpp"
#include "capture/log_object.hpp"
#include "capture/open_reads.hpp"
#include "capture/source_capture.hpp"
#include "pg/catalog.hpp"
#include "pg/inheritance.hpp"
#include "pg/reach.hpp"
#include "pg/rebuild.hpp"
#include "pg/source_use.hpp"
#include "pg/stream.hpp"

namespace pgstream {

namespace {

object_access_hook_type previous_object_access = nullptr;
List *new_tables = NIL;  // OIDs, in TopMemoryContext, created since the last look; a wrong or stale one is harmless

// What leaves a source's rows and our triggers as they are.
bool IsHarmless(AlterTableType type) {
  switch (type) {
    case AT_AddColumn:
    case AT_ColumnDefault:
    case AT_DropNotNull:
    case AT_SetNotNull:
    case AT_AddIndex:
    case AT_AddConstraint:
    case AT_AddIndexConstraint:
    case AT_AlterConstraint:
    case AT_ValidateConstraint:
    case AT_DropConstraint:
    case AT_DropColumn:  // a used one is refused by the rule's dependency
    case AT_AlterColumnType:
    case AT_DropExpression:
      return true;
    default:
      return IsAboutStorage(type);
  }
}

// A table and what it inherits from, in the order of OIDs.
List *TableAndAbove(Oid relid) {
  List *relids = list_append_unique_oid(AncestorsOf(relid), relid);
  list_sort(relids, list_oid_cmp);
  return relids;
}

List *StreamsConcerned(const SourceDdl *ddl) {
  List *relids = TableAndAbove(ddl->table), *streams = NIL;
  if (OidIsValid(ddl->parent)) relids = list_concat_unique_oid(relids, TableAndAbove(ddl->parent));
  relids = list_concat_unique_oid(relids, TreeMembers(ddl->table, nullptr));
  ListCell *cell;
  foreach (cell, relids) {
    streams = list_concat_unique_oid(streams, ConsumersOf(lfirst_oid(cell)));
    // Those that do not capture it, as over row security, may be maintained from now on.
    streams = list_concat_unique_oid(streams, StreamsReaching(RelationRelationId, lfirst_oid(cell)));
  }
  list_sort(streams, list_oid_cmp);
  return streams;
}

void CheckNoStreamRead(Oid relid, const char *command) {
  const SourceDdl ddl = {relid, InvalidOid, NIL};
  CheckNotRead(relid, StreamsConcerned(&ddl), command);
}

// Any ALTER TABLE, as the server does: which of them rewrite the rows it decides later.
void CheckAlterable(const AlterTableStmt *statement) {
  if (statement->objtype != OBJECT_TABLE) return;
  const Oid relid = RangeVarGetRelid(statement->relation, NoLock, true);
  if (OidIsValid(relid) && compat::OwnsRelation(relid, GetUserId())) CheckNoStreamRead(relid, "ALTER TABLE");
}

// Locks the logs of a table and of what it inherits from, as objects: it waits for creators who rely on them, and keeps others
// away. Returns what UnlockTogether takes.
List *LockLogsAbove(Oid relid) {
  List *wanted = NIL;
  ListCell *cell;
  LogEntry entry;
  foreach (cell, TableAndAbove(relid))
    if (ReadLogEntry(lfirst_oid(cell), &entry)) wanted = lappend(wanted, WantLogObject(lfirst_oid(cell), AccessExclusiveLock));
  if (wanted != NIL) LockTogether(relid, wanted);
  return wanted;
}

bool HasForeignMember(Oid relid) {
  ListCell *cell;
  foreach (cell, TreeMembers(relid, nullptr))
    if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE) return true;
  return false;
}

// A statement that has to collect rows of a foreign table for transition tables fails.
void DropTransitionTriggersAbove(Oid parent) {
  ListCell *cell;
  foreach (cell, TableAndAbove(parent)) {
    List *triggers = TransitionTriggersOf(lfirst_oid(cell));
    if (triggers == NIL) continue;
    LockRelationOid(lfirst_oid(cell), ShareRowExclusiveLock);
    MarkForRebuild(lfirst_oid(cell));
    DropTriggers(triggers);
  }
}

// An event trigger may have written it before we hear of it.
bool IsEmpty(Oid table) {
  Relation rel = table_open(table, AccessShareLock);
  const bool empty = !RELKIND_HAS_STORAGE(rel->rd_rel->relkind) || RelationGetNumberOfBlocks(rel) == 0;
  table_close(rel, NoLock);
  return empty;
}

// Captures a new table for a source among its ancestors; false when that does not do.
bool AdoptFor(Oid source, Oid table) {
  Relation rel = table_open(source, AccessShareLock);
  const bool capturable = WhyNotCapturable(rel) == nullptr;
  table_close(rel, NoLock);
  if (!capturable) return false;
  const CaptureShape shape = ShapeOf(source);
  CaptureShape mine = {true, NIL, NIL};
  if (!shape.by_row) return false;
  if (list_member_oid(shape.holders, table))
    mine.holders = list_make1_oid(table);
  else if (list_member_oid(shape.passages, table))
    mine.passages = list_make1_oid(table);
  CreateMissingTriggers(source, &mine);
  CommandCounterIncrement();
  // With further parents of the new table, or a source that was alone before, there is more to do than may be done here.
  return TriggersAreComplete(source, &shape) && IsEmpty(table);
}

void Adopt(Oid table) {
  ListCell *cell;
  foreach (cell, AncestorsOf(table)) {
    const Oid source = lfirst_oid(cell);
    List *streams = ConsumersOf(source);
    if (streams == NIL) continue;
    if (!AdoptFor(source, table)) MarkForRebuild(source);
    ListCell *stream;
    foreach (stream, streams) InvalidateStream(lfirst_oid(stream));
  }
}

void NoteNewTable(Oid relid) {
  const MemoryContext saved = MemoryContextSwitchTo(TopMemoryContext);
  new_tables = lappend_oid(new_tables, relid);
  MemoryContextSwitchTo(saved);
}

bool HoldsRows(char relkind) {
  return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE || relkind == RELKIND_FOREIGN_TABLE;
}

void ObjectAccess(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *argument) {
  if (previous_object_access != nullptr) previous_object_access(access, class_id, object_id, sub_id, argument);
  if (class_id != RelationRelationId || sub_id != 0 || object_id < FirstNormalObjectId) return;
  if (access == OAT_POST_CREATE) {
    NoteNewTable(object_id);
  } else if (access == OAT_DROP && HoldsRows(get_rel_relkind(object_id)) &&
             OidIsValid(CatalogRelationId("pgs_dependency"))) {
    // Its rows go without a trigger.
    const List *const above = AncestorsOf(object_id);
    if (above != NIL) CheckNoStreamRead(object_id, "DROP TABLE");
    ListCell *cell;
    foreach (cell, above) MarkForRebuild(lfirst_oid(cell));
  }
}

}  // namespace

void AfterTreeChange(const SourceDdl *ddl) {
  if (!OidIsValid(ddl->table)) return;
  // After all tables of the command: whoever has them shared may still ask for a log.
  if (OidIsValid(ddl->parent)) (void)LockLogsAbove(ddl->parent);
  CommandCounterIncrement();
  AcceptInvalidationMessages();
  ListCell *cell;
  foreach (cell, StreamsConcerned(ddl)) {
    if (list_member_oid(ddl->marked, lfirst_oid(cell)))
      InvalidateStream(lfirst_oid(cell));
    else
      RaiseVersion(lfirst_oid(cell));
  }
}

void BeforeAlterTable(const AlterTableStmt *statement, SourceDdl *ddl) {
  CheckAlterable(statement);
  bool harmless = true;
  const RangeVar *parent_name = nullptr, *child_name = nullptr;
  bool gains = false;
  ListCell *cell;
  foreach (cell, statement->cmds) {
    const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);
    if (IsHarmless(command->subtype)) continue;
    harmless = false;
    switch (command->subtype) {
      case AT_AttachPartition:
        gains = true;
        [[fallthrough]];
      case AT_DetachPartition:
      case AT_DetachPartitionFinalize:
        child_name = reinterpret_cast<const PartitionCmd *>(command->def)->name;
        break;
      case AT_AddInherit:
        gains = true;
        [[fallthrough]];
      case AT_DropInherit:
        parent_name = reinterpret_cast<const RangeVar *>(command->def);
        break;
      default:
        break;
    }
  }
  if (harmless) return;
  Oid relid = RangeVarGetRelid(statement->relation, NoLock, true);
  // Who may not alter the table is about to be told so.
  if (!OidIsValid(relid) || !compat::OwnsRelation(relid, GetUserId())) return;
  const RangeVar *other_name = parent_name != nullptr ? parent_name : child_name;
  const Oid other = other_name != nullptr ? RangeVarGetRelid(other_name, NoLock, true) : InvalidOid;
  // Creators that are there already may still want the tables that the command is about to lock.
  if (OidIsValid(other)) UnlockTogether(LockLogsAbove(child_name != nullptr ? relid : other));
  relid = RangeVarGetRelid(statement->relation, AlterTableGetLockLevel(statement->cmds), true);
  if (!OidIsValid(relid)) return;
  const bool moves_other = child_name != nullptr && OidIsValid(other);
  ddl->table = moves_other ? other : relid;
  ddl->parent = moves_other ? relid : other;
  if (gains && OidIsValid(ddl->parent) && HasForeignMember(ddl->table)) DropTransitionTriggersAbove(ddl->parent);
  ddl->marked = StreamsConcerned(ddl);
  ListCell *stream;
  foreach (stream, ddl->marked) RaiseVersion(lfirst_oid(stream));
}

void BeforeForeignChild(List *parents) {
  ListCell *cell;
  foreach (cell, parents) {
    const Oid parent = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);
    if (OidIsValid(parent) && compat::OwnsRelation(parent, GetUserId())) DropTransitionTriggersAbove(parent);
  }
}

void AdoptNewTables() {
  while (new_tables != NIL) {
    const Oid table = linitial_oid(new_tables);
    new_tables = list_delete_first(new_tables);
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)) || !HoldsRows(get_rel_relkind(table))) continue;
    // One that was not created by this transaction, and may be locked by another, is left over from a command that failed.
    if (!ConditionalLockRelationOid(table, AccessShareLock)) continue;
    Relation rel = try_relation_open(table, NoLock);
    const bool created_here = rel != nullptr && rel->rd_createSubid != InvalidSubTransactionId;
    if (rel != nullptr) relation_close(rel, NoLock);
    UnlockRelationOid(table, AccessShareLock);
    if (created_here) Adopt(table);
  }
}

void InitSourceDdl() {
  previous_object_access = object_access_hook;
  object_access_hook = ObjectAccess;
}

}  // namespace pgstream
