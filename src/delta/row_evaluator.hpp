// The filter and the output expressions of a plan over its source rows: what a delta does with every changed row first.
//
// Rows are evaluated by native code where there is some for the plan, else by the server's own evaluation. Both give the same.
//
// Promises: an evaluator is complete either way: the server's form is prepared (and permissions on functions checked) always.
// Refuses: Recompute plans, which evaluate nothing by the row.
#pragma once

#include "pg/native_row.hpp"
#include "pg/settings.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// What a row is made of: columns of the source in the order of the row image, and what is made of it.
struct RowEvaluator {
  RowExpressions expressions;
  ExprState *quals;
  ProjectionInfo *projection;  // into outputs
  TupleTableSlot *outputs;
  ExprContext *econtext;       // its per-tuple memory has what evaluation allocates; whoever visits rows resets it
  TupleTableSlot *slot;        // the source row, for the server's evaluation
  CompiledRow *compiled;       // nullptr: the server evaluates
  const char *why_interpreted;

  // Of the choice between them.
  MemoryContext code_context;
  Oid relid;
  OnMiss on_miss;
  bool sums_columns;  // only rows that cannot be summed column by column are evaluated
  Jit setting;
  int optimization;
  TimestampTz look_again;  // for code that was asked for; 0: there is none to wait for
  int64 pause_us;
};

// An evaluator of the plan's source rows, in the current context. on_miss: what to do where there is no code. In
// the owner's scope: constant calls are evaluated.
RowEvaluator *NewRowEvaluator(const Stream *stream, OnMiss on_miss);

// Chooses again where the settings of native code are other ones than at the last choice, or code that was asked for may have
// come: an evaluator lives as long as the overlay it works for.
void FollowJitSettings(RowEvaluator *evaluator);

// Evaluates a row image (core/native_code.hpp). True when it passes the filter: evaluator->outputs' values are set then,
// until the econtext is reset.
bool EvaluateRow(RowEvaluator *evaluator, const char *image);

// The same for a row of the source as it is stored, by the server's own evaluation. descriptor: the source's own, which knows what
// rows older than a column have there.
bool EvaluateTuple(RowEvaluator *evaluator, HeapTuple tuple, TupleDesc descriptor);

// Makes native code for a stream table now, if it has any use for it. Enters the owner's scope.
void CompileStream(const Stream *stream);

// How rows of a stream table are evaluated, for explain_st; *compiled is the native code, or nullptr. Evaluates nothing itself:
// where it takes a call of constants to know, it says so.
const char *DescribeEvaluation(const Stream *stream, const CompiledRow **compiled);

// --- For whoever evaluates expressions of a plan --------------------------------------------------------------------------

// Expressions as a target list, simplified as the planner would, in the owner's scope; and the row type of one.
List *TargetsOf(const List *expressions);
List *SimplifyTargets(const List *targets);
TupleDesc DescriptorOf(const List *expressions);

// Prepares expressions of a plan (Vars of varno 1) for evaluation, simplified as the planner would. In the owner's scope.
List *SimplifyQuals(List *quals);
ExprState *CompileQuals(List *quals);

}  // namespace pgstream
