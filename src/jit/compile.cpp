// The one way into pg_stream_jit: from the bytes of a program to linked code (core/native_code.hpp).
//
// Promises: nothing of a compilation stays but what is returned; no exception leaves, and LLVM's own giving up goes to the
// caller's handler. Refuses, with a reason: what CheckProgram or the linker refuses.
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "core/native_code.hpp"
#include "core/program.hpp"
#include "jit/code_image.hpp"
#include "jit/llvm_compat.hpp"
#include "jit/lowering.hpp"

namespace pgstream {
namespace {

// Owners of what the C API hands out.
template <class T, void (*Dispose)(T)>
class Owned {
 public:
  explicit Owned(T object = nullptr) : object_(object) {}
  ~Owned() {
    if (object_ != nullptr) Dispose(object_);
  }
  Owned(const Owned &) = delete;
  Owned &operator=(const Owned &) = delete;
  T get() const { return object_; }
  T *address() { return &object_; }

 private:
  T object_;
};
using Message = Owned<char *, LLVMDisposeMessage>;
using Context = Owned<LLVMContextRef, LLVMContextDispose>;
using Module = Owned<LLVMModuleRef, LLVMDisposeModule>;
using Machine = Owned<LLVMTargetMachineRef, LLVMDisposeTargetMachine>;
using Buffer = Owned<LLVMMemoryBufferRef, LLVMDisposeMemoryBuffer>;
using PassOptions = Owned<LLVMPassBuilderOptionsRef, LLVMDisposePassBuilderOptions>;

void (*out_of_memory)(const char *reason) = nullptr;

// Handlers are one per process and LLVM: ours are there while we compile. LLVM is built without exceptions, so that memory it
// does not get must not become one inside of it.
class FatalHandler {
 public:
  explicit FatalHandler(LLVMFatalErrorHandler handler) {
    LLVMInstallFatalErrorHandler(handler);
    out_of_memory = handler;
    new_handler_ = std::set_new_handler([] { out_of_memory("out of memory"); });
  }
  ~FatalHandler() {
    std::set_new_handler(new_handler_);
    LLVMResetFatalErrorHandler();
  }
  FatalHandler(const FatalHandler &) = delete;
  FatalHandler &operator=(const FatalHandler &) = delete;

 private:
  std::new_handler new_handler_;
};

LLVMTargetMachineRef MakeMachine(int optimization, std::string *failure) {
  static const bool initialized = LLVMInitializeNativeTarget() == 0 && LLVMInitializeNativeAsmPrinter() == 0;
  if (!initialized) {
    *failure = "LLVM has no code generator for this machine";
    return nullptr;
  }
  const Message triple(LLVMGetDefaultTargetTriple()), cpu(LLVMGetHostCPUName()), features(LLVMGetHostCPUFeatures());
  LLVMTargetRef target;
  Message error;
  if (LLVMGetTargetFromTriple(triple.get(), &target, error.address()) != 0) {
    *failure = error.get();
    return nullptr;
  }
  static const LLVMCodeGenOptLevel levels[] = {LLVMCodeGenLevelNone, LLVMCodeGenLevelLess, LLVMCodeGenLevelDefault,
                                               LLVMCodeGenLevelAggressive};
  return LLVMCreateTargetMachine(target, triple.get(), cpu.get(), features.get(), levels[optimization], LLVMRelocPIC,
                                 LLVMCodeModelSmall);
}

std::string Optimize(LLVMModuleRef module, LLVMTargetMachineRef machine, int optimization) {
  const PassOptions options(LLVMCreatePassBuilderOptions());
  const std::string passes = "default<O" + std::to_string(optimization) + ">";
  const LLVMErrorRef error = LLVMRunPasses(module, passes.c_str(), machine, options.get());
  if (error == nullptr) return "";
  char *const message = LLVMGetErrorMessage(error);
  const std::string text = message;
  LLVMDisposeErrorMessage(message);
  return text;
}

// Returns why there is no code.
std::string Compile(const CompileRequest &request, CompileResult *result) {
  Program program;
  if (const char *why = ReadProgram(request.program, request.program_size, &program)) return why;
  if (request.optimization < 0 || request.optimization > 3) return "unknown level of optimization";
  std::string failure;
  const Machine machine(MakeMachine(request.optimization, &failure));
  if (machine.get() == nullptr) return failure;

  const Context context(LLVMContextCreate());
  const Module module(LLVMModuleCreateWithNameInContext("pg_stream", context.get()));
  const Message triple(LLVMGetTargetMachineTriple(machine.get()));
  LLVMSetTarget(module.get(), triple.get());
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine.get());
  LLVMSetModuleDataLayout(module.get(), layout);
  LLVMDisposeTargetData(layout);
  Lowering(context.get(), module.get(), program).LowerAll();
  Message broken;
  if (LLVMVerifyModule(module.get(), LLVMReturnStatusAction, broken.address()) != 0) return broken.get();
  if (failure = Optimize(module.get(), machine.get(), request.optimization); !failure.empty()) return failure;
  if (request.want_ir) {
    const Message ir(LLVMPrintModuleToString(module.get()));
    result->ir = strdup(ir.get());
  }

  Buffer object;
  Message error;
  if (LLVMTargetMachineEmitToMemoryBuffer(machine.get(), module.get(), LLVMObjectFile, error.address(), object.address()) != 0)
    return error.get();
  CodeImage image;
  failure = LinkObject(reinterpret_cast<const uint8_t *>(LLVMGetBufferStart(object.get())), LLVMGetBufferSize(object.get()), &image);
  if (!failure.empty()) return failure;
  result->code.bytes = static_cast<uint8_t *>(std::malloc(image.bytes.size()));
  if (result->code.bytes == nullptr) return "out of memory";
  std::memcpy(result->code.bytes, image.bytes.data(), image.bytes.size());
  result->code.size = image.bytes.size();
  result->code.row = image.row;
  result->code.image_row = image.image_row;
  return "";
}

void CompileGuarded(const CompileRequest *request, CompileResult *result) {
  *result = CompileResult();
  const FatalHandler handler(request->fatal);
  std::string failure;
  try {
    failure = Compile(*request, result);
  } catch (const std::exception &e) {
    failure = e.what();
  }
  const size_t room = sizeof(result->failure) - 1;
  std::memcpy(result->failure, failure.data(), failure.size() < room ? failure.size() : room);
}

const JitInterface kInterface = {kCodeGeneration, LLVM_VERSION_STRING, CompileGuarded, std::free};

}  // namespace
}  // namespace pgstream

// Servers from 16 on have modules compiled with everything hidden.
extern "C" __attribute__((visibility("default"))) const pgstream::JitInterface *pgstream_jit_interface();

const pgstream::JitInterface *pgstream_jit_interface() {
  return &pgstream::kInterface;
}
