// Comparing queries by their text in one canonical spelling; see query_identity.hpp.
#include "pg/query_identity.hpp"

#include "pg/definition.hpp"

extern "C" {
#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
}

namespace pgstream {

namespace {

// Gives every table of a query, and of its subqueries, the same alias: deparsing tells them apart by numbers, in order.
bool ForgetAliases(Node *node, void *) {
  if (node == nullptr) return false;
  if (!IsA(node, Query)) return compat::WalkExpression(node, ForgetAliases, static_cast<void *>(nullptr));
  auto *query = reinterpret_cast<Query *>(node);
  ListCell *cell;
  foreach (cell, query->rtable) {
    auto *entry = lfirst_node(RangeTblEntry, cell);
    if (entry->rtekind == RTE_JOIN && entry->alias == nullptr) continue;
    if (entry->alias == nullptr) entry->alias = makeAlias("", NIL);
    entry->alias->aliasname = entry->eref->aliasname = pstrdup("t");
  }
  return compat::WalkQuery(query, ForgetAliases, static_cast<void *>(nullptr), 0);
}

char *CanonicalText(const Query *query) {
  auto *copy = static_cast<Query *>(copyObjectImpl(query));
  ForgetAliases(reinterpret_cast<Node *>(copy), nullptr);
  return DeparseQuery(copy, false);
}

// What a definition goes through when it is dumped and restored: deparsing writes out what analysis had added.
Query *ReadBack(const Query *query) {
  const char *text = DeparseQuery(query, false);
  return parse_analyze_fixedparams(linitial_node(RawStmt, raw_parser(text, RAW_PARSE_DEFAULT)), text, nullptr, 0, nullptr);
}

// The operators of a query that are not the server's own, in order: the text does not show all.
bool CollectOperators(Node *node, void *argument) {
  auto *operators = static_cast<List **>(argument);
  if (node == nullptr) return false;
  if (IsA(node, Query)) return compat::WalkQuery(reinterpret_cast<Query *>(node), CollectOperators, argument, 0);
  // DistinctExpr and NullIfExpr are OpExprs by another tag.
  Oid number = InvalidOid;
  if (IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr))
    number = reinterpret_cast<OpExpr *>(node)->opno;
  else if (IsA(node, ScalarArrayOpExpr))
    number = reinterpret_cast<ScalarArrayOpExpr *>(node)->opno;
  if (number >= FirstUnpinnedObjectId) *operators = lappend_oid(*operators, number);
  return compat::WalkExpression(node, CollectOperators, argument);
}

List *OperatorsOf(const Query *query) {
  List *operators = NIL;
  (void)CollectOperators(static_cast<Node *>(copyObjectImpl(query)), &operators);
  return operators;
}

}  // namespace

bool SameQuery(const Query *definition, const Query *query) {
  return strcmp(CanonicalText(ReadBack(definition)), CanonicalText(ReadBack(query))) == 0 &&
         equal(OperatorsOf(definition), OperatorsOf(query));
}

bool TextReadsBackAlike(const Query *query) { return equal(OperatorsOf(query), OperatorsOf(ReadBack(query))); }

}  // namespace pgstream
