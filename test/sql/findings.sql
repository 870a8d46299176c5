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

-- A trigger that reads in the middle of an UPDATE of which nothing is logged: the next command is not part of it.
CREATE TABLE found_2 (id int, k int, unused int);
INSERT INTO found_2 VALUES (1, 1, 1), (2, 1, 1);
CREATE TABLE found_2_st USING pgstream AS SELECT k, count(*) FROM found_2 GROUP BY k;
CREATE FUNCTION found_look() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM count(*) FROM found_2_st; RETURN NEW; END $$;
CREATE TRIGGER look AFTER UPDATE ON found_2 FOR EACH ROW EXECUTE FUNCTION found_look();
BEGIN;
UPDATE found_2 SET unused = 2;
SELECT pgstream.refresh_stream_table('found_2_st');
COMMIT;
DROP TABLE found_2 CASCADE;
DROP FUNCTION found_look();

-- Queries inside one statement see ever more of its rows under one command id; of an uncaptured source nobody can tell.
CREATE UNLOGGED TABLE found_3 (id int);
CREATE TABLE found_3_st USING pgstream AS SELECT id FROM found_3;
CREATE FUNCTION found_look() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN
    RAISE WARNING 'before row %: % in the stream table, % in its query', NEW.id, (SELECT count(*) FROM found_3_st),
      (SELECT count(*) FROM found_3);
    RETURN NEW;
  END $$;
CREATE TRIGGER look BEFORE INSERT ON found_3 FOR EACH ROW EXECUTE FUNCTION found_look();
INSERT INTO found_3 VALUES (1), (2), (3);
DROP TABLE found_3 CASCADE;
DROP FUNCTION found_look();

-- A parallel plan that is executed without workers, as a lazily evaluated SQL function does and any client that fetches
-- by portions: base and additions each once.
CREATE TABLE found_4 (id int, k int);
INSERT INTO found_4 SELECT i, i % 3000 FROM generate_series(1, 6000) i;
CREATE TABLE found_4_st USING pgstream AS SELECT k, count(*) FROM found_4 GROUP BY k;
INSERT INTO found_4 VALUES (6001, 7000), (6002, 1);
CREATE FUNCTION found_lazily() RETURNS SETOF text LANGUAGE sql AS $$ SELECT s::text FROM found_4_st s $$;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
DO $$
DECLARE line text;
BEGIN
  FOR line IN EXPLAIN SELECT s::text FROM found_4_st s LOOP
    IF line LIKE '%Parallel Custom Scan%' THEN RETURN; END IF;
  END LOOP;
  RAISE WARNING 'the plan is not parallel';
END $$;
SELECT count(row), count(DISTINCT row) FROM (SELECT found_lazily() AS row) l;
SELECT count(row), count(DISTINCT row) FROM (SELECT s::text AS row FROM found_4_st s) l;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
DROP FUNCTION found_lazily();
DROP TABLE found_4 CASCADE;
