-- Keyed evaluation: which queries have a key, through what the key comes, what it costs against the whole query, and what
-- it writes.
SET client_min_messages = warning;
SET pgstream.keyed_evaluation = always;
CREATE SCHEMA keyed;
SET search_path = keyed, public;
CREATE TABLE o (id int PRIMARY KEY, k int, g text, v numeric, tags text[], n int);
CREATE INDEX ON o (k);
INSERT INTO o SELECT x, CASE WHEN x % 20 <> 0 THEN x % 25 END, 'g' || x % 4, x * 0.25, (ARRAY['a', 'b', 't' || x % 3])[1:x % 4], x % 5
  FROM generate_series(1, 500) x;
CREATE VIEW plain AS SELECT id AS num, k + 1 AS k1, v, n FROM o WHERE v > 2;
CREATE VIEW narrow WITH (security_barrier) AS SELECT * FROM plain WHERE n <> 3;
CREATE VIEW per_k AS SELECT k, g, sum(v) AS s, count(*) AS c FROM o GROUP BY k, g;

-- Simple views and subqueries are merged: rows and groups apply.
CREATE TABLE from_view USING pgstream AS SELECT num, v * 2 AS v2 FROM plain WHERE k1 < 20;
CREATE TABLE from_views USING pgstream AS SELECT k1, sum(v) AS s, max(num) AS m FROM narrow GROUP BY k1;
CREATE TABLE from_subquery USING pgstream AS SELECT b, count(*) FROM (SELECT n % 2 AS b, v FROM (SELECT * FROM o WHERE k > 3) x) y WHERE v < 90 GROUP BY b;
CREATE TABLE from_with USING pgstream AS WITH w AS (SELECT id, k FROM o WHERE n = 1), unused AS (SELECT 1) SELECT k, id FROM w WHERE k IS NOT NULL;
CREATE TABLE from_nested_with USING pgstream AS
  WITH a AS (SELECT id, k, v FROM o) SELECT k, sum(v) AS s FROM (WITH b AS (SELECT * FROM a WHERE id > 5) SELECT * FROM b WHERE v > 3) c GROUP BY k;
CREATE TABLE constant_group USING pgstream AS SELECT c, sum(v) AS s FROM (SELECT 'all'::text AS c, v FROM o) x GROUP BY c;
-- Groups over groups, DISTINCT over groups, groups of which only a part of the key shows.
CREATE TABLE of_groups USING pgstream AS SELECT k, max(s) AS m, sum(c) AS c FROM per_k GROUP BY k;
CREATE TABLE filtered_groups USING pgstream AS SELECT k, g, s FROM per_k WHERE c > 3;
CREATE TABLE distinct_groups USING pgstream AS SELECT DISTINCT k, count(*) AS c FROM o GROUP BY k, g;
CREATE TABLE half_hidden USING pgstream AS SELECT k, sum(v) AS s FROM o GROUP BY k, g;
CREATE TABLE distinct_first USING pgstream AS SELECT k, count(*) AS c FROM (SELECT DISTINCT k, g, n FROM o) d GROUP BY k;
-- Set-returning functions in the output: per row, per group.
CREATE TABLE unnested USING pgstream AS SELECT id, unnest(tags) AS tag FROM o;
CREATE TABLE series USING pgstream AS SELECT k, generate_series(1, count(*) % 4) AS i, min(v) AS m FROM o GROUP BY k;
CREATE TABLE tag_counts USING pgstream AS SELECT k, tag, count(*) AS c FROM (SELECT k, unnest(tags) AS tag FROM o) u GROUP BY k, tag;
-- Subqueries in expressions that read no table.
CREATE TABLE having_constant USING pgstream AS SELECT k, sum(v) AS s FROM o GROUP BY k HAVING sum(v) > (SELECT max(x) FROM (VALUES (10), (20)) c (x));
CREATE TABLE correlated USING pgstream AS SELECT id, k, (SELECT count(*) FROM generate_series(1, o.n)) AS c FROM o WHERE n < (SELECT 4);
-- What has no key.
CREATE TABLE tags USING pgstream AS SELECT DISTINCT unnest(tags) AS tag FROM o;
CREATE TABLE tag_totals USING pgstream AS SELECT tag, count(*) FROM (SELECT unnest(tags) AS tag FROM o) u GROUP BY tag;
CREATE TABLE one_row USING pgstream AS SELECT count(*), avg(s) FROM per_k;
CREATE TABLE by_sum USING pgstream AS SELECT s, count(*) FROM per_k GROUP BY s;
CREATE TABLE limited USING pgstream AS SELECT k, s FROM (SELECT k, g, sum(v) AS s FROM o GROUP BY k, g ORDER BY s DESC, k, g LIMIT 5) l;
CREATE TABLE twice USING pgstream AS WITH w AS (SELECT k, count(*) AS c FROM o GROUP BY k) SELECT a.k, b.c FROM w a JOIN w b ON a.k = b.k;
CREATE TABLE subquery USING pgstream AS SELECT k, sum(v) AS s FROM o GROUP BY k HAVING count(*) > (SELECT count(*) FROM o) / 30;
CREATE TABLE sets USING pgstream AS SELECT k, g, sum(v) AS s FROM o GROUP BY GROUPING SETS ((k, g), (k));
SELECT * FROM explain_streams('keyed', '{strategy, reason}');
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');

