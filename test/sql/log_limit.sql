-- A change log past pgstream.max_log_size is given up: who lags answers by its query until it is refreshed.
SET client_min_messages = warning;
CREATE SCHEMA log_limit;
SET search_path = log_limit, public;
-- What EXPLAIN says of a read: strategy and reason.
CREATE FUNCTION merge_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
    IF line ~ 'Strategy:|Reason:|Pending Changes:' THEN RETURN NEXT line; END IF;
  END LOOP;
END $$;
-- Which consumers a log has given up, whether it is written, and whether it is empty.
CREATE FUNCTION log_of(source regclass, OUT cut_off text, OUT written boolean, OUT empty boolean) LANGUAGE sql AS $$
  SELECT (SELECT string_agg(c.relname, ', ' ORDER BY c.relname)
            FROM pgstream.pgs_dependency d JOIN pgstream.pgs_frontier f USING (pgs_relid) JOIN pg_class c ON c.oid = d.pgs_relid
           WHERE d.source_relid = source AND f.fold_number < d.log_start),
         l.captured_by <> '0', (SELECT sum(pg_relation_size(s)) = 0 FROM unnest(l.segments) s)
    FROM pgstream.pgs_log l WHERE l.source_relid = source $$;
CREATE FUNCTION alert_of(source regclass) RETURNS text LANGUAGE sql AS $$
  SELECT regexp_replace(alert, '[0-9]+ kB', 'N kB', 'g') FROM pgstream.check_cdc_health() WHERE source_relid = source $$;

-- One refreshed, one that lags: the second is cut off, the first goes on.
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric);
INSERT INTO src SELECT i, i % 10, i + 0.123456789 FROM generate_series(1, 1000) i;
CREATE TABLE fresh USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE lags USING pgstream AS SELECT id, val FROM src WHERE grp < 3;
INSERT INTO src SELECT i, i % 10, i + 0.123456789 FROM generate_series(2001, 6000) i;
SELECT pgstream.refresh_stream_table('fresh');
SELECT alert_of('src'), log_of('src');
SET pgstream.max_log_size = '80kB';
SELECT alert_of('src');
INSERT INTO src SELECT i, i % 10, i + 0.123456789 FROM generate_series(6001, 6200) i;
SELECT merge_of('SELECT * FROM lags');
INSERT INTO src SELECT i, i % 10, i + 0.123456789 FROM generate_series(6201, 8500) i;
SELECT log_of('src');
SELECT merge_of('SELECT * FROM fresh');
SELECT merge_of('SELECT * FROM lags');
SELECT alert_of('src');
SELECT pgstream.verify('fresh') AS fresh, pgstream.verify('lags') AS lags;
-- What it lacks no longer keeps the log: two refreshes of the other, and the log is empty.
SELECT pgstream.refresh_stream_table('fresh');
SELECT pgstream.refresh_stream_table('fresh');
SELECT log_of('src');
INSERT INTO src VALUES (10001, 1, 0.5);
SELECT pgstream.verify('fresh') AS fresh, pgstream.verify('lags') AS lags;
-- Rebuilt, it is maintained again.
SELECT pgstream.refresh_stream_table('lags');
SELECT action FROM pgstream.get_refresh_history('lags', 1);
INSERT INTO src VALUES (10002, 1, 0.25);
SELECT merge_of('SELECT * FROM lags');
SELECT pgstream.verify('fresh') AS fresh, pgstream.verify('lags') AS lags;
SELECT alert_of('src'), log_of('src');

