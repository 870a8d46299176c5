-- Refresh folds: in one transaction, without changing an answer, and writing nothing where nothing is pending.
SET client_min_messages = warning;
CREATE SCHEMA fold;
SET search_path = fold, public;
-- What EXPLAIN says of a read: strategy and numbers, without times.
CREATE FUNCTION merge_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text; in_summary boolean := false;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
    in_summary := in_summary OR line LIKE 'Stream Table:%';
    CONTINUE WHEN NOT in_summary OR line LIKE '%Time:%' OR line LIKE '%Age:%';
    RETURN NEXT line;
  END LOOP;
END $$;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, note text);
INSERT INTO src SELECT i, i % 10, i * 1.25, 'n' || i FROM generate_series(1, 1000) i;
CREATE TABLE sums USING pgstream WITH (fillfactor = 50) AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE picks USING pgstream AS SELECT id, note FROM src WHERE val > 1000;
CREATE UNIQUE INDEX sums_grp ON sums (grp);
SELECT merge_of('SELECT * FROM sums');

-- Pending, then folded: the same answer, and nothing pending any more.
INSERT INTO src VALUES (2001, 3, 7.5, 'new'), (2002, 99, 0.001, 'new group');
UPDATE src SET val = val + 1 WHERE id <= 3;
DELETE FROM src WHERE grp = 7;
SELECT merge_of('SELECT * FROM sums');
SELECT differences('sums'), differences('picks');
SELECT pgstream.refresh_stream_table('sums');
SELECT merge_of('SELECT * FROM sums');
SELECT differences('sums'), differences('picks');
SELECT pgstream.refresh_stream_table('picks');
SELECT differences('sums'), differences('picks');
SELECT action, status, rows_inserted, rows_deleted, error_message FROM pgstream.get_refresh_history('sums');
-- The indexes know the folded rows.
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM sums WHERE grp = 99;
SELECT * FROM sums WHERE grp = 99;
SELECT * FROM sums WHERE grp = 7;
RESET enable_seqscan;

-- Nothing pending: no row is written but the frontier's, for its time.
BEGIN;
SELECT pgstream.refresh_stream_table('sums');
SELECT c.relname, count(w.*) AS written FROM (VALUES ('sums'), ('pgs_stream'), ('pgs_refresh_history'), ('pgs_dependency'), ('pgs_log'), ('pgs_frontier')) c (relname)
  LEFT JOIN (SELECT 'sums', xmin FROM sums UNION ALL SELECT 'pgs_stream', xmin FROM pgstream.pgs_stream
    UNION ALL SELECT 'pgs_refresh_history', xmin FROM pgstream.pgs_refresh_history UNION ALL SELECT 'pgs_dependency', xmin FROM pgstream.pgs_dependency
    UNION ALL SELECT 'pgs_log', xmin FROM pgstream.pgs_log UNION ALL SELECT 'pgs_frontier', xmin FROM pgstream.pgs_frontier) w (relname, xmin)
    ON w.relname = c.relname AND w.xmin = pg_current_xact_id_if_assigned()::xid
 GROUP BY c.relname ORDER BY c.relname;
COMMIT;

-- Heap-only updates where the page has room and no indexed column changes. What earlier transactions counted is sent off first.
SELECT pg_stat_force_next_flush();
BEGIN;
UPDATE src SET val = val + 1 WHERE id <= 5;
SELECT pgstream.refresh_stream_table('sums');
SELECT pg_stat_get_xact_tuples_updated('sums'::regclass) AS updated, pg_stat_get_xact_tuples_hot_updated('sums'::regclass) AS hot;
COMMIT;
SELECT differences('sums');

-- Inside a transaction that writes the sources itself, before and after the fold, with savepoints.
BEGIN;
INSERT INTO src VALUES (3001, 1, 10, 'a');
SELECT pgstream.refresh_stream_table('sums');
SELECT differences('sums');
INSERT INTO src VALUES (3002, 1, 20, 'b');
SELECT differences('sums');
SAVEPOINT s;
DELETE FROM src WHERE grp = 1;
SELECT pgstream.refresh_stream_table('sums');
SELECT differences('sums');
INSERT INTO src VALUES (3003, 1, 30, 'c');
SELECT differences('sums');
ROLLBACK TO s;
SELECT differences('sums');
SELECT pgstream.refresh_stream_table('sums');
SELECT differences('sums');
UPDATE src SET val = 0 WHERE id = 3002;
SELECT differences('sums');
COMMIT;
SELECT differences('sums');
SELECT pgstream.refresh_stream_table('sums');
SELECT differences('sums');
BEGIN;
INSERT INTO src VALUES (3010, 2, 10, 'd');
SELECT pgstream.refresh_stream_table('sums');
ROLLBACK;
SELECT differences('sums');

