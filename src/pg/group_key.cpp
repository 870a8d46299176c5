// Executable expressions and keys: see group_key.hpp.
#include "pg/group_key.hpp"

#include "pg/tree.hpp"

namespace pgstream {
namespace {

Node *Executable(Node *node, void *context) {
  if (node == nullptr)
    return nullptr;
  Node *const copy = compat::MutateExpression(node, Executable, context);
  if (IsA(copy, FuncExpr)) {
    FuncExpr *const call = reinterpret_cast<FuncExpr *>(copy);
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(call->funcid));
    if (!HeapTupleIsValid(tuple))
      elog(ERROR, "cache lookup failed for function %u", call->funcid);
    // Defaults that are added are trees as parsed, without named arguments of their own.
    call->args = expand_function_arguments(call->args, false, call->funcresulttype, tuple);
    ReleaseSysCache(tuple);
  } else if (IsA(copy, CollateExpr)) {
    const CollateExpr *const collate = reinterpret_cast<CollateExpr *>(copy);
    Node *const argument = reinterpret_cast<Node *>(collate->arg);
    return applyRelabelType(argument, exprType(argument), exprTypmod(argument), collate->collOid, COERCE_EXPLICIT_CAST,
                            collate->location, true);
  }
  return copy;
}

bool HasDeterministicCollation(Oid collation) {
  return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

// Equality of the type's default btree operator class is equality of the bytes (up to TOAST). bpchar claims so within a
// column of one length; without a length, trailing blanks differ.
bool EqualityIsOfImage(Oid type, Oid equality_operator, Oid collation) {
  const Oid base_type = getBaseType(type);
  const TypeCacheEntry *const entry = lookup_type_cache(base_type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
  if (base_type == BPCHAROID || !OidIsValid(entry->btree_opf))
    return false;
  if (!op_in_opfamily(equality_operator, entry->btree_opf))
    return false;
  const Oid function =
      get_opfamily_proc(entry->btree_opf, entry->btree_opintype, entry->btree_opintype, BTEQUALIMAGE_PROC);
  return OidIsValid(function) &&
         DatumGetBool(OidFunctionCall1Coll(function, collation, ObjectIdGetDatum(entry->btree_opintype)));
}

// Whether pgstream.key_hash (delta/hash.hpp) gives equal hashes to what this operator calls equal. It hashes by the
// type's default hash operator class, with a deterministic collation, or, where there is none, by the image.
bool IsHashable(const GroupKey *key) {
  if (!HasDeterministicCollation(key->collation))
    return false;
  const Oid type = getBaseType(exprType(reinterpret_cast<Node *>(key->expression)));
  const TypeCacheEntry *const entry = lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC | TYPECACHE_HASH_OPFAMILY);
  if (OidIsValid(entry->hash_extended_proc))
    return OidIsValid(entry->hash_opf) && op_in_opfamily(key->equality_operator, entry->hash_opf);
  return key->equal_image;
}

}  // namespace

Node *MakeExecutable(Node *node) {
  Node *const result = Executable(node, nullptr);
  fix_opfuncids(result);
  return result;
}

List *MakeExecutable(List *nodes) {
  List *result = NIL;
  ListCell *cell;
  foreach (cell, nodes)
    result = lappend(result, MakeExecutable(static_cast<Node *>(lfirst(cell))));
  return result;
}

GroupKey DescribeKey(Node *expression, Oid equality_operator) {
  GroupKey key;
  key.expression = reinterpret_cast<Expr *>(MakeExecutable(expression));
  key.equality_operator = equality_operator;
  key.collation = exprCollation(expression);
  key.output_column = 0;
  key.equal_image = EqualityIsOfImage(exprType(expression), equality_operator, key.collation);
  key.hashable = IsHashable(&key);
  return key;
}

bool ChooseIndexColumns(DeltaPlan *plan) {
  plan->index_columns = static_cast<AttrNumber *>(palloc(INDEX_MAX_KEYS * sizeof(AttrNumber)));
  for (int i = 0; i < plan->nkeys; i++) {
    const GroupKey *const key = &plan->keys[i];
    if (key->hashable && plan->nindex_columns < INDEX_MAX_KEYS)
      plan->index_columns[plan->nindex_columns++] = key->output_column;
  }
  return plan->nindex_columns > 0;
}

}  // namespace pgstream
