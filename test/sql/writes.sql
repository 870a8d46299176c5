-- Every way of writing a source: kinds of columns and types, statements, rules and triggers, other roles of the session. After
-- each the stream tables are their queries, live; what needs 18 runs there and leaves no trace in the output.
SET client_min_messages = warning;
CREATE SCHEMA writes;
SET search_path = writes, public;
-- 'ok' for each stream table of the schema that is its query, and was answered by the strategy the plan chose; or what is wrong.
CREATE FUNCTION strategy_used(stream text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s', stream) LOOP
    IF line LIKE '%Strategy Reason:%' THEN RETURN line; END IF;
  END LOOP;
  RETURN NULL;
END $$;
CREATE FUNCTION check_all() RETURNS text LANGUAGE plpgsql AS $$
DECLARE stream regclass; d record; wrong text := ''; n int := 0;
BEGIN
  FOR stream IN SELECT pgs_relid FROM pgstream.pgs_stream_tables WHERE pgs_schema = 'writes' ORDER BY 1 LOOP
    n := n + 1;
    SELECT * INTO d FROM differences(stream);
    IF d.missing + d.surplus > 0 THEN wrong := wrong || format('%s: %s missing, %s surplus; ', stream, d.missing, d.surplus); END IF;
  END LOOP;
  RETURN CASE WHEN wrong = '' AND n > 0 THEN 'ok' ELSE wrong END;
END $$;
CREATE FUNCTION fold_all() RETURNS text LANGUAGE plpgsql AS $$
DECLARE stream text;
BEGIN
  FOR stream IN SELECT format('%I.%I', pgs_schema, pgs_name) FROM pgstream.pgs_stream_tables WHERE pgs_schema = 'writes' ORDER BY 1 LOOP
    PERFORM pgstream.refresh_stream_table(stream);
  END LOOP;
  RETURN check_all();
END $$;
CREATE FUNCTION since_18(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('server_version_num')::int >= 180000 THEN EXECUTE command; END IF;
END $$;
CREATE FUNCTION since_17(command text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('server_version_num')::int >= 170000 THEN EXECUTE command; END IF;
END $$;

-- Domains, enums, composite types, ranges, arrays, identity and generated columns, char(n), bit, and toasted parts of them.
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('sad', 'calm', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN pair_of AS pair CHECK ((VALUE).a IS DISTINCT FROM -1);
CREATE TABLE kinds (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n positive, m mood, p pair, po pair_of, r int4range, mr int4multirange, tr tstzrange,
  arr int[], texts text[], pairs pair[], c char(7), b bit varying(9), j json, jb jsonb, u uuid, i interval, ip inet, x xml,
  doubled numeric GENERATED ALWAYS AS (n * 2.50) STORED, joined text GENERATED ALWAYS AS ((p).b || '/' || coalesce(c, '-')) STORED);
CREATE TABLE kinds_rows USING pgstream AS
  SELECT id, n, m, p, po, (p).b AS part, r, mr, tr, arr, texts, pairs, c, b, j, jb, u, i, ip, doubled, joined FROM kinds WHERE n > 1;
CREATE TABLE kinds_mood USING pgstream AS SELECT m, count(*) AS c, sum(n) AS n, sum(doubled) AS d, max(joined) AS j FROM kinds GROUP BY m;
CREATE TABLE kinds_pair USING pgstream AS SELECT p, count(*) AS c FROM kinds GROUP BY p;
CREATE TABLE kinds_range USING pgstream AS SELECT r, arr, count(*) AS c FROM kinds GROUP BY r, arr;
CREATE TABLE kinds_distinct USING pgstream AS SELECT DISTINCT n, c, b, m FROM kinds;
SELECT st, value FROM unnest(ARRAY['kinds_rows', 'kinds_mood', 'kinds_pair', 'kinds_range', 'kinds_distinct']) st, pgstream.explain_st(st)
 WHERE property = 'strategy' ORDER BY 1;
INSERT INTO kinds (n, m, p, po, r, mr, tr, arr, texts, pairs, c, b, j, jb, u, i, ip)
  SELECT i, (enum_range(NULL::mood))[1 + i % 3], (i % 4, 'b' || i)::pair, (i, NULL)::pair, int4range(i % 3, i % 5 + 3), int4multirange(int4range(i, i + 1)),
         tstzrange('2020-01-01'::timestamptz + i * interval '1 day', NULL), ARRAY[i % 2, NULL, i], ARRAY['x', repeat('y', i * 50)],
         ARRAY[(i, 'p')::pair, NULL], 'c' || i % 3, (i % 4)::bit(3)::varbit, json_build_object('i', i), jsonb_build_object('i', i),
         md5(i::text)::uuid, i * interval '1 month', ('10.0.0.' || i)::inet FROM generate_series(1, 40) i;
INSERT INTO kinds (n) VALUES (NULL), (7);
SELECT check_all(), strategy_used('kinds_rows'), strategy_used('kinds_mood'), strategy_used('kinds_pair'), strategy_used('kinds_range');
SELECT fold_all();
UPDATE kinds SET m = 'happy', p = (1, repeat('long', 3000))::pair WHERE id % 5 = 0;
UPDATE kinds SET p.a = 100, pairs[2].b = 'set', arr[7] = 1, c = 'c1   ' WHERE id % 7 = 0;
UPDATE kinds SET n = n + 1, r = 'empty', i = '30 days' WHERE id % 3 = 0;
UPDATE kinds SET texts = ARRAY[repeat(md5(id::text), 1000)] WHERE id BETWEEN 10 AND 12;
DELETE FROM kinds WHERE id % 4 = 0;
SELECT check_all(), strategy_used('kinds_rows'), strategy_used('kinds_mood');
SELECT fold_all();
INSERT INTO kinds (n) VALUES (0);
INSERT INTO kinds (id, n) VALUES (1000, 5);
INSERT INTO kinds (id, n) OVERRIDING SYSTEM VALUE VALUES (1000, 5);
UPDATE kinds SET po = (-1, NULL)::pair WHERE id = 1000;
UPDATE kinds SET id = DEFAULT, po = (1, 'x')::pair WHERE id = 1000;
UPDATE kinds SET p = (1, 'short')::pair, texts = NULL;
SELECT check_all(), fold_all();
ALTER TYPE mood ADD VALUE 'glad' BEFORE 'happy';
UPDATE kinds SET m = 'glad' WHERE id % 2 = 1;
SELECT check_all(), fold_all();
DELETE FROM kinds;
SELECT check_all(), fold_all();
DROP TABLE kinds CASCADE;

-- Virtual generated columns: the query is run, with a reason; beside them all is maintained.
CREATE TABLE virt (id int, k int);
SELECT since_18('ALTER TABLE virt ADD v int GENERATED ALWAYS AS (k * 10 + id) VIRTUAL');
INSERT INTO virt SELECT i, i % 3 FROM generate_series(1, 9) i;
CREATE TABLE virt_beside USING pgstream AS SELECT k, sum(id) AS s FROM virt GROUP BY k;
SELECT since_18('CREATE TABLE virt_used USING pgstream AS SELECT k, sum(v) AS s FROM virt GROUP BY k');
INSERT INTO virt VALUES (100, 1), (101, 7);
UPDATE virt SET k = k + 1 WHERE id < 4;
DELETE FROM virt WHERE id = 9;
SELECT check_all(), strategy_used('virt_beside'), fold_all();
DO $$ BEGIN
  IF to_regclass('writes.virt_used') IS NOT NULL AND strategy_used('virt_used') NOT LIKE '%"v" of "virt" is a virtual generated column%' THEN
    RAISE WARNING 'no reason: %', strategy_used('virt_used');
  END IF;
END $$;
DROP TABLE virt CASCADE;

-- Views over the source: updatable ones, INSTEAD OF triggers, rules; rules of the source itself.
CREATE TABLE src (id int PRIMARY KEY, k int, v numeric, note text);
INSERT INTO src SELECT i, i % 5, i * 1.5, 'n' || i FROM generate_series(1, 20) i;
CREATE TABLE sums USING pgstream AS SELECT k, sum(v) AS v, count(*) AS n FROM src GROUP BY k;
CREATE TABLE lines USING pgstream AS SELECT id, k, v, note FROM src WHERE v > 2;
CREATE VIEW updatable AS SELECT id, k, v FROM src WHERE k < 4 WITH LOCAL CHECK OPTION;
INSERT INTO updatable VALUES (100, 1, 7);
UPDATE updatable SET v = v + 1 WHERE k = 2;
UPDATE updatable SET k = 9 WHERE id = 100;
DELETE FROM updatable WHERE k = 3;
SELECT check_all();
CREATE VIEW by_trigger AS SELECT k, sum(v) AS v FROM src GROUP BY k;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN INSERT INTO src SELECT max(id) + 1, NEW.k, NEW.v FROM src; RETURN NEW; END IF;
  IF TG_OP = 'UPDATE' THEN UPDATE src SET v = NEW.v WHERE k = OLD.k; RETURN NEW; END IF;
  DELETE FROM src WHERE k = OLD.k;
  RETURN OLD;
END $$;
CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE OR DELETE ON by_trigger FOR EACH ROW EXECUTE FUNCTION instead();
INSERT INTO by_trigger VALUES (1, 10), (8, 20);
UPDATE by_trigger SET v = 5 WHERE k IN (0, 1);
DELETE FROM by_trigger WHERE k = 8;
SELECT check_all();
CREATE VIEW by_rule AS SELECT id, v FROM src;
CREATE RULE i AS ON INSERT TO by_rule DO INSTEAD INSERT INTO src VALUES (NEW.id, 1, NEW.v) RETURNING id, v;
CREATE RULE u AS ON UPDATE TO by_rule DO INSTEAD (UPDATE src SET v = NEW.v WHERE id = OLD.id; INSERT INTO src VALUES (OLD.id + 1000, 2, NEW.v));
CREATE RULE d AS ON DELETE TO by_rule DO INSTEAD UPDATE src SET k = -k WHERE id = OLD.id;
INSERT INTO by_rule VALUES (200, 1.5), (201, 2.5) RETURNING id;
UPDATE by_rule SET v = v * 2 WHERE id IN (200, 1);
DELETE FROM by_rule WHERE id = 6;
SELECT check_all();
CREATE TABLE noted (id int);
CREATE RULE also AS ON DELETE TO src DO ALSO INSERT INTO src SELECT OLD.id + 5000, OLD.k, OLD.v WHERE OLD.id < 1000;
DELETE FROM src WHERE id IN (200, 201);
CREATE RULE none AS ON INSERT TO src WHERE NEW.k = 99 DO INSTEAD NOTHING;
INSERT INTO src VALUES (300, 99, 1), (301, 98, 1);
SELECT check_all(), strategy_used('sums'), strategy_used('lines');
DROP RULE also ON src;
DROP RULE none ON src;
SELECT fold_all();

-- BEFORE triggers that change or swallow rows; a deferrable key; a foreign key of the table to itself, with every action.
CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN RETURN CASE WHEN OLD.id % 2 = 0 THEN OLD END; END IF;
  IF NEW.note = 'swallow' THEN RETURN NULL; END IF;
  NEW.v := coalesce(NEW.v, 0) + 100;
  IF TG_OP = 'UPDATE' AND OLD.id = 2 THEN NEW.k := OLD.k; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON src FOR EACH ROW EXECUTE FUNCTION before();
INSERT INTO src VALUES (400, 1, 1, 'swallow'), (401, 1, 1, 'kept'), (402, 2, NULL, 'kept');
UPDATE src SET k = k + 10, note = CASE WHEN id % 3 = 0 THEN 'swallow' ELSE note END WHERE id < 10;
DELETE FROM src WHERE id IN (10, 11, 401, 402);
INSERT INTO src VALUES (12, 3, 1, 'kept') ON CONFLICT (id) DO UPDATE SET v = excluded.v, note = 'swallow';
SELECT check_all(), strategy_used('lines');
DROP TRIGGER b ON src;
CREATE TABLE tree (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, k int, label text);
INSERT INTO tree SELECT i, i % 3, 'l' || i FROM generate_series(1, 10) i;
CREATE TABLE tree_st USING pgstream AS SELECT id, k, label FROM tree;
BEGIN;
UPDATE tree SET id = id + 1;
UPDATE tree SET id = 11 - id WHERE id <= 10;
SELECT check_all();
COMMIT;
SELECT check_all();
CREATE TABLE node (id int PRIMARY KEY, up int REFERENCES node ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE,
                   side int DEFAULT 1 REFERENCES node ON DELETE SET DEFAULT ON UPDATE CASCADE,
                   other int REFERENCES node ON DELETE SET NULL ON UPDATE CASCADE);
INSERT INTO node SELECT i, nullif(i / 2, 0), 1, nullif(i - 1, 0) FROM generate_series(1, 31) i;
CREATE TABLE node_up USING pgstream AS SELECT up, count(*) AS n, sum(side) AS s, sum(other) AS o FROM node GROUP BY up;
CREATE TABLE node_rows USING pgstream AS SELECT * FROM node;
UPDATE node SET id = 100 WHERE id = 3;
SELECT check_all();
DELETE FROM node WHERE id IN (8, 9, 30);
SELECT check_all(), count(*) FROM node;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO node VALUES (500, 501, 1, NULL);
SELECT check_all();
INSERT INTO node VALUES (501, 500, 500, NULL);
SELECT check_all();
COMMIT;
DELETE FROM node WHERE id = 500;
SELECT check_all(), strategy_used('node_up'), fold_all();
-- A deferred trigger that writes again, at the commit, after a fold.
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.k < 3 THEN INSERT INTO src VALUES (NEW.id + 10000, NEW.k + 1, 1); END IF; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON src DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION again();
BEGIN;
INSERT INTO src VALUES (600, 0, 1), (601, 2, 2);
SELECT fold_all();
COMMIT;
SELECT check_all(), count(*) FROM src WHERE id >= 10600;
DROP TRIGGER deferred ON src;

-- One statement that writes the source several times, and reads the stream table.
WITH a AS (INSERT INTO src VALUES (700, 1, 1), (701, 2, 2) RETURNING id),
     b AS (INSERT INTO src SELECT i, 3, 3 FROM generate_series(702, 704) i RETURNING id),
     c AS (UPDATE src SET v = v + 1 WHERE id < 5 RETURNING id),
     d AS (DELETE FROM src WHERE id BETWEEN 13 AND 15 RETURNING id),
     e AS (UPDATE src SET k = k + 1 WHERE id BETWEEN 16 AND 17 RETURNING id)
SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM d), (SELECT count(*) FROM e),
       (SELECT sum(n) FROM sums) = (SELECT count(*) FROM src) AS as_before;
SELECT check_all(), strategy_used('sums');
INSERT INTO src SELECT 800 + k, k, v FROM sums WHERE k BETWEEN 0 AND 2 RETURNING (SELECT sum(n) FROM sums) = (SELECT count(*) FROM src);
UPDATE src SET v = s.v FROM sums s WHERE s.k = src.k AND src.id < 10;
DELETE FROM src USING lines l WHERE l.id = src.id AND l.v > 1000;
MERGE INTO src s USING sums t ON s.id = t.k WHEN MATCHED AND s.v > 50 THEN DELETE WHEN MATCHED THEN UPDATE SET v = t.v
  WHEN NOT MATCHED THEN INSERT VALUES (900 + t.k, t.k, t.n);
SELECT check_all();
SELECT since_17($$WITH m AS (MERGE INTO src s USING (VALUES (1, 5.5), (950, 6.5)) x (id, v) ON s.id = x.id
  WHEN MATCHED THEN UPDATE SET v = x.v WHEN NOT MATCHED THEN INSERT VALUES (x.id, 1, x.v)
  WHEN NOT MATCHED BY SOURCE AND s.k = 1 THEN DELETE RETURNING merge_action(), s.id) SELECT count(*) FROM m$$);
SELECT since_18('UPDATE src SET v = v + 1 WHERE id = 1 RETURNING old.v, new.v');
SELECT since_18('INSERT INTO src VALUES (1, 4, 4), (951, 4, 4) ON CONFLICT (id) DO UPDATE SET k = excluded.k RETURNING old.k, new.k');
SELECT since_18('DELETE FROM src WHERE id = 951 RETURNING old.*, new.*');
SELECT check_all();
CREATE FUNCTION touch(i int) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN UPDATE src SET v = v + 0.25 WHERE id = i; RETURN (SELECT count(*) FROM sums)::int; END $$;
SELECT count(touch(id)) FROM lines WHERE id < 30;
SELECT check_all();
INSERT INTO src SELECT 30000 + i, touch(i), i FROM generate_series(1, 5) i;
SELECT check_all(), fold_all();

-- COPY, and COPY FREEZE into a table made or emptied in the transaction.
COPY src FROM STDIN;
31200	1	1.50	\N
31201	\N	\N	x
\.
SELECT check_all();
BEGIN;
TRUNCATE src;
COPY src FROM STDIN (FREEZE);
1	1	1.50	frozen
2	1	2.50	frozen
\.
SELECT check_all();
COMMIT;
SELECT check_all(), fold_all();
INSERT INTO src VALUES (3, 1, 3);
SELECT check_all(), strategy_used('sums');
BEGIN;
CREATE TABLE fresh (id int, k int);
CREATE TABLE fresh_st USING pgstream AS SELECT k, count(*) AS n FROM fresh GROUP BY k;
COPY fresh FROM STDIN (FREEZE);
1	1
2	1
\.
SELECT check_all();
COMMIT;
SELECT check_all();
DELETE FROM fresh WHERE id = 1;
SELECT check_all(), fold_all();

-- The session's replication role: statements are captured whole, and what reads inside them is right.
CREATE TABLE seen (wrong text);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_WHEN || ' ' || check_all()); RETURN NEW; END $$;
CREATE TRIGGER "00look" AFTER INSERT OR UPDATE OR DELETE ON src FOR EACH ROW EXECUTE FUNCTION look();
CREATE TRIGGER "zlook" BEFORE INSERT OR UPDATE ON src FOR EACH ROW EXECUTE FUNCTION look();
ALTER TABLE src ENABLE ALWAYS TRIGGER "00look", ENABLE ALWAYS TRIGGER "zlook";
SELECT fold_all();
SET session_replication_role = replica;
INSERT INTO src SELECT 2000 + i, i, i FROM generate_series(1, 4) i;
UPDATE src SET v = v + 1 WHERE id > 2001;
DELETE FROM src WHERE id > 2002;
SELECT check_all(), strategy_used('sums');
COPY src FROM STDIN;
2100	1	1.50	\N
2101	\N	\N	x
\.
SET session_replication_role = local;
INSERT INTO src VALUES (2200, 1, 1);
SELECT check_all();
RESET session_replication_role;
SELECT wrong, count(*) FROM seen GROUP BY wrong ORDER BY wrong;
DROP TRIGGER "00look" ON src;
DROP TRIGGER "zlook" ON src;
-- The role changes in the middle of a statement.
CREATE FUNCTION switch(i int) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('session_replication_role', CASE WHEN i % 2 = 0 THEN 'replica' ELSE 'origin' END, false); RETURN i; END $$;
SELECT fold_all();
INSERT INTO src SELECT 2300 + switch(i), i, i FROM generate_series(1, 6) i;
INSERT INTO src SELECT 2400 + switch(i), i, i FROM generate_series(1, 5) i;
UPDATE src SET v = v + switch(id) WHERE id > 2300;
RESET session_replication_role;
SELECT check_all(), strategy_used('sums');

-- Unlogged: recomputed, with the reason; a statement that creates a stream table over what it is writing is refused.
ALTER TABLE src SET UNLOGGED;
INSERT INTO src VALUES (2500, 1, 1);
SELECT check_all(), strategy_used('sums');
SELECT fold_all();
ALTER TABLE src SET LOGGED;
SELECT check_all(), fold_all();
INSERT INTO src VALUES (2501, 1, 1);
SELECT check_all(), strategy_used('sums');
CREATE TABLE mid (id int, k int);
CREATE FUNCTION make_it(i int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  IF i = 2 THEN EXECUTE 'CREATE TABLE mid_st USING pgstream AS SELECT k, count(*) AS n FROM mid GROUP BY k'; END IF;
  RETURN i;
END $$;
INSERT INTO mid SELECT i, make_it(i) FROM generate_series(1, 5) i;
INSERT INTO mid VALUES (1, 1);
SELECT make_it(2);
INSERT INTO mid VALUES (2, 1);
DROP TABLE mid_st;
CREATE TABLE other_st USING pgstream AS SELECT k, id FROM mid;
INSERT INTO mid SELECT i, make_it(i) FROM generate_series(3, 5) i UNION ALL SELECT 2, make_it(2);
SELECT check_all(), fold_all();
INSERT INTO mid VALUES (9, 9);
SELECT check_all(), fold_all();

-- 1,500 columns, of which two are used, and dropped ones among them.
DO $$ BEGIN
  EXECUTE 'CREATE TABLE wide (' || (SELECT string_agg(format('c%s int', i), ', ') FROM generate_series(1, 1500) i) || ')';
  EXECUTE 'ALTER TABLE wide ' || (SELECT string_agg(format('DROP c%s', i), ', ') FROM generate_series(3, 1490, 7) i);
END $$;
CREATE TABLE wide_st USING pgstream AS SELECT c1, sum(c1500) AS s, count(*) AS n FROM wide GROUP BY c1;
CREATE TABLE wide_rows USING pgstream AS SELECT c1500, c2 FROM wide WHERE c2 IS NOT NULL;
INSERT INTO wide (c1, c2, c1500) SELECT i % 3, nullif(i % 4, 0), i FROM generate_series(1, 50) i;
UPDATE wide SET c1500 = c1500 + 1 WHERE c1 = 1;
UPDATE wide SET c700 = 1;
DELETE FROM wide WHERE c1 = 2;
SELECT check_all(), strategy_used('wide_st'), strategy_used('wide_rows');
ALTER TABLE wide DROP c701, ADD c1501 int DEFAULT 5;
INSERT INTO wide (c1, c2, c1500) VALUES (7, 7, 7);
SELECT check_all(), fold_all();
SET session_replication_role = replica;
INSERT INTO wide (c1, c2, c1500) VALUES (8, 8, 8);
RESET session_replication_role;
SELECT check_all();

-- A thousand subtransactions, nested and in a row, and many rows in savepoints.
CREATE TABLE sub (id int, k int);
CREATE TABLE sub_st USING pgstream AS SELECT k, count(*) AS n, sum(id) AS s FROM sub GROUP BY k;
DO $$ BEGIN
  FOR i IN 1..1000 LOOP
    BEGIN
      INSERT INTO sub SELECT i * 100 + j, j % 7 FROM generate_series(1, 100) j;
      IF i % 3 = 0 THEN RAISE EXCEPTION USING ERRCODE = 'raise_exception'; END IF;
      IF i % 250 = 0 THEN PERFORM pgstream.refresh_stream_table('writes.sub_st'); END IF;
    EXCEPTION WHEN raise_exception THEN NULL;
    END;
  END LOOP;
END $$;
SELECT check_all(), sum(n) FROM sub_st;
CREATE FUNCTION nest(depth int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO sub VALUES (-depth, depth % 7);
  IF depth < 60 THEN PERFORM nest(depth + 1); END IF;
  IF depth % 10 = 5 THEN RAISE EXCEPTION USING ERRCODE = 'raise_exception'; END IF;
  DELETE FROM sub WHERE id = -depth AND depth % 4 = 0;
EXCEPTION WHEN raise_exception THEN INSERT INTO sub VALUES (-1000 - depth, depth % 7);
END $$;
BEGIN;
SELECT nest(1);
SELECT check_all();
SAVEPOINT s;
DELETE FROM sub WHERE k = 1;
SELECT fold_all();
ROLLBACK TO s;
INSERT INTO sub VALUES (0, 1);
SELECT check_all();
COMMIT;
SELECT check_all(), strategy_used('sub_st'), fold_all();
DELETE FROM sub;
SELECT check_all(), (SELECT count(*) FROM sub_st);
-- A stream table is left out of replication; a plain table that was one is not.
CREATE TABLE was USING pgstream AS SELECT k, id FROM sub;
SELECT relrewrite = oid AS left_out, (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid) AS triggers FROM pg_class c WHERE oid = 'was'::regclass;
ALTER TABLE was SET ACCESS METHOD heap;
SELECT relrewrite = oid AS left_out, (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid) AS triggers FROM pg_class c WHERE oid = 'was'::regclass;
SET client_min_messages = error;  -- it warns where wal_level is not logical
CREATE PUBLICATION writes_p FOR TABLE src, was;
ALTER PUBLICATION writes_p ADD TABLE sums;
DROP PUBLICATION writes_p;
DROP SCHEMA writes CASCADE;
