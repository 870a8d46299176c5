// Typed shorthands for the server's query trees.
//
// Promises: nothing but convenience over copyObject and the node tests, which C++ cannot use as C does.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// A deep copy of a node, as the type it has (copyObject needs C's typeof).
template <class T>
inline T *CopyNode(const T *node) {
  return static_cast<T *>(copyObjectImpl(node));
}

inline Node *AsNode(const void *node) {
  return const_cast<Node *>(static_cast<const Node *>(node));
}

// The one RangeTblRef of a query whose FROM is a single table (or subquery), 0 when it is anything else.
inline int SingleFromEntry(const Query *query) {
  if (query->jointree == nullptr || list_length(query->jointree->fromlist) != 1)
    return 0;
  Node *const item = static_cast<Node *>(linitial(query->jointree->fromlist));
  return IsA(item, RangeTblRef) ? reinterpret_cast<RangeTblRef *>(item)->rtindex : 0;
}

}  // namespace pgstream
