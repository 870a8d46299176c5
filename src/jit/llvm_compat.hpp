// LLVM, by its C API, and what differs between its versions.
//
// Promises: LLVM 15 (the first whose pointers are all of one type) and newer; the rest of the room tells no versions apart.
// Refuses: the C++ API, which changes with every release.
#pragma once

#include <llvm-c/Core.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <llvm/Config/llvm-config.h>

#if LLVM_VERSION_MAJOR < 15
#error "pg_stream_jit needs LLVM 15 or newer: set LLVM_CONFIG to its llvm-config (Debian: package llvm-NN-dev)"
#endif

namespace pgstream::llvm_compat {

/// The enumeration attribute of this name.
inline LLVMAttributeRef Attribute(LLVMContextRef context, const char *name) {
  return LLVMCreateEnumAttribute(context, LLVMGetEnumAttributeKindForName(name, __builtin_strlen(name)), 0);
}

inline LLVMAttributeRef TextAttribute(LLVMContextRef context, const char *name, const char *value) {
  return LLVMCreateStringAttribute(context, name, static_cast<unsigned>(__builtin_strlen(name)), value,
                                   static_cast<unsigned>(__builtin_strlen(value)));
}

/// An intrinsic overloaded on one type.
inline LLVMValueRef Intrinsic(LLVMModuleRef module, const char *name, LLVMTypeRef type) {
  const unsigned id = LLVMLookupIntrinsicID(name, __builtin_strlen(name));
  return LLVMGetIntrinsicDeclaration(module, id, &type, 1);
}

inline LLVMTypeRef IntrinsicType(LLVMContextRef context, const char *name, LLVMTypeRef type) {
  const unsigned id = LLVMLookupIntrinsicID(name, __builtin_strlen(name));
  return LLVMIntrinsicGetType(context, id, &type, 1);
}

}  // namespace pgstream::llvm_compat
