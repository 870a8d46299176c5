// What the administrator and the session can set, and how the library was loaded.
#pragma once

namespace pgstream {

// Raises 55000 with the hint to preload the library when it did not come in through shared_preload_libraries: only then do
// its hooks see every statement. Creating or reading a stream table without it is refused rather than half done.
void RequirePreload();
bool IsPreloaded();

// pgstream.keyed_evaluation: how keyed re-evaluation or recompute is chosen where both can answer.
enum class KeyedEvaluation { Auto, Always, Never };
KeyedEvaluation KeyedEvaluationSetting();

// pgstream.lookup_by_key: whether a read that asks for single groups works out the pending changes of these alone. Auto: until it
// has asked for so many that all at once would have been cheaper.
enum class LookupByKey { Auto, Always, Never };
LookupByKey LookupByKeySetting();

// pgstream.jit: whether rows are evaluated by native code. On: where it is stored; it is made when a stream table is defined
// or refreshed. Force: it is made by readers, too.
enum class Jit { Off, On, Force };
Jit JitSetting();
int JitOptimization();  // pgstream.jit_optimization: 0 to 3
bool JitDump();         // pgstream.jit_dump

void InitSettings(bool preloaded);
// Refuses any other setting of our prefix. To be called when all of ours are defined: the server drops what it does not
// know by then, settings of the configuration file among them.
void ReserveSettings();

}  // namespace pgstream
