// Projecting rows that would escape; see clean_rows.hpp.
#include "scan/clean_rows.hpp"

namespace pgstream {
namespace {

struct Search {
  const PlannedStmt *statement;
  const Bitmapset *streams;
  Bitmapset *seen;  // CTEs, by number of their subplan
};

void FollowRows(Plan *plan, Search *search);

// A scan whose target list is the row itself hands on its tuples; one that has an expression in it projects.
void ForceProjection(Plan *scan, const Search *search) {
  if (!bms_is_member(static_cast<int>(reinterpret_cast<Scan *>(scan)->scanrelid), search->streams)) return;
  if (scan->targetlist == NIL) return;
  auto *const first = linitial_node(TargetEntry, scan->targetlist);
  if (!IsA(first->expr, Var)) return;
  const auto *const var = reinterpret_cast<const Var *>(first->expr);
  first->expr = reinterpret_cast<Expr *>(
      makeRelabelType(first->expr, var->vartype, var->vartypmod, var->varcollid, COERCE_IMPLICIT_CAST));
}

void FollowAll(List *plans, Search *search) {
  ListCell *cell;
  foreach (cell, plans) FollowRows(static_cast<Plan *>(lfirst(cell)), search);
}

// Goes down to where the rows come from that plan returns, through nodes that hand on tuples as they get them.
void FollowRows(Plan *plan, Search *search) {
  if (plan == nullptr) return;
  check_stack_depth();
  switch (nodeTag(plan)) {
    case T_SeqScan:
    case T_SampleScan:
    case T_IndexScan:
    case T_IndexOnlyScan:
    case T_BitmapHeapScan:
    case T_TidScan:
    case T_TidRangeScan:
    case T_CustomScan:
      ForceProjection(plan, search);
      break;
    case T_Append:
      FollowAll(reinterpret_cast<Append *>(plan)->appendplans, search);
      break;
    case T_MergeAppend:
      FollowAll(reinterpret_cast<MergeAppend *>(plan)->mergeplans, search);
      break;
    case T_SubqueryScan:
      FollowRows(reinterpret_cast<SubqueryScan *>(plan)->subplan, search);
      break;
    case T_CteScan: {
      const int number = reinterpret_cast<CteScan *>(plan)->ctePlanId;
      if (bms_is_member(number, search->seen)) break;
      search->seen = bms_add_member(search->seen, number);
      FollowRows(static_cast<Plan *>(list_nth(search->statement->subplans, number - 1)), search);
      break;
    }
    case T_ModifyTable:
    case T_RecursiveUnion:
    case T_Gather:
    case T_GatherMerge:
    case T_Sort:
    case T_IncrementalSort:
    case T_Material:
    case T_Memoize:
    case T_Unique:
    case T_SetOp:
    case T_Limit:
    case T_LockRows:
      FollowRows(plan->lefttree, search);
      FollowRows(plan->righttree, search);
      break;
    default:  // joins, aggregates and the like form rows of their own
      break;
  }
}

}  // namespace

void ProjectEscapingRows(const PlannedStmt *plan, const Bitmapset *streams) {
  Search search = {plan, streams, nullptr};
  FollowRows(plan->planTree, &search);
  // Data-modifying WITH queries among them.
  ListCell *cell;
  foreach (cell, plan->subplans) {
    auto *const subplan = static_cast<Plan *>(lfirst(cell));
    if (subplan != nullptr && IsA(subplan, ModifyTable)) FollowRows(subplan, &search);
  }
}

}  // namespace pgstream
