-- Maintenance of stream tables while changes are pending: tablespaces, indexes of every kind, REINDEX, CLUSTER, VACUUM, ANALYZE.
\set VERBOSITY default
SET client_min_messages = warning;
SET jit = off;
SET pgstream.keyed_evaluation = always;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_pgstream_space LOCATION '';
CREATE SCHEMA maintenance;
SET search_path = maintenance, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, note text, at point, span int4range);
INSERT INTO src SELECT i, i % 20, i * 1.25, 'note ' || i % 50, point(i, -i), int4range(i, i + 3) FROM generate_series(1, 400) i;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n, max(note) AS note FROM src GROUP BY grp;
CREATE TABLE rows USING pgstream AS SELECT id, grp, val, note, at, span, ARRAY[grp, id] AS pair FROM src WHERE grp < 15;
CREATE TABLE best USING pgstream AS SELECT DISTINCT ON (grp) grp, id, val FROM src ORDER BY grp, val DESC, id;
CREATE TABLE nothing USING pgstream AS SELECT count(*) AS n FROM src s JOIN src t USING (id);
CREATE SEQUENCE turn;
-- Makes changes of every kind pending and compares every stream table with its query.
CREATE FUNCTION exact(OUT streams bigint, OUT exact bigint, OUT answered text, OUT wrong text) LANGUAGE plpgsql AS $$
DECLARE t int := nextval('maintenance.turn');
BEGIN
  INSERT INTO maintenance.src SELECT 1000 + t * 10 + i, (t + i) % 25, i, 'note ' || i * t, point(i, t), int4range(t, t + i) FROM generate_series(1, 5) i;
  UPDATE maintenance.src SET val = val + 1, grp = grp + 1 WHERE id % 50 = t % 50;
  DELETE FROM maintenance.src WHERE id = t * 3;
  SELECT v.streams, v.exact, v.answered, v.wrong INTO streams, exact, answered, wrong FROM verify_streams('maintenance') v;
END $$;
-- The key indexes are there, complete, and hidden, as they must be after whatever rebuilt them.
CREATE FUNCTION key_indexes() RETURNS TABLE (stream name, hidden boolean, ready boolean) LANGUAGE sql AS $$
  SELECT c.relname, NOT i.indisvalid, i.indisready AND i.indislive FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
   WHERE c.relnamespace = 'maintenance'::regnamespace AND pg_get_indexdef(i.indexrelid) ~ 'pgstream\.' ORDER BY 1 $$;
SELECT * FROM exact();
SELECT * FROM key_indexes();

-- Tablespaces: of the table, of its key index, of everything in one.
ALTER TABLE rows SET TABLESPACE regress_pgstream_space;
ALTER INDEX rows_pgstream_key SET TABLESPACE regress_pgstream_space;
SELECT * FROM exact();
SELECT pgstream.refresh_stream_table('rows');
SELECT * FROM exact();
ALTER TABLE ALL IN TABLESPACE regress_pgstream_space SET TABLESPACE pg_default;
ALTER INDEX ALL IN TABLESPACE regress_pgstream_space SET TABLESPACE pg_default;
SELECT * FROM exact();
SELECT count(*) FROM pg_class WHERE reltablespace = (SELECT oid FROM pg_tablespace WHERE spcname = 'regress_pgstream_space');
SELECT * FROM key_indexes();

-- Indexes of every kind, made while changes are pending, also concurrently; read by index, before and after a refresh.
CREATE FUNCTION by_index(condition text, OUT by_index boolean, OUT missing bigint, OUT surplus bigint) LANGUAGE plpgsql AS $$
DECLARE line text; query text := 'SELECT * FROM maintenance.rows WHERE ' || condition;
BEGIN
  PERFORM set_config('enable_seqscan', 'off', true);
  by_index := false;
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    by_index := by_index OR line ~ 'Index';
  END LOOP;
  EXECUTE format('WITH st AS (SELECT r::text AS r FROM (%s) r),
                       q AS (SELECT r::text AS r FROM (SELECT * FROM (SELECT id, grp, val, note, at, span, ARRAY[grp, id] AS pair
                                                       FROM maintenance.src WHERE grp < 15) q WHERE %s) r)
                  SELECT (SELECT count(*) FROM (TABLE q EXCEPT ALL TABLE st) x), (SELECT count(*) FROM (TABLE st EXCEPT ALL TABLE q) x)',
                 query, condition) INTO missing, surplus;
