// Reading a source for its groups; see populate_pages.hpp.
#include "delta/populate_pages.hpp"

#include "delta/direct_page.hpp"
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

void TakePages(DirectGroups *direct, RowEvaluator *evaluator, HeapPages *pages, RowVisitor visit, void *argument, const bool *stop) {
  while (!*stop && NextHeapPage(pages)) {
    const uint8 *const left = TakePage(direct, pages);
    for (uint32 row = 0; left != nullptr && row < pages->nrows; row++) {
      if (left[row] == 0) continue;
      if (EvaluateTuple(evaluator, &pages->rows[row], RelationGetDescr(pages->rel))) visit(evaluator->outputs, argument);
      ResetExprContext(evaluator->econtext);
    }
  }
  ExecClearTuple(evaluator->slot);
}

}  // namespace

const DirectGroups *SumPages(const Stream *stream, PlannedStmt *run, Snapshot snapshot, Size limit, RowVisitor visit, void *argument,
                             const bool *stop) {
  const Oid source = stream->plan->sources[0];
  if (stream->plan->nsources != 1 || !ScansTable(run, source)) return nullptr;
  const Relation rel = table_open(source, AccessShareLock);
  DirectGroups *direct = nullptr;
  if (MayReadPages(rel, snapshot) && !rel->rd_rel->relrowsecurity) {
    CheckPlanMayRun(run, snapshot);
    RowEvaluator *const evaluator = NewRowEvaluator(stream, OnMiss::Interpret);
    direct = NewDirectGroups(stream->plan, &evaluator->expressions, CurrentMemoryContext, limit);
    if (direct != nullptr) {
      PushActiveSnapshot(snapshot);
      HeapPages *const pages =
          BeginHeapPages(rel, GetActiveSnapshot(), evaluator->expressions.ncolumns, evaluator->expressions.columns);
      TakePages(direct, evaluator, pages, visit, argument, stop);
      EndHeapPages(pages);
      PopActiveSnapshot();
    }
  }
  table_close(rel, NoLock);
  return direct;
}

}  // namespace pgstream
