// Reading and writing frontiers; see frontier.hpp.
#include "capture/frontier.hpp"

#include "capture/change_log.hpp"
#include "capture/log_limit.hpp"
#include "pg/catalog.hpp"

extern "C" {
#include "utils/timestamp.h"
#include "utils/xid8.h"
}

namespace pgstream {

static SnapshotView ParseView(const char *text) {
  const uint32 bound = static_cast<uint32>(strlen(text) / 2 + 1);
  uint64_t *xip = static_cast<uint64_t *>(palloc(sizeof(uint64_t) * bound));
  SnapshotView view;
  if (ParseSnapshot(text, strlen(text), xip, bound, &view, nullptr) != SnapshotParse::kOk)
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("invalid frontier \"%s\"", text)));
  return view;
}

FrontierRow *ReadFrontier(Oid relid, Snapshot snapshot, MemoryContext context) {
  CatalogScan scan;
  FrontierRow *row = nullptr;
  if (!BeginCatalogScan(&scan, "pgs_frontier", "pgs_frontier_pkey", pgs_frontier::relid, relid, snapshot,
                        AccessShareLock))
    return nullptr;
  if (HeapTuple tuple = NextCatalogTuple(&scan)) {
    const MemoryContext saved = MemoryContextSwitchTo(context);
    Oid output;
    bool is_varlena;
    getTypeOutputInfo(PG_SNAPSHOTOID, &output, &is_varlena);
    row = static_cast<FrontierRow *>(palloc0(sizeof(FrontierRow)));
    row->version = DatumGetInt32(CatalogColumn(&scan, tuple, pgs_frontier::version, nullptr));
    row->fold_number = DatumGetInt64(CatalogColumn(&scan, tuple, pgs_frontier::fold_number, nullptr));
    row->frontier.snapshot =
        ParseView(OidOutputFunctionCall(output, CatalogColumn(&scan, tuple, pgs_frontier::frontier, nullptr)));
    row->frontier.own_xid = U64FromFullTransactionId(
        DatumGetFullTransactionId(CatalogColumn(&scan, tuple, pgs_frontier::own_xid, nullptr)));
    row->frontier.own_seq = DatumGetInt64(CatalogColumn(&scan, tuple, pgs_frontier::own_sequence, nullptr));
    row->data_timestamp = DatumGetTimestampTz(CatalogColumn(&scan, tuple, pgs_frontier::data_timestamp, nullptr));
    MemoryContextSwitchTo(saved);
  }
  EndCatalogScan(&scan);
  return row;
}

// A 32-bit xid of a snapshot, none of which lies ahead of the next one to be assigned.
static uint64 Widen(TransactionId xid, FullTransactionId next) {
  uint64 epoch = EpochFromFullTransactionId(next);
  if (!TransactionIdIsNormal(xid)) return xid;
  if (xid > XidFromFullTransactionId(next)) --epoch;
  return (epoch << 32) | xid;
}

static int CompareXids(const void *a, const void *b) {
  const uint64 x = *static_cast<const uint64 *>(a), y = *static_cast<const uint64 *>(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

SnapshotView ViewOfSnapshot(Snapshot snapshot, MemoryContext context) {
  const FullTransactionId next = ReadNextFullTransactionId();
  // On a standby every running xid, top-level ones included, is in subxip and xip is empty.
  const TransactionId *running = snapshot->takenDuringRecovery ? snapshot->subxip : snapshot->xip;
  const uint32 nrunning = snapshot->takenDuringRecovery ? Max(snapshot->subxcnt, 0) : snapshot->xcnt;
  auto *xip = static_cast<uint64_t *>(MemoryContextAlloc(context, sizeof(uint64_t) * Max(nrunning, 1U)));
  SnapshotView view;
  view.xmin = Widen(snapshot->xmin, next);
  view.xmax = Widen(snapshot->xmax, next);
  uint32 n = 0;
  for (uint32 i = 0; i < nrunning; ++i) {
    const uint64 xid = Widen(running[i], next);
    if (xid >= view.xmin && xid < view.xmax) xip[n++] = xid;
  }
  qsort(xip, n, sizeof(uint64_t), CompareXids);
  view.xip = xip;
  view.nxip = n;
  return view;
}

void WriteFrontier(Oid relid, int32 version, int64 fold_number, Snapshot snapshot, int64 own_sequence,
                   TimestampTz data_timestamp) {
  ForgetLogMarks();
  const SnapshotView view = ViewOfSnapshot(snapshot, CurrentMemoryContext);
  const Size size = SnapshotTextBound(view.nxip);
  char *text = static_cast<char *>(palloc(size));
  FormatSnapshot(view, text, size);
  Oid input, io_param;
  getTypeInputInfo(PG_SNAPSHOTOID, &input, &io_param);

  const AttrNumber columns[] = {pgs_frontier::version,      pgs_frontier::fold_number, pgs_frontier::frontier, pgs_frontier::own_xid,
                                pgs_frontier::own_sequence, pgs_frontier::data_timestamp};
  const Datum values[] = {Int32GetDatum(version),
                          Int64GetDatum(fold_number),
                          OidInputFunctionCall(input, text, io_param, -1),
                          FullTransactionIdGetDatum(GetTopFullTransactionId()),
                          Int64GetDatum(own_sequence),
                          TimestampTzGetDatum(data_timestamp)};
  if (!UpdateCatalogRow("pgs_frontier", "pgs_frontier_pkey", relid, lengthof(columns), columns, values, nullptr)) {
    Relation rel = table_open(CatalogRelationId("pgs_frontier"), RowExclusiveLock);
    Datum row[pgs_frontier::natts] = {ObjectIdGetDatum(relid)};
    bool nulls[pgs_frontier::natts] = {};
    for (size_t i = 0; i < lengthof(columns); ++i) row[columns[i] - 1] = values[i];
    CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), row, nulls));
    table_close(rel, NoLock);
  }
  CommandCounterIncrement();  // the same statement may refresh once more
}

}  // namespace pgstream
