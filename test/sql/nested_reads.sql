-- Reads inside a statement that changes a source: the log lags behind what the read sees, so the query answers.
SET client_min_messages = warning;
CREATE SCHEMA nested;
SET search_path = nested, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric);
INSERT INTO src SELECT i, i % 5, i FROM generate_series(1, 50) i;
CREATE TABLE st USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE INDEX ON st (grp);
CREATE TABLE seen (at text, surplus bigint, missing bigint, total numeric);
-- Compares within one statement, wherever it is called, and notes the result.
CREATE FUNCTION note(at text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO seen
  WITH s AS (SELECT x::text AS r FROM st x), q AS (SELECT x::text AS r FROM (SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp) x)
  SELECT at, (SELECT count(*) FROM (SELECT r FROM s EXCEPT ALL SELECT r FROM q) a),
         (SELECT count(*) FROM (SELECT r FROM q EXCEPT ALL SELECT r FROM s) b), (SELECT sum(total) FROM st);
END $$;
CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM note(TG_WHEN || ' ' || TG_OP || ' ' || TG_LEVEL); RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END; END $$;
CREATE TRIGGER a_before BEFORE INSERT OR UPDATE OR DELETE ON src FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TRIGGER a_after AFTER INSERT OR UPDATE OR DELETE ON src FOR EACH ROW EXECUTE FUNCTION on_row();
CREATE TRIGGER "00first" AFTER INSERT OR UPDATE OR DELETE ON src FOR EACH STATEMENT EXECUTE FUNCTION on_row();
CREATE TRIGGER zlast AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON src FOR EACH STATEMENT EXECUTE FUNCTION on_row();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON src DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_row();
INSERT INTO src VALUES (101, 1, 10), (102, 2, 20), (103, 9, 30);
UPDATE src SET val = val + 1, grp = grp + 1 WHERE id > 45;
DELETE FROM src WHERE id IN (101, 1, 2);
SELECT at, count(*), sum(surplus + missing) AS wrong FROM seen GROUP BY at ORDER BY at;
TRUNCATE seen;

-- A fold there is refused, and nothing is lost.
CREATE FUNCTION fold_inside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pgstream.refresh_stream_table('nested.st'); RETURN NEW; END $$;
CREATE TRIGGER fold AFTER INSERT ON src FOR EACH ROW EXECUTE FUNCTION fold_inside();
INSERT INTO src VALUES (201, 1, 10), (202, 2, 20);
DROP TRIGGER fold ON src;

-- A cursor opened there and fetched after the statement.
CREATE FUNCTION open_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE c refcursor := 'inside';
BEGIN
  IF NEW.id = 302 THEN
    PERFORM note('before the cursor');
    OPEN c FOR SELECT grp, total, n FROM st ORDER BY grp;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER cur AFTER INSERT ON src FOR EACH ROW EXECUTE FUNCTION open_cursor();
BEGIN;
INSERT INTO src VALUES (301, 1, 10), (302, 2, 20), (303, 3, 30);
CREATE TEMP TABLE fetched AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp ORDER BY grp;
FETCH ALL FROM inside;
TABLE fetched ORDER BY grp;
COMMIT;
DROP TRIGGER cur ON src;

-- A cascade: the child's log is written last of all.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int, parent_id int REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent SELECT i FROM generate_series(1, 5) i;
INSERT INTO child SELECT i, i % 5 + 1 FROM generate_series(1, 20) i;
CREATE TABLE child_count USING pgstream AS SELECT parent_id, count(*) AS n FROM child GROUP BY parent_id;
CREATE FUNCTION count_children() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO seen SELECT 'cascade ' || TG_TABLE_NAME, (SELECT coalesce(sum(n), 0) FROM child_count), (SELECT -count(*) FROM child), 0;
  RETURN NULL;
END $$;
CREATE TRIGGER z AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION count_children();
CREATE TRIGGER z AFTER DELETE ON parent FOR EACH STATEMENT EXECUTE FUNCTION count_children();
DELETE FROM parent WHERE id < 3;
SELECT at, count(*), sum(abs(surplus + missing)) AS wrong FROM seen WHERE at LIKE 'cascade%' GROUP BY at ORDER BY at;

-- A function called for each row, an error inside, and what came before the savepoint.
CREATE FUNCTION peek(i int) RETURNS numeric LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM note('per row'); RETURN i; END $$;
TRUNCATE seen;
INSERT INTO src SELECT 400 + i, i, peek(i) FROM generate_series(1, 4) i;
BEGIN;
SAVEPOINT s;
INSERT INTO src SELECT 500 + i, i, 10 / (3 - i) FROM generate_series(1, 4) i;
ROLLBACK TO s;
SELECT note('after the error');
COMMIT;
SELECT note('at last');
SELECT at, count(*), sum(surplus + missing) AS wrong FROM seen GROUP BY at ORDER BY at;
-- Outside of statements nothing of this remains: the log is trusted again.
CREATE FUNCTION strategy_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF) ' || query LOOP
    IF line LIKE '%Strategy%' THEN RETURN NEXT line; END IF;
  END LOOP;
END $$;
SELECT strategy_of('SELECT count(*) FROM child_count');
BEGIN;
INSERT INTO src VALUES (601, 1, 1);
SELECT strategy_of('SELECT count(*) FROM st');
COMMIT;
-- A statement trigger that comes before the capture's own, by its name, and writes.
CREATE TABLE counted (id int, v int);
INSERT INTO counted SELECT i, i FROM generate_series(1, 6) i;
CREATE TABLE counts USING pgstream AS SELECT count(*) AS n, sum(v) AS total FROM counted;
CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO seen VALUES ('early', 0, 0, 0); RETURN NULL; END $$;
CREATE FUNCTION at_second() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.id = 2 THEN
    INSERT INTO seen SELECT 'amid ' || TG_OP, s.n, -q.n, s.total - q.total
      FROM counts s, (SELECT count(*) AS n, sum(v) AS total FROM counted) q;
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER "0_early" BEFORE UPDATE OR DELETE ON counted FOR EACH STATEMENT EXECUTE FUNCTION early();
CREATE TRIGGER at_second BEFORE UPDATE OR DELETE ON counted FOR EACH ROW EXECUTE FUNCTION at_second();
DELETE FROM counted WHERE id < 4;
INSERT INTO counted VALUES (1, 1), (2, 2), (3, 3);
UPDATE counted SET v = v * 10;
SELECT at, surplus + missing AS rows_wrong, total AS sum_wrong FROM seen WHERE at LIKE 'amid%' ORDER BY at;
SELECT (SELECT c FROM counts c) = ROW(count(*), sum(v)) AS equal FROM counted;
-- A cursor that failed has not ended its read: what comes later under a snapshot at the same address is a read of its own.
CREATE TABLE plain_src (id int, k int);
INSERT INTO plain_src SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE plain USING pgstream AS SELECT id, k FROM plain_src;
CREATE INDEX ON plain (id);
SET enable_seqscan = off;
BEGIN;
DECLARE fails CURSOR FOR SELECT 1 / (k - 3) FROM plain WHERE id < 100;
SAVEPOINT s;
\set VERBOSITY terse
FETCH ALL FROM fails;
ROLLBACK TO s;
INSERT INTO plain_src VALUES (6, 6);
SELECT count(*) FROM plain;
INSERT INTO plain_src VALUES (7, 7);
SELECT count(*), max(id) FROM plain WHERE id > 0;
COMMIT;
RESET enable_seqscan;
DROP SCHEMA nested CASCADE;
