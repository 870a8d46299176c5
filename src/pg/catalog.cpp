// Access to the extension's catalogs; see catalog.hpp.
#include "pg/catalog.hpp"

namespace pgstream {

Oid CatalogRelationId(const char *name) {
  const Oid schema = get_namespace_oid(kSchema, true);
  return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid RelationOwner(Oid relid) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
  if (!HeapTupleIsValid(tuple)) return InvalidOid;
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return owner;
}

Oid ExtensionOwner() {
  const Oid owner = RelationOwner(CatalogRelationId("pgs_stream"));
  if (!OidIsValid(owner))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("extension \"pg_stream\" is not installed in this database"),
                    errhint("Use CREATE EXTENSION pg_stream.")));
  return owner;
}

bool BeginCatalogScan(CatalogScan *scan, const char *catalog, const char *index, AttrNumber column, Oid key,
                      Snapshot snapshot, LOCKMODE lock) {
  const Oid relid = CatalogRelationId(catalog);
  if (!OidIsValid(relid)) return false;
  scan->rel = try_relation_open(relid, lock);
  if (scan->rel == nullptr) return false;
  scan->lock = lock;
  const Oid index_oid = index != nullptr ? CatalogRelationId(index) : InvalidOid;
  ScanKeyData scan_key[1];
  ScanKeyInit(&scan_key[0], column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(key));
  scan->scan = systable_beginscan(scan->rel, index_oid, OidIsValid(index_oid), snapshot, 1, scan_key);
  return true;
}

HeapTuple NextCatalogTuple(CatalogScan *scan) { return systable_getnext(scan->scan); }

void EndCatalogScan(CatalogScan *scan) {
  systable_endscan(scan->scan);
  // A row that was changed keeps its catalog's lock to the end of the transaction, as for any table.
  relation_close(scan->rel, scan->lock == AccessShareLock ? AccessShareLock : NoLock);
}

Datum CatalogColumn(const CatalogScan *scan, HeapTuple tuple, AttrNumber column, bool *isnull) {
  bool null;
  const Datum value = heap_getattr(tuple, column, RelationGetDescr(scan->rel), &null);
  if (isnull != nullptr) *isnull = null;
  return value;
}

TM_Result LockCatalogRow(Relation catalog, HeapTuple tuple, LockWaitPolicy policy) {
  HeapTupleData locked = *tuple;
  Buffer buffer;
  TM_FailureData failure;
  const TM_Result result = heap_lock_tuple(catalog, &locked, GetCurrentCommandId(true), LockTupleExclusive, policy,
                                           false, &buffer, &failure);
  ReleaseBuffer(buffer);
  return result;
}

int DeleteCatalogRows(const char *catalog, const char *index, AttrNumber column, Oid key) {
  return ChangeCatalogRows(catalog, index, column, key, [](const CatalogScan *, HeapTuple) -> HeapTuple { return nullptr; });
}

HeapTuple WithColumns(const CatalogScan *scan, HeapTuple tuple, int n, const AttrNumber *columns, const Datum *values,
                      const bool *nulls) {
  const TupleDesc desc = RelationGetDescr(scan->rel);
  Datum *new_values = static_cast<Datum *>(palloc0(sizeof(Datum) * desc->natts));
  bool *new_nulls = static_cast<bool *>(palloc0(sizeof(bool) * desc->natts));
  bool *replace = static_cast<bool *>(palloc0(sizeof(bool) * desc->natts));
  for (int i = 0; i < n; ++i) {
    new_values[columns[i] - 1] = values[i];
    new_nulls[columns[i] - 1] = nulls != nullptr && nulls[i];
    replace[columns[i] - 1] = true;
  }
  return heap_modify_tuple(tuple, desc, new_values, new_nulls, replace);
}

bool UpdateRowUnlessBusy(const CatalogScan *scan, HeapTuple tuple, int n, const AttrNumber *columns, const Datum *values,
                         const bool *nulls) {
  if (LockCatalogRow(scan->rel, tuple, LockWaitSkip) != TM_Ok) return false;
  CatalogTupleUpdate(scan->rel, &tuple->t_self, WithColumns(scan, tuple, n, columns, values, nulls));
  return true;
}

bool UpdateCatalogRow(const char *catalog, const char *index, Oid key, int n, const AttrNumber *columns,
                      const Datum *values, const bool *nulls) {
  return ChangeCatalogRows(catalog, index, 1, key, [&](const CatalogScan *scan, HeapTuple tuple) {
           return WithColumns(scan, tuple, n, columns, values, nulls);
         }) > 0;
}

static int catalog_commands = 0;

bool RunningCatalogCommand() { return catalog_commands > 0; }

uint64 RunCatalogCommand(const char *command, int nargs, const Oid *types, const Datum *values, const bool *nulls) {
  Oid saved_user;
  int saved_context;
  GetUserIdAndSecContext(&saved_user, &saved_context);
  SetUserIdAndSecContext(ExtensionOwner(), saved_context | SECURITY_LOCAL_USERID_CHANGE);
  char *spi_nulls = static_cast<char *>(palloc(nargs + 1));
  for (int i = 0; i < nargs; ++i) spi_nulls[i] = nulls != nullptr && nulls[i] ? 'n' : ' ';
  spi_nulls[nargs] = '\0';
  SPI_connect();
  int result = 0;
  ++catalog_commands;
  PG_TRY();
  {
    result = SPI_execute_with_args(command, nargs, const_cast<Oid *>(types), const_cast<Datum *>(values), spi_nulls, false, 0);
  }
  PG_FINALLY();
  {
    --catalog_commands;
  }
  PG_END_TRY();
  if (result < 0) elog(ERROR, "could not run \"%s\": %s", command, SPI_result_code_string(result));
  const uint64 processed = SPI_processed;
  SPI_finish();
  SetUserIdAndSecContext(saved_user, saved_context);
  return processed;
}

List *ConsumersOf(Oid source) {
  CatalogScan scan;
  List *consumers = NIL;
  if (!BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_source_idx", pgs_dependency::source_relid, source,
                        nullptr, AccessShareLock))
    return NIL;
  while (HeapTuple tuple = NextCatalogTuple(&scan))
    consumers = lappend_oid(consumers, DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::relid, nullptr)));
  EndCatalogScan(&scan);
  return consumers;
}

}  // namespace pgstream
