// Paths over stream tables: every core path that reads base rows through an index becomes an Append of itself and the
// delta arm; every partial path becomes a Parallel Append in which exactly one participant runs the delta arm.
//
// Promises: any path that set_cheapest or a join may pick returns the merged content; cached plans stay right because
// nothing is decided here about what is pending. A sequential scan, a TID and a TID range scan need no arm: the access
// method merges. Refuses: index-only scans (they would read past the mask through the visibility map), parallel plans
// over a defining query that is not parallel safe (workers evaluate it), orderings through parameterized or parallel
// index paths (a MergeAppend can be neither).
#include "scan/paths.hpp"

#include "delta/overlay.hpp"
#include "pg/boundary.hpp"
#include "pg/stream.hpp"
#include "scan/delta_arm.hpp"

namespace pgstream {
namespace {

set_rel_pathlist_hook_type previous_pathlist_hook;
get_relation_info_hook_type previous_relation_info_hook;

// --- Parallel safety ----------------------------------------------------------------------------------------------

bool ReadsView(Node *node, void *context) {
  if (node == nullptr) return false;
  if (IsA(node, RangeTblEntry)) {
    const auto *const rte = reinterpret_cast<RangeTblEntry *>(node);
    return rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_VIEW;
  }
  if (IsA(node, Query))
    return compat::WalkQuery(reinterpret_cast<Query *>(node), ReadsView, context, QTW_EXAMINE_RTES_BEFORE);
  return compat::WalkExpression(node, ReadsView, context);
}

// Workers evaluate the query: all of it has to be safe for them. What a view hides is taken to be unsafe.
bool ParallelSafe(const Stream *stream) {
  check_stack_depth();
  auto *const query = const_cast<Query *>(stream->plan->query);
  if (ReadsView(reinterpret_cast<Node *>(query), nullptr)) return false;
  if (max_parallel_hazard(query) != PROPARALLEL_SAFE) return false;
  ListCell *cell;
  foreach (cell, stream->source_relids) {
    if (!IsStreamRelid(lfirst_oid(cell))) continue;
    const Stream *const source = LookupStream(lfirst_oid(cell));
    if (source != nullptr && source->mode != RefreshMode::Full && !ParallelSafe(source)) return false;
  }
  return true;
}

// --- Paths --------------------------------------------------------------------------------------------------------

// How often an inner path may run, as core estimates it for its own index paths: the fewest rows among the outer rels.
double LoopCount(PlannerInfo *root, const Path *path) {
  double result = 0;
  int outer = -1;
  while ((outer = bms_next_member(PATH_REQ_OUTER(path), outer)) >= 0) {
    if (outer >= root->simple_rel_array_size) continue;
    const RelOptInfo *const rel = root->simple_rel_array[outer];
    if (rel == nullptr || rel->rows <= 0) continue;
    if (result == 0 || rel->rows < result) result = rel->rows;
  }
  return result > 0 ? result : 1;
}

// The path with index-only scanning taken out; nullptr when nothing useful is left.
Path *AvoidIndexOnly(PlannerInfo *root, Path *path) {
  if (path->pathtype != T_IndexOnlyScan) return path;
  const auto *const index_only = reinterpret_cast<IndexPath *>(path);
  if (index_only->indexclauses == NIL && path->pathkeys == NIL) return nullptr;
  IndexPath *const index = makeNode(IndexPath);
  *index = *index_only;
  index->path.pathtype = T_IndexScan;
  cost_index(index, root, LoopCount(root, path), path->parallel_aware);
  return &index->path;
}

bool ReadsThroughIndex(const Path *path) {
  return path->pathtype == T_IndexScan || path->pathtype == T_IndexOnlyScan || path->pathtype == T_BitmapHeapScan;
}

void SetParallelUnsafe(RelOptInfo *rel) {
  rel->consider_parallel = false;
  rel->partial_pathlist = NIL;
  ListCell *cell;
  foreach (cell, rel->pathlist) static_cast<Path *>(lfirst(cell))->parallel_safe = false;
}

void MergeSerialPaths(PlannerInfo *root, RelOptInfo *rel) {
  List *const paths = rel->pathlist;
  rel->pathlist = NIL;
  // Core may have dropped its sequential scan for being dominated by what is about to become dearer.
  add_path(rel, create_seqscan_path(root, rel, rel->lateral_relids, 0));
  ListCell *cell;
  foreach (cell, paths) {
    auto *path = static_cast<Path *>(lfirst(cell));
    if (!ReadsThroughIndex(path)) {
      add_path(rel, path);
      continue;
    }
    path = AvoidIndexOnly(root, path);
    if (path == nullptr) continue;
    Path *const arm = MakeDeltaArmPath(rel, path, false);
    if (path->pathkeys != NIL && path->param_info == nullptr) {
      add_path(rel, &create_merge_append_path(root, rel, list_make2(path, arm), path->pathkeys, nullptr)->path);
    } else {
      add_path(
          rel,
          &create_append_path(root, rel, list_make2(path, arm), NIL, NIL, PATH_REQ_OUTER(path), 0, false, -1)->path);
    }
  }
}

void MergePartialPaths(PlannerInfo *root, RelOptInfo *rel) {
  List *const paths = rel->partial_pathlist;
  rel->partial_pathlist = NIL;
  ListCell *cell;
  foreach (cell, paths) {
    Path *const path = AvoidIndexOnly(root, static_cast<Path *>(lfirst(cell)));
    if (path == nullptr) continue;
    Path *const arm = MakeDeltaArmPath(rel, path, true);
    add_partial_path(rel, &create_append_path(root, rel, list_make1(arm), list_make1(path), NIL, nullptr,
                                              path->parallel_workers, true, -1)
                               ->path);
  }
}

void SetRelPathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte) {
  if (previous_pathlist_hook != nullptr) previous_pathlist_hook(root, rel, rti, rte);
  if (rte->rtekind != RTE_RELATION || rte->inh || rte->tablesample != nullptr || !IS_SIMPLE_REL(rel) ||
      rel->pathlist == NIL || IS_DUMMY_REL(rel) || !IsStreamRelid(rte->relid)) {
    return;
  }
  const Stream *const stream = LookupStream(rte->relid);
  if (stream == nullptr || stream->mode == RefreshMode::Full) return;
  if (rel->consider_parallel && !ParallelSafe(stream)) SetParallelUnsafe(rel);
  MergeSerialPaths(root, rel);
  MergePartialPaths(root, rel);
}

// --- What the planner knows of the relation -----------------------------------------------------------------------

constexpr BlockNumber kLogToEstimate = 16;  // blocks of a log below which what it may hold changes no estimate

// Blocks of a source's log, unless somebody is about to reclaim it.
BlockNumber LogBlocks(const StreamSource *source) {
  BlockNumber blocks = 0;
  for (int i = 0; i < source->nsegments; i++) {
    const Oid segment = source->segments[i];
    if (!OidIsValid(segment) || !ConditionalLockRelationOid(segment, AccessShareLock)) continue;
    Relation rel = try_relation_open(segment, NoLock);
    if (rel != nullptr) {
      blocks += RelationGetNumberOfBlocks(rel);
      relation_close(rel, NoLock);
    }
    UnlockRelationOid(segment, AccessShareLock);
  }
  return blocks;
}

// How many row images the logs may hold, by their size and the width of the captured columns.
double LoggedRows(const Stream *stream) {
  double rows = 0;
  for (int i = 0; i < stream->nsources && i < stream->plan->nsources; i++) {
    const BlockNumber blocks = LogBlocks(&stream->sources[i]);
    if (blocks < kLogToEstimate) continue;
    const Oid relid = stream->plan->sources[i];
    double width = 4;  // weight, nulls, lengths
    int column = -1;
    while ((column = bms_next_member(stream->plan->columns[i], column)) >= 0) {
      const auto number = static_cast<AttrNumber>(column);
      const int32 known = get_attavgwidth(relid, number);
      Oid type, collation;
      int32 modifier;
      get_atttypetypmodcoll(relid, number, &type, &modifier, &collation);
      width += known > 0 ? known : Min(get_typavgwidth(type, modifier), 16);
    }
    rows += static_cast<double>(blocks) * BLCKSZ / width;
  }
  return rows;
}

// The server estimates the base. What this backend last found pending is added; where it has not looked, and the logs hold
// far more than the base does, their size says that the base is not all.
void EstimatePending(const Stream *stream, RelOptInfo *rel) {
  double growth;
  if (OverlayGrowth(stream->relid, rel->tuples, &growth)) {
    rel->tuples = Max(rel->tuples + growth, 0);
    return;
  }
  const DeltaPlan *const plan = stream->plan;
  if (plan->strategy == Strategy::RecomputeAlways || (plan->strategy == Strategy::Groups && plan->always_one_row)) return;
  const double logged = LoggedRows(stream);
  if (logged < 10 * rel->tuples) return;
  rel->tuples = Max(rel->tuples, plan->strategy == Strategy::Rows ? logged : logged / 10);
}

// Additions are in no index: a unique index proves nothing about them, an index-only scan would miss the mask, and
// the internal key index is nobody's access path.
void GetRelationInfo(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel) {
  if (previous_relation_info_hook != nullptr) previous_relation_info_hook(root, relid, inhparent, rel);
  if (!IsStreamRelid(relid)) return;
  const Stream *const stream = LookupStream(relid);
  if (stream == nullptr || stream->mode == RefreshMode::Full) return;
  EstimatePending(stream, rel);
  ListCell *cell;
  foreach (cell, rel->indexlist) {
    auto *const index = static_cast<IndexOptInfo *>(lfirst(cell));
    if (index->indexoid == stream->key_index) {
      rel->indexlist = foreach_delete_current(rel->indexlist, cell);
      continue;
    }
    index->unique = false;
    for (int i = 0; i < index->ncolumns; i++) index->canreturn[i] = false;
  }
}

}  // namespace

void InitPathHooks() {
  previous_pathlist_hook = set_rel_pathlist_hook;
  set_rel_pathlist_hook = Callback<SetRelPathlist>::Call;
  previous_relation_info_hook = get_relation_info_hook;
  get_relation_info_hook = Callback<GetRelationInfo>::Call;
}

}  // namespace pgstream
