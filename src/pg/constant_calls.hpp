// Whether simplifying expressions would evaluate something: a call whose arguments are constants, or become so.
//
// For whoever only describes a definition: a function of its owner may raise, take long, or see other things than it promised.
//
// Promises: false only where simplifying runs no function that could raise. Refuses: to look into the bodies of users' SQL
// functions, which simplifying may take in: such a call counts as one that is evaluated.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// Expressions as they were analysed (a node, or a list of them).
bool SimplifyingEvaluates(const Node *expressions);

}  // namespace pgstream
