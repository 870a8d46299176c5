// The capture triggers in the catalogs; see capture_triggers.hpp.
#include "capture/capture_triggers.hpp"

#include "pg/catalog.hpp"
#include "pg/inheritance.hpp"
#include "pg/trigger_scan.hpp"

extern "C" {
#include "catalog/pg_depend.h"
}

namespace pgstream {

namespace {

constexpr int16 kChanges = TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE;

// The names sort before those of lower-case letters: what a user's own AFTER statement trigger reads of a stream table is
// then already in the log. What replication applies has no statements: there a row trigger writes, and its name sorts before
// any that a user would choose, as it runs amid the user's own row triggers. The transition tables' names are seen by nobody.
constexpr CaptureTrigger kByStatement[] = {
    {"0_pgstream_capture_begin", false, true, kChanges | TRIGGER_TYPE_TRUNCATE, TRIGGER_FIRES_ALWAYS, false, false},
    {"0_pgstream_capture_insert", false, false, TRIGGER_TYPE_INSERT, TRIGGER_FIRES_ALWAYS, false, true},
    {"0_pgstream_capture_update", false, false, TRIGGER_TYPE_UPDATE, TRIGGER_FIRES_ALWAYS, true, true},
    {"0_pgstream_capture_delete", false, false, TRIGGER_TYPE_DELETE, TRIGGER_FIRES_ALWAYS, true, false},
    {"0_pgstream_capture_truncate", false, false, TRIGGER_TYPE_TRUNCATE, TRIGGER_FIRES_ALWAYS, false, false},
    {"\001_pgstream_capture_replica", true, false, kChanges, TRIGGER_FIRES_ON_REPLICA, false, false},
};

// A passage has all but the last.
constexpr CaptureTrigger kByRow[] = {
    {"0_pgstream_tree_begin", false, true, kChanges | TRIGGER_TYPE_TRUNCATE, TRIGGER_FIRES_ALWAYS, false, false},
    {"0_pgstream_tree_end", false, false, kChanges | TRIGGER_TYPE_TRUNCATE, TRIGGER_FIRES_ALWAYS, false, false},
    {"\001_pgstream_tree_row", true, false, kChanges, TRIGGER_FIRES_ALWAYS, false, false},
};

constexpr uint32 kAllByStatement = (1u << lengthof(kByStatement)) - 1;
constexpr uint32 kAllOfHolder = (1u << lengthof(kByRow)) - 1;
constexpr uint32 kAllOfPassage = kAllOfHolder >> 1;

// A trigger of ours, as pg_trigger has it.
struct Found {
  Oid oid;
  Oid table;
  Oid source;
  bool by_row;
  int number;  // in its array; -1: in neither
  bool enabled;
};

int16 TypeOf(const CaptureTrigger *trigger) {
  return trigger->events | (trigger->row ? TRIGGER_TYPE_ROW : 0) | (trigger->before ? TRIGGER_TYPE_BEFORE : 0);
}

Found Describe(HeapTuple tuple, TupleDesc descriptor) {
  const FormData_pg_trigger *form = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple));
  Found found = {form->oid, form->tgrelid, form->tgrelid, form->tgnargs > 0, -1, false};
  if (found.by_row) {
    bool isnull;
    const Datum arguments = heap_getattr(tuple, Anum_pg_trigger_tgargs, descriptor, &isnull);
    // A NUL ends each argument.
    found.source = isnull ? InvalidOid : atooid(VARDATA_ANY(DatumGetByteaPP(arguments)));
  }
  const CaptureTrigger *const wanted = found.by_row ? kByRow : kByStatement;
  const int count = found.by_row ? lengthof(kByRow) : lengthof(kByStatement);
  for (int i = 0; i < count; ++i) {
    if (TypeOf(&wanted[i]) != form->tgtype) continue;
    found.number = i;
    found.enabled = form->tgenabled == wanted[i].enabled;
  }
  return found;
}

