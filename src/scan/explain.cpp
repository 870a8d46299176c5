// EXPLAIN of statements that read stream tables: the delta arm's own lines, and a summary per stream table at the end.
// Promises and refusals: scan/explain.hpp.
//
// A merging sequential scan is heap's own node to EXPLAIN, so the summary is the one place where every read shows. It
// belongs into the Query group, which is already closed when the hook gets control back: it is opened again.
#include "scan/explain.hpp"

#include "pg/boundary.hpp"

namespace pgstream {
namespace {

ExplainOneQuery_hook_type previous_hook;

Explained *explained;

void ExplainStrategy(Strategy strategy, const char *reason, ExplainState *es) {
  ExplainPropertyText("Strategy", StrategyName(strategy), es);
  if (reason != nullptr) ExplainPropertyText("Strategy Reason", reason, es);
}

void ExplainStatistics(const OverlayStatistics *statistics, bool masks_all, ExplainState *es) {
  ExplainPropertyInteger("Pending Changes", nullptr, statistics->pending_changes, es);
  if (masks_all) {
    ExplainPropertyText("Rows Masked", "all", es);
  } else {
    ExplainPropertyInteger("Rows Masked", nullptr, statistics->masked, es);
  }
  ExplainPropertyInteger("Rows Added", nullptr, statistics->added, es);
  if (statistics->groups_changed > 0) {
    ExplainPropertyInteger("Groups Changed", nullptr, statistics->groups_changed, es);
    ExplainPropertyInteger("Groups Resolved", nullptr, statistics->groups_resolved, es);
  }
  if (statistics->keys_evaluated > 0 && !masks_all)
    ExplainPropertyInteger("Keys Evaluated", nullptr, statistics->keys_evaluated, es);
  if (statistics->summed > 0 && !masks_all && (es->timing || es->verbose))
    ExplainPropertyInteger("Changes Summed", nullptr, statistics->summed, es);
  if (statistics->evaluates && !masks_all && (es->timing || es->verbose)) {
    ExplainPropertyText("Expressions", statistics->why_interpreted == nullptr ? "compiled" : "interpreted", es);
    if (statistics->why_interpreted != nullptr) {
      ExplainPropertyText("Interpreted Because", statistics->why_interpreted, es);
    } else {
      ExplainPropertyInteger("Native Code Size", "bytes", statistics->code_size, es);
      ExplainPropertyInteger("Native Code Calls", nullptr, statistics->code_calls, es);
      if (es->timing) ExplainPropertyFloat("Native Code Load Time", "ms", statistics->code_load_ms, 3, es);
    }
  }
  if (statistics->keyed_cost > 0 && es->costs) {
    ExplainPropertyFloat("Keyed Cost", nullptr, statistics->keyed_cost, 2, es);
    ExplainPropertyFloat("Recompute Cost", nullptr, statistics->whole_cost, 2, es);
  }
}

void ExplainStream(Oid relid, ExplainState *es) {
  const Stream *const stream = LookupStream(relid);
  if (stream == nullptr) return;
  const char *const name =
      quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
  ExplainOpenGroup("Stream Table", nullptr, true, es);
  if (es->format == EXPLAIN_FORMAT_TEXT) {
    appendStringInfoSpaces(es->str, 2 * es->indent);
    appendStringInfo(es->str, "Stream Table: %s\n", name);
    es->indent++;
  } else {
    ExplainPropertyText("Stream Table", name, es);
  }

  const OverlayReport *const report = es->analyze ? LastOverlayReport(relid) : nullptr;
  if (stream->mode == RefreshMode::Full) {
    ExplainPropertyText("Strategy", "full refresh", es);
    ExplainPropertyText("Strategy Reason", "refresh_mode is FULL", es);
  } else if (report == nullptr || !report->merged) {
    ExplainStrategy(stream->plan->strategy, stream->plan->reason, es);
    if (report != nullptr) ExplainPropertyInteger("Pending Changes", nullptr, 0, es);
  } else {
    ExplainStrategy(report->strategy, report->reason, es);
    ExplainStatistics(&report->statistics, report->statistics.masked < 0, es);
    if (es->timing) ExplainPropertyFloat("Delta Time", "ms", report->statistics.build_ms, 3, es);
  }
  if (report != nullptr && es->timing) ExplainPropertyFloat("Frontier Age", "ms", report->frontier_age_ms, 3, es);

  if (es->format == EXPLAIN_FORMAT_TEXT) es->indent--;
  ExplainCloseGroup("Stream Table", nullptr, true, es);
}

// Takes back the closing of the Query group that standard EXPLAIN has just written.
void ReopenQueryGroup(ExplainState *es) {
  StringInfo const text = es->str;
  switch (es->format) {
    case EXPLAIN_FORMAT_TEXT:
      return;
    case EXPLAIN_FORMAT_JSON:
      while (text->len > 0 && text->data[text->len - 1] != '}') text->len--;
      text->len--;
      while (text->len > 0 && isspace(static_cast<unsigned char>(text->data[text->len - 1]))) text->len--;
      es->grouping_stack = lcons_int(1, es->grouping_stack);
      break;
    case EXPLAIN_FORMAT_XML:
      while (text->len > 0 && text->data[text->len - 1] != '<') text->len--;
      text->len--;
      while (text->len > 0 && text->data[text->len - 1] == ' ') text->len--;
      break;
    case EXPLAIN_FORMAT_YAML:
      es->grouping_stack = lcons_int(1, es->grouping_stack);
      break;
  }
  text->data[text->len] = '\0';
  es->indent++;
}

void ExplainStatement(Query *query, int cursor_options, IntoClause *into, ExplainState *es, const char *query_string,
                      ParamListInfo params, QueryEnvironment *environment) {
  Explained mine = {false, false, NIL, es->analyze};
  Explained *const outer = BeginExplained(&mine);
  PG_TRY();
  {
    if (previous_hook != nullptr) {
      previous_hook(query, cursor_options, into, es, query_string, params, environment);
    } else {
      compat::StandardExplainOneQuery(query, cursor_options, into, es, query_string, params, environment);
    }
  }
  PG_FINALLY();
  { EndExplained(outer); }
  PG_END_TRY();
  if (mine.relids != NIL) ExplainSummary(mine.relids, es);
}

}  // namespace

void ExplainOverlay(const Overlay *overlay, const Stream *stream, ExplainState *es) {
  if (overlay != nullptr) {
    ExplainStrategy(overlay->strategy, overlay->reason, es);
    ExplainStatistics(&overlay->statistics, overlay->masks_all, es);
  } else if (stream != nullptr) {
    ExplainStrategy(stream->plan->strategy, stream->plan->reason, es);
  }
}

Explained *BeginExplained(Explained *mine) {
  Explained *const outer = explained;
  explained = mine;
  ResetOverlayReports();
  return outer;
}

void EndExplained(Explained *outer) {
  explained = outer;
}

bool ExplainWantsStreams(bool prepared) {
  return explained != nullptr && explained->prepared == prepared && !explained->planned;
}

bool ExplainsOnly() {
  return explained != nullptr && !explained->prepared && !explained->planned && !explained->executes;
}

void ExplainSummary(List *relids, ExplainState *es) {
  ReopenQueryGroup(es);
  ExplainOpenGroup("Stream Tables", "Stream Tables", false, es);
  ListCell *cell;
  foreach (cell, relids) ExplainStream(lfirst_oid(cell), es);
  ExplainCloseGroup("Stream Tables", "Stream Tables", false, es);
  if (es->format != EXPLAIN_FORMAT_TEXT) ExplainCloseGroup("Query", nullptr, true, es);
}

void NoteExplainedStreams(List *relids) {
  explained->planned = true;
  explained->relids = relids;
}

void InitExplain() {
  previous_hook = ExplainOneQuery_hook;
  ExplainOneQuery_hook = Callback<ExplainStatement>::Call;
  InitExplainExecute();
}

}  // namespace pgstream
