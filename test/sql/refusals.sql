-- What a stream table refuses, each with its SQLSTATE and what to do instead; nothing of it leaves a trace, and what is pending stays.
SET client_min_messages = warning;
CREATE SCHEMA refusals;
SET search_path = refusals, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val int);
INSERT INTO src SELECT i, i % 5, i FROM generate_series(1, 20) i;
CREATE TABLE st USING pgstream AS SELECT grp, sum(val) AS s, count(*) AS n FROM src GROUP BY grp;
CREATE UNIQUE INDEX st_grp ON st (grp);
CREATE VIEW over AS SELECT grp, n FROM st;
CREATE TABLE plain (grp int, s bigint, n bigint);
CREATE TABLE parted (grp int, s bigint, n bigint) PARTITION BY LIST (grp);
CREATE TYPE shape AS (grp int, s bigint, n bigint);
INSERT INTO src VALUES (100, 7, 7);
UPDATE src SET val = 0 WHERE id = 3;

-- Runs a command that must fail, and takes back what it did if it does not.
CREATE FUNCTION refused(command text, OUT code text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    EXECUTE command;
    RAISE EXCEPTION SQLSTATE 'ZZ000';
  EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
    code := 'done';
  WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
  END;
END $$;
CREATE FUNCTION refused_all(commands text[]) RETURNS TABLE (command text, code text, message text, hint text) LANGUAGE sql AS $$
  SELECT c, r.* FROM unnest(commands) WITH ORDINALITY AS u (c, i), LATERAL refusals.refused(c) r ORDER BY i $$;
\pset format unaligned
\pset fieldsep '\n  '
\t on

-- Changes of the content.
SELECT * FROM refused_all(ARRAY[
  'INSERT INTO st VALUES (1, 2, 3)', 'INSERT INTO st DEFAULT VALUES', 'INSERT INTO st VALUES (1, 2, 3) ON CONFLICT DO NOTHING',
  'UPDATE st SET n = 0 WHERE grp = 1', 'DELETE FROM st', 'DELETE FROM ONLY st', 'WITH w AS (DELETE FROM st RETURNING 1) SELECT * FROM w',
  'INSERT INTO over VALUES (1, 2)', 'DELETE FROM over', 'TRUNCATE st', 'TRUNCATE src, st CASCADE', 'COPY st FROM ''nowhere''', 'COPY st (grp) FROM ''nowhere''']);
-- Before 17 core itself refuses MERGE.
SELECT code IN ('42809', '0A000') FROM refused('MERGE INTO st USING src ON src.id = st.grp WHEN MATCHED THEN DELETE');
SELECT code IN ('42809', '0A000') FROM refused('MERGE INTO st USING src ON src.id = st.grp WHEN NOT MATCHED THEN INSERT VALUES (1, 2, 3)');
SELECT * FROM refused_all(ARRAY['SELECT * FROM st FOR UPDATE', 'SELECT * FROM st FOR NO KEY UPDATE NOWAIT', 'SELECT * FROM st FOR SHARE SKIP LOCKED',
  'SELECT * FROM st FOR KEY SHARE', 'SELECT * FROM over FOR UPDATE', 'SELECT * FROM src, st FOR SHARE', 'SELECT * FROM src JOIN st USING (grp) FOR UPDATE OF st',
  'SELECT * FROM st TABLESAMPLE system (50)', 'SELECT * FROM st TABLESAMPLE bernoulli (50) REPEATABLE (1)']);

-- Changes of its columns, constraints, kind.
SELECT DISTINCT code, message, hint FROM refused_all(ARRAY[
  'ALTER TABLE st ADD COLUMN x int', 'ALTER TABLE st ADD COLUMN IF NOT EXISTS n int', 'ALTER TABLE st DROP COLUMN n', 'ALTER TABLE st DROP COLUMN IF EXISTS x CASCADE',
  'ALTER TABLE st ALTER n TYPE int', 'ALTER TABLE st ALTER n TYPE bigint USING n + 1', 'ALTER TABLE st ALTER n SET DEFAULT 1', 'ALTER TABLE st ALTER n DROP DEFAULT',
  'ALTER TABLE st ALTER n SET NOT NULL', 'ALTER TABLE st ALTER n DROP NOT NULL', 'ALTER TABLE st ALTER n DROP EXPRESSION', 'ALTER TABLE st ALTER n ADD GENERATED ALWAYS AS IDENTITY',
  'ALTER TABLE st ADD CHECK (n > 0)', 'ALTER TABLE st ADD CHECK (n > 0) NOT VALID', 'ALTER TABLE st ADD PRIMARY KEY (grp)', 'ALTER TABLE st ADD UNIQUE (grp)',
  'ALTER TABLE st ADD CONSTRAINT c UNIQUE USING INDEX st_grp', 'ALTER TABLE st ADD EXCLUDE USING btree (grp WITH =)', 'ALTER TABLE st ADD FOREIGN KEY (grp) REFERENCES src',
  'ALTER TABLE st DROP CONSTRAINT nothing', 'ALTER TABLE st DROP CONSTRAINT IF EXISTS nothing', 'ALTER TABLE st VALIDATE CONSTRAINT nothing', 'ALTER TABLE st SET UNLOGGED', 'ALTER TABLE st SET LOGGED',
  'ALTER TABLE st OF shape', 'ALTER TABLE st NOT OF', 'ALTER TABLE st INHERIT plain', 'ALTER TABLE st NO INHERIT plain', 'ALTER TABLE st ENABLE TRIGGER ALL', 'ALTER TABLE st DISABLE TRIGGER USER',
  'ALTER TABLE IF EXISTS ONLY st ADD COLUMN x int', 'ALTER TABLE st SET (fillfactor = 50), ADD COLUMN x int', 'ALTER FOREIGN TABLE st ADD COLUMN x int']);

-- Foreign keys to it, trees with it, triggers on it.
SELECT * FROM refused_all(ARRAY[
  'CREATE TABLE pointing (g int REFERENCES st (grp))', 'CREATE TABLE pointing (g int, FOREIGN KEY (g) REFERENCES st (grp))', 'ALTER TABLE plain ADD FOREIGN KEY (grp) REFERENCES st (grp)',
  'ALTER TABLE plain ADD COLUMN g int REFERENCES st (grp)', 'CREATE TABLE child () INHERITS (st)', 'CREATE TABLE child () INHERITS (plain, st)', 'ALTER TABLE plain INHERIT st',
  'ALTER TABLE parted ATTACH PARTITION st DEFAULT', 'CREATE TABLE part PARTITION OF parted DEFAULT USING pgstream',
  'CREATE TRIGGER t AFTER INSERT ON st EXECUTE FUNCTION suppress_redundant_updates_trigger()', 'CREATE OR REPLACE TRIGGER t BEFORE INSERT ON st FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
  'CREATE CONSTRAINT TRIGGER t AFTER INSERT ON st FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
  'CREATE TABLE bare (a int) USING pgstream', 'CREATE MATERIALIZED VIEW bare USING pgstream AS SELECT 1 AS x', 'ALTER TABLE plain SET ACCESS METHOD pgstream', 'CREATE PUBLICATION refusals_st FOR TABLE st',
  'ALTER TABLE st SET SCHEMA pg_catalog', 'ALTER TABLE st SET SCHEMA pg_toast', 'REFRESH MATERIALIZED VIEW st', 'DROP VIEW st', 'DROP MATERIALIZED VIEW st']);
SELECT code FROM refused('CREATE TABLE typed OF st');
-- The same where the access method is the session's.
SET default_table_access_method = pgstream;
SELECT * FROM refused_all(ARRAY['CREATE MATERIALIZED VIEW bare AS SELECT 1 AS x',
  'ALTER TABLE plain SET ACCESS METHOD pgstream']);
RESET default_table_access_method;

-- The rule that holds the query, and the key index.
CREATE RULE harmless AS ON UPDATE TO st DO INSTEAD NOTHING;
SELECT * FROM refused_all(ARRAY[
  'DROP RULE pgstream_query ON st', 'DROP RULE IF EXISTS pgstream_query ON st CASCADE', 'CREATE OR REPLACE RULE pgstream_query AS ON INSERT TO st DO INSTEAD SELECT 1',
  'CREATE OR REPLACE RULE pgstream_query AS ON DELETE TO st DO INSTEAD NOTHING', 'ALTER RULE pgstream_query ON st RENAME TO other', 'ALTER RULE harmless ON st RENAME TO pgstream_query',
  'ALTER TABLE st ENABLE RULE pgstream_query', 'ALTER TABLE st ENABLE ALWAYS RULE pgstream_query', 'ALTER TABLE st ENABLE REPLICA RULE pgstream_query', 'ALTER TABLE st DISABLE RULE pgstream_query',
  'CREATE RULE more AS ON INSERT TO st DO ALSO SELECT 1', 'CREATE RULE "_RETURN" AS ON SELECT TO st DO INSTEAD SELECT 1 AS grp, 2::bigint AS s, 3::bigint AS n',
  'DROP INDEX st_pgstream_key', 'DROP INDEX st_pgstream_key CASCADE', 'CLUSTER st USING st_pgstream_key']);
-- Other rules are the owner's business.
ALTER TABLE st DISABLE RULE harmless;
ALTER TABLE st ENABLE ALWAYS RULE harmless;
ALTER RULE harmless ON st RENAME TO unharmed;
DROP RULE unharmed ON st;
\t off
\pset format aligned
SELECT streams, exact, answered, wrong FROM verify_streams('refusals');
SELECT count(*) FROM pg_rewrite WHERE ev_class = 'st'::regclass;
-- A column that a view reads, and the table under it, are protected as any table's.
\set VERBOSITY default
DROP TABLE st;
DROP TABLE src;
SELECT pgstream.drop_stream_table('st');
SELECT streams, exact, answered, wrong FROM verify_streams('refusals');
DROP SCHEMA refusals CASCADE;
