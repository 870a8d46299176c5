// Finding the key index; see key_index.hpp.
#include "pg/key_index.hpp"

#include "pg/catalog.hpp"

extern "C" {
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "utils/syscache.h"
}

namespace pgstream {

static constexpr const char *kImageHash = "image_hash", *kKeyHash = "key_hash";

// That one was complete when we hid it, unlike one whose building failed.
bool IsInternalIndex(Oid index, Oid table) {
  Relation depend = table_open(DependRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
  ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(index));
  SysScanDesc scan = systable_beginscan(depend, DependDependerIndexId, true, nullptr, 2, keys);
  bool belongs = false;
  while (HeapTuple tuple = systable_getnext(scan)) {
    const auto *row = reinterpret_cast<Form_pg_depend>(GETSTRUCT(tuple));
    belongs |= row->refclassid == RelationRelationId && row->refobjid == table && row->deptype == DEPENDENCY_INTERNAL;
  }
  systable_endscan(scan);
  table_close(depend, AccessShareLock);
  return belongs;
}

bool IsKeyFunction(Oid function) {
  if (get_func_namespace(function) != get_namespace_oid(kSchema, true)) return false;
  const char *name = get_func_name(function);
  return strcmp(name, kImageHash) == 0 || strcmp(name, kKeyHash) == 0;
}

namespace {

// From the catalog rather than an opened index: opening would need a lock on it.
bool IsKeyIndex(HeapTuple tuple, const DeltaPlan *plan) {
  const auto *index = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
  if (!index->indisready || !index->indislive || index->indisunique || index->indnatts != 1 ||
      !heap_attisnull(tuple, Anum_pg_index_indpred, nullptr))
    return false;
  bool isnull;
  const Datum value = SysCacheGetAttr(INDEXRELID, tuple, Anum_pg_index_indexprs, &isnull);
  if (isnull) return false;
  const auto *expressions = static_cast<List *>(stringToNode(TextDatumGetCString(value)));
  if (list_length(expressions) != 1 || !IsA(linitial(expressions), FuncExpr)) return false;

  const auto *function = linitial_node(FuncExpr, expressions);
  if (!IsKeyFunction(function->funcid) || strcmp(get_func_name(function->funcid), KeyFunction(plan)) != 0 ||
      list_length(function->args) != plan->nindex_columns)
    return false;
  for (int i = 0; i < plan->nindex_columns; ++i) {
    const Node *argument = static_cast<Node *>(list_nth(function->args, i));
    if (!IsA(argument, Var) || reinterpret_cast<const Var *>(argument)->varattno != plan->index_columns[i]) return false;
  }
  return index->indisvalid || IsInternalIndex(index->indexrelid, index->indrelid);
}

}  // namespace

const char *KeyFunction(const DeltaPlan *plan) { return plan->strategy == Strategy::Rows ? kImageHash : kKeyHash; }

Oid FindKeyIndex(Relation rel, const DeltaPlan *plan) {
  if (plan->nindex_columns == 0) return InvalidOid;
  ListCell *cell;
  foreach (cell, RelationGetIndexList(rel)) {
    HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
    if (!HeapTupleIsValid(tuple)) continue;
    const bool matches = IsKeyIndex(tuple, plan);
    ReleaseSysCache(tuple);
    if (matches) return lfirst_oid(cell);
  }
  return InvalidOid;
}

}  // namespace pgstream
