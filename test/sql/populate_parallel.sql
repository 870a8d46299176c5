-- Content that parallel workers sum, beside the leader or without it: the same rows and states. That they take part is asserted by t/072_populate_columns.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
\getenv directory PG_ABS_SRCDIR
\set file :directory '/sql/populate_columns.sql'
\set workers 2
-- All of that test, whose rows are the workers' alone.
SET parallel_leader_participation = off;
\i :file
CREATE SCHEMA populate_parallel;
SET search_path = populate_parallel, public;
RESET parallel_leader_participation;
-- Enough pages for all, of which each meets numerics of another scale first. Some groups are in few pages, some in all.
CREATE TABLE src (id int, k int, txt text, n numeric, b bigint, d date) WITH (autovacuum_enabled = off);
INSERT INTO src SELECT i, nullif(i % 40, 7), 'text ' || i * 37 % 1000, round(i / 7.0, i / 5000 % 4), nullif(i * 1000003::bigint, 3000009), date '2020-01-01' + i / 100 FROM generate_series(1, 40000) i;
INSERT INTO src SELECT i, i % 40, repeat('long ', i::int), v::numeric, 9223372036854775807, 'infinity' FROM unnest(ARRAY['NaN', 'Infinity', '1e40', '-1e-40', '123456789012345678.5']) WITH ORDINALITY AS u (v, i);
UPDATE src SET txt = 'text ' || id WHERE id % 20 = 0;
DELETE FROM src WHERE id % 13 = 0;
ANALYZE src;
CREATE TABLE queries (name text, query text);
INSERT INTO queries VALUES
  ('by_k', 'SELECT k, count(*), sum(n) AS n, avg(n) AS a, sum(b) AS b, min(d) AS d0, max(d) AS d1, min(b) AS b0, count(b) AS bs FROM src GROUP BY k'),
  ('by_txt', 'SELECT txt, k, count(*), sum(n) AS n, max(id) AS id, avg(id) AS a FROM src GROUP BY txt, k'),
  ('by_d', 'SELECT d, sum(n) FILTER (WHERE k > 5) AS n, count(*) FILTER (WHERE b < 0) AS none, sum(k / 3 + id) AS c FROM src WHERE id < 39000 GROUP BY d'),
  ('whole', 'SELECT count(*), sum(n) AS n, min(b) AS b0, max(b) AS b1, sum(id) AS ids FROM src'),
  ('kinds', 'SELECT DISTINCT txt FROM src');
-- Creates one that is kept up to date and one that holds what recomputes give.
CREATE PROCEDURE define() LANGUAGE plpgsql AS $$
DECLARE q record;
BEGIN
  FOR q IN SELECT * FROM queries LOOP
    EXECUTE format('CREATE TABLE %s USING pgstream AS %s', q.name, q.query);
    EXECUTE format('CREATE TABLE %s_full USING pgstream WITH (refresh_mode = ''FULL'') AS %s', q.name, q.query);
  END LOOP;
END $$;
-- What recomputes have written, since the last question.
CREATE FUNCTION recomputed(OUT tables bigint, OUT inserted bigint, OUT deleted bigint) LANGUAGE plpgsql AS $$
DECLARE last bigint := (SELECT coalesce(max(refresh_id), 0) FROM pgstream.pgs_refresh_history);
BEGIN
  PERFORM pgstream.refresh_stream_table(name || '_full') FROM queries;
  SELECT count(*), sum(rows_inserted), sum(rows_deleted) INTO tables, inserted, deleted
    FROM pgstream.pgs_refresh_history h JOIN pg_class c ON c.oid = h.pgs_relid WHERE refresh_id > last AND relname LIKE '%\_full';
END $$;
CREATE FUNCTION verified(OUT streams bigint, OUT exact bigint, OUT wrong text) LANGUAGE sql SET max_parallel_workers_per_gather = 0 AS
  'SELECT streams, exact, wrong FROM public.verify_streams(''populate_parallel'')';
