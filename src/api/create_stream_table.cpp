// SQL function create_stream_table(): builds the statement a user would have written and runs it.
#include "api/create.hpp"
#include "api/names.hpp"
#include "api/options.hpp"
#include "pg/settings.hpp"
#include "pg/boundary.hpp"

using namespace pgstream;

static text *RequiredArgument(FunctionCallInfo fcinfo, int n, const char *name) {
  if (PG_ARGISNULL(n))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s of a stream table must not be null", name)));
  return PG_GETARG_TEXT_PP(n);
}

// The query as one SELECT; anything else is refused here with a clear message.
static Node *ParseSelect(const char *query) {
  List *parsed = raw_parser(query, RAW_PARSE_DEFAULT);
  if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a stream table must be one SELECT statement")));
  auto *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
  if (select->intoClause != nullptr)
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a stream table must not have INTO")));
  return reinterpret_cast<Node *>(select);
}

PGSTREAM_FUNCTION(pgstream_create_stream_table) {
  RequirePreload();
  RangeVar *name = ParseRelationName(RequiredArgument(fcinfo, 0, "the name"));
  char *query = text_to_cstring(RequiredArgument(fcinfo, 1, "the query"));
  char *mode = text_to_cstring(RequiredArgument(fcinfo, 3, "the refresh mode"));
  const bool initialize = PG_ARGISNULL(4) || PG_GETARG_BOOL(4);

  auto *statement = makeNode(CreateTableAsStmt);
  statement->query = ParseSelect(query);
  statement->objtype = OBJECT_TABLE;
  statement->into = makeNode(IntoClause);
  statement->into->rel = name;
  statement->into->accessMethod = pstrdup("pgstream");
  statement->into->onCommit = ONCOMMIT_NOOP;
  statement->into->skipData = !initialize;
  char *schedule = PG_ARGISNULL(2) ? pstrdup("calculated") : text_to_cstring(PG_GETARG_TEXT_PP(2));
  statement->into->options =
      list_make2(makeDefElem(pstrdup("schedule"), reinterpret_cast<Node *>(makeString(schedule)), -1),
                 makeDefElem(pstrdup("refresh_mode"), reinterpret_cast<Node *>(makeString(mode)), -1));

  auto *raw = makeNode(RawStmt);
  raw->stmt = reinterpret_cast<Node *>(statement);
  Query *analysed = parse_analyze_fixedparams(raw, query, nullptr, 0, nullptr);
  auto *planned = makeNode(PlannedStmt);
  planned->commandType = CMD_UTILITY;
  planned->canSetTag = true;
  planned->utilityStmt = analysed->utilityStmt;
  ProcessUtility(planned, query, false, PROCESS_UTILITY_SUBCOMMAND, nullptr, nullptr, None_Receiver, nullptr);
  PG_RETURN_VOID();
}
