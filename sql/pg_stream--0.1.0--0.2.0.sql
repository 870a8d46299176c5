\echo Use "ALTER EXTENSION pg_stream UPDATE" to load this file. \quit

-- What 0.2.0 adds to 0.1.0, whose script never changes again. CREATE EXTENSION runs that one and then this one, so a new
-- object is written down once, here, with its comment and grants; so is a changed one (CREATE OR REPLACE, ALTER). Columns of
-- catalogs and views are added at the end. Stream tables, logs and pending changes are there already when it runs. A library
-- newer than the objects of a database must serve it: what is new here may be missing.

-- ---------------------------------------------------------------------------------------------------------------
-- Refreshes that failed: kept in shared memory, and written into the history by the next one that succeeds. A message may
-- quote data, so it is for who may act as the owner.
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgstream.failed_refreshes(OUT pgs_relid oid, OUT start_time timestamptz, OUT end_time timestamptz,
                                          OUT action text, OUT error_message text)
  RETURNS SETOF record AS 'MODULE_PATHNAME', 'pgstream_failed_refreshes' LANGUAGE C;
COMMENT ON FUNCTION pgstream.failed_refreshes() IS 'refreshes that failed since the last that succeeded, the latest eight of each stream table, oldest first; until the server restarts';

CREATE FUNCTION pgstream.consecutive_errors(stream_table regclass) RETURNS integer
  AS 'MODULE_PATHNAME', 'pgstream_consecutive_errors' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.consecutive_errors(regclass) IS 'how many refreshes of a stream table have failed since the last that succeeded, or since the server was started';

CREATE FUNCTION pgstream.definition_options(stream_table regclass) RETURNS text[]
  AS 'MODULE_PATHNAME', 'pgstream_definition_options' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.definition_options(regclass) IS 'what the defining rule of a stream table carries for a dump: refresh_mode, schedule, recorded settings, as name=value';

REVOKE SELECT ON pgstream.pgs_refresh_history FROM PUBLIC;
GRANT SELECT (refresh_id, pgs_relid, data_timestamp, start_time, end_time, action, status, rows_inserted, rows_deleted, duration_ms)
  ON pgstream.pgs_refresh_history TO PUBLIC;

CREATE VIEW pgstream.pgs_refreshes AS
SELECT h.refresh_id, h.pgs_relid, h.data_timestamp, h.start_time, h.end_time, h.action, h.status, h.rows_inserted, h.rows_deleted,
       h.duration_ms,
       CASE WHEN pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
            THEN h.error_message END AS error_message
  FROM pgstream.pgs_refresh_history h
  JOIN pg_catalog.pg_class c ON c.oid = h.pgs_relid
UNION ALL
SELECT NULL, f.pgs_relid, NULL, f.start_time, f.end_time, f.action, 'FAILED', NULL, NULL,
       extract(epoch FROM f.end_time - f.start_time)::double precision * 1000, f.error_message
  FROM pgstream.failed_refreshes() f;
COMMENT ON VIEW pgstream.pgs_refreshes IS 'every refresh that wrote something or failed; those that failed last have no refresh_id yet';
GRANT SELECT ON pgstream.pgs_refreshes TO PUBLIC;

CREATE OR REPLACE FUNCTION pgstream.get_refresh_history(name text, max_rows integer DEFAULT 20)
  RETURNS TABLE (refresh_id bigint, data_timestamp timestamptz, start_time timestamptz, end_time timestamptz,
                 action text, status text, rows_inserted bigint, rows_deleted bigint,
                 duration_ms double precision, error_message text)
  LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
  SELECT h.refresh_id, h.data_timestamp, h.start_time, h.end_time, h.action, h.status, h.rows_inserted, h.rows_deleted,
         h.duration_ms, h.error_message
    FROM pgstream.pgs_refreshes h
   WHERE h.pgs_relid = name::regclass::oid
   ORDER BY h.refresh_id DESC NULLS FIRST, h.start_time DESC
   LIMIT max_rows;
END;

-- Those that came from a dump and await their first refresh are shown, too.
CREATE OR REPLACE VIEW pgstream.pgs_stream_tables AS
SELECT s.pgs_id, c.oid::regclass AS pgs_relid, n.nspname AS pgs_schema, c.relname AS pgs_name,
       pgstream.defining_query(c.oid) AS defining_query,
       CASE WHEN s.pgs_relid IS NOT NULL THEN s.schedule
            ELSE nullif((SELECT substr(o, 10) FROM unnest(pgstream.definition_options(c.oid)) o WHERE o LIKE 'schedule=%'), 'calculated')
       END AS schedule,
       coalesce(s.refresh_mode, (SELECT substr(o, 14) FROM unnest(pgstream.definition_options(c.oid)) o WHERE o LIKE 'refresh\_mode=%'),
                'DIFFERENTIAL') AS refresh_mode,
       coalesce(s.status, 'INITIALIZING') AS status,
       f.pgs_relid IS NOT NULL AND f.version = s.version AS is_populated,
       f.data_timestamp, s.last_refresh_at, pgstream.consecutive_errors(c.oid) AS consecutive_errors
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'pgstream'
  JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid AND r.rulename = 'pgstream_query'
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pgstream.pgs_stream s ON s.pgs_relid = c.oid
  LEFT JOIN pgstream.pgs_frontier f ON f.pgs_relid = c.oid;

