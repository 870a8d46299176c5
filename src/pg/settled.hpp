// What the result of a query depends on beyond the rows of its tables: session settings, which are recorded and belong to
// the definition, or the clock, the session and the database, which no log tells of.
//
// Promises: a query that is called settled gives one result for given rows under given settings, as far as its functions
// are what they are marked to be. Refuses: to trust a user's STABLE function, and to know what a function's text body does.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

struct Dependence {
  const char *unsettled;     // why the result may change by itself, as a phrase ("function now() is not immutable"); or nullptr
  bool settings;             // something may read a session setting
  bool default_text_search;  // ... default_text_search_config among them, and so that configuration
  bool unlocked;             // uses objects that a reader does not lock (functions, types, operators, configurations)
};

// Examines an analysed or rewritten tree, subqueries included.
Dependence ExamineDependence(Node *tree);

// A text search function that takes no configuration but that of the session.
bool ReadsDefaultTextSearch(Oid function);

}  // namespace pgstream
