-- What the planner proves from uniqueness, constraints or statistics must not count for pending rows: the live content may
-- have duplicates where the base, and a unique index of the user's over it, have none.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
CREATE TABLE twin (id int, k int, v text);
INSERT INTO twin SELECT i, i, 'v' || i FROM generate_series(1, 300) i;
CREATE TABLE doubled USING pgstream AS SELECT k, v, id FROM twin WHERE id > 0;
CREATE UNIQUE INDEX doubled_k ON doubled (k);
CREATE UNIQUE INDEX doubled_v ON doubled (v) INCLUDE (k);
CREATE UNIQUE INDEX doubled_both ON doubled (k, v);
CREATE UNIQUE INDEX doubled_low ON doubled (id) WHERE k < 100;
CREATE UNIQUE INDEX doubled_nulls ON doubled (id) NULLS NOT DISTINCT;
VACUUM (ANALYZE) doubled, twin;
-- Duplicates of base rows, of additions, and of NULL keys, and a changed row that takes another's key.
INSERT INTO twin SELECT i, i, 'v' || i FROM generate_series(1, 300, 3) i;
INSERT INTO twin SELECT 1000 + i % 5, 1000 + i % 5, 'w' || i % 5 FROM generate_series(1, 20) i;
INSERT INTO twin VALUES (7, NULL, NULL), (8, NULL, NULL), (9, 50, NULL), (9, NULL, 'v9');
UPDATE twin SET k = 10 WHERE id = 11;
DELETE FROM twin WHERE id % 10 = 5;

CREATE FUNCTION proofs() RETURNS TABLE (proof text, n int, verdict text, strategy text) LANGUAGE plpgsql AS $$
DECLARE
  queries text[] := ARRAY[
    'join removal', 'SELECT t.id FROM twin t LEFT JOIN {doubled} d ON d.k = t.k',
    'join removal, two columns', 'SELECT t.id FROM twin t LEFT JOIN {doubled} d ON d.k = t.k AND d.v = t.v',
    'join removal, partial index', 'SELECT t.id FROM twin t LEFT JOIN {doubled} d ON d.id = t.id AND d.k < 100',
    'join removal, grouped subquery', 'SELECT t.id FROM twin t LEFT JOIN (SELECT k, count(*) AS n FROM {doubled} d GROUP BY k) d ON d.k = t.k',
    'inner unique', 'SELECT t.id, d.v FROM twin t JOIN {doubled} d ON d.k = t.k',
    'inner unique, other side', 'SELECT t.id, d.v FROM {doubled} d JOIN twin t ON d.k = t.k',
    'inner unique, left', 'SELECT t.id, d.v FROM twin t LEFT JOIN {doubled} d ON d.k = t.k',
    'inner unique, itself', 'SELECT a.v, b.id FROM {doubled} a JOIN {doubled} b ON a.k = b.k',
    'self-join elimination', 'SELECT a.k, a.v, b.id FROM {doubled} a JOIN {doubled} b ON a.k = b.k AND a.v = b.v WHERE b.id > 3',
    'semi to inner', 'SELECT t.id FROM twin t WHERE t.k IN (SELECT k FROM {doubled} d)',
    'semi to inner, its own', 'SELECT d.k FROM {doubled} d WHERE d.k IN (SELECT k FROM twin)',
    'DISTINCT', 'SELECT DISTINCT k FROM {doubled} d',
    'DISTINCT of more', 'SELECT DISTINCT k, v, id FROM {doubled} d',
    'DISTINCT in a subquery', 'SELECT t.id FROM twin t LEFT JOIN (SELECT DISTINCT k FROM {doubled} d) d ON d.k = t.k',
    'GROUP BY', 'SELECT k, v, id, count(*) FROM {doubled} d GROUP BY k, v, id',
    'GROUP BY joined', 'SELECT d.k, d.v, t.v AS tv, count(*) FROM {doubled} d JOIN twin t ON t.k = d.k GROUP BY d.k, d.v, t.v',
    'NULLs', 'SELECT id FROM {doubled} d WHERE k IS NULL',
    'NULLs, none', 'SELECT id FROM {doubled} d WHERE k IS NOT NULL',
    'count of a column', 'SELECT count(k), count(*), count(DISTINCT k) FROM {doubled} d',
    'extremes', 'SELECT min(k), max(k), min(v), max(v) FROM {doubled} d',
    'beyond the histogram', 'SELECT k FROM {doubled} d WHERE k > 900',
    'order', 'SELECT k FROM {doubled} d ORDER BY k DESC LIMIT 3',
    'anti join', 'SELECT t.id FROM twin t WHERE NOT EXISTS (SELECT FROM {doubled} d WHERE d.k = t.k)',
    'anti join by NULL', 'SELECT t.id FROM twin t LEFT JOIN {doubled} d ON d.k = t.k WHERE d.k IS NULL',
    'full join', 'SELECT t.id, d.k FROM twin t FULL JOIN {doubled} d ON d.k = t.k',
    'subquery that returns one row', 'SELECT (SELECT max(v) FROM {doubled} d WHERE d.k = t.k) FROM twin t',
    'constraint exclusion', 'SELECT k FROM {doubled} d WHERE k > 100 AND k < 50 OR k IS NULL'];
