// The longjmp wall: the only two crossings between the server's errors and C++ exceptions.
//
// The code has two kinds of frame.
//   *Server frames* (every room but core) hold only trivially destructible locals and palloc memory; ereport(ERROR),
//   which is a longjmp, may pass over them as it may over C.
//   *Engine frames* (core) own C++ objects and may throw; they never call the server themselves.
//
// Promises:
//   Entry(f)  the server (or a server frame) calls into code that may throw: whatever f throws leaves the C++ handler
//             first and is raised as an ordinary server error afterwards, a PgError with all its ErrorData.
//   Call(f)   an engine frame calls the server: an ereport inside f becomes a PgError holding the whole ErrorData,
//             so SQLSTATE, detail, hint and query cancel survive. A PgError is never swallowed: only a (sub)transaction
//             abort releases what the server holds, so it travels on to Entry, or to Attempt, which rolls one back.
//             InRange alone swallows one, of arithmetic, which holds nothing.
// Refuses: captures or results of Call that would need a destructor, at compile time.
#pragma once

#include <cstddef>
#include <exception>
#include <new>
#include <type_traits>

#include "pg/includes.hpp"

namespace pgstream {

// A server error on its way through engine frames. Owns nothing: the ErrorData lives in the context that was current at
// Call and goes with it.
struct PgError {
  ErrorData *data;
};

namespace boundary_detail {
// Raises, as a server error, what a C++ exception said. The text is copied before the exception object died.
[[noreturn]] inline void RaiseMessage(int sqlstate, const char *message) {
  ereport(ERROR, (errcode(sqlstate), errmsg("%s", message)));
  pg_unreachable();
}
}  // namespace boundary_detail

// Runs f and returns its result; C++ exceptions become server errors (bad_alloc: 53200, others: XX000).
template <class F>
auto Entry(F &&f) -> decltype(f()) {
  ErrorData *error = nullptr;
  int sqlstate = ERRCODE_INTERNAL_ERROR;
  char message[512];
  try {
    return f();
  } catch (const PgError &e) {
    error = e.data;
  } catch (const std::bad_alloc &) {
    sqlstate = ERRCODE_OUT_OF_MEMORY;
    strlcpy(message, "out of memory", sizeof(message));
  } catch (const std::exception &e) {
    strlcpy(message, e.what(), sizeof(message));
  } catch (...) {
    strlcpy(message, "unrecognized C++ exception", sizeof(message));
  }
  if (error != nullptr) ReThrowError(error);
  boundary_detail::RaiseMessage(sqlstate, message);
}

// Runs f, which calls the server, from an engine frame; a server error is thrown as PgError.
template <class F>
auto Call(F &&f) -> decltype(f()) {
  using Result = decltype(f());
  static_assert(std::is_trivially_destructible_v<std::remove_reference_t<F>>,
                "what a Call captures must need no destructor: a longjmp passes over it");
  static_assert(std::is_void_v<Result> || std::is_trivially_destructible_v<Result>,
                "the result of a Call must need no destructor");
  sigjmp_buf *const saved_stack = PG_exception_stack;
  ErrorContextCallback *const saved_context_stack = error_context_stack;
  const MemoryContext saved_context = CurrentMemoryContext;
  sigjmp_buf here;
  if (sigsetjmp(here, 0) == 0) {
    PG_exception_stack = &here;
    if constexpr (std::is_void_v<Result>) {
      f();
      PG_exception_stack = saved_stack;
      error_context_stack = saved_context_stack;
      return;
    } else {
      Result result = f();
      PG_exception_stack = saved_stack;
      error_context_stack = saved_context_stack;
      return result;
    }
  }
  PG_exception_stack = saved_stack;
  error_context_stack = saved_context_stack;
  MemoryContextSwitchTo(saved_context);
  ErrorData *data = CopyErrorData();
  FlushErrorState();
  throw PgError{data};
}

}  // namespace pgstream

namespace pgstream {

// The thunk the server gets in place of a function of ours that it calls by pointer: Callback<F>::Call.
template <auto F>
struct Callback;
template <class Result, class... Arguments, Result (*F)(Arguments...)>
struct Callback<F> {
  static Result Call(Arguments... arguments) {
    return Entry([&]() -> Result { return F(arguments...); });
  }
};

// Runs f, which calls the server, in a subtransaction of its own. Returns nullptr when it ended well (locks it took stay),
// otherwise the error, for the caller to judge, with everything f did undone. A server frame may call it.
template <class F>
ErrorData *Attempt(F &&f) {
  const MemoryContext context = CurrentMemoryContext;
  const ResourceOwner owner = CurrentResourceOwner;
  ErrorData *error = nullptr;
  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(context);
  try {
    Call(f);
  } catch (const PgError &e) {
    error = e.data;
  }
  if (error == nullptr)
    ReleaseCurrentSubTransaction();
  else
    RollbackAndReleaseCurrentSubTransaction();
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  return error;
}

// Runs f, which calls the server; a server error is shown to see(const ErrorData *), which must raise none, before it goes on.
template <class F, class Observer>
void Observe(F &&f, Observer &&see) {
  try {
    Call(f);
  } catch (const PgError &e) {
    see(e.data);
    throw;
  }
}

// Runs f, arithmetic of the server that takes no lock, buffer or other resource. False when its result is out of range
// (22003, 22008, 22015); any other error goes on. A server frame may call it.
template <class F>
bool InRange(F &&f) {
  const uint32 holdoff = InterruptHoldoffCount, cancel_holdoff = QueryCancelHoldoffCount;  // an error resets both
  ErrorData *error = nullptr;
  try {
    Call(f);
  } catch (const PgError &e) {
    error = e.data;
  }
  if (error == nullptr) return true;
  if (error->sqlerrcode != ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE && error->sqlerrcode != ERRCODE_DATETIME_FIELD_OVERFLOW &&
      error->sqlerrcode != ERRCODE_INTERVAL_FIELD_OVERFLOW)
    ReThrowError(error);
  FreeErrorData(error);
  InterruptHoldoffCount = holdoff;
  QueryCancelHoldoffCount = cancel_holdoff;
  return false;
}

}  // namespace pgstream

// Defines the SQL-callable function `name`: the thunk the server sees, around a body `static Datum name##_body(...)`.
#define PGSTREAM_FUNCTION(name)                                                            \
  static Datum name##_body(FunctionCallInfo fcinfo);                                       \
  extern "C" {                                                                             \
  PG_FUNCTION_INFO_V1(name);                                                               \
  PGDLLEXPORT Datum name(PG_FUNCTION_ARGS) {                                               \
    return ::pgstream::Entry([&]() -> Datum { return name##_body(fcinfo); });              \
  }                                                                                        \
  }                                                                                        \
  static Datum name##_body(FunctionCallInfo fcinfo)
