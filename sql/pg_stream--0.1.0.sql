\echo Use "CREATE EXTENSION pg_stream" to load this file. \quit

-- The schema is a member of the extension, so that DROP EXTENSION leaves nothing behind.
CREATE SCHEMA pgstream;
COMMENT ON SCHEMA pgstream IS 'pg_stream: incrementally maintained tables';
GRANT USAGE ON SCHEMA pgstream TO PUBLIC;

-- ---------------------------------------------------------------------------------------------------------------
-- The access method
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgstream.table_handler(internal) RETURNS table_am_handler
  AS 'MODULE_PATHNAME', 'pgstream_table_handler' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.table_handler(internal) IS 'handler of the access method pgstream';

CREATE ACCESS METHOD pgstream TYPE TABLE HANDLER pgstream.table_handler;
COMMENT ON ACCESS METHOD pgstream IS 'stream tables: tables that always answer what their defining query answers';

-- ---------------------------------------------------------------------------------------------------------------
-- Catalogs. Nobody writes them by hand; the library reads pgs_frontier with the reader's own snapshot and the others
-- with a catalog snapshot.
-- ---------------------------------------------------------------------------------------------------------------

CREATE TABLE pgstream.pgs_stream (
  pgs_relid          oid PRIMARY KEY,
  pgs_id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  refresh_mode       text NOT NULL CHECK (refresh_mode IN ('DIFFERENTIAL', 'FULL')),
  schedule           text,
  status             text NOT NULL CHECK (status IN ('INITIALIZING', 'ACTIVE', 'PAUSED', 'SUSPENDED', 'ERROR')),
  version            integer NOT NULL DEFAULT 1,
  last_refresh_at    timestamptz,
  consecutive_errors integer NOT NULL DEFAULT 0,
  settings           text[]
);
COMMENT ON TABLE pgstream.pgs_stream IS 'one row per stream table: its options and state; its defining query is a rule of the table itself';
COMMENT ON COLUMN pgstream.pgs_stream.settings IS 'the session settings under which the query is evaluated, as name=value; they are part of the definition';
COMMENT ON COLUMN pgstream.pgs_stream.version IS 'raised when what the base contains can no longer be trusted; a frontier of another version answers by recompute';

CREATE TABLE pgstream.pgs_frontier (
  pgs_relid      oid PRIMARY KEY,
  version        integer NOT NULL,
  fold_number    bigint NOT NULL,
  frontier       pg_snapshot NOT NULL,
  own_xid        xid8 NOT NULL,
  own_sequence   bigint NOT NULL,
  data_timestamp timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE pgstream.pgs_frontier IS 'what of the change logs the base of a stream table already contains; absent until it is populated';
COMMENT ON COLUMN pgstream.pgs_frontier.own_sequence IS 'of records written by own_xid, those up to this sequence number are in the base, whatever frontier says';

CREATE TABLE pgstream.pgs_dependency (
  pgs_relid    oid NOT NULL,
  source_relid oid NOT NULL,
  columns      int2[] NOT NULL,
  log_start    bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (pgs_relid, source_relid)
);
CREATE INDEX pgs_dependency_source_idx ON pgstream.pgs_dependency (source_relid);
COMMENT ON TABLE pgstream.pgs_dependency IS 'the captured sources of each stream table and the columns it uses';
COMMENT ON COLUMN pgstream.pgs_dependency.log_start IS 'the log is complete for frontiers of this fold number or later; an older frontier answers by recompute';

CREATE TABLE pgstream.pgs_log (
  source_relid oid PRIMARY KEY,
  segments     oid[] NOT NULL,
  columns      int2[] NOT NULL,
  captured_by  xid8 NOT NULL
);
COMMENT ON TABLE pgstream.pgs_log IS 'the change log of each captured source';
COMMENT ON COLUMN pgstream.pgs_log.captured_by IS 'the transaction that attached the capture of these columns; a frontier must see it';

CREATE TABLE pgstream.pgs_refresh_history (
  refresh_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pgs_relid      oid NOT NULL,
  data_timestamp timestamptz,
  start_time     timestamptz NOT NULL,
  end_time       timestamptz,
  action         text NOT NULL,
  status         text NOT NULL,
  rows_inserted  bigint,
  rows_deleted   bigint,
  duration_ms    double precision,
  error_message  text
);
CREATE INDEX pgs_refresh_history_relid_idx ON pgstream.pgs_refresh_history (pgs_relid, refresh_id);
COMMENT ON TABLE pgstream.pgs_refresh_history IS 'what each refresh did';

-- ---------------------------------------------------------------------------------------------------------------
-- Views over the catalogs, with today''s names and query texts
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgstream.defining_query(stream_table regclass) RETURNS text
  AS 'MODULE_PATHNAME', 'pgstream_defining_query' LANGUAGE C STRICT STABLE;
COMMENT ON FUNCTION pgstream.defining_query(regclass) IS 'the query that defines a stream table';

CREATE VIEW pgstream.pgs_stream_tables AS
SELECT s.pgs_id, s.pgs_relid::regclass AS pgs_relid, n.nspname AS pgs_schema, c.relname AS pgs_name,
       pgstream.defining_query(s.pgs_relid) AS defining_query, s.schedule, s.refresh_mode, s.status,
       f.pgs_relid IS NOT NULL AND f.version = s.version AS is_populated,
       f.data_timestamp, s.last_refresh_at, s.consecutive_errors
  FROM pgstream.pgs_stream s
  JOIN pg_catalog.pg_class c ON c.oid = s.pgs_relid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pgstream.pgs_frontier f ON f.pgs_relid = s.pgs_relid;
COMMENT ON VIEW pgstream.pgs_stream_tables IS 'every stream table with its definition, options and state';

CREATE VIEW pgstream.pgs_dependencies AS
SELECT d.pgs_relid::regclass AS pgs_relid, d.source_relid::regclass AS source_relid,
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = d.source_relid AND a.attnum = ANY (d.columns) ORDER BY a.attnum) AS columns
  FROM pgstream.pgs_dependency d;
