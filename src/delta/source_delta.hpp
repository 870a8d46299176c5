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
#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

struct SourceDelta;

// An empty delta for a plan of strategy Rows or Groups. Everything is allocated in the current context, for as long as
// that lives. Runs in the owner's scope: constant calls in the quals are evaluated.
SourceDelta *NewSourceDelta(const Stream *stream);

// Adds the rows of one record (kind 'c'). Returns nullptr, or why the record cannot be used.
const char *AddRecord(SourceDelta *delta, const LogRecord *record);

// weight is not zero. The source row is econtext->ecxt_scantuple, a virtual tuple of the source's own row type in which
// the columns the plan does not use are NULL; it, and what is evaluated in ecxt_per_tuple_memory, lasts until the next.
using NetRowVisitor = void (*)(ExprContext *econtext, int64 weight, void *argument);

// Visits the net changes since the last clear, gains first, then losses; as often as the caller likes.
void VisitSourceDelta(SourceDelta *delta, NetRowVisitor visit, void *argument);

// Takes what was visited as seen: only later changes are visited from now on.
void ClearSourceDelta(SourceDelta *delta);

// Prepares expressions of a plan (Vars of varno 1) for evaluation, simplified as the planner would. In the owner's
// scope.
ExprState *CompileExpression(Expr *expression);
ExprState *CompileQuals(List *quals);

}  // namespace pgstream
