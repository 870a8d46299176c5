// What a backend knows of a stream table: its options, sources and delta plan, from the catalogs, cached until a
// relcache invalidation of the stream table or of one of its sources.
//
// Promises: LookupStream costs one hash probe when nothing changed. What it returns is read with a catalog snapshot
// ("the latest"); what depends on the reader's snapshot (frontier, overlay) is not in here.
// Refuses: to know anything of relations without a definition (*detached*: they behave as plain heaps).
#pragma once

#include "pg/delta_plan.hpp"
#include "pg/includes.hpp"
#include "pg/query_settings.hpp"

namespace pgstream {

inline constexpr int kFirstSegments = 2;   // of a new change log
inline constexpr int kMostSegments = 8;
inline constexpr const char *kAccessMethod = "pgstream";

enum class RefreshMode { Differential, Full };
const char *RefreshModeName(RefreshMode mode);

// A captured source.
struct StreamSource {
  Oid relid;
  int nsegments;  // 0: there is no log, or the stream table is not registered for it
  Oid segments[kMostSegments];
  uint64 captured_by;  // xid8 of the transaction that attached the capture of the columns used here
  int64 log_start;  // the fold number that a frontier must have reached for the log to be complete for it
};

struct Stream {
  Oid relid;
  uint64 generation;  // differs whenever it was loaded anew in this backend
  Oid owner;
  RefreshMode mode;
  int32 version;
  bool enrolled;    // has a catalog row; a table that came from a dump has none until its first refresh, and recomputes
  bool populated;   // there is a frontier of this version (whatever the reader's snapshot sees of it)
  bool cut_off;     // a log has exceeded its limit: it serves only frontiers beyond the latest one
  Oid key_index;  // InvalidOid where the strategy needs none
  int nsources;   // captured sources; 0 when plan->strategy is RecomputeAlways
  StreamSource *sources;
  const DeltaPlan *plan;
  int nsettings;  // recorded; 0 while it is not enrolled
  RecordedSetting *settings;
  List *source_relids;              // OID list: every relation the rewritten query reads, for locking before the snapshot
};

// True when the relation has the access method pgstream.
bool HasStreamAccessMethod(Relation rel);
bool IsStreamAccessMethod(Oid access_method);
bool IsStreamRelid(Oid relid);  // by pg_class.relam, through the syscache

// The stream of a relation with the access method pgstream; nullptr when it is detached. The result stays valid until
// the end of the transaction (a rebuilt entry leaves its predecessor in place until then).
const Stream *LookupStream(Oid relid);

// True for one that a dump's --schema-only has made and whose rows, which its query does not give, are still to come.
bool TakesDumpedRows(const Stream *stream);

// Every relation an analysed query reads, through views, stream tables and trees, as an OID list. Takes AccessShareLock on those it
// names.
List *RelationsRead(const Query *query);

// True when LookupStream would still return the one of this generation, as far as this backend knows; loads nothing.
bool IsCurrentStream(Oid relid, uint64 generation);

// Makes every backend look again at stream table relid after the current command (and transaction) ends.
void InvalidateStream(Oid relid);

void InitStreamCache();  // called once by _PG_init

}  // namespace pgstream