COMMENT ON VIEW pgstream.pgs_dependencies IS 'which captured sources and columns each stream table reads';

GRANT SELECT ON ALL TABLES IN SCHEMA pgstream TO PUBLIC;

-- ---------------------------------------------------------------------------------------------------------------
-- Functions the machinery itself uses
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgstream.capture_changes() RETURNS trigger
  AS 'MODULE_PATHNAME', 'pgstream_capture_changes' LANGUAGE C;
COMMENT ON FUNCTION pgstream.capture_changes() IS 'appends the changes of a statement to the change log of its table; attached by pg_stream itself';
REVOKE ALL ON FUNCTION pgstream.capture_changes() FROM PUBLIC;

CREATE FUNCTION pgstream.stream_options(VARIADIC options text[]) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN true;
COMMENT ON FUNCTION pgstream.stream_options(text[]) IS 'carries the options of a stream table in its defining rule, which is disabled';

CREATE FUNCTION pgstream.ignore_replicated() RETURNS trigger
  AS 'MODULE_PATHNAME', 'pgstream_ignore_replicated' LANGUAGE C;
COMMENT ON FUNCTION pgstream.ignore_replicated() IS 'leaves out what logical replication brings for a stream table or a catalog of pg_stream';
REVOKE ALL ON FUNCTION pgstream.ignore_replicated() FROM PUBLIC;

-- Another server's stream tables are not ours. The catalogs are in FOR ALL TABLES publications like any table; they neither
-- send nor receive.
DO $$
DECLARE catalog regclass;
BEGIN
  FOREACH catalog IN ARRAY ARRAY['pgstream.pgs_stream', 'pgstream.pgs_frontier', 'pgstream.pgs_dependency', 'pgstream.pgs_log',
                                 'pgstream.pgs_refresh_history']::regclass[] LOOP
    EXECUTE format('CREATE TRIGGER ignore_replicated BEFORE INSERT OR UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION pgstream.ignore_replicated()', catalog);
    EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER ignore_replicated', catalog);
    UPDATE pg_catalog.pg_class SET relrewrite = oid WHERE oid = catalog;
  END LOOP;
END $$;

CREATE FUNCTION pgstream.key_hash(VARIADIC "any") RETURNS bigint
  AS 'MODULE_PATHNAME', 'pgstream_key_hash' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgstream.key_hash("any") IS 'hash of a key: equal keys have equal hashes, whatever their binary images';

