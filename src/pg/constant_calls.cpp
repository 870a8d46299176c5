// Finding what simplifying evaluates; see constant_calls.hpp.
//
// The question is asked bottom up: can this become a constant? Where all operands of a call can, it is evaluated. What can is
// overestimated, never underestimated: (k > 1 AND false) can, and so can a strict function of a NULL.
#include "pg/constant_calls.hpp"

#include "pg/tree.hpp"

extern "C" {
#include "catalog/pg_language.h"
}

namespace pgstream {
namespace {

struct Search {
  bool evaluates;
  bool case_value;  // whether the innermost CASE's test value can become a constant
  // Of the operands looked at:
  bool all;   // can all become constants?
  bool null;  // can any become NULL?
};

bool CanBeConstant(const Node *node, Search *search);

bool IsNullOrComputed(const Node *node) { return !IsA(node, Const) || reinterpret_cast<const Const *>(node)->constisnull; }

bool LookAtOperand(Node *node, void *context) {
  auto *const search = static_cast<Search *>(context);
  if (node == nullptr) return false;
  if (IsA(node, List)) return compat::WalkExpression(node, LookAtOperand, context);
  const bool can = CanBeConstant(node, search);
  search->all &= can;
  search->null |= can && IsNullOrComputed(node);
  return search->evaluates;
}

// Visits a node's operands; search->all and null are about them then.
void LookAtOperands(const Node *node, Search *search) {
  search->all = true;
  search->null = false;
  (void)compat::WalkExpression(const_cast<Node *>(node), LookAtOperand, search);
}

// Of a node within others: what its operands are must not count as what its neighbours are.
struct Operands {
  bool all;
  bool null;
};

Operands OperandsOf(const Node *node, Search *search) {
  const Search outer = *search;
  LookAtOperands(node, search);
  const Operands result = {search->all, search->null};
  search->all = outer.all;
  search->null = outer.null;
  return result;
}

// Conversions to a type that has all the values, or nearly: they raise nothing and read nothing.
bool CannotRaise(Oid function) {
  switch (function) {
    case F_INT4_INT2:
    case F_INT8_INT2:
    case F_INT8_INT4:
    case F_FLOAT4_INT2:
    case F_FLOAT4_INT4:
    case F_FLOAT4_INT8:
    case F_FLOAT8_INT2:
    case F_FLOAT8_INT4:
    case F_FLOAT8_INT8:
    case F_FLOAT8_FLOAT4:
    case F_NUMERIC_INT2:
    case F_NUMERIC_INT4:
    case F_NUMERIC_INT8:
      return true;
    default:
      return false;
  }
}

bool IsUsersSql(Oid function) {
  if (function < FirstNormalObjectId) return false;
  const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return true;
  const bool sql = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->prolang == SQLlanguageId;
  ReleaseSysCache(tuple);
  return sql;
}

// A call of a function with so many arguments.
bool CallCanBeConstant(const Node *node, Oid function, int narguments, Search *search) {
  const Operands operands = OperandsOf(node, search);
  // Arguments that are left out are expressions of the function's definition.
  search->evaluates |= IsUsersSql(function) || get_func_nargs(function) > narguments || (operands.all && !CannotRaise(function));
  return operands.all || operands.null;
}

bool CaseCanBeConstant(const CaseExpr *expr, Search *search) {
  const bool outer = search->case_value;
  const bool value = expr->arg != nullptr && CanBeConstant(AsNode(expr->arg), search);
  bool any = false;
  ListCell *cell;
  foreach (cell, expr->args) {
    const CaseWhen *const when = lfirst_node(CaseWhen, cell);
    search->case_value = value;
    any |= CanBeConstant(AsNode(when->expr), search);
    search->case_value = outer;
    (void)CanBeConstant(AsNode(when->result), search);
  }
  if (expr->defresult != nullptr) (void)CanBeConstant(AsNode(expr->defresult), search);
  return any;
}

bool CoalesceCanBeConstant(const CoalesceExpr *expr, Search *search) {
  bool first = false;
  ListCell *cell;
  foreach (cell, expr->args) {
    const bool can = CanBeConstant(static_cast<const Node *>(lfirst(cell)), search);
    if (foreach_current_index(cell) == 0) first = can;
  }
  return first;
}

bool BooleanCanBeConstant(const BoolExpr *expr, Search *search) {
  bool any = false;
  ListCell *cell;
  foreach (cell, expr->args) any |= CanBeConstant(static_cast<const Node *>(lfirst(cell)), search);
  return any;
}

bool CanBeConstant(const Node *node, Search *search) {
  check_stack_depth();
  if (node == nullptr) return true;
  switch (nodeTag(node)) {
    case T_Const:
      return true;
    case T_Var:
    case T_Param:
      return false;
    case T_CaseTestExpr:
      return search->case_value;
    case T_FuncExpr: {
      const FuncExpr *const call = reinterpret_cast<const FuncExpr *>(node);
      return CallCanBeConstant(node, call->funcid, list_length(call->args), search);
    }
    case T_OpExpr:
    case T_DistinctExpr:
    case T_NullIfExpr: {
      const OpExpr *const call = reinterpret_cast<const OpExpr *>(node);
      const Oid function = OidIsValid(call->opfuncid) ? call->opfuncid : get_opcode(call->opno);
      return CallCanBeConstant(node, function, list_length(call->args), search);
    }
    case T_CaseExpr:
      return CaseCanBeConstant(reinterpret_cast<const CaseExpr *>(node), search);
    case T_CoalesceExpr:
      return CoalesceCanBeConstant(reinterpret_cast<const CoalesceExpr *>(node), search);
    case T_BoolExpr:
      return BooleanCanBeConstant(reinterpret_cast<const BoolExpr *>(node), search);
    case T_TargetEntry:
    case T_NamedArgExpr:
    case T_RelabelType:
    case T_CollateExpr:
    case T_NullTest:
    case T_BooleanTest: {
      const Operands operands = OperandsOf(node, search);
      return operands.all;
    }
    case T_ArrayExpr: {
      // Of elements of one type, which simplifying puts together; of arrays, that may raise.
      const Operands operands = OperandsOf(node, search);
      search->evaluates |= operands.all && reinterpret_cast<const ArrayExpr *>(node)->multidims;
      return operands.all;
    }
    default: {
      // Whatever else there is may be evaluated where its operands can become constants.
      const Operands operands = OperandsOf(node, search);
      search->evaluates |= operands.all;
      return operands.all || operands.null;
    }
  }
}

}  // namespace

bool SimplifyingEvaluates(const Node *expressions) {
  Search search = {};
  (void)LookAtOperand(const_cast<Node *>(expressions), &search);
  return search.evaluates;
}

}  // namespace pgstream
