-- Refreshes that fail leave a trace although their transaction rolls back, and an empty one makes the stored rows fresh.
SET client_min_messages = warning;
CREATE SCHEMA refresh_errors;
SET search_path = refresh_errors, public;
CREATE TABLE src (id int PRIMARY KEY, divisor int);
INSERT INTO src VALUES (1, 1), (2, 2);
CREATE TABLE st USING pgstream AS SELECT id, 100 / divisor AS share FROM src;
CREATE TABLE held USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, 100 / divisor AS share FROM src;
CREATE VIEW history AS SELECT h.refresh_id IS NOT NULL AS written, h.action, h.status, h.rows_inserted, h.data_timestamp IS NOT NULL AS dated,
       h.duration_ms >= 0 AND h.end_time >= h.start_time AS timed, h.error_message FROM pgstream.get_refresh_history('refresh_errors.st') h;
CREATE VIEW state AS SELECT pgs_name, status, consecutive_errors, refreshes, failures, last_action, last_status, last_error
  FROM pgstream.pg_stat_stream_tables WHERE pgs_schema = 'refresh_errors' ORDER BY pgs_id;
SELECT pgstream.get_staleness('st') >= interval '0' AS never_negative;

-- It fails, and fails again; reads raise the same.
INSERT INTO src VALUES (3, 0);
SELECT * FROM st;
SELECT pgstream.refresh_stream_table('st');
SELECT * FROM history;
SELECT pgstream.refresh_stream_table('st');
SELECT pgstream.refresh_stream_table('held');
SELECT * FROM state;
SELECT name, consecutive_errors FROM pgstream.pgs_status() WHERE name IN ('st', 'held');
-- A savepoint is rolled back, and the failure remains; so it does after the transaction's.
BEGIN;
SAVEPOINT a;
SELECT pgstream.refresh_stream_table('st');
ROLLBACK TO a;
SELECT pgs_name, consecutive_errors, last_status FROM state;
ROLLBACK;
SELECT pgstream.consecutive_errors('st');
-- A refresh that succeeds and is rolled back is none.
DELETE FROM src WHERE id = 3;
BEGIN;
SELECT pgstream.refresh_stream_table('st');
SELECT pgstream.refresh_stream_table('st');
SELECT * FROM history;
SELECT pgstream.consecutive_errors('st');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT pgstream.refresh_stream_table('st');
ROLLBACK TO a;
COMMIT;
SELECT pgs_name, consecutive_errors, failures FROM state;
-- One that commits writes the others into the history.
SELECT pgstream.refresh_stream_table('st');
SELECT * FROM history;
SELECT * FROM state WHERE pgs_name = 'st';
SELECT count(*) FROM pgstream.failed_refreshes() WHERE pgs_relid = 'st'::regclass;
-- So does one that finds nothing to do.
INSERT INTO src VALUES (3, 0);
SELECT pgstream.refresh_stream_table('st');
DELETE FROM src WHERE id = 3;
SELECT pgstream.refresh_stream_table('st');
INSERT INTO src VALUES (4, 0);
SELECT pgstream.refresh_stream_table('st');
SELECT pgstream.consecutive_errors('st');
DELETE FROM src WHERE id = 4;
SELECT pgstream.refresh_stream_table('st');
SELECT pgstream.consecutive_errors('st');
SELECT action, status, error_message FROM history LIMIT 3;
-- More than are kept: all are counted.
INSERT INTO src VALUES (3, 0);
DO $$
BEGIN
  FOR i IN 1..11 LOOP
    BEGIN
      PERFORM pgstream.refresh_stream_table('st');
      RAISE 'refreshed';
    EXCEPTION WHEN division_by_zero THEN
    END;
  END LOOP;
END $$;
SELECT pgstream.consecutive_errors('st'), (SELECT count(*) FROM pgstream.failed_refreshes() WHERE pgs_relid = 'st'::regclass) AS kept;
-- Cancelled, by a timeout here, is failed as well.
CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(0.05 * $1); RETURN $1; END $$;
CREATE TABLE slow_st USING pgstream AS SELECT id, slow(divisor) AS slow FROM src;
INSERT INTO src VALUES (100, 1000);
SET statement_timeout = '100ms';
SELECT pgstream.refresh_stream_table('slow_st');
RESET statement_timeout;
SELECT action, status, error_message FROM pgstream.get_refresh_history('slow_st');

