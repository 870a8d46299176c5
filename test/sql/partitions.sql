-- Partitioned sources: whatever writes them, at the root, at a sub-root or at a leaf, the stream tables are their queries,
-- before any refresh; and whatever changes the tree.
SET client_min_messages = warning;
CREATE SCHEMA part;
SET search_path = part, public;

-- Three levels; leaves whose columns are in another order, with dropped ones.
CREATE TABLE m (id int, grp text, val numeric(10,2), at int, wide text, unused text, twice int GENERATED ALWAYS AS (at * 2) STORED) PARTITION BY RANGE (at);
CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (10);
CREATE TABLE m2 (unused text, wide text, gone int, val numeric(10,2), at int, twice int GENERATED ALWAYS AS (at * 2) STORED, grp text, id int);
ALTER TABLE m2 DROP gone;
ALTER TABLE m ATTACH PARTITION m2 FOR VALUES FROM (10) TO (20);
CREATE TABLE m3 (at int, id int, wide text, unused text, val numeric(10,2), grp text, gone text, twice int GENERATED ALWAYS AS (at * 2) STORED) PARTITION BY LIST (grp);
ALTER TABLE m3 DROP gone;
ALTER TABLE m ATTACH PARTITION m3 FOR VALUES FROM (20) TO (40);
CREATE TABLE m3a PARTITION OF m3 FOR VALUES IN ('a');
CREATE TABLE m3x PARTITION OF m3 DEFAULT;
ALTER TABLE m2 ALTER wide SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX ON m1 (id);
INSERT INTO m SELECT i, substr('abc', 1 + i % 3, 1), i * 1.5, i % 40 FROM generate_series(1, 120) i;

CREATE TABLE g_st USING pgstream AS SELECT grp, sum(val) AS s, count(*) AS n FROM m GROUP BY grp;
CREATE TABLE r_st USING pgstream AS SELECT id, grp, val, md5(wide) AS wide, twice FROM m WHERE val > 10;
CREATE TABLE sub_st USING pgstream AS SELECT grp, count(*) AS n, max(val) FROM m3 GROUP BY grp;
CREATE TABLE leaf_st USING pgstream AS SELECT id, at, val, length(wide) AS len FROM m2;
CREATE TABLE count_st USING pgstream AS SELECT count(*) AS n FROM m;
SELECT st, property, value FROM unnest(ARRAY['g_st', 'r_st', 'sub_st', 'leaf_st', 'count_st']) st, pgstream.explain_st(st)
 WHERE property ~ '^(strategy|source)' ORDER BY 1, 2;
-- A passage has two, a holder three, for each source.
CREATE VIEW triggers AS
SELECT tgrelid::regclass::text AS "table", count(*) FILTER (WHERE tgtype & 1 = 1) AS row_triggers, count(*) FILTER (WHERE tgtype & 1 = 0) AS statement_triggers
  FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
 WHERE tgfoid = 'pgstream.capture_changes'::regproc AND c.relnamespace = 'part'::regnamespace GROUP BY 1;
SELECT * FROM triggers ORDER BY 1;

CREATE FUNCTION differs(stream regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE missing bigint; surplus bigint;
BEGIN
  EXECUTE format('WITH st AS MATERIALIZED (SELECT row_::text AS r FROM %s row_), q AS MATERIALIZED (SELECT row_::text AS r FROM (%s) row_)
                  SELECT (SELECT count(*) FROM (SELECT r FROM q EXCEPT ALL SELECT r FROM st) x),
                         (SELECT count(*) FROM (SELECT r FROM st EXCEPT ALL SELECT r FROM q) x)',
                 stream, rtrim(pgstream.defining_query(stream), ';')) INTO missing, surplus;
  RETURN CASE WHEN missing = 0 AND surplus = 0 THEN 'ok' ELSE format('%s missing, %s surplus', missing, surplus) END;
END $$;
CREATE FUNCTION all_streams() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT pgs_relid::regclass::text FROM pgstream.pgs_stream WHERE pgs_relid::regclass::text ~ '_st$' ORDER BY 1 $$;
-- 'ok', or which stream tables differ and how.
CREATE FUNCTION oracle() RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(s || ': ' || d, ', '), 'ok') FROM all_streams() s, differs(s::regclass) d WHERE d <> 'ok' $$;
CREATE FUNCTION by_log(stream regclass) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text; found boolean := false;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s', stream) LOOP
    IF line ~ 'algebraic' THEN found := true; END IF;
  END LOOP;
  RETURN found;
