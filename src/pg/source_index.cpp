// Looking for an index on the keys; see source_index.hpp.
#include "pg/source_index.hpp"

#include "pg/tree.hpp"

extern "C" {
#include "catalog/pg_am_d.h"
#include "catalog/pg_index.h"
}

namespace pgstream {
namespace {

bool HasKeyedPart(const DeltaPlan *plan) {
  if (plan->strategy == Strategy::Keyed)
    return true;
  if (plan->strategy != Strategy::Groups || plan->nkeys == 0)
    return false;
  for (int i = 0; i < plan->naggregates; i++)
    if (plan->aggregates[i].maintenance != AggregateMaintenance::Invertible)
      return true;
  // Which of several equal keys is shown, only the group's rows can tell.
  for (int i = 0; i < plan->nkeys; i++)
    if (!plan->keys[i].equal_image)
      return true;
  return false;
}

const Node *WithoutRelabels(const Node *node) {
  while (IsA(node, RelabelType))
    node = reinterpret_cast<const Node *>(reinterpret_cast<const RelabelType *>(node)->arg);
  return node;
}

// The first expression of an index as it is stored. The relation cache would evaluate what is constant in it, with the rights
// of whoever asks how somebody's stream table is maintained.
const Node *FirstExpression(Relation index) {
  bool isnull;
  const Datum stored = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indexprs, &isnull);
  if (isnull) return nullptr;
  const auto *expressions = static_cast<List *>(stringToNode(TextDatumGetCString(stored)));
  return WithoutRelabels(static_cast<Node *>(linitial(expressions)));
}

// True when the first column of an index can be asked for a key: the same column or expression, the same equality.
bool BeginsWithKey(Relation index, const DeltaPlan *plan) {
  if (!index->rd_index->indisvalid || !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr) ||
      (index->rd_rel->relam != BTREE_AM_OID && index->rd_rel->relam != HASH_AM_OID))
    return false;
  const AttrNumber column = index->rd_index->indkey.values[0];
  const Node *const expression = column == 0 ? FirstExpression(index) : nullptr;
  for (int i = 0; i < plan->nkeys; i++) {
    const GroupKey *const key = &plan->keys[i];
    const Node *const wanted = WithoutRelabels(reinterpret_cast<Node *>(key->expression));
    const bool same = column == 0 ? equal(expression, wanted)
                                  : IsA(wanted, Var) && reinterpret_cast<const Var *>(wanted)->varattno == column;
    if (same && op_in_opfamily(key->equality_operator, index->rd_opfamily[0]) &&
        (!OidIsValid(key->collation) || index->rd_indcollation[0] == key->collation))
      return true;
  }
  return false;
}

bool HasKeyIndex(Relation source, const DeltaPlan *plan) {
  bool found = false;
  ListCell *cell;
  foreach (cell, RelationGetIndexList(source)) {
    Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    found |= BeginsWithKey(index, plan);
    index_close(index, AccessShareLock);
  }
  return found;
}

}  // namespace

const char *MissingSourceIndex(const DeltaPlan *plan) {
  if (!HasKeyedPart(plan))
    return nullptr;
  Relation source = table_open(plan->sources[0], AccessShareLock);
  const bool found = HasKeyIndex(source, plan);
  List *const context = deparse_context_for(RelationGetRelationName(source), RelationGetRelid(source));
  table_close(source, NoLock);
  if (found)
    return nullptr;
  StringInfoData columns;
  initStringInfo(&columns);
  for (int i = 0; i < plan->nkeys && i < INDEX_MAX_KEYS; i++) {
    Node *const expression = reinterpret_cast<Node *>(plan->keys[i].expression);
    // No index can be over what a setting changes.
    if (contain_mutable_functions(expression))
      continue;
    const char *const text = deparse_expression(expression, context, false, false);
    // An operator's expression comes with parentheses around it.
    const bool bare = IsA(expression, Var) || IsA(expression, OpExpr);
    appendStringInfo(&columns, bare ? "%s%s" : "%s(%s)", columns.len > 0 ? ", " : "", text);
  }
  return columns.len > 0 ? columns.data : nullptr;
}

char *IndexCommand(const DeltaPlan *plan, const char *columns) {
  const Oid source = plan->sources[0];
  return psprintf("CREATE INDEX ON %s (%s);",
                  quote_qualified_identifier(get_namespace_name(get_rel_namespace(source)), get_rel_name(source)),
                  columns);
}

}  // namespace pgstream
