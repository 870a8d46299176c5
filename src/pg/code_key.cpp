// Keys of native code; see code_key.hpp. The CPU is asked here, as LLVM, which knows it too, is not there when code is looked up.
#include "pg/code_key.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#include <sys/utsname.h>
#endif

extern "C" {
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "lib/stringinfo.h"
}

namespace pgstream {
namespace {

static_assert(kCodeKeySize == PG_SHA256_DIGEST_LENGTH, "keys are SHA-256 digests");

// Model and features of this machine's CPU.
void AppendCpu(StringInfo text) {
#if defined(__x86_64__)
  const struct {
    unsigned leaf, subleaf;
    unsigned masks[4];  // of eax, ebx, ecx, edx: without what differs from core to core
  } queries[] = {{0, 0, {0, ~0u, ~0u, ~0u}}, {1, 0, {~0u, 0, ~0u, ~0u}}, {7, 0, {~0u, ~0u, ~0u, ~0u}}, {7, 1, {~0u, ~0u, ~0u, ~0u}},
                 {0x24, 0, {0, ~0u, 0, 0}}, {0x80000001, 0, {0, 0, ~0u, ~0u}}};
  for (const auto &query : queries) {
    unsigned registers[4] = {};
    (void)__get_cpuid_count(query.leaf, query.subleaf, &registers[0], &registers[1], &registers[2], &registers[3]);
    for (int i = 0; i < 4; i++) registers[i] &= query.masks[i];
    appendBinaryStringInfo(text, reinterpret_cast<const char *>(registers), sizeof(registers));
  }
  // Which registers the operating system keeps: without that a CPU cannot use what it has.
  unsigned a, b, c = 0, d;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_OSXSAVE) != 0) {
    asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    appendBinaryStringInfo(text, reinterpret_cast<const char *>(&a), sizeof(a));
  }
#else
  struct utsname name;
  const unsigned long features[] = {getauxval(AT_HWCAP), getauxval(AT_HWCAP2)};
  if (uname(&name) == 0) appendStringInfoString(text, name.machine);
  appendBinaryStringInfo(text, reinterpret_cast<const char *>(features), sizeof(features));
#endif
}

}  // namespace

bool Digest(const void *data, Size size, uint8 *digest) {
  pg_cryptohash_ctx *const context = pg_cryptohash_create(PG_SHA256);
  const bool done = context != nullptr && pg_cryptohash_init(context) >= 0 &&
                    pg_cryptohash_update(context, static_cast<const uint8 *>(data), size) >= 0 &&
                    pg_cryptohash_final(context, digest, kCodeKeySize) >= 0;
  pg_cryptohash_free(context);
  return done;
}

bool MakeCodeKey(const uint8 *program, Size size, int optimization, CodeKey *key) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "%u %d %s %d ", kCodeGeneration, compat::kServerVersion, PGSTREAM_LLVM_VERSION, optimization);
  AppendCpu(&text);
  appendBinaryStringInfo(&text, reinterpret_cast<const char *>(program), static_cast<int>(size));
  const bool done = Digest(text.data, static_cast<Size>(text.len), key->bytes);
  pfree(text.data);
  return done;
}

}  // namespace pgstream