END $$;
-- The stream tables whose latest answer did not come from the log, with the reason.
CREATE FUNCTION recomputed() RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; s text; result text := '';
BEGIN
  FOR s IN SELECT all_streams() LOOP
    FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s', s) LOOP
      IF line ~ 'Strategy Reason' AND NOT by_log(s::regclass) THEN result := result || s || line || '; '; END IF;
    END LOOP;
  END LOOP;
  RETURN result;
END $$;
CREATE FUNCTION fold() RETURNS void LANGUAGE sql AS $$ SELECT pgstream.refresh_stream_table(s) FROM all_streams() s $$;

-- At the root.
INSERT INTO m (id, grp, val, at) VALUES (1000, 'a', 5, 25), (1001, 'zz', 100, 26), (1002, 'b', 99, 3), (1003, NULL, NULL, 12);
SELECT oracle(), recomputed();
UPDATE m SET val = val + 0.5 WHERE id % 7 = 0;
SELECT oracle();
DELETE FROM m WHERE id % 11 = 0;
SELECT oracle();
-- Rows move between leaves, between levels, and stay.
UPDATE m SET at = (at + 11) % 40 WHERE id % 3 = 0;
SELECT oracle(), recomputed();
UPDATE m SET grp = 'moved' WHERE at BETWEEN 20 AND 30;
SELECT oracle();
COPY m (id, grp, val, at) FROM STDIN;
2000	copied	400.4	1
2001	copied	401	15
2002	\N	\N	22
2003	a	7	23
\.
SELECT oracle();
MERGE INTO m USING (VALUES (2000, 22.2), (2001, NULL), (2002, 1), (3000, 300.3)) v (id, val) ON m.id = v.id
  WHEN MATCHED AND v.val IS NULL THEN DELETE
  WHEN MATCHED THEN UPDATE SET val = v.val, at = (m.at + 10) % 40
  WHEN NOT MATCHED THEN INSERT (id, grp, val, at) VALUES (v.id, 'merged', v.val, 33);
SELECT oracle();
WITH d AS (DELETE FROM m WHERE id = 3000 RETURNING *), u AS (UPDATE m3 SET val = val * 2 WHERE id % 2 = 0 RETURNING id)
  INSERT INTO m (id, grp, val, at) SELECT id + 1, grp, val, 5 FROM d;
