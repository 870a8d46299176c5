// What a delta strategy is: changes go in record by record, a filled overlay comes out.
//
// The overlay's builder (overlay.cpp) reads the log, drops what the frontier covers, and drives one of these as the
// stream table's owner. A Delta stays with its overlay, so that a later snapshot's overlay can be had by applying the
// newly visible records to it and finishing again.
//
// Promises: finish leaves mask and additions exactly right for everything applied so far, or says why it cannot, and
// then the builder recomputes. Refuses: truncations (the builder recomputes).
#pragma once

#include "capture/change_log.hpp"
#include "delta/overlay.hpp"

namespace pgstream {

struct Delta;

struct DeltaOperations {
  // Starts an empty delta; everything it keeps is in overlay->context or a child of it. for_fold: additions must carry
  // hidden state and the TID of the base row they replace.
  Delta *(*begin)(Overlay *overlay, Relation rel, const Stream *stream, bool for_fold);
  // Takes one record (kind 'c') into the delta. The record's bytes are valid during the call only.
  void (*apply)(Delta *delta, const LogRecord *record);
  // Brings the overlay's mask and additions up to what was applied, reading base and sources under snapshot. Returns
  // nullptr, or the reason why only recompute can answer. May be called again after more apply calls.
  const char *(*finish)(Delta *delta, Relation rel, Snapshot snapshot);
  // An overlay that was extended masks the very base rows that one built anew does, as the participants of a parallel scan
  // need it. Else a key that changed and changed back stays masked.
  bool extends_alike;
};

// How much memory a delta may take before recomputing is the better answer: hash_mem for a read; for a fold, maintenance
// work done by one session at a time, maintenance_work_mem where that is more.
Size DeltaMemoryLimit(bool for_fold);

extern const DeltaOperations kRowsDelta;    // delta/rows.cpp
extern const DeltaOperations kGroupsDelta;  // delta/groups.cpp
extern const DeltaOperations kKeyedDelta;   // delta/keyed_rows.cpp

// A row of the base as a populate or fold writes it. state: the hidden state (bytea) or a null pointer.
using BaseRowVisitor = void (*)(TupleTableSlot *row, bytea *state, void *argument);

// Computes the whole content of a stream table under snapshot, with hidden state where the strategy keeps one, visiting
// each row once; runs as the caller (who is in the owner's scope). Memory is bounded by hash_mem.
// Other strategies than Groups run the query itself; delta/populate_groups.cpp aggregates on its own.
uint64 ComputeContent(Relation rel, const Stream *stream, Snapshot snapshot, BaseRowVisitor visit, void *argument);
uint64 ComputeGroups(Relation rel, const Stream *stream, Snapshot snapshot, BaseRowVisitor visit, void *argument);
bool GroupsKeepState(const DeltaPlan *plan);  // no aggregate of the plan is Keyed

}  // namespace pgstream
