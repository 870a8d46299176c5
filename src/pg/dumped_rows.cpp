// The trace of a COPY without rows; see dumped_rows.hpp.
#include "pg/dumped_rows.hpp"

#include "pg/definition_options.hpp"

extern "C" {
#include "access/xloginsert.h"
#include "catalog/storage.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
}

namespace pgstream {

void MarkRowsDumped(Relation rel) {
  if (RelationGetNumberOfBlocks(rel) > 0) return;
  LockRelationForExtension(rel, ExclusiveLock);
  Buffer buffer = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, nullptr);
  UnlockRelationForExtension(rel, ExclusiveLock);
  START_CRIT_SECTION();
  PageInit(BufferGetPage(buffer), BufferGetPageSize(buffer), 0);
  MarkBufferDirty(buffer);
  if (RelationNeedsWAL(rel)) log_newpage_buffer(buffer, true);
  END_CRIT_SECTION();
  UnlockReleaseBuffer(buffer);
}

bool ContentIsSaidEmpty(Relation rel) {
  DefinitionOption *options;
  const int n = LoadDefinitionOptions(rel, &options);
  for (int i = 0; i < n; i++)
    if (strcmp(options[i].name, kContentOption) == 0 && strcmp(options[i].value, kContentEmpty) == 0) return true;
  return false;
}

void SettleDumpedRows(Relation rel) {
  if (RelationGetNumberOfBlocks(rel) != 1 || ContentIsSaidEmpty(rel)) return;
  Buffer buffer = ReadBuffer(rel, 0);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(buffer);
  const bool blank = PageIsNew(page) || PageGetMaxOffsetNumber(page) == 0;
  UnlockReleaseBuffer(buffer);
  if (blank) RelationTruncate(rel, 0);
}

}  // namespace pgstream