CALL define();
SELECT * FROM verified();
-- Again; by other numbers of workers; by the leader alone, as none is to be had; without any. Hidden states are the same, too.
SELECT * FROM recomputed();
SET max_parallel_workers_per_gather = 4;
SELECT * FROM recomputed();
SET parallel_leader_participation = off;
SELECT * FROM recomputed();
SET max_parallel_workers = 0;
SELECT * FROM recomputed();
RESET parallel_leader_participation;
SELECT * FROM recomputed();
RESET max_parallel_workers;
SET max_parallel_workers_per_gather = 0;
SELECT * FROM recomputed();
-- From states made by workers it goes on.
SET max_parallel_workers_per_gather = 2;
UPDATE src SET n = n + 1, k = k + 1 WHERE id % 17 = 0;
DELETE FROM src WHERE id BETWEEN 1000 AND 3000 OR n = 'NaN';
INSERT INTO src SELECT * FROM src WHERE id % 19 = 0;
SELECT name, d.* FROM queries, differences(name) d;
SELECT pgstream.refresh_stream_table(name) FROM queries;
SELECT tables, inserted > 0 AS some FROM recomputed();
SELECT * FROM verified();
-- Little memory: each has some of the groups, or too many.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SET maintenance_work_mem = '1MB';
SELECT tables, inserted = deleted AS same FROM recomputed();
CREATE TABLE each_one USING pgstream AS SELECT id, txt, sum(n) AS n FROM src GROUP BY id, txt;
SELECT * FROM differences('each_one');
RESET work_mem;
RESET hash_mem_multiplier;
RESET maintenance_work_mem;
SELECT * FROM recomputed();
-- In a transaction with writes of its own, some of them undone, in subtransactions and functions, under every isolation level.
-- What is asked of it is read without workers.
CREATE FUNCTION different(stream regclass) RETURNS text LANGUAGE sql SET max_parallel_workers_per_gather = 0 AS 'SELECT d::text FROM public.differences(stream) d';
CREATE FUNCTION made(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  BEGIN
    UPDATE src SET n = -n, txt = 'undone' WHERE id % 7 = 0;
    EXECUTE 'CREATE TABLE undone USING pgstream AS ' || query;
    result := different('undone');
    RAISE division_by_zero;
  EXCEPTION WHEN division_by_zero THEN
    UPDATE src SET n = n + 3 WHERE id % 9 = 0;
    EXECUTE 'CREATE TABLE made USING pgstream AS ' || query;
  END;
  RETURN result || different('made');
END $$;
BEGIN;
INSERT INTO src SELECT id + 100000, k, txt, n, b, d FROM src WHERE id % 3 = 0;
SAVEPOINT s;
DELETE FROM src WHERE id % 2 = 0;
ROLLBACK TO s;
UPDATE src SET k = k + 1 WHERE id % 5 = 0;
UPDATE src SET k = k - 1 WHERE id % 10 = 0;
SELECT name, made(query), raised('DROP TABLE made') FROM queries;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
DELETE FROM src WHERE id % 11 = 0;
SELECT name, made(query), raised('DROP TABLE made') FROM queries;
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
DELETE FROM src WHERE id % 11 = 0;
SELECT name, made(query), raised('DROP TABLE made') FROM queries;
COMMIT;
SELECT pgstream.refresh_stream_table(name) FROM queries;
SELECT * FROM recomputed() WHERE tables = 0;
SELECT * FROM verified();
-- A row that raises an error, among rows that do not.
CREATE TABLE calc AS SELECT i AS id, i % 100 AS k, i % 5 + 1 AS c FROM generate_series(1, 20000) i;
INSERT INTO calc VALUES (20001, 5, 0);
INSERT INTO calc SELECT i, i % 100, 1 FROM generate_series(20002, 30000) i;
SELECT raised('CREATE TABLE quotients USING pgstream AS SELECT k, sum(id / c) AS q FROM calc GROUP BY k');
UPDATE calc SET c = 1 WHERE c = 0;
CREATE TABLE quotients_full USING pgstream WITH (refresh_mode = 'FULL') AS SELECT k, sum(id / c) AS q FROM calc GROUP BY k;
INSERT INTO calc VALUES (30001, 5, 0);
SELECT raised('SELECT pgstream.refresh_stream_table(''quotients_full'')');
DELETE FROM calc WHERE c = 0;
SELECT pgstream.refresh_stream_table('quotients_full');
SELECT * FROM differences('quotients_full');
-- What the server would not scan in parallel is not, either: it says how many workers a table may have.
ALTER TABLE calc SET (parallel_workers = 0);
CREATE TABLE quotients USING pgstream AS SELECT k, sum(id / c) AS q FROM calc GROUP BY k;
SELECT * FROM differences('quotients');
-- Stream tables first: an autovacuum of one, which reads its source, might be met between the two.
DO $$
DECLARE stream regclass;
BEGIN
  FOR stream IN SELECT c.oid FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE amname = 'pgstream' AND relnamespace = 'populate_parallel'::regnamespace ORDER BY 1 LOOP
    EXECUTE format('DROP TABLE %s', stream);
  END LOOP;
END $$;
DROP SCHEMA populate_parallel CASCADE;
