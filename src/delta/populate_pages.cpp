// Reading a source for its groups; see populate_pages.hpp.
#include "delta/populate_pages.hpp"

#include "delta/populate_workers.hpp"
#include "delta/row_evaluator.hpp"

namespace pgstream {
namespace {

// True when running the plan means to visit all rows of the table and nothing else. The planner may know a better way, an index.
bool ScansTable(const PlannedStmt *run, Oid relid) {
  if (!IsA(run->planTree, SeqScan) || run->subplans != NIL) return false;
  const RangeTblEntry *const entry =
      rt_fetch(reinterpret_cast<const SeqScan *>(run->planTree)->scan.scanrelid, run->rtable);
  return entry->rtekind == RTE_RELATION && entry->relid == relid;
}

// Rows that are left are evaluated as the query would.
struct Rest {
  RowEvaluator *evaluator;
  TupleDesc descriptor;
  RowVisitor visit;
  void *argument;
};

void VisitRow(HeapTuple row, void *argument) {
  const auto *const rest = static_cast<const Rest *>(argument);
  if (EvaluateTuple(rest->evaluator, row, rest->descriptor)) rest->visit(rest->evaluator->outputs, rest->argument);
  ResetExprContext(rest->evaluator->econtext);
}

// All pages under the active snapshot; how many parallel workers took part.
int TakePages(DirectGroups *direct, Relation rel, int nworkers, Size limit, Rest *rest, const bool *stop) {
  const RowExpressions *const row = &rest->evaluator->expressions;
  int helped = 0;
  if (nworkers > 0) {
    helped = SumTogether(direct, rel, row->ncolumns, row->columns, nworkers, limit, VisitRow, rest, stop);
  } else {
    HeapPages *const pages = BeginHeapPages(rel, GetActiveSnapshot(), row->ncolumns, row->columns);
    while (!*stop && NextHeapPage(pages)) SumPage(direct, pages, VisitRow, rest);
    EndHeapPages(pages);
  }
  ExecClearTuple(rest->evaluator->slot);
  return helped;
}

}  // namespace

const DirectGroups *SumPages(const Stream *stream, PlannedStmt *run, Snapshot snapshot, Size limit, RowVisitor visit, void *argument,
                             const bool *stop, int *workers) {
  *workers = 0;
  const Oid source = stream->plan->sources[0];
  if (stream->plan->nsources != 1 || !ScansTable(run, source)) return nullptr;
  const Relation rel = table_open(source, AccessShareLock);
  DirectGroups *direct = nullptr;
  if (MayReadPages(rel, snapshot) && !rel->rd_rel->relrowsecurity) {
    CheckPlanMayRun(run, snapshot);
    RowEvaluator *const evaluator = NewRowEvaluator(stream, OnMiss::Interpret);
    direct = NewDirectGroups(stream->plan, &evaluator->expressions, CurrentMemoryContext, limit);
    if (direct != nullptr) {
      const int planned = PlannedWorkers(stream, snapshot);
      Rest rest = {evaluator, RelationGetDescr(rel), visit, argument};
      PushActiveSnapshot(snapshot);
      *workers = TakePages(direct, rel, planned, limit, &rest, stop);
      PopActiveSnapshot();
    }
  }
  table_close(rel, NoLock);
  return direct;
}

}  // namespace pgstream
