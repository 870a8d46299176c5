// The pending changes of a plan's one source as a Z-set: source rows by the image of their used columns, with their net
// weight.
//
// Rows are consolidated before any expression of the query sees them, so that a row which came and went again cannot
// raise an error that the query itself would not raise (a division by zero that was mended before anybody read).
//
// Promises: a visit gives exactly what the net weights changed by since the last clear, gains first, then losses, and
// only rows that pass the plan's quals. Refuses: a record that lacks a column the plan uses or holds it in another
// storage length (the reason says so).
#pragma once

#include "capture/change_log.hpp"
#include "delta/direct_groups.hpp"
#include "delta/overlay.hpp"
#include "delta/row_evaluator.hpp"
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

struct SourceDelta;

// An empty delta for a plan of strategy Rows or Groups. Everything is allocated in the current context, for as long as
// that lives. may_compile: native code may be made for it now. Runs in the owner's scope.
SourceDelta *NewSourceDelta(const Stream *stream, bool may_compile);

// Has every visit note in an overlay's statistics how its rows are evaluated.
void NoteEvaluation(SourceDelta *delta, OverlayStatistics *statistics);

// Has records grouped directly from now on, for a plan of groups with states where that can be done (direct_groups.hpp), in
// about `limit` bytes: rows taken that way are not visited. nullptr: it cannot be done.
DirectGroups *GroupDirectly(SourceDelta *delta, const DeltaPlan *plan, Size limit);

// Adds the rows of one record (kind 'c'). Returns nullptr, or why the record cannot be used.
const char *AddRecord(SourceDelta *delta, const LogRecord *record);

// What the plan's expressions make of a source row: for Rows its outputs, for Groups keys and inputs of the aggregates, for
// Keyed keys. Lasts until its visit has ended, as does what a visitor allocates in `memory`.
struct NetRow {
  Datum *values;
  bool *nulls;
  MemoryContext memory;
  int64 hash;  // the visitor's: what preparing the row left for its visit
};

// weight is not zero.
using NetRowVisitor = void (*)(const NetRow *row, int64 weight, void *argument);

// What a visitor finds rows by lies anywhere in memory. So a few rows at a time are prepared before they are visited, step by
// step: each step has what the last one fetched (`__builtin_prefetch`) of all of them.
using NetRowPreparer = void (*)(NetRow *row, int step, void *argument);
inline constexpr int kPreparingSteps = 2;

// Visits the net changes since the last clear, gains first, then losses; as often as the caller likes. prepare may be nullptr.
void VisitSourceDelta(SourceDelta *delta, NetRowVisitor visit, void *argument, NetRowPreparer prepare = nullptr);

// Takes what was visited as seen: only later changes are visited from now on.
void ClearSourceDelta(SourceDelta *delta);

}  // namespace pgstream
