-- Parallel plans beyond the single scan: joins by every method, several stream tables under one Parallel Append, order kept
-- across workers, with and without the leader's part.
SET search_path = reads, public;
SET jit = off;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
CALL change(17000);
CREATE TABLE parallel_source (id int, grp int, val int);
INSERT INTO parallel_source SELECT i, i % 300, i FROM generate_series(1, 6000) i;
CREATE INDEX ON parallel_source (id);
CREATE INDEX ON parallel_source (grp);
CREATE TABLE even USING pgstream AS SELECT id, grp, val FROM parallel_source WHERE id % 2 = 0;
CREATE TABLE odd USING pgstream AS SELECT id, grp, val FROM parallel_source WHERE id % 2 = 1;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM parallel_source GROUP BY grp;
CREATE INDEX even_id ON even (id);
CREATE INDEX odd_id ON odd (id);
CREATE INDEX even_grp ON even (grp);
CREATE INDEX sums_grp ON sums (grp);
VACUUM (ANALYZE) even, odd, sums, parallel_source, picked, totals, other;
INSERT INTO parallel_source SELECT i, i % 310, i FROM generate_series(6001, 6400) i;
UPDATE parallel_source SET val = val + 1 WHERE id % 40 IN (1, 2);
DELETE FROM parallel_source WHERE id % 70 IN (3, 4);
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;

CREATE FUNCTION in_parallel(joined text) RETURNS TABLE (what text, n int, verdict text, strategy text, plan text) LANGUAGE plpgsql AS $$
DECLARE
  queries text[] := ARRAY[
    'join', joined, 'SELECT count(*), sum(a.val), sum(b.total) FROM {even} a JOIN {sums} b ON b.grp = a.grp',
    'join of base tables to it', joined, 'SELECT count(*), sum(a.val), sum(p.id) FROM parallel_source p JOIN {even} a ON a.id = p.id',
    'itself', joined, 'SELECT count(*), sum(a.val - b.val) FROM {even} a JOIN {even} b ON a.id = b.id',
    'left join', joined, 'SELECT count(*), count(a.id) FROM parallel_source p LEFT JOIN {even} a ON a.id = p.id',
    'left join of it', replace(joined, 'Gather.*', ''), 'SELECT count(*), count(o.id) FROM {odd} a LEFT JOIN other o ON a.id = o.id',
    'semi join', replace(joined, 'Gather.*', ''), 'SELECT count(*), sum(id) FROM parallel_source p WHERE EXISTS (SELECT FROM {odd} a WHERE a.id = p.id)',
    'anti join', joined, 'SELECT count(*), sum(id) FROM parallel_source p WHERE NOT EXISTS (SELECT FROM {odd} a WHERE a.id = p.id)'];
BEGIN
  FOR i IN 1 .. cardinality(queries) / 3 LOOP
    what := queries[3 * i - 2];
    SELECT c.n, c.verdict, c.strategy, c.plan INTO n, verdict, strategy, plan FROM reads.checked(queries[3 * i], queries[3 * i - 1]) c;
    RETURN NEXT;
  END LOOP;
END $$;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT * FROM in_parallel('Gather.*Parallel Hash Join');
SET parallel_leader_participation = off;
SELECT * FROM in_parallel('Gather.*Parallel Hash Join');
RESET parallel_leader_participation;
SET enable_parallel_hash = off;
SELECT * FROM in_parallel('Gather.*Hash Join');
RESET enable_parallel_hash;
SET enable_hashjoin = off;
SET enable_mergejoin = on;
SELECT * FROM in_parallel('Merge Join');
SET enable_mergejoin = off;
SET enable_nestloop = on;
SELECT * FROM in_parallel('Gather.*Nested Loop');
SET parallel_leader_participation = off;
SELECT * FROM in_parallel('Gather.*Nested Loop');
RESET parallel_leader_participation;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- Index and bitmap scans, and several stream tables at once.
CREATE FUNCTION scanned() RETURNS TABLE (what text, n int, verdict text, strategy text, plan text) LANGUAGE plpgsql AS $$
DECLARE
  queries text[] := ARRAY[
    'range', 'Gather.*Parallel', 'SELECT count(*), sum(id), sum(val) FROM {even} a WHERE id BETWEEN 500 AND 6300',
    'rows', 'Gather', 'SELECT * FROM {even} a WHERE id BETWEEN 500 AND 6300',
    'several', 'Gather.*Parallel Append', 'SELECT count(*), sum(id), sum(val) FROM (SELECT * FROM {even} a WHERE id > 100 UNION ALL SELECT * FROM {odd} b WHERE id > 100) u',
    'several, with others', 'Gather.*Parallel Append', 'SELECT count(*), sum(id) FROM (SELECT id FROM {even} a WHERE id > 100 UNION ALL SELECT id FROM {odd} b WHERE id > 100 UNION ALL SELECT id FROM other UNION ALL SELECT grp FROM {sums} c WHERE grp > 0) u',
    'grouped', 'Gather', 'SELECT grp, count(*), sum(val) FROM {even} a WHERE id > 100 GROUP BY grp',
    'by a subquery', '', 'SELECT count(*), (SELECT count(*) FROM {odd} b WHERE id > 500) FROM {even} a WHERE id > 400 AND grp < (SELECT max(grp) FROM {sums} c WHERE grp > 10)'];
BEGIN
  FOR i IN 1 .. cardinality(queries) / 3 LOOP
    what := queries[3 * i - 2];
    SELECT c.n, c.verdict, c.strategy, c.plan INTO n, verdict, strategy, plan FROM reads.checked(queries[3 * i], queries[3 * i - 1]) c;
    RETURN NEXT;
  END LOOP;
END $$;
SELECT * FROM scanned();
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT * FROM scanned();
SET parallel_leader_participation = off;
SELECT * FROM scanned();
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SELECT * FROM scanned();
RESET parallel_leader_participation;
SELECT * FROM scanned();
RESET enable_indexscan;
RESET enable_bitmapscan;
RESET enable_seqscan;

-- Into another table, and by a cursor fetched by portions, whose parallel plan then runs in one process.
CREATE TABLE into_another AS SELECT * FROM even;
SELECT count(*) = (SELECT count(*) FROM parallel_source WHERE id % 2 = 0) AS all_rows, sum(val) = (SELECT sum(val) FROM parallel_source WHERE id % 2 = 0) AS same FROM into_another;
CREATE FUNCTION by_portions(query text) RETURNS TABLE (n bigint, total numeric) LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  n := 0;
  total := 0;
  FOR r IN EXECUTE query LOOP n := n + 1; total := total + r.val; END LOOP;
  RETURN NEXT;
END $$;
SELECT b.n = s.n AS all_rows, b.total = s.total AS same FROM by_portions('SELECT * FROM even WHERE id > 100') b, (SELECT count(*) AS n, sum(val) AS total FROM parallel_source WHERE id % 2 = 0 AND id > 100) s;
SET enable_seqscan = off;
SELECT b.n = s.n AS all_rows, b.total = s.total AS same FROM by_portions('SELECT * FROM even WHERE id > 100') b, (SELECT count(*) AS n, sum(val) AS total FROM parallel_source WHERE id % 2 = 0 AND id > 100) s;
RESET enable_seqscan;
DROP TABLE into_another, even, odd, sums, parallel_source;
DROP FUNCTION in_parallel, scanned, by_portions;
