-- Native code: the same plans interpreted, compiled at O0 and compiled at O2, one answer; what is said about it; when it is made.
CREATE SCHEMA jit_test;
SET search_path = jit_test, public;
SET client_min_messages = warning;
SET pgstream.keyed_evaluation = always;
-- Where there is no compiler nothing of this can be shown.
SET pgstream.jit = force;
CREATE TABLE probe_source (i int);
CREATE TABLE probe USING pgstream AS SELECT i + 1 AS x FROM probe_source;
SELECT value = 'compiled' AS has_compiler FROM pgstream.explain_st('probe') WHERE property = 'expressions' \gset
\if :has_compiler
\else
DROP SCHEMA jit_test CASCADE;
\quit
\endif
DROP TABLE probe, probe_source;
SET pgstream.jit = on;
CREATE TABLE src (id int PRIMARY KEY, k int2, a int, b bigint, f float8, r real, n numeric, t text, d date, at timestamptz, ok bool);
INSERT INTO src SELECT i, i % 7, i, i * 10, i / 4.0, i / 8.0, i / 3.0, 'text ' || i, date '2020-01-01' + i,
                       timestamptz '2020-01-01 00:00+00' + i * interval '1 hour', i % 2 = 0
  FROM generate_series(1, 200) i;
CREATE TABLE filtered USING pgstream AS
  SELECT id, a + b AS sum, f * 2 AS twice, CASE WHEN ok THEN d + 7 ELSE d END AS due, t || '!' AS loud, n * 2 AS number, coalesce(a, k) AS either
    FROM src WHERE a > 5 AND (f < 1000 OR ok IS NULL) AND k IN (1, 2, 3, 4, 5);
CREATE TABLE grouped USING pgstream AS
  SELECT k % 3 AS bucket, ok, sum(a + 1) AS a, count(*) FILTER (WHERE f > 10), max(d), sum(n) AS n, avg(b / 2) FROM src WHERE a % 2 = 1 OR k IS NULL GROUP BY 1, 2;
CREATE TABLE ranked USING pgstream AS
  SELECT k + 1 AS place, id, rank() OVER (PARTITION BY k + 1 ORDER BY id) FROM src WHERE id > 3;
CREATE TABLE whole USING pgstream AS SELECT count(*), max(x.a) FROM src x JOIN src y USING (id);
-- What became of each.
CREATE FUNCTION evaluation(name text) RETURNS text LANGUAGE sql AS
  $$ SELECT value FROM pgstream.explain_st(name) WHERE property = 'expressions' $$;
SELECT name, evaluation(name) FROM unnest(ARRAY['filtered', 'grouped', 'ranked', 'whole']) name;
SELECT value ~ '^\d+ bytes, compiled in [0-9.]+ ms, loaded in [0-9.]+ ms$' AS described FROM pgstream.explain_st('filtered') WHERE property = 'native code';
SELECT name, value FROM unnest(ARRAY['filtered', 'ranked']) name, LATERAL pgstream.explain_st(name) WHERE property = 'native code calls';
-- EXPLAIN says the same of the read itself.
CREATE FUNCTION explained(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS off, TIMING off, SUMMARY off) ' || query LOOP
    IF line ~ 'Expressions|Interpreted|Native' THEN RETURN NEXT regexp_replace(trim(line), '\d{3,} bytes', 'some bytes'); END IF;
  END LOOP;
END $$;
CREATE FUNCTION all_explained() RETURNS TABLE (name text, evaluated text) LANGUAGE sql AS
  $$ SELECT name, string_agg(line, '; ') FROM unnest(ARRAY['filtered', 'grouped', 'ranked']) name, LATERAL explained('SELECT * FROM ' || name) line GROUP BY 1 ORDER BY 1 $$;
-- Changes of every kind, NULLs and infinities among them.
INSERT INTO src VALUES (301, 1, 7, NULL, 'Infinity', 1, 2, 'new', 'infinity', 'infinity', NULL), (302, NULL, 8, 1, 'NaN', 'NaN', 'NaN', NULL, NULL, NULL, NULL),
                       (303, 3, 9, -5, -0.0, 1e30, 3, '', '-infinity', '-infinity', false), (304, 5, NULL, 2, 3, 4, NULL, 'x', '2000-01-01', NULL, true);
