// Evaluating source rows; see row_evaluator.hpp.
#include "delta/row_evaluator.hpp"

#include "delta/direct_plan.hpp"
#include "delta/evaluate.hpp"
#include "delta/group_output.hpp"
#include "delta/strategy.hpp"
#include "pg/constant_calls.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "utils/timestamp.h"
}

namespace pgstream {

TupleDesc DescriptorOf(const List *expressions) {
  TupleDesc descriptor = CreateTemplateTupleDesc(list_length(expressions));
  ListCell *cell;
  AttrNumber column = 0;
  foreach (cell, expressions) {
    Node *expression = static_cast<Node *>(lfirst(cell));
    if (IsA(expression, TargetEntry))
      expression = reinterpret_cast<Node *>(reinterpret_cast<TargetEntry *>(expression)->expr);
    column++;
    TupleDescInitEntry(descriptor, column, nullptr, exprType(expression), exprTypmod(expression), 0);
    TupleDescInitEntryCollation(descriptor, column, exprCollation(expression));
  }
  return descriptor;
}

List *TargetsOf(const List *expressions) {
  List *targets = NIL;
  ListCell *cell;
  foreach (cell, expressions) {
    targets = lappend(targets, makeTargetEntry(static_cast<Expr *>(lfirst(cell)),
                                               static_cast<AttrNumber>(list_length(targets) + 1), nullptr, false));
  }
  return targets;
}

// What is simplified is a copy: a plan may be rebuilt while what was prepared of it lives on.
List *SimplifyTargets(const List *targets) {
  ListCell *cell;
  List *simplified = NIL;
  foreach (cell, targets) {
    TargetEntry *target = flatCopyTargetEntry(lfirst_node(TargetEntry, cell));
    target->expr = expression_planner(CopyNode(target->expr));
    simplified = lappend(simplified, target);
  }
  return simplified;
}

List *SimplifyQuals(List *quals) {
  List *simplified = NIL;
  ListCell *cell;
  foreach (cell, quals)
    simplified = lappend(simplified, expression_planner(CopyNode(static_cast<Expr *>(lfirst(cell)))));
  return simplified;
}

ExprState *CompileQuals(List *quals) { return ExecInitQual(SimplifyQuals(quals), nullptr); }

namespace {

List *RowTargets(const DeltaPlan *plan) {
  if (plan->strategy == Strategy::Rows) return TargetsOf(plan->outputs);
  return GroupRowTargets(plan, plan->strategy == Strategy::Groups && GroupsKeepState(plan));
}

void TakeColumns(const DeltaPlan *plan, RowExpressions *expressions) {
  Relation source = table_open(plan->sources[0], AccessShareLock);
  expressions->descriptor = CreateTupleDescCopy(RelationGetDescr(source));
  table_close(source, NoLock);
  const int used = bms_num_members(plan->columns[0]);
  auto *const columns = static_cast<AttrNumber *>(palloc((used + 1) * sizeof(AttrNumber)));
  int attnum = -1;
  while ((attnum = bms_next_member(plan->columns[0], attnum)) >= 0)
    columns[expressions->ncolumns++] = static_cast<AttrNumber>(attnum);
  expressions->columns = columns;
}

void TakeExpressions(const DeltaPlan *plan, RowExpressions *expressions) {
  TakeColumns(plan, expressions);
  expressions->quals = SimplifyQuals(plan->quals);
  expressions->targets = SimplifyTargets(RowTargets(plan));
}

bool EvaluatesRows(const Stream *stream) {
  const Strategy strategy = stream->plan->strategy;
  return stream->mode == RefreshMode::Differential && strategy != Strategy::Recompute && strategy != Strategy::RecomputeAlways;
}

// Whether only few rows are evaluated, those that cannot be summed column by column: compiling would not pay then.
bool SumsColumns(const DeltaPlan *plan, const RowExpressions *expressions) {
  DirectPlan direct;
  return plan->strategy == Strategy::Groups && GroupsKeepState(plan) && PlanDirectly(plan, expressions, &direct);
}

CompiledRow *CodeFor(Oid relid, const RowExpressions *expressions, bool sums_columns, OnMiss on_miss, NoCode *no_code) {
  if (!sums_columns || JitSetting() != Jit::On) return NewCompiledRow(relid, expressions, on_miss, no_code);
  *no_code = {"its changes are summed column by column", false};
  return nullptr;
}

// Puts a row into the slot, by-reference values in the per-tuple memory.
void FillSlot(RowEvaluator *evaluator, const char *image) {
  const RowExpressions *const row = &evaluator->expressions;
  TupleTableSlot *const slot = evaluator->slot;
  const MemoryContext saved = MemoryContextSwitchTo(evaluator->econtext->ecxt_per_tuple_memory);
  ExecClearTuple(slot);
  const char *position = image + BITMAPLEN(row->ncolumns);
  for (int i = 0; i < row->ncolumns; i++) {
    const int column = row->columns[i] - 1;
    const FormData_pg_attribute *const attribute = TupleDescAttr(row->descriptor, column);
    slot->tts_isnull[column] = (image[i / 8] & (1 << (i % 8))) != 0;
    if (slot->tts_isnull[column]) continue;
    int32 length = attribute->attlen;
    if (length < 0) {
      memcpy(&length, position, sizeof(length));
      position += sizeof(length);
    }
    slot->tts_values[column] = DatumOfImage(position, length, attribute);
    position += length;
  }
  ExecStoreVirtualTuple(slot);
  MemoryContextSwitchTo(saved);
}

// Between looks for code that was asked for.
constexpr int64 kFirstPauseUs = 500000, kLongestPauseUs = 60000000;

void Choose(RowEvaluator *evaluator) {
  evaluator->compiled = nullptr;
  MemoryContextReset(evaluator->code_context);
  const MemoryContext saved = MemoryContextSwitchTo(evaluator->code_context);
  evaluator->setting = JitSetting();
  evaluator->optimization = JitOptimization();
  NoCode no_code;
  evaluator->compiled = CodeFor(evaluator->relid, &evaluator->expressions, evaluator->sums_columns, evaluator->on_miss, &no_code);
  evaluator->why_interpreted = no_code.why;
  evaluator->look_again = 0;
  if (evaluator->compiled == nullptr && no_code.awaited) {
    evaluator->look_again = GetCurrentTimestamp() + evaluator->pause_us;
    evaluator->pause_us = Min(2 * evaluator->pause_us, kLongestPauseUs);
  }
  MemoryContextSwitchTo(saved);
}

}  // namespace

RowEvaluator *NewRowEvaluator(const Stream *stream, OnMiss on_miss) {
  auto *const evaluator = static_cast<RowEvaluator *>(palloc0(sizeof(RowEvaluator)));
  TakeExpressions(stream->plan, &evaluator->expressions);
  const RowExpressions *const row = &evaluator->expressions;
  evaluator->slot = MakeSingleTupleTableSlot(row->descriptor, &TTSOpsVirtual);
  for (int i = 0; i < row->descriptor->natts; i++) evaluator->slot->tts_isnull[i] = true;
  evaluator->econtext = CreateStandaloneExprContext();
  evaluator->econtext->ecxt_scantuple = evaluator->slot;
  evaluator->quals = ExecInitQual(const_cast<List *>(row->quals), nullptr);
  evaluator->outputs = MakeSingleTupleTableSlot(DescriptorOf(row->targets), &TTSOpsVirtual);
  evaluator->projection =
      ExecBuildProjectionInfo(const_cast<List *>(row->targets), evaluator->econtext, evaluator->outputs, nullptr, nullptr);
  evaluator->code_context = AllocSetContextCreate(CurrentMemoryContext, "pg_stream native code", ALLOCSET_SMALL_SIZES);
  evaluator->relid = stream->relid;
  evaluator->on_miss = on_miss;
  evaluator->pause_us = kFirstPauseUs;
  evaluator->sums_columns = SumsColumns(stream->plan, row);
  Choose(evaluator);
  return evaluator;
}

void FollowJitSettings(RowEvaluator *evaluator) {
  if (evaluator->setting != JitSetting() || evaluator->optimization != JitOptimization() ||
      (evaluator->look_again != 0 && GetCurrentTimestamp() >= evaluator->look_again))
    Choose(evaluator);
}

bool EvaluateRow(RowEvaluator *evaluator, const char *image) {
  if (evaluator->compiled != nullptr) {
    const MemoryContext saved = MemoryContextSwitchTo(evaluator->econtext->ecxt_per_tuple_memory);
    const bool passed =
        EvaluateImage(evaluator->compiled, image, evaluator->outputs->tts_values, evaluator->outputs->tts_isnull);
    MemoryContextSwitchTo(saved);
    return passed;
  }
  FillSlot(evaluator, image);
  if (!ExecQual(evaluator->quals, evaluator->econtext)) return false;
  ExecProject(evaluator->projection);
  return true;
}

bool EvaluateTuple(RowEvaluator *evaluator, HeapTuple tuple, TupleDesc descriptor) {
  TupleTableSlot *const slot = evaluator->slot;
  ExecClearTuple(slot);
  heap_deform_tuple(tuple, descriptor, slot->tts_values, slot->tts_isnull);
  ExecStoreVirtualTuple(slot);
  if (!ExecQual(evaluator->quals, evaluator->econtext)) return false;
  ExecProject(evaluator->projection);
  return true;
}

void CompileStream(const Stream *stream) {
  if (!EvaluatesRows(stream)) return;
  const MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "pg_stream compile", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext saved = MemoryContextSwitchTo(work);
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  RowExpressions expressions = {};
  TakeExpressions(stream->plan, &expressions);
  NoCode no_code;
  (void)CodeFor(stream->relid, &expressions, SumsColumns(stream->plan, &expressions), OnMiss::Compile, &no_code);
  LeaveOwnerScope(&scope);
  MemoryContextSwitchTo(saved);
  MemoryContextDelete(work);
}

// Whether this server takes the settings that the query was recorded with; where it does not, reading fails, describing must not.
static bool SettingsCanBeHad(const Stream *stream) {
  if (!stream->plan->dependence.settings) return true;
  for (int i = 0; i < stream->nsettings; i++)
    if (set_config_option(stream->settings[i].name, stream->settings[i].value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, false,
                          DEBUG1, false) == 0)
      return false;
  return true;
}

const char *DescribeEvaluation(const Stream *stream, const CompiledRow **compiled) {
  *compiled = nullptr;
  if (!EvaluatesRows(stream)) return "interpreted: its changes are not evaluated by the row";
  if (JitSetting() == Jit::Off) return "interpreted: pgstream.jit is off";
  if (SimplifyingEvaluates(AsNode(stream->plan->quals)) || SimplifyingEvaluates(AsNode(RowTargets(stream->plan))))
    return "compiled or interpreted: known when reading it has evaluated its calls of constants";
  if (!SettingsCanBeHad(stream)) return "interpreted: its settings are not to be had here";
  NoCode no_code;
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  RowExpressions expressions = {};
  TakeExpressions(stream->plan, &expressions);
  *compiled =
      CodeFor(stream->relid, &expressions, SumsColumns(stream->plan, &expressions), OnMiss::Interpret, &no_code);
  LeaveOwnerScope(&scope);
  return *compiled == nullptr ? psprintf("interpreted: %s", no_code.why) : "compiled";
}

}  // namespace pgstream
