// Choosing by cost; see choice.hpp.
#include "delta/choice.hpp"

#include "delta/evaluate.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "catalog/pg_inherits.h"
#include "utils/hsearch.h"
}

namespace pgstream {
namespace {

// A plan's cost is taken for as good while the sources have not grown or shrunk by more than this part.
constexpr double kSizeTolerance = 0.2;

struct WholeCost {
  Oid relid;  // hash key
  uint64 generation;
  double blocks;  // of the sources, then
  double cost;
};

HTAB *whole_costs = nullptr;

WholeCost *FindEntry(Oid relid, bool *found) {
  if (whole_costs == nullptr) {
    HASHCTL control = {};
    control.keysize = sizeof(Oid);
    control.entrysize = sizeof(WholeCost);
    whole_costs = hash_create("pg_stream query costs", 32, &control, HASH_ELEM | HASH_BLOBS);
  }
  return static_cast<WholeCost *>(hash_search(whole_costs, &relid, HASH_ENTER, found));
}

double BlocksOf(Oid relid) {
  Relation rel = relation_open(relid, AccessShareLock);
  const double blocks = RELKIND_HAS_STORAGE(rel->rd_rel->relkind) ? RelationGetNumberOfBlocks(rel) : 0;
  relation_close(rel, NoLock);
  return blocks;
}

double BlocksOfSources(const Stream *stream) {
  double blocks = 0;
  for (int i = 0; i < stream->nsources; ++i) {
    const Oid source = stream->sources[i].relid;
    if (!has_subclass(source)) {
      blocks += BlocksOf(source);
      continue;
    }
    ListCell *cell;
    foreach (cell, find_all_inheritors(source, AccessShareLock, nullptr)) blocks += BlocksOf(lfirst_oid(cell));
  }
  return blocks;
}

}  // namespace

double WholeQueryCost(const Stream *stream, Snapshot snapshot) {
  const double blocks = BlocksOfSources(stream);
  bool found;
  const WholeCost *known = FindEntry(stream->relid, &found);
  if (found && known->generation == stream->generation &&
      Max(blocks - known->blocks, known->blocks - blocks) <= kSizeTolerance * Max(known->blocks, 1))
    return known->cost;
  const MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "pg_stream cost", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(work);
  const Plan *plan = PlanForRun(stream->plan->query, snapshot)->planTree;
  const double cost = plan->total_cost + plan->plan_rows * kRowCost * cpu_tuple_cost;
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(work);
  // Planning may have failed or brought other entries: only now is there something to note.
  WholeCost *entry = FindEntry(stream->relid, &found);
  *entry = {stream->relid, stream->generation, blocks, cost};
  return cost;
}

const char *WhyNotByKey(Overlay *overlay, const Stream *stream, Snapshot snapshot, int64 keys, double cost) {
  OverlayStatistics *statistics = &overlay->statistics;
  statistics->keys_evaluated += keys;
  const KeyedEvaluation setting = KeyedEvaluationSetting();
  if (overlay->must_merge || setting == KeyedEvaluation::Always) return nullptr;
  if (setting == KeyedEvaluation::Never) return "pgstream.keyed_evaluation is never";
  statistics->keyed_cost += cost;
  statistics->whole_cost = WholeQueryCost(stream, snapshot);
  if (statistics->keyed_cost <= statistics->whole_cost) return nullptr;
  return MemoryContextStrdup(overlay->context,
                             psprintf("the whole query costs less than evaluating %lld changed keys (%.2f, not %.2f)",
                                      static_cast<long long>(statistics->keys_evaluated), statistics->whole_cost,
                                      statistics->keyed_cost));
}

}  // namespace pgstream
