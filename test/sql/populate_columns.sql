-- Content that is summed from the pages of the source column by column: what the pages hold, which rows go another way, and when all do.
CREATE SCHEMA populate_columns;
SET search_path = populate_columns, public;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
-- sql/populate_parallel runs all of it with parallel workers.
\if :{?workers}
\else
\set workers 0
\endif
SET max_parallel_workers_per_gather = :workers;
SET jit = off;
SET enable_indexonlyscan = off;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
CREATE TABLE src (gone1 text, id int PRIMARY KEY, k int, gone2 int, s int2, b bigint, ok bool, c "char", o oid, d date, txt text, nam name, u uuid, n numeric, m numeric(12,2), hot int DEFAULT 0) WITH (fillfactor = 60);
-- Made before there are rows: one made beside older versions of them might not be used at once.
CREATE INDEX cover ON src (id) INCLUDE (k, s, b, ok, c, o, d, txt, nam, u, n, m);
INSERT INTO src SELECT 'x' || i, i, i % 7, i, i % 5, i * 100, i % 2 = 0, chr(65 + i % 3)::"char", (i % 4 + 2147483647::bigint)::oid, date '2020-01-01' + i % 9, 'text ' || i % 3, 'name ' || i % 2,
                       md5((i % 6)::text)::uuid, i + 0.5, i / 7.0 FROM generate_series(1, 400) i;
ALTER TABLE src DROP COLUMN gone1, DROP COLUMN gone2;
INSERT INTO src (id, k, s, b, ok, c, o, d, txt, nam, u, n, m) SELECT i, nullif(i % 7, 3), nullif(i % 5, 1), nullif(i % 4, 2) * 1000, nullif(i % 2, 1) = 0, 'z', i, NULL, nullif('text ' || i % 3, 'text 1'), NULL, md5('1')::uuid,
                       (i * 3 - 1000)::numeric + 0.5, NULL FROM generate_series(501, 700) i;
