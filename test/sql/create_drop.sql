-- Creating and dropping: every spelling goes one way, bad input is refused, and nothing is left behind.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA cd;
SET search_path = cd, public;
CREATE TABLE src (id int PRIMARY KEY, grp text, val numeric);
INSERT INTO src SELECT i, 'g' || i % 3, i * 1.5 FROM generate_series(1, 30) i;

-- What is left of stream tables and capture, seen from outside.
CREATE FUNCTION leftovers() RETURNS TABLE (what text, n bigint) LANGUAGE sql AS $$
  SELECT 'streams', count(*) FROM pgstream.pgs_stream
  UNION ALL SELECT 'frontiers', count(*) FROM pgstream.pgs_frontier
  UNION ALL SELECT 'dependencies', count(*) FROM pgstream.pgs_dependency
  UNION ALL SELECT 'logs', count(*) FROM pgstream.pgs_log
  UNION ALL SELECT 'history', count(*) FROM pgstream.pgs_refresh_history
  UNION ALL SELECT 'log tables', count(*) FROM pg_class WHERE relnamespace = 'pgstream'::regnamespace AND relname LIKE 'log\_%' AND relkind = 'r'
  UNION ALL SELECT 'triggers', count(*) FROM pg_trigger WHERE tgfoid = 'pgstream.capture_changes'::regproc
$$;

-- The spellings.
CREATE TABLE a USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE b (g, t) USING pgstream WITH (schedule = '5m', refresh_mode = 'differential', fillfactor = 90) AS SELECT grp, sum(val) FROM src GROUP BY grp;
CREATE TABLE IF NOT EXISTS b USING pgstream AS SELECT 1 AS x;
CREATE TABLE c USING pgstream TABLESPACE pg_default AS SELECT id, val FROM src WHERE val > 20 WITH NO DATA;
SET default_table_access_method = pgstream;
CREATE TABLE d AS SELECT DISTINCT grp FROM src;
SELECT id, grp INTO e FROM src WHERE id < 5;
RESET default_table_access_method;
SELECT pgstream.create_stream_table('f', 'SELECT count(*) AS n FROM src');
SELECT pgstream.create_stream_table('cd."Odd Name"', 'SELECT max(val) AS m FROM src', schedule => '@hourly', initialize => false);
SELECT pgstream.create_stream_table('g', 'SELECT grp, random() > 2 AS r FROM src', NULL, 'FULL');
SELECT pgs_name, schedule, refresh_mode, status, is_populated FROM pgstream.pgs_stream_tables WHERE pgs_schema = 'cd' ORDER BY pgs_name COLLATE "C";
SELECT c.relname, c.reloptions, a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relname = 'b' AND relnamespace = 'cd'::regnamespace;
-- Where refreshes replace rows in place, pages have room for that.
CREATE TABLE b80 USING pgstream WITH (fillfactor = 80) AS SELECT grp, sum(val) AS total FROM src GROUP BY grp;
SELECT relname, reloptions FROM pg_class WHERE relname IN ('a', 'b80', 'c', 'd', 'f', 'g') AND relnamespace = 'cd'::regnamespace ORDER BY 1;
DROP TABLE b80;
SELECT r.relname, differences(r.oid) FROM pg_class r JOIN pg_am a ON a.oid = r.relam WHERE a.amname = 'pgstream' AND r.relnamespace = 'cd'::regnamespace AND relname <> 'g' ORDER BY 1;
INSERT INTO src VALUES (100, 'g1', 7.25), (101, NULL, 1.0);
SELECT r.relname, differences(r.oid) FROM pg_class r JOIN pg_am a ON a.oid = r.relam WHERE a.amname = 'pgstream' AND r.relnamespace = 'cd'::regnamespace AND relname <> 'g' ORDER BY 1;
SELECT count(*) FROM g;

-- Schedules are stored in one form.
CREATE TABLE s1 USING pgstream WITH (schedule = '90s') AS SELECT 1 AS x;
CREATE TABLE s2 USING pgstream WITH (schedule = '*/5 * * * *') AS SELECT 1 AS x;
CREATE TABLE s3 USING pgstream WITH (schedule = 'calculated') AS SELECT 1 AS x;
SELECT pgs_name, schedule FROM pgstream.pgs_stream_tables WHERE pgs_name IN ('s1', 's2', 's3') ORDER BY 1;
SET client_min_messages = notice;
CREATE TABLE s4 USING pgstream WITH (schedule = '@daily') AS SELECT 1 AS x;
SET client_min_messages = warning;