CREATE FUNCTION pgstream.image_hash(VARIADIC "any") RETURNS bigint
  AS 'MODULE_PATHNAME', 'pgstream_image_hash' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION pgstream.image_hash("any") IS 'hash of the binary image of a row';

-- ---------------------------------------------------------------------------------------------------------------
-- What users call
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgstream.create_stream_table(name text, query text, schedule text DEFAULT '1m',
                                             refresh_mode text DEFAULT 'DIFFERENTIAL', initialize boolean DEFAULT true)
  RETURNS void AS 'MODULE_PATHNAME', 'pgstream_create_stream_table' LANGUAGE C;
COMMENT ON FUNCTION pgstream.create_stream_table(text, text, text, text, boolean) IS 'creates a stream table, as CREATE TABLE ... USING pgstream AS does';

CREATE FUNCTION pgstream.alter_stream_table(name text, schedule text DEFAULT NULL, refresh_mode text DEFAULT NULL,
                                            status text DEFAULT NULL, query text DEFAULT NULL)
  RETURNS void AS 'MODULE_PATHNAME', 'pgstream_alter_stream_table' LANGUAGE C;
COMMENT ON FUNCTION pgstream.alter_stream_table(text, text, text, text, text) IS 'changes options, mode or query of a stream table; NULL leaves as it is, schedule ''calculated'' follows what reads it';

CREATE FUNCTION pgstream.create_or_replace_stream_table(name text, query text, schedule text DEFAULT '1m',
                                                        refresh_mode text DEFAULT 'DIFFERENTIAL',
                                                        initialize boolean DEFAULT true, dry_run boolean DEFAULT false,
                                                        OUT action text, OUT reasons text[])
  RETURNS record AS 'MODULE_PATHNAME', 'pgstream_create_or_replace_stream_table' LANGUAGE C;
COMMENT ON FUNCTION pgstream.create_or_replace_stream_table(text, text, text, text, boolean, boolean) IS 'makes a stream table be what is asked for: CREATE, NONE, ALTER, REDEFINE; with dry_run only says so, or RECREATE where the columns differ';

CREATE FUNCTION pgstream.drop_stream_table(name text) RETURNS void
  AS 'MODULE_PATHNAME', 'pgstream_drop_stream_table' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.drop_stream_table(text) IS 'drops a stream table, as DROP TABLE does';

CREATE FUNCTION pgstream.refresh_stream_table(name text) RETURNS void
  AS 'MODULE_PATHNAME', 'pgstream_refresh_stream_table' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.refresh_stream_table(text) IS 'folds the pending changes into the base of a stream table; a FULL one is computed anew';

CREATE FUNCTION pgstream.explain_st(name text, OUT property text, OUT value text) RETURNS SETOF record
  AS 'MODULE_PATHNAME', 'pgstream_explain_st' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.explain_st(text) IS 'how a stream table is maintained, and why';

CREATE FUNCTION pgstream.get_refresh_history(name text, max_rows integer DEFAULT 20)
  RETURNS TABLE (refresh_id bigint, data_timestamp timestamptz, start_time timestamptz, end_time timestamptz,
                 action text, status text, rows_inserted bigint, rows_deleted bigint,
                 duration_ms double precision, error_message text)
  LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
  SELECT h.refresh_id, h.data_timestamp, h.start_time, h.end_time, h.action, h.status, h.rows_inserted, h.rows_deleted,
         h.duration_ms, h.error_message
    FROM pgstream.pgs_refresh_history h
   WHERE h.pgs_relid = name::regclass::oid
   ORDER BY h.refresh_id DESC
   LIMIT max_rows;
END;
COMMENT ON FUNCTION pgstream.get_refresh_history(text, integer) IS 'the latest refreshes of a stream table, newest first';

-- ---------------------------------------------------------------------------------------------------------------
-- How it does: for anybody to see. Names, states, counts and sizes; never contents.
-- ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pgstream.check_cdc_health(OUT source_relid oid, OUT source_table text, OUT cdc_mode text, OUT slot_name text,
                                          OUT lag_bytes bigint, OUT confirmed_lsn pg_lsn, OUT alert text)
  RETURNS SETOF record AS 'MODULE_PATHNAME', 'pgstream_check_cdc_health' LANGUAGE C;
COMMENT ON FUNCTION pgstream.check_cdc_health() IS 'for each captured source, the bytes of its change log that are pending and what is wrong (alert)';

