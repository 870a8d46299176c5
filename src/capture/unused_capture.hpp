// Sources whose capture may have lost its last stream table in this transaction: seen to just before its commit.
//
// Promises: the locks on a source that taking off its triggers needs are held for the commit's instant, however long the
// transaction goes on after a drop; the commit neither waits nor fails because of it. A transaction that prepares only tells
// writers to stop; the triggers go with a later drop. Where a background worker has attached capture for a transaction that
// then aborts, another one is started to detach it. Refuses: to know who dropped what; a source noted in vain is harmless.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// The last stream table over a source may be gone.
void DetachLater(Oid source);

// Capture of a source that no stream table of others reads was attached in another transaction, or will be, on behalf of this
// one: it is detached if this one leaves no stream table over it, be it by an abort.
void DetachUnlessUsed(Oid source);

void InitUnusedCapture();  // called by InitCapture before all else: its part of a commit is the last of ours

}  // namespace pgstream
