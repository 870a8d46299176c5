// pgstream.source_privilege: what the owner of a stream table must hold on the tables whose changes are captured for it.
//
// Running the query asks for SELECT, whatever this says. Promises: asked whenever a capture or its use by a further stream
// table begins, by the rights of the stream table's owner at that moment. Refuses: to end what has begun.
#pragma once

#include "pg/delta_plan.hpp"

namespace pgstream {

// Raises 42501 where owner lacks the privilege on a source of the plan.
void CheckSourcePrivilege(Oid owner, const DeltaPlan *plan);

void InitSourcePrivilege();  // called once by _PG_init

}  // namespace pgstream
