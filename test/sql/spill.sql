-- Pending changes beyond hash_mem: the answer is computed anew and spills; memory stays bounded, nothing is left behind, and
-- every way of reading it is exact.
SET client_min_messages = warning;
CREATE SCHEMA spill;
SET search_path = spill, public;
CREATE FUNCTION merge_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query LOOP
    IF line ~ 'Strategy:|Reason:|Pending Changes:|Rows Masked:' THEN RETURN NEXT line; END IF;
  END LOOP;
END $$;
CREATE FUNCTION spilled() RETURNS bigint LANGUAGE sql AS $$
  SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_tmpdir() WHERE name LIKE 'pgsql\_tmp' || pg_backend_pid() || '.%' $$;
CREATE FUNCTION held_kb() RETURNS numeric LANGUAGE sql AS $$
  SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts WHERE name LIKE 'pg_stream%' $$;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, note text);
INSERT INTO src SELECT i, i % 3000, i, 'base ' || i FROM generate_series(1, 2000) i;
CREATE TABLE lines USING pgstream AS SELECT id, val, note FROM src WHERE grp <> 1;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n, max(id) AS last FROM src GROUP BY grp;
CREATE INDEX ON lines (id);
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SET max_parallel_workers_per_gather = 0;

INSERT INTO src SELECT i, i % 3000, i, 'new ' || i FROM generate_series(10001, 50000) i;
UPDATE src SET val = val + 0.5, note = note || '!' WHERE id % 3 = 0;
DELETE FROM src WHERE id % 7 = 0;
SELECT merge_of('SELECT * FROM lines');
SELECT merge_of('SELECT * FROM sums');
BEGIN;
SELECT count(*) FROM lines;
SELECT spilled() > 1000000 AS spills, held_kb() < 1280 AS bounded;
SELECT count(*), sum(n) FROM sums;
SELECT held_kb() < 2048 AS bounded;
-- By index, by cursor in both directions, and with writes of its own after it.
SET LOCAL enable_seqscan = off;
SELECT * FROM lines WHERE id IN (3, 10002, 10005, 49999, 50000) ORDER BY id;
RESET enable_seqscan;
DECLARE c SCROLL CURSOR FOR SELECT id, val FROM lines;
MOVE FORWARD 20000 FROM c;
FETCH 2 FROM c;
INSERT INTO src VALUES (0, 0, 0, 'own');
FETCH BACKWARD 2 FROM c;
SELECT * FROM pgstream.verify('lines');
SELECT * FROM pgstream.verify('sums');
COMMIT;
SELECT spilled() AS left_behind;
SELECT held_kb() < 1024 AS bounded;
-- As much again, then folded under a small memory, too: the same answer.
SET maintenance_work_mem = '1MB';
SELECT pgstream.refresh_stream_table('lines'), pgstream.refresh_stream_table('sums');
SELECT * FROM pgstream.verify('lines');
SELECT * FROM pgstream.verify('sums');
-- Within the limit it is merged.
UPDATE src SET val = 0 WHERE id BETWEEN 10001 AND 10100;
SELECT merge_of('SELECT * FROM lines');
SELECT merge_of('SELECT * FROM sums');
-- Little pending, much shown: additions spill alone.
CREATE TABLE twin USING pgstream AS SELECT grp AS g, repeat('x', 100) AS x FROM src WHERE grp = 5;
INSERT INTO src SELECT i, 5, 1, 'same' FROM generate_series(60001, 64000) i;
SELECT merge_of('SELECT * FROM twin');
BEGIN;
SELECT count(*) FROM twin;
SELECT spilled() > 100000 AS spills;
SELECT * FROM pgstream.verify('twin');
COMMIT;
SELECT spilled() AS left_behind;
DROP SCHEMA spill CASCADE;
