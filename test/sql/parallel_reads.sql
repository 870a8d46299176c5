-- Parallel plans: the delta arm runs in one participant, every participant leaves out what is masked.
SET search_path = reads, public;
CALL change(11000);
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET min_parallel_index_scan_size = 0;

SELECT * FROM verify('SELECT count(*), sum(id), sum(twice) FROM {picked} s');
SELECT * FROM verify('SELECT grp, count(*) FROM {picked} s GROUP BY grp');
SELECT * FROM verify('SELECT count(*), sum(total) FROM {totals} s');
SET enable_seqscan = off;
SELECT * FROM verify('SELECT count(*), sum(id) FROM {picked} s WHERE id BETWEEN 100 AND 5100');
SET enable_indexscan = off;
SELECT * FROM verify('SELECT count(*), sum(id) FROM {picked} s WHERE id BETWEEN 100 AND 5100');
RESET enable_indexscan;
RESET enable_seqscan;

-- Joins: the stream table on either side, as the inner side of a parallel nested loop it is read whole by each.
SELECT * FROM verify('SELECT count(*), sum(s.twice) FROM other o JOIN {picked} s ON s.id = o.id');
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT * FROM verify('SELECT count(*), sum(s.twice) FROM other o JOIN {picked} s ON s.id = o.id');
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT * FROM verify('SELECT count(*) FROM (SELECT id FROM {picked} s UNION ALL SELECT id FROM other UNION ALL SELECT grp FROM {totals} t) u');
SET parallel_leader_participation = off;
SELECT * FROM verify('SELECT count(*), sum(id), sum(twice) FROM {picked} s');
RESET parallel_leader_participation;

-- Workers were there.
DO $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON, COSTS OFF, TIMING OFF) SELECT * FROM reads.picked' INTO plan;
  RAISE INFO 'workers launched: %', plan -> 0 -> 'Plan' -> 'Workers Launched';
END $$;

-- What the writing transaction wrote, its workers see.
BEGIN;
INSERT INTO source SELECT i, i % 100, 1, 'own' FROM generate_series(7001, 7030) i;
SELECT * FROM verify('SELECT count(*), sum(id), sum(twice) FROM {picked} s');
SAVEPOINT here;
DELETE FROM source WHERE id > 7010;
SELECT * FROM verify('SELECT count(*), sum(id), sum(twice) FROM {picked} s');
ROLLBACK TO here;
SELECT * FROM verify('SELECT count(*), sum(id), sum(twice) FROM {picked} s');
ROLLBACK;

-- A defining query that is not parallel safe is read without workers.
CREATE FUNCTION careful(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 + 1; END';
CREATE TABLE carefully USING pgstream AS SELECT id, careful(grp) AS next FROM source;
INSERT INTO source VALUES (8001, 1, 1, 'careful');
SELECT * FROM verify('SELECT count(*), sum(next) FROM {carefully} s');
SELECT * FROM verify('SELECT count(*), sum(s.next) FROM other o JOIN {carefully} s ON s.id = o.id');
DELETE FROM source WHERE id = 8001;
DROP TABLE carefully;
