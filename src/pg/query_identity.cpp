// Comparing queries by their text in one canonical spelling; see query_identity.hpp.
#include "pg/query_identity.hpp"

#include "pg/definition.hpp"

extern "C" {
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

// What a definition went through when it was stored: deparsing writes out what analysis had added.
Query *ReadBack(const Query *query) {
  const char *text = DeparseQuery(query, false);
  return parse_analyze_fixedparams(linitial_node(RawStmt, raw_parser(text, RAW_PARSE_DEFAULT)), text, nullptr, 0, nullptr);
}

}  // namespace

bool SameQuery(const Query *definition, const Query *query) {
  return strcmp(CanonicalText(definition), CanonicalText(ReadBack(query))) == 0;
}

}  // namespace pgstream
