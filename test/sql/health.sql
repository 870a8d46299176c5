-- The functions and views that tell how stream tables do, and who may see what.
SET client_min_messages = warning;
CREATE SCHEMA health;
SET search_path = health, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric);
INSERT INTO src SELECT i, i % 5, i FROM generate_series(1, 100) i;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE held USING pgstream WITH (refresh_mode = 'FULL', schedule = '2h') AS SELECT grp, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE later USING pgstream AS SELECT id, val FROM src WITH NO DATA;
CREATE TABLE clock USING pgstream AS SELECT id, now() - now() AS nothing FROM src;

-- Nothing is wrong, nothing is pending.
SELECT source_relid::regclass, source_table, cdc_mode, slot_name, lag_bytes, confirmed_lsn, alert FROM pgstream.check_cdc_health()
 WHERE source_relid = 'src'::regclass;
SELECT pgs_name, status, refresh_mode, schedule, is_populated, staleness < interval '1 min' AS young, stale, pending_changes,
       pending_bytes, refreshes, failures, last_action
  FROM pgstream.pg_stat_stream_tables WHERE pgs_schema = 'health' ORDER BY pgs_id;
-- Pending: rows inserted and deleted count once, updated ones twice.
INSERT INTO src SELECT i, i % 5, i FROM generate_series(101, 110) i;
UPDATE src SET val = val + 1 WHERE id <= 3;
DELETE FROM src WHERE id = 50;
SELECT pgs_name, pending_changes, pending_bytes > 0 AS bytes FROM pgstream.pg_stat_stream_tables WHERE pgs_schema = 'health' ORDER BY pgs_id;
SELECT lag_bytes > 0 AS lags, alert FROM pgstream.check_cdc_health() WHERE source_table = 'src';
BEGIN;
INSERT INTO src VALUES (200, 1, 1);
SELECT changes FROM pgstream.pending_changes('sums');
ROLLBACK;
SELECT changes FROM pgstream.pending_changes('sums');
-- The content is exact all the same; one that holds its last refresh differs by what changed since.
SELECT * FROM pgstream.verify('sums');
SELECT * FROM pgstream.verify('health.held');
SELECT * FROM pgstream.verify('later');
SELECT * FROM pgstream.verify('clock');
SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('held'), pgstream.refresh_stream_table('later');
SELECT * FROM pgstream.verify('held');
SELECT pgs_name, is_populated, pending_changes, refreshes, failures, rows_inserted, rows_deleted, average_ms > 0 AS took, last_action, last_status,
       last_refresh_at IS NOT NULL AS refreshed
  FROM pgstream.pg_stat_stream_tables WHERE pgs_schema = 'health' ORDER BY pgs_id;
-- As texts: a value that is equal but looks different is found.
CREATE TABLE digits (id int, val numeric);
INSERT INTO digits VALUES (1, 1.0), (1, 1.0), (2, NULL);
CREATE TABLE shown USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, val FROM digits;
UPDATE digits SET val = 1.00 WHERE ctid = '(0,1)';
SELECT * FROM pgstream.verify('shown');
-- A column by the name that verify() gives the rows is not all there is of them.
CREATE TABLE counter (row_ int, n int);
INSERT INTO counter VALUES (1, 1);
CREATE TABLE rows_held USING pgstream WITH (refresh_mode = 'FULL') AS SELECT row_, n FROM counter;
UPDATE counter SET n = 2;
SELECT * FROM pgstream.verify('rows_held');
DROP TABLE rows_held, counter;
-- A schedule that has passed.
SET allow_system_table_mods = on;
UPDATE pgstream.pgs_frontier SET data_timestamp = data_timestamp - interval '61 min' WHERE pgs_relid IN ('sums'::regclass, 'held'::regclass);
RESET allow_system_table_mods;
SELECT pgs_name, stale, staleness > interval '1 hour' AS old FROM pgstream.stream_tables_info WHERE pgs_schema = 'health' ORDER BY pgs_id;
SELECT pgstream.get_staleness('sums') > interval '1 hour' AS old, pgstream.get_staleness('health.later') < interval '1 min' AS young;
SELECT pgstream.schedule_passed('@hourly', now() - interval '1 hour'), pgstream.schedule_passed('1h', now()), pgstream.schedule_passed('calculated', now() - interval '1 year');
SELECT name, status, refresh_mode, is_populated, consecutive_errors, schedule, data_timestamp IS NOT NULL AS dated, staleness IS NOT NULL AS aged
  FROM pgstream.pgs_status() WHERE name ~ '^(sums|held|later|clock|shown)$';
SELECT pgstream.get_staleness('src');
SELECT pgstream.get_staleness('nothing');
SELECT pgstream.verify('src');
-- Triggers that somebody has disabled.
ALTER TABLE src DISABLE TRIGGER ALL;
SELECT alert FROM pgstream.check_cdc_health() WHERE source_table = 'src';
INSERT INTO src VALUES (300, 3, 3);
SELECT * FROM pgstream.verify('sums');
ALTER TABLE src ENABLE TRIGGER ALL;
SELECT alert FROM pgstream.check_cdc_health() WHERE source_table = 'src';
SELECT * FROM pgstream.verify('sums');

-- Anybody sees how stream tables do; what they hold only who may read them, and their log nobody.
CREATE ROLE health_user;
SET SESSION AUTHORIZATION health_user;
SELECT source_table FROM pgstream.check_cdc_health() WHERE source_relid = (SELECT oid FROM pg_class WHERE relname = 'src' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'health'));
SELECT pgs_name, pending_changes FROM pgstream.pg_stat_stream_tables WHERE pgs_schema = 'health' ORDER BY pgs_id;
SELECT count(*) FROM pgstream.pgs_status() WHERE name ~ '^health';
SELECT pgstream.verify('health.sums');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA health TO health_user;
SET SESSION AUTHORIZATION health_user;
SELECT pgstream.verify('health.sums');
SELECT * FROM health.sums;
SELECT n >= 0 AS never FROM (SELECT count(*) AS n FROM pgstream.pgs_log) x;
DO $$
BEGIN
  EXECUTE format('SELECT * FROM %s', (SELECT segments[1]::regclass FROM pgstream.pgs_log LIMIT 1));
EXCEPTION WHEN insufficient_privilege THEN
  RAISE WARNING 'the log is not for reading';
END $$;
RESET SESSION AUTHORIZATION;
REVOKE USAGE ON SCHEMA health FROM health_user;
DROP ROLE health_user;

-- Every object has its comment.
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'pgstream'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL;
SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'pgstream'::regnamespace AND relkind IN ('r', 'v')
   AND relname !~ '^log_' AND obj_description(oid, 'pg_class') IS NULL;
-- An extension that nothing uses yet.
SELECT source_table FROM pgstream.check_cdc_health() WHERE source_table LIKE 'nothing%';
DROP SCHEMA health CASCADE;
