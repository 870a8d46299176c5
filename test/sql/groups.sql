-- Groups: aggregates kept by their states, groups evaluated by key, and the content live at every step.
SET client_min_messages = warning;
-- What is cheaper is another test's matter (keyed).
SET pgstream.keyed_evaluation = always;
CREATE SCHEMA groups;
SET search_path = groups, public;
CREATE TABLE src (id serial PRIMARY KEY, k text, q numeric, i int, s smallint, b bigint, n numeric, iv interval, m money,
                  f boolean, d float8, t text);
INSERT INTO src (k, q, i, s, b, n, iv, m, f, d, t)
  SELECT CASE WHEN x % 11 <> 0 THEN 'k' || x % 7 END, (x % 4) + 0.5, x % 13, (x % 5)::smallint, x * 1000000000::bigint,
         x * 1.25, x * interval '3 hours', (x % 9)::money, x % 3 = 0, x / 7.0, 't' || x % 17
  FROM generate_series(1, 500) x;

-- Invertible aggregates, each of the white list.
CREATE TABLE sums USING pgstream AS
  SELECT k, count(*) AS c, count(i) AS ci, sum(i) AS si, sum(s) AS ss, sum(b) AS sb, sum(n) AS sn, sum(iv) AS siv,
         sum(m) AS sm, avg(i) AS ai, avg(s) AS as_, avg(b) AS ab, avg(n) AS an, avg(iv) AS aiv FROM src GROUP BY k;
CREATE TABLE variances USING pgstream AS
  SELECT k, var_pop(i) AS a, var_samp(s) AS b, variance(b) AS c, stddev_pop(n) AS d, stddev_samp(i) AS e, stddev(b) AS f,
         stddev(n) AS g, var_pop(n) AS h, stddev_pop(s) AS j FROM src GROUP BY k;
-- Forward only: by key when the extremum goes.
CREATE TABLE extremes USING pgstream AS
  SELECT k, min(t) AS mint, max(n) AS maxn, min(iv) AS miniv, max(d) AS maxd, bool_and(f) AS ba, bool_or(f) AS bo,
         every(i >= 0) AS ev, bit_and(i) AS bia, bit_or(s) AS bis, min(ARRAY[i, s]) AS arr FROM src GROUP BY k;
-- No state: each change evaluates the group by key.
CREATE TABLE keyed USING pgstream AS
  SELECT k, string_agg(t, ',' ORDER BY id) AS t, array_agg(i ORDER BY id) AS a, count(DISTINCT i) AS cd,
         round(sum(d)::numeric, 6) AS sd, percentile_disc(0.5) WITHIN GROUP (ORDER BY i) AS p FROM src GROUP BY k;
CREATE TABLE expressions USING pgstream AS
  SELECT upper(k) || '!' AS uk, i % 3 AS r, sum(n) * 2 + count(*) AS v, CASE WHEN count(*) > 3 THEN 'many' ELSE 'few' END AS w
  FROM src WHERE b > 5000000000 GROUP BY upper(k) || '!', i % 3;
CREATE TABLE "having" USING pgstream AS SELECT k, sum(n) AS sn, count(*) AS c FROM src GROUP BY k HAVING count(*) > 60;
CREATE TABLE having_keyed USING pgstream AS
  SELECT k, max(t) AS t, count(DISTINCT s) AS c FROM src GROUP BY k HAVING sum(i) > 300;
CREATE TABLE filtered USING pgstream AS
  SELECT k, sum(n) FILTER (WHERE f) AS a, count(*) FILTER (WHERE i > 6) AS b, max(i) FILTER (WHERE NOT f) AS c,
         sum(100 / i) FILTER (WHERE i <> 0) AS d FROM src GROUP BY k;
