// The backend's cache of stream tables; see stream.hpp.
#include "pg/stream.hpp"

#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "pg/definition.hpp"
#include "pg/inheritance.hpp"
#include "pg/key_index.hpp"
#include "pg/query_settings.hpp"
#include "pg/restoring.hpp"

extern "C" {
#include "commands/defrem.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/xid8.h"
}

namespace pgstream {

namespace {

struct CacheEntry {
  Oid relid;  // hash key
  bool valid;
  Stream *stream;  // nullptr: detached
  MemoryContext context;
};

HTAB *cache = nullptr;
MemoryContext cache_context = nullptr;
// Contexts of entries that were rebuilt while somebody may still look at them; deleted at the end of the transaction.
List *retired = NIL;
uint64 generations = 0;
uint64 invalidations = 0;  // an entry loaded while this moved is not trusted
bool any_invalid = false;  // entry, perhaps

void ForgetStreams(Datum, Oid relid) {
  if (cache == nullptr) return;
  ++invalidations;
  any_invalid = true;
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, cache);
  while (auto *entry = static_cast<CacheEntry *>(hash_seq_search(&status))) {
    if (relid == InvalidOid || entry->relid == relid ||
        (entry->stream != nullptr && list_member_oid(entry->stream->source_relids, relid)))
      entry->valid = false;
  }
}

// What is not valid may be gone for good: a stream table that was dropped is never asked for again.
void RemoveInvalid() {
  if (!any_invalid || cache == nullptr) return;
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, cache);
  while (auto *entry = static_cast<CacheEntry *>(hash_seq_search(&status))) {
    if (entry->valid) continue;
    if (entry->context != nullptr) MemoryContextDelete(entry->context);
    hash_search(cache, &entry->relid, HASH_REMOVE, nullptr);
  }
  any_invalid = false;
}

void EndOfTransaction(XactEvent event, void *) {
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE) return;
  RemoveInvalid();
  ListCell *cell;
  foreach (cell, retired) MemoryContextDelete(static_cast<MemoryContext>(lfirst(cell)));
  list_free(retired);
  retired = NIL;
}

