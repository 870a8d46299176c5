// The triggers of a table that call one function, by their rows in pg_trigger.
//
// Promises: sees them as the catalogs are now, disabled and internal ones too. Refuses: nothing; a table without any has none.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Calls visit(HeapTuple, TupleDesc of pg_trigger) for each; the tuple is valid during the call only.
template <class Visit>
void VisitTriggers(Oid table, Oid function, Visit &&visit) {
  ScanKeyData key[1];
  Relation catalog = table_open(TriggerRelationId, AccessShareLock);
  ScanKeyInit(&key[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
  SysScanDesc scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, nullptr, 1, key);
  while (HeapTuple tuple = systable_getnext(scan))
    if (reinterpret_cast<Form_pg_trigger>(GETSTRUCT(tuple))->tgfoid == function) visit(tuple, RelationGetDescr(catalog));
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
}

}  // namespace pgstream
