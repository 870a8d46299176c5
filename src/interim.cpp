// Weak stand-ins for rooms still being written; each goes when its room lands.
#include "capture/change_log.hpp"
#include "delta/strategy.hpp"
#include "delta/evaluate.hpp"
#include "scan/scan_hooks.hpp"
#define W __attribute__((weak))
namespace pgstream {
extern const DeltaOperations kRowsDelta W; extern const DeltaOperations kGroupsDelta W;
const DeltaOperations kRowsDelta{}; const DeltaOperations kGroupsDelta{};
W bool AttachCapture(Oid, const Bitmapset *) { return true; }
W void DetachCaptureIfUnused(Oid) {}
W const char *WhyNotCapturable(Relation) { return "stub"; }
W bool CaptureIsIntact(Relation) { return true; }
W void LockConsumers(Oid, LOCKMODE) {}
W int64 LastLogSequence() { return 0; }
W bool LogHasPages(const StreamSource *) { return false; }
W void LockLog(const StreamSource *) {}
W LogPosition *NewLogPosition(MemoryContext) { return nullptr; }
W void ReadLog(const StreamSource *, Snapshot, LogPosition *, LogVisitor, void *) {}
W void ReclaimLog(Oid) {}
W void InitCapture() {}
W void InitScanHooks() {}
W uint64 ComputeContent(Relation, const Stream *stream, Snapshot snapshot, BaseRowVisitor visit, void *argument) {
  struct A { BaseRowVisitor v; void *a; } a = {visit, argument};
  return RunQuery(stream->plan->query, snapshot, nullptr, [](TupleTableSlot *s, void *x) { auto *p = (A *)x; p->v(s, nullptr, p->a); }, &a);
}
}
extern "C" { W Datum pgstream_capture_changes(PG_FUNCTION_ARGS); W extern const Pg_finfo_record *pg_finfo_pgstream_capture_changes(void); PG_FUNCTION_INFO_V1(pgstream_capture_changes); W PGDLLEXPORT Datum pgstream_capture_changes(PG_FUNCTION_ARGS) { return (Datum)0; } }