END $$;
CREATE FUNCTION all_by_index() RETURNS TABLE (condition text, by_index boolean, missing bigint, surplus bigint) LANGUAGE sql AS $$
  SELECT c, b.* FROM unnest(ARRAY['id = 1013', 'note = ''note 3''', 'grp BETWEEN 3 AND 5', 'val * 2 < 50 AND id > 5', 'lower(note) COLLATE "C" = ''note 7''',
    'at <@ box ''((0,-5),(5,5))''', 'span && int4range(2, 9)', 'pair @> ARRAY[3]', 'at ~= point(2,1)', 'val > 490']) c, LATERAL maintenance.by_index(c) b $$;
CREATE UNIQUE INDEX rows_id ON rows (id) INCLUDE (grp);
CREATE INDEX CONCURRENTLY rows_note ON rows USING hash (note);
CREATE INDEX rows_grp ON rows (grp DESC NULLS LAST, id);
CREATE INDEX CONCURRENTLY rows_some ON rows ((val * 2)) WHERE id > 5;
CREATE INDEX rows_lower ON rows (lower(note) COLLATE "C");
CREATE INDEX rows_at ON rows USING gist (at);
CREATE INDEX CONCURRENTLY rows_span ON rows USING spgist (span);
CREATE INDEX CONCURRENTLY rows_pair ON rows USING gin (pair) WITH (fastupdate = off);
CREATE INDEX rows_val ON rows USING brin (val);
CREATE INDEX rows_quad ON rows USING spgist (at quad_point_ops);
CREATE UNIQUE INDEX CONCURRENTLY rows_nulls ON rows (id, val) NULLS NOT DISTINCT;
ALTER INDEX rows_note SET (fillfactor = 60);
ALTER INDEX rows_val SET (autosummarize = on);
ALTER INDEX rows_some ALTER COLUMN 1 SET STATISTICS 50;
SELECT * FROM all_by_index();
SELECT * FROM exact();
SELECT * FROM all_by_index();
SELECT pgstream.refresh_stream_table('rows');
SELECT * FROM all_by_index();
SELECT brin_summarize_new_values('rows_val') >= 0 AS summarized, gin_clean_pending_list('rows_pair') AS cleaned;
SELECT * FROM exact();
SELECT * FROM all_by_index();
-- An index that cannot be made, as its key is not unique in the base, leaves the stream table as it is.
CREATE UNIQUE INDEX rows_bad ON rows (note);
CREATE UNIQUE INDEX CONCURRENTLY rows_bad ON rows (note);
SELECT * FROM exact();
DROP INDEX CONCURRENTLY rows_bad;
DROP INDEX rows_nulls;
ALTER INDEX rows_id RENAME TO rows_key;
SELECT * FROM exact();

-- REINDEX in all its forms.
REINDEX INDEX rows_pgstream_key;
SELECT * FROM key_indexes();
SELECT * FROM exact();
REINDEX INDEX CONCURRENTLY rows_pgstream_key;
SELECT * FROM key_indexes();
REINDEX TABLE rows;
-- An invalid index, as the key index shows itself, is passed over with a WARNING; by its name it is rebuilt, as above.
SET client_min_messages = error;
REINDEX TABLE CONCURRENTLY sums;
REINDEX (TABLESPACE regress_pgstream_space) TABLE best;
SELECT * FROM key_indexes();
SELECT * FROM exact();
REINDEX SCHEMA maintenance;
SELECT * FROM key_indexes();
REINDEX SCHEMA CONCURRENTLY maintenance;
SELECT * FROM key_indexes();
SELECT * FROM exact();
SELECT refresh_streams('maintenance');
SELECT * FROM exact();
SELECT * FROM all_by_index();
SELECT format('REINDEX DATABASE CONCURRENTLY %I', current_database()) AS reindex_database \gset
:reindex_database;
SET client_min_messages = warning;
SELECT * FROM key_indexes();
SELECT * FROM exact();