UPDATE src SET a = a + 1, n = n + 0.5 WHERE id % 10 = 0;
DELETE FROM src WHERE id % 17 = 0;
SET pgstream.jit = off;
SELECT evaluation('filtered');
SELECT streams, exact, answered, wrong FROM verify_streams('jit_test');
SELECT * FROM all_explained();
SET pgstream.jit = force;
SET pgstream.jit_optimization = 0;
UPDATE src SET a = a + 1 WHERE id = 50;
SELECT streams, exact, answered, wrong FROM verify_streams('jit_test');
SELECT evaluation('filtered') AS o0;
SELECT * FROM all_explained();
SET pgstream.jit_optimization = 2;
UPDATE src SET a = a + 1 WHERE id = 51;
SELECT streams, exact, answered, wrong FROM verify_streams('jit_test');
SELECT evaluation('filtered') AS o2;
SELECT * FROM all_explained();
SELECT refresh_streams('jit_test') >= 0 AS refreshed;
SELECT streams, exact, answered, wrong FROM verify_streams('jit_test');
BEGIN;
DELETE FROM src;
SELECT streams, exact, answered, wrong FROM verify_streams('jit_test');
ROLLBACK;

-- Errors: the same from the query and from the stream table, however it is evaluated.
CREATE TABLE numbers (i int, s int2, l bigint, f float8, r real, d date);
CREATE FUNCTION errors(output text, sample text) RETURNS TABLE (level text, query text, stream text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE failing USING pgstream AS SELECT %s AS x FROM numbers', output);
  EXECUTE format('INSERT INTO numbers VALUES (%s)', sample);
  FOREACH level IN ARRAY ARRAY['off', '0', '2'] LOOP
    PERFORM set_config('pgstream.jit', CASE level WHEN 'off' THEN 'off' ELSE 'force' END, true),
            set_config('pgstream.jit_optimization', CASE level WHEN 'off' THEN '2' ELSE level END, true);
    query := raised(format('SELECT %s AS x FROM numbers', output));
    stream := raised('SELECT * FROM failing');
    RETURN NEXT;
  END LOOP;
  DROP TABLE failing;
  DELETE FROM numbers;
END $$;
SELECT output, count(*) FILTER (WHERE query = stream) AS same, min(stream) AS raised
  FROM (VALUES ('i + 1', '2147483647'), ('s * s', '1, 30000'), ('l - 1', '1, 1, -9223372036854775808'), ('i / s', '1, 0'), ('i % (i - 1)', '1'),
               ('f * f', '1, 1, 1, 1e200'), ('f * f', '1, 1, 1, 1e-200'), ('1 / f', '1, 1, 1, 0'), ('f::real', '1, 1, 1, 1e300'), ('f::int', '1, 1, 1, 1e10'),
               ('l::int', '1, 1, 3000000000'), ('-i', '-2147483648'), ('abs(s)', '1, -32768'), ('d + i', '2147483647, 1, 1, 1, 1, ''2000-01-01'''),
               ('d - d', '1, 1, 1, 1, 1, ''infinity'''), ('CASE WHEN i = 0 THEN 0 ELSE 1 / i END', '0'), ('sqrt(f)', '1, 1, 1, -1')) e(output, sample),
       LATERAL errors(output, sample)
  GROUP BY output, sample ORDER BY output COLLATE "C", sample COLLATE "C";

-- What is not compiled, and why.
SET pgstream.jit = on;
CREATE TABLE other (id int, a int[], b int4range, x text);
CREATE TABLE subscript USING pgstream AS SELECT id, a[1] FROM other;
SELECT name, evaluation(name) FROM unnest(ARRAY['subscript']) name;
-- What is summed column by column evaluates hardly any row: nothing is compiled for it unless that is forced.
CREATE TABLE summed USING pgstream AS SELECT k + 1 AS k, sum(a), count(*) FROM src GROUP BY 1;
SELECT evaluation('summed');
SET pgstream.jit = force;
INSERT INTO src (id, k, a) VALUES (501, NULL, 1), (502, 1, 2);
SELECT (differences('summed')).*;
SELECT evaluation('summed');
SET pgstream.jit = on;
-- A reader does not compile, but asks for it.
CREATE FUNCTION evaluation_soon(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 600 LOOP
    EXIT WHEN evaluation(name) = 'compiled';
    PERFORM pg_sleep(0.1);
  END LOOP;
  RETURN evaluation(name);
END $$;
CREATE TABLE late (i int);
SET pgstream.jit = off;
CREATE TABLE uncompiled USING pgstream AS SELECT i + 4711 AS x FROM late;
SET pgstream.jit = on;
INSERT INTO late VALUES (1);
SELECT evaluation('uncompiled');
SELECT * FROM uncompiled;
SELECT evaluation_soon('uncompiled');
SELECT FROM pgstream.refresh_stream_table('uncompiled');
SELECT evaluation('uncompiled');
-- So does a new definition, and the first refresh of a table created without data.
SELECT FROM pgstream.alter_stream_table('uncompiled', query => 'SELECT i * 4712 AS x FROM jit_test.late');
SELECT evaluation('uncompiled');
CREATE TABLE empty USING pgstream AS SELECT i - 4713 AS x FROM late WITH NO DATA;
SELECT evaluation('empty');
SELECT FROM pgstream.refresh_stream_table('empty');
SELECT evaluation('empty');
-- A function that is replaced is the new one at once; its strictness is part of the code.
CREATE FUNCTION f(i int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT i + 1';
CREATE FUNCTION g(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE STRICT AS 'BEGIN RETURN i * 2; END';
CREATE TABLE called USING pgstream AS SELECT f(i) AS f, g(i) AS g FROM late;
SELECT evaluation('called');
INSERT INTO late VALUES (5), (NULL);
SELECT * FROM called ORDER BY 1;
CREATE OR REPLACE FUNCTION g(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN coalesce(i, 7) * 3; END';
SELECT (differences('called')).*;
SELECT * FROM called ORDER BY 2;
-- Describing a definition evaluates nothing of it: its owner's function raises when it likes.
CREATE TABLE raising (i int);
CREATE FUNCTION fussy(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN IF EXISTS (SELECT FROM jit_test.raising) THEN RAISE 'the owner''s function raises'; END IF; RETURN i; END $$;
CREATE FUNCTION fussier(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i + jit_test.fussy(1)';
CREATE TABLE fussy_rows USING pgstream AS SELECT i + fussy(1) AS x FROM late WHERE i > 0;
CREATE TABLE fussy_filter USING pgstream AS SELECT i AS x FROM late WHERE i > CASE 1 WHEN 1 THEN fussy(2) END;
CREATE TABLE fussy_groups USING pgstream AS SELECT i % 2 AS odd, sum(coalesce(i, fussy(3))) FROM late GROUP BY 1;
CREATE TABLE fussy_inlined USING pgstream AS SELECT fussier(i) AS x FROM late;
CREATE TABLE fussy_null USING pgstream AS SELECT i + coalesce(fussy(i + NULL), 0) AS x FROM late;
CREATE TABLE fussy_never USING pgstream AS SELECT fussy(i) AS x, i + 1::bigint AS y, i IN (1, 2) OR fussy(i) > 1 AS z FROM late;
INSERT INTO raising VALUES (1);
SELECT name, evaluation(name) FROM unnest(ARRAY['fussy_rows', 'fussy_filter', 'fussy_groups', 'fussy_inlined', 'fussy_null', 'fussy_never']) name;
SET pgstream.jit = off;
SELECT evaluation('fussy_rows');
SET pgstream.jit = on;
INSERT INTO late VALUES (9);
SELECT raised('SELECT * FROM fussy_rows');
DELETE FROM raising;
-- What would take long to compile is not.
DO $$ BEGIN EXECUTE format('CREATE TABLE large USING pgstream AS SELECT %s FROM late', (SELECT string_agg(format('(i + %s) * 2 - 1 AS x%s', n, n), ', ') FROM generate_series(1, 500) n)); END $$;
SELECT evaluation('large');
DROP SCHEMA jit_test CASCADE;
