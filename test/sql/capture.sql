-- Capture: whatever writes a source, the stream table is the query, before any refresh; and what is written for it.
SET client_min_messages = warning;
CREATE SCHEMA cap;
SET search_path = cap, public;

CREATE TABLE src (id int PRIMARY KEY, grp text, val numeric, wide text, unused text,
                  twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE src ALTER wide SET STORAGE EXTERNAL;
ALTER TABLE src ADD gone int;
ALTER TABLE src DROP gone;
ALTER TABLE src ADD late int DEFAULT 7;
INSERT INTO src SELECT i, 'g' || i % 3, i * 1.5 FROM generate_series(1, 30) i;
CREATE TABLE rows_st USING pgstream AS SELECT id, grp, val, md5(wide) AS wide, length(wide) AS len, twice, late FROM src WHERE val > 3;
CREATE TABLE groups_st USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
SELECT pgs_relid, columns FROM pgstream.pgs_dependencies WHERE source_relid = 'src'::regclass ORDER BY 1;
SELECT st, value FROM unnest(ARRAY['rows_st', 'groups_st']) st, pgstream.explain_st(st) WHERE property = 'strategy' ORDER BY 1;

-- The oracle, as text and as multisets, in one statement; 'ok' or what is wrong.
CREATE FUNCTION differs(stream regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE missing bigint; surplus bigint;
BEGIN
  EXECUTE format('WITH st AS MATERIALIZED (SELECT row_::text AS r FROM %s row_), q AS MATERIALIZED (SELECT row_::text AS r FROM (%s) row_)
                  SELECT (SELECT count(*) FROM (SELECT r FROM q EXCEPT ALL SELECT r FROM st) x),
                         (SELECT count(*) FROM (SELECT r FROM st EXCEPT ALL SELECT r FROM q) x)',
                 stream, rtrim(pgstream.defining_query(stream), ';')) INTO missing, surplus;
  RETURN CASE WHEN missing = 0 AND surplus = 0 THEN 'ok' ELSE format('%s missing, %s surplus', missing, surplus) END;
END $$;
CREATE FUNCTION oracle() RETURNS text LANGUAGE sql AS $$ SELECT differs('rows_st') || ', ' || differs('groups_st') $$;
-- Records in the log of a source, and its pages.
CREATE FUNCTION log_size(source regclass, OUT records bigint, OUT pages bigint) LANGUAGE plpgsql AS $$
DECLARE segment oid; n bigint;
BEGIN
  records := 0; pages := 0;
  FOR segment IN SELECT unnest(segments) FROM pgstream.pgs_log WHERE source_relid = source LOOP
    EXECUTE format('SELECT count(*) FROM %s', segment::regclass) INTO n;
    records := records + n;
    pages := pages + pg_relation_size(segment) / current_setting('block_size')::int;
  END LOOP;
END $$;
-- The strategy of the latest read was the plan's own, not a fall-back: the log answered.
CREATE FUNCTION answered_by_log(stream regclass) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text; found boolean := false;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s', stream) LOOP
    IF line ~ 'algebraic' THEN found := true; END IF;
  END LOOP;
  RETURN found;
END $$;

SELECT oracle();
SELECT log_size('src');
INSERT INTO src VALUES (100, 'g1', 7.25), (101, NULL, 100), (102, 'g9', NULL);
SELECT oracle(), answered_by_log('rows_st'), answered_by_log('groups_st');
UPDATE src SET val = val + 0.5 WHERE id <= 5;
SELECT oracle();
UPDATE src SET id = id + 1000, grp = 'moved' WHERE id BETWEEN 10 AND 12;
SELECT oracle();
DELETE FROM src WHERE id IN (7, 100);
SELECT oracle();
SELECT log_size('src');

-- An update of columns that no stream table uses writes nothing, nor does one that changes no value.
UPDATE src SET unused = 'x';
UPDATE src SET val = val, grp = grp;
UPDATE src SET val = val WHERE false;
DELETE FROM src WHERE false;
SELECT log_size('src');
-- A value that is equal but written differently has changed: its text is another.
UPDATE src SET val = 100.00 WHERE id = 101;
SELECT oracle();

INSERT INTO src VALUES (1, 'conflict', 1), (200, 'new', 200) ON CONFLICT (id) DO UPDATE SET val = excluded.val + 10, grp = excluded.grp;
SELECT oracle();
INSERT INTO src VALUES (1, 'conflict', 1) ON CONFLICT DO NOTHING;
SELECT oracle();
MERGE INTO src s USING (VALUES (2, 22.2), (3, NULL), (300, 300.3)) v (id, val) ON s.id = v.id
  WHEN MATCHED AND v.val IS NULL THEN DELETE
  WHEN MATCHED THEN UPDATE SET val = v.val
  WHEN NOT MATCHED THEN INSERT (id, grp, val) VALUES (v.id, 'merged', v.val);
SELECT oracle();
COPY src (id, grp, val) FROM STDIN;
400	copied	400.4
401	copied	401
402	\N	\N
\.
SELECT oracle();
WITH d AS (DELETE FROM src WHERE id = 400 RETURNING *), u AS (UPDATE src SET val = val * 2 WHERE id IN (401, 402) RETURNING id)
  INSERT INTO src SELECT id + 100, grp, val FROM d;
SELECT oracle();
SELECT answered_by_log('rows_st'), answered_by_log('groups_st');

-- Several changes of a row in one transaction; savepoints; own writes at once, gone after rollback.
BEGIN;
UPDATE src SET val = 1 WHERE id = 20;
UPDATE src SET val = 50 WHERE id = 20;
SELECT oracle();
SAVEPOINT s;
DELETE FROM src WHERE id = 20;
INSERT INTO src VALUES (20, 'again', 20);
SELECT oracle();
ROLLBACK TO s;
SELECT oracle();
UPDATE src SET grp = 'kept' WHERE id = 20;
SELECT oracle();
COMMIT;
SELECT oracle();
BEGIN;
DELETE FROM src;
SELECT oracle(), (SELECT count(*) FROM rows_st), (SELECT count(*) FROM groups_st);
ROLLBACK;
SELECT oracle();
DO $$ BEGIN
  INSERT INTO src VALUES (550, 'sub', 550);
  BEGIN
    INSERT INTO src VALUES (551, 'sub', 551), (550, 'sub', 1);
  EXCEPTION WHEN unique_violation THEN NULL;
  END;
END $$;
SELECT oracle();

-- Toasted values: used ones are copied, whether or not they change; a row image beyond a page has a record of its own.
INSERT INTO src (id, grp, val, wide) SELECT 600 + i, 'toast', 10, repeat(md5(i::text), 100 * i * i) FROM generate_series(1, 5) i;
SELECT oracle();
UPDATE src SET val = 11 WHERE grp = 'toast';
SELECT oracle();
UPDATE src SET unused = 'y' WHERE grp = 'toast';
UPDATE src SET wide = repeat('z', 20000) WHERE id = 601;
DELETE FROM src WHERE id = 602;
SELECT oracle();
SELECT answered_by_log('rows_st');
SELECT pgstream.refresh_stream_table('rows_st'), pgstream.refresh_stream_table('groups_st');
SELECT oracle();

-- Foreign keys: cascades are statements of their own.
CREATE TABLE parent (p int PRIMARY KEY, name text);
CREATE TABLE child (c int, p int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO parent SELECT i, 'p' || i FROM generate_series(1, 5) i;
INSERT INTO child SELECT i, 1 + i % 5 FROM generate_series(1, 20) i;
CREATE TABLE child_st USING pgstream AS SELECT p, count(*) AS n FROM child GROUP BY p;
DELETE FROM parent WHERE p = 2;
SELECT differs('child_st');
UPDATE parent SET p = 30 WHERE p = 3;
SELECT differs('child_st'), answered_by_log('child_st');
WITH gone AS (DELETE FROM parent WHERE p = 4 RETURNING p) UPDATE child SET c = c + 1 WHERE p = 5;
SELECT differs('child_st');

-- A user's own triggers: a BEFORE trigger that changes the row, an AFTER one that writes again.
CREATE FUNCTION double_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.val := NEW.val * 2; RETURN NEW; END $$;
CREATE TRIGGER double_it BEFORE INSERT ON src FOR EACH ROW EXECUTE FUNCTION double_it();
CREATE FUNCTION write_again() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN IF (SELECT count(*) FROM src WHERE grp = 'again') < 4 THEN INSERT INTO src VALUES (700 + (SELECT count(*) FROM src), 'again', 5); END IF; RETURN NULL; END $$;
CREATE TRIGGER write_again AFTER INSERT ON src FOR EACH STATEMENT EXECUTE FUNCTION write_again();
INSERT INTO src VALUES (699, 'first', 6);
SELECT oracle(), count(*) FROM src WHERE grp = 'again';
DROP TRIGGER double_it ON src;
DROP TRIGGER write_again ON src;

-- What replication applies fires row triggers.
SET session_replication_role = replica;
INSERT INTO src VALUES (800, 'replica', 8), (801, 'replica', 9), (802, 'replica', NULL);
UPDATE src SET val = val + 1 WHERE id = 800;
UPDATE src SET unused = 'z';
DELETE FROM src WHERE id = 801;
RESET session_replication_role;
SELECT oracle(), answered_by_log('rows_st');

-- TRUNCATE, alone and amid other changes, and when replication applies it.
BEGIN;
INSERT INTO src VALUES (900, 'before', 5);
TRUNCATE src;
INSERT INTO src VALUES (901, 'after', 5);
SELECT oracle();
SAVEPOINT s;
TRUNCATE src;
SELECT oracle();
ROLLBACK TO s;
SELECT oracle();
ROLLBACK;
SELECT oracle();
BEGIN;
TRUNCATE src;
INSERT INTO src SELECT i, 'g' || i % 3, i FROM generate_series(1, 9) i;
COMMIT;
SELECT oracle();
SELECT pgstream.refresh_stream_table('rows_st'), pgstream.refresh_stream_table('groups_st');
SELECT oracle();
UPDATE src SET val = val + 1;
SELECT oracle(), answered_by_log('rows_st'), answered_by_log('groups_st');
SET session_replication_role = replica;
TRUNCATE src;
RESET session_replication_role;
SELECT oracle();

SET work_mem = '64MB';
-- A log of a hundred thousand changes is packed, and gone at the next refresh after all consumers have folded.
SELECT pgstream.refresh_stream_table('rows_st'), pgstream.refresh_stream_table('groups_st');
INSERT INTO src SELECT i, 'g' || i % 10, i FROM generate_series(1, 100000) i;
SELECT records BETWEEN 100 AND 1000 AS packed, pages BETWEEN 100 AND 1000 AS small FROM log_size('src');
SELECT oracle(), answered_by_log('rows_st'), answered_by_log('groups_st');
SELECT pgstream.refresh_stream_table('rows_st');
SELECT pgstream.refresh_stream_table('rows_st');
SELECT pages > 100 AS one_consumer_is_left FROM log_size('src');
SELECT oracle(), answered_by_log('groups_st');
SELECT pgstream.refresh_stream_table('groups_st');
SELECT pgstream.refresh_stream_table('groups_st');
SELECT log_size('src');
-- The refresh that gives the log back, of groups_st, is a fold too.
SELECT pgs_relid::regclass, fold_number - log_start AS folds_since FROM pgstream.pgs_dependency JOIN pgstream.pgs_frontier USING (pgs_relid)
 WHERE source_relid = 'src'::regclass ORDER BY 1;
INSERT INTO src VALUES (0, 'g1', 5);
SELECT oracle(), answered_by_log('rows_st'), answered_by_log('groups_st');
RESET work_mem;
-- A reclaim that is rolled back leaves the log as it was. Here the reclaim is only asked for.
SELECT pgstream.refresh_stream_table('rows_st'), pgstream.refresh_stream_table('groups_st');
BEGIN;
SELECT pgstream.refresh_stream_table('rows_st');
INSERT INTO src VALUES (-1, 'g1', 5);
ROLLBACK;
SELECT oracle();
-- A transaction that has written the source itself keeps its records.
BEGIN;
INSERT INTO src VALUES (-2, 'g2', 5);
SELECT pgstream.refresh_stream_table('rows_st');
SELECT oracle();
COMMIT;
SELECT oracle(), answered_by_log('groups_st');
-- A savepoint takes back a fold, not what was committed before it.
BEGIN;
SAVEPOINT s;
SELECT pgstream.refresh_stream_table('groups_st');
ROLLBACK TO s;
COMMIT;
SELECT oracle(), answered_by_log('groups_st');

-- Columns are added when a further stream table needs them, and the first ones go on.
SELECT columns FROM pgstream.pgs_log WHERE source_relid = 'src'::regclass;
CREATE TABLE third USING pgstream AS SELECT unused, count(*) AS n FROM src GROUP BY unused;
SELECT columns FROM pgstream.pgs_log WHERE source_relid = 'src'::regclass;
UPDATE src SET unused = id % 3 WHERE id < 10;
SELECT oracle(), differs('third'), answered_by_log('third'), answered_by_log('rows_st');
-- No column at all.
CREATE TABLE counted USING pgstream AS SELECT count(*) AS n FROM child;
UPDATE child SET c = c + 1;
INSERT INTO child VALUES (99, 1);
SELECT differs('counted'), differs('child_st'), answered_by_log('counted');

-- A disabled capture trigger is noticed: the query answers.
ALTER TABLE child DISABLE TRIGGER ALL;
INSERT INTO child VALUES (100, 1);
SELECT differs('counted'), answered_by_log('counted');
ALTER TABLE child ENABLE TRIGGER ALL;

-- Nothing is left on a source that nobody reads.
DROP TABLE counted, child_st;
SELECT count(*) FROM pg_trigger WHERE tgfoid = 'pgstream.capture_changes'::regproc AND tgrelid = 'child'::regclass;
SELECT count(*) FROM pgstream.pgs_log WHERE source_relid = 'child'::regclass;
SELECT count(*) FROM pg_class WHERE relname ~ ('^log_' || 'child'::regclass::oid);
INSERT INTO child VALUES (101, 1);
CREATE TABLE counted USING pgstream AS SELECT count(*) AS n FROM child;
INSERT INTO child VALUES (102, 1);
SELECT differs('counted'), answered_by_log('counted');

DROP SCHEMA cap CASCADE;
SELECT count(*) FROM pgstream.pgs_log l WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = l.source_relid);
RESET search_path;
