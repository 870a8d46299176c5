-- The rows strategy: filters and projections of one table, live, compared as text with the query itself.
CREATE SCHEMA rows_test;
SET search_path = rows_test;
SET client_min_messages = warning;

CREATE TABLE stream (name text PRIMARY KEY, query text NOT NULL);

-- Creates a stream table and remembers its query.
CREATE FUNCTION make(name text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE format('CREATE TABLE %I USING pgstream AS %s', name, query);
  INSERT INTO stream VALUES (name, query);
  SELECT e.value INTO result FROM pgstream.explain_st('rows_test.' || quote_ident(name)) e WHERE e.property = 'strategy';
  RETURN result;
END $$;

-- Rows that the stream table has too many of (+) or too few of (-), as text, in one statement and so in one snapshot.
CREATE FUNCTION difference(name text, query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY EXECUTE format(
    'WITH have AS MATERIALIZED (SELECT s::text AS r FROM %I s), want AS MATERIALIZED (SELECT q::text AS r FROM (%s) q)
     (SELECT ''+'' || left(r, 60) FROM (SELECT r FROM have EXCEPT ALL SELECT r FROM want) a)
     UNION ALL (SELECT ''-'' || left(r, 60) FROM (SELECT r FROM want EXCEPT ALL SELECT r FROM have) b)', name, query);
END $$;

-- The strategy that answered, from EXPLAIN; nothing pending gives NULL.
CREATE FUNCTION answered_by(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE plan json; entry json;
BEGIN
  EXECUTE format('EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM %I', name) INTO plan;
  SELECT e INTO entry FROM json_array_elements(plan -> 0 -> 'Stream Tables') e;
  IF (entry ->> 'Pending Changes')::bigint = 0 THEN RETURN NULL; END IF;
  RETURN entry ->> 'Strategy';
END $$;

-- How many stream tables were answered how, and every row that is too many or too few.
CREATE FUNCTION state() RETURNS TABLE (answered_by text, stream_tables bigint, wrong text) LANGUAGE sql AS $$
  SELECT coalesce(answered_by(name), 'nothing pending'), count(*), NULL FROM stream GROUP BY 1
  UNION ALL
  SELECT name, NULL, difference(name, query) FROM stream
  ORDER BY 1, 3
$$;

CREATE FUNCTION refresh_all() RETURNS void LANGUAGE sql AS $$
  SELECT pgstream.refresh_stream_table('rows_test.' || quote_ident(name)) FROM stream
$$;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (x integer, y text);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE item (
  id integer PRIMARY KEY, v integer, t text, n numeric, a integer[], j jsonb, js json, m mood, p pair, d positive,
  b bytea, c money, i interval, ts timestamptz, f float8, bits bit(4), flag boolean, name char(5), unused text);
CREATE FUNCTION long_text(seed integer) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT string_agg(md5((seed * 1000 + k)::text), '') FROM generate_series(1, 200) k $$;
CREATE FUNCTION fill(first integer, last integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO item
  SELECT k, k % 17, CASE k % 5 WHEN 0 THEN NULL WHEN 1 THEN long_text(k % 3) ELSE 'text ' || k % 4 END,
         (k % 7) * CASE k % 3 WHEN 0 THEN 1.0 WHEN 1 THEN 1.000 ELSE 1 END,
         CASE WHEN k % 6 = 0 THEN NULL ELSE ARRAY[k % 3, NULL, k % 2] END,
         jsonb_build_object('a', k % 4, 'b', repeat('x', k % 50)), json_build_object('k', k % 3),
         (enum_range(NULL::mood))[k % 4], ROW(k % 2, 'p' || k % 3)::pair, k % 9 + 1, decode(md5((k % 5)::text), 'hex'),
         (k % 8)::numeric::money, (k % 30) * interval '1 hour', timestamptz '2024-01-01 00:00+00' + (k % 12) * interval '1 day',
         (k % 10) / 4.0, (k % 16)::bit(4), k % 2 = 0, 'n' || k % 11, 'u' || k
    FROM generate_series(first, last) k
$$;
SELECT fill(1, 60);

-- What is maintained by rows.
SELECT make('filtered', 'SELECT id, v FROM item WHERE v > 5 AND t IS NOT NULL');
SELECT make('everything', 'SELECT * FROM item');
SELECT make('renamed', 'SELECT x.one AS b, x.two + 1 AS a FROM item AS x (one, two) WHERE x.two < 10 ORDER BY x.n');
SELECT make('duplicates', 'SELECT v % 3 AS r, m FROM item');
SELECT make('constant', 'SELECT 1 AS one FROM item WHERE flag');
SELECT make('long_rows', 'SELECT t, t || t AS twice FROM item');
SELECT make('computed', $$SELECT upper(left(t, 6)) AS u, n * 2 AS n2, a[1] AS a1, j ->> 'a' AS ja, (p).y AS py,
  CASE WHEN v > 8 THEN 'big' WHEN v IS NULL THEN 'none' ELSE 'small' END AS size, coalesce(n, 0.00) AS n0,
  d + 1 AS d1, i * 2 AS i2, js -> 'k' AS jk, ROW(id % 2, t) = ROW(1, t) AS odd, v IN (1, 2, 3) AS few, name || '|' AS nm
  FROM item$$);
SELECT make('collated', 'SELECT t COLLATE "C" AS t FROM item WHERE t COLLATE "C" < ''text 2'' COLLATE "C"');
SELECT make('no_equality', 'SELECT js FROM item');
SELECT make('risky', 'SELECT id, 100 / v AS share FROM item WHERE v <> 0 OR id > 1000');
SELECT make('wide', (SELECT 'SELECT ' || string_agg(format('v + %s AS c%s', k, k), ', ' ORDER BY k) || ' FROM item'
                       FROM generate_series(1, 40) k));
CREATE FUNCTION greet(who text, greeting text DEFAULT 'hello', ending text DEFAULT '!') RETURNS text
  LANGUAGE sql IMMUTABLE AS $$ SELECT greeting || ' ' || who || ending $$;
SELECT make('called', 'SELECT greet(t, ending => ''?'') AS g FROM item');
SELECT make('no_column_used', 'SELECT true AS yes FROM item');

-- What is not, and why.
CREATE VIEW reasons AS
SELECT s.name, max(e.value) FILTER (WHERE e.property = 'strategy') AS strategy,
       max(e.value) FILTER (WHERE e.property = 'reason') AS reason
  FROM (VALUES ('by_clock'), ('by_session'), ('whole'), ('system'), ('only_item'), ('joined'), ('limited'), ('windowed'),
               ('subquery'), ('united'), ('several'), ('common'), ('sampled'), ('catalog')) s (name),
       pgstream.explain_st('rows_test.' || s.name) e
 GROUP BY s.name;
CREATE TABLE by_clock USING pgstream AS SELECT id, ts < now() AS past FROM item;
CREATE TABLE by_session USING pgstream AS SELECT id, ts::text AS ts FROM item;
CREATE TABLE whole USING pgstream AS SELECT item FROM item;
CREATE TABLE system USING pgstream AS SELECT tableoid AS t FROM item;
CREATE TABLE only_item USING pgstream AS SELECT id FROM ONLY item;
CREATE TABLE joined USING pgstream AS SELECT a.id FROM item a JOIN item b USING (id);
CREATE TABLE limited USING pgstream AS SELECT id FROM item ORDER BY id LIMIT 3;
CREATE TABLE windowed USING pgstream AS SELECT id, row_number() OVER (ORDER BY id) AS rn FROM item;
CREATE TABLE subquery USING pgstream AS SELECT id, (SELECT max(id) FROM item) AS mx FROM item;
CREATE TABLE united USING pgstream AS SELECT id FROM item UNION ALL SELECT v FROM item;
CREATE TABLE several USING pgstream AS SELECT id, generate_series(1, 2) AS g FROM item;
CREATE TABLE common USING pgstream AS WITH c AS (SELECT id FROM item) SELECT id FROM c;
CREATE TABLE sampled USING pgstream AS SELECT id FROM item TABLESAMPLE system (100) REPEATABLE (1);
CREATE TABLE catalog USING pgstream AS SELECT nspname FROM pg_namespace WHERE nspname = 'rows_test';
SELECT * FROM reasons ORDER BY name;
DROP TABLE by_clock, by_session, whole, system, only_item, joined, limited, windowed, subquery, united, several, common,
  sampled, catalog CASCADE;

-- Nothing pending.
SELECT * FROM state();

-- One change, many changes, in and out of a transaction.
INSERT INTO item (id, v, n) VALUES (1000, 7, 1.50);
SELECT * FROM state();
SELECT fill(61, 120);
SELECT * FROM state();
UPDATE item SET v = v + 1, n = n + 0.25 WHERE id % 4 = 0;
SELECT * FROM state();
BEGIN;
DELETE FROM item WHERE id BETWEEN 20 AND 40;
SELECT * FROM state();
SAVEPOINT s;
UPDATE item SET t = long_text(id % 2), m = 'sad' WHERE id > 90;
SELECT * FROM state();
ROLLBACK TO s;
SELECT * FROM state();
UPDATE item SET a = a || 5, j = j || '{"c": 1.0}', p = ROW(9, NULL), name = 'zz' WHERE v = 3;
SELECT * FROM state();
COMMIT;
SELECT * FROM state();

-- A numeric that changes in scale alone, a float that changes in sign alone: other rows, though equal.
UPDATE item SET n = n * 1.0000 WHERE n = 2;
UPDATE item SET f = -f WHERE f = 0;
SELECT * FROM state();

-- Folded, and on from there.
SELECT refresh_all();
SELECT * FROM state();
UPDATE item SET v = 6 WHERE id = 50;
DELETE FROM item WHERE id = 51;
INSERT INTO item (id, v, t) SELECT id + 500, v, t FROM item WHERE id < 30;
SELECT * FROM state();

-- A row that the query cannot compute comes and goes again before and between reads; while it is there, the reader gets
-- the query's own error.
BEGIN;
INSERT INTO item (id, v) VALUES (1001, 0);
DELETE FROM item WHERE id = 1001;
SELECT * FROM state();
COMMIT;
INSERT INTO item (id, v) VALUES (1001, 0);
SELECT count(*) FROM risky;
UPDATE item SET v = 4 WHERE id = 1001;
SELECT * FROM state();
SELECT refresh_all();
SELECT * FROM state();

-- A change and its opposite leave nothing, nor does a change of an unused column of most.
UPDATE item SET unused = 'changed' WHERE id = 60;
SELECT * FROM state();
UPDATE item SET v = v + 1;
UPDATE item SET v = v - 1;
SELECT * FROM state();

-- Emptied by DELETE, filled again, emptied by TRUNCATE (answered by recompute).
DELETE FROM item;
SELECT * FROM state();
SELECT sum(n) FROM (SELECT count(*) AS n FROM everything UNION ALL SELECT count(*) FROM duplicates) x;
SELECT refresh_all();
SELECT * FROM state();
SELECT fill(1, 10);
SELECT * FROM state();
TRUNCATE item;
SELECT * FROM state();
SELECT refresh_all();
SELECT * FROM state();
SELECT sum(n) FROM (SELECT count(*) AS n FROM everything UNION ALL SELECT count(*) FROM duplicates) x;

-- More changed rows than fit into memory: done in parts, additions on disk.
CREATE TABLE many (id integer, v integer);
INSERT INTO many SELECT k, k % 700 FROM generate_series(1, 3000) k;
DELETE FROM stream;
SELECT make('padded', $$SELECT v, repeat(chr(97 + v % 20), 200) AS pad FROM many WHERE v > 10$$);
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
UPDATE many SET v = v + 5 WHERE id % 2 = 0;
SELECT * FROM state();
UPDATE many SET v = v - 1 WHERE id % 3 = 0;
SELECT * FROM state();
SELECT pgstream.refresh_stream_table('rows_test.padded');
SELECT * FROM state();
BEGIN;
DELETE FROM many WHERE id > 100;
SELECT * FROM state();
ROLLBACK;
DELETE FROM many;
SELECT * FROM state();
RESET work_mem;
RESET hash_mem_multiplier;

DROP SCHEMA rows_test CASCADE;