CREATE TABLE total USING pgstream AS SELECT count(*) AS c, sum(n) AS sn, max(i) AS mi, avg(s) AS a FROM src;
CREATE TABLE total_having USING pgstream AS SELECT sum(i) AS si FROM src HAVING count(*) > 100;
CREATE TABLE total_keyed USING pgstream AS SELECT array_agg(id ORDER BY id) AS ids FROM src;
CREATE TABLE uniques USING pgstream AS SELECT DISTINCT k, f FROM src;
CREATE TABLE scales USING pgstream AS SELECT q, sum(q) AS sq, avg(q) AS aq, count(*) AS c FROM src GROUP BY q;

-- Every stream table, read as its query is, as text and in one statement; and how the read was answered.
CREATE FUNCTION verify(OUT streams bigint, OUT exact bigint, OUT answered text, OUT wrong text) LANGUAGE plpgsql AS $$
DECLARE
  name text;
  line text;
  used text;
  missing bigint;
  surplus bigint;
  uses text[] := '{}';
BEGIN
  streams := 0;
  exact := 0;
  FOR name IN SELECT relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
              WHERE amname = 'pgstream' AND relnamespace = 'groups'::regnamespace ORDER BY relname LOOP
    streams := streams + 1;
    EXECUTE format('WITH st AS (SELECT row_::text AS r FROM groups.%I row_), q AS (SELECT row_::text AS r FROM (%s) row_)
                    SELECT (SELECT count(*) FROM (SELECT r FROM q EXCEPT ALL SELECT r FROM st) x),
                           (SELECT count(*) FROM (SELECT r FROM st EXCEPT ALL SELECT r FROM q) x)',
                   name, pgstream.defining_query(quote_ident(name)::regclass)) INTO missing, surplus;
    used := 'no strategy shown';
    FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM groups.%I', name) LOOP
      IF line ~ 'Strategy( Reason)?: ' THEN
        used := CASE WHEN line ~ 'Reason' AND used ~ '^recompute' THEN used || ': ' ELSE '' END ||
                CASE WHEN line ~ 'Reason' AND used !~ '^recompute' THEN used ELSE regexp_replace(line, '^.*: ', '') END;
      END IF;
    END LOOP;
    IF NOT used = ANY (uses) THEN uses := uses || used; END IF;
    IF missing = 0 AND surplus = 0 THEN
      exact := exact + 1;
    ELSE
      wrong := concat_ws(', ', wrong, format('%s (%s missing, %s surplus)', name, missing, surplus));
    END IF;
  END LOOP;
  answered := array_to_string(uses, '; ');
END $$;
CREATE FUNCTION refresh_all() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  name text;
  done bigint := 0;
BEGIN
  FOR name IN SELECT relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
              WHERE amname = 'pgstream' AND relnamespace = 'groups'::regnamespace ORDER BY relname LOOP
    PERFORM pgstream.refresh_stream_table('groups.' || quote_ident(name));
    done := done + 1;
  END LOOP;
  RETURN done;
END $$;

SELECT c.relname, (SELECT value FROM pgstream.explain_st(quote_ident(c.relname)) WHERE property = 'strategy') AS strategy
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam
  WHERE amname = 'pgstream' AND relnamespace = 'groups'::regnamespace ORDER BY 1;
SELECT * FROM verify();

-- Rows come: into groups that are there, into new ones, with NULLs everywhere.
INSERT INTO src (k, q, i, s, b, n, iv, m, f, d, t) VALUES
  ('k1', 0.5, 100, 3, 77, 3.125, '1 day', '$3.00', true, 0.1, 'a'), ('new', 9, 1, 1, 1, 1, '1 hour', '$1.00', false, 1, 'z'),
  (NULL, 1.5, 5, 5, 5, 5.55, '5 minutes', '$5.00', NULL, 5, NULL);
