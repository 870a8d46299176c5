// Writes through the access method: refused on a stream table, heap's own on a detached relation.
//
// Promises: no row of a stream table changes but by its refresh, which writes with heap's functions directly, or by the
// dump that it comes from. This is
// the last line: the planner hook refuses such statements before they run.
#include "am/callbacks.hpp"

namespace pgstream {
namespace {

void RefuseOnStream(Relation rel) {
  const Stream *const stream = LookupStream(RelationGetRelid(rel));
  if (likely(stream == nullptr) || TakesDumpedRows(stream)) return;
  ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                  errmsg("cannot change stream table \"%s\"", RelationGetRelationName(rel)),
                  errdetail("Its content is what its defining query returns."),
                  errhint("Change the tables that its query reads.")));
}

}  // namespace

void TupleInsert(Relation rel, TupleTableSlot *slot, CommandId cid, int options, BulkInsertStateData *state) {
  RefuseOnStream(rel);
  Heap()->tuple_insert(rel, slot, cid, options, state);
}

void TupleInsertSpeculative(Relation rel, TupleTableSlot *slot, CommandId cid, int options, BulkInsertStateData *state,
                            uint32 token) {
  RefuseOnStream(rel);
  Heap()->tuple_insert_speculative(rel, slot, cid, options, state, token);
}

void MultiInsert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid, int options,
                 BulkInsertStateData *state) {
  RefuseOnStream(rel);
  Heap()->multi_insert(rel, slots, nslots, cid, options, state);
}

TM_Result TupleDelete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
                      TM_FailureData *failure, bool changing_part) {
  RefuseOnStream(rel);
  return Heap()->tuple_delete(rel, tid, cid, snapshot, crosscheck, wait, failure, changing_part);
}

TM_Result TupleUpdate(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid, Snapshot snapshot,
                      Snapshot crosscheck, bool wait, TM_FailureData *failure, LockTupleMode *mode,
                      compat::UpdateIndexes *update_indexes) {
  RefuseOnStream(rel);
  return Heap()->tuple_update(rel, tid, slot, cid, snapshot, crosscheck, wait, failure, mode, update_indexes);
}

TM_Result TupleLock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot, CommandId cid,
                    LockTupleMode mode, LockWaitPolicy policy, uint8 flags, TM_FailureData *failure) {
  if (unlikely(LookupStream(RelationGetRelid(rel)) != nullptr)) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("cannot lock rows in stream table \"%s\"", RelationGetRelationName(rel)),
                    errhint("Lock rows of the tables that its query reads.")));
  }
  return Heap()->tuple_lock(rel, tid, snapshot, slot, cid, mode, policy, flags, failure);
}

}  // namespace pgstream
