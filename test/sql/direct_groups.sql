-- Changed rows that are summed as they lie in the log: the plans this is done for, extremes of every type, rows that go another
-- way beside rows that do not, groups that come, go and come back, minima and maxima that cancel, memory that is short.
CREATE SCHEMA direct_groups;
SET search_path = direct_groups, public;
SET client_min_messages = warning;
SET pgstream.keyed_evaluation = always;
SET TimeZone = 'UTC';
SET max_parallel_workers_per_gather = 0;
CREATE TABLE src (id int PRIMARY KEY, k int, s int2, b bigint, ok bool, o oid, d date, t time, at timestamptz, ats timestamp, txt text, n numeric, m numeric(12,2), u uuid DEFAULT md5((random() * 5)::int::text)::uuid);
CREATE INDEX ON src (k);
CREATE TABLE by_k USING pgstream AS
  SELECT k, count(*), count(b) AS bs, count(txt) AS texts, count(1) AS ones, sum(k) AS ks, sum(s) AS ss, sum(b) AS sum_b, avg(s) AS avg_s, avg(k) AS avg_k, avg(b) AS avg_b FROM src GROUP BY k;
CREATE TABLE extremes USING pgstream AS
  SELECT s, min(k) AS k0, max(k) AS k1, min(b) AS b0, max(b) AS b1, max(s) AS s1, min(o) AS o0, max(o) AS o1, min(d) AS d0, max(d) AS d1, min(t) AS t0, max(t) AS t1, min(at) AS at0,
         max(at) AS at1, min(ats) AS ats0, max(ats) AS ats1, count(*) FROM src GROUP BY s;
CREATE TABLE two_keys USING pgstream AS SELECT ok, o, sum(b), count(*) FROM src WHERE k > 3 AND b <= 1000000 AND ok GROUP BY ok, o;
CREATE TABLE four_keys USING pgstream AS SELECT d, s, ok, k, sum(k) FROM src WHERE 5 <> s GROUP BY d, s, ok, k;
CREATE TABLE whole USING pgstream AS SELECT count(*), sum(k), max(b), avg(b), min(d) FROM src;
CREATE TABLE hidden USING pgstream AS SELECT k, sum(b) FROM src GROUP BY k HAVING count(*) > 2;
CREATE TABLE kinds USING pgstream AS SELECT DISTINCT k, ok FROM src WHERE s >= 0;
CREATE TABLE filtered USING pgstream AS
  SELECT k, sum(s) FILTER (WHERE ok) AS s, count(*) FILTER (WHERE b > 10 AND b < 5000) AS some, count(txt) FILTER (WHERE b < 0) AS texts, max(b) FILTER (WHERE s <> 2) AS m, sum(n) FILTER (WHERE ok) AS n FROM src GROUP BY k;
