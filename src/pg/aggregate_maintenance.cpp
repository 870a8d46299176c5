// The white list of aggregates: see aggregate_maintenance.hpp.
//
// Invertible: the built-in aggregates with a moving-aggregate implementation whose inverse does not depend on the order
// of rows: integer, numeric, interval and money arithmetic, which is exact. Their state is stored in the row, so an
// internal one must be serializable.
// InsertOnly: built-ins whose state is a plain value and whose transition is associative and commutative: a new row
// needs the old state only.
// Everything else, floating point above all, is evaluated for the whole group.

#include "pg/aggregate_maintenance.hpp"

namespace pgstream {
namespace {

constexpr Oid kInvertible[] = {F_COUNT_,           F_COUNT_ANY,          F_SUM_INT2,
                               F_SUM_INT4,         F_SUM_INT8,           F_SUM_NUMERIC,
                               F_SUM_INTERVAL,     F_SUM_MONEY,          F_AVG_INT2,
                               F_AVG_INT4,         F_AVG_INT8,           F_AVG_NUMERIC,
                               F_AVG_INTERVAL,     F_VAR_POP_INT2,       F_VAR_POP_INT4,
                               F_VAR_POP_INT8,     F_VAR_POP_NUMERIC,    F_VAR_SAMP_INT2,
                               F_VAR_SAMP_INT4,    F_VAR_SAMP_INT8,      F_VAR_SAMP_NUMERIC,
                               F_VARIANCE_INT2,    F_VARIANCE_INT4,      F_VARIANCE_INT8,
                               F_VARIANCE_NUMERIC, F_STDDEV_POP_INT2,    F_STDDEV_POP_INT4,
                               F_STDDEV_POP_INT8,  F_STDDEV_POP_NUMERIC, F_STDDEV_SAMP_INT2,
                               F_STDDEV_SAMP_INT4, F_STDDEV_SAMP_INT8,   F_STDDEV_SAMP_NUMERIC,
                               F_STDDEV_INT2,      F_STDDEV_INT4,        F_STDDEV_INT8,
                               F_STDDEV_NUMERIC};

// Beside these, whatever has a sort operator: min, max, and the boolean ones.
constexpr Oid kInsertOnly[] = {F_BIT_AND_INT2, F_BIT_AND_INT4, F_BIT_AND_INT8, F_BIT_AND_BIT,
                               F_BIT_OR_INT2,  F_BIT_OR_INT4,  F_BIT_OR_INT8,  F_BIT_OR_BIT,
                               F_BIT_XOR_INT2, F_BIT_XOR_INT4, F_BIT_XOR_INT8, F_BIT_XOR_BIT};

template <size_t n>
bool Contains(const Oid (&list)[n], Oid value) {
  for (const Oid each : list)
    if (each == value)
      return true;
  return false;
}

bool IsBuiltIn(Oid function) {
  return function < FirstGenbkiObjectId && get_func_namespace(function) == PG_CATALOG_NAMESPACE;
}

// The moving state can be kept in a row: a plain value, or an internal one that is the state of the ordinary transition
// too, for which the serialization functions are written.
bool CanKeepMovingState(const FormData_pg_aggregate *form) {
  if (!OidIsValid(form->aggmtransfn) || !OidIsValid(form->aggminvtransfn))
    return false;
  if (form->aggmtranstype != INTERNALOID)
    return true;
  return form->aggtranstype == INTERNALOID && form->aggmtransfn == form->aggtransfn && OidIsValid(form->aggserialfn) &&
         OidIsValid(form->aggdeserialfn) && OidIsValid(form->aggcombinefn);
}

bool CanKeepState(const FormData_pg_aggregate *form) {
  return form->aggtranstype != INTERNALOID && form->aggtranstype != RECORDOID && !OidIsValid(form->aggfinalfn);
}

const char *WhyKeyed(const Aggref *aggref) {
  const char *const name = get_func_name(aggref->aggfnoid);
  if (aggref->aggkind != AGGKIND_NORMAL)
    return psprintf("%s is an ordered-set aggregate", name);
  if (aggref->aggdistinct != NIL)
    return psprintf("%s has DISTINCT", name);
  if (aggref->aggorder != NIL)
    return psprintf("%s has ORDER BY", name);
  if (aggref->aggvariadic)
    return psprintf("%s has VARIADIC arguments", name);
  if (!IsBuiltIn(aggref->aggfnoid))
    return psprintf("%s is a user-defined aggregate", name);
  return nullptr;
}

}  // namespace

void DecideMaintenance(GroupAggregate *aggregate) {
  const Aggref *const aggref = aggregate->aggref;
  aggregate->maintenance = AggregateMaintenance::Keyed;
  aggregate->why_keyed = WhyKeyed(aggref);
  if (aggregate->why_keyed != nullptr)
    return;

  HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));
  if (!HeapTupleIsValid(tuple))
    elog(ERROR, "cache lookup failed for aggregate %u", aggref->aggfnoid);
  const FormData_pg_aggregate *const form = reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple));
  if (Contains(kInvertible, aggref->aggfnoid) && CanKeepMovingState(form))
    aggregate->maintenance = AggregateMaintenance::Invertible;
  else if ((OidIsValid(form->aggsortop) || Contains(kInsertOnly, aggref->aggfnoid)) && CanKeepState(form))
    aggregate->maintenance = AggregateMaintenance::InsertOnly;
  ReleaseSysCache(tuple);

  if (aggregate->maintenance == AggregateMaintenance::Keyed)
    aggregate->why_keyed = psprintf("%s has no exact inverse", get_func_name(aggref->aggfnoid));
}

}  // namespace pgstream