-- Who may not refresh leaves nothing, and sees that something failed, but not why: a message may quote data.
CREATE ROLE errors_other;
CREATE ROLE errors_owner;
CREATE ROLE errors_monitor IN ROLE pg_read_all_stats;
GRANT USAGE ON SCHEMA refresh_errors TO PUBLIC;
GRANT SELECT ON src TO errors_owner;
ALTER TABLE slow_st OWNER TO errors_owner;
SET ROLE errors_other;
SELECT pgstream.refresh_stream_table('slow_st');
SELECT action, status, error_message FROM pgstream.get_refresh_history('slow_st');
SELECT consecutive_errors, last_status, last_error FROM pgstream.pg_stat_stream_tables WHERE pgs_relid = 'slow_st'::regclass;
SELECT count(error_message) FROM pgstream.failed_refreshes();
SELECT status, count(error_message) FROM pgstream.get_refresh_history('st') GROUP BY status ORDER BY status;
SELECT error_message FROM pgstream.pgs_refresh_history;
SELECT count(*) > 0 AS some FROM (SELECT action, status FROM pgstream.pgs_refresh_history) h;
SET ROLE errors_owner;
SELECT action, status, error_message FROM pgstream.get_refresh_history('slow_st');
SET ROLE errors_monitor;
SELECT action, status, error_message FROM pgstream.get_refresh_history('slow_st');
RESET ROLE;
REVOKE USAGE ON SCHEMA refresh_errors FROM PUBLIC;
-- A dropped one leaves nothing.
SELECT count(*) FROM pgstream.failed_refreshes() WHERE pgs_relid = 'slow_st'::regclass;
BEGIN;
DROP TABLE slow_st;
ROLLBACK;
SELECT count(*) FROM pgstream.failed_refreshes() WHERE pgs_relid = 'slow_st'::regclass;
SELECT 'slow_st'::regclass::oid AS slow_st \gset
DROP TABLE slow_st;
SELECT count(*) FROM pgstream.failed_refreshes() WHERE pgs_relid = :slow_st;
DROP OWNED BY errors_owner;
DROP ROLE errors_other, errors_owner, errors_monitor;

-- An empty refresh is a fold of nothing: the stored rows are as of now.
DELETE FROM src WHERE id >= 3;
SELECT pgstream.refresh_stream_table('st');
CREATE TABLE before_it AS SELECT f.*, s.last_refresh_at FROM pgstream.pgs_frontier f JOIN pgstream.pgs_stream s USING (pgs_relid) WHERE pgs_relid = 'st'::regclass;
SELECT pgstream.refresh_stream_table('st');
SELECT f.data_timestamp > b.data_timestamp AS fresher, f.fold_number = b.fold_number + 1 AS next_fold,
       s.last_refresh_at = b.last_refresh_at AS same_refresh
  FROM before_it b JOIN pgstream.pgs_frontier f USING (pgs_relid) JOIN pgstream.pgs_stream s USING (pgs_relid);
-- As of when its snapshot was taken: a transaction that began before sets it back by nothing.
UPDATE before_it SET data_timestamp = (SELECT data_timestamp FROM pgstream.pgs_frontier WHERE pgs_relid = 'st'::regclass);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pgstream.refresh_stream_table('st');
SELECT f.data_timestamp = now() AS at_its_begin, f.data_timestamp > b.data_timestamp AS fresher
  FROM before_it b JOIN pgstream.pgs_frontier f USING (pgs_relid);
ROLLBACK;
-- One that folds notes the same time in history and frontier.
INSERT INTO src VALUES (5, 5);
SELECT pgstream.refresh_stream_table('st');
SELECT h.data_timestamp = f.data_timestamp AS same, h.data_timestamp BETWEEN h.start_time AND h.end_time AS within
  FROM pgstream.get_refresh_history('st', 1) h, pgstream.pgs_frontier f WHERE f.pgs_relid = 'st'::regclass;
SELECT * FROM st ORDER BY id;
SELECT * FROM pgstream.verify('st');
DROP SCHEMA refresh_errors CASCADE;
