// Raising versions; see rebuild.hpp.
#include "pg/rebuild.hpp"

#include "pg/catalog.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// Waits for whoever is changing the row and locks it. False when it was changed or is gone meanwhile.
static bool LockRow(Relation catalog, HeapTuple tuple) {
  HeapTupleData locked = *tuple;
  Buffer buffer;
  TM_FailureData failure;
  const TM_Result result = heap_lock_tuple(catalog, &locked, GetCurrentCommandId(true), LockTupleNoKeyExclusive,
                                           LockWaitBlock, false, &buffer, &failure);
  ReleaseBuffer(buffer);
  return result == TM_Ok;
}

// The stream table itself is not looked at: it may be about to be dropped, by the command that asks.
void RaiseVersion(Oid stream) {
  for (bool again = true; again;) {
    CatalogScan scan;
    again = false;
    CHECK_FOR_INTERRUPTS();
    if (!BeginCatalogScan(&scan, "pgs_stream", "pgs_stream_pkey", pgs_stream::relid, stream, nullptr, RowExclusiveLock))
      return;
    if (HeapTuple tuple = NextCatalogTuple(&scan)) {
      if (LockRow(scan.rel, tuple)) {
        Datum values[pgs_stream::natts] = {};
        bool nulls[pgs_stream::natts] = {};
        bool replace[pgs_stream::natts] = {};
        values[pgs_stream::version - 1] =
            Int32GetDatum(DatumGetInt32(CatalogColumn(&scan, tuple, pgs_stream::version, nullptr)) + 1);
        replace[pgs_stream::version - 1] = true;
        HeapTuple changed = heap_modify_tuple(tuple, RelationGetDescr(scan.rel), values, nulls, replace);
        CatalogTupleUpdate(scan.rel, &tuple->t_self, changed);
        heap_freetuple(changed);
      } else {
        again = true;
      }
    }
    EndCatalogScan(&scan);
  }
  if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(stream))) InvalidateStream(stream);
  CommandCounterIncrement();
}

void MarkForRebuild(Oid source) {
  List *streams = ConsumersOf(source);
  // In the order of OIDs: two commands that mark the same ones wait for each other, no more.
  list_sort(streams, list_oid_cmp);
  ListCell *cell;
  foreach (cell, streams) RaiseVersion(lfirst_oid(cell));
}

}  // namespace pgstream
