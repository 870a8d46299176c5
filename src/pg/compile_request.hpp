// Asking for native code that a reader missed: a background worker makes it (delta/compile_worker.cpp), the reader interprets.
//
// Promises: asking raises nothing, waits for nothing and takes no lock but that on the list of workers, for as long as it takes to
// write one down. A backend asks once for each code, all of them together once in ten seconds for the same, and five times a
// second at most. Refuses: on a standby, in parallel workers, without preloading, and where no worker is free, to do anything.
#pragma once

#include "pg/code_key.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// What the worker finds in its registration.
struct CompileErrand {
  Oid database;
  Oid relid;
  int optimization;
  CodeKey key;
};

// Asks for the code of a stream table under this key, at the present level of optimization.
void AskToCompile(Oid relid, const CodeKey *key);

// For the worker, when it has made no such code: nobody asks for it in the next ten minutes.
void PutOffCompiling(const CodeKey *key);

void InitCompileRequests();  // called once by _PG_init, while the library is loaded

}  // namespace pgstream
