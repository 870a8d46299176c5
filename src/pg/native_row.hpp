// Rows evaluated by native code: the code of a row program with what it calls, and how it comes to be.
//
// Promises: NewNativeRow never fails for want of code: it says why, and who asked interprets. A reader only ever loads code that is
// stored, and may ask for more; compiling is for who defines or refreshes (and for everybody under pgstream.jit = force). Refuses: to evaluate
// where the expressions were not prepared for the server's own evaluation too, which checks permissions.
#pragma once

#include "pg/code_store.hpp"
#include "pg/native_functions.hpp"

namespace pgstream {

// For evaluation. Frees what it holds with the memory context it was made in.
struct CompiledRow {
  NativeFrame frame;
  NativeImageRow image_row;
  NativeRow row;
  NativeRowState *state;
  const LoadedCode *code;
};

// What to do where there is no code: nothing, ask a worker for it, or make it.
enum class OnMiss { Interpret, Ask, Compile };

// Why there is none.
struct NoCode {
  const char *why;  // static
  bool awaited;     // there may be some soon
};

// The code for rows of a stream table, in the current context; nullptr, and *no_code, when there is none.
CompiledRow *NewCompiledRow(Oid relid, const RowExpressions *row, OnMiss on_miss, NoCode *no_code);

// Evaluates the row of an image (core/native_code.hpp); false when it was rejected. What is allocated is in the current context.
inline bool EvaluateImage(CompiledRow *compiled, const char *image, Datum *values, bool *nulls) {
  return compiled->image_row(&compiled->frame, reinterpret_cast<const uint8 *>(image), reinterpret_cast<int64_t *>(values),
                             reinterpret_cast<uint8 *>(nulls)) != 0;
}

}  // namespace pgstream
