// Finding the sources of a query: see source_use.hpp.
//
// The walk is over the *rewritten* query, so that views count as the tables behind them. A variable may stand for a
// join's column or, from 18 on, a grouping expression; joins are looked through, so that only columns that are truly
// used count, and grouping expressions are walked where they stand.

#include "pg/source_use.hpp"

#include "pg/inheritance.hpp"
#include "pg/stream.hpp"
#include "pg/tree.hpp"

extern "C" {
#include "catalog/catalog.h"
#include "catalog/pg_am_d.h"
}

namespace pgstream {
namespace {

// --- Sources -----------------------------------------------------------------------------------------------------

// The queries around the current place, innermost first: a variable names one by how many levels up it is.
struct Level {
  Query *query;
  Level *parent;
};

struct SourceSearch {
  SourceUse *use;
  int capacity;
  Level *level;
};

bool VisitNode(Node *node, void *context);

int SourceIndex(SourceSearch *search, Oid relid) {
  SourceUse *const use = search->use;
  for (int i = 0; i < use->nsources; i++)
    if (use->sources[i] == relid)
      return i;
  if (use->nsources == search->capacity) {
    search->capacity *= 2;
    use->sources = static_cast<Oid *>(repalloc(use->sources, search->capacity * sizeof(Oid)));
    use->columns = static_cast<Bitmapset **>(repalloc(use->columns, search->capacity * sizeof(Bitmapset *)));
  }
  use->sources[use->nsources] = relid;
  use->columns[use->nsources] = nullptr;
  return use->nsources++;
}

// Notes why not, unless a reason was found before.
void Refuse(SourceSearch *search, const char *reason) {
  if (search->use->reason == nullptr)
    search->use->reason = reason;
}

void VisitRelation(SourceSearch *search, const RangeTblEntry *entry) {
  // Up to 15 an expanded view leaves behind entries that nothing reads, for its permissions.
  if (entry->relkind == RELKIND_VIEW)
    return;
  SourceIndex(search, entry->relid);
  const char *const name = get_rel_name(entry->relid);
  if (entry->tablesample != nullptr)
    Refuse(search, psprintf("\"%s\" is read with TABLESAMPLE", name));
  if (!entry->inh)
    Refuse(search, psprintf("\"%s\" is read with ONLY", name));
  Relation rel = relation_open(entry->relid, AccessShareLock);
  if (HasStreamAccessMethod(rel)) {
    Refuse(search, psprintf("\"%s\" is a stream table", name));
  } else {
    const char *const why = WhyNotCapturable(rel);
    if (why != nullptr)
      Refuse(search, psprintf("changes of \"%s\" cannot be captured: %s", name, why));
  }
  relation_close(rel, NoLock);
}

void VisitVar(SourceSearch *search, const Var *var) {
  Level *level = search->level;
  for (Index i = 0; i < var->varlevelsup; i++)
    level = level->parent;
  RangeTblEntry *const entry = rt_fetch(var->varno, level->query->rtable);
  if (entry->rtekind == RTE_JOIN) {
    // Only the columns that are used are looked up; their expressions belong to the join's own level.
    Level *const here = search->level;
    search->level = level;
    if (var->varattno > 0)
      VisitNode(static_cast<Node *>(list_nth(entry->joinaliasvars, var->varattno - 1)), search);
    else
      compat::WalkExpression(AsNode(entry->joinaliasvars), VisitNode, search);
    search->level = here;
    return;
  }
  if (entry->rtekind != RTE_RELATION || entry->relkind == RELKIND_VIEW)
    return;
  const char *const name = get_rel_name(entry->relid);
  if (var->varattno == 0) {
    Refuse(search, psprintf("whole rows of \"%s\" are used", name));
  } else if (var->varattno < 0) {
    Refuse(search, psprintf("a system column of \"%s\" is used", name));
  } else {
    const int index = SourceIndex(search, entry->relid);
    search->use->columns[index] = bms_add_member(search->use->columns[index], var->varattno);
  }
}

bool VisitNode(Node *node, void *context) {
  SourceSearch *const search = static_cast<SourceSearch *>(context);
  if (node == nullptr)
    return false;
  if (IsA(node, Var)) {
    VisitVar(search, reinterpret_cast<Var *>(node));
    return false;
  }
  if (IsA(node, Query)) {
    Level level = {reinterpret_cast<Query *>(node), search->level};
    search->level = &level;
    ListCell *cell;
    foreach (cell, level.query->rtable) {
      const RangeTblEntry *const entry = static_cast<RangeTblEntry *>(lfirst(cell));
      if (entry->rtekind == RTE_RELATION)
        VisitRelation(search, entry);
    }
    compat::WalkQuery(level.query, VisitNode, context, QTW_IGNORE_JOINALIASES);
    search->level = level.parent;
    return false;
  }
  return compat::WalkExpression(node, VisitNode, context);
}

// A virtual column is computed where it is read; a log of stored columns has no value for it.
void RefuseVirtualColumns(SourceSearch *search) {
  constexpr char kVirtual = 'v';  // ATTRIBUTE_GENERATED_VIRTUAL, from 18 on
  for (int i = 0; i < search->use->nsources; i++) {
    int attnum = -1;
    while ((attnum = bms_next_member(search->use->columns[i], attnum)) >= 0)
      if (get_attgenerated(search->use->sources[i], static_cast<AttrNumber>(attnum)) == kVirtual)
        Refuse(search, psprintf("column \"%s\" of \"%s\" is a virtual generated column",
                                get_attname(search->use->sources[i], static_cast<AttrNumber>(attnum), false),
                                get_rel_name(search->use->sources[i])));
  }
}

}  // namespace

SourceUse *FindSources(const Query *query) {
  SourceUse *const use = static_cast<SourceUse *>(palloc0(sizeof(SourceUse)));
  SourceSearch search = {use, 8, nullptr};
  use->sources = static_cast<Oid *>(palloc(search.capacity * sizeof(Oid)));
  use->columns = static_cast<Bitmapset **>(palloc(search.capacity * sizeof(Bitmapset *)));

  Query *const copy = CopyNode(query);
  AcquireRewriteLocks(copy, true, false);
  List *const rewritten = QueryRewrite(copy);
  if (list_length(rewritten) != 1)
    elog(ERROR, "unexpected rewrite result");
  Node *const tree = static_cast<Node *>(linitial(rewritten));
  VisitNode(tree, &search);
  RefuseVirtualColumns(&search);
  use->dependence = ExamineDependence(tree);
  if (use->dependence.unsettled != nullptr)
    Refuse(&search, use->dependence.unsettled);
  return use;
}

// What holds for every table whose rows a log is to have: for the source, and for each member of its tree.
static const char *WhyNotLoggable(const FormData_pg_class *form) {
  switch (form->relkind) {
    case RELKIND_RELATION:
      if (form->relam != HEAP_TABLE_AM_OID) return "its access method is not heap";
      break;
    case RELKIND_PARTITIONED_TABLE:
      break;
    case RELKIND_FOREIGN_TABLE:
      return "it is a foreign table";
    case RELKIND_VIEW:
      return "it is a view";
    case RELKIND_MATVIEW:
      return "it is a materialized view";
    default:
      return "it is not a table";
  }
  if (form->relpersistence == RELPERSISTENCE_TEMP) return "it is temporary";
  if (form->relpersistence != RELPERSISTENCE_PERMANENT) return "it is unlogged";
  return nullptr;
}

static const char *WhyNotTreeCapturable(Oid root) {
  bool detaching;
  ListCell *cell;
  List *const members = TreeMembers(root, &detaching);
  if (detaching) return "a partition is being detached from it";
  foreach (cell, members) {
    const Oid member = lfirst_oid(cell);
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(member));
    if (!HeapTupleIsValid(tuple)) return "a table is being dropped from its tree";
    const FormData_pg_class *const form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    const char *why = WhyNotLoggable(form);
    if (why != nullptr && member != root) why = psprintf("those of its child \"%s\" cannot: %s", NameStr(form->relname), why);
    ReleaseSysCache(tuple);
    if (why != nullptr) return why;
  }
  return nullptr;
}

const char *WhyNotCapturable(Relation source) {
  const Form_pg_class form = source->rd_rel;
  if (const char *const why = WhyNotLoggable(form)) return why;
  if (IsCatalogRelation(source) || IsToastRelation(source)) return "it is a system catalog";
  // Of the members of a tree only the one that the query names has a say.
  if (form->relrowsecurity) return "it has row security";
  return form->relhassubclass ? WhyNotTreeCapturable(RelationGetRelid(source)) : nullptr;
}

}  // namespace pgstream
