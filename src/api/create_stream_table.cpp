// SQL function create_stream_table(): builds the statement a user would have written and runs it.
#include "api/create.hpp"
#include "api/names.hpp"
#include "api/query_checks.hpp"
#include "pg/settings.hpp"
#include "pg/boundary.hpp"

using namespace pgstream;

void pgstream::CreateByName(RangeVar *name, char *query, const char *schedule, const char *mode, bool initialize) {
  auto *statement = makeNode(CreateTableAsStmt);
  statement->query = reinterpret_cast<Node *>(ParseSelect(query));
  statement->objtype = OBJECT_TABLE;
  statement->into = makeNode(IntoClause);
  statement->into->rel = name;
  statement->into->accessMethod = pstrdup("pgstream");
  statement->into->onCommit = ONCOMMIT_NOOP;
  statement->into->skipData = !initialize;
  statement->into->options =
      list_make2(makeDefElem(pstrdup("schedule"), reinterpret_cast<Node *>(makeString(pstrdup(schedule))), -1),
                 makeDefElem(pstrdup("refresh_mode"), reinterpret_cast<Node *>(makeString(pstrdup(mode))), -1));

  auto *raw = makeNode(RawStmt);
  raw->stmt = reinterpret_cast<Node *>(statement);
  Query *analysed = parse_analyze_fixedparams(raw, query, nullptr, 0, nullptr);
  auto *planned = makeNode(PlannedStmt);
  planned->commandType = CMD_UTILITY;
  planned->canSetTag = true;
  planned->utilityStmt = analysed->utilityStmt;
  ProcessUtility(planned, query, false, PROCESS_UTILITY_QUERY, nullptr, nullptr, None_Receiver, nullptr);
}

PGSTREAM_FUNCTION(pgstream_create_stream_table) {
  RequirePreload();
  RangeVar *name = ParseRelationName(RequiredArgument(fcinfo, 0, "the name"));
  char *query = text_to_cstring(RequiredArgument(fcinfo, 1, "the query"));
  char *mode = text_to_cstring(RequiredArgument(fcinfo, 3, "the refresh mode"));
  const char *schedule = PG_ARGISNULL(2) ? "calculated" : text_to_cstring(PG_GETARG_TEXT_PP(2));
  CreateByName(name, query, schedule, mode, PG_ARGISNULL(4) || PG_GETARG_BOOL(4));
  PG_RETURN_VOID();
}
