// Where native code and the rest meet: what a compiled row program (core/program.hpp) is called with, what it calls, and the
// one function of the library pg_stream_jit, which makes it.
//
// Promises: everything here is plain C layout. Compiled code owns nothing, so an error may jump over it; it holds no address
// of this process (functions and constants come with the frame), so that it can be kept in a file and mapped anywhere.
// Refuses: unwinding; a C++ exception must not pass through compiled code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pgstream {

/// Rises with every change of what programs mean, of the layouts here or of the code made: part of the key of stored code.
constexpr uint32_t kCodeGeneration = 2;

struct NativeFrame;

/// What compiled code can ask for. Values are words: what the server calls a Datum, of eight bytes.
struct NativeFunctions {
  /// Raises a ProgramError; does not return.
  void (*raise)(NativeFrame *frame, int32_t error);
  /// Calls function number `function` of the program with its arguments; *isnull is set. Not called for a strict function with a
  /// NULL argument.
  int64_t (*call)(NativeFrame *frame, int32_t function, const int64_t *arguments, const uint8_t *nulls, uint8_t *isnull);
  /// The word of a column passed by reference, made of its bytes in a row image.
  int64_t (*make_reference)(NativeFrame *frame, int32_t column, const uint8_t *data, int32_t size);
  /// Whether two Texts are equal.
  int32_t (*equal_texts)(NativeFrame *frame, int64_t a, int64_t b);
  /// Less than, equal to or greater than zero, as Numeric a is to b.
  int32_t (*compare_numerics)(NativeFrame *frame, int64_t a, int64_t b);
  /// The Numeric a op b; the operation is Add, Subtract or Multiply.
  int64_t (*compute_numeric)(NativeFrame *frame, int32_t operation, int64_t a, int64_t b);
  /// An integer as a Numeric.
  int64_t (*make_numeric)(NativeFrame *frame, int64_t value);
};

/// What a compiled program is called with.
struct NativeFrame {
  const NativeFunctions *functions;
  const int64_t *constants;  ///< the bound ones
  void *state;               ///< the server side's own
};

/// Runs the program on a row given as words (a null flag is 0 or 1; the word of a NULL does not count). Returns 1 when it was
/// accepted and the outputs are set, 0 when it was rejected.
using NativeRow = int32_t (*)(NativeFrame *frame, const int64_t *values, const uint8_t *nulls, int64_t *outputs,
                              uint8_t *output_nulls);

/// The same on a row image: a bitmap of NULLs, a bit per column (low bit first, set = NULL, (ncolumns + 7) / 8 bytes), then
/// the values that are not NULL in order, unaligned: by value and fixed length as they are, others after their length (uint32).
using NativeImageRow = int32_t (*)(NativeFrame *frame, const uint8_t *image, int64_t *outputs, uint8_t *output_nulls);

/// Linked code: position-independent, without relocations, to be mapped executable at a page boundary.
struct NativeCode {
  uint8_t *bytes;  ///< to be freed with `release`
  size_t size;
  size_t row;        ///< offset of the NativeRow
  size_t image_row;  ///< ... and of the NativeImageRow
};

struct CompileRequest {
  const uint8_t *program;  ///< as WriteProgram has it, aligned to 8
  size_t program_size;
  int optimization;  ///< 0 to 3
  bool want_ir;
  /// Called when LLVM gives up; must not return. Nothing of ours can be freed then.
  void (*fatal)(const char *reason);
};

struct CompileResult {
  NativeCode code;
  char *ir;           ///< textual IR, optimised, when asked for; to be freed with `release`
  char failure[256];  ///< why there is no code; empty when there is
};

/// What pg_stream_jit exports, as `pgstream_jit_interface`.
struct JitInterface {
  uint32_t generation;       ///< kCodeGeneration of the library
  const char *llvm_version;  ///< of the headers it was built with
  void (*compile)(const CompileRequest *request, CompileResult *result);
  void (*release)(void *memory);
};
constexpr const char *kJitInterfaceSymbol = "pgstream_jit_interface";
using JitInterfaceFunction = const JitInterface *(*)();

}  // namespace pgstream