INSERT INTO src (k) VALUES ('k2'), ('nulls'), (NULL);
SELECT * FROM verify();
-- Rows change: what is summed, the key, the filter's column, nothing that matters.
UPDATE src SET n = n + 0.5 WHERE id % 50 = 0;
UPDATE src SET k = 'k3' WHERE id % 70 = 0;
UPDATE src SET f = NOT f, i = i + 1 WHERE id % 30 = 0;
SELECT * FROM verify();
UPDATE src SET t = t WHERE id < 20;
SELECT * FROM verify();
-- Rows go: the extremum, a whole group, the last NULL.
DELETE FROM src WHERE n = (SELECT max(n) FROM src);
DELETE FROM src WHERE t = 't0' OR i = 100;
DELETE FROM src WHERE k = 'k4' OR k = 'nulls';
SELECT * FROM verify();
-- HAVING: groups leave and come back.
DELETE FROM src WHERE k = 'k5' AND id % 2 = 0;
SELECT * FROM verify();
INSERT INTO src (k, n, i) SELECT 'k5', x, x FROM generate_series(1, 50) x;
SELECT * FROM verify();

-- Folded, nothing pending; then from the states that the fold stored.
SELECT refresh_all();
SELECT * FROM verify();
INSERT INTO src (k, q, i, s, b, n, iv, m, f, d, t) SELECT k, q, i, s, b, n, iv, m, f, d, t FROM src WHERE id % 20 = 0;
UPDATE src SET n = n - 1, b = b + 1, iv = iv * 2, m = m + '$1.00' WHERE id % 35 = 0;
SELECT * FROM verify();
DELETE FROM src WHERE id % 9 = 0;
SELECT * FROM verify();
SELECT refresh_all();
SELECT * FROM verify();

-- In a transaction, and back.
BEGIN;
INSERT INTO src (k, n, i) VALUES ('k1', 1000, 1000);
SAVEPOINT a;
DELETE FROM src WHERE k = 'k2';
SELECT * FROM verify();
ROLLBACK TO a;
SELECT * FROM verify();
UPDATE src SET i = -i WHERE k = 'k0';
SELECT refresh_all();
SELECT * FROM verify();
UPDATE src SET i = i - 7 WHERE k = 'k1';
SELECT * FROM verify();
ROLLBACK;
SELECT * FROM verify();

-- Numeric: the display scale of a sum, NaN and infinity, which come and go.
INSERT INTO src (k, q, n) VALUES ('scale', 1.0, 1), ('scale', 1.00, 2.500), ('scale', 1, 3);
SELECT refresh_all();
SELECT k, sn FROM sums WHERE k = 'scale';
DELETE FROM src WHERE k = 'scale' AND n = 2.5;
SELECT k, sn FROM sums WHERE k = 'scale';
SELECT * FROM verify();
SELECT * FROM scales WHERE q = 1;
DELETE FROM src WHERE k = 'scale' AND q::text = '1.0';
SELECT * FROM scales WHERE q = 1;
SELECT * FROM verify();
INSERT INTO src (k, n) VALUES ('k1', 'NaN'), ('k2', 'Infinity'), ('k3', '-Infinity'), ('k3', 'Infinity');
SELECT k, sn FROM sums WHERE k IN ('k1', 'k2', 'k3') ORDER BY k;
SELECT * FROM verify();
SELECT refresh_all();
DELETE FROM src WHERE n IN ('NaN', 'Infinity', '-Infinity');
SELECT * FROM verify();

-- An update that does not touch the extremum is nothing to it.
SELECT refresh_all();
UPDATE src SET n = n WHERE id < 400;
UPDATE src SET i = i + 1 WHERE n IN (SELECT max(n) FROM src GROUP BY k);
SELECT * FROM verify();

-- States are a cache: without them groups are evaluated by key, and the fold stores them again.
SELECT refresh_all();
VACUUM FULL sums, extremes, filtered, total, uniques;
SELECT * FROM verify();
UPDATE src SET n = n + 1, i = i + 1 WHERE id % 40 = 0;
DELETE FROM src WHERE id % 41 = 0;
SELECT * FROM verify();
SELECT refresh_all();
UPDATE src SET n = n + 1 WHERE id % 40 = 0;
SELECT * FROM verify();

