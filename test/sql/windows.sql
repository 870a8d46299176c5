-- Window functions, evaluated anew for the partitions that changed.
SET client_min_messages = warning;
SET pgstream.keyed_evaluation = always;
CREATE SCHEMA windows;
SET search_path = windows, public;
CREATE TABLE m (id serial PRIMARY KEY, k int, g text, v numeric, d date, n int);
CREATE INDEX ON m (k);
INSERT INTO m (k, g, v, d, n)
  SELECT CASE WHEN x % 9 <> 0 THEN x % 8 END, 'g' || x % 3, (x * 7 % 31) + x / 1000.0, DATE '2024-01-01' + x % 20, x % 4
  FROM generate_series(1, 300) x;

-- The functions, over one partition key.
CREATE TABLE ranks USING pgstream AS
  SELECT id, k, row_number() OVER w AS rn, rank() OVER (PARTITION BY k ORDER BY n) AS r, dense_rank() OVER (PARTITION BY k ORDER BY n) AS dr,
         percent_rank() OVER w AS pr, cume_dist() OVER w AS cd, ntile(3) OVER w AS nt
  FROM m WINDOW w AS (PARTITION BY k ORDER BY v, id);
CREATE TABLE neighbours USING pgstream AS
  SELECT id, k, lag(v) OVER w AS a, lag(v, 2, -1) OVER w AS b, lead(v) OVER w AS c, first_value(v) OVER w AS f, last_value(v) OVER w AS l,
         nth_value(id, 2) OVER w AS nv
  FROM m WINDOW w AS (PARTITION BY k ORDER BY d, id);
-- Frames of each kind, with exclusions.
CREATE TABLE frames USING pgstream AS
  SELECT id, k, sum(v) OVER (w ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS r1,
         sum(v) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) AS r2,
         count(*) OVER (PARTITION BY k ORDER BY d RANGE BETWEEN '3 days' PRECEDING AND '1 day' FOLLOWING) AS r3,
         sum(v) OVER (PARTITION BY k ORDER BY n GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) AS r4,
         max(v) OVER (PARTITION BY k ORDER BY n GROUPS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE GROUP) AS r5,
         count(*) FILTER (WHERE n > 1) OVER (PARTITION BY k) AS r6
  FROM m WINDOW w AS (PARTITION BY k ORDER BY v, id);
-- Windows with a common key; the others refine it.
CREATE TABLE common USING pgstream AS
  SELECT id, k, g, count(*) OVER (PARTITION BY k, g) AS a, avg(n) OVER (PARTITION BY g, k) AS b, rank() OVER (PARTITION BY k ORDER BY n) AS r
  FROM m;
CREATE TABLE computed USING pgstream AS
  SELECT id, k % 3 AS k3, upper(g) AS ug, sum(v) OVER (PARTITION BY k % 3, upper(g) ORDER BY id) AS s FROM m WHERE n > 0;
CREATE TABLE unused USING pgstream AS
  SELECT id, k, count(*) OVER w AS c FROM m WINDOW w AS (PARTITION BY k), other AS (ORDER BY v);
-- No row of its own: the window's rows many times alike.
CREATE TABLE alike USING pgstream AS SELECT k, count(*) OVER (PARTITION BY k) AS c, n > 1 AS b FROM m;
-- Over groups, and the top of each.
CREATE TABLE over_groups USING pgstream AS
  SELECT k, g, sum(v) AS s, rank() OVER (PARTITION BY k ORDER BY sum(v), g) AS r, sum(count(*)) OVER (PARTITION BY k) AS total
  FROM m GROUP BY k, g HAVING count(*) > 1;
CREATE TABLE top3 USING pgstream AS
  SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM m) s WHERE rn <= 3;
CREATE TABLE top_of_groups USING pgstream AS
  WITH sums AS (SELECT k, g, sum(v) AS s FROM m WHERE n < 3 GROUP BY k, g),
       ranked AS (SELECT k, g, s, dense_rank() OVER (PARTITION BY k ORDER BY s DESC) AS place FROM sums)
  SELECT k AS team, g, s FROM ranked WHERE place = 1;
