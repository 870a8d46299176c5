-- Inheritance trees as sources: written at the parent, at a child, through another parent; children that come and go.
SET client_min_messages = warning;
CREATE SCHEMA inh;
SET search_path = inh, public;

CREATE TABLE p (id int, grp text, val numeric(10,2));
CREATE TABLE alone_first (id int, grp text, val numeric(10,2));
CREATE TABLE other (val numeric(10,2), tag text);
INSERT INTO p SELECT i, substr('abc', 1 + i % 3, 1), i * 1.5 FROM generate_series(1, 40) i;
INSERT INTO alone_first SELECT i, substr('abc', 1 + i % 3, 1), i * 1.5 FROM generate_series(100, 120) i;
CREATE TABLE p_st USING pgstream AS SELECT grp, sum(val) AS s, count(*) AS n FROM p GROUP BY grp;
CREATE TABLE rows_st USING pgstream AS SELECT id, val FROM p WHERE val > 10;
CREATE TABLE alone_st USING pgstream AS SELECT id, val FROM alone_first;

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
  SELECT pgs_relid::regclass::text FROM pgstream.pgs_stream WHERE pgs_relid::regclass::text ~ '_st$' AND pgs_relid::regclass::text !~ '\.' ORDER BY 1 $$;
CREATE FUNCTION oracle() RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(s || ': ' || d, ', '), 'ok') FROM all_streams() s, differs(s::regclass) d WHERE d <> 'ok' $$;
-- The stream tables whose latest answer did not come from the log.
CREATE FUNCTION recomputed() RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; s text; result text := ''; by_log boolean;
BEGIN
  FOR s IN SELECT all_streams() LOOP
    by_log := false;
    FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s', s) LOOP
      IF line ~ 'algebraic' THEN by_log := true; END IF;
    END LOOP;
    IF NOT by_log THEN result := result || s || ' '; END IF;
  END LOOP;
  RETURN result;
END $$;
CREATE FUNCTION fold() RETURNS void LANGUAGE sql AS $$ SELECT pgstream.refresh_stream_table(s) FROM all_streams() s $$;
CREATE VIEW triggers AS
SELECT tgrelid::regclass::text AS "table", count(*) FILTER (WHERE tgtype & 1 = 1) AS row_triggers, count(*) FILTER (WHERE tgtype & 1 = 0) AS statement_triggers
  FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
 WHERE tgfoid = 'pgstream.capture_changes'::regproc AND c.relnamespace = 'inh'::regnamespace GROUP BY 1;

-- Captured by statement while they are alone.
INSERT INTO p VALUES (200, 'a', 20);
INSERT INTO alone_first VALUES (201, 'a', 21);
SELECT oracle(), recomputed();
SELECT * FROM triggers ORDER BY 1;
-- The first child: by the query until rebuilt, from then on by row.
CREATE TABLE c1 (extra text) INHERITS (p);
SELECT oracle(), recomputed();
INSERT INTO c1 VALUES (300, 'a', 30, 'x'), (301, 'b', 31, 'y');
INSERT INTO p VALUES (302, 'b', 32);
SELECT oracle(), fold(), oracle(), recomputed();
INSERT INTO c1 VALUES (303, 'a', 30, 'x'), (304, 'b', 31, 'y');
UPDATE p SET val = val + 1 WHERE id % 2 = 0;
DELETE FROM p WHERE id IN (303, 1, 2);
DELETE FROM ONLY p WHERE id % 5 = 0;
UPDATE c1 SET grp = 'c' WHERE id = 304;
SELECT oracle(), recomputed();
SELECT * FROM triggers ORDER BY 1;
-- Further children are captured at once; grandchildren, columns in another order, two parents.
CREATE TABLE c2 (note text) INHERITS (p);
CREATE TABLE g1 (more int) INHERITS (c1);
INSERT INTO c2 VALUES (400, 'a', 40, 'n');
INSERT INTO g1 VALUES (401, 'b', 41, 'x', 1);
SELECT oracle(), recomputed();
UPDATE p SET val = val + 1;
UPDATE c1 SET val = val + 1;
DELETE FROM p WHERE id = 400;
MERGE INTO c1 USING (VALUES (401, 5.5), (402, 6.6)) v (id, val) ON c1.id = v.id
  WHEN MATCHED THEN UPDATE SET val = v.val WHEN NOT MATCHED THEN INSERT (id, grp, val) VALUES (v.id, 'm', v.val);
