-- DISTINCT ON and keys of every kind: equal values that look different, NULLs, several columns, collations.
SET client_min_messages = warning;
SET pgstream.keyed_evaluation = always;
CREATE SCHEMA firsts;
SET search_path = firsts, public;
CREATE DOMAIN short AS varchar(20) CHECK (value <> 'forbidden');
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE pair AS (x int, y text);
CREATE TABLE e (id serial PRIMARY KEY, k int, q numeric, f float8, t text, nc text COLLATE nocase, s short, p pair, c char(4), v int);
INSERT INTO e (k, q, f, t, nc, s, p, c, v)
  SELECT CASE WHEN x % 10 <> 0 THEN x % 6 END, (ARRAY[1.0, 1.00, 2, 2.50, 2.5, NULL])[x % 6 + 1], (ARRAY[0, '-0', 1.5, 'NaN', NULL])[x % 5 + 1],
         (ARRAY['a', 'A', 'b', '', NULL])[x % 5 + 1], (ARRAY['a', 'A', 'b', 'B', NULL])[x % 5 + 1], (ARRAY['a', 'b', NULL])[x % 3 + 1],
         CASE WHEN x % 7 <> 0 THEN ROW(x % 3, 'p')::pair END, (ARRAY['x', 'x ', 'y'])[x % 3 + 1], x % 17
  FROM generate_series(1, 200) x;

CREATE TABLE one USING pgstream AS SELECT DISTINCT ON (k) k, id, v FROM e ORDER BY k, v, id;
CREATE TABLE latest USING pgstream AS SELECT DISTINCT ON (k) k, id, v FROM e WHERE v > 3 ORDER BY k DESC NULLS LAST, id DESC;
CREATE TABLE several USING pgstream AS SELECT DISTINCT ON (k, t) v, t, id, k FROM e ORDER BY k, t, v DESC, id;
CREATE TABLE computed USING pgstream AS SELECT DISTINCT ON (v % 4) v % 4 AS r, id FROM e ORDER BY v % 4, id;
CREATE TABLE from_groups USING pgstream AS
  SELECT DISTINCT ON (k) k, t, count(*) AS c FROM e GROUP BY k, t ORDER BY k, count(*) DESC, t;
CREATE TABLE of_newest USING pgstream AS
  SELECT k, count(*) AS c, max(v) AS m FROM (SELECT DISTINCT ON (k, t) k, t, v FROM e ORDER BY k, t, id DESC) s GROUP BY k;
-- Equal keys of different images: the representative is the row's.
CREATE TABLE by_numeric USING pgstream AS SELECT DISTINCT ON (q) q, id FROM e ORDER BY q, id;
CREATE TABLE by_float USING pgstream AS SELECT DISTINCT ON (f) f, id FROM e ORDER BY f, id DESC;
CREATE TABLE by_char USING pgstream AS SELECT DISTINCT ON (c) c, id FROM e ORDER BY c, v, id;
CREATE TABLE by_domain USING pgstream AS SELECT DISTINCT ON (s) s, id FROM e ORDER BY s, v, id;
CREATE TABLE by_pair USING pgstream AS SELECT DISTINCT ON (p) p, id FROM e ORDER BY p, v, id;
CREATE TABLE window_numeric USING pgstream AS SELECT id, q, row_number() OVER (PARTITION BY q ORDER BY id) AS rn FROM e;
CREATE TABLE window_float USING pgstream AS SELECT id, f, count(*) OVER (PARTITION BY f) AS n FROM e;
-- A collation that is not deterministic has no hash for the key index: alone it is recomputed, beside another key it serves.
CREATE TABLE by_nocase USING pgstream AS SELECT DISTINCT ON (nc) nc, id FROM e ORDER BY nc, id;
CREATE TABLE nocase_and_k USING pgstream AS SELECT DISTINCT ON (nc, k) nc, k, id FROM e ORDER BY nc, k, id;
CREATE TABLE window_nocase USING pgstream AS SELECT id, k, nc, count(*) OVER (PARTITION BY k, nc) AS n FROM e;
-- Keys that the output does not show.
CREATE TABLE hidden USING pgstream AS SELECT DISTINCT ON (k) id, v FROM e ORDER BY k, id;
CREATE TABLE half_hidden USING pgstream AS SELECT DISTINCT ON (k, t) k, id FROM e ORDER BY k, t, id;
SELECT * FROM explain_streams('firsts', '{strategy, reason, key}');
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');

-- The first comes and goes.
INSERT INTO e (k, q, f, t, nc, s, p, c, v) VALUES (1, 1.000, '-0', 'a', 'A', 'a', (1, 'p'), 'x', -5);
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
DELETE FROM e WHERE v = -5;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
DELETE FROM e WHERE id IN (SELECT min(id) FROM e GROUP BY q);
SELECT * FROM by_numeric ORDER BY q;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
-- Another image of the same key, in place.
UPDATE e SET q = q * 1.0, f = -f, nc = upper(nc) WHERE id < 30;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
UPDATE e SET k = NULL, t = NULL, nc = NULL, q = NULL, s = NULL, p = NULL WHERE id % 13 = 0;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
UPDATE e SET k = 77, t = 'moved', nc = 'Moved', q = 9.90, f = 'Infinity', s = 'm', p = (9, NULL), c = 'm' WHERE id % 17 = 0;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
SELECT refresh_streams('firsts');
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
UPDATE e SET q = 9.9, nc = 'MOVED', f = 0 WHERE id % 17 = 0;
INSERT INTO e (k, q, f, t, nc, s, p, c, v) SELECT k, q, f, t, nc, s, p, c, v FROM e WHERE id % 11 = 0;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
SELECT refresh_streams('firsts');
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
DELETE FROM e WHERE k = 77 OR k IS NULL;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
DELETE FROM e;
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
SELECT refresh_streams('firsts');
SELECT streams, exact, answered, wrong FROM verify_streams('firsts');
DROP SCHEMA firsts CASCADE;