void CreateCache() {
  cache_context = AllocSetContextCreate(TopMemoryContext, "pg_stream stream cache", ALLOCSET_DEFAULT_SIZES);
  HASHCTL control = {};
  control.keysize = sizeof(Oid);
  control.entrysize = sizeof(CacheEntry);
  control.hcxt = cache_context;
  cache = hash_create("pg_stream streams", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

// Also finds out the number of the latest fold.
bool IsPopulated(const Stream *stream, int64 *fold_number) {
  CatalogScan scan;
  bool populated = false;
  *fold_number = PG_INT64_MAX;
  if (!BeginCatalogScan(&scan, "pgs_frontier", "pgs_frontier_pkey", pgs_frontier::relid, stream->relid, nullptr,
                        AccessShareLock))
    return false;
  if (HeapTuple tuple = NextCatalogTuple(&scan)) {
    populated = DatumGetInt32(CatalogColumn(&scan, tuple, pgs_frontier::version, nullptr)) == stream->version;
    *fold_number = DatumGetInt64(CatalogColumn(&scan, tuple, pgs_frontier::fold_number, nullptr));
  }
  EndCatalogScan(&scan);
  return populated;
}

// Whether the columns of a row of pgs_dependency are all that a plan uses.
bool CoversColumns(ArrayType *registered, const Bitmapset *used) {
  const int16 *numbers = reinterpret_cast<const int16 *>(ARR_DATA_PTR(registered));
  Bitmapset *columns = nullptr;
  for (int i = 0; i < ArrayGetNItems(ARR_NDIM(registered), ARR_DIMS(registered)); ++i)
    columns = bms_add_member(columns, numbers[i]);
  return bms_is_subset(used, columns);
}

// The log counts for a stream table that is registered for it, with all columns used, and for no other: it may have begun
// after its base was made.
void LoadSource(StreamSource *source, Oid stream_relid, const Bitmapset *used) {
  CatalogScan scan;
  bool registered = false;
  if (BeginCatalogScan(&scan, "pgs_dependency", "pgs_dependency_source_idx", pgs_dependency::source_relid,
                       source->relid, nullptr, AccessShareLock)) {
    while (HeapTuple tuple = NextCatalogTuple(&scan)) {
      if (DatumGetObjectId(CatalogColumn(&scan, tuple, pgs_dependency::relid, nullptr)) != stream_relid) continue;
      source->log_start = DatumGetInt64(CatalogColumn(&scan, tuple, pgs_dependency::log_start, nullptr));
      registered =
          CoversColumns(DatumGetArrayTypePCopy(CatalogColumn(&scan, tuple, pgs_dependency::columns, nullptr)), used);
    }
    EndCatalogScan(&scan);
  }
  if (!registered) return;
  if (BeginCatalogScan(&scan, "pgs_log", "pgs_log_pkey", pgs_log::source_relid, source->relid, nullptr,
                       AccessShareLock)) {
    if (HeapTuple tuple = NextCatalogTuple(&scan)) {
      ArrayType *segments = DatumGetArrayTypePCopy(CatalogColumn(&scan, tuple, pgs_log::segments, nullptr));
      const Oid *oids = reinterpret_cast<const Oid *>(ARR_DATA_PTR(segments));
      source->nsegments = Min(ArrayGetNItems(ARR_NDIM(segments), ARR_DIMS(segments)), kMostSegments);
      for (int i = 0; i < source->nsegments; ++i) source->segments[i] = oids[i];
      source->captured_by = U64FromFullTransactionId(
          DatumGetFullTransactionId(CatalogColumn(&scan, tuple, pgs_log::captured_by, nullptr)));
    }
    EndCatalogScan(&scan);
  }
}

bool CollectRelations(Node *node, void *argument) {
  auto *relids = static_cast<List **>(argument);
  if (node == nullptr) return false;
  if (IsA(node, Query)) {
    ListCell *cell;
    foreach (cell, reinterpret_cast<Query *>(node)->rtable) {
      const RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);
      if (!OidIsValid(rte->relid)) continue;
      *relids = list_append_unique_oid(*relids, rte->relid);
      // As the server locks them for the query itself.
      if (rte->rtekind == RTE_RELATION && rte->inh) *relids = list_concat_unique_oid(*relids, TreeMembers(rte->relid, nullptr));
    }
    return compat::WalkQuery(reinterpret_cast<Query *>(node), CollectRelations, relids, 0);
  }
  return compat::WalkExpression(node, CollectRelations, relids);
}

RefreshMode ModeNamed(const char *name) {
  return pg_strcasecmp(name, RefreshModeName(RefreshMode::Full)) == 0 ? RefreshMode::Full : RefreshMode::Differential;
}

// A table that came from a dump has no catalog row yet: its definition carries what will be in it. A FULL one holds what
// the dump had of it.
void TakeDefinitionOptions(Stream *stream, Relation rel) {
  DefinitionOption *options;
  const int n = LoadDefinitionOptions(rel, &options);
  for (int i = 0; i < n; i++)
    if (strcmp(options[i].name, kRefreshModeOption) == 0) stream->mode = ModeNamed(options[i].value);
  stream->nsettings = SettingsAmong(options, n, &stream->settings);
  stream->populated = stream->mode == RefreshMode::Full && RelationGetNumberOfBlocks(rel) > 0;
}

// Builds the Stream of relid in the current context; nullptr when it is detached.
Stream *LoadStream(Oid relid) {
  CatalogScan scan;
  auto *stream = static_cast<Stream *>(palloc0(sizeof(Stream)));
  stream->relid = relid;
  stream->generation = ++generations;
  stream->mode = RefreshMode::Differential;
  if (!BeginCatalogScan(&scan, "pgs_stream", "pgs_stream_pkey", pgs_stream::relid, relid, nullptr, AccessShareLock))
    return nullptr;
  if (HeapTuple tuple = NextCatalogTuple(&scan)) {
    stream->enrolled = true;
    stream->mode = ModeNamed(TextDatumGetCString(CatalogColumn(&scan, tuple, pgs_stream::refresh_mode, nullptr)));
    stream->version = DatumGetInt32(CatalogColumn(&scan, tuple, pgs_stream::version, nullptr));
    bool none_recorded;
    const Datum settings = CatalogColumn(&scan, tuple, pgs_stream::settings, &none_recorded);
    if (!none_recorded) stream->nsettings = ReadRecordedSettings(settings, &stream->settings);
  }
  EndCatalogScan(&scan);

  // For the moment: who goes on to alter the table must not have a lock on it that another one waits for.
  Relation rel = relation_open(relid, AccessShareLock);
  stream->owner = rel->rd_rel->relowner;
  Query *query = LoadDefinition(rel);
  if (query != nullptr) {
    stream->plan = PlanDelta(query);
    stream->key_index = FindKeyIndex(rel, stream->plan);
    if (!stream->enrolled) TakeDefinitionOptions(stream, rel);
  }
  relation_close(rel, AccessShareLock);
  if (query == nullptr) return nullptr;
  int64 fold_number = PG_INT64_MAX;
  if (stream->enrolled) stream->populated = IsPopulated(stream, &fold_number);
  stream->source_relids = RelationsRead(query);
  stream->nsources = stream->plan->nsources;
  stream->sources = static_cast<StreamSource *>(palloc0(sizeof(StreamSource) * Max(stream->nsources, 1)));
  for (int i = 0; i < stream->nsources; ++i) {
    stream->sources[i].relid = stream->plan->sources[i];
    LoadSource(&stream->sources[i], relid, stream->plan->columns[i]);
    stream->cut_off |= stream->sources[i].log_start > fold_number;
  }
  return stream;
}

// The streams being loaded, innermost first: a definition written by hand may lead back to one of them.
struct Loading {
  Oid relid;
  const Loading *outer;
};
const Loading *loading = nullptr;

bool IsLoading(Oid relid) {
  for (const Loading *one = loading; one != nullptr; one = one->outer)
    if (one->relid == relid) return true;
  return false;
}

Stream *LoadGuarded(Oid relid) {
  Stream *volatile stream = nullptr;
  const Loading self = {relid, loading};
  loading = &self;
  PG_TRY();
  { stream = LoadStream(relid); }
  PG_FINALLY();
  { loading = self.outer; }
  PG_END_TRY();
  return stream;
}

}  // namespace

