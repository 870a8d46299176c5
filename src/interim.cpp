// Weak stand-ins for rooms still being written; each goes when its room lands.
#include "delta/strategy.hpp"
#include "delta/evaluate.hpp"
#include "scan/scan_hooks.hpp"
#define W __attribute__((weak))
namespace pgstream {
extern const DeltaOperations kRowsDelta W; extern const DeltaOperations kGroupsDelta W;
const DeltaOperations kRowsDelta{}; const DeltaOperations kGroupsDelta{};
W void InitScanHooks() {}
W uint64 ComputeContent(Relation, const Stream *stream, Snapshot snapshot, BaseRowVisitor visit, void *argument) {
  struct A { BaseRowVisitor v; void *a; } a = {visit, argument};
  return RunQuery(stream->plan->query, snapshot, nullptr, [](TupleTableSlot *s, void *x) { auto *p = (A *)x; p->v(s, nullptr, p->a); }, &a);
}
}