-- CLUSTER: by an index that is named, by the one that is marked, all tables at once.
CLUSTER rows USING rows_key;
SELECT * FROM key_indexes();
SELECT * FROM exact();
ALTER TABLE rows CLUSTER ON rows_grp;
CLUSTER rows;
SELECT * FROM exact();
CLUSTER (VERBOSE off) rows USING rows_at;
CLUSTER;
SELECT * FROM key_indexes();
SELECT * FROM exact();
SELECT refresh_streams('maintenance');
SELECT * FROM exact();
ALTER TABLE rows SET WITHOUT CLUSTER;
CLUSTER rows USING rows_pgstream_key;

-- VACUUM with all its options, ANALYZE.
VACUUM rows;
SELECT * FROM exact();
VACUUM (FULL, ANALYZE, SKIP_LOCKED) sums, rows, best;
SELECT * FROM key_indexes();
SELECT * FROM exact();
SELECT refresh_streams('maintenance');
SELECT * FROM exact();
VACUUM (FREEZE, DISABLE_PAGE_SKIPPING, INDEX_CLEANUP ON, PARALLEL 2, PROCESS_TOAST, TRUNCATE) rows, sums;
SELECT * FROM exact();
VACUUM (INDEX_CLEANUP OFF, TRUNCATE OFF, PROCESS_TOAST OFF, ANALYZE) rows (id, note);
SELECT * FROM exact();

-- Statistics are those of the base: what is pending counts when it has been folded. The planner adds what its last read added.
SELECT refresh_streams('maintenance');
ANALYZE rows;
SELECT reltuples = (SELECT count(*) FROM rows) AS base_is_all FROM pg_class WHERE oid = 'rows'::regclass;
INSERT INTO src SELECT 5000 + i, 3, i, 'bulk' FROM generate_series(1, 300) i;
ANALYZE rows;
SELECT (SELECT count(*) FROM rows) - reltuples AS pending FROM pg_class WHERE oid = 'rows'::regclass;
SELECT count(*) FROM pg_stats WHERE schemaname = 'maintenance' AND tablename = 'rows' AND most_common_vals::text ~ 'bulk';
SELECT pgstream.refresh_stream_table('rows');
ANALYZE rows (note), rows (grp);
SELECT count(*) FROM pg_stats WHERE schemaname = 'maintenance' AND tablename = 'rows' AND most_common_vals::text ~ 'bulk';
CREATE STATISTICS rows_ndistinct (ndistinct, dependencies, mcv) ON grp, note FROM rows;
CREATE STATISTICS rows_expression ON (val * 3) FROM rows;
ALTER STATISTICS rows_ndistinct SET STATISTICS 60;
ALTER STATISTICS rows_expression RENAME TO rows_thrice;
ANALYZE rows;
SELECT count(*) FROM pg_stats_ext WHERE schemaname = 'maintenance';
SELECT count(*) FROM pg_stats_ext_exprs WHERE schemaname = 'maintenance';
SELECT * FROM exact();
DROP STATISTICS rows_thrice;

-- Storage.
ALTER TABLE rows SET (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off, parallel_workers = 2, user_catalog_table = false);
ALTER TABLE rows RESET (parallel_workers, toast.autovacuum_enabled);
ALTER TABLE rows ALTER COLUMN note SET STORAGE EXTERNAL, ALTER COLUMN note SET STATISTICS 200, ALTER COLUMN note SET (n_distinct = 50), ALTER COLUMN span SET COMPRESSION pglz;
ALTER TABLE rows ALTER COLUMN note RESET (n_distinct), ALTER COLUMN note SET STATISTICS -1;
INSERT INTO src SELECT 9000 + i, 4, i, repeat('long ', 3000) || i FROM generate_series(1, 5) i;
SELECT * FROM exact();
SELECT refresh_streams('maintenance');
UPDATE src SET val = -val WHERE id > 9000;
SELECT * FROM exact();
VACUUM (FULL) rows;
SELECT * FROM exact();
SELECT refresh_streams('maintenance');
SELECT * FROM exact();
DROP SCHEMA maintenance CASCADE;
DROP TABLESPACE regress_pgstream_space;
