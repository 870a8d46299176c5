// Raising versions; see rebuild.hpp.
#include "pg/rebuild.hpp"

#include "pg/catalog.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// One attempt; again is set when the row changed under it. The stream table itself is not looked at: it may be about to be
// dropped, by the command that asks.
static bool TryToRaise(Oid stream, bool *again) {
  CatalogScan scan;
  bool raised = false;
  *again = false;
  if (!BeginCatalogScan(&scan, "pgs_stream", "pgs_stream_pkey", pgs_stream::relid, stream, nullptr, RowExclusiveLock))
    return false;
  HeapTuple tuple = NextCatalogTuple(&scan);
  if (tuple != nullptr &&
      strcmp(TextDatumGetCString(CatalogColumn(&scan, tuple, pgs_stream::refresh_mode, nullptr)), "FULL") != 0) {
    const TM_Result locked = LockCatalogRow(scan.rel, tuple, LockWaitBlock);
    // Several objects that one command changes concern the same stream table: it is raised once.
    raised = locked == TM_Ok || locked == TM_SelfModified;
    *again = !raised;
    if (locked == TM_Ok) {
      const AttrNumber column = pgs_stream::version;
      const Datum value =
          Int32GetDatum(DatumGetInt32(CatalogColumn(&scan, tuple, pgs_stream::version, nullptr)) + 1);
      HeapTuple changed = WithColumns(&scan, tuple, 1, &column, &value, nullptr);
      CatalogTupleUpdate(scan.rel, &tuple->t_self, changed);
      heap_freetuple(changed);
    }
  }
  EndCatalogScan(&scan);
  return raised;
}

void RaiseVersionAmidCommand(Oid stream) {
  bool again, raised;
  do {
    CHECK_FOR_INTERRUPTS();
    raised = TryToRaise(stream, &again);
  } while (again);
  if (raised && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(stream))) InvalidateStream(stream);
}

void RaiseVersion(Oid stream) {
  RaiseVersionAmidCommand(stream);
  CommandCounterIncrement();
}

void MarkForRebuild(Oid source) {
  List *streams = ConsumersOf(source);
  // In the order of OIDs: two commands that mark the same ones wait for each other, no more.
  list_sort(streams, list_oid_cmp);
  ListCell *cell;
  foreach (cell, streams) RaiseVersion(lfirst_oid(cell));
}

int32 CurrentStreamVersion(Oid relid) {
  CatalogScan scan;
  int32 version = 0;
  if (!BeginCatalogScan(&scan, "pgs_stream", "pgs_stream_pkey", pgs_stream::relid, relid, nullptr, AccessShareLock)) return 0;
  if (HeapTuple tuple = NextCatalogTuple(&scan))
    version = DatumGetInt32(CatalogColumn(&scan, tuple, pgs_stream::version, nullptr));
  EndCatalogScan(&scan);
  return version;
}

}  // namespace pgstream
