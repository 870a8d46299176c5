// Binding, loading and compiling rows; see native_row.hpp.
//
// The library that compiles is opened here, for itself (RTLD_LOCAL) and only by a backend that has to compile.
#include "pg/native_row.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include "pg/compile_request.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "portability/instr_time.h"
}

namespace pgstream {

namespace {

// --- Compiling -------------------------------------------------------------------------------------------------------

void GiveUp(const char *reason) {
  ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("LLVM failed to compile a stream table"), errdetail_internal("%s", reason), errhint("Set pgstream.jit to off.")));
}

// What would not compile before, in this backend, is not tried again. Texts live as long as the backend.
struct Failure {
  CodeKey key;
  char reason[sizeof(CompileResult::failure)];
};
constexpr unsigned kFailuresKept = 8;
Failure failures[kFailuresKept];
unsigned nfailures = 0;  // ever

const char *EarlierFailure(const CodeKey *key) {
  for (unsigned i = 0; i < Min(nfailures, kFailuresKept); i++)
    if (memcmp(&failures[i].key, key, sizeof(CodeKey)) == 0) return failures[i].reason;
  return nullptr;
}

const char *NoteFailure(const CodeKey *key, const char *reason) {
  Failure *const failure = &failures[nfailures++ % kFailuresKept];
  failure->key = *key;
  strlcpy(failure->reason, reason, sizeof(failure->reason));
  return failure->reason;
}

void PathOfJit(char *path) { snprintf(path, MAXPGPATH, "%s/pg_stream_jit%s", pkglib_path, DLSUFFIX); }

// Why none is made here at all, without opening the library; nullptr where it may be.
const char *WhyNotMade() {
#if !defined(__x86_64__)
  return "native code is made for x86-64 only";
#else
  char path[MAXPGPATH];
  PathOfJit(path);
  if (PGSTREAM_LLVM_VERSION[0] == '\0') return "the library was built without LLVM";
  return access(path, F_OK) != 0 ? "the library pg_stream_jit is not installed" : nullptr;
#endif
}

// The library's interface, from the first call on; nullptr, and *why (static), when it is not to be had.
const JitInterface *OpenJit(const char **why) {
  static const JitInterface *interface = nullptr;
  static const char *reason = nullptr;
  if (interface == nullptr && reason == nullptr) {
    char path[MAXPGPATH];
    PathOfJit(path);
    void *const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const auto function = library != nullptr ? reinterpret_cast<JitInterfaceFunction>(dlsym(library, kJitInterfaceSymbol)) : nullptr;
    if (function == nullptr) {
      // As when LLVM's library is missing: told once.
      const char *const message = dlerror();
      reason = "the library pg_stream_jit cannot be loaded";
      ereport(LOG, (errmsg("could not load library \"%s\": %s", path, message != nullptr ? message : "unknown error")));
    } else if (function()->generation != kCodeGeneration || strcmp(function()->llvm_version, PGSTREAM_LLVM_VERSION) != 0) {
      reason = "the library pg_stream_jit is of another build";
    } else {
      interface = function();
    }
  }
  *why = reason;
  return interface;
}

double MillisecondsSince(instr_time start) {
  instr_time now;
  INSTR_TIME_SET_CURRENT(now);
  INSTR_TIME_SUBTRACT(now, start);
  return INSTR_TIME_GET_MILLISEC(now);
}

// Compiles a program and stores its code. nullptr, or why not (static).
const char *CompileAndStore(Oid relid, const uint8 *program, Size size, const CodeKey *key) {
  const char *why = WhyNotMade();
  if (why == nullptr) why = EarlierFailure(key);
  if (why == nullptr) why = WhyNotStorable();
  if (why != nullptr) return why;
  instr_time start;
  INSTR_TIME_SET_CURRENT(start);
  const JitInterface *const jit = OpenJit(&why);
  if (jit == nullptr) return why;
  const CompileRequest request = {program, size, JitOptimization(), JitDump(), GiveUp};
  CompileResult result;
  jit->compile(&request, &result);
  if (result.failure[0] != '\0') {
    why = NoteFailure(key, result.failure);
  } else {
    why = StoreCode(relid, key, &result.code, MillisecondsSince(start));
    if (result.ir != nullptr) StoreText(relid, "ll", result.ir);
  }
  jit->release(result.code.bytes);
  jit->release(result.ir);
  SweepCode();
  return why;
}

