// The catalogs of the extension (schema pgstream), read and written directly.
//
// Promises: every lookup tolerates that the extension is not there (or is being dropped): it then finds nothing. Writes
// are ordinary transactional ones. Refuses: to cache anything (pg/stream.hpp does).
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

inline constexpr const char *kSchema = "pgstream";

// The OID of a catalog or index of the extension, InvalidOid when there is none.
Oid CatalogRelationId(const char *name);
// Owner of the extension's catalogs, under whom change logs are created.
Oid ExtensionOwner();

// Who owns a relation; InvalidOid when there is no such.
Oid RelationOwner(Oid relid);

// A forward scan over a catalog by equality of its leading oid column(s), through the index named (or the whole table
// when index is nullptr). snapshot: nullptr for a catalog snapshot.
struct CatalogScan {
  Relation rel;
  SysScanDesc scan;
  LOCKMODE lock;
};
// False (and nothing to end) when the catalog does not exist.
bool BeginCatalogScan(CatalogScan *scan, const char *catalog, const char *index, AttrNumber column, Oid key,
                      Snapshot snapshot, LOCKMODE lock);
HeapTuple NextCatalogTuple(CatalogScan *scan);
void EndCatalogScan(CatalogScan *scan);

// Column of a catalog tuple; *isnull may be nullptr for NOT NULL columns.
Datum CatalogColumn(const CatalogScan *scan, HeapTuple tuple, AttrNumber column, bool *isnull);

// Locks a row, and waits for whoever is changing it, or not, as the policy says. TM_Ok: locked; TM_SelfModified: this very
// command has changed it; else it was changed or is gone meanwhile, and the next scan's snapshot sees what is left.
TM_Result LockCatalogRow(Relation catalog, HeapTuple tuple, LockWaitPolicy policy);

// A tuple with n of its columns changed.
HeapTuple WithColumns(const CatalogScan *scan, HeapTuple tuple, int n, const AttrNumber *columns, const Datum *values,
                      const bool *nulls);

// Changes n columns of a row, unless somebody else is changing it: it does not wait. False then.
bool UpdateRowUnlessBusy(const CatalogScan *scan, HeapTuple tuple, int n, const AttrNumber *columns, const Datum *values,
                         const bool *nulls);

// Changes rows of a catalog whose column (through the index named) equals key. change(scan, tuple) returns the tuple itself to
// leave it, another one to put in its place, nullptr to delete it; it may be asked again, when somebody else, a reclaim say,
// changed the row meanwhile, and then about rows that it has changed itself. Returns the number of changes.
template <class Change>
int ChangeCatalogRows(const char *catalog, const char *index, AttrNumber column, Oid key, Change &&change) {
  int changes = 0;
  bool again = false;
  do {
    CatalogScan scan;
    const bool looks_again = again;
    again = false;
    if (!BeginCatalogScan(&scan, catalog, index, column, key, nullptr, RowExclusiveLock)) return changes;
    while (HeapTuple tuple = NextCatalogTuple(&scan)) {
      HeapTuple changed = change(&scan, tuple);
      if (changed == tuple) continue;
      const TM_Result locked = LockCatalogRow(scan.rel, tuple, LockWaitBlock);
      // Looking again, it sees what it has changed itself as it was before.
      if (locked == TM_SelfModified && looks_again) continue;
      // What this command changed itself is an error of the program, which the change reports.
      if (locked != TM_Ok && locked != TM_SelfModified) {
        again = true;
        continue;
      }
      if (changed == nullptr)
        CatalogTupleDelete(scan.rel, &tuple->t_self);
      else
        CatalogTupleUpdate(scan.rel, &tuple->t_self, changed);
      ++changes;
    }
    EndCatalogScan(&scan);
    CHECK_FOR_INTERRUPTS();
  } while (again);
  return changes;
}

// Deletes every row of a catalog whose column (through the index named) equals key. Returns their number.
int DeleteCatalogRows(const char *catalog, const char *index, AttrNumber column, Oid key);

// Column numbers.
namespace pgs_stream {
inline constexpr AttrNumber relid = 1, id = 2, refresh_mode = 3, schedule = 4, status = 5, version = 6,
                            last_refresh_at = 7, consecutive_errors = 8, settings = 9;
inline constexpr int natts = 9;
}  // namespace pgs_stream
namespace pgs_frontier {
inline constexpr AttrNumber relid = 1, version = 2, fold_number = 3, frontier = 4, own_xid = 5, own_sequence = 6,
                            data_timestamp = 7;
inline constexpr int natts = 7;
}  // namespace pgs_frontier
namespace pgs_dependency {
inline constexpr AttrNumber relid = 1, source_relid = 2, columns = 3, log_start = 4;
inline constexpr int natts = 4;
}  // namespace pgs_dependency
namespace pgs_log {
inline constexpr AttrNumber source_relid = 1, segments = 2, columns = 3, captured_by = 4;
inline constexpr int natts = 4;
}  // namespace pgs_log

// Updates columns of the (one) row of a catalog whose first column is key: pairs (column, value) for n columns.
// Returns false when there is no such row.
bool UpdateCatalogRow(const char *catalog, const char *index, Oid key, int n, const AttrNumber *columns,
                      const Datum *values, const bool *nulls);

// Runs one SQL command on the catalogs as their owner, with parameters. Returns the number of rows it touched.
uint64 RunCatalogCommand(const char *command, int nargs, const Oid *types, const Datum *values, const bool *nulls);

// True inside RunCatalogCommand: what is written then is no replication's.
bool RunningCatalogCommand();

// The stream tables that read a source, as an OID list (catalog snapshot).
List *ConsumersOf(Oid source);

}  // namespace pgstream
