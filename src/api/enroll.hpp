// Entering a stream table into the catalogs: its row, the capture of its sources, its key index.
//
// Promises: used alike by creation and by the first refresh of a table that came from a dump, where a stream table is but a
// table with rows and the rule that holds its query. Refuses: to judge the query (create.hpp does).
#pragma once

#include "api/options.hpp"
#include "pg/includes.hpp"

namespace pgstream {

// Inserts the catalog row of an open table that has a definition, and attaches capture to the sources of its query (not in
// FULL mode). settings: see SettingsToRecord.
void EnrollStream(Relation rel, const StreamOptions *options, Datum settings);

// Copies the options and, where the query reads them, the settings of an enrolled stream table into its definition, for
// dumps. To be called whenever they change.
void RecordOptions(Relation rel);

// After a refresh or populate: the same where a FULL stream table has become empty, or is no longer, unless another session
// has it locked: then after the next refresh.
void RecordEmptiness(Oid relid);

// Enrolls a stream table anew after its definition or mode changed: another version, the sources and the key index of the
// new query, nothing of the old one. In FULL mode it has neither. old_index: the key index before that change.
void ReenrollStream(Relation rel, RefreshMode mode, Oid old_index);

// Enters a stream table that is not in the catalogs, as after a restore. Nothing for others.
void EnrollRestored(Oid relid);

// Before a refresh: the key index that a definition wants which DDL has made maintainable, and a NOTICE where it has become
// what no log tells of.
void FollowDefinition(Oid relid);

// Tells the user, where nothing that is captured can tell when the query's result changes.
void NoticeUnsettled(Oid relid);

// Tells the user which index on the source keyed evaluation lacks, if it does.
void NoticeMissingIndex(Oid relid);

void MarkActive(Oid relid);

}  // namespace pgstream
