// The session settings that functions of a query may read. They are recorded when a stream table is created, and belong to
// its definition: what the query returns means under these.
//
// Promises: a query that reads no setting pays nothing, and one that does a comparison for each that has the recorded value
// already. Refuses: settings that cannot change a result (planner, memory), and those that evaluation fixes for everybody
// (search_path, row_security, gin_fuzzy_search_limit).
#pragma once

#include "pg/definition_options.hpp"
#include "pg/includes.hpp"

namespace pgstream {

struct RecordedSetting {
  const char *name;
  const char *value;
};

// For pgs_stream.settings, text[] of "name=value": the values given among n options, the session's for the others.
Datum SettingsToRecord(const DefinitionOption *given, int n);

// Those of n options that are settings of queries, in the current context; whoever wrote the options can set nothing else.
int SettingsAmong(const DefinitionOption *options, int n, RecordedSetting **settings);

// Reads such an array (0: none) in the current context. Returns the number of settings.
int ReadRecordedSettings(Datum array, RecordedSetting **settings);

// For a query that reads settings: gives every setting its recorded value until the GUC nest level ends. A value that cannot
// be had (a locale that this host lacks) is an error; a text search configuration that was dropped only where it is read.
void ApplyRecordedSettings(int nsettings, const RecordedSetting *settings, bool query_reads_settings,
                           bool query_reads_default_text_search);

// pg_dump forbids its session to read views, for they would run code as its user, and to read fewer rows than there are because
// of row level security. The query of a stream table runs as the owner, restricted, whose policies are part of its definition:
// it may do both until the GUC nest level ends.
void LiftRelationRestrictions();

}  // namespace pgstream
