// What a stored piece of native code is good for, as one digest.
#pragma once

#include "core/native_code.hpp"
#include "core/program.hpp"
#include "pg/includes.hpp"

namespace pgstream {

inline constexpr int kCodeKeySize = 32;

// SHA-256 over the program, the level of optimization, the code generation (core/native_code.hpp), the versions of server and
// LLVM and the CPU with its features: code under the same key does the same and runs here.
struct CodeKey {
  uint8 bytes[kCodeKeySize];
};

// False when the server cannot compute the digest.
bool MakeCodeKey(const uint8 *program, Size size, int optimization, CodeKey *key);

// SHA-256 of some bytes; false when the server cannot compute it.
bool Digest(const void *data, Size size, uint8 *digest);

}  // namespace pgstream
