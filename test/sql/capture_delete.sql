-- A DELETE is captured off the heap pages: exactly the rows it deleted, whatever its plan returns and its triggers do.
SET client_min_messages = warning;
CREATE SCHEMA capture_delete;
SET search_path = capture_delete, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val int, note text);
CREATE TABLE other (id int, times int);
INSERT INTO src SELECT i, i % 7, i * 3, CASE WHEN i % 100 = 0 THEN (SELECT string_agg(md5(i::text || k::text), '') FROM generate_series(1, 300) k)
                                             WHEN i % 5 = 0 THEN NULL ELSE 'note ' || i END
  FROM generate_series(1, 2000) i;
INSERT INTO other SELECT i, k FROM generate_series(1, 2000, 3) i, generate_series(1, 3) k;
CREATE TABLE groups USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n, max(note) AS note FROM src GROUP BY grp;
CREATE TABLE lines USING pgstream AS SELECT id, val, note FROM src WHERE val % 2 = 0;
CREATE FUNCTION fine() RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN v.exact = v.streams THEN 'exact: ' || answered ELSE 'WRONG: ' || wrong END FROM verify_streams('capture_delete') v $$;
SELECT fine();

-- A join that returns rows several times, a semi-join, an index scan, nothing at all, rows of one's own.
DELETE FROM src USING other WHERE src.id = other.id AND src.id < 300;
SELECT fine();
DELETE FROM src WHERE id IN (SELECT id FROM other WHERE id BETWEEN 300 AND 400);
DELETE FROM src WHERE id = 401;
DELETE FROM src WHERE id = -1;
SELECT fine();
BEGIN;
INSERT INTO src SELECT i, i % 7, i, 'new' FROM generate_series(3001, 3100) i;
DELETE FROM src WHERE id BETWEEN 1990 AND 3050;
SELECT fine();
SAVEPOINT a;
DELETE FROM src WHERE id > 3060;
SELECT fine();
ROLLBACK TO a;
SELECT fine();
DELETE FROM src WHERE id > 3090 RETURNING id;
SELECT fine();
COMMIT;
SELECT fine();

-- Rows that the same transaction updated and locked, in subtransactions.
BEGIN;
UPDATE src SET val = val + 1 WHERE id BETWEEN 410 AND 420;
SAVEPOINT a;
SELECT count(*) FROM (SELECT FROM src WHERE id BETWEEN 415 AND 430 FOR NO KEY UPDATE) l;
SAVEPOINT b;
SELECT count(*) FROM (SELECT FROM src WHERE id BETWEEN 415 AND 430 FOR KEY SHARE) l;
DELETE FROM src WHERE id BETWEEN 405 AND 425;
SELECT fine();
RELEASE b;
SELECT fine();
COMMIT;
SELECT fine();

-- A cursor's current row; a cursor of before.
BEGIN;
DECLARE before CURSOR FOR SELECT count(*), sum(n) FROM groups;
DECLARE c CURSOR FOR SELECT id FROM src WHERE id BETWEEN 500 AND 510 ORDER BY id FOR UPDATE;
FETCH 2 FROM c;
DELETE FROM src WHERE CURRENT OF c;
SELECT fine();
FETCH before;
COMMIT;

-- BEFORE ROW triggers that keep a row, change the row that is to go, delete others, delete in a subtransaction.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.id % 10 = 1 THEN RETURN NULL; END IF;
  IF OLD.id % 10 = 2 THEN DELETE FROM src WHERE id = OLD.id + 1000; END IF;
  IF OLD.id % 10 = 3 THEN
    BEGIN
      DELETE FROM src WHERE id = OLD.id + 1000;
      RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER meddle BEFORE DELETE ON src FOR EACH ROW EXECUTE FUNCTION meddle();
DELETE FROM src WHERE id BETWEEN 550 AND 600;
SELECT fine(), (SELECT count(*) FROM src WHERE id BETWEEN 550 AND 600) AS kept, (SELECT count(*) FROM src WHERE id BETWEEN 1550 AND 1600) AS others;
DROP TRIGGER meddle ON src;
CREATE FUNCTION change_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE src SET val = val + 1 WHERE id = OLD.id;
  RETURN OLD;
