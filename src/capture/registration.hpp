// Which stream table relies on the log of which source: rows of pgs_dependency, with the captures that they ask for.
//
// Promises: a stream table that is not registered for a log does not use it, whatever it holds; where two are registered at
// once, they cannot deadlock. Refuses: to say whether the base of a stream table fits the log from now on: the caller marks
// it for rebuild where something changed.
#pragma once

#include "pg/stream.hpp"

namespace pgstream {

// Attaches the capture of every source of a plan as it must be now, registers the stream table for them, and for no others.
// True when anything was missing, or too much.
bool RegisterSources(Oid stream, const DeltaPlan *plan);

// The sources that a stream table is registered for, as OIDs in order.
List *RegisteredSources(Oid stream);

// True when a stream table is registered for its sources, no others, and all of them are captured as they must be.
bool SourcesAreCaptured(const Stream *stream);

}  // namespace pgstream