INSERT INTO o VALUES (501, 7, 'g9', 1000, '{z,z}', 2);
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
UPDATE o SET k = 8, v = 0.5 WHERE id = 501;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
UPDATE o SET k = NULL WHERE id IN (501, 30);
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
DELETE FROM o WHERE k IS NULL;
INSERT INTO o SELECT x, 30 + x % 3, NULL, x, NULL, NULL FROM generate_series(600, 620) x;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
UPDATE o SET n = (n + 1) % 5, v = v + 1, tags = tags || 'more'::text WHERE id % 10 = 3;
DELETE FROM o WHERE k = 9;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
TRUNCATE o;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
INSERT INTO o SELECT x, x % 6, 'g' || x % 4, x * 0.25, ARRAY['a', 'b'], x % 5 FROM generate_series(1, 50) x;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');

-- Statements by lot, each followed by a comparison; some in transactions that are rolled back, some folded.
CREATE FUNCTION lot(step int, what text, bound int) RETURNS int LANGUAGE sql AS
  $$ SELECT (('x' || substr(md5(step || what), 1, 7))::bit(28)::int) % bound $$;
CREATE PROCEDURE by_lot(steps int, INOUT wrong text) LANGUAGE plpgsql AS $$
DECLARE
  result record;
  statement text;
BEGIN
  FOR step IN 1..steps LOOP
    statement := CASE lot(step, 'kind', 6)
      WHEN 0 THEN format('INSERT INTO keyed.o SELECT 1000 * %s + x, nullif(x %% 9, 4), ''g'' || x %% 3, x * 1.5, ARRAY[''a'', NULL], x %% 5 FROM generate_series(1, %s) x', step, lot(step, 'n', 8) + 1)
      WHEN 1 THEN format('DELETE FROM keyed.o WHERE id %% 11 = %s', lot(step, 'd', 11))
      WHEN 2 THEN format('UPDATE keyed.o SET k = nullif((coalesce(k, 0) + 1) %% 12, 0) WHERE id %% 7 = %s', lot(step, 'u', 7))
      WHEN 3 THEN format('UPDATE keyed.o SET v = v + 0.50, n = nullif(n + 1, 6) WHERE id %% 5 = %s', lot(step, 'v', 5))
      WHEN 4 THEN format('UPDATE keyed.o SET g = ''g'' || id %% 2, tags = tags || g WHERE id %% 13 = %s', lot(step, 'g', 13))
      ELSE 'SELECT' END;
    EXECUTE statement;
    IF lot(step, 'fold', 5) = 0 THEN PERFORM refresh_streams('keyed'); END IF;
    SELECT * INTO result FROM verify_streams('keyed');
    IF result.wrong IS NOT NULL THEN wrong := concat_ws('; ', wrong, format('step %s: %s', step, result.wrong)); END IF;
    IF lot(step, 'end', 3) = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
  END LOOP;
END $$;
CALL by_lot(40, NULL);
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');

-- Who owns the view reads the table; who owns the stream table needs to read the view, no more.
CREATE ROLE keyed_reader;
GRANT USAGE, CREATE ON SCHEMA keyed TO keyed_reader;
GRANT SELECT ON plain, per_k TO keyed_reader;
SET ROLE keyed_reader;
CREATE TABLE of_reader USING pgstream AS SELECT num, v FROM plain WHERE n = 2;
CREATE TABLE keyed_of_reader USING pgstream AS SELECT k, max(s) AS m FROM per_k GROUP BY k;
SELECT * FROM o;
RESET ROLE;
UPDATE o SET v = v + 1 WHERE n = 2;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
REVOKE SELECT ON plain FROM keyed_reader;
SELECT count(*) > 0 FROM of_reader;
DROP OWNED BY keyed_reader;
DROP ROLE keyed_reader;
DROP TABLE o CASCADE;

