// EXPLAIN EXECUTE: the summary of the stream tables that a prepared statement reads.
//
// The hook for explained queries is not called for prepared statements, whose plan may be an old one, and what EXPLAIN
// writes is seen only when it is sent. So the receiver is replaced by one that passes everything on and adds the summary.
// Promises: the summary is that of EXPLAIN of the query itself. Refuses: to change what an EXPLAIN without stream tables
// sends.
#include "pg/boundary.hpp"
#include "pg/stream.hpp"
#include "scan/explain.hpp"

namespace pgstream {
namespace {

ProcessUtility_hook_type previous_utility;

struct SummaryReceiver {
  DestReceiver receiver;  // what the server knows
  DestReceiver *target;
  TupleDesc descriptor;
  const Explained *explained;
  ExplainState *state;  // the statement's options, as far as the summary needs them
};

SummaryReceiver *AsReceiver(DestReceiver *receiver) {
  return reinterpret_cast<SummaryReceiver *>(receiver);
}

// The EXECUTE that a statement explains, by itself or as the source of a new table.
bool ExplainsExecute(const Node *statement) {
  if (!IsA(statement, ExplainStmt)) return false;
  const auto *query = reinterpret_cast<const Query *>(reinterpret_cast<const ExplainStmt *>(statement)->query);
  if (query == nullptr || !IsA(query, Query) || query->utilityStmt == nullptr) return false;
  if (IsA(query->utilityStmt, CreateTableAsStmt))
    query = reinterpret_cast<const Query *>(reinterpret_cast<const CreateTableAsStmt *>(query->utilityStmt)->query);
  return IsA(query, Query) && query->utilityStmt != nullptr && IsA(query->utilityStmt, ExecuteStmt);
}

// The options that matter here; EXPLAIN itself judges them.
ExplainState *OptionsOf(const ExplainStmt *statement) {
  ExplainState *const state = NewExplainState();
  bool timing_given = false;
  ListCell *cell;
  foreach (cell, statement->options) {
    auto *const option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "analyze") == 0) {
      state->analyze = defGetBoolean(option);
    } else if (strcmp(option->defname, "timing") == 0) {
      timing_given = true;
      state->timing = defGetBoolean(option);
    } else if (strcmp(option->defname, "format") == 0) {
      const char *const format = defGetString(option);
      state->format = strcmp(format, "json") == 0   ? EXPLAIN_FORMAT_JSON
                      : strcmp(format, "xml") == 0  ? EXPLAIN_FORMAT_XML
                      : strcmp(format, "yaml") == 0 ? EXPLAIN_FORMAT_YAML
                                                    : EXPLAIN_FORMAT_TEXT;
    }
  }
  if (!timing_given) state->timing = state->analyze;
  return state;
}

void SendText(SummaryReceiver *receiver, const char *text, Size length) {
  TupleTableSlot *const slot = MakeSingleTupleTableSlot(receiver->descriptor, &TTSOpsVirtual);
  slot->tts_values[0] = PointerGetDatum(cstring_to_text_with_len(text, static_cast<int>(length)));
  slot->tts_isnull[0] = false;
  ExecStoreVirtualTuple(slot);
  receiver->target->receiveSlot(slot, receiver->target);
  ExecDropSingleTupleTableSlot(slot);
}

// Takes back the end of a structured document, and puts the state where it was before that.
void ReopenDocument(ExplainState *state, const char *document, Size length) {
  static constexpr char kXmlEnd[] = "</explain>";
  state->grouping_stack = list_make1_int(1);
  if (state->format == EXPLAIN_FORMAT_JSON) {
    while (length > 0 && document[length - 1] != ']') length--;
    length--;
    while (length > 0 && isspace(static_cast<unsigned char>(document[length - 1]))) length--;
    state->indent = 1;
  } else if (state->format == EXPLAIN_FORMAT_XML) {
    while (length > strlen(kXmlEnd) && strncmp(document + length - strlen(kXmlEnd), kXmlEnd, strlen(kXmlEnd)) != 0) length--;
    length -= strlen(kXmlEnd);
    state->grouping_stack = NIL;
    state->indent = 1;
  }
  appendBinaryStringInfo(state->str, document, static_cast<int>(length));
}

void StartUp(DestReceiver *self, int operation, TupleDesc descriptor) {
  SummaryReceiver *const receiver = AsReceiver(self);
  receiver->descriptor = descriptor;
  receiver->target->rStartup(receiver->target, operation, descriptor);
}

bool Receive(TupleTableSlot *slot, DestReceiver *self) {
  SummaryReceiver *const receiver = AsReceiver(self);
  ExplainState *const state = receiver->state;
  if (state->format == EXPLAIN_FORMAT_TEXT || receiver->explained->relids == NIL)
    return receiver->target->receiveSlot(slot, receiver->target);
  slot_getallattrs(slot);
  const text *const document = DatumGetTextPP(slot->tts_values[0]);
  ReopenDocument(state, VARDATA_ANY(document), VARSIZE_ANY_EXHDR(document));
  ExplainSummary(receiver->explained->relids, state);
  ExplainEndOutput(state);
  SendText(receiver, state->str->data, static_cast<Size>(state->str->len));
  return true;
}

void ShutDown(DestReceiver *self) {
  SummaryReceiver *const receiver = AsReceiver(self);
  ExplainState *const state = receiver->state;
  if (state->format == EXPLAIN_FORMAT_TEXT && receiver->explained->relids != NIL) {
    ExplainSummary(receiver->explained->relids, state);
    const char *line = state->str->data;
    for (const char *end; (end = strchr(line, '\n')) != nullptr; line = end + 1)
      SendText(receiver, line, static_cast<Size>(end - line));
  }
  receiver->target->rShutdown(receiver->target);
}

void Destroy(DestReceiver *) {}

void Run(PlannedStmt *planned, const char *text, bool read_only_tree, ProcessUtilityContext context, ParamListInfo params,
         QueryEnvironment *environment, DestReceiver *receiver, QueryCompletion *completion) {
  (previous_utility != nullptr ? previous_utility : standard_ProcessUtility)(planned, text, read_only_tree, context, params,
                                                                             environment, receiver, completion);
}

void ExplainExecute(PlannedStmt *planned, const char *text, bool read_only_tree, ProcessUtilityContext context,
                    ParamListInfo params, QueryEnvironment *environment, DestReceiver *receiver,
                    QueryCompletion *completion) {
  if (!ExplainsExecute(planned->utilityStmt)) {
    Run(planned, text, read_only_tree, context, params, environment, receiver, completion);
    return;
  }
  Explained mine = {false, true, NIL, false};
  SummaryReceiver summary = {{Callback<Receive>::Call, Callback<StartUp>::Call, Callback<ShutDown>::Call,
                              Callback<Destroy>::Call, receiver->mydest},
                             receiver,
                             nullptr,
                             &mine,
                             OptionsOf(reinterpret_cast<const ExplainStmt *>(planned->utilityStmt))};
  Explained *const outer = BeginExplained(&mine);
  PG_TRY();
  { Run(planned, text, read_only_tree, context, params, environment, &summary.receiver, completion); }
  PG_FINALLY();
  { EndExplained(outer); }
  PG_END_TRY();
}

}  // namespace

void InitExplainExecute() {
  previous_utility = ProcessUtility_hook;
  ProcessUtility_hook = Callback<ExplainExecute>::Call;
}

}  // namespace pgstream
