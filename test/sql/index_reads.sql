-- Reading through indexes while changes are pending: every path returns what the query returns, by the plan named.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SET jit = off;

-- Sequential, for comparison.
SELECT * FROM verify('SELECT count(*) FROM {picked} s');
SET enable_seqscan = off;

-- Index and bitmap.
SET enable_bitmapscan = off;
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id = 5001');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id = 3');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id = 71');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id IN (3, 71, 72, 5001, 5201)');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id BETWEEN 4900 AND 5100 AND note LIKE ''%9%''');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE grp IS NULL');
SELECT * FROM verify('SELECT * FROM {totals} s WHERE grp = 7');
SELECT * FROM verify('SELECT * FROM {totals} s WHERE grp = 42');
SELECT * FROM verify('SELECT * FROM {totals} s WHERE total > 190000');
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SELECT * FROM verify('SELECT * FROM {picked} s WHERE grp IN (3, 7, 42)');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE grp = 7 OR id > 5090');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE grp = 7 AND id < 2000');
RESET enable_indexscan;

-- Index-only would read past the mask.
SELECT * FROM verify('SELECT id FROM {picked} s WHERE id BETWEEN 60 AND 80');
SELECT * FROM verify('SELECT count(*) FROM {picked} s WHERE id > 4000');

-- Order, LIMIT, extremes, DISTINCT ON, nearest neighbours.
SET enable_bitmapscan = off;
SET enable_sort = off;
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id IS NOT NULL ORDER BY id LIMIT 90', true);
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id IS NOT NULL ORDER BY id DESC LIMIT 250', true);
SELECT * FROM verify('SELECT grp, total FROM {totals} s WHERE total IS NOT NULL ORDER BY total DESC LIMIT 5', true);
SELECT * FROM verify('SELECT DISTINCT ON (id) id, note FROM {picked} s WHERE id > 4990 ORDER BY id', true);
SELECT * FROM verify('SELECT id FROM {picked} s ORDER BY point(id, grp) <-> point(5060, 8) LIMIT 1', true);
RESET enable_sort;
SELECT * FROM verify('SELECT min(id), max(id) FROM {picked} s');
SELECT * FROM verify('SELECT min(total), max(total) FROM {totals} s');

-- The inner side of joins: parameters, LATERAL, semi and anti joins, correlated subqueries.
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_seqscan = on;
SET enable_material = off;
SELECT * FROM verify('SELECT o.id, s.note FROM other o JOIN {picked} s ON s.id = o.id');
SELECT * FROM verify('SELECT o.id, s.note FROM other o JOIN {picked} s ON s.id = o.id AND s.grp > 50 WHERE o.id > 2000');
SELECT * FROM verify('SELECT o.id, s.note FROM other o LEFT JOIN {picked} s ON s.id = o.id');
SELECT * FROM verify('SELECT o.id, l.note FROM other o, LATERAL (SELECT s.note FROM {picked} s WHERE s.id > o.id ORDER BY s.id LIMIT 1) l');
SELECT * FROM verify('SELECT o.id FROM other o WHERE NOT EXISTS (SELECT FROM {picked} s WHERE s.id = o.id)');
SELECT * FROM verify('SELECT o.id, (SELECT sum(s.twice) FROM {picked} s WHERE s.grp = o.id) FROM other o WHERE o.id < 300');
SELECT * FROM verify('SELECT a.id, b.total FROM {picked} a JOIN {totals} b ON b.grp = a.grp WHERE a.id BETWEEN 4950 AND 5050');
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;

-- The same with the server's compiled deforming and expressions, where it has them.
SET jit = on;
SET jit_above_cost = 0;
SELECT * FROM verify('SELECT id, twice + 1, note FROM {picked} s WHERE id BETWEEN 4990 AND 5010 AND grp + 1 > 0');
SET jit = off;

-- Uniqueness of an index is nothing the planner may rely on: the join stays.
SELECT shape('SELECT p.id FROM picked p LEFT JOIN totals t ON t.grp = p.grp');

-- Scroll cursors, both ways.
SET enable_seqscan = off;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM picked WHERE id BETWEEN 4990 AND 5012 ORDER BY id;
FETCH 4 FROM c;
FETCH BACKWARD 3 FROM c;
MOVE FORWARD ALL FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FIRST FROM c;
FETCH LAST FROM c;
ROLLBACK;

-- A generic plan made when nothing was pending.
SET plan_cache_mode = force_generic_plan;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
PREPARE by_id (int) AS SELECT * FROM picked WHERE id = $1;
PREPARE by_grp (int) AS SELECT * FROM totals WHERE grp = $1;
EXECUTE by_id (17);
EXECUTE by_grp (17);
UPDATE source SET note = 'prepared' WHERE id = 17;
EXECUTE by_id (17);
DELETE FROM source WHERE id = 17;
EXECUTE by_id (17);
EXECUTE by_grp (17);

-- Inside the writing transaction, and after ROLLBACK TO.
BEGIN;
INSERT INTO source VALUES (17, 17, 0.5, 'again');
EXECUTE by_id (17);
EXECUTE by_grp (17);
SAVEPOINT here;
UPDATE source SET val = 1000 WHERE id = 17;
EXECUTE by_id (17);
EXECUTE by_grp (17);
ROLLBACK TO here;
EXECUTE by_id (17);
EXECUTE by_grp (17);
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id < 30');
ROLLBACK;
EXECUTE by_id (17);
EXECUTE by_grp (17);
RESET plan_cache_mode;

-- Nothing pending, then everything gone.
SELECT * FROM verify('SELECT * FROM {totals} s WHERE grp < 10');
BEGIN;
DELETE FROM source;
SELECT * FROM verify('SELECT * FROM {picked} s WHERE id > 0');
SELECT * FROM verify('SELECT * FROM {totals} s WHERE grp > 0');
ROLLBACK;