-- By key or whole: by cost.
RESET pgstream.keyed_evaluation;
CREATE TABLE big (id int PRIMARY KEY, k int, v int) WITH (autovacuum_enabled = off);
INSERT INTO big SELECT x, x % 2000, x % 97 FROM generate_series(1, 20000) x;
CREATE INDEX ON big (k);
ANALYZE big;
CREATE TABLE big_ranks USING pgstream AS SELECT id, k, v, rank() OVER (PARTITION BY k ORDER BY v) AS r FROM big;
CREATE TABLE big_lists USING pgstream AS SELECT k, array_agg(v ORDER BY id) AS vs FROM big GROUP BY k;
CREATE FUNCTION choices(OUT name text, OUT line text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
  FOREACH name IN ARRAY ARRAY['big_lists', 'big_ranks'] LOOP
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, TIMING off, SUMMARY off) SELECT count(*) FROM ' || name LOOP
      IF line ~ 'Strategy|Keys|Cost: ' THEN
        line := regexp_replace(btrim(line), '\d+\.\d+', 'N', 'g');
        RETURN NEXT;
      END IF;
    END LOOP;
  END LOOP;
END $$;
SELECT * FROM choices();
UPDATE big SET v = v + 1 WHERE k < 3;
SELECT * FROM choices();
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
UPDATE big SET v = v + 1;
SELECT * FROM choices();
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
CREATE VIEW last_fold AS
  SELECT DISTINCT ON (pgs_relid) pgs_relid::regclass AS stream, action, rows_inserted, rows_deleted
  FROM pgstream.pgs_refresh_history JOIN pg_class c ON c.oid = pgs_relid WHERE relnamespace = 'keyed'::regnamespace
  ORDER BY pgs_relid, refresh_id DESC;
SELECT * FROM last_fold ORDER BY stream::text;
UPDATE big SET v = v + 1 WHERE k = 5;
SELECT refresh_streams('keyed');
SELECT * FROM last_fold ORDER BY stream::text;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
-- The setting says otherwise.
UPDATE big SET v = v + 1 WHERE k < 2;
SET pgstream.keyed_evaluation = never;
SELECT * FROM choices();
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
SET pgstream.keyed_evaluation = always;
UPDATE big SET v = v - 1;
SELECT * FROM choices();
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
RESET pgstream.keyed_evaluation;
-- The leader's choice is its workers', whichever it is; and what is masked, where keys changed and changed back.
CREATE TABLE big_firsts USING pgstream AS SELECT DISTINCT ON (k) k, id, v FROM big ORDER BY k, v DESC, id;
SELECT refresh_streams('keyed');
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
BEGIN;
UPDATE big SET v = v + 1000 WHERE k < 5;
SELECT sum(v), count(*) FROM big_firsts WHERE pg_sleep(0.0001) IS NOT NULL;
SET LOCAL max_parallel_workers_per_gather = 0;
UPDATE big SET v = v + 1 WHERE k = 6;
SELECT sum(v), count(*) FROM big_firsts;
UPDATE big SET v = v - 1000 WHERE k < 5;
SELECT sum(v), count(*) FROM big_firsts;
SET LOCAL max_parallel_workers_per_gather = 2;
SELECT sum(v), count(*) FROM big_firsts WHERE pg_sleep(0.0001) IS NOT NULL;
SELECT sum(cardinality(vs)), count(*) FROM big_lists WHERE pg_sleep(0.0001) IS NOT NULL;
SELECT sum(v), count(*) FROM (SELECT DISTINCT ON (k) v FROM big ORDER BY k, v DESC, id) x;
COMMIT;
UPDATE big SET v = v + 1;
SELECT sum(v), count(*) FROM big_firsts WHERE pg_sleep(0.0001) IS NOT NULL;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
DROP TABLE big CASCADE;

-- A source without an index on the key is said to lack it; not where nothing is evaluated by key.
SET client_min_messages = notice;
CREATE TABLE bare (id int PRIMARY KEY, k int, "Odd name" text, v int);
CREATE TABLE bare_sums USING pgstream AS SELECT k, sum(v) AS s FROM bare GROUP BY k;
CREATE TABLE bare_lists USING pgstream AS SELECT k, "Odd name", array_agg(v) AS vs FROM bare GROUP BY k, "Odd name";
CREATE TABLE bare_firsts USING pgstream AS SELECT DISTINCT ON (lower("Odd name"), k % 2) lower("Odd name") AS o, k % 2 AS k2, v FROM bare ORDER BY 1, 2, v;
CREATE TABLE bare_by_id USING pgstream AS SELECT id, count(*) OVER (PARTITION BY id) AS c FROM bare;
CREATE INDEX ON keyed.bare (k, "Odd name");
CREATE TABLE bare_max USING pgstream AS SELECT k, max(v) AS m FROM bare GROUP BY k;
CREATE INDEX ON keyed.bare (lower("Odd name"), (k % 2));
SET client_min_messages = warning;
SELECT * FROM explain_streams('keyed', '{evaluation, missing index}');
DROP INDEX "bare_k_Odd name_idx", bare_lower_expr_idx;
SELECT * FROM explain_streams('keyed', '{missing index}');
DROP TABLE bare CASCADE;

