// SQL function verify(): the content of a stream table against its query.
//
// Promises: both are read in one statement, so under one snapshot, and compared as texts and multisets: 1.0 is not 1.00.
// Runs as the owner, as a refresh does, and only for who may refresh. Refuses: to mend anything; a FULL stream table is
// compared as well and differs by what has changed since its last refresh.
#include "api/names.hpp"
#include "delta/evaluate.hpp"
#include "pg/boundary.hpp"
#include "pg/definition.hpp"
#include "pg/query_identity.hpp"

extern "C" {
#include "lib/stringinfo.h"
}

using namespace pgstream;

PGSTREAM_FUNCTION(pgstream_verify) {
  const Oid relid = ResolveStreamTable(PG_GETARG_TEXT_PP(0), AccessShareLock, true);
  const Stream *stream = LookupStream(relid);
  TupleDesc descriptor;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE) elog(ERROR, "return type must be a row type");
  const MemoryContext caller = CurrentMemoryContext;
  OwnerScope scope;
  EnterOwnerScope(stream, &scope);
  if (!TextReadsBackAlike(stream->plan->query))
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot verify stream table \"%s\"", get_rel_name(relid)),
                    errdetail("The text of its query does not name all of its operators."),
                    errhint("Compare it with the query under the search path that the query was written for.")));
  StringInfoData command;
  initStringInfo(&command);
  appendStringInfo(&command,
                   "SELECT coalesce(sum(greatest(q - s, 0)), 0)::bigint, coalesce(sum(greatest(s - q, 0)), 0)::bigint,"
                   " coalesce(sum(s), 0)::bigint"
                   " FROM (SELECT sum(s)::bigint AS s, sum(q)::bigint AS q"
                   " FROM (SELECT ROW(row_.*)::text AS line, 1 AS s, 0 AS q FROM %s row_"
                   " UNION ALL SELECT ROW(row_.*)::text, 0, 1 FROM (%s) row_) lines GROUP BY line) counts",
                   quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
                   DeparseQuery(stream->plan->query, false));
  SPI_connect();
  const int code = SPI_execute(command.data, true, 1);
  if (code != SPI_OK_SELECT || SPI_processed != 1)
    elog(ERROR, "could not compare a stream table with its query: %s", SPI_result_code_string(code));
  Datum values[3];
  bool nulls[3];
  for (int i = 0; i < 3; ++i) values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &nulls[i]);
  int64 numbers[3];
  for (int i = 0; i < 3; ++i) numbers[i] = DatumGetInt64(values[i]);
  SPI_finish();
  LeaveOwnerScope(&scope);
  MemoryContextSwitchTo(caller);
  for (int i = 0; i < 3; ++i) values[i] = Int64GetDatum(numbers[i]);
  return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}