CREATE TABLE by_text USING pgstream AS SELECT txt, sum(n), avg(n), sum(m) AS m, avg(m) AS avg_m, count(*), count(n) AS ns FROM src GROUP BY txt;
CREATE TABLE by_uuid USING pgstream AS SELECT u, txt, k, count(*), max(at), sum(b) FROM src WHERE k < 100 GROUP BY u, txt, k;
CREATE TABLE whole_numeric USING pgstream AS SELECT sum(n), avg(m), count(m) FROM src WHERE s > 0;
CREATE TABLE computed USING pgstream AS SELECT k % 3 AS rest, s / 2 + k / 3 AS half, sum(b / 3 - s) AS b, max(b / 10 + k::bigint) AS m, count(*) FROM src GROUP BY 1, 2;
-- Of which not all is done so.
CREATE TABLE by_numeric USING pgstream AS SELECT m, count(*) FROM src GROUP BY m;
CREATE TABLE any_case USING pgstream AS SELECT lower(txt) AS txt, count(*) FROM src GROUP BY 1;
CREATE TABLE squares USING pgstream AS SELECT k, variance(s) FROM src GROUP BY 1;
CREATE FUNCTION summed(stream text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; found text := 'none';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM ' || stream LOOP
    IF line ~ 'Changes Summed' THEN found := regexp_replace(line, '^.*: ', ''); END IF;
  END LOOP;
  RETURN found;
END $$;
CREATE FUNCTION all_summed() RETURNS TABLE (name text, rows text) LANGUAGE sql AS
  $$ SELECT name, summed(name) FROM unnest(ARRAY['by_k', 'extremes', 'two_keys', 'four_keys', 'whole', 'hidden', 'kinds', 'filtered', 'by_text', 'by_uuid', 'whole_numeric', 'computed', 'by_numeric', 'any_case', 'squares']) name $$;
INSERT INTO src SELECT i, i % 7, i % 5, i * 100, i % 2 = 0, i % 4, date '2020-01-01' + i % 9, time '10:00' + i * interval '1 second', timestamptz '2020-01-01 00:00+00' + i * interval '1 hour',
                       timestamp '2020-01-01' + i * interval '1 day', 'text ' || i % 3, i + 0.1, i / 7.0 FROM generate_series(1, 100) i;
SELECT * FROM all_summed();
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
-- The ends of every type, NULLs in every place: such rows beside others in one record.
INSERT INTO src VALUES
  (201, 2147483647, 32767, 9223372036854775807, true, 4294967295, 'infinity', '24:00', 'infinity', 'infinity', '', 'NaN'),
  (202, 2147483647, 32767, 9223372036854775807, true, 2147483648, 'infinity', '24:00', 'infinity', 'infinity', '', 'NaN'),
  (203, -2147483648, -32768, -9223372036854775808, false, 0, '-infinity', '00:00', '-infinity', '-infinity', NULL, 0),
  (204, -2147483648, -32768, -9223372036854775808, false, 0, '-infinity', '00:00', '-infinity', '-infinity', NULL, 0),
  (205, NULL, 1, 5, true, 1, NULL, NULL, NULL, NULL, 'x', NULL), (206, 1, NULL, NULL, NULL, NULL, '2021-01-01', '01:00', NULL, NULL, NULL, 1),
  (207, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (208, 1, 1, NULL, true, NULL, NULL, NULL, NULL, NULL, NULL, 2);
INSERT INTO src SELECT i, 2147483647, 32767, 9223372036854775807 - i % 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM generate_series(300, 340) i;
INSERT INTO src SELECT i, 2147483647, 32767, -9223372036854775808 + i % 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM generate_series(400, 420) i;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
-- Numerics of all scales and sizes; texts of all lengths.
INSERT INTO src (id, k, s, txt, n, m) SELECT 2500 + i, i % 4, i % 3, 'text ' || i % 3, v::numeric, (i - 8) * 111111111.11
  FROM unnest(ARRAY['0', '0.0', '0.00', '-0.1', '0.5', '99999999.9', '-99999999.9', '999999999999999.9', '-123456789012345678901234567890.1', '1e40', '1e-40', '0.0001', '10000.0', '100000000.0', 'NaN', 'Infinity', '-Infinity', '7.5', '-7.5', '12345.6'])
       WITH ORDINALITY AS values (v, i);
INSERT INTO src (id, k, txt, n) SELECT 2600 + i, 2, repeat('x', i * i), i + 0.5 FROM generate_series(0, 30) i;
INSERT INTO src (id, k, txt, n) SELECT 2700 + i, 3, repeat(md5(i::text), 200 * i), i FROM generate_series(0, 3) i;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
DELETE FROM src WHERE id BETWEEN 2501 AND 2600 AND id % 2 = 0;
UPDATE src SET n = n + 0.1, m = -m WHERE id BETWEEN 1 AND 20;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
DELETE FROM src WHERE id BETWEEN 2501 AND 2650;
UPDATE src SET n = round(n) WHERE id BETWEEN 1 AND 60;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
UPDATE src SET n = 0.1 WHERE id BETWEEN 1 AND 60;
DELETE FROM src WHERE id BETWEEN 2650 AND 2710;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
UPDATE src SET b = b - 1 WHERE id IN (201, 300);
UPDATE src SET k = 5, s = 3 WHERE id IN (203, 205, 206);
DELETE FROM src WHERE id IN (202, 204, 208, 305);
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
DELETE FROM src WHERE id > 300;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
-- A value that came and went, an extreme that went and came back, and one that went for good.
UPDATE src SET b = 77777, d = '2030-01-01' WHERE id = 10;
UPDATE src SET b = 1000, d = '2020-01-02' WHERE id = 10;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
UPDATE src SET b = b + 1 WHERE id = 100;
UPDATE src SET b = b - 1 WHERE id = 100;
UPDATE src SET k = k + 1 WHERE id = 100;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
DELETE FROM src WHERE id IN (100, 99, 1, 2);
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
-- Groups that end, within one transaction and for good, and are there again.
BEGIN;
DELETE FROM src WHERE k IN (1, 2, 3);
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SAVEPOINT s;
INSERT INTO src SELECT i, i % 3, NULL, i, true, 1, NULL, NULL, NULL, NULL, NULL, NULL FROM generate_series(500, 520) i;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
ROLLBACK TO s;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
INSERT INTO src SELECT i, i % 3, 2, NULL, true, 1, NULL, NULL, NULL, NULL, NULL, NULL FROM generate_series(500, 520) i;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
UPDATE src SET b = id WHERE id >= 500;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
COMMIT;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
-- Nothing left, and from nothing.
BEGIN;
DELETE FROM src;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
INSERT INTO src (id, k, s, b) SELECT i, i % 3, i % 2, 9223372036854775807 - i FROM generate_series(1, 50) i;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
ROLLBACK;
-- Many groups, of which memory holds some: those go one way, the others another, and are gone over in parts.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
INSERT INTO src SELECT i, i % 997, i % 991, i, i % 3 = 0, i % 100, date '2000-01-01' + i % 500, NULL, NULL, NULL, 'many' || i % 800, i / 10.0 FROM generate_series(1000, 2200) i;
SELECT streams, exact, wrong, answered FROM verify_streams('direct_groups');
UPDATE src SET b = b - 5, k = k + 1 WHERE id % 3 = 0 AND id >= 1000;
DELETE FROM src WHERE id % 7 = 0;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
RESET work_mem;
RESET hash_mem_multiplier;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
-- Thousands of values of one group at once, into states and out of them: sums beyond 8 bytes.
INSERT INTO src (id, k, s, b, txt, n, m) SELECT i, 1, 1, 9223372036854775807, 'text 1', 0.1, 9999999999.99 FROM generate_series(10000, 13000) i;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
DELETE FROM src WHERE id BETWEEN 10000 AND 12900;
INSERT INTO src (id, k, s, b, txt, m) SELECT i, 1, 1, -9223372036854775808, 'text 1', -1 FROM generate_series(20000, 20100) i;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
-- Arithmetic: what raises an error in the query raises it here, and what came and went raises none.
CREATE TABLE calc (id int PRIMARY KEY, a int, c int, s int2, l bigint);
CREATE TABLE quotients USING pgstream AS SELECT a % 3 AS rest, sum(a / c) AS q, max(a * 1000) AS m, min(-s) AS n, avg(l * 2) AS l, sum(l::int) AS i, count(*) FROM calc GROUP BY 1;
CREATE TABLE remainders USING pgstream AS SELECT s + 1::int2 AS next, a % c AS rest, sum(s * s) FROM calc WHERE c <> 7 GROUP BY 1, 2;
CREATE FUNCTION both_raise(stream text, OUT of_query text, OUT of_stream text) LANGUAGE sql AS
  $$ SELECT raised(pgstream.defining_query(stream::regclass)), raised('SELECT * FROM ' || stream) $$;
INSERT INTO calc SELECT i, i * 7 - 50, i % 5 + 1, i % 9, i * 3 FROM generate_series(1, 60) i;
INSERT INTO calc VALUES (61, -2147483648, 2, -3, NULL), (62, NULL, 0, NULL, -5), (63, 5, NULL, 0, 0), (64, NULL, NULL, NULL, NULL), (65, -2000000, -1, NULL, -2147483648);
SELECT (both_raise(name)).*, name FROM unnest(ARRAY['quotients', 'remainders']) name;
DELETE FROM calc WHERE id = 61;
SELECT summed('quotients'), summed('remainders');
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
DO $$
DECLARE sample text; q record; r record; same boolean := true; seen text := '';
BEGIN
  FOREACH sample IN ARRAY ARRAY['5, 0, 1, 1', '2147483647, 1, 1, 1', '2147484, 1, 1, 1', '1, 1, -32768, 1', '1, 1, 32767, 1', '1, 1, 200, 1', '1, 1, 1, 9223372036854775807', '1, 1, 1, 3000000000', '-2147483648, -1, 1, 1', '-5, 7, 32767, 4', '5, 0, NULL, NULL', 'NULL, 0, 3, 3'] LOOP
    EXECUTE format('INSERT INTO calc VALUES (100, %s)', sample);
    SELECT * INTO q FROM both_raise('quotients');
    SELECT * INTO r FROM both_raise('remainders');
    same := same AND q.of_query = q.of_stream AND r.of_query = r.of_stream;
    IF q.of_query <> q.of_stream OR r.of_query <> r.of_stream THEN RAISE WARNING '%: %, %', sample, q, r; END IF;
    seen := seen || q.of_query || '; ' || r.of_query || E'\n';
    DELETE FROM calc WHERE id = 100;
  END LOOP;
  PERFORM set_config('direct_groups.seen', seen, false), set_config('direct_groups.same', same::text, false);
END $$;
SELECT current_setting('direct_groups.same') AS same, current_setting('direct_groups.seen') AS seen;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
UPDATE calc SET a = a + 1, c = c + 1, s = s - 2, l = -l WHERE id % 3 = 0;
DELETE FROM calc WHERE id % 5 = 0;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
-- A NULL that comes summed and goes by itself, as the first numeric that a fold meets decides which scale is summed.
CREATE TABLE halves (k int, b bigint, n numeric);
CREATE TABLE by_scale USING pgstream AS SELECT k, sum(b) AS b, avg(b) AS avg_b, variance(b) AS v, sum(n) AS n FROM halves GROUP BY k;
CREATE TABLE sums_by_scale USING pgstream AS SELECT k, sum(b) AS b, avg(b) AS avg_b, sum(n) AS n, count(*) FROM halves GROUP BY k;
INSERT INTO halves VALUES (1, 5, 1.25), (1, NULL, 2.25);
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
INSERT INTO halves VALUES (1, NULL, 1.5);
DELETE FROM halves WHERE n = 2.25;
SELECT * FROM sums_by_scale;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
SELECT refresh_streams('direct_groups') > 0 AS refreshed;
DELETE FROM halves WHERE b IS NULL;
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
-- Any sequence of changes.
CREATE FUNCTION random_changes(rounds int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE wrong text; r int;
BEGIN
  FOR r IN 1 .. rounds LOOP
    CASE floor(random() * 6)::int
      WHEN 0 THEN INSERT INTO src SELECT 30000 + r * 1000 + i, nullif(floor(random() * 9)::int, 8), nullif(floor(random() * 6), 5), floor(random() * 50 - 20), random() < 0.5, floor(random() * 4)::int::oid,
                                         date '2020-01-01' + floor(random() * 5)::int, NULL, NULL, NULL, nullif(floor(random() * 3)::text, '2'), CASE WHEN random() < 0.1 THEN 1.25 ELSE floor(random() * 10) + 0.5 END, random() * 100 FROM generate_series(1, 1 + floor(random() * 40)::int) i;
      WHEN 1 THEN DELETE FROM src WHERE random() < 0.1;
      WHEN 2 THEN UPDATE src SET b = b + floor(random() * 5 - 2) WHERE abs(b / 2) < 1000000 AND random() < 0.1;
      WHEN 4 THEN UPDATE src SET n = n - 1.5, m = m * 1.5, txt = nullif(floor(random() * 3)::text, '1') WHERE abs(m) < 1000000 AND random() < 0.1;
      WHEN 3 THEN UPDATE src SET k = floor(random() * 9), s = nullif(floor(random() * 6), 5) WHERE random() < 0.1;
      ELSE UPDATE src SET d = d + floor(random() * 3 - 1)::int, ok = nullif(random() < 0.5, random() < 0.2) WHERE random() < 0.1;
    END CASE;
    SELECT v.wrong INTO wrong FROM verify_streams('direct_groups') v;
    IF wrong IS NOT NULL THEN RETURN format('round %s: %s', r, wrong); END IF;
    IF random() < 0.2 THEN PERFORM refresh_streams('direct_groups'); END IF;
  END LOOP;
  RETURN 'exact';
END $$;
DELETE FROM src WHERE id > 300;
SELECT random_changes(40);
SELECT streams, exact, wrong FROM verify_streams('direct_groups');
DROP SCHEMA direct_groups CASCADE;
