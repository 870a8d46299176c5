-- alter_stream_table() and create_or_replace_stream_table(): what stays, what is rebuilt, what is refused.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA alt;
SET search_path = alt, public;
CREATE TABLE src (id int PRIMARY KEY, grp text, val numeric, extra int);
INSERT INTO src SELECT i, 'g' || i % 4, i * 1.5, i FROM generate_series(1, 40) i;
CREATE TABLE other (id int PRIMARY KEY, grp text, val numeric);
INSERT INTO other SELECT i, 'o' || i % 3, i FROM generate_series(1, 9) i;
CREATE FUNCTION state(stream text, OUT schedule text, OUT refresh_mode text, OUT status text, OUT is_populated bool,
                      OUT strategy text) LANGUAGE sql AS $$
  SELECT s.schedule, s.refresh_mode, s.status, s.is_populated,
         (SELECT value FROM pgstream.explain_st(stream) WHERE property = 'strategy')
    FROM pgstream.pgs_stream_tables s WHERE s.pgs_relid = stream::regclass $$;
CREATE FUNCTION captured() RETURNS TABLE (source regclass, triggers bigint) LANGUAGE sql AS $$
  SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgfoid = 'pgstream.capture_changes'::regproc
     AND tgrelid IN ('src'::regclass, 'other'::regclass) GROUP BY 1 ORDER BY 1::text $$;

CREATE TABLE st USING pgstream WITH (schedule = '5m') AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE INDEX st_total ON st (total);
COMMENT ON TABLE st IS 'kept';
GRANT SELECT ON st TO PUBLIC;
CREATE VIEW over_st AS SELECT grp, total FROM st;
SELECT 'st'::regclass::oid AS st_oid \gset

-- Options. NULL leaves as it is.
SELECT pgstream.alter_stream_table('st');
SELECT * FROM state('st');
SELECT pgstream.alter_stream_table('st', schedule => '90s', status => 'paused');
SELECT * FROM state('st');
SELECT pgstream.alter_stream_table('st', schedule => 'calculated');
SELECT * FROM state('st');
INSERT INTO src VALUES (41, 'g1', 1, 1);
SELECT pgstream.refresh_stream_table('st');
SELECT * FROM state('st');
SELECT pgstream.alter_stream_table('st', status => 'ACTIVE', schedule => '1h');
SELECT * FROM state('st');
SELECT pgstream.alter_stream_table('st', schedule => 'soon');
SELECT pgstream.alter_stream_table('st', status => 'ERROR');
SELECT pgstream.alter_stream_table('st', refresh_mode => 'sometimes');
SELECT pgstream.alter_stream_table('src', schedule => '1m');
SELECT pgstream.alter_stream_table(NULL);
SELECT pgstream.alter_stream_table('st', query => 'DELETE FROM src');
SELECT pgstream.alter_stream_table('st', query => 'SELECT nothing FROM src');

-- Another spelling of the same query rebuilds nothing: the base keeps its storage version, pending changes stay pending.
UPDATE src SET val = val + 1 WHERE id < 5;
SELECT s.version AS before FROM pgstream.pgs_stream s WHERE pgs_relid = 'st'::regclass \gset
SELECT pgstream.alter_stream_table('st', query => $$
  select  x.GRP, Sum( x.val ) as total, /* all of them */ count(*) n
    from alt.src as x -- an alias
   group by 1 $$);
SELECT s.version - :before AS rebuilt FROM pgstream.pgs_stream s WHERE pgs_relid = 'st'::regclass;
SELECT * FROM differences('st');

-- Another query with the same columns: the relation stays, with all that hangs on it.
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, sum(val) AS total, count(*) AS n FROM src WHERE extra > 10 GROUP BY grp');
SELECT * FROM differences('st');
SELECT * FROM state('st');
SELECT 'st'::regclass::oid = :st_oid AS same_oid, obj_description('st'::regclass) AS comment,
       has_table_privilege('public', 'st', 'SELECT') AS granted,
       (SELECT count(*) FROM pg_index WHERE indrelid = 'st'::regclass) AS indexes,
       (SELECT count(*) FROM over_st) AS through_view;
INSERT INTO src VALUES (50, 'g9', 9, 99);
UPDATE src SET extra = 0 WHERE id = 40;
SELECT * FROM differences('st');
SELECT pgstream.refresh_stream_table('st');
SELECT * FROM differences('st');
SELECT action FROM pgstream.get_refresh_history('st', 1);

-- Another source, another strategy and another key index. The old source is let go.
SELECT * FROM captured();
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, val AS total, id::bigint AS n FROM other WHERE id > 1');
SELECT * FROM captured();
SELECT * FROM state('st');
SELECT * FROM differences('st');
UPDATE other SET val = val * 2 WHERE id % 2 = 0;
DELETE FROM other WHERE id = 3;
SELECT * FROM differences('st');
SELECT pgstream.refresh_stream_table('st');
SELECT * FROM differences('st');
SELECT pg_get_expr(indexprs, indrelid) FROM pg_index WHERE indrelid = 'st'::regclass AND indexprs IS NOT NULL;

