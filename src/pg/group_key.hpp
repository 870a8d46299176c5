// Parts of a plan that every strategy with keys uses: expressions that can be executed, and what is known of a key.
//
// Promises: nothing is evaluated or inlined here (a plan is also made for readers, and a constant call of the owner's
// function must not run as they). Refuses: expressions with subqueries in them; callers leave those out.
#pragma once

#include "pg/delta_plan.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// A copy that ExecInitExpr takes as it is: arguments in order, collations as relabelings, operators with their functions.
Node *MakeExecutable(Node *node);
List *MakeExecutable(List *nodes);

template <class T>
T *MakeExecutable(T *node) {
  return reinterpret_cast<T *>(MakeExecutable(reinterpret_cast<Node *>(node)));
}

// A key of this expression (as analysed, over a source with varno 1) under this equality operator, not shown in any
// column yet.
GroupKey DescribeKey(Node *expression, Oid equality_operator);

// Puts the columns of the plan's hashable keys under its key index. False when no key can be hashed.
bool ChooseIndexColumns(DeltaPlan *plan);

}  // namespace pgstream