END $$;
CREATE TRIGGER change_first BEFORE DELETE ON src FOR EACH ROW EXECUTE FUNCTION change_first();
DELETE FROM src WHERE id BETWEEN 600 AND 610;  -- the server refuses it
SELECT fine();
DROP TRIGGER change_first ON src;

-- Triggers that ask for deleted rows, one by one and as a table.
CREATE TABLE audit (how text, id int);
CREATE FUNCTION by_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit VALUES ('row', OLD.id); RETURN NULL; END $$;
CREATE FUNCTION by_table() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit SELECT 'table', id FROM gone; RETURN NULL; END $$;
CREATE TRIGGER by_row AFTER DELETE ON src FOR EACH ROW EXECUTE FUNCTION by_row();
DELETE FROM src WHERE id BETWEEN 700 AND 704;
SELECT fine();
CREATE TRIGGER by_table AFTER DELETE ON src REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION by_table();
DELETE FROM src WHERE id BETWEEN 705 AND 709;
SELECT fine();
DROP TRIGGER by_row ON src;
DELETE FROM src WHERE id BETWEEN 710 AND 714;
SELECT fine();
SELECT how, count(*), min(id), max(id) FROM audit GROUP BY how ORDER BY how;
DROP TRIGGER by_table ON src;

-- Data-modifying CTEs, MERGE, cascades (to the table itself, too), a rule.
WITH gone AS (DELETE FROM src WHERE id BETWEEN 800 AND 810 RETURNING id) DELETE FROM src WHERE id BETWEEN 805 AND 820;
SELECT fine();
WITH moved AS (UPDATE src SET val = val + 2 WHERE id BETWEEN 821 AND 830 RETURNING id) DELETE FROM src WHERE id BETWEEN 825 AND 840;
SELECT fine();
MERGE INTO src USING (SELECT DISTINCT id FROM other) o ON src.id = o.id AND src.id BETWEEN 850 AND 900 WHEN MATCHED AND src.id % 2 = 0 THEN DELETE
  WHEN MATCHED THEN UPDATE SET val = val + 1;
SELECT fine();
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE, val int);
INSERT INTO tree SELECT i, nullif(i / 2, 0), i FROM generate_series(1, 200) i;
CREATE TABLE tree_sum USING pgstream AS SELECT val % 5 AS g, sum(val) AS total, count(*) AS n FROM tree GROUP BY 1;
DELETE FROM tree WHERE id IN (3, 5);
SELECT fine(), (SELECT count(*) FROM tree);

-- More rows than are kept at a time; columns added since the rows were written; no columns at all.
CREATE TABLE long (id int, v int);
INSERT INTO long SELECT i, i % 13 FROM generate_series(1, 70000) i;
ALTER TABLE long ADD added int DEFAULT 7;
CREATE TABLE long_sum USING pgstream AS SELECT v, sum(added) AS a, count(*) AS n FROM long GROUP BY v;
CREATE TABLE long_count USING pgstream AS SELECT count(*) AS n FROM long;
DELETE FROM long WHERE id % 500 > 0;
SELECT fine(), (SELECT n FROM long_count);

-- The row trigger of replication stays silent while the statement is captured.
SET session_replication_role = replica;
DELETE FROM long WHERE id % 1000 = 0;
SELECT fine(), (SELECT n FROM long_count);
RESET session_replication_role;

-- An error amid a DELETE leaves nothing behind, and what comes next is captured.
CREATE FUNCTION fails(id int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / (id - 1500) IS NOT NULL; END $$;
DELETE FROM src WHERE fails(id);
SELECT fine();
DELETE FROM src WHERE id > 1500;
SELECT fine();
SELECT refresh_streams('capture_delete');
SELECT fine();
DROP SCHEMA capture_delete CASCADE;
