// VACUUM, VACUUM FULL and CLUSTER: heap's own, but that the page by which a restored FULL stream table is known to have been
// filled with nothing (pg/dumped_rows.hpp) stays until its first refresh.
#include "am/callbacks.hpp"
#include "pg/dumped_rows.hpp"

namespace pgstream {
namespace {

bool HoldsNothingFromDump(Relation rel) {
  if (RelationGetNumberOfBlocks(rel) == 0) return false;
  const Stream *const stream = LookupStream(RelationGetRelid(rel));
  return stream != nullptr && stream->mode == RefreshMode::Full && !stream->enrolled;
}

}  // namespace

void RelationVacuum(Relation rel, VacuumParams *params, BufferAccessStrategy strategy) {
  const bool keep = HoldsNothingFromDump(rel);
  Heap()->relation_vacuum(rel, params, strategy);
  if (keep) MarkRowsDumped(rel);
}

void RelationCopyForCluster(Relation old_table, Relation new_table, Relation index, bool sort, TransactionId oldest_xmin,
                            TransactionId *xid_cutoff, MultiXactId *multi_cutoff, double *tuples, double *vacuumed,
                            double *recently_dead) {
  Heap()->relation_copy_for_cluster(old_table, new_table, index, sort, oldest_xmin, xid_cutoff, multi_cutoff, tuples, vacuumed,
                                    recently_dead);
  if (HoldsNothingFromDump(old_table)) MarkRowsDumped(new_table);
}

}  // namespace pgstream