CREATE OR REPLACE VIEW pgstream.stream_tables_info AS
SELECT t.*, CASE WHEN t.is_populated THEN greatest(now() - t.data_timestamp, interval '0') END AS staleness,
       coalesce(pgstream.schedule_passed(t.schedule, t.data_timestamp), false) AS stale
  FROM pgstream.pgs_stream_tables t;

CREATE OR REPLACE VIEW pgstream.pg_stat_stream_tables AS
SELECT t.pgs_id, t.pgs_relid, t.pgs_schema, t.pgs_name, t.status, t.refresh_mode, t.schedule, t.is_populated,
       t.data_timestamp, t.staleness, t.stale, p.changes AS pending_changes, p.bytes AS pending_bytes,
       h.refreshes, h.failures, h.rows_inserted, h.rows_deleted, h.average_ms, h.last_action, h.last_status,
       t.last_refresh_at, t.consecutive_errors, h.last_error
  FROM pgstream.stream_tables_info t
  CROSS JOIN LATERAL pgstream.pending_changes(t.pgs_relid) p
  CROSS JOIN LATERAL (
    SELECT count(*) AS refreshes, count(*) FILTER (WHERE r.status <> 'COMPLETED') AS failures,
           coalesce(sum(r.rows_inserted), 0)::bigint AS rows_inserted, coalesce(sum(r.rows_deleted), 0)::bigint AS rows_deleted,
           avg(r.duration_ms) FILTER (WHERE r.status = 'COMPLETED') AS average_ms,
           (array_agg(r.action ORDER BY r.refresh_id DESC NULLS FIRST, r.start_time DESC))[1] AS last_action,
           (array_agg(r.status ORDER BY r.refresh_id DESC NULLS FIRST, r.start_time DESC))[1] AS last_status,
           (array_agg(r.error_message ORDER BY r.refresh_id DESC NULLS FIRST, r.start_time DESC))[1] AS last_error
      FROM pgstream.pgs_refreshes r WHERE r.pgs_relid = t.pgs_relid::oid) h;

-- ---------------------------------------------------------------------------------------------------------------
-- How far refreshes are
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgstream.refresh_progress(OUT pid integer, OUT datid oid, OUT relid oid, OUT command text, OUT action text,
                                          OUT phase text, OUT changes_read bigint, OUT rows_computed bigint,
                                          OUT rows_inserted bigint, OUT rows_updated bigint, OUT rows_deleted bigint)
  RETURNS SETOF record AS 'MODULE_PATHNAME', 'pgstream_refresh_progress' LANGUAGE C;
COMMENT ON FUNCTION pgstream.refresh_progress() IS 'how far the running refreshes and populates of stream tables are, in all databases';

CREATE VIEW pgstream.pg_stat_progress_refresh AS
SELECT p.pid, p.datid, d.datname, p.relid, p.command, p.action, p.phase, p.changes_read, p.rows_computed, p.rows_inserted,
       p.rows_updated, p.rows_deleted
  FROM pgstream.refresh_progress() p
  LEFT JOIN pg_catalog.pg_database d ON d.oid = p.datid;
COMMENT ON VIEW pgstream.pg_stat_progress_refresh IS 'one row for each session that refreshes a stream table or fills a new one';
GRANT SELECT ON pgstream.pg_stat_progress_refresh TO PUBLIC;

COMMENT ON SEQUENCE pgstream.pgs_stream_pgs_id_seq IS 'numbers of stream tables';
COMMENT ON SEQUENCE pgstream.pgs_refresh_history_refresh_id_seq IS 'numbers of refreshes';

-- ---------------------------------------------------------------------------------------------------------------
-- Every column says what it is. By name, for all relations that have it, unless one says something of its own before.
-- ---------------------------------------------------------------------------------------------------------------

