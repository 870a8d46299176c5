// Evaluating queries inside a read or a fold: under a given snapshot, as the owner, through PostgreSQL's planner and
// executor.
//
// Promises: no statement, snapshot or user identity of the session is disturbed; an error restores identity and settings
// with the (sub)transaction's abort. Refuses: anything but SELECT.
#pragma once

#include "pg/includes.hpp"
#include "pg/stream.hpp"

namespace pgstream {

// Switches to the owner under SECURITY_RESTRICTED_OPERATION with a safe search_path, as REFRESH MATERIALIZED VIEW does, and
// to the settings recorded with the definition. What is evaluated must be finished inside.
struct OwnerScope {
  Oid saved_user;
  int saved_context;
  int guc_level;
};
void EnterOwnerScope(const Stream *stream, OwnerScope *scope);
void LeaveOwnerScope(const OwnerScope *scope);

// Raises what running the query would raise where it is not permitted to read its tables and views. For changes taken from
// the log, which no executor checks.
void CheckOwnerMayRead(const Stream *stream);

// Raises what running the query as the owner would raise before its first row. For refreshes that do not run it.
void CheckMayRun(const Stream *stream);

// What a row of a result costs beyond its plan, in units of cpu_tuple_cost: it is formed, kept and found again.
inline constexpr double kRowCost = 2;

using RowVisitor = void (*)(TupleTableSlot *slot, void *argument);

// Rewrites and plans a copy of an analysed SELECT; in the current context. cursor_options: 0, or CURSOR_OPT_PARALLEL_OK for a plan
// that is looked at, not run.
PlannedStmt *PlanForRun(const Query *query, Snapshot snapshot, int cursor_options = 0);

// Raises what running a plan would raise before its first row.
void CheckPlanMayRun(PlannedStmt *plan, Snapshot snapshot);

// Runs a plan, once, under snapshot; visits each row. environment may carry named tuplestores (the keys of a keyed
// re-evaluation). Returns the number of rows.
uint64 RunPlan(PlannedStmt *plan, Snapshot snapshot, QueryEnvironment *environment, RowVisitor visit, void *argument);

// Both in one.
uint64 RunQuery(const Query *query, Snapshot snapshot, RowVisitor visit, void *argument);

}  // namespace pgstream