-- Nobody is refreshed: the log is emptied and writers write it no more, whatever they do.
CREATE TABLE alone (id int PRIMARY KEY, grp int, val text);
CREATE TABLE onlyone USING pgstream AS SELECT grp, count(*) AS n, max(val) AS last FROM alone GROUP BY grp;
INSERT INTO alone SELECT i, i % 7, repeat('x', i % 60) FROM generate_series(1, 1500) i;
SELECT merge_of('SELECT * FROM onlyone');
INSERT INTO alone SELECT i, i % 7, repeat('x', i % 60) FROM generate_series(1501, 3000) i;
SELECT log_of('alone');
SELECT merge_of('SELECT * FROM onlyone');
SELECT pgstream.verify('onlyone');
INSERT INTO alone SELECT i, i % 7, repeat('y', i % 60) FROM generate_series(3001, 9000) i;
UPDATE alone SET val = val || 'z' WHERE id % 3 = 0;
DELETE FROM alone WHERE id % 11 = 0;
SELECT log_of('alone');
SELECT alert_of('alone');
SELECT pgstream.verify('onlyone');
SELECT changes IS NULL AS unknown FROM pgstream.pending_changes('onlyone');
-- Several at once come back, one by one; and a new one too.
CREATE TABLE more USING pgstream AS SELECT id, val FROM alone WHERE grp = 2;
SELECT log_of('alone');
UPDATE alone SET grp = 2 WHERE id BETWEEN 100 AND 120;
SELECT merge_of('SELECT * FROM more');
SELECT merge_of('SELECT * FROM onlyone');
SELECT pgstream.verify('onlyone') AS onlyone, pgstream.verify('more') AS more;
SELECT pgstream.refresh_stream_table('onlyone');
UPDATE alone SET grp = 3 WHERE id BETWEEN 100 AND 110;
SELECT merge_of('SELECT * FROM onlyone');
SELECT pgstream.verify('onlyone') AS onlyone, pgstream.verify('more') AS more;
SELECT alert_of('alone'), log_of('alone');
DROP TABLE more;

-- Identifiers so far apart that each takes its 8 bytes of the log.
\set apart 1000000007::bigint
-- Refreshing under a transaction's snapshot attaches first, and computes in the next.
CREATE TABLE rr_src (id bigint, val int);
CREATE TABLE rr USING pgstream AS SELECT val, count(*) AS n, sum(id) AS s FROM rr_src GROUP BY val;
INSERT INTO rr_src SELECT i * :apart, i % 3 FROM generate_series(1, 18000) i;
SELECT log_of('rr_src');
SET client_min_messages = notice;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pgstream.refresh_stream_table('rr');
COMMIT;
SELECT log_of('rr_src');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pgstream.refresh_stream_table('rr');
COMMIT;
SET client_min_messages = warning;
INSERT INTO rr_src VALUES (0, 1), (0, 5);
SELECT merge_of('SELECT * FROM rr');
SELECT pgstream.verify('rr');

-- One transaction alone passes the limit: from there on it writes "recompute" and no more. A rollback to a savepoint takes
-- that word back; a fold amid the transaction needs it said again.
CREATE TABLE bulk (id bigint, val int);
CREATE TABLE sums USING pgstream AS SELECT val, count(*) AS n, sum(id) AS s FROM bulk GROUP BY val;
BEGIN;
INSERT INTO bulk SELECT i * :apart, i % 5 FROM generate_series(1, 12000) i;
SAVEPOINT s;
INSERT INTO bulk SELECT i * :apart, i % 5 FROM generate_series(12001, 14000) i;
SELECT pgstream.verify('sums');
ROLLBACK TO s;
SELECT pgstream.verify('sums');
SELECT merge_of('SELECT * FROM sums');
INSERT INTO bulk SELECT i * :apart, i % 5 FROM generate_series(14001, 14500) i;
SELECT pgstream.verify('sums');
SELECT merge_of('SELECT * FROM sums');
SELECT pgstream.refresh_stream_table('sums');
SELECT merge_of('SELECT * FROM sums');
INSERT INTO bulk SELECT i * :apart, i % 5 FROM generate_series(14501, 14600) i;
DELETE FROM bulk WHERE id < 50 * :apart;
SELECT merge_of('SELECT * FROM sums');
SELECT pgstream.verify('sums');
COMMIT;
SELECT pgstream.verify('sums');
SELECT pgstream.refresh_stream_table('sums');
INSERT INTO bulk VALUES (0, 0);
SELECT merge_of('SELECT * FROM sums');
SELECT pgstream.verify('sums');

