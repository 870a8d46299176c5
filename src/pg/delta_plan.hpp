// How the query of a stream table is maintained: the analysed query, the strategy chosen for it and why.
//
// Promises: PlanDelta never fails on an acceptable SELECT: what it cannot maintain is `Recompute`, with a reason.
// Refuses: to decide what is acceptable (volatile functions, temporary sources): that is api's, at creation.
#pragma once

#include "pg/includes.hpp"
#include "pg/settled.hpp"

namespace pgstream {

enum class Strategy {
  Rows,            // algebraic over one source: filter and project, bag semantics, rows keyed by their image
  Groups,          // algebraic by group over one source: aggregates, DISTINCT; keyed where an aggregate has no inverse
  Keyed,           // the query restricted to the changed keys of one source: windows, DISTINCT ON, groups over groups
  Recompute,       // the whole query whenever something is pending
  RecomputeAlways  // the whole query on every read: no log can tell when its result changes
};

const char *StrategyName(Strategy strategy);  // "algebraic (rows)", "algebraic (groups)", "keyed", ...

// A group key. Equality is the GROUP BY's own operator; the hash only finds candidates.
struct GroupKey {
  Expr *expression;         // over the source: Vars have varno 1
  Oid equality_operator;    // of the SortGroupClause
  Oid collation;
  AttrNumber output_column;  // column of the stream table that shows it; 0 when none does
  bool hashable;             // pgstream.key_hash agrees with equality_operator
  bool equal_image;          // equal keys are the same bytes; else (1.0 and 1.00) a retraction may change what is shown
};

// What an aggregate lets us do with its stored state.
enum class AggregateMaintenance {
  Invertible,  // forward and inverse transition; the inverse may refuse (then the group is keyed)
  InsertOnly,  // forward only, as min and max: a retraction that matters re-evaluates the group by key
  Keyed        // nothing: any change re-evaluates the group by key
};

struct GroupAggregate {
  Aggref *aggref;  // arguments and filter over the source: Vars have varno 1
  AggregateMaintenance maintenance;
  const char *why_keyed;  // for Keyed: the reason, for explain_st
};

struct DeltaPlan {
  Strategy strategy;
  const char *reason;  // why not something better; nullptr for Rows, and for Groups whose aggregates are all invertible
  Query *query;        // the defining query as analysed (not rewritten), OLD and NEW of the rule removed
  Query *flat;         // the same in the shape of query_shape.hpp; nullptr for RecomputeAlways
  List *permissions;   // what running it asks for: NeededPermission * (query_shape.hpp); with flat
  int nsources;        // sources whose changes are captured
  Oid *sources;
  Bitmapset **columns;  // of each source: attribute numbers used (plain, positive)
  Dependence dependence;  // on what is not in the sources

  // Rows, Groups and Keyed: the one source's quals and expressions, all Vars with varno 1, no sublinks, nothing unsettled.
  List *quals;  // implicit AND; Keyed: of the innermost query, and perhaps not all: what fails them changes nothing
  // Rows: one expression per column of the stream table.
  List *outputs;
  // Groups: keys, aggregates; outputs and having are over a virtual row (key 1..nkeys, aggregate 1..naggregates) whose
  // Vars have varno INNER_VAR. Keyed has keys alone, all shown in the output.
  int nkeys;
  GroupKey *keys;
  int naggregates;
  GroupAggregate *aggregates;
  List *having;
  bool always_one_row;  // no GROUP BY: one row, even over an empty table
  AttrNumber *index_columns;  // columns of the stream table under the key index, nindex_columns of them (0: no index)
  int nindex_columns;
};

// Classifies a query. Everything returned is allocated in the current context.
DeltaPlan *PlanDelta(Query *query);

}  // namespace pgstream