-- Refused, with what to do instead.
CREATE TABLE x USING pgstream WITH (shedule = '1m') AS SELECT 1 AS x;
CREATE TABLE x USING pgstream WITH (schedule = 'soon') AS SELECT 1 AS x;
CREATE TABLE x USING pgstream WITH (schedule = '0s') AS SELECT 1 AS x;
CREATE TABLE x USING pgstream WITH (schedule = '1m', schedule = '2m') AS SELECT 1 AS x;
CREATE TABLE x USING pgstream WITH (refresh_mode = 'sometimes') AS SELECT 1 AS x;
CREATE TABLE x USING pgstream WITH (fillfactor = 3) AS SELECT 1 AS x;
CREATE TABLE x (a int) USING pgstream;
CREATE TEMP TABLE x USING pgstream AS SELECT 1 AS x;
CREATE UNLOGGED TABLE x USING pgstream AS SELECT 1 AS x;
CREATE TEMP TABLE t (a int);
CREATE TABLE x USING pgstream AS SELECT * FROM t;
PREPARE p AS SELECT 1 AS x;
CREATE TABLE x USING pgstream AS EXECUTE p;
CREATE TABLE x USING pgstream AS WITH w AS (DELETE FROM src RETURNING *) SELECT * FROM w;
CREATE TABLE x USING pgstream AS SELECT id FROM src FOR UPDATE;
CREATE TABLE x USING pgstream AS SELECT id, random() FROM src;
DO $$ DECLARE v int := 5; BEGIN CREATE TABLE x USING pgstream AS SELECT id FROM src WHERE id > v; END $$;
EXPLAIN ANALYZE CREATE TABLE x USING pgstream AS SELECT 1 AS x;
CREATE MATERIALIZED VIEW x USING pgstream AS SELECT 1 AS x;
ALTER TABLE src SET ACCESS METHOD pgstream;
CREATE TABLE a USING pgstream AS SELECT 1 AS x;
CREATE TABLE x USING pgstream AS SELECT 1 / (id - id) AS boom FROM src;
SELECT pgstream.create_stream_table('x', 'DELETE FROM src');
SELECT pgstream.create_stream_table('x', 'SELECT 1; SELECT 2');
SELECT pgstream.create_stream_table('x', NULL);
SELECT pgstream.drop_stream_table('src');
SELECT pgstream.drop_stream_table('nowhere');
SELECT pgstream.refresh_stream_table('src');
ALTER TABLE a ADD COLUMN y int;
ALTER TABLE a DROP COLUMN n;
ALTER TABLE a ADD CHECK (n > 0);
INSERT INTO a VALUES ('x', 1, 1);
UPDATE a SET n = 0;
DELETE FROM a;
TRUNCATE a;
SELECT * FROM a FOR UPDATE;
COPY a FROM stdin;
\.
CREATE TRIGGER tr AFTER INSERT ON a EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT relname FROM pg_class WHERE relname = 'x' AND relnamespace = 'cd'::regnamespace;

-- Transactional, also to a savepoint.
BEGIN;
CREATE TABLE h USING pgstream AS SELECT grp, count(*) AS n FROM src GROUP BY grp;
INSERT INTO src VALUES (200, 'new', 1);
SELECT differences('h');
SAVEPOINT s;
CREATE TABLE i USING pgstream AS SELECT id FROM src;
DROP TABLE a;
ROLLBACK TO s;
SELECT differences('a');
ROLLBACK;
SELECT to_regclass('h'), to_regclass('i');
SELECT differences('a');

-- OLD and NEW are names in rules; a query may use them all the same.
CREATE TABLE new (k int, n float8);
CREATE TABLE old_and_new USING pgstream AS SELECT new.n, old.n AS m FROM new JOIN new old ON old.k = new.k + 1;
INSERT INTO new VALUES (1, 1.5), (2, 2.5);
SELECT * FROM old_and_new;
SELECT pgstream.defining_query('old_and_new');
-- Constants are kept without loss, whatever the session's output settings.
SET extra_float_digits = -10;
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Kolkata';
CREATE TABLE constants USING pgstream AS SELECT n * '1.2345678901234567'::float8 AS x,
  '03/04/2020 10:00'::timestamptz AS t FROM new;
RESET extra_float_digits;
RESET DateStyle;
RESET TimeZone;
SELECT x = n * '1.2345678901234567'::float8 AS x, t = '2020-04-03 10:00 +5:30' AS t FROM constants, new WHERE k = 1 AND x < 2;
DROP TABLE old_and_new, constants, new;

-- Nothing is left behind.
SELECT pgstream.drop_stream_table('f');
SELECT pgstream.drop_stream_table('"Odd Name"');
DROP TABLE a, b, c, d, e;
DROP TABLE g, s1, s2, s3, s4;
SELECT * FROM leftovers();
CREATE TABLE a USING pgstream AS SELECT grp, count(*) AS n FROM src GROUP BY grp;
DROP TABLE src;
DROP TABLE src CASCADE;
SELECT * FROM leftovers();
CREATE SCHEMA other;
CREATE TABLE other.src2 (a int, b int);
CREATE TABLE a USING pgstream AS SELECT a, sum(b) AS s FROM other.src2 GROUP BY a;
DROP SCHEMA other CASCADE;
SELECT to_regclass('a');
SELECT * FROM leftovers();
CREATE ROLE cd_owner;
GRANT ALL ON SCHEMA cd TO cd_owner;
CREATE TABLE src3 (a int, b int);
GRANT SELECT ON src3 TO cd_owner;
SET ROLE cd_owner;
CREATE TABLE o USING pgstream AS SELECT a, sum(b) AS s FROM src3 GROUP BY a;
RESET ROLE;
INSERT INTO src3 VALUES (1, 2);
SELECT * FROM o;
-- What the owner may no longer read, its stream table does not go on telling.
INSERT INTO src3 VALUES (1, 3);
REVOKE SELECT ON src3 FROM cd_owner;
SELECT * FROM o;
SELECT pgstream.refresh_stream_table('o');
GRANT SELECT (a, b) ON src3 TO cd_owner;
SELECT * FROM o;
DROP OWNED BY cd_owner;
DROP ROLE cd_owner;
SELECT to_regclass('o');
SELECT * FROM leftovers();
DROP SCHEMA cd CASCADE;