-- Rows that no snapshot sees, updates in place and elsewhere.
BEGIN;
INSERT INTO src (id, k, n) SELECT i, 1, 5.5 FROM generate_series(1001, 1100) i;
UPDATE src SET b = 0 WHERE id < 200;
ROLLBACK;
BEGIN;
INSERT INTO src (id, k, n) VALUES (1200, 1, 7.5);
SAVEPOINT s;
INSERT INTO src (id, k, n) VALUES (1201, 1, 8.5);
ROLLBACK TO s;
COMMIT;
UPDATE src SET m = m + 1 WHERE id % 3 = 0;
UPDATE src SET m = m + 1 WHERE id % 6 = 0;
UPDATE src SET hot = hot + 1 WHERE id % 4 = 0;
UPDATE src SET hot = hot + 10 WHERE id % 8 = 0;
DELETE FROM src WHERE id % 11 = 0;
CREATE VIEW seen AS SELECT k AS key, n, ok FROM src WHERE s <> 4;
-- Of each kind one that holds what a recompute gives, and one that is kept up to date from there.
CREATE PROCEDURE define(name text, query text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %s USING pgstream AS %s', name, query);
  EXECUTE format('CREATE TABLE %s_full USING pgstream WITH (refresh_mode = ''FULL'') AS %s', name, query);
END $$;
-- All of them, live before a refresh and after one.
CREATE FUNCTION checked(OUT live text, OUT refreshed text) LANGUAGE plpgsql AS $$
DECLARE workers text := current_setting('max_parallel_workers_per_gather');
BEGIN
  PERFORM pgstream.refresh_stream_table(oid::regclass::text) FROM pg_class WHERE relnamespace = 'populate_columns'::regnamespace AND relname LIKE '%\_full';
  -- Reads without workers, whatever computes contents.
  PERFORM set_config('max_parallel_workers_per_gather', '0', false);
  SELECT format('%s of %s exact', exact, streams) || coalesce(', wrong: ' || wrong, '') INTO live FROM verify_streams('populate_columns');
  PERFORM refresh_streams('populate_columns');
  SELECT format('%s of %s exact', exact, streams) || coalesce(', wrong: ' || wrong, '') INTO refreshed FROM verify_streams('populate_columns');
  PERFORM set_config('max_parallel_workers_per_gather', workers, false);
END $$;
CALL define('by_k', 'SELECT k, count(*), count(b) AS bs, count(txt) AS texts, count(1) AS ones, sum(k) AS ks, sum(s) AS ss, sum(b) AS sum_b, avg(s) AS avg_s, avg(k) AS avg_k, avg(b) AS avg_b, min(d) AS d0, max(o) AS o1 FROM src GROUP BY k');
CALL define('small', 'SELECT s, c, ok, count(*), min(k) AS k0, max(b) AS b1, sum(m) AS m FROM src GROUP BY s, c, ok');
CALL define('by_text', 'SELECT txt, nam, sum(n) AS n, avg(n) AS avg_n, sum(m) AS m, avg(m) AS avg_m, count(*), count(n) AS ns FROM src GROUP BY txt, nam');
CALL define('by_uuid', 'SELECT u, o, count(*), max(id) FROM src WHERE k < 6 AND b >= 100 GROUP BY u, o');
CALL define('in_place', 'SELECT s, sum(hot) AS hot, max(hot) AS most FROM src GROUP BY s');
CALL define('whole', 'SELECT count(*), sum(k), sum(n) AS n, min(d) AS d, avg(b) AS b FROM src');
CALL define('whole_none', 'SELECT count(*), sum(k), sum(n) AS n, min(d) AS d FROM src WHERE k > 1000');
CALL define('no_columns', 'SELECT count(*) FROM src');
CALL define('kinds', 'SELECT DISTINCT k, ok FROM src WHERE s >= 0');
CALL define('hidden', 'SELECT k, sum(b) AS b FROM src GROUP BY k HAVING count(*) > 60');
CALL define('filtered', 'SELECT k, sum(s) FILTER (WHERE ok) AS s, count(*) FILTER (WHERE b > 10 AND b < 5000) AS some, count(txt) FILTER (WHERE b < 0) AS texts, max(b) FILTER (WHERE s <> 2) AS m, sum(n) FILTER (WHERE ok) AS n FROM src GROUP BY k');
CALL define('computed', 'SELECT k % 3 AS rest, s / 2 + k / 3 AS half, sum(b / 3 - s) AS b, max(b / 10 + k::bigint) AS m, count(*) FROM src GROUP BY 1, 2');
CALL define('of_view', 'SELECT key, sum(n) AS n, count(*) FROM seen WHERE ok GROUP BY key');
-- These are not of the kind.
CALL define('by_numeric', 'SELECT m, count(*) FROM src GROUP BY m');
CALL define('squares', 'SELECT k, variance(s) AS v FROM src GROUP BY 1');
SELECT * FROM checked();
-- And once more, from pages again. Which way rows go is asserted by t/072_populate_columns.
SELECT pgstream.refresh_stream_table('by_k_full');
SELECT pgstream.refresh_stream_table('small_full');
SELECT pgstream.refresh_stream_table('by_text_full');
SELECT pgstream.refresh_stream_table('by_uuid_full');
SELECT pgstream.refresh_stream_table('in_place_full');
SELECT pgstream.refresh_stream_table('whole_full');
SELECT pgstream.refresh_stream_table('whole_none_full');
SELECT pgstream.refresh_stream_table('no_columns_full');
SELECT pgstream.refresh_stream_table('kinds_full');
SELECT pgstream.refresh_stream_table('hidden_full');
SELECT pgstream.refresh_stream_table('filtered_full');
SELECT pgstream.refresh_stream_table('computed_full');
SELECT pgstream.refresh_stream_table('of_view_full');
SELECT pgstream.refresh_stream_table('by_numeric_full');
SELECT pgstream.refresh_stream_table('squares_full');
-- A recompute of what did not change writes nothing: hidden states are the same as well.
SELECT DISTINCT ON (c.relname) c.relname, rows_inserted, rows_deleted FROM pgstream.pgs_refresh_history JOIN pg_class c ON c.oid = pgs_relid
  WHERE c.relnamespace = 'populate_columns'::regnamespace AND relname LIKE '%full' ORDER BY c.relname, refresh_id DESC;
-- Nor does one that takes the same rows one by one, out of an index: states are the same to the byte.
SET enable_seqscan = off;
SET enable_indexscan = on;
SET enable_indexonlyscan = on;
SELECT pgstream.refresh_stream_table(name || '_full') FROM unnest(ARRAY['by_k', 'small', 'by_text', 'by_uuid', 'whole', 'hidden', 'kinds', 'filtered', 'computed', 'of_view']) name;
SELECT DISTINCT ON (c.relname) c.relname, rows_inserted, rows_deleted FROM pgstream.pgs_refresh_history JOIN pg_class c ON c.oid = pgs_relid
  WHERE c.relnamespace = 'populate_columns'::regnamespace AND relname LIKE '%full' ORDER BY c.relname, refresh_id DESC;
DROP INDEX cover;
RESET enable_seqscan;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
-- Columns that rows are too old to have: NULL, a value by value, strings and numerics.
ALTER TABLE src ADD COLUMN a1 int, ADD COLUMN a2 int DEFAULT 7, ADD COLUMN a3 text DEFAULT 'as it was', ADD COLUMN a4 numeric(8,2) DEFAULT 1.25, ADD COLUMN a5 bool DEFAULT true, ADD COLUMN a6 uuid DEFAULT md5('6')::uuid;
INSERT INTO src (id, k, s, b, a1, a2, a4, a5, a6) SELECT i, i % 7, i % 5, i, 1, NULL, i / 4.0, i % 2 = 0, NULL FROM generate_series(2001, 2050) i;
UPDATE src SET a2 = 8 WHERE id BETWEEN 40 AND 60;
CALL define('added', 'SELECT a1, a2, a3, sum(a4) AS a4, count(a1) AS a1s, count(*) FROM src WHERE a5 GROUP BY a1, a2, a3');
CALL define('added_null', 'SELECT k, sum(a1) AS a1, max(a2) AS a2, count(a3) AS a3, count(a6) AS a6 FROM src GROUP BY k');
CALL define('added_key', 'SELECT a6, a5, sum(a2) AS a2 FROM src GROUP BY a6, a5');
SELECT pgstream.refresh_stream_table('added_full');
SELECT pgstream.refresh_stream_table('added_null_full');
SELECT pgstream.refresh_stream_table('added_key_full');
SELECT * FROM checked();
-- Numerics of all scales and sizes, and what is no number.
INSERT INTO src (id, k, s, txt, n, m) SELECT 2500 + i, i % 4, i % 3, 'text ' || i % 3, v::numeric, (i - 8) * 111111111.11
  FROM unnest(ARRAY['0', '0.0', '0.00', '-0.1', '0.5', '99999999.9', '-99999999.9', '999999999999999.9', '-123456789012345678901234567890.1', '1e40', '1e-40', '0.0001', '10000.0', '100000000.0', 'NaN', 'Infinity', '7.5', '-7.5', '12345.6'])
       WITH ORDINALITY AS values (v, i);
-- Strings that are compressed, stored elsewhere, or neither, of one value and of many.
INSERT INTO src (id, k, ok, txt, n) SELECT 2600 + i, 2, true, repeat('x', i * i), i + 0.5 FROM generate_series(0, 30) i;
INSERT INTO src (id, k, ok, txt, n) SELECT 2700 + i, 3, true, (SELECT string_agg(md5((i / 2 * 1000 + j)::text), '') FROM generate_series(1, 200) j), i FROM generate_series(0, 7) i;
INSERT INTO src (id, k, txt, n) SELECT 2800 + i, 3, repeat('y', 3000), i FROM generate_series(0, 7) i;
ALTER TABLE src ALTER txt SET STORAGE PLAIN;
INSERT INTO src (id, k, txt, n) SELECT 2900 + i, 3, repeat('y', 3000), i FROM generate_series(0, 7) i;
ALTER TABLE src ALTER txt SET STORAGE EXTENDED;
SELECT count(DISTINCT pg_column_size(txt)) AS forms FROM src WHERE txt = repeat('y', 3000);
-- The ends of every type.
INSERT INTO src (id, k, s, b, ok, o, d) VALUES (3001, 2147483647, 32767, 9223372036854775807, true, 4294967295, 'infinity'), (3002, -2147483648, -32768, -9223372036854775808, false, 0, '-infinity');
CREATE TABLE at_ends_full USING pgstream WITH (refresh_mode = 'FULL') AS SELECT s, ok, sum(b) AS b, avg(b) AS avg_b, min(b) AS b0, max(b) AS b1, min(o) AS o0, max(o) AS o1, min(d) AS d0, max(d) AS d1, sum(k) AS k FROM src GROUP BY s, ok;
SELECT * FROM checked();
SELECT pgstream.refresh_stream_table('by_text_full');
SELECT pgstream.refresh_stream_table('at_ends_full');
-- What was kept up to date so far, made anew.
CREATE TABLE again USING pgstream AS SELECT txt, k, sum(n) AS n, avg(m) AS m, count(*) FROM src GROUP BY txt, k;
SELECT * FROM checked();
-- It goes on from there: losses of what was summed and of what was not.
DELETE FROM src WHERE id % 4 = 0;
UPDATE src SET k = k + 1, n = n - 1 WHERE id % 5 = 0 AND k < 1000;
DELETE FROM src WHERE id > 2500 AND id % 3 = 0;
SELECT * FROM checked();
-- Errors: those of the query, and none that it has not.
CREATE TABLE calc (id int PRIMARY KEY, a int, c int, l bigint);
INSERT INTO calc SELECT i, i * 7 - 50, i % 5 + 1, i FROM generate_series(1, 300) i;
INSERT INTO calc VALUES (301, 5, 0, NULL), (302, 2147483647, 3, 9223372036854775807), (303, NULL, 0, 1);
CREATE FUNCTION both_raise(query text, OUT of_query text, OUT of_stream text) LANGUAGE plpgsql AS $$
BEGIN
  of_query := raised(query);
  of_stream := raised('CREATE TABLE calc_stream USING pgstream AS ' || query);
  IF of_stream = 'nothing' THEN
    IF (SELECT missing + surplus FROM differences('calc_stream')) <> 0 THEN of_stream := 'differs'; END IF;
    DROP TABLE calc_stream;
  END IF;
END $$;
SELECT (both_raise(query)).*, query FROM unnest(ARRAY[
  'SELECT a % 3 AS rest, sum(a / c) AS q FROM calc GROUP BY 1', 'SELECT a % 3 AS rest, sum(a / c) AS q FROM calc WHERE c <> 0 GROUP BY 1', 'SELECT a % 3 AS rest, sum(a / c) AS q FROM calc WHERE c > 0 AND l IS NOT NULL GROUP BY 1',
  'SELECT sum(a + 1) AS s FROM calc', 'SELECT sum(a + 1) AS s FROM calc WHERE id < 302', 'SELECT sum(a + 1) FILTER (WHERE id < 302) AS s FROM calc', 'SELECT sum(a / c) FILTER (WHERE c <> 0) AS s FROM calc', 'SELECT sum(a / c) FILTER (WHERE c <> 1) AS s FROM calc',
  'SELECT a / c AS k, count(*) FROM calc WHERE id <> 301 GROUP BY 1', 'SELECT a / c AS k, count(*) FROM calc GROUP BY 1', 'SELECT sum(l) AS l, max(l - 1) AS m FROM calc', 'SELECT max(l + 1) AS m FROM calc']) query;
-- Tables without rows, with and without a page.
CREATE TABLE empty (k int, v numeric);
CALL define('of_empty', 'SELECT k, sum(v) AS v FROM empty GROUP BY k');
CALL define('of_empty_whole', 'SELECT sum(v) AS v, count(*) FROM empty');
INSERT INTO empty VALUES (1, 1), (NULL, 2);
DELETE FROM empty;
SELECT pgstream.refresh_stream_table('of_empty_full');
SELECT pgstream.refresh_stream_table('of_empty_whole_full');
INSERT INTO empty VALUES (NULL, 2), (NULL, 3.5);
SELECT * FROM checked();
-- What a transaction has written itself.
BEGIN;
INSERT INTO empty SELECT i % 3, i FROM generate_series(1, 10) i;
UPDATE empty SET v = v + 1 WHERE k = 2;
DELETE FROM empty WHERE k = 1 AND v > 5;
CREATE TABLE own USING pgstream AS SELECT k, sum(v) AS v, count(*) FROM empty GROUP BY k;
SELECT * FROM differences('own');
DELETE FROM empty WHERE v < 4;
SELECT * FROM differences('own');
COMMIT;
SELECT * FROM differences('own');
-- Memory for some of the groups, and for so few that all are sorted.
CREATE TABLE many AS SELECT i AS id, i % 6000 AS k, 'key ' || i % 3000 AS txt, i AS v, i / 10.0 AS n FROM generate_series(1, 18000) i;
CALL define('many_k', 'SELECT k, sum(v) AS v, max(id) AS m, count(*) FROM many GROUP BY k');
CALL define('many_txt', 'SELECT txt, sum(n) AS n, count(*) FROM many GROUP BY txt');
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SET maintenance_work_mem = '1MB';
CALL define('some_k', 'SELECT k, sum(v) AS v, max(id) AS m, count(*) FROM many GROUP BY k');
CALL define('some_txt', 'SELECT txt, sum(n) AS n, count(*) FROM many GROUP BY txt');
CALL define('some_id', 'SELECT id, txt, sum(n) AS n, avg(v) AS v FROM many GROUP BY id, txt');
SELECT pgstream.refresh_stream_table('many_k_full');
SET maintenance_work_mem = '2MB';
SELECT pgstream.refresh_stream_table('some_k_full');
SET maintenance_work_mem = '1MB';
SELECT pgstream.refresh_stream_table('some_txt_full');
SELECT pgstream.refresh_stream_table('some_id_full');
RESET work_mem;
RESET hash_mem_multiplier;
RESET maintenance_work_mem;
DELETE FROM many WHERE id % 5 = 0;
SELECT * FROM checked();
-- The planner may know a better way than all pages.
CREATE INDEX ON many (id);
ANALYZE many;
RESET enable_indexscan;
CREATE TABLE few_full USING pgstream WITH (refresh_mode = 'FULL') AS SELECT k, sum(v) AS v FROM many WHERE id < 20 GROUP BY k;
SELECT pgstream.refresh_stream_table('few_full');
SELECT * FROM differences('few_full');
-- Stream tables first: an autovacuum of one, which reads its source, might be met between the two.
DO $$
DECLARE stream regclass;
BEGIN
  FOR stream IN SELECT c.oid FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE amname = 'pgstream' AND relnamespace = 'populate_columns'::regnamespace ORDER BY 1 LOOP
    EXECUTE format('DROP TABLE %s', stream);
  END LOOP;
END $$;
DROP SCHEMA populate_columns CASCADE;
