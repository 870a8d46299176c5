-- A plain INSERT or UPDATE is captured from its plan: exactly the rows it wrote, as it wrote them, whatever triggers do to them.
SET client_min_messages = warning;
CREATE SCHEMA capture_direct;
SET search_path = capture_direct, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val int, note text, twice int GENERATED ALWAYS AS (val * 2) STORED);
CREATE TABLE other (id int, times int);
INSERT INTO other SELECT i, k FROM generate_series(1, 2000, 3) i, generate_series(1, 3) k;
CREATE TABLE groups USING pgstream AS SELECT grp, sum(val) AS total, sum(twice) AS twice, count(*) AS n, max(note) AS note FROM src GROUP BY grp;
CREATE TABLE lines USING pgstream AS SELECT id, val, note FROM src WHERE val % 2 = 0;
CREATE FUNCTION fine() RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN v.exact = v.streams THEN 'exact: ' || answered ELSE 'WRONG: ' || wrong END FROM verify_streams('capture_direct') v $$;
-- How many of the capture triggers a statement ran, as EXPLAIN counts them: none where it was captured from its plan.
CREATE FUNCTION triggers_run(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE line text; n bigint := 0;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) ' || statement LOOP
    IF line ~ '^Trigger 0_pgstream' THEN n := n + 1; END IF;
  END LOOP;
  RETURN n;
END $$;

-- Values, a query, long values, NULLs, defaults; the source itself and a stream table over it read by the statement.
INSERT INTO src VALUES (1, 1, 1, 'one'), (2, 2, NULL, NULL), (3, NULL, 3, repeat('x', 5000));
SELECT fine();
INSERT INTO src (id) VALUES (4);
INSERT INTO src SELECT i, i % 7, i * 3, CASE WHEN i % 100 = 0 THEN (SELECT string_agg(md5(i::text || k::text), '') FROM generate_series(1, 300) k)
                                             WHEN i % 5 = 0 THEN NULL ELSE 'note ' || i END
  FROM generate_series(5, 2000) i;
SELECT fine();
INSERT INTO src SELECT id + 5000, grp, val, note FROM src WHERE id < 100;
INSERT INTO src SELECT id + 6000, 9, val, note FROM lines WHERE id BETWEEN 101 AND 300;
CREATE TABLE same (LIKE src INCLUDING GENERATED);
INSERT INTO same SELECT id + 7000, grp, val, note FROM src WHERE id % 10 = 0 AND id < 1000;
ALTER TABLE same DROP twice;
ALTER TABLE same ADD twice int;
INSERT INTO src (id, grp, val, note) SELECT id, grp, val, note FROM same;
SELECT fine();
SELECT triggers_run($$INSERT INTO src VALUES (2001, 1, 2, 'a')$$) AS insert_one,
       triggers_run($$INSERT INTO src SELECT i, 1, i, 'b' FROM generate_series(2002, 2010) i$$) AS insert_many,
       triggers_run($$UPDATE src SET val = val + 1 WHERE id > 2000 AND id < 2020$$) AS update_some,
       triggers_run($$DELETE FROM src WHERE id = 2001$$) AS delete_one,
       triggers_run($$INSERT INTO src VALUES (2002, 1, 1, '') ON CONFLICT DO NOTHING$$) AS on_conflict_nothing,
       triggers_run($$INSERT INTO src VALUES (2002, 1, 1, '') ON CONFLICT (id) DO UPDATE SET val = 5$$) AS on_conflict_update,
       triggers_run($$WITH x AS (INSERT INTO src VALUES (2099, 1, 1, '') RETURNING id) SELECT id FROM x$$) AS cte,
       triggers_run($$MERGE INTO src USING (VALUES (2099)) v (id) ON src.id = v.id WHEN MATCHED THEN UPDATE SET val = 6$$) AS merge;
SELECT fine();

-- Conflicts; a join that meets rows several times; captured columns that stay as they are; nothing at all; RETURNING.
INSERT INTO src SELECT i, 3, i, 'conflict' FROM generate_series(1995, 2040) i ON CONFLICT DO NOTHING;
SELECT fine();
INSERT INTO src SELECT i, 4, i, 'conflict' FROM generate_series(2030, 2050) i ON CONFLICT (id) DO UPDATE SET val = src.val + excluded.val;
SELECT fine();
UPDATE src SET val = val + times FROM other WHERE src.id = other.id AND src.id < 300;
SELECT fine();
UPDATE src SET val = 2 * (val / 2), note = note || '!' WHERE id BETWEEN 90 AND 310;
UPDATE src SET id = id + 10000 WHERE id BETWEEN 350 AND 360;
UPDATE src SET id = -id WHERE id = 1000000;
SELECT fine();
UPDATE src SET grp = grp WHERE id < 50;
UPDATE src SET grp = NULL, val = NULL, note = NULL WHERE id BETWEEN 40 AND 50 RETURNING grp;
INSERT INTO src VALUES (3000, 1, 1, 'r'), (3001, 1, 1, 'r') RETURNING id, (SELECT sum(n) FROM groups) > 0 AS seen;
SELECT fine();

