// SQL functions failed_refreshes() and consecutive_errors(): what shared memory has of refreshes that failed.
//
// Promises: anybody may call them. Refuses: to show a message, which may quote data, to others than who may use the role of the
// table's owner or pg_read_all_stats.
#include "pg/boundary.hpp"
#include "pg/catalog.hpp"
#include "refresh/failures.hpp"

extern "C" {
#include "catalog/pg_authid.h"
#include "utils/timestamp.h"
}

using namespace pgstream;

namespace {

void PutFailures(const ReturnSetInfo *result, const Failures *failures) {
  const Oid owner = RelationOwner(failures->relid);
  if (!OidIsValid(owner)) return;  // the table is gone
  const bool shows_message =
      has_privs_of_role(GetUserId(), owner) || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
  for (int i = 0; i < failures->count; ++i) {
    const FailedRefresh *failed = &failures->kept[i];
    const Datum values[] = {ObjectIdGetDatum(failures->relid),
                            TimestampTzGetDatum(failed->start),
                            TimestampTzGetDatum(failed->end),
                            CStringGetTextDatum(failed->action),
                            CStringGetTextDatum(failed->message)};
    const bool nulls[] = {false, false, false, false, !shows_message};
    tuplestore_putvalues(result->setResult, result->setDesc, const_cast<Datum *>(values), const_cast<bool *>(nulls));
  }
}

}  // namespace

PGSTREAM_FUNCTION(pgstream_failed_refreshes) {
  InitMaterializedSRF(fcinfo, 0);
  const auto *result = reinterpret_cast<const ReturnSetInfo *>(fcinfo->resultinfo);
  int count;
  const Failures *failures = ReadAllFailures(&count);
  for (int i = 0; i < count; ++i) PutFailures(result, &failures[i]);
  return static_cast<Datum>(0);
}

PGSTREAM_FUNCTION(pgstream_consecutive_errors) {
  auto *failures = static_cast<Failures *>(palloc(sizeof(Failures)));
  const int64 errors = ReadFailures(PG_GETARG_OID(0), failures) ? failures->errors : 0;
  PG_RETURN_INT32(static_cast<int32>(Min(errors, static_cast<int64>(PG_INT32_MAX))));
}
