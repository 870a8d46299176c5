-- FULL mode holds what the last refresh computed, and alone may use volatile functions.
SET client_min_messages = warning;
CREATE SCHEMA full_mode;
SET search_path = full_mode, public;
CREATE TABLE src (id int, val int);
INSERT INTO src VALUES (1, 10), (2, 20);
CREATE TABLE f USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, val, random() < 2 AS yes, clock_timestamp() > '2000-01-01' AS late FROM src;
SELECT * FROM f ORDER BY id;
INSERT INTO src VALUES (3, 30);
DELETE FROM src WHERE id = 1;
SELECT * FROM f ORDER BY id;
SELECT pgstream.refresh_stream_table('f');
SELECT * FROM f ORDER BY id;
SELECT refresh_mode, status, is_populated FROM pgstream.pgs_stream_tables WHERE pgs_name = 'f';
SELECT property, value FROM pgstream.explain_st('f') WHERE property IN ('refresh_mode', 'strategy', 'populated');
-- Nothing captures for it.
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src'::regclass;
-- Not populated: refused, as for a materialized view.
CREATE TABLE g USING pgstream WITH (refresh_mode = 'FULL') AS SELECT count(*) AS n FROM src WITH NO DATA;
SELECT * FROM g;
SELECT pgstream.refresh_stream_table('g');
SELECT * FROM g;
INSERT INTO f VALUES (1, 1, true, true);
DROP SCHEMA full_mode CASCADE;