-- In a transaction, with savepoints, one row at a time.
BEGIN;
INSERT INTO src VALUES (3002, 1, 1, 't');
SAVEPOINT a;
INSERT INTO src VALUES (3003, 1, 1, 't');
UPDATE src SET val = val + 1 WHERE id IN (3002, 3003);
SELECT fine();
ROLLBACK TO a;
SELECT fine();
UPDATE src SET val = val + 1 WHERE id IN (3002, 3003);
SAVEPOINT b;
DELETE FROM src WHERE id = 3002;
INSERT INTO src VALUES (3002, 2, 2, 'again');
RELEASE b;
SELECT fine();
COMMIT;
SELECT fine();

-- An error amid a statement, caught: the rows before it are gone, those of the statement around it are not.
CREATE FUNCTION try_rows(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    INSERT INTO src SELECT 4000 + 10 * n + i, 1, 1 / (3 - i), 'inner' FROM generate_series(1, 1 + n % 4) i;
  EXCEPTION WHEN division_by_zero THEN NULL;
  END;
  RETURN n;
END $$;
INSERT INTO src SELECT 4500 + i, try_rows(i), i, 'outer' FROM generate_series(1, 8) i;
SELECT fine(), (SELECT count(*) FROM src WHERE note = 'inner') AS inner_rows;

-- BEFORE ROW triggers that keep a row, change it, and write others; an UPDATE beside them is captured by its triggers.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.id % 10 = 1 THEN RETURN NULL; END IF;
  IF NEW.id % 10 = 2 THEN NEW.val := NEW.val * 100; NEW.note := repeat('changed', 2000); END IF;
  IF NEW.id % 10 = 3 AND TG_OP = 'INSERT' THEN INSERT INTO src VALUES (NEW.id + 100004, 5, 5, 'nested'); END IF;
  IF NEW.id % 10 = 4 THEN DELETE FROM src WHERE id = NEW.id - 10; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON src FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT triggers_run($$INSERT INTO src SELECT i, 6, i, 'x' FROM generate_series(8001, 8050) i$$) AS inserted,
       triggers_run($$UPDATE src SET val = val + 1 WHERE id BETWEEN 8001 AND 8050$$) > 0 AS updated_by_triggers;
SELECT fine(), (SELECT count(*) FROM src WHERE id BETWEEN 8001 AND 8050) AS kept;
INSERT INTO src SELECT id + 30000, grp, val, note FROM same;
SELECT fine();
DROP TRIGGER meddle ON src;

-- Users' own transition tables, statement triggers around the capture, and a trigger that reads the stream table.
CREATE TABLE audit (how text, rows bigint, exact text);
CREATE FUNCTION note_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit SELECT TG_OP, count(*), fine() FROM changed; RETURN NULL; END $$;
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit SELECT TG_WHEN || ' ' || TG_LEVEL, 1, CASE WHEN TG_WHEN = 'BEFORE' OR NEW.id % 10 = 0 THEN fine() END; RETURN NEW; END $$;
CREATE TRIGGER by_table AFTER INSERT ON src REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_rows();
CREATE TRIGGER by_table_too AFTER UPDATE ON src REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_rows();
CREATE TRIGGER "!first" BEFORE INSERT OR UPDATE ON src FOR EACH STATEMENT EXECUTE FUNCTION note_row();
SELECT triggers_run($$INSERT INTO src SELECT i, 6, i, 'x' FROM generate_series(8101, 8120) i$$) AS inserted,
       triggers_run($$UPDATE src SET val = val + 1 WHERE id BETWEEN 8101 AND 8120$$) AS updated;
SELECT how, sum(rows), exact FROM audit GROUP BY how, exact ORDER BY how, exact;
SELECT fine();
-- With a trigger for each row the capture triggers tell where a statement has not ended yet.
CREATE TRIGGER by_row AFTER INSERT OR UPDATE ON src FOR EACH ROW EXECUTE FUNCTION note_row();
SELECT triggers_run($$INSERT INTO src SELECT i, 6, i, 'x' FROM generate_series(8121, 8130) i$$) AS inserted,
       triggers_run($$UPDATE src SET val = val + 1 WHERE id BETWEEN 8121 AND 8130$$) AS updated,
       triggers_run($$DELETE FROM src WHERE id = 8130$$) AS deleted;
SELECT how, sum(rows), exact FROM audit WHERE how = 'AFTER ROW' GROUP BY how, exact ORDER BY how, exact;
SELECT fine();
DROP TRIGGER by_table ON src;
DROP TRIGGER by_table_too ON src;
DROP TRIGGER "!first" ON src;
DROP TRIGGER by_row ON src;

-- Foreign keys: what is cascaded comes back to the table; a key that only checks is in nobody's way.
CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE ON UPDATE CASCADE, val int);
CREATE TABLE tree_sum USING pgstream AS SELECT parent, sum(val) AS total, count(*) AS n FROM tree GROUP BY parent;
INSERT INTO tree SELECT i, nullif(i / 2, 0), i FROM generate_series(1, 200) i;
SELECT fine();
UPDATE tree SET id = id + 1000 WHERE id BETWEEN 2 AND 20;
SELECT fine();
DELETE FROM tree WHERE id IN (1003, 1005);
SELECT fine(), (SELECT count(*) FROM tree);
CREATE TABLE leaf (id int PRIMARY KEY, tree_id int REFERENCES tree (id) ON DELETE SET NULL);
CREATE TABLE leaf_count USING pgstream AS SELECT tree_id, count(*) AS n FROM leaf GROUP BY tree_id;
SELECT triggers_run('INSERT INTO leaf SELECT id, id FROM tree') AS inserted, triggers_run('UPDATE leaf SET tree_id = 1 WHERE id % 3 = 0') AS updated;
DELETE FROM tree WHERE id % 10 = 8;
SELECT fine(), (SELECT count(*) FROM leaf WHERE tree_id IS NULL);