// Which triggers a table has for a source. *enabled becomes false when one of them is not as it must be.
uint32 Present(Oid table, Oid source, bool by_row, Oid function, bool *enabled) {
  uint32 present = 0;
  VisitTriggers(table, function, [&](HeapTuple tuple, TupleDesc descriptor) {
    if (!reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->tgisinternal) return;
    const Found found = Describe(tuple, descriptor);
    if (found.source != source || found.by_row != by_row || found.number < 0) return;
    present |= 1u << found.number;
    if (!found.enabled) *enabled = false;
  });
  return present;
}

bool AllPresent(Oid source, List *tables, bool by_row, uint32 wanted) {
  const Oid function = CaptureFunction();
  ListCell *cell;
  foreach (cell, tables) {
    bool enabled = true;
    CHECK_FOR_INTERRUPTS();
    if ((Present(lfirst_oid(cell), source, by_row, function, &enabled) & wanted) != wanted || !enabled) return false;
  }
  return true;
}

TriggerTransition *TransitionTable(const char *name, bool is_new) {
  TriggerTransition *table = makeNode(TriggerTransition);
  table->name = pstrdup(name);
  table->isNew = is_new;
  table->isTable = true;
  return table;
}

void Create(Oid table, Oid source, bool by_row, const CaptureTrigger *wanted) {
  CreateTrigStmt *statement = makeNode(CreateTrigStmt);
  statement->trigname = pstrdup(wanted->name);
  statement->funcname = list_make2(makeString(pstrdup(kSchema)), makeString(pstrdup("capture_changes")));
  if (by_row) statement->args = list_make1(makeString(psprintf("%u", source)));
  statement->row = wanted->row;
  statement->timing = wanted->before ? TRIGGER_TYPE_BEFORE : TRIGGER_TYPE_AFTER;
  statement->events = wanted->events;
  if (wanted->old_table) statement->transitionRels = lappend(statement->transitionRels, TransitionTable("old_rows", false));
  if (wanted->new_table) statement->transitionRels = lappend(statement->transitionRels, TransitionTable("new_rows", true));
  // Internal: not dumped, and no privilege on the table is asked for.
  CreateTriggerFiringOn(statement, nullptr, table, InvalidOid, InvalidOid, InvalidOid, CaptureFunction(), InvalidOid,
                        nullptr, true, false, wanted->enabled);
}

void CreateMissingOn(Oid table, Oid source, bool by_row, uint32 wanted) {
  bool enabled;
  const uint32 missing = wanted & ~Present(table, source, by_row, CaptureFunction(), &enabled);
  const CaptureTrigger *const triggers = by_row ? kByRow : kByStatement;
  for (int i = 0; wanted >> i != 0; ++i)
    if (missing & 1u << i) Create(table, source, by_row, &triggers[i]);
}

// The shape asks for it, and with this state.
bool IsWanted(const Found *found, const CaptureShape *shape) {
  if (shape == nullptr || found->number < 0 || found->by_row != shape->by_row || !found->enabled) return false;
  if (list_member_oid(shape->holders, found->table)) return true;
  return found->by_row && (kAllOfPassage & 1u << found->number) != 0 && list_member_oid(shape->passages, found->table);
}

}  // namespace

Oid CaptureFunction() {
  const Oid schema = get_namespace_oid(kSchema, true);
  if (!OidIsValid(schema)) return InvalidOid;
  oidvector *no_arguments = buildoidvector(nullptr, 0);
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("capture_changes"),
                         PointerGetDatum(no_arguments), ObjectIdGetDatum(schema));
}

// Which of those that capture by statement a table's trigger is; -1: none of them.
static int StatementCaptureNumber(const Trigger *trigger) {
  if (!trigger->tgisinternal || trigger->tgnargs > 0) return -1;
  for (int i = 0; i < static_cast<int>(lengthof(kByStatement)); ++i)
    if (strncmp(trigger->tgname, kByStatement[i].name, strlen(kByStatement[i].name)) == 0) return i;
  return -1;
}

