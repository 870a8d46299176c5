// Native code in files, one per stream table, and mapped into this backend.
//
// The files are pg_stream_jit/<database>/<stream table>.<key> under the data directory, mode 0600 in directories of mode
// 0700 (0640 and 0750 where the cluster lets its group read all it has, for backups): native code runs as the server does, so
// it lies where nobody else can write, and its digest is verified before it is mapped. They are a cache: any may be missing, and none is ever needed for an answer.
//
// Promises: nothing here raises an error for what is wrong with a file; the reason is returned, and who asked interprets. What is
// mapped stays mapped while it is held. Refuses: a file that is not exactly what StoreCode wrote under this key.
#pragma once

#include "core/native_code.hpp"
#include "pg/code_key.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// Code mapped into this backend.
struct LoadedCode {
  CodeKey key;  // hash key
  void *memory;
  Size size;
  NativeRow row;
  NativeImageRow image_row;
  double compile_ms;  // when it was made
  double load_ms;     // file to mapping
  int holders;
};

// The code under a key, held; nullptr, and *why (static) says why not.
LoadedCode *HoldCode(Oid relid, const CodeKey *key, const char **why);
void DropCode(LoadedCode *code);

// Whether code could be stored, and used, now: asked before compiling. nullptr, or why not (static).
const char *WhyNotStorable();

// Puts code in place of what is stored for the stream table. nullptr, or why it was not stored (static).
const char *StoreCode(Oid relid, const CodeKey *key, const NativeCode *code, double compile_ms);

// Writes a text beside the code of a stream table, for who looks for it (pgstream.jit_dump).
void StoreText(Oid relid, const char *extension, const char *text);

// Removes what is stored for a stream table that is being dropped; harmless when the drop is undone.
void RemoveCode(Oid relid);

// Removes what belongs to stream tables and databases that are gone.
void SweepCode();

}  // namespace pgstream
