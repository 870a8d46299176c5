// Walking pg_inherits; see inheritance.hpp.
#include "pg/inheritance.hpp"

extern "C" {
#include "catalog/pg_inherits.h"
}

namespace pgstream {

List *TreeMembers(Oid root, bool *detaching) {
  List *members = list_make1_oid(root);
  if (detaching != nullptr) *detaching = false;
  for (int i = 0; i < list_length(members); ++i) {
    bool pending = false;
    List *children = find_inheritance_children_extended(list_nth_oid(members, i), false, NoLock, &pending, nullptr);
    if (pending && detaching != nullptr) *detaching = true;
    ListCell *cell;
    // With several parents a child may be met again; a partition has one.
    foreach (cell, children) {
      const Oid child = lfirst_oid(cell);
      if (get_rel_relispartition(child))
        members = lappend_oid(members, child);
      else
        members = list_append_unique_oid(members, child);
    }
    list_free(children);
  }
  return members;
}

static List *ParentsOf(Oid relid) {
  List *parents = NIL;
  ScanKeyData key[1];
  Relation inherits = table_open(InheritsRelationId, AccessShareLock);
  ScanKeyInit(&key[0], Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
  SysScanDesc scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, nullptr, 1, key);
  while (HeapTuple tuple = systable_getnext(scan))
    parents = lappend_oid(parents, reinterpret_cast<Form_pg_inherits>(GETSTRUCT(tuple))->inhparent);
  systable_endscan(scan);
  table_close(inherits, AccessShareLock);
  return parents;
}

List *AncestorsOf(Oid relid) {
  List *ancestors = ParentsOf(relid);
  for (int i = 0; i < list_length(ancestors); ++i)
    ancestors = list_concat_unique_oid(ancestors, ParentsOf(list_nth_oid(ancestors, i)));
  list_sort(ancestors, list_oid_cmp);
  return ancestors;
}

bool IsInTree(Oid relid) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
  if (!HeapTupleIsValid(tuple)) return false;
  const FormData_pg_class *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  const bool partitioned = form->relkind == RELKIND_PARTITIONED_TABLE || form->relispartition;
  const bool has_subclass = form->relhassubclass;
  ReleaseSysCache(tuple);
  if (partitioned || has_superclass(relid)) return true;
  // The flag says that there were children once.
  return has_subclass && list_length(TreeMembers(relid, nullptr)) > 1;
}

}  // namespace pgstream