bool HasStatementCapture(const TriggerDesc *triggers) {
  for (int i = 0; i < triggers->numtriggers; ++i)
    if (StatementCaptureNumber(&triggers->triggers[i]) >= 0) return true;
  return false;
}

// The trigger of a foreign key that may write the referencing table.
static bool Cascades(const Trigger *trigger) {
  switch (trigger->tgfoid) {
    case F_RI_FKEY_CASCADE_DEL:
    case F_RI_FKEY_CASCADE_UPD:
    case F_RI_FKEY_SETNULL_DEL:
    case F_RI_FKEY_SETNULL_UPD:
    case F_RI_FKEY_SETDEFAULT_DEL:
    case F_RI_FKEY_SETDEFAULT_UPD:
      return true;
    default:
      return false;
  }
}

// The operations after which a trigger of a user's runs for each row.
static uint32 OperationsWithRowTrigger(const Trigger *trigger) {
  if (trigger->tgisinternal || !TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype)) return 0;
  return (TRIGGER_FOR_INSERT(trigger->tgtype) ? 1u << CMD_INSERT : 0) | (TRIGGER_FOR_UPDATE(trigger->tgtype) ? 1u << CMD_UPDATE : 0) |
         (TRIGGER_FOR_DELETE(trigger->tgtype) ? 1u << CMD_DELETE : 0);
}

uint32 DirectOperations(const TriggerDesc *triggers, bool *only) {
  uint32 fires = 0, with_row_trigger = 0;
  bool cascades = false;
  *only = triggers != nullptr;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger *trigger = &triggers->triggers[i];
    const int number = StatementCaptureNumber(trigger);
    if (number >= 0 && trigger->tgenabled == kByStatement[number].enabled) fires |= 1u << number;
    *only &= number >= 0;
    cascades |= Cascades(trigger);
    with_row_trigger |= OperationsWithRowTrigger(trigger);
  }
  if (fires != kAllByStatement) return 0;
  uint32 operations = 1u << CMD_INSERT;
  // What a cascade writes fires its statement triggers with those of the statement that caused it, by the list that this one has:
  // and it may come back to the same table.
  if (!cascades) operations |= 1u << CMD_DELETE;
  if (!cascades && !triggers->trig_update_before_row) operations |= 1u << CMD_UPDATE;
  // A refresh in a trigger of one row is refused, as the statement is not over yet; one in a trigger of the statement is not. The
  // capture triggers can tell the two apart.
  return operations & ~with_row_trigger;
}

