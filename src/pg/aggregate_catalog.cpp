// Promises: pg_aggregate's two modes under one struct. Refuses: to guess that the serialization functions fit a moving
// state: they are declared for the plain one, so they count only where both modes share state type and transition.
#include "pg/aggregate_catalog.hpp"

namespace pgstream {

bool LookupAggregateFunctions(Oid aggregate, bool moving, AggregateFunctions *functions) {
  HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
  if (!HeapTupleIsValid(tuple)) return false;
  const Form_pg_aggregate form = reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple));
  const bool found = form->aggkind == AGGKIND_NORMAL && (!moving || OidIsValid(form->aggminvtransfn));
  if (found) {
    *functions = {};
    functions->transition = moving ? form->aggmtransfn : form->aggtransfn;
    functions->inverse = moving ? form->aggminvtransfn : InvalidOid;
    functions->final = moving ? form->aggmfinalfn : form->aggfinalfn;
    functions->final_extra = moving ? form->aggmfinalextra : form->aggfinalextra;
    functions->declared_state_type = moving ? form->aggmtranstype : form->aggtranstype;
    functions->sort_operator = form->aggsortop;
    const bool same_state =
        functions->transition == form->aggtransfn && functions->declared_state_type == form->aggtranstype;
    if (functions->declared_state_type == INTERNALOID && same_state && OidIsValid(form->aggserialfn) &&
        OidIsValid(form->aggdeserialfn) && OidIsValid(form->aggcombinefn)) {
      functions->serialize = form->aggserialfn;
      functions->deserialize = form->aggdeserialfn;
      functions->combine = form->aggcombinefn;
    }
    bool isnull;
    const Datum initial = SysCacheGetAttr(
        AGGFNOID, tuple, moving ? Anum_pg_aggregate_aggminitval : Anum_pg_aggregate_agginitval, &isnull);
    functions->initial = isnull ? nullptr : TextDatumGetCString(initial);
  }
  ReleaseSysCache(tuple);
  return found;
}

}  // namespace pgstream
