// What a query reads: its sources with the columns it uses, and whether logs of their changes can tell when its result
// changes.
//
// Promises: views are expanded; whatever cannot be captured by columns is named. Refuses: to evaluate anything.
#pragma once

#include "pg/includes.hpp"
#include "pg/settled.hpp"

namespace pgstream {

struct SourceUse {
  const char *reason;  // why no log can tell when the result changes; nullptr when logs can
  int nsources;        // base relations, each once
  Oid *sources;
  Bitmapset **columns;  // plain attribute numbers (positive); may be empty (count(*))
  Dependence dependence;
};

// Analyses an analysed, not yet rewritten SELECT (left as it is). Takes AccessShareLock on all relations it names.
SourceUse *FindSources(const Query *query);

// Why changes of a relation, and of the tree under it, cannot be captured by triggers (a foreign or temporary table among
// them, a view, unlogged, a system catalog, row security, ...), as a phrase for explain_st; nullptr when they can.
const char *WhyNotCapturable(Relation source);

}  // namespace pgstream