DO $comments$
DECLARE given record; target record;
BEGIN
  FOR given IN SELECT * FROM (VALUES
    ('pgs_refreshes', 'refresh_id', 'rising; NULL of a failed refresh until the next that succeeds writes it into the history'),
    ('pgs_refreshes', 'error_message', 'why it failed, for the owner and pg_read_all_stats'),
    ('pgs_refreshes', 'status', 'COMPLETED or FAILED'),
    ('pgs_refresh_history', 'status', 'COMPLETED or FAILED'),
    ('pg_stat_progress_refresh', 'rows_inserted', 'stored rows inserted so far'),
    ('pg_stat_progress_refresh', 'rows_updated', 'stored rows updated so far'),
    ('pg_stat_progress_refresh', 'rows_deleted', 'stored rows deleted so far'),
    ('pg_stat_progress_refresh', 'action', 'FULL (computed anew) or DIFFERENTIAL (pending changes folded)'),
    ('pg_stat_progress_refresh', 'relid', 'the stream table'),
    ('pg_stat_progress_refresh', 'command', 'REFRESH, or POPULATE as part of creating or altering'),
    ('pgs_refresh_history', 'data_timestamp', 'as of when the stored rows were then; NULL of a failed refresh'),
    ('pgs_refreshes', 'data_timestamp', 'as of when the stored rows were then; NULL of a failed refresh'),
    ('pgs_dependency', 'columns', 'attribute numbers of the columns used'),
    ('pgs_log', 'columns', 'attribute numbers of the columns captured'),
    ('pg_stat_stream_tables', 'rows_inserted', 'stored rows written, over the history'),
    ('pg_stat_stream_tables', 'rows_deleted', 'stored rows replaced or deleted, over the history'),
    (NULL, 'pgs_id', 'number given at creation; NULL for one that came from a dump and awaits its first refresh'),
    (NULL, 'pgs_relid', 'the stream table'),
    (NULL, 'pgs_schema', 'its schema'),
    (NULL, 'pgs_name', 'its name'),
    (NULL, 'defining_query', 'its query'),
    (NULL, 'schedule', 'schedule in canonical form; NULL: calculated from what reads it'),
    (NULL, 'refresh_mode', 'DIFFERENTIAL: reads are exact; FULL: reads return the result of the last refresh'),
    (NULL, 'status', 'INITIALIZING until first populated, then ACTIVE; PAUSED by alter_stream_table'),
    (NULL, 'is_populated', 'the stored rows belong to the present definition'),
    (NULL, 'data_timestamp', 'as of when the stored rows are'),
    (NULL, 'last_refresh_at', 'when the last refresh that wrote something ended'),
    (NULL, 'consecutive_errors', 'refreshes that failed since the last that succeeded, or since the server was started'),
    (NULL, 'staleness', 'age of what is stored; reads are exact all the same, but for FULL ones'),
    (NULL, 'stale', 'the schedule has passed since data_timestamp'),
    (NULL, 'pending_changes', 'row images that the stored rows do not contain yet; NULL where no log tells'),
    (NULL, 'pending_bytes', 'about how many bytes of the change logs these are'),
    (NULL, 'refreshes', 'refreshes in the history'),
    (NULL, 'failures', 'those of them that failed'),
    (NULL, 'average_ms', 'mean duration of those that completed, in milliseconds'),
    (NULL, 'last_action', 'of the latest refresh'),
    (NULL, 'last_status', 'of the latest refresh'),
    (NULL, 'last_error', 'why the latest refresh failed, for the owner and pg_read_all_stats; NULL if it did not'),
    (NULL, 'refresh_id', 'rising'),
    (NULL, 'start_time', 'when it began'),
    (NULL, 'end_time', 'when it ended'),
    (NULL, 'action', 'DIFFERENTIAL (pending changes folded) or FULL (computed anew)'),
    (NULL, 'rows_inserted', 'rows written; a changed row counts here and in rows_deleted'),
    (NULL, 'rows_deleted', 'rows replaced or deleted'),
    (NULL, 'duration_ms', 'how long it took, in milliseconds'),
    (NULL, 'error_message', 'why it failed'),
    (NULL, 'source_relid', 'the source'),
    (NULL, 'columns', 'its columns that are used'),
    (NULL, 'fold_number', 'how many folds and rebuilds there were'),
    (NULL, 'frontier', 'transactions whose changes the base contains'),
    (NULL, 'own_xid', 'transaction that wrote this row'),
    (NULL, 'version', 'the definition''s version that the base belongs to'),
    (NULL, 'segments', 'the tables that hold its change log'),
    (NULL, 'pid', 'process that runs it'),
    (NULL, 'datid', 'its database'),
    (NULL, 'datname', 'name of its database'),
    (NULL, 'phase', 'acquiring locks, reading changes, evaluating changes, running the query, writing rows'),
    (NULL, 'changes_read', 'pending row images read so far'),
    (NULL, 'rows_computed', 'rows of the content computed so far, where it is computed anew')) v (relation, name, said)
  LOOP
    FOR target IN
      SELECT c.oid::regclass AS relation, c.relname FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = given.name AND a.attnum > 0
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
       WHERE c.relnamespace = 'pgstream'::regnamespace AND c.relkind IN ('r', 'v') AND c.relname NOT LIKE 'log\_%'
         AND c.relname = coalesce(given.relation, c.relname) AND pg_catalog.col_description(c.oid, a.attnum) IS NULL
    LOOP
      EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', target.relation, given.name, given.said);
    END LOOP;
  END LOOP;
END $comments$;

-- Where the library is not preloaded nothing of this works: better no extension, and what comes from a dump plain tables.
DO $$ BEGIN PERFORM pgstream.check_cdc_health(); END $$;