// --- Binding ---------------------------------------------------------------------------------------------------------

void ReleaseCode(void *code) { DropCode(static_cast<LoadedCode *>(code)); }

FunctionCallInfo PrepareCall(const BoundFunction *bound, const CalledFunction *called) {
  auto *const info = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo)));
  auto *const call = static_cast<FunctionCallInfo>(palloc0(SizeForFunctionCallInfo(called->narguments)));
  fmgr_info(bound->function, info);
  fmgr_info_set_expr(const_cast<Node *>(bound->call), info);
  InitFunctionCallInfoData(*call, info, static_cast<short>(called->narguments), bound->collation, nullptr, nullptr);
  return call;
}

CompiledRow *Bind(const RowExpressions *row, const RowProgram *program, LoadedCode *code) {
  auto *const compiled = static_cast<CompiledRow *>(palloc0(sizeof(CompiledRow)));
  auto *const state = static_cast<NativeRowState *>(palloc0(sizeof(NativeRowState)));
  auto *const callback = static_cast<MemoryContextCallback *>(palloc0(sizeof(MemoryContextCallback)));
  callback->func = ReleaseCode;
  callback->arg = code;
  MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
  auto *const copy = static_cast<RowExpressions *>(palloc(sizeof(RowExpressions)));
  *copy = *row;
  state->row = copy;
  state->ncalls = static_cast<int>(program->program.nfunctions);
  state->calls = static_cast<FunctionCallInfo *>(palloc(sizeof(FunctionCallInfo) * (program->program.nfunctions + 1)));
  state->varlenas = static_cast<bool *>(palloc(sizeof(bool) * (program->program.nfunctions + 1)));
  for (uint32 i = 0; i < program->program.nfunctions; i++) {
    state->calls[i] = PrepareCall(&program->functions[i], &program->program.functions[i]);
    state->varlenas[i] = get_typlen(exprType(program->functions[i].call)) == -1;
  }
  compiled->frame = {&kNativeFunctions, reinterpret_cast<const int64_t *>(program->constants), state};
  compiled->image_row = code->image_row;
  compiled->row = code->row;
  compiled->state = state;
  compiled->code = code;
  return compiled;
}

}  // namespace

CompiledRow *NewCompiledRow(Oid relid, const RowExpressions *row, OnMiss on_miss, NoCode *no_code) {
  const Jit setting = JitSetting();
  *no_code = {"pgstream.jit is off", false};
  if (setting == Jit::Off) return nullptr;
  const char **const why = &no_code->why;
  const RowProgram *const program = TranslateRow(row, why);
  if (program == nullptr) return nullptr;
  const Size size = ProgramSize(program->program);
  auto *const bytes = static_cast<uint8 *>(palloc(size));
  WriteProgram(program->program, bytes);
  CodeKey key;
  *why = "its digest cannot be computed";
  if (!MakeCodeKey(bytes, size, JitOptimization(), &key)) return nullptr;
  LoadedCode *code = HoldCode(relid, &key, why);
  if (code == nullptr && (on_miss == OnMiss::Compile || setting == Jit::Force)) {
    const char *const failure = CompileAndStore(relid, bytes, size, &key);
    code = HoldCode(relid, &key, why);  // also what another backend stored meanwhile
    if (code == nullptr && failure != nullptr) *why = failure;
  } else if (code == nullptr && on_miss == OnMiss::Ask && WhyNotMade() == nullptr) {
    AskToCompile(relid, &key);
    no_code->awaited = true;
  }
  pfree(bytes);
  return code == nullptr ? nullptr : Bind(row, program, code);
}

}  // namespace pgstream