-- Several changes of one row, and rows that come and go, cancel.
BEGIN;
UPDATE src SET val = val * 2 WHERE id = 10;
UPDATE src SET val = val / 2 WHERE id = 10;
INSERT INTO src VALUES (4001, 500, 1, 'x');
DELETE FROM src WHERE id = 4001;
SELECT differences('sums');
COMMIT;
SELECT differences('sums');

-- Under REPEATABLE READ a fold uses the transaction's snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO src VALUES (4002, 4, 1, 'x');
SELECT differences('sums');
SELECT pgstream.refresh_stream_table('sums');
SELECT differences('sums');
COMMIT;
SELECT differences('sums');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM src;
CREATE TABLE src_late (a int);
CREATE TABLE late USING pgstream AS SELECT count(*) AS n FROM src_late;
SELECT * FROM late;
SELECT pgstream.refresh_stream_table('late');
ROLLBACK;

-- TRUNCATE: the query answers until the fold, with its reason.
TRUNCATE src;
INSERT INTO src VALUES (1, 1, 1.5, 'after');
SELECT merge_of('SELECT * FROM sums');
SELECT differences('sums'), differences('picks');
BEGIN;
INSERT INTO src VALUES (2, 1, 2.5, 'before');
TRUNCATE src;
INSERT INTO src VALUES (3, 1, 3.50, 'between');
SELECT differences('sums');
ROLLBACK;
SELECT pgstream.refresh_stream_table('sums');
SELECT merge_of('SELECT * FROM sums');
INSERT INTO src VALUES (5, 1, 1.25, 'more');
SELECT merge_of('SELECT * FROM sums');
SELECT differences('sums'), differences('picks');

-- An error of the query: a reader gets it, a refresh fails whole, nothing is lost.
CREATE TABLE ratio USING pgstream AS SELECT id, 100 / id AS r FROM src;
INSERT INTO src VALUES (0, 0, 0, 'zero');
SELECT * FROM ratio;
SELECT pgstream.refresh_stream_table('ratio');
UPDATE src SET id = 10 WHERE id = 0;
SELECT differences('ratio');
SELECT pgstream.refresh_stream_table('ratio');
SELECT differences('ratio');

-- A user's unique index meets rows that swap their values.
CREATE UNIQUE INDEX ON ratio (r);
BEGIN;
UPDATE src SET id = -id;
SELECT pgstream.refresh_stream_table('ratio');
SELECT differences('ratio');
COMMIT;
DROP INDEX ratio_r_idx;

-- Without data: reads recompute, the first refresh populates.
CREATE TABLE later USING pgstream AS SELECT grp, count(*) AS n FROM src GROUP BY grp WITH NO DATA;
SELECT merge_of('SELECT * FROM later');
SELECT differences('later');
SELECT pgstream.refresh_stream_table('later');
INSERT INTO src VALUES (77, 7, 7, 'seven');
SELECT merge_of('SELECT * FROM later');
SELECT differences('later');

-- The log goes when every consumer has folded: at the next refresh.
INSERT INTO src SELECT i, i % 5, 1, 'bulk' FROM generate_series(100000, 140000) i;
SELECT pgstream.refresh_stream_table(s) FROM unnest(ARRAY['sums', 'picks', 'ratio', 'later']) s;
SELECT sum(pg_relation_size(c.oid)) > 100000 AS filled FROM pgstream.pgs_log l, pg_class c WHERE l.source_relid = 'src'::regclass AND c.oid = ANY (l.segments);
SELECT pgstream.refresh_stream_table('sums');
SELECT sum(pg_relation_size(c.oid)) FROM pgstream.pgs_log l, pg_class c WHERE l.source_relid = 'src'::regclass AND c.oid = ANY (l.segments);
SELECT differences('sums'), differences('picks'), differences('ratio'), differences('later');

-- Memory is bounded: more pending than hash_mem recomputes, spilling what it must, and says so.
SET work_mem = '64kB';
UPDATE src SET val = val + 2000;
SELECT merge_of('SELECT count(*) FROM picks');
SELECT differences('sums'), differences('picks');
SELECT pgstream.refresh_stream_table('sums');
RESET work_mem;
SELECT differences('sums'), differences('picks');

-- Empty it all.
DELETE FROM src;
SELECT differences('sums'), differences('picks'), differences('ratio'), differences('later');
SELECT count(*) FROM sums;
SELECT pgstream.refresh_stream_table(s) FROM unnest(ARRAY['sums', 'picks', 'ratio', 'later']) s;
SELECT differences('sums'), differences('picks'), differences('ratio'), differences('later');
DROP SCHEMA fold CASCADE;
