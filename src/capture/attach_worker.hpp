// Attaching and detaching capture in a transaction of a background worker's.
//
// Attaching locks the source against writers until the transaction ends. Who owns it, or may create triggers on it, may lock it
// anyway. Who may only read it must not, be it by leaving a transaction open or by a query that takes its time: a worker
// attaches the capture and commits, and the creator then finds it there as that of any other stream table.
//
// Promises: the worker runs nothing of users': no function, no trigger, no setting of the session that asks. It waits for
// moments only, for whatever lock. Refuses: to work in single-user mode, or to see what the asking transaction has done.
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

struct CaptureRequest {
  int nsources;
  Oid *sources;
  Bitmapset **columns;  // plain attribute numbers
};

// Has the sources attached by a worker. True when that is committed, false when it did not get its locks in half a second. The
// caller holds no lock that it would wait for. Raises the worker's errors as its own; 53400 when no worker could be
// started within pgstream.attach_timeout. If this transaction then leaves no stream table over a source, it is detached.
bool AskWorkerToAttach(const CaptureRequest *request);

// Starts a worker that detaches these sources (at most kMostToDetach) if no stream table reads them, when there is room for one.
// May be called amid an abort: it raises no error and waits for nothing.
inline constexpr int kMostToDetach = 24;
void AskWorkerToDetach(int nsources, const Oid *sources);

void InitAttachWorker();  // called once by InitCapture

}  // namespace pgstream