CREATE TABLE counted_tops USING pgstream AS
  SELECT k, count(*) AS c, sum(v) AS s FROM (SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM m) s
  WHERE rn <= 2 GROUP BY k;
-- The newest of each, the usual way.
CREATE TABLE newest USING pgstream AS
  SELECT id, k, d FROM (SELECT id, k, d, d = max(d) OVER (PARTITION BY k) AS is_newest FROM m) s WHERE is_newest;
-- Where there is no key to go by.
CREATE TABLE whole USING pgstream AS SELECT id, k, count(*) OVER () AS c FROM m;
CREATE TABLE apart USING pgstream AS SELECT id, k, g, count(*) OVER (PARTITION BY k) AS a, count(*) OVER (PARTITION BY g) AS b FROM m;
CREATE TABLE hidden USING pgstream AS SELECT id, count(*) OVER (PARTITION BY k) AS a FROM m;
SELECT * FROM explain_streams('windows', '{strategy, reason, key}');
SELECT streams, exact, answered, wrong FROM verify_streams('windows');

-- One row comes, changes place in its partition, moves to another, goes.
INSERT INTO m (k, g, v, d, n) VALUES (3, 'g1', 15.5, '2024-01-07', 2);
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
UPDATE m SET v = 0.5, d = '2023-12-31' WHERE v = 15.5;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
UPDATE m SET k = 5 WHERE v = 0.5;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
UPDATE m SET k = NULL WHERE v = 0.5;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
DELETE FROM m WHERE v = 0.5;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
-- What does not change a used column changes nothing; what came and went neither.
UPDATE m SET k = k WHERE id < 50;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');

-- Keys appear and vanish; rows twice alike.
INSERT INTO m (k, g, v, d, n) SELECT 100 + x % 2, 'new', 1, '2024-02-01', 1 FROM generate_series(1, 6) x;
DELETE FROM m WHERE k = 2;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
INSERT INTO m (k, g, v, d, n) SELECT k, g, v, d, n FROM m WHERE k = 100;
DELETE FROM m WHERE k = 101;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');

-- Many at once, folded, and again.
UPDATE m SET k = (k + id) % 8, n = (n + 1) % 4 WHERE id % 3 = 0;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
SELECT refresh_streams('windows');
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
DELETE FROM m WHERE id % 5 = 0;
INSERT INTO m (k, g, v, d, n) SELECT x % 8, 'g' || x % 2, x, DATE '2024-01-05' + x % 5, x % 4 FROM generate_series(1, 40) x;
SELECT refresh_streams('windows');
SELECT streams, exact, answered, wrong FROM verify_streams('windows');

-- A fold writes what changed alone.
CREATE VIEW last_fold AS
  SELECT DISTINCT ON (pgs_relid) pgs_relid::regclass AS stream, action, rows_inserted, rows_deleted
  FROM pgstream.pgs_refresh_history ORDER BY pgs_relid, refresh_id DESC;
INSERT INTO m (k, g, v, d, n) VALUES (1, 'g1', 1000, '2025-01-01', 3);
SELECT refresh_streams('windows');
SELECT * FROM last_fold WHERE stream IN ('ranks'::regclass, 'top3'::regclass, 'newest'::regclass) ORDER BY stream::text;
SELECT count(*) AS rows_of_the_partition FROM m WHERE k = 1;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');

-- In a transaction, with a savepoint.
BEGIN;
UPDATE m SET k = 1 WHERE id < 20;
SAVEPOINT a;
DELETE FROM m WHERE k = 1;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
ROLLBACK TO a;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
SELECT refresh_streams('windows');
UPDATE m SET n = 3 - n;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
ROLLBACK;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');

-- A unique index over positions, which the rows of a partition exchange.
CREATE UNIQUE INDEX ON top3 (k, rn);
UPDATE m SET v = -v WHERE k IN (1, 4);
SELECT refresh_streams('windows');
SELECT streams, exact, answered, wrong FROM verify_streams('windows');

-- Everything goes.
DELETE FROM m;
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
SELECT refresh_streams('windows');
INSERT INTO m (k, g, v, d, n) VALUES (NULL, NULL, NULL, NULL, NULL);
SELECT streams, exact, answered, wrong FROM verify_streams('windows');
DROP SCHEMA windows CASCADE;