BEGIN
  FOR i IN 1 .. cardinality(queries) / 2 LOOP
    proof := queries[2 * i - 1];
    -- No strategy where the proof was right, and nothing was read.
    SELECT c.n, c.verdict, CASE WHEN c.strategy ~ 'elsewhere' THEN NULL ELSE c.strategy END INTO n, verdict, strategy FROM reads.checked(queries[2 * i]) c;
    RETURN NEXT;
  END LOOP;
END $$;
SET constraint_exclusion = on;
SELECT * FROM proofs();
-- By other plans.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_seqscan = off;
SELECT proof, verdict, strategy FROM proofs() WHERE verdict <> 'same' OR strategy !~ '^algebraic \(rows\)$';
RESET enable_hashjoin;
RESET enable_mergejoin;
SET enable_nestloop = off;
SET enable_hashjoin = off;
SET enable_hashagg = off;
SET enable_bitmapscan = off;
SELECT proof, verdict, strategy FROM proofs() WHERE verdict <> 'same' OR strategy !~ '^algebraic \(rows\)$';
RESET enable_nestloop;
RESET enable_hashjoin;
RESET enable_hashagg;
RESET enable_bitmapscan;
RESET enable_seqscan;
-- Plans made while nothing was pending, and kept.
DELETE FROM twin;
INSERT INTO twin SELECT i, i, 'v' || i FROM generate_series(1, 300) i;
SELECT pgstream.refresh_stream_table('doubled');
VACUUM (ANALYZE) doubled, twin;
SET plan_cache_mode = force_generic_plan;
PREPARE removed AS SELECT count(*) FROM twin t LEFT JOIN doubled d ON d.k = t.k;
PREPARE joined AS SELECT count(*), count(b.id) FROM doubled a JOIN doubled b ON a.k = b.k;
PREPARE nulls AS SELECT count(*) FROM doubled WHERE k IS NULL;
PREPARE grouped AS SELECT count(*) FROM (SELECT k, v, id FROM doubled GROUP BY k, v, id) x;
EXECUTE removed; EXECUTE joined; EXECUTE nulls; EXECUTE grouped;
INSERT INTO twin SELECT i, i, 'v' || i FROM generate_series(1, 300, 3) i;
INSERT INTO twin VALUES (1, NULL, NULL);
EXECUTE removed; EXECUTE joined; EXECUTE nulls; EXECUTE grouped;
DEALLOCATE ALL;
RESET plan_cache_mode;
-- A refresh cannot write what the user's index forbids; until then and after, reads are exact.
DO $$
BEGIN
  PERFORM pgstream.refresh_stream_table('reads.doubled');
