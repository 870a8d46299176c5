// What EXPLAIN says about stream tables.
//
// Promises: with ANALYZE, figures are those of the execution just explained; without, only what holds for every
// execution. Refuses: to evaluate anything for the sake of EXPLAIN.
#pragma once

#include "delta/overlay.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// Properties of one read of a stream table: the strategy, and what an overlay (nullptr: nothing was pending) did.
void ExplainOverlay(const Overlay *overlay, const Stream *stream, ExplainState *es);

// What the EXPLAIN that is running (the innermost one) is told of the plan that it shows.
struct Explained {
  bool planned;   // relids is known
  bool prepared;  // of a prepared statement: its plan shows when it is started, and may have been made long ago
  List *relids;   // of the stream tables that the plan names
  bool executes;  // with ANALYZE
};
// Makes explained the innermost; what was it before has to be put back.
Explained *BeginExplained(Explained *explained);
void EndExplained(Explained *outer);

// True when an EXPLAIN waits for the plan that is being made, or (prepared) being started; it then wants to be told which
// stream tables that names.
bool ExplainWantsStreams(bool prepared);
void NoteExplainedStreams(List *relids);
// True while the plan is made of a statement that EXPLAIN will not run.
bool ExplainsOnly();

// The summary, after the output for a query.
void ExplainSummary(List *relids, ExplainState *es);

void InitExplain();         // called by InitScanHooks
void InitExplainExecute();  // called by InitExplain

}  // namespace pgstream