-- Nor may states make a row larger than a page: many aggregates do without them.
CREATE TABLE many (k int, a numeric, b numeric);
SELECT 'CREATE TABLE many_sums USING pgstream AS SELECT k, '
       || string_agg(format('sum(a + %s) AS a%s, avg(b * %s) AS b%s', x, x, x, x), ', ') || ' FROM many GROUP BY k'
  FROM generate_series(1, 120) x \gexec
INSERT INTO many VALUES (1, 1.5, NULL), (1, NULL, NULL), (2, NULL, 3);
SELECT refresh_all();
UPDATE many SET a = 2.25 WHERE k = 1;
SELECT * FROM verify();
SELECT refresh_all();
SELECT * FROM verify();
DROP TABLE many CASCADE;

-- REINDEX CONCURRENTLY makes a new key index, which is found and serves.
REINDEX INDEX CONCURRENTLY sums_pgstream_key;
DELETE FROM src WHERE id % 40 = 1;
SELECT * FROM verify();
SELECT refresh_all();
SELECT * FROM verify();
DROP INDEX sums_pgstream_key;

-- Everything goes: no rows, but one where there is no GROUP BY.
DELETE FROM src;
SELECT * FROM verify();
SELECT * FROM total;
SELECT count(*) FROM sums;
SELECT refresh_all();
SELECT * FROM verify();
INSERT INTO src (k, n, i) VALUES ('again', 1.5, 3);
SELECT * FROM verify();
SELECT * FROM total;
SELECT refresh_all();
SELECT * FROM verify();

-- Over an empty table from the start.
CREATE TABLE empty (a int, b numeric);
CREATE TABLE empty_total USING pgstream AS SELECT count(*) AS c, sum(b) AS s, max(a) AS m FROM empty;
CREATE TABLE empty_groups USING pgstream AS SELECT a, sum(b) AS s FROM empty GROUP BY a;
SELECT * FROM empty_total;
INSERT INTO empty VALUES (1, 2.50), (NULL, 3);
SELECT * FROM empty_total;
SELECT * FROM empty_groups ORDER BY a;
SELECT * FROM verify();

-- Equal keys can look different by value as well: what is shown is there.
CREATE TABLE zeros (f float8);
CREATE TABLE zero_counts USING pgstream AS SELECT f, count(*) FROM zeros GROUP BY f;
INSERT INTO zeros VALUES ('-0');
SELECT * FROM zero_counts;
UPDATE zeros SET f = -f;
SELECT * FROM zero_counts;
SELECT * FROM verify();

-- An error of the query is the reader's, and goes with its cause.
CREATE TABLE failing USING pgstream AS SELECT a, sum(10 / a) AS s FROM empty GROUP BY a;
INSERT INTO empty VALUES (0, 1);
SELECT * FROM failing;
SELECT pgstream.refresh_stream_table('groups.failing');
DELETE FROM empty WHERE a = 0;
SELECT * FROM failing ORDER BY a;
SELECT * FROM verify();

-- More groups than fit into memory: done in parts, and again for the next reader.
CREATE TABLE many (g int, v numeric, w int);
INSERT INTO many SELECT x, x * 0.5, x % 3 FROM generate_series(1, 3000) x;
CREATE TABLE many_sums USING pgstream AS SELECT g, sum(v) AS sv, max(w) AS mw FROM many GROUP BY g;
CREATE TABLE many_keyed USING pgstream AS SELECT g, string_agg(w::text, ',') AS ws FROM many GROUP BY g HAVING count(*) < 3;
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
UPDATE many SET v = v + 1.25, w = w - 1;
SELECT * FROM verify();
INSERT INTO many SELECT g, v, w FROM many WHERE g % 2 = 0;
SELECT * FROM verify();
DELETE FROM many WHERE g < 1000;
SELECT * FROM verify();
RESET work_mem;
RESET hash_mem_multiplier;
SELECT refresh_all();
SELECT * FROM verify();
DROP SCHEMA groups CASCADE;