// As the relation cache computes them.
static void SetFlags(TriggerDesc *triggers) {
  const TriggerDesc none = {};
  Trigger *const list = triggers->triggers;
  const int count = triggers->numtriggers;
  *triggers = none;
  triggers->triggers = list;
  triggers->numtriggers = count;
  for (int i = 0; i < count; ++i) {
    const Trigger *trigger = &list[i];
    const int16 type = trigger->tgtype;
    const auto fires = [type](int16 level, int16 timing, int16 event) {
      return (type & (TRIGGER_TYPE_LEVEL_MASK | TRIGGER_TYPE_TIMING_MASK | event)) == (level | timing | event);
    };
    constexpr int16 kRow = TRIGGER_TYPE_ROW, kStatement = TRIGGER_TYPE_STATEMENT, kBefore = TRIGGER_TYPE_BEFORE,
                    kAfter = TRIGGER_TYPE_AFTER, kInstead = TRIGGER_TYPE_INSTEAD;
    triggers->trig_insert_before_row |= fires(kRow, kBefore, TRIGGER_TYPE_INSERT);
    triggers->trig_insert_after_row |= fires(kRow, kAfter, TRIGGER_TYPE_INSERT);
    triggers->trig_insert_instead_row |= fires(kRow, kInstead, TRIGGER_TYPE_INSERT);
    triggers->trig_insert_before_statement |= fires(kStatement, kBefore, TRIGGER_TYPE_INSERT);
    triggers->trig_insert_after_statement |= fires(kStatement, kAfter, TRIGGER_TYPE_INSERT);
    triggers->trig_update_before_row |= fires(kRow, kBefore, TRIGGER_TYPE_UPDATE);
    triggers->trig_update_after_row |= fires(kRow, kAfter, TRIGGER_TYPE_UPDATE);
    triggers->trig_update_instead_row |= fires(kRow, kInstead, TRIGGER_TYPE_UPDATE);
    triggers->trig_update_before_statement |= fires(kStatement, kBefore, TRIGGER_TYPE_UPDATE);
    triggers->trig_update_after_statement |= fires(kStatement, kAfter, TRIGGER_TYPE_UPDATE);
    triggers->trig_delete_before_row |= fires(kRow, kBefore, TRIGGER_TYPE_DELETE);
    triggers->trig_delete_after_row |= fires(kRow, kAfter, TRIGGER_TYPE_DELETE);
    triggers->trig_delete_instead_row |= fires(kRow, kInstead, TRIGGER_TYPE_DELETE);
    triggers->trig_delete_before_statement |= fires(kStatement, kBefore, TRIGGER_TYPE_DELETE);
    triggers->trig_delete_after_statement |= fires(kStatement, kAfter, TRIGGER_TYPE_DELETE);
    triggers->trig_truncate_before_statement |= fires(kStatement, kBefore, TRIGGER_TYPE_TRUNCATE);
    triggers->trig_truncate_after_statement |= fires(kStatement, kAfter, TRIGGER_TYPE_TRUNCATE);
    triggers->trig_insert_new_table |= TRIGGER_FOR_INSERT(type) && trigger->tgnewtable != nullptr;
    triggers->trig_update_old_table |= TRIGGER_FOR_UPDATE(type) && trigger->tgoldtable != nullptr;
    triggers->trig_update_new_table |= TRIGGER_FOR_UPDATE(type) && trigger->tgnewtable != nullptr;
    triggers->trig_delete_old_table |= TRIGGER_FOR_DELETE(type) && trigger->tgoldtable != nullptr;
  }
}

TriggerDesc *WithoutStatementCapture(TriggerDesc *triggers) {
  int others = 0;
  for (int i = 0; i < triggers->numtriggers; ++i) others += StatementCaptureNumber(&triggers->triggers[i]) < 0;
  if (others == 0) return nullptr;
  TriggerDesc *copy = CopyTriggerDesc(triggers);
  others = 0;
  for (int i = 0; i < copy->numtriggers; ++i)
    if (StatementCaptureNumber(&copy->triggers[i]) < 0) copy->triggers[others++] = copy->triggers[i];
  copy->numtriggers = others;
  SetFlags(copy);
  return copy;
}

CaptureShape ShapeOf(Oid source) {
  CaptureShape shape = {};
  if (!IsInTree(source)) {
    shape.holders = list_make1_oid(source);
    return shape;
  }
  shape.by_row = true;
  List *members = TreeMembers(source, nullptr);
  ListCell *cell;
  foreach (cell, members) {
    const Oid member = lfirst_oid(cell);
    const char kind = get_rel_relkind(member);
    if (kind == RELKIND_PARTITIONED_TABLE)
      shape.passages = lappend_oid(shape.passages, member);
    else
      shape.holders = lappend_oid(shape.holders, member);
    // A partition has no parent but the one through which it was found.
    if (member == source || !get_rel_relispartition(member)) {
      ListCell *above;
      List *ancestors = AncestorsOf(member);
      foreach (above, ancestors)
        if (!list_member_oid(members, lfirst_oid(above)))
          shape.passages = list_append_unique_oid(shape.passages, lfirst_oid(above));
    }
  }
  return shape;
}