SELECT oracle();
-- At a sub-root and at leaves.
INSERT INTO m3 (id, grp, val, at) VALUES (4000, 'a', 44, 21), (4001, 'q', 45, 39);
UPDATE m3 SET grp = 'a' WHERE id = 4001;
DELETE FROM m3 WHERE id = 4000;
SELECT oracle();
INSERT INTO m1 (id, grp, val, at) VALUES (5000, 'leaf', 50, 5);
INSERT INTO m1 (id, grp, val, at) VALUES (5000, 'leaf', 51, 5), (5001, 'leaf', 12, 6) ON CONFLICT (id) DO UPDATE SET val = excluded.val, grp = 'conflict';
INSERT INTO m1 (id, grp, val, at) VALUES (5000, 'leaf', 51, 5) ON CONFLICT DO NOTHING;
UPDATE m2 SET val = val + 1;
DELETE FROM m3x WHERE grp = 'moved' AND id % 2 = 0;
COPY m2 (id, grp, val, at) FROM STDIN;
6000	leafcopy	66	11
6001	leafcopy	67	12
\.
SELECT oracle(), recomputed();
-- What no stream table uses is not logged.
SELECT fold();
UPDATE m SET unused = 'x';
UPDATE m SET val = val, grp = grp;
CREATE FUNCTION pending(stream regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s', stream) LOOP
    IF line ~ 'Strategy|Pending' THEN RETURN NEXT trim(line); END IF;
  END LOOP;
END $$;
SELECT pending('g_st');
-- Toasted values in a leaf; a row too large for a batch.
UPDATE m SET wide = repeat(md5(id::text), 300) WHERE id % 20 = 1;
SELECT oracle();
UPDATE m SET val = val + 1 WHERE wide IS NOT NULL;
DELETE FROM m2 WHERE wide IS NOT NULL AND id < 60;
SELECT oracle(), recomputed();

-- Transactions: own writes, savepoints; subtransactions inside the statement itself.
BEGIN;
UPDATE m SET val = 1 WHERE id = 20;
UPDATE m SET val = 50 WHERE id = 20;
SAVEPOINT s;
UPDATE m SET at = 15;
SELECT oracle();
ROLLBACK TO s;
SELECT oracle();
DELETE FROM m WHERE at < 10;
COMMIT;
SELECT oracle(), recomputed();
BEGIN;
DELETE FROM m;
SELECT oracle(), (SELECT count(*) FROM r_st);
ROLLBACK;
SELECT oracle();
CREATE FUNCTION in_subtransaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    INSERT INTO part.m3 (id, grp, val, at) VALUES (NEW.id + 1, 'sub', 77, 30);
    IF NEW.id % 2 = 1 THEN RAISE EXCEPTION 'no'; END IF;
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  RETURN NULL;
END $$;
CREATE TRIGGER in_subtransaction AFTER INSERT ON m1 FOR EACH ROW EXECUTE FUNCTION in_subtransaction();
INSERT INTO m (id, grp, val, at) SELECT 7000 + i * 5, 'outer', 20, i % 10 FROM generate_series(1, 10) i;
SELECT oracle(), recomputed(), (SELECT count(*) FROM m WHERE grp = 'sub');
DROP TRIGGER in_subtransaction ON m1;

-- What replication applies: statement and row triggers under this setting.
SET session_replication_role = replica;
INSERT INTO m (id, grp, val, at) VALUES (8000, 'replica', 88, 8), (8001, 'replica', 89, 28);
UPDATE m SET at = 12 WHERE id = 8000;
DELETE FROM m3 WHERE id = 8001;
RESET session_replication_role;
SELECT oracle(), recomputed();

-- Foreign keys: actions into a partitioned table.
CREATE TABLE parent (p int PRIMARY KEY);
CREATE TABLE child (p int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, c int) PARTITION BY LIST (p);
CREATE TABLE child1 PARTITION OF child FOR VALUES IN (1, 2, 3);
CREATE TABLE child2 (c int, p int);
ALTER TABLE child ATTACH PARTITION child2 DEFAULT;
INSERT INTO parent SELECT i FROM generate_series(1, 9) i;
INSERT INTO child SELECT 1 + i % 9, i FROM generate_series(1, 40) i;
CREATE TABLE child_st USING pgstream AS SELECT p, count(*) AS n, sum(c) FROM child GROUP BY p;
DELETE FROM parent WHERE p IN (2, 7, 8);
SELECT oracle();
UPDATE parent SET p = p + 100 WHERE p IN (3, 4);
SELECT oracle(), recomputed();
DROP TABLE child_st, child, parent;

-- TRUNCATE of the root, of a sub-root, of a leaf: by the query until the next fold.
SELECT fold();
BEGIN;
TRUNCATE m;
SELECT oracle();
ROLLBACK;
SELECT oracle(), recomputed();
TRUNCATE m3a;
SELECT oracle(), recomputed();
INSERT INTO m (id, grp, val, at) VALUES (9000, 'a', 90, 22);
SELECT oracle(), fold(), oracle(), recomputed();
TRUNCATE m3;
SELECT oracle();
TRUNCATE m;
INSERT INTO m SELECT i, substr('abc', 1 + i % 3, 1), i * 1.5, i % 40 FROM generate_series(1, 120) i;
SELECT oracle(), fold(), oracle();
UPDATE m SET val = val + 1 WHERE id < 40;
SELECT oracle(), recomputed();

-- Reads inside the statement, wherever it was started, see all of it.
CREATE TABLE seen (at text, answer text);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO part.seen VALUES (TG_TABLE_NAME || ' ' || TG_WHEN || ' ' || TG_OP || ' ' || TG_LEVEL, part.oracle()); RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END; END $$;
CREATE TRIGGER look_before BEFORE INSERT OR UPDATE OR DELETE ON m FOR EACH ROW EXECUTE FUNCTION look();
CREATE TRIGGER look_after AFTER INSERT OR UPDATE OR DELETE ON m FOR EACH ROW EXECUTE FUNCTION look();
CREATE TRIGGER "00look" AFTER INSERT OR UPDATE OR DELETE ON m FOR EACH STATEMENT EXECUTE FUNCTION look();
CREATE TRIGGER zlook AFTER INSERT OR UPDATE OR DELETE ON m3 FOR EACH STATEMENT EXECUTE FUNCTION look();
INSERT INTO m (id, grp, val, at) VALUES (301, 'a', 10, 5), (302, 'b', 20, 15), (303, 'a', 30, 25);
UPDATE m SET at = at + 10 WHERE id IN (301, 302);
DELETE FROM m WHERE id IN (301, 302, 1, 2);
INSERT INTO m3 (id, grp, val, at) VALUES (304, 'a', 10, 25), (305, 'n', 10, 25);
INSERT INTO m3a (id, grp, val, at) VALUES (306, 'a', 10, 25), (307, 'a', 11, 25);
UPDATE m3 SET grp = 'a' WHERE id = 305;
DELETE FROM m1 WHERE id IN (40, 41);
SELECT at, answer, count(*) FROM seen GROUP BY 1, 2 ORDER BY 1, 2;
DROP TRIGGER look_before ON m;
DROP TRIGGER look_after ON m;
DROP TRIGGER "00look" ON m;
DROP TRIGGER zlook ON m3;
SELECT oracle(), recomputed();

-- A new leaf is captured from its first row on; nothing is rebuilt.
SELECT fold();
CREATE TABLE m4 PARTITION OF m FOR VALUES FROM (40) TO (50);
SELECT oracle(), recomputed();
INSERT INTO m4 (id, grp, val, at) VALUES (400, 'new', 400, 41);
INSERT INTO m (id, grp, val, at) VALUES (401, 'new', 401, 42);
CREATE TABLE m5 PARTITION OF m FOR VALUES FROM (50) TO (70) PARTITION BY RANGE (at);
CREATE TABLE m5a PARTITION OF m5 FOR VALUES FROM (50) TO (60);
CREATE TABLE m5b PARTITION OF m5 FOR VALUES FROM (60) TO (70);
INSERT INTO m (id, grp, val, at) VALUES (500, 'new', 55, 55), (501, 'new', 56, 65);
UPDATE m SET at = at - 10 WHERE at > 50;
SELECT oracle(), recomputed();
SELECT * FROM triggers ORDER BY 1;
-- ATTACH and DETACH with rows: by the query until rebuilt, and exact.
CREATE TABLE m7 (val numeric(10,2), grp text, at int NOT NULL, id int, unused text, wide text, twice int GENERATED ALWAYS AS (at * 2) STORED);
INSERT INTO m7 (id, grp, val, at) SELECT 700 + i, 'seven', i * 10, 70 + i FROM generate_series(0, 5) i;
CREATE TABLE m7_st USING pgstream AS SELECT grp, count(*) AS n FROM m7 GROUP BY grp;
INSERT INTO m7 (id, grp, val, at) VALUES (710, 'seven', 1, 79);
SELECT by_log('m7_st');
ALTER TABLE m ATTACH PARTITION m7 FOR VALUES FROM (70) TO (80);
SELECT oracle(), recomputed();
INSERT INTO m (id, grp, val, at) VALUES (711, 'seven', 2, 78);
INSERT INTO m7 (id, grp, val, at) VALUES (712, 'seven', 3, 78);
SELECT oracle(), fold(), oracle(), recomputed();
INSERT INTO m (id, grp, val, at) VALUES (713, 'seven', 4, 78);
UPDATE m7 SET val = val + 1;
SELECT oracle(), recomputed();
SELECT * FROM triggers WHERE "table" IN ('m', 'm7') ORDER BY 1;
ALTER TABLE m DETACH PARTITION m7;
INSERT INTO m7 (id, grp, val, at) VALUES (714, 'alone', 4, 78);
SELECT oracle(), recomputed();
SELECT fold(), oracle();
DELETE FROM m7 WHERE id < 703;
INSERT INTO m (id, grp, val, at) VALUES (402, 'new', 401, 42);
SELECT oracle(), recomputed();
SELECT * FROM triggers WHERE "table" IN ('m', 'm7') ORDER BY 1;
-- A whole sub-tree.
ALTER TABLE m DETACH PARTITION m3;
INSERT INTO m3 (id, grp, val, at) VALUES (720, 'a', 4, 28), (721, 'b', 4, 28);
SELECT oracle(), fold(), oracle();
UPDATE m3 SET val = 5 WHERE id >= 720;
SELECT oracle(), recomputed();
ALTER TABLE m ATTACH PARTITION m3 FOR VALUES FROM (20) TO (40);
SELECT oracle(), fold(), oracle();
UPDATE m SET val = 6 WHERE id >= 720;
SELECT oracle(), recomputed();
-- CONCURRENTLY; in one transaction and rolled back; attached and detached again between two folds.
ALTER TABLE m DETACH PARTITION m5 CONCURRENTLY;
SELECT oracle(), fold(), oracle(), recomputed();
BEGIN;
ALTER TABLE m DETACH PARTITION m1;
SELECT oracle();
ROLLBACK;
SELECT oracle(), recomputed();
ALTER TABLE m DETACH PARTITION m1;
UPDATE m1 SET val = val + 1;
ALTER TABLE m ATTACH PARTITION m1 FOR VALUES FROM (0) TO (10);
SELECT oracle(), fold(), oracle();
DROP TABLE m5;
-- A leaf is dropped with its rows.
-- Not while this session reads a stream table over it: its rows would be missing from the cursor.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM g_st;
DROP TABLE m4;
ROLLBACK;
DROP TABLE m4;
SELECT oracle(), recomputed();
SELECT fold(), oracle(), recomputed();
-- A leaf that is the source of a stream table of its own.
DROP TABLE m2 CASCADE;
SELECT oracle(), fold(), oracle();
CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (10) TO (20);
INSERT INTO m (id, grp, val, at) VALUES (12, 'again', 12, 12);
SELECT oracle(), recomputed();
-- Triggers of a leaf disabled: not unnoticed, and put in order by the next fold.
ALTER TABLE m1 DISABLE TRIGGER ALL;
INSERT INTO m1 (id, grp, val, at) VALUES (730, 'unseen', 12, 2);
SELECT oracle(), recomputed();
SELECT fold(), oracle();
INSERT INTO m1 (id, grp, val, at) VALUES (731, 'unseen', 12, 2);
SELECT oracle(), recomputed();
ALTER TABLE m1 ENABLE TRIGGER ALL;
SELECT oracle(), fold(), oracle(), recomputed();
-- Columns come, go and change their names.
ALTER TABLE m ADD late int DEFAULT 3;
ALTER TABLE m DROP unused;
ALTER TABLE m RENAME grp TO class;
ALTER TABLE m2 RENAME TO m2_renamed;
INSERT INTO m (id, class, val, at) VALUES (740, 'a', 12, 12), (741, 'zz', 12, 32);
UPDATE m SET class = 'renamed' WHERE id % 5 = 0;
SELECT oracle(), recomputed();
CREATE TABLE late_st USING pgstream AS SELECT late, count(*) AS n FROM m GROUP BY late;
UPDATE m SET late = id % 3 WHERE at > 30;
UPDATE m3x SET late = 9 WHERE id % 4 = 0;
SELECT oracle(), recomputed();

-- Members that cannot be captured: recomputed on every read, and neither the command nor a writer fails.
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE FOREIGN TABLE mf PARTITION OF m FOR VALUES FROM (80) TO (90) SERVER dummy;
SELECT st, property, value FROM unnest(ARRAY['g_st', 'sub_st']) st, pgstream.explain_st(st) WHERE property ~ '^(strategy|reason)' ORDER BY 1, 2;
SELECT differs('sub_st'), by_log('sub_st');
INSERT INTO m (id, class, val, at) VALUES (750, 'a', 12, 12), (751, 'a', 12, 32);
UPDATE m3 SET val = val + 1;
DELETE FROM m1 WHERE id = 750;
COPY m (id, class, val, at) FROM STDIN;
752	copied	1	2
\.
SELECT differs('sub_st');
DROP FOREIGN TABLE mf;
SELECT oracle();
SELECT fold(), oracle();
INSERT INTO m (id, class, val, at) VALUES (753, 'a', 12, 12), (754, 'a', 12, 32);
SELECT oracle(), recomputed();
ALTER TABLE m3x SET UNLOGGED;
INSERT INTO m (id, class, val, at) VALUES (755, 'b', 12, 12), (756, 'b', 12, 32);
SELECT oracle(), recomputed();
SELECT fold(), oracle();
-- Nobody uses the log meanwhile, and it is gone.
SELECT source_relid::regclass FROM pgstream.pgs_log WHERE source_relid::regclass::text ~ '^m' ORDER BY 1;
ALTER TABLE m3x SET LOGGED;
INSERT INTO m (id, class, val, at) VALUES (757, 'b', 12, 12), (758, 'b', 12, 32);
SELECT oracle(), fold(), oracle();
INSERT INTO m (id, class, val, at) VALUES (759, 'b', 12, 12), (760, 'b', 12, 32);
SELECT oracle(), recomputed();

-- A stream table created while the other was not registered does not lend it its log.
ALTER TABLE m3x SET UNLOGGED;
CREATE TABLE first_st USING pgstream AS SELECT at, count(*) AS n FROM m GROUP BY at;
ALTER TABLE m3x SET LOGGED;
CREATE TABLE second_st USING pgstream AS SELECT at, count(*) AS n, sum(val) FROM m GROUP BY at;
INSERT INTO m (id, class, val, at) VALUES (761, 'b', 12, 12), (762, 'b', 12, 32);
SELECT oracle(), fold(), oracle();
INSERT INTO m (id, class, val, at) VALUES (763, 'b', 12, 12), (764, 'b', 12, 32);
SELECT oracle(), recomputed();

-- All rows go, and all stream tables: nothing is left on any table.
DELETE FROM m;
SELECT oracle(), (SELECT n FROM count_st);
DROP TABLE g_st, r_st, sub_st, m7_st, count_st, late_st, first_st, second_st;
SELECT * FROM triggers;
SELECT count(*) FROM pgstream.pgs_log WHERE source_relid::regclass::text ~ '^m';
SELECT count(*) FROM pgstream.pgs_dependency d WHERE NOT EXISTS (SELECT FROM pgstream.pgs_stream s WHERE s.pgs_relid = d.pgs_relid);

-- Two hundred leaves.
CREATE TABLE many (id int, k int) PARTITION BY LIST (k);
DO $$ BEGIN FOR i IN 0..199 LOOP EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES IN (%s)', i, i); END LOOP; END $$;
INSERT INTO many SELECT i, i % 200 FROM generate_series(1, 1000) i;
CREATE TABLE many_st USING pgstream AS SELECT k % 7 AS k, count(*) AS n, sum(id) FROM many GROUP BY 1;
UPDATE many SET k = (k + 1) % 200;
DELETE FROM many WHERE id % 3 = 0;
SELECT oracle(), by_log('many_st');
TRUNCATE many;
INSERT INTO many SELECT i, i % 200 FROM generate_series(1, 1000) i;
SELECT oracle(), fold(), oracle();
INSERT INTO many_17 VALUES (1, 17);
SELECT oracle(), by_log('many_st');
DROP TABLE many CASCADE;
SELECT * FROM triggers;
DROP SCHEMA part CASCADE;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
SELECT count(*) FROM pgstream.pgs_log l WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = l.source_relid);