COPY c2 (id, grp, val) FROM STDIN;
410	a	41
411	b	42
\.
SELECT oracle(), recomputed();
ALTER TABLE alone_first INHERIT p;
SELECT oracle(), recomputed();
UPDATE p SET val = val + 2 WHERE id BETWEEN 90 AND 200;
INSERT INTO alone_first VALUES (500, 'a', 50);
SELECT oracle(), fold(), oracle(), recomputed();
UPDATE p SET val = val + 2 WHERE id BETWEEN 90 AND 200;
DELETE FROM alone_first WHERE id = 101;
SELECT oracle(), recomputed();
-- With a second parent outside the tree.
CREATE TABLE two (id int, grp text, val numeric(10,2), tag text);
ALTER TABLE two INHERIT p;
ALTER TABLE two INHERIT other;
SELECT fold(), oracle(), recomputed();
INSERT INTO two VALUES (600, 'a', 60, 't'), (601, 'b', 61, 't');
CREATE TABLE seen (at text, answer text);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO inh.seen VALUES (TG_TABLE_NAME || ' ' || TG_WHEN || ' ' || TG_OP || ' ' || TG_LEVEL, inh.oracle()); RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END; END $$;
CREATE TRIGGER look_before BEFORE INSERT OR UPDATE OR DELETE ON two FOR EACH ROW EXECUTE FUNCTION look();
CREATE TRIGGER look_after AFTER INSERT OR UPDATE OR DELETE ON two FOR EACH ROW EXECUTE FUNCTION look();
UPDATE other SET val = val + 1;
UPDATE p SET val = val + 1 WHERE id >= 600;
DELETE FROM other WHERE val < 62.5;
SELECT at, answer, count(*) FROM seen GROUP BY 1, 2 ORDER BY 1, 2;
DROP TRIGGER look_before ON two;
DROP TRIGGER look_after ON two;
SELECT oracle(), recomputed();
SELECT * FROM triggers ORDER BY 1;
-- TRUNCATE: of the tree, of one table of it.
TRUNCATE c2;
SELECT oracle(), recomputed();
SELECT fold(), oracle(), recomputed();
BEGIN;
TRUNCATE ONLY p;
SELECT oracle();
ROLLBACK;
TRUNCATE p;
INSERT INTO p SELECT i, substr('abc', 1 + i % 3, 1), i * 1.5 FROM generate_series(1, 40) i;
INSERT INTO g1 SELECT i, substr('abc', 1 + i % 3, 1), i * 1.5 FROM generate_series(41, 60) i;
SELECT oracle(), fold(), oracle();
UPDATE p SET val = val + 1;
SELECT oracle(), recomputed();
-- NO INHERIT, and DROP of a child.
ALTER TABLE c1 NO INHERIT p;
UPDATE c1 SET val = val + 1;
SELECT oracle(), recomputed(), fold(), oracle();
DELETE FROM g1 WHERE id % 2 = 0;
UPDATE p SET val = val + 1;
SELECT oracle(), recomputed();
SELECT * FROM triggers ORDER BY 1;
ALTER TABLE c1 INHERIT p;
SELECT oracle(), fold(), oracle(), recomputed();
DROP TABLE g1;
SELECT oracle(), recomputed(), fold(), oracle();
DROP TABLE c1, two, other;
INSERT INTO c2 VALUES (700, 'a', 70);
SELECT oracle(), fold(), oracle(), recomputed();

-- A temporary child, a foreign one: recomputed on every read; nobody fails, also while the parent is still captured by
-- statement.
CREATE TEMP TABLE tmp () INHERITS (p);
INSERT INTO tmp VALUES (800, 'tmp', 80);
UPDATE p SET val = val + 1;
SELECT value FROM pgstream.explain_st('p_st') WHERE property = 'reason';
SELECT oracle(), recomputed(), fold(), oracle();
DROP TABLE tmp;
SELECT oracle(), fold(), oracle(), recomputed();
BEGIN;
CREATE TEMP TABLE tmp () INHERITS (p) ON COMMIT DROP;
INSERT INTO tmp VALUES (801, 'tmp', 81);
SELECT oracle(), fold(), oracle();
COMMIT;
SELECT oracle(), fold(), oracle(), recomputed();

CREATE TABLE q (id int, val int);
INSERT INTO q VALUES (1, 1), (2, 2);
CREATE TABLE q_st USING pgstream AS SELECT sum(val) AS s, count(*) AS n FROM q;
CREATE FOREIGN DATA WRAPPER dummy_inh;
CREATE SERVER dummy_inh FOREIGN DATA WRAPPER dummy_inh;
SELECT * FROM triggers WHERE "table" = 'q';
CREATE FOREIGN TABLE qf () INHERITS (q) SERVER dummy_inh;
SELECT * FROM triggers WHERE "table" = 'q';
SELECT value FROM pgstream.explain_st('q_st') WHERE property = 'reason';
INSERT INTO q VALUES (3, 3);
DELETE FROM ONLY q WHERE id = 1;
DROP FOREIGN TABLE qf;
SELECT oracle(), fold(), oracle(), recomputed();
INSERT INTO q VALUES (4, 4);
SELECT oracle(), recomputed();
CREATE FOREIGN TABLE qf (id int, val int) SERVER dummy_inh;
ALTER FOREIGN TABLE qf INHERIT q;
SELECT * FROM triggers WHERE "table" = 'q';
INSERT INTO q VALUES (5, 5);
ALTER FOREIGN TABLE qf NO INHERIT q;
SELECT oracle(), fold(), oracle(), recomputed();
UPDATE q SET val = 9 WHERE id = 5;
SELECT oracle(), recomputed();

-- ONLY and tableoid are not maintained, and said so.
CREATE TABLE only_st USING pgstream AS SELECT id, val FROM ONLY p;
CREATE TABLE oid_st USING pgstream AS SELECT tableoid::bigint AS t, count(*) AS n FROM p GROUP BY 1;
SELECT st, value FROM unnest(ARRAY['only_st', 'oid_st']) st, pgstream.explain_st(st) WHERE property = 'reason' ORDER BY 1;
INSERT INTO c2 VALUES (900, 'a', 90);
INSERT INTO p VALUES (901, 'a', 91);
SELECT oracle();

DELETE FROM p;
SELECT oracle();
DROP TABLE p_st, rows_st, alone_st, q_st, only_st, oid_st;
SELECT * FROM triggers;
SELECT count(*) FROM pgstream.pgs_log WHERE source_relid IN ('p'::regclass, 'q'::regclass, 'alone_first'::regclass);
DROP SCHEMA inh CASCADE;
DROP FOREIGN DATA WRAPPER dummy_inh CASCADE;
SELECT count(*) FROM pgstream.pgs_log l WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = l.source_relid);
