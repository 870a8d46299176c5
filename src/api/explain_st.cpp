// SQL functions explain_st(), defining_query() and definition_options(): what a stream table is and how it is maintained.
#include "api/names.hpp"
#include "api/options.hpp"
#include "capture/capture_triggers.hpp"
#include "capture/change_log.hpp"
#include "capture/frontier.hpp"
#include "delta/row_evaluator.hpp"
#include "pg/boundary.hpp"
#include "pg/definition.hpp"
#include "pg/definition_options.hpp"
#include "pg/source_index.hpp"

extern "C" {
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/regproc.h"
}

using namespace pgstream;

PGSTREAM_FUNCTION(pgstream_defining_query) {
  const Oid relid = PG_GETARG_OID(0);
  Relation rel = try_relation_open(relid, AccessShareLock);
  if (rel == nullptr) PG_RETURN_NULL();
  Query *query = HasStreamAccessMethod(rel) ? LoadDefinition(rel) : nullptr;
  relation_close(rel, AccessShareLock);
  if (query == nullptr) PG_RETURN_NULL();
  PG_RETURN_TEXT_P(cstring_to_text(DeparseQuery(query, true)));
}

PGSTREAM_FUNCTION(pgstream_definition_options) {
  const Oid relid = PG_GETARG_OID(0);
  Relation rel = try_relation_open(relid, AccessShareLock);
  if (rel == nullptr) PG_RETURN_NULL();
  DefinitionOption *options = nullptr;
  const bool is_stream = HasStreamAccessMethod(rel) && LoadDefinition(rel) != nullptr;
  const int n = is_stream ? LoadDefinitionOptions(rel, &options) : 0;
  relation_close(rel, AccessShareLock);
  if (!is_stream) PG_RETURN_NULL();
  Datum *texts = static_cast<Datum *>(palloc(sizeof(Datum) * Max(n, 1)));
  for (int i = 0; i < n; ++i) texts[i] = CStringGetTextDatum(psprintf("%s=%s", options[i].name, options[i].value));
  PG_RETURN_ARRAYTYPE_P(construct_array(texts, n, TEXTOID, -1, false, TYPALIGN_INT));
}

namespace {

struct PropertySink {
  ReturnSetInfo *result;
};

void Put(PropertySink *sink, const char *property, const char *value) {
  Datum values[2] = {CStringGetTextDatum(property), value != nullptr ? CStringGetTextDatum(value) : static_cast<Datum>(0)};
  bool nulls[2] = {false, value == nullptr};
  tuplestore_putvalues(sink->result->setResult, sink->result->setDesc, values, nulls);
}

const char *MaintenanceName(AggregateMaintenance maintenance) {
  switch (maintenance) {
    case AggregateMaintenance::Invertible:
      return "by its inverse";
    case AggregateMaintenance::InsertOnly:
      return "forward; by key when a retraction matters";
    case AggregateMaintenance::Keyed:
      return "by key";
  }
  return "";
}

char *ColumnList(Oid relid, const Bitmapset *columns) {
  StringInfoData text;
  initStringInfo(&text);
  int column = -1;
  while ((column = bms_next_member(columns, column)) >= 0)
    appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "",
                     quote_identifier(get_attname(relid, static_cast<AttrNumber>(column), false)));
  return text.data;
}

// What differs from the usual, which is by statement.
const char *HowCaptured(Oid source) {
  const CaptureShape shape = ShapeOf(source);
  if (!shape.by_row) return "";
  return psprintf("; captured by row at %d %s", list_length(shape.holders), list_length(shape.holders) == 1 ? "table" : "tables");
}

// How the changed keys of a plan with a keyed part are evaluated.
void PutKeyed(PropertySink *sink, const DeltaPlan *plan) {
  if (plan->strategy != Strategy::Keyed && plan->strategy != Strategy::Groups) return;
  const bool keyed = plan->strategy == Strategy::Keyed || plan->reason != nullptr;
  if (keyed && plan->nkeys > 0)
    Put(sink, "evaluation", "by key where that costs less than the whole query (pgstream.keyed_evaluation)");
  const char *columns = MissingSourceIndex(plan);
  if (columns != nullptr) Put(sink, "missing index", IndexCommand(plan, columns));
}