-- What is rolled back has cut off nobody.
CREATE TABLE undone (id bigint, val int);
CREATE TABLE kept USING pgstream AS SELECT val, count(*) AS n, sum(id) AS s FROM undone GROUP BY val;
BEGIN;
INSERT INTO undone SELECT i * :apart, i % 5 FROM generate_series(1, 12000) i;
ROLLBACK;
SELECT log_of('undone');
SELECT merge_of('SELECT * FROM kept');
-- But what it wrote takes space until the log is emptied, as a refresh does first of all.
SELECT pgstream.refresh_stream_table('kept');
SELECT log_of('undone');
INSERT INTO undone VALUES (1, 1);
SELECT merge_of('SELECT * FROM kept');
SELECT pgstream.verify('kept');
-- Without a limit nothing is given up; a table that was never populated holds nothing.
SET pgstream.max_log_size = -1;
CREATE TABLE free (id bigint, val int);
CREATE TABLE never USING pgstream AS SELECT val, count(*) AS n FROM free GROUP BY val WITH NO DATA;
CREATE TABLE slow USING pgstream AS SELECT val, sum(id) AS s, count(*) AS n FROM free GROUP BY val;
INSERT INTO free SELECT i * :apart, i % 5 FROM generate_series(1, 12000) i;
SELECT alert_of('free'), log_of('free');
SELECT merge_of('SELECT * FROM slow');
SET pgstream.max_log_size = '80kB';
SELECT alert_of('free');
SELECT log_of('free');
SELECT pgstream.verify('never') AS never, pgstream.verify('slow') AS slow;
SELECT pgstream.refresh_stream_table('never');
SELECT pgstream.refresh_stream_table('slow');
INSERT INTO free VALUES (7, 8);
SELECT merge_of('SELECT * FROM slow');
SELECT merge_of('SELECT * FROM never');
SELECT pgstream.verify('never') AS never, pgstream.verify('slow') AS slow;
-- Rows too large for a page lie in the TOAST table, which counts.
CREATE TABLE wide (id int, val text);
ALTER TABLE wide ALTER val SET STORAGE EXTERNAL;
CREATE TABLE widest USING pgstream AS SELECT id, length(val) AS l FROM wide;
INSERT INTO wide SELECT i, (SELECT string_agg(md5((i * 1000 + k)::text), '') FROM generate_series(1, 600) k) FROM generate_series(1, 3) i;
SELECT merge_of('SELECT * FROM widest');
INSERT INTO wide SELECT i, (SELECT string_agg(md5((i * 1000 + k)::text), '') FROM generate_series(1, 600) k) FROM generate_series(4, 12) i;
SELECT alert_of('wide');
SELECT log_of('wide');
SELECT pgstream.verify('widest');
SELECT pgstream.refresh_stream_table('widest');
INSERT INTO wide VALUES (0, 'w');
SELECT merge_of('SELECT * FROM widest');
SELECT pgstream.verify('widest');
-- A tree of partitions, captured by row.
CREATE TABLE tree (id bigint, val int) PARTITION BY RANGE (id);
CREATE TABLE tree_low PARTITION OF tree FOR VALUES FROM (MINVALUE) TO (5000 * :apart);
CREATE TABLE tree_high PARTITION OF tree FOR VALUES FROM (5000 * :apart) TO (MAXVALUE);
CREATE TABLE leaves USING pgstream AS SELECT val, count(*) AS n, sum(id) AS s FROM tree GROUP BY val;
INSERT INTO tree SELECT i * :apart, i % 4 FROM generate_series(1, 8000) i;
SELECT merge_of('SELECT * FROM leaves');
INSERT INTO tree SELECT i * :apart, i % 4 FROM generate_series(8001, 12000) i;
SELECT log_of('tree');
UPDATE tree SET id = id + 3000 * :apart WHERE id BETWEEN 3000 * :apart AND 4000 * :apart;
DELETE FROM tree_high WHERE val = 3 AND id < 7000 * :apart;
SELECT log_of('tree');
SELECT alert_of('tree');
SELECT merge_of('SELECT * FROM leaves');
SELECT pgstream.verify('leaves');
SELECT pgstream.refresh_stream_table('leaves');
UPDATE tree SET id = id + 3000 * :apart WHERE id BETWEEN 4001 * :apart AND 4003 * :apart;
SELECT merge_of('SELECT * FROM leaves');
SELECT pgstream.verify('leaves');
SELECT alert_of('tree');
-- Only those who may set it.
CREATE ROLE limit_user;
SET SESSION AUTHORIZATION limit_user;
SET pgstream.max_log_size = 0;
RESET SESSION AUTHORIZATION;
DROP ROLE limit_user;
RESET pgstream.max_log_size;
DROP SCHEMA log_limit CASCADE;
