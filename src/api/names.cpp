// Resolving names; see names.hpp.
#include "api/names.hpp"

#include "pg/boundary.hpp"

extern "C" {
#include "utils/varlena.h"
}

namespace pgstream {

RangeVar *ParseRelationName(const text *name) {
  return makeRangeVarFromNameList(textToQualifiedNameList(const_cast<text *>(name)));
}

static void CheckOwner(const RangeVar *relation, Oid relid, Oid, void *) {
  if (OidIsValid(relid) && !compat::OwnsRelation(relid, GetUserId()))
    aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, relation->relname);
}

void CheckIsStreamTable(Oid relid, const char *name) {
  if (!IsStreamRelid(relid) || LookupStream(relid) == nullptr)
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a stream table", name)));
}

Oid ResolveStreamTable(const text *name, LOCKMODE mode, bool must_own) {
  RangeVar *relation = ParseRelationName(name);
  const Oid relid = RangeVarGetRelidExtended(relation, mode, 0, must_own ? CheckOwner : nullptr, nullptr);
  CheckIsStreamTable(relid, relation->relname);
  return relid;
}

text *RequiredArgument(FunctionCallInfo fcinfo, int n, const char *what) {
  if (PG_ARGISNULL(n))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s of a stream table must not be null", what)));
  return PG_GETARG_TEXT_PP(n);
}

}  // namespace pgstream
