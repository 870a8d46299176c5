// Projections in and out of groups; see group_output.hpp.
#include "delta/group_output.hpp"

#include "delta/hidden_state.hpp"
#include "delta/row_evaluator.hpp"

namespace pgstream {
namespace {

// The row as an addition, in the current context.
MinimalTuple MakeTuple(const GroupWriter *writer, const Datum *values, const bool *nulls, const Group *group,
                       const bytea *state, bool hidden) {
  return FormAddition(writer->extended, values, nulls, state, hidden && group->has_base ? &group->base_tid : nullptr);
}

}  // namespace

List *GroupRowTargets(const DeltaPlan *plan, bool with_inputs) {
  List *expressions = NIL;
  for (int i = 0; i < plan->nkeys; i++) expressions = lappend(expressions, plan->keys[i].expression);
  if (with_inputs) expressions = list_concat(expressions, AggregateInputs(plan));
  return TargetsOf(expressions);
}

GroupRowReader *NewGroupRowReader(const DeltaPlan *plan, bool with_inputs) {
  auto *reader = static_cast<GroupRowReader *>(palloc0(sizeof(GroupRowReader)));
  List *targets = SimplifyTargets(GroupRowTargets(plan, with_inputs));
  reader->econtext = CreateStandaloneExprContext();
  reader->slot = MakeSingleTupleTableSlot(DescriptorOf(targets), &TTSOpsVirtual);
  reader->projection = ExecBuildProjectionInfo(targets, reader->econtext, reader->slot, nullptr, nullptr);
  return reader;
}

TupleTableSlot *ReadGroupRow(GroupRowReader *reader, TupleTableSlot *source) {
  ResetExprContext(reader->econtext);
  reader->econtext->ecxt_scantuple = source;
  return ExecProject(reader->projection);
}

GroupWriter *NewGroupWriter(Relation rel, const DeltaPlan *plan, AggregateSet *aggregates) {
  auto *writer = static_cast<GroupWriter *>(palloc0(sizeof(GroupWriter)));
  writer->plan = plan;
  writer->aggregates = aggregates;
  writer->econtext = CreateStandaloneExprContext();
  writer->row = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)), &TTSOpsVirtual);
  writer->extended = ExtendedDescriptor(rel);
  List *columns = NIL;
  for (int i = 0; i < plan->nkeys; i++) columns = lappend(columns, plan->keys[i].expression);
  for (int i = 0; i < plan->naggregates; i++) columns = lappend(columns, plan->aggregates[i].aggref);
  writer->inner = MakeSingleTupleTableSlot(DescriptorOf(columns), &TTSOpsVirtual);
  writer->econtext->ecxt_innertuple = writer->inner;
  writer->having = CompileQuals(plan->having);
  writer->outputs =
      ExecBuildProjectionInfo(SimplifyTargets(TargetsOf(plan->outputs)), writer->econtext, writer->row, nullptr, nullptr);
  return writer;
}

TupleTableSlot *WriteGroupRow(GroupWriter *writer, Group *group) {
  const DeltaPlan *plan = writer->plan;
  TupleTableSlot *inner = writer->inner;
  ResetExprContext(writer->econtext);
  MemoryContextReset(writer->aggregates->temporary);
  ExecClearTuple(inner);
  memcpy(inner->tts_values, group->keys, sizeof(Datum) * plan->nkeys);
  memcpy(inner->tts_isnull, group->nulls, sizeof(bool) * plan->nkeys);
  FinalizeStates(writer->aggregates, group->states, inner->tts_values + plan->nkeys, inner->tts_isnull + plan->nkeys);
  ExecStoreVirtualTuple(inner);
  if (!ExecQual(writer->having, writer->econtext)) return nullptr;
  return ExecProject(writer->outputs);
}

MinimalTuple GroupTuple(GroupWriter *writer, TupleTableSlot *row, Group *group, bool hidden) {
  const MemoryContext old = MemoryContextSwitchTo(writer->econtext->ecxt_per_tuple_memory);
  bytea *state = hidden ? GroupStateBytes(writer, group) : nullptr;
  MinimalTuple tuple = MakeTuple(writer, row->tts_values, row->tts_isnull, group, state, hidden);
  MemoryContextSwitchTo(old);
  return tuple;
}

MinimalTuple ResultTuple(GroupWriter *writer, TupleTableSlot *slot, Group *group, bool hidden) {
  ResetExprContext(writer->econtext);
  const MemoryContext old = MemoryContextSwitchTo(writer->econtext->ecxt_per_tuple_memory);
  slot_getallattrs(slot);
  MinimalTuple tuple = MakeTuple(writer, slot->tts_values, slot->tts_isnull, group, nullptr, hidden);
  MemoryContextSwitchTo(old);
  return tuple;
}

bytea *GroupStateBytes(GroupWriter *writer, Group *group) {
  const MemoryContext old = MemoryContextSwitchTo(writer->econtext->ecxt_per_tuple_memory);
  bytea *state = SerializeStates(writer->aggregates, group->rows, group->states);
  MemoryContextSwitchTo(old);
  return state;
}

}  // namespace pgstream
