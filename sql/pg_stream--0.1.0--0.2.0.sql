\echo Use "ALTER EXTENSION pg_stream UPDATE" to load this file. \quit

-- What 0.2.0 adds to 0.1.0, whose script never changes again. CREATE EXTENSION runs that one and then this one, so a new
-- object is written down once, here, with its comment and grants; so is a changed one (CREATE OR REPLACE, ALTER). Columns of
-- catalogs and views are added at the end. Stream tables, logs and pending changes are there already when it runs. A library
-- newer than the objects of a database must serve it: what is new here may be missing.
