-- What psql shows: every object of the extension says what it is, and so does every column of its views and catalogs; the
-- internal index of a stream table and the logs say whose they are; what tab completion asks for is there.
SET client_min_messages = warning;
CREATE SCHEMA comments;
SET search_path = comments, public;
CREATE TABLE src (id int PRIMARY KEY, val int);
CREATE TABLE st USING pgstream AS SELECT val, count(*) AS n FROM src GROUP BY val;
SELECT pg_describe_object(classid, objid, 0) AS without_comment
  FROM pg_depend d WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_stream')
   AND deptype = 'e' AND classid <> 'pg_type'::regclass AND obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) IS NULL ORDER BY 1;
SELECT c.oid::regclass AS relation, a.attname AS without_comment
  FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_stream') AND c.relkind IN ('r', 'v')
   AND NOT EXISTS (SELECT FROM pgstream.pgs_log l WHERE c.oid = ANY (l.segments)) AND col_description(c.oid, a.attnum) IS NULL
 ORDER BY 1, 2;
SELECT DISTINCT obj_description(segment, 'pg_class') FROM pgstream.pgs_log, unnest(segments) segment;
SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = 'st'::regclass;
-- Triggers of the capture are internal: \d of a source shows none.
SELECT tgname FROM pg_trigger WHERE tgrelid = 'src'::regclass AND NOT tgisinternal;
-- CREATE TABLE x USING <tab>; DROP TABLE <tab>; SELECT pgstream.<tab>
SELECT amname FROM pg_am WHERE amtype = 't' ORDER BY 1;
SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid) AND relnamespace = 'comments'::regnamespace ORDER BY 1;
SELECT count(*) > 15 AS many FROM pg_proc WHERE pronamespace = 'pgstream'::regnamespace AND prokind = 'f';
-- A FULL one that is not populated: EXPLAIN shows a plan, as of a materialized view; running it is refused.
CREATE TABLE held USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, random() < 2 AS yes FROM src WITH NO DATA;
EXPLAIN (COSTS OFF) SELECT * FROM held;
EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM held;
SELECT * FROM held;
SELECT property, value FROM pgstream.explain_st('held') WHERE property NOT IN ('query', 'settings');
SELECT pgstream.get_staleness('held') IS NULL AS no_age, (pgstream.pending_changes('held')).changes IS NULL AS nothing_told;
SELECT pgstream.refresh_stream_table('held');
-- From one mode to the other: live, then held again as of the change.
INSERT INTO src VALUES (1, 1), (2, 1);
SELECT count(*) FROM held;
SELECT pgstream.alter_stream_table('held', refresh_mode => 'DIFFERENTIAL');
SELECT pgstream.alter_stream_table('held', refresh_mode => 'DIFFERENTIAL', query => 'SELECT id, val > 0 AS yes FROM src');
SELECT count(*) FROM held;
DELETE FROM src WHERE id = 1;
SELECT count(*), (SELECT value FROM pgstream.explain_st('held') WHERE property = 'strategy') FROM held;
SELECT pgstream.alter_stream_table('held', refresh_mode => 'FULL');
DELETE FROM src WHERE id = 2;
SELECT count(*), (SELECT value FROM pgstream.explain_st('held') WHERE property = 'strategy') FROM held;
SELECT * FROM pgstream.verify('held');
SELECT pgstream.refresh_stream_table('held');
SELECT * FROM pgstream.verify('held');
-- Sources are named as they can be written here.
CREATE SCHEMA comments_elsewhere;
CREATE TABLE comments_elsewhere.src (id int);
CREATE TABLE two USING pgstream AS SELECT a.id FROM src a JOIN comments_elsewhere.src b ON a.id = b.id;
SELECT property, value FROM pgstream.explain_st('two') WHERE property LIKE 'source%' ORDER BY 1;
-- The default schedule is not announced, another one is.
RESET client_min_messages;
SELECT pgstream.create_stream_table('plain', 'SELECT id FROM src');
SELECT pgstream.create_stream_table('slow', 'SELECT id FROM src', '2h');
SET client_min_messages = warning;
DROP SCHEMA comments, comments_elsewhere CASCADE;