EXCEPTION WHEN unique_violation THEN RAISE INFO 'refused by the index';
END $$;
SELECT * FROM checked('SELECT * FROM {doubled} d');
DELETE FROM twin WHERE ctid NOT IN (SELECT min(ctid) FROM twin GROUP BY id) OR k IS NULL;
SELECT pgstream.refresh_stream_table('doubled');
-- Keys that rows exchange are no duplicates: neither among rows, nor among the groups of a table whose values are unique.
CREATE TABLE ranked AS SELECT i AS grp, i * 10 AS val FROM generate_series(1, 20) i;
CREATE TABLE ranks USING pgstream AS SELECT grp, sum(val) AS total FROM ranked GROUP BY grp;
CREATE UNIQUE INDEX ranks_total ON ranks (total);
UPDATE twin SET k = 301 - k;
UPDATE ranked SET val = 210 - val;
SELECT * FROM checked('SELECT * FROM {doubled} d');
SELECT * FROM checked('SELECT * FROM {ranks} d');
SELECT pgstream.refresh_stream_table('doubled');
SELECT pgstream.refresh_stream_table('ranks');
SELECT * FROM verify('SELECT * FROM {doubled} d');
SELECT * FROM verify('SELECT * FROM {ranks} d');
UPDATE ranked SET val = val % 200 + 10;
SELECT * FROM checked('SELECT * FROM {ranks} d');
SELECT pgstream.refresh_stream_table('ranks');
SELECT * FROM verify('SELECT * FROM {ranks} d');

-- Nothing else that the planner trusts can be declared on a stream table, nor can it hide in a tree of tables.
ALTER TABLE ranks ADD CHECK (total > 0);
ALTER TABLE ranks ALTER grp SET NOT NULL;
ALTER TABLE ranks ADD PRIMARY KEY (grp);
CREATE TABLE refers (total bigint REFERENCES ranks (total));
CREATE TABLE refers (total bigint, FOREIGN KEY (total) REFERENCES ranks (total));
CREATE TABLE refers (total bigint);
ALTER TABLE refers ADD FOREIGN KEY (total) REFERENCES ranks (total);
ALTER TABLE refers ADD COLUMN other bigint REFERENCES ranks (total);
CREATE TABLE child () INHERITS (ranks);
CREATE TABLE child (grp int, total bigint);
ALTER TABLE child INHERIT ranks;
CREATE TABLE parent (grp int, total bigint) PARTITION BY LIST (grp);
ALTER TABLE parent ATTACH PARTITION ranks DEFAULT;
CREATE RULE swallow AS ON INSERT TO ranks DO INSTEAD NOTHING;
CREATE RULE "_RETURN" AS ON SELECT TO ranks DO INSTEAD SELECT 1 AS grp, 2::bigint AS total;
DROP TABLE refers, child, parent;

-- Estimates: an empty base, as the statistics have it, beside many pending rows is not one row.
CREATE TABLE bulk (id int, grp int, note text);
CREATE TABLE bulk_rows USING pgstream AS SELECT id, grp, note FROM bulk WHERE grp >= 0;
CREATE TABLE bulk_groups USING pgstream AS SELECT grp, count(*) AS n FROM bulk GROUP BY grp;
CREATE INDEX bulk_rows_id ON bulk_rows (id);
VACUUM (ANALYZE) bulk_rows, bulk_groups, bulk;
INSERT INTO bulk SELECT i, i % 500, 'note ' || i FROM generate_series(1, 20000) i;
CREATE FUNCTION estimate(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE explained json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO explained;
  RETURN explained -> 0 -> 'Plan' -> 'Plan Rows';
END $$;
SELECT estimate('SELECT * FROM bulk_rows') BETWEEN 5000 AND 80000 AS rows, estimate('SELECT * FROM bulk_groups') BETWEEN 50 AND 20000 AS groups;
SELECT shape('SELECT count(*) FROM bulk_rows a JOIN bulk_rows b USING (grp)') ~ 'Nested Loop' AS nested_loop;
SELECT * FROM checked('SELECT count(*) FROM {bulk_rows} a JOIN {bulk_rows} b USING (id)');
SELECT pgstream.refresh_stream_table('bulk_rows'), pgstream.refresh_stream_table('bulk_groups');
SELECT pgstream.refresh_stream_table('bulk_rows'), pgstream.refresh_stream_table('bulk_groups');
VACUUM ANALYZE bulk_rows, bulk_groups;
SELECT (SELECT count(*) FROM bulk_rows) AS rows, (SELECT count(*) FROM bulk_groups) AS groups;
SELECT estimate('SELECT * FROM bulk_rows'), estimate('SELECT * FROM bulk_groups');
DROP TABLE bulk_rows, bulk_groups, bulk, ranks, ranked, doubled, twin;
DROP FUNCTION proofs, estimate;
