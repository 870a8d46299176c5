// Creating stream tables: one code path for CREATE TABLE ... USING pgstream AS, SELECT INTO and create_stream_table().
#pragma once

#include "pg/includes.hpp"

namespace pgstream {

// True when a CREATE TABLE AS (or SELECT INTO) makes a stream table: USING pgstream, or default_table_access_method.
bool CreatesStreamTable(const CreateTableAsStmt *statement);

// Runs core's CREATE TABLE AS ... WITH NO DATA on the statement it is given.
using CreateTableRunner = void (*)(CreateTableAsStmt *statement, void *argument);

// Creates the stream table of an analysed statement: checks the query, takes our options out, lets core create the table,
// then stores the definition, attaches capture and populates. Returns the number of rows; -1 when IF NOT EXISTS found
// the table there.
int64 CreateStreamTable(const CreateTableAsStmt *statement, CreateTableRunner create_table, void *argument);

// Builds the statement a user would have written, and runs it. schedule and mode as options take them.
void CreateByName(RangeVar *name, char *query, const char *schedule, const char *mode, bool initialize);

}  // namespace pgstream
