// What compiled code calls (core/native_code.hpp): the server's side of a frame.
//
// Promises: no frame of C++ that owns anything between compiled code and the server, so that errors pass over both. Where a
// value is not as compiled code may look at it (compressed, stored elsewhere, a number of unusual size), the server's own function
// answers.
#pragma once

#include "core/native_code.hpp"
#include "pg/row_program.hpp"

namespace pgstream {

// What the functions of the frame need. Calls are as the server's interpreter makes them: one FunctionCallInfo each.
struct NativeRowState {
  const RowExpressions *row;
  int ncalls;
  FunctionCallInfo *calls;
  bool *varlenas;  // which of them return one
};

// Of every frame.
extern const NativeFunctions kNativeFunctions;

// A value of an attribute from its bytes in a row image (unaligned; length is its own where the type's varies), in the current context.
Datum DatumOfImage(const char *data, int32 length, const FormData_pg_attribute *attribute);

}  // namespace pgstream