-- Hidden state is a cache: lost, a group is evaluated by key when it first changes, and at its second change no more.
SET pgstream.keyed_evaluation = always;
CREATE TABLE c (id int PRIMARY KEY, k int, v numeric, t text) WITH (autovacuum_enabled = off);
CREATE INDEX ON c (k);
INSERT INTO c SELECT x, x % 50, x * 0.5, repeat('x', x % 9) FROM generate_series(1, 1000) x;
CREATE TABLE c_sums USING pgstream AS SELECT k, count(*) AS c, sum(v) AS s, avg(v) AS a FROM c GROUP BY k;
UPDATE c SET v = v + 1 WHERE k < 10;
SELECT * FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
VACUUM FULL c_sums;
SELECT * FROM verify_streams('keyed');
UPDATE c SET v = v + 1 WHERE k < 10;
SELECT * FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
UPDATE c SET v = v + 1 WHERE k < 12;
SELECT * FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
CREATE INDEX by_k ON c_sums (k);
CLUSTER c_sums USING by_k;
UPDATE c SET v = v - 1 WHERE k = 3;
SELECT * FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
UPDATE c SET v = v - 1 WHERE k = 3;
SELECT * FROM verify_streams('keyed');
-- A row so wide that it is toasted has no state while it is; narrow again, it has.
CREATE TABLE wide USING pgstream AS SELECT k, max(t) AS t, count(*) AS c, sum(v) AS s FROM c GROUP BY k;
ALTER TABLE wide ALTER COLUMN t SET STORAGE external;
SELECT * FROM verify_streams('keyed');
UPDATE c SET t = repeat('y', 5000) WHERE id = 1;
SELECT refresh_streams('keyed');
UPDATE c SET v = v + 1 WHERE id = 51;
SELECT * FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
UPDATE c SET t = 'z' WHERE id = 1;
SELECT refresh_streams('keyed');
UPDATE c SET v = v + 1 WHERE id = 51;
SELECT * FROM verify_streams('keyed');
SELECT refresh_streams('keyed');

-- A recompute folds the difference alone.
CREATE TABLE medians USING pgstream AS SELECT k, v, rank() OVER (ORDER BY v) AS r FROM c WHERE k = 1;
INSERT INTO c VALUES (2000, 1, 100000, 'last');
SELECT refresh_streams('keyed');
SELECT * FROM last_fold WHERE stream::text = 'medians';
DELETE FROM c WHERE id = 2000;
INSERT INTO c VALUES (2001, 1, 100000, 'last'), (2002, 1, 100000, 'last'), (2003, 1, 100000, 'last');
SELECT refresh_streams('keyed');
SELECT * FROM last_fold WHERE stream::text = 'medians';
DELETE FROM c WHERE id = 2001;
SELECT refresh_streams('keyed');
SELECT * FROM last_fold WHERE stream::text = 'medians';
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
TRUNCATE c;
SELECT refresh_streams('keyed');
SELECT * FROM last_fold WHERE stream::text IN ('medians', 'c_sums') ORDER BY stream::text;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
-- States that did not change stay too: after a TRUNCATE and the same rows again.
INSERT INTO c SELECT x, x % 5, x, 't' FROM generate_series(1, 100) x;
SELECT refresh_streams('keyed');
BEGIN;
TRUNCATE c;
INSERT INTO c SELECT x, x % 5, x, 't' FROM generate_series(1, 100) x;
INSERT INTO c VALUES (101, 1, 7, 't');
COMMIT;
SELECT refresh_streams('keyed');
SELECT * FROM last_fold WHERE stream::text = 'c_sums';
UPDATE c SET v = v + 1;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
-- More rows than fit: all of them are written.
SET maintenance_work_mem = '1MB';
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
CREATE TABLE wider USING pgstream AS SELECT id, v, t, rank() OVER (ORDER BY v) AS r FROM c;
INSERT INTO c SELECT x, x % 5, x, repeat(md5(x::text), 20) FROM generate_series(1000, 4000) x;
SELECT refresh_streams('keyed');
SELECT * FROM last_fold WHERE stream::text = 'wider';
INSERT INTO c VALUES (5000, 1, 100000, 'last');
SELECT refresh_streams('keyed');
SELECT * FROM last_fold WHERE stream::text = 'wider';
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
-- More keys than fit: the read recomputes.
CREATE TABLE keys USING pgstream AS SELECT id, k, sum(v) OVER (PARTITION BY id) AS s FROM c;
UPDATE c SET v = v + 1;
SELECT count(*) AS exact FROM (SELECT * FROM keys EXCEPT ALL SELECT id, k, sum(v) OVER (PARTITION BY id) FROM c) x;
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
SELECT refresh_streams('keyed');
SELECT streams, exact, answered, wrong FROM verify_streams('keyed');
DROP SCHEMA keyed CASCADE;