// As it is to be written here and now.
const char *SourceName(Oid source) {
  const char *name = get_rel_name(source);
  return RelationIsVisible(source) ? quote_identifier(name)
                                   : quote_qualified_identifier(get_namespace_name(get_rel_namespace(source)), name);
}

void PutPlan(PropertySink *sink, Relation rel, const DeltaPlan *plan) {
  Put(sink, "strategy", StrategyName(plan->strategy));
  if (plan->reason != nullptr) Put(sink, "reason", plan->reason);
  StringInfoData text;
  initStringInfo(&text);
  for (int i = 0; i < plan->nindex_columns; ++i)
    appendStringInfo(&text, "%s%s", i > 0 ? ", " : "",
                     quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), plan->index_columns[i] - 1)->attname)));
  if (plan->nindex_columns > 0) Put(sink, "key", text.data);
  PutKeyed(sink, plan);
  for (int i = 0; i < plan->naggregates; ++i) {
    const GroupAggregate *aggregate = &plan->aggregates[i];
    Put(sink, psprintf("aggregate %s", format_procedure(aggregate->aggref->aggfnoid)),
        aggregate->why_keyed != nullptr
            ? psprintf("%s: %s", MaintenanceName(aggregate->maintenance), aggregate->why_keyed)
            : MaintenanceName(aggregate->maintenance));
  }
  for (int i = 0; i < plan->nsources; ++i)
    Put(sink, psprintf("source %s", SourceName(plan->sources[i])),
        psprintf("columns used: %s%s", ColumnList(plan->sources[i], plan->columns[i]), HowCaptured(plan->sources[i])));
}

// Whether changed rows are evaluated by native code.
void PutCode(PropertySink *sink, const Stream *stream) {
  const CompiledRow *compiled;
  Put(sink, "expressions", DescribeEvaluation(stream, &compiled));
  if (compiled == nullptr) return;
  const LoadedCode *const code = compiled->code;
  Put(sink, "native code", psprintf("%zu bytes, compiled in %.1f ms, loaded in %.3f ms", code->size, code->compile_ms, code->load_ms));
  StringInfoData calls;
  initStringInfo(&calls);
  for (int i = 0; i < compiled->state->ncalls; ++i) {
    const char *const name = format_procedure(compiled->state->calls[i]->flinfo->fn_oid);
    appendStringInfo(&calls, "%s%s", i > 0 ? ", " : "", name);
  }
  if (calls.len > 0) Put(sink, "native code calls", calls.data);
}

char *RecordedSettingsList(const Stream *stream) {
  StringInfoData text;
  initStringInfo(&text);
  for (int i = 0; i < stream->nsettings; ++i)
    appendStringInfo(&text, "%s%s = %s", i > 0 ? ", " : "", stream->settings[i].name, stream->settings[i].value);
  return text.data;
}

}  // namespace

PGSTREAM_FUNCTION(pgstream_explain_st) {
  const Oid relid = ResolveStreamTable(PG_GETARG_TEXT_PP(0), AccessShareLock, false);
  InitMaterializedSRF(fcinfo, 0);
  PropertySink sink = {reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo)};
  Relation rel = relation_open(relid, AccessShareLock);
  const Stream *stream = LookupStream(relid);
  Put(&sink, "query", DeparseQuery(stream->plan->query, true));
  Put(&sink, "refresh_mode", RefreshModeName(stream->mode));
  if (stream->mode == RefreshMode::Differential) {
    PutPlan(&sink, rel, stream->plan);
    if (stream->plan->strategy < Strategy::Recompute) PutCode(&sink, stream);
  } else {
    Put(&sink, "strategy", "full refresh");
    Put(&sink, "reason", "refresh_mode is FULL");
  }
  if (stream->plan->dependence.settings && stream->nsettings > 0) Put(&sink, "settings", RecordedSettingsList(stream));
  const FrontierRow *frontier = ReadFrontier(relid, GetActiveSnapshot(), CurrentMemoryContext);
  const bool populated = frontier != nullptr && frontier->version == stream->version;
  Put(&sink, "populated", populated ? "yes" : "no");
  relation_close(rel, AccessShareLock);
  return static_cast<Datum>(0);
}
