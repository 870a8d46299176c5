-- What the randomised oracle found: each was wrong once and must stay right.
SET client_min_messages = warning;

-- The first fold of a stream table, followed in its transaction by a write: reclaim at the commit took the record with it.
CREATE TABLE found_1 (id int, k int);
CREATE TABLE found_1_st USING pgstream AS SELECT k, count(*) FROM found_1 GROUP BY k WITH NO DATA;
INSERT INTO found_1 VALUES (1, 1), (2, 1);
BEGIN;
SELECT pgstream.refresh_stream_table('found_1_st');
INSERT INTO found_1 VALUES (3, 1), (4, 2);
COMMIT;
SELECT * FROM found_1_st ORDER BY k;
DROP TABLE found_1 CASCADE;
