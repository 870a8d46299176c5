// Which of the server's functions are operations of row programs.
//
// Promises: an entry means exactly the built-in function of that OID, whose OID no user can give to another one. Refuses: functions
// that depend on settings.
#pragma once

#include "core/program.hpp"
#include "pg/includes.hpp"

namespace pgstream {

struct LoweredFunction {
  Oid function;
  Operation operation;  // Move: the function does nothing
  ValueType left;
  ValueType right;  // Word: it has one argument
};

// The entry of a function whose operands of two types are converted to the wider one; nullptr when there is none. Texts it
// compares byte by byte.
const LoweredFunction *FindLowered(Oid function);

// The entry of a call; nullptr when it is to be called. *widen: what makes its narrower operand one of the wider type.
const LoweredFunction *FindLoweredCall(Oid function, Oid collation, Operation *widen);

// The type of a register for values of this type (a domain counts as its base type).
ValueType ValueTypeOf(Oid type);

}  // namespace pgstream
