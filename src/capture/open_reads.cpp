// See open_reads.hpp.
#include "capture/open_reads.hpp"

extern "C" {
#include "storage/lmgr.h"
}

namespace pgstream {

void CheckNotRead(Oid source, const List *streams, const char *command) {
  ListCell *cell;
  foreach (cell, streams) {
    // Where another session has it locked, none of this one's queries has it open; and waiting could end in a deadlock.
    if (!ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock)) continue;
    Relation rel = try_relation_open(lfirst_oid(cell), NoLock);
    if (rel == nullptr) {
      UnlockRelationOid(lfirst_oid(cell), AccessShareLock);
      continue;
    }
    if (rel->rd_refcnt > 1)
      ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                      errmsg("cannot %s \"%s\" because stream table \"%s\" over it is being used by active queries in "
                             "this session",
                             command, get_rel_name(source), RelationGetRelationName(rel))));
    relation_close(rel, AccessShareLock);
  }
}

}  // namespace pgstream
