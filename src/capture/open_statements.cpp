// Command-id intervals of statements; see open_statements.hpp.
#include "capture/open_statements.hpp"

#include "capture/capture_run.hpp"

namespace pgstream {

namespace {

// Snapshots with first < command id <= last are inexact.
struct Interval {
  Interval *next;  // older
  Oid source;
  SubTransactionId subtransaction;
  bool open;        // last is not known yet
  CommandId first, last;
};

// Beyond so many, neighbours are merged: a snapshot between them then counts as inexact too, which only costs time.
constexpr int kMostIntervals = 64;

Interval *intervals = nullptr;  // of this transaction, newest first, in TopTransactionContext
int interval_count = 0;

void Unlink(Interval **link) {
  Interval *interval = *link;
  *link = interval->next;
  pfree(interval);
  --interval_count;
}

void Compact() {
  if (interval_count <= kMostIntervals) return;
  for (Interval **link = &intervals; *link != nullptr && (*link)->next != nullptr;) {
    const Interval *newer = *link;
    Interval *older = newer->next;
    if (newer->open || older->open || newer->source != older->source || newer->subtransaction != older->subtransaction) {
      link = &(*link)->next;
      continue;
    }
    older->first = Min(older->first, newer->first);
    older->last = Max(older->last, newer->last);
    Unlink(link);
  }
}

// Whoever runs INSERT ... RETURNING for some rows only (SPI's row count) never comes to the AFTER STATEMENT trigger: what was
// changed is not known.
void LogUnfinished() {
  for (const Interval *interval = intervals; interval != nullptr; interval = interval->next)
    if (interval->open) LogUnheldChangeIfCaptured(interval->source);
}

void EndOfTransaction(XactEvent event, void *) {
  if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) LogUnfinished();
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE) return;
  intervals = nullptr;
  interval_count = 0;
}

void EndOfSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *) {
  if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB) return;
  for (Interval **link = &intervals; *link != nullptr;) {
    if ((*link)->subtransaction != mine) {
      link = &(*link)->next;
    } else if (event == SUBXACT_EVENT_ABORT_SUB) {
      Unlink(link);
    } else {
      (*link)->subtransaction = parent;
      link = &(*link)->next;
    }
  }
  Compact();
}

}  // namespace

void OpenStatement(Oid source, CommandId first) {
  auto *interval = static_cast<Interval *>(MemoryContextAlloc(TopTransactionContext, sizeof(Interval)));
  *interval = {intervals, source, GetCurrentSubTransactionId(), true, first, InvalidCommandId};
  intervals = interval;
  ++interval_count;
}

void CloseStatement(Oid source) {
  for (Interval **link = &intervals; *link != nullptr; link = &(*link)->next) {
    Interval *interval = *link;
    if (interval->source != source || !interval->open) continue;
    interval->open = false;
    interval->last = GetCurrentCommandId(false);
    if (interval->last == interval->first) {
      // No command id passed: no snapshot can have been taken in between that sees any of the changes.
      Unlink(link);
    } else {
      // What comes after must have a command id of its own, also where nothing was written to the log under this one.
      (void)GetCurrentCommandId(true);
    }
    Compact();
    return;
  }
}

bool StatementIsOpen(Oid source) {
  for (const Interval *interval = intervals; interval != nullptr; interval = interval->next)
    if (interval->source == source && interval->open) return true;
  return false;
}

bool AnyMidStatement() { return intervals != nullptr; }

bool IsMidStatement(Oid source, CommandId command) {
  for (const Interval *interval = intervals; interval != nullptr; interval = interval->next)
    if (interval->source == source && interval->first < command && (interval->open || command <= interval->last))
      return true;
  return false;
}

void InitOpenStatements() {
  RegisterXactCallback(EndOfTransaction, nullptr);
  RegisterSubXactCallback(EndOfSubtransaction, nullptr);
}

}  // namespace pgstream
