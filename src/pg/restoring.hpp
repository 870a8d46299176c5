// Whether the session runs the script of a dump.
//
// Promises: true between the settings that every script of pg_dump and pg_restore begins with and the session's end. Refuses:
// to be an authority: who sets them by hand is taken for a restore, so nothing may hang on it but what its user may do anyway.
#pragma once

namespace pgstream {

// No search path and unchecked function bodies, which nobody else wants together.
bool RestoringDump();

}  // namespace pgstream
