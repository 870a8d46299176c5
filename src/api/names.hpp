// Names of stream tables as users give them to functions: schema-qualified, quoted, or found through search_path.
#pragma once

#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

RangeVar *ParseRelationName(const text *name);

// The stream table of that name, locked in mode; checks that the user owns it when must_own. Raises 42P01, 42809, 42501.
Oid ResolveStreamTable(const text *name, LOCKMODE mode, bool must_own);

// Raises 42809 unless relid is a stream table.
void CheckIsStreamTable(Oid relid, const char *name);

// An argument of a SQL function that must not be null; what says which ("the name").
text *RequiredArgument(FunctionCallInfo fcinfo, int n, const char *what);

}  // namespace pgstream
