// Checks of defining queries; see query_checks.hpp.
#include "api/query_checks.hpp"

extern "C" {
#include "parser/analyze.h"
#include "parser/parse_param.h"
#include "parser/parser.h"
}

namespace pgstream {

namespace {

[[noreturn]] void Refuse(int sqlstate, const char *message, const char *hint) {
  ereport(ERROR, (errcode(sqlstate), errmsg("%s", message), hint != nullptr ? errhint("%s", hint) : 0));
  pg_unreachable();
}

// The analysed query as the rewriter expands it, for checks that must look through views.
Query *Rewritten(const Query *query) {
  Query *copy = static_cast<Query *>(copyObjectImpl(query));
  AcquireRewriteLocks(copy, true, false);
  return linitial_node(Query, QueryRewrite(copy));
}

}  // namespace

void CheckDefinition(const Node *node, RefreshMode mode) {
  const Query *query = castNode(Query, const_cast<Node *>(node));
  if (query->commandType == CMD_UTILITY)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be defined by EXECUTE", "Write the query itself.");
  if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a stream table must not modify data", "Use a SELECT without data-modifying statements in WITH.");
  if (query->rowMarks != NIL)
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a stream table must not lock rows", "Remove FOR UPDATE or FOR SHARE.");
  if (query_contains_extern_params(const_cast<Query *>(query)))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot be defined using bound parameters", "Put the values into the query.");
  if (isQueryUsingTempRelation(const_cast<Query *>(query)))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "stream tables cannot use temporary tables or views", "Use permanent ones.");
  if (mode == RefreshMode::Differential && contain_volatile_functions(reinterpret_cast<Node *>(Rewritten(query))))
    Refuse(ERRCODE_FEATURE_NOT_SUPPORTED, "the query of a differential stream table must not use volatile functions",
           "With refresh_mode = 'FULL' a stream table holds the result of its last refresh, and may use them.");
}

bool ReadsStream(const Query *query, Oid relid) { return list_member_oid(RelationsRead(query), relid); }

SelectStmt *ParseSelect(const char *query) {
  List *parsed = raw_parser(query, RAW_PARSE_DEFAULT);
  if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a stream table must be one SELECT statement")));
  auto *select = castNode(SelectStmt, linitial_node(RawStmt, parsed)->stmt);
  if (select->intoClause != nullptr)
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a stream table must not have INTO")));
  return select;
}

const Query *AnalyseSelect(const char *query) {
  auto *raw = makeNode(RawStmt);
  raw->stmt = reinterpret_cast<Node *>(ParseSelect(query));
  return parse_analyze_fixedparams(raw, query, nullptr, 0, nullptr);
}

}  // namespace pgstream