-- A view, with its check; a rule that does more than was asked; row security.
CREATE VIEW even AS SELECT id, grp, val, note FROM src WHERE val % 2 = 0 WITH CHECK OPTION;
INSERT INTO even VALUES (9001, 1, 2, 'view'), (9002, 1, 4, 'view');
INSERT INTO even VALUES (9003, 1, 6, 'view'), (9004, 1, 3, 'view');
UPDATE even SET val = val + 2, note = 'through the view' WHERE id IN (9001, 9003);
SELECT fine();
CREATE RULE also AS ON INSERT TO leaf DO ALSO INSERT INTO src VALUES (NEW.id + 20000, 1, 1, 'rule');
INSERT INTO leaf VALUES (100001, NULL), (100002, NULL);
SELECT fine(), (SELECT count(*) FROM src WHERE note = 'rule');

-- Prepared statements while stream tables come and go; triggers disabled and enabled; columns that come and go.
PREPARE ins (int) AS INSERT INTO src VALUES ($1, 1, $1, 'prepared');
PREPARE upd (int) AS UPDATE src SET val = val + 1 WHERE id = $1;
EXECUTE ins (11001);
EXECUTE upd (11001);
CREATE TABLE more USING pgstream AS SELECT id, grp FROM src WHERE grp = 1;
EXECUTE ins (11002);
EXECUTE upd (11001);
SELECT fine();
DROP TABLE groups, lines, more;
EXECUTE ins (11003);
EXECUTE upd (11003);
CREATE TABLE groups USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
EXECUTE ins (11004);
EXECUTE upd (11004);
SELECT fine();
ALTER TABLE src DISABLE TRIGGER ALL;
EXECUTE ins (11005);
EXECUTE upd (11005);
SELECT fine();
ALTER TABLE src ENABLE TRIGGER ALL;
ALTER TABLE src DROP note CASCADE;
ALTER TABLE src ADD later text DEFAULT 'later';
SELECT refresh_streams('capture_direct') > 0 AS refreshed;
CREATE TABLE laters USING pgstream AS SELECT later, count(*) AS n FROM src GROUP BY later;
INSERT INTO src VALUES (11006, 1, 1);
UPDATE src SET val = 7 WHERE id IN (11001, 11006);
UPDATE src SET later = NULL WHERE id = 11001;
SELECT fine();

-- A whole table, more than a record holds, and its refresh.
UPDATE src SET val = val + 1;
SELECT fine();
SELECT refresh_streams('capture_direct') > 0 AS refreshed;
SELECT fine();
DROP SCHEMA capture_direct CASCADE;