CREATE FUNCTION pgstream.pending_changes(stream_table regclass, OUT changes bigint, OUT bytes bigint)
  AS 'MODULE_PATHNAME', 'pgstream_pending_changes' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.pending_changes(regclass) IS 'row images, and about how many bytes of the change logs, that the base of a stream table does not contain yet; NULL where no log tells';

CREATE FUNCTION pgstream.schedule_passed(schedule text, since timestamptz) RETURNS boolean
  AS 'MODULE_PATHNAME', 'pgstream_schedule_passed' LANGUAGE C STRICT STABLE;
COMMENT ON FUNCTION pgstream.schedule_passed(text, timestamptz) IS 'whether a schedule was due since a time';

CREATE FUNCTION pgstream.verify(name text, OUT missing bigint, OUT unexpected bigint, OUT rows bigint)
  AS 'MODULE_PATHNAME', 'pgstream_verify' LANGUAGE C STRICT;
COMMENT ON FUNCTION pgstream.verify(text) IS 'compares the content of a stream table with its query, as texts and multisets under one snapshot: rows that are missing, that should not be there, and that there are';

CREATE VIEW pgstream.stream_tables_info AS
SELECT t.*, now() - t.data_timestamp AS staleness,
       coalesce(pgstream.schedule_passed(t.schedule, t.data_timestamp), false) AS stale
  FROM pgstream.pgs_stream_tables t;
COMMENT ON VIEW pgstream.stream_tables_info IS 'every stream table with the age of what its base contains (staleness) and whether its schedule has passed since (stale); reads are exact in any case, but for FULL ones';

CREATE VIEW pgstream.pg_stat_stream_tables AS
SELECT t.pgs_id, t.pgs_relid, t.pgs_schema, t.pgs_name, t.status, t.refresh_mode, t.schedule, t.is_populated,
       t.data_timestamp, t.staleness, t.stale, p.changes AS pending_changes, p.bytes AS pending_bytes,
       h.refreshes, h.failures, h.rows_inserted, h.rows_deleted, h.average_ms, h.last_action, h.last_status,
       t.last_refresh_at, t.consecutive_errors
  FROM pgstream.stream_tables_info t
  CROSS JOIN LATERAL pgstream.pending_changes(t.pgs_relid) p
  CROSS JOIN LATERAL (
    SELECT count(*) AS refreshes, count(*) FILTER (WHERE r.status <> 'COMPLETED') AS failures,
           coalesce(sum(r.rows_inserted), 0)::bigint AS rows_inserted, coalesce(sum(r.rows_deleted), 0)::bigint AS rows_deleted,
           avg(r.duration_ms) AS average_ms,
           (array_agg(r.action ORDER BY r.refresh_id DESC))[1] AS last_action,
           (array_agg(r.status ORDER BY r.refresh_id DESC))[1] AS last_status
      FROM pgstream.pgs_refresh_history r WHERE r.pgs_relid = t.pgs_relid::oid) h;
COMMENT ON VIEW pgstream.pg_stat_stream_tables IS 'every stream table with its staleness, what is pending (read from the change logs) and what its refreshes did';

CREATE FUNCTION pgstream.get_staleness(name text) RETURNS interval
  LANGUAGE sql STABLE STRICT
BEGIN ATOMIC
  SELECT i.staleness FROM pgstream.stream_tables_info i WHERE i.pgs_relid = name::regclass;
END;
COMMENT ON FUNCTION pgstream.get_staleness(text) IS 'the age of what the base of a stream table contains; NULL while it is not populated';

CREATE FUNCTION pgstream.pgs_status()
  RETURNS TABLE (name text, status text, refresh_mode text, is_populated boolean, consecutive_errors integer,
                 schedule text, data_timestamp timestamptz, staleness interval)
  LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT i.pgs_relid::text, i.status, i.refresh_mode, i.is_populated, i.consecutive_errors, i.schedule, i.data_timestamp,
         i.staleness
    FROM pgstream.stream_tables_info i
   ORDER BY i.pgs_id;
END;
COMMENT ON FUNCTION pgstream.pgs_status() IS 'every stream table with its state in short';

GRANT SELECT ON pgstream.stream_tables_info, pgstream.pg_stat_stream_tables TO PUBLIC;