-- Columns follow from the query that the table was created with.
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, val::int AS total, id::bigint AS n, 1 AS one FROM other');
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp AS g, val AS total, id::bigint AS n FROM other');
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, total, n FROM st');
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, total, 1::bigint AS n FROM over_st');
CREATE TABLE st2 USING pgstream AS SELECT grp, total, n FROM st;
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, total, n FROM st2');
DROP TABLE st2;
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, val * random()::numeric AS total, id::bigint AS n FROM other');
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, val / (id - id) AS total, id::bigint AS n FROM other');
SELECT * FROM state('st');
SELECT * FROM differences('st');

-- Modes: FULL holds what it had when it changed, and lets its sources go; back again it is live.
SELECT pgstream.alter_stream_table('st', refresh_mode => 'FULL');
SELECT * FROM state('st');
SELECT * FROM captured();
INSERT INTO other VALUES (20, 'late', 1);
SELECT * FROM differences('st');
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, val * (1 + 0 * random())::numeric AS total, id::bigint AS n FROM other');
SELECT count(*) FROM st;
SELECT pgstream.alter_stream_table('st', refresh_mode => 'DIFFERENTIAL');
SELECT pgstream.alter_stream_table('st', refresh_mode => 'DIFFERENTIAL', query => 'SELECT grp, val AS total, id::bigint AS n FROM other');
SELECT * FROM state('st');
INSERT INTO other VALUES (21, 'later', 1);
SELECT * FROM differences('st');

-- Transactional, and exact inside the transaction; not populated stays so.
BEGIN;
DELETE FROM other WHERE id = 21;
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, sum(val) AS total, count(*) AS n FROM other GROUP BY grp');
SELECT * FROM differences('st');
INSERT INTO other VALUES (22, 'mine', 1);
SELECT * FROM differences('st');
SAVEPOINT s;
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, val AS total, id::bigint AS n FROM src');
SELECT * FROM differences('st');
ROLLBACK TO s;
SELECT * FROM differences('st');
ROLLBACK;
SELECT * FROM state('st');
SELECT * FROM differences('st');
SELECT * FROM captured();
CREATE TABLE empty USING pgstream AS SELECT id FROM src WITH NO DATA;
SELECT pgstream.alter_stream_table('empty', query => 'SELECT id FROM src WHERE id > 3');
SELECT * FROM state('empty');
SELECT * FROM differences('empty');
DROP TABLE empty;

-- Under a snapshot older than the capture there is no first frontier: it recomputes until it is refreshed.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL client_min_messages = notice;
SELECT count(*) FROM other;
SELECT pgstream.alter_stream_table('st', query => 'SELECT grp, val AS total, id::bigint AS n FROM src');
SELECT * FROM differences('st');
COMMIT;
SELECT is_populated FROM state('st');
SELECT pgstream.refresh_stream_table('st');
SELECT is_populated FROM state('st');
DELETE FROM src WHERE id < 10;
SELECT * FROM differences('st');

-- Create or replace: no more than it takes.
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val FROM src', dry_run => true);
SELECT to_regclass('cr');
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val FROM src');
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'select x.id, x.val from src x');
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val FROM src', schedule => '2m', dry_run => true);
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val FROM src', schedule => '2m');
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val FROM src WHERE id > 20', schedule => '2m', dry_run => true);
SELECT count(*) FROM cr;
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val FROM src WHERE id > 20', schedule => '2m');
SELECT * FROM differences('cr');
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val::int FROM src', schedule => '2m', dry_run => true);
SELECT * FROM pgstream.create_or_replace_stream_table('cr', 'SELECT id, val::int FROM src', schedule => '2m');
SELECT * FROM pgstream.create_or_replace_stream_table('src', 'SELECT 1 AS x');
SELECT * FROM pgstream.create_or_replace_stream_table('cr2', 'SELECT id, random() AS r FROM src', dry_run => true);
SELECT * FROM pgstream.create_or_replace_stream_table('cr2', 'SELECT id, random() AS r FROM src', NULL, 'FULL');
SELECT pgs_name, schedule, refresh_mode FROM pgstream.pgs_stream_tables WHERE pgs_schema = 'alt' ORDER BY 1;

-- Settings belong to the query: a new one takes those of the session, another spelling does not.
CREATE TABLE times (t timestamptz);
INSERT INTO times VALUES ('2026-06-01 12:00+00');
SET TimeZone = 'UTC';
CREATE TABLE hours USING pgstream AS SELECT extract(hour FROM t)::int AS h FROM times;
SET TimeZone = 'Asia/Tokyo';
SELECT pgstream.alter_stream_table('hours', query => 'SELECT extract(hour FROM x.t)::int AS h FROM times x');
SELECT * FROM hours;
SELECT pgstream.alter_stream_table('hours', query => 'SELECT extract(hour FROM t)::int AS h FROM times WHERE t IS NOT NULL');
SELECT * FROM hours;
SET TimeZone = 'UTC';
INSERT INTO times VALUES ('2026-06-02 01:00+00');
SELECT * FROM hours ORDER BY h;
RESET TimeZone;

-- Only the owner.
CREATE ROLE regress_alter_stranger;
GRANT USAGE, CREATE ON SCHEMA alt TO regress_alter_stranger;
SET ROLE regress_alter_stranger;
SELECT pgstream.alter_stream_table('st', schedule => '1m');
SELECT pgstream.create_or_replace_stream_table('st', 'SELECT 1 AS x');
RESET ROLE;
DROP SCHEMA alt CASCADE;
DROP ROLE regress_alter_stranger;