List *RelationsRead(const Query *query) {
  Query *copy = static_cast<Query *>(copyObjectImpl(query));
  AcquireRewriteLocks(copy, true, false);
  List *rewritten = QueryRewrite(copy);
  List *relids = NIL;
  ListCell *cell;
  foreach (cell, rewritten) CollectRelations(static_cast<Node *>(lfirst(cell)), &relids);
  foreach (cell, list_copy(relids)) {
    if (!IsStreamRelid(lfirst_oid(cell))) continue;
    const Stream *source = LookupStream(lfirst_oid(cell));
    if (source != nullptr) relids = list_concat_unique_oid(relids, source->source_relids);
  }
  return relids;
}

bool TakesDumpedRows(const Stream *stream) {
  return stream->mode == RefreshMode::Full && !stream->enrolled && RestoringDump();
}

const char *RefreshModeName(RefreshMode mode) { return mode == RefreshMode::Full ? "FULL" : "DIFFERENTIAL"; }

bool HasStreamAccessMethod(Relation rel) { return OidIsValid(rel->rd_rel->relam) && IsStreamAccessMethod(rel->rd_rel->relam); }

bool IsStreamAccessMethod(Oid access_method) {
  // The access method's OID, by name through the syscache; 0 while the extension is not there.
  return access_method != HEAP_TABLE_AM_OID && access_method == get_table_am_oid(kAccessMethod, true);
}

bool IsStreamRelid(Oid relid) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
  if (!HeapTupleIsValid(tuple)) return false;
  const Oid access_method = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relam;
  ReleaseSysCache(tuple);
  return OidIsValid(access_method) && IsStreamAccessMethod(access_method);
}

const Stream *LookupStream(Oid relid) {
  if (cache == nullptr) CreateCache();
  bool found;
  auto *entry = static_cast<CacheEntry *>(hash_search(cache, &relid, HASH_ENTER, &found));
  if (!found) {
    entry->valid = false;
    entry->stream = nullptr;
    entry->context = nullptr;
    any_invalid = true;
  }
  if (likely(entry->valid)) return entry->stream;

  if (IsLoading(relid))
    ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                    errmsg("stream table \"%s\" reads itself", get_rel_name(relid)),
                    errdetail("Its query comes back to it through views or other stream tables."),
                    errhint("Drop one of them.")));
  // Built aside and linked in when complete: an error leaves the entry invalid and the memory with the caller's.
  const uint64 invalidations_before = invalidations;
  MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream stream", ALLOCSET_SMALL_SIZES);
  MemoryContext saved = MemoryContextSwitchTo(context);
  const int guc_level = NewGUCNestLevel();
  LiftRelationRestrictions();
  Stream *stream = LoadGuarded(relid);
  AtEOXact_GUC(false, guc_level);
  MemoryContextSwitchTo(saved);

  // Loading may have looked up other streams and so moved the entries of the hash table.
  entry = static_cast<CacheEntry *>(hash_search(cache, &relid, HASH_ENTER, &found));
  MemoryContextSetParent(context, cache_context);
  if (found && entry->context != nullptr) {
    saved = MemoryContextSwitchTo(cache_context);
    retired = lappend(retired, entry->context);
    MemoryContextSwitchTo(saved);
  }
  entry->context = context;
  entry->stream = stream;
  entry->valid = invalidations == invalidations_before;
  any_invalid |= !entry->valid;
  return stream;
}

bool IsCurrentStream(Oid relid, uint64 generation) {
  if (cache == nullptr) return false;
  const auto *entry = static_cast<const CacheEntry *>(hash_search(cache, &relid, HASH_FIND, nullptr));
  return entry != nullptr && entry->valid && entry->stream != nullptr && entry->stream->generation == generation;
}

void InvalidateStream(Oid relid) { CacheInvalidateRelcacheByRelid(relid); }

void InitStreamCache() {
  CacheRegisterRelcacheCallback(ForgetStreams, static_cast<Datum>(0));
  RegisterXactCallback(EndOfTransaction, nullptr);
}

}  // namespace pgstream