bool SameShape(const CaptureShape *a, const CaptureShape *b) {
  return a->by_row == b->by_row && equal(a->holders, b->holders) && equal(a->passages, b->passages);
}

bool TriggersAreComplete(Oid source, const CaptureShape *shape) {
  return AllPresent(source, shape->holders, shape->by_row, shape->by_row ? kAllOfHolder : kAllByStatement) &&
         AllPresent(source, shape->passages, true, kAllOfPassage);
}

void CreateMissingTriggers(Oid source, const CaptureShape *shape) {
  ListCell *cell;
  foreach (cell, shape->holders)
    CreateMissingOn(lfirst_oid(cell), source, shape->by_row, shape->by_row ? kAllOfHolder : kAllByStatement);
  foreach (cell, shape->passages) CreateMissingOn(lfirst_oid(cell), source, true, kAllOfPassage);
}

// All triggers of ours depend on their function, and pg_depend is the one index that finds them.
List *TriggersBeyond(Oid source, const CaptureShape *shape, List **tables) {
  List *triggers = NIL;
  *tables = NIL;
  ScanKeyData key[2];
  Relation depend = table_open(DependRelationId, AccessShareLock);
  Relation catalog = table_open(TriggerRelationId, AccessShareLock);
  ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(ProcedureRelationId));
  ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(CaptureFunction()));
  SysScanDesc scan = systable_beginscan(depend, DependReferenceIndexId, true, nullptr, 2, key);
  while (HeapTuple tuple = systable_getnext(scan)) {
    const FormData_pg_depend *form = reinterpret_cast<Form_pg_depend>(GETSTRUCT(tuple));
    if (form->classid != TriggerRelationId) continue;
    ScanKeyData trigger_key[1];
    ScanKeyInit(&trigger_key[0], Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(form->objid));
    SysScanDesc lookup = systable_beginscan(catalog, TriggerOidIndexId, true, nullptr, 1, trigger_key);
    HeapTuple trigger = systable_getnext(lookup);
    if (HeapTupleIsValid(trigger) && reinterpret_cast<Form_pg_trigger>(GETSTRUCT(trigger))->tgisinternal) {
      const Found found = Describe(trigger, RelationGetDescr(catalog));
      if (found.source == source && !IsWanted(&found, shape)) {
        triggers = lappend_oid(triggers, found.oid);
        *tables = list_append_unique_oid(*tables, found.table);
      }
    }
    systable_endscan(lookup);
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  table_close(depend, AccessShareLock);
  return triggers;
}

// As the server's own removal of a trigger, but for its lock on the table, which keeps out readers too: who reads runs no
// trigger. Nothing can depend on one of ours.
void DropTriggers(List *triggers) {
  if (triggers == NIL) return;
  Relation catalog = table_open(TriggerRelationId, RowExclusiveLock);
  ListCell *cell;
  foreach (cell, triggers) {
    ScanKeyData key[1];
    ScanKeyInit(&key[0], Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(lfirst_oid(cell)));
    SysScanDesc scan = systable_beginscan(catalog, TriggerOidIndexId, true, nullptr, 1, key);
    if (HeapTuple tuple = systable_getnext(scan)) {
      const Oid table = reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->tgrelid;
      CatalogTupleDelete(catalog, &tuple->t_self);
      deleteDependencyRecordsFor(TriggerRelationId, lfirst_oid(cell), false);
      CacheInvalidateRelcacheByRelid(table);
    }
    systable_endscan(scan);
  }
  table_close(catalog, NoLock);
  CommandCounterIncrement();
}

List *TransitionTriggersOf(Oid source) {
  List *tables;
  const CaptureShape by_row = {true, list_make1_oid(source), NIL};
  bool enabled;
  if (Present(source, source, false, CaptureFunction(), &enabled) == 0) return NIL;
  return TriggersBeyond(source, &by_row, &tables);
}

}  // namespace pgstream
