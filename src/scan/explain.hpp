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

// True when an EXPLAIN waits for the plan that is being made; it then wants to be told which stream tables that names.
bool ExplainWantsStreams();
void NoteExplainedStreams(List *relids);

void InitExplain();  // called by InitScanHooks

}  // namespace pgstream
