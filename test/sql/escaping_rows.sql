-- What lies in a stream table's rows beyond their columns stays there: rows that a query copies whole into another table
-- consist of columns, so that a column added to that table has its default in all of them.
CREATE SCHEMA escaping;
SET search_path = escaping, public;
SET client_min_messages = warning;
SET jit = off;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric);
INSERT INTO src SELECT i, i % 3, i FROM generate_series(1, 9) i;
CREATE TABLE groups USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE plain USING pgstream AS SELECT id, val FROM src;
CREATE TABLE firsts USING pgstream AS SELECT DISTINCT ON (grp) grp, id FROM src ORDER BY grp, val;
CREATE TABLE everything USING pgstream AS SELECT a.id, b.val FROM src a JOIN src b USING (id);
CREATE INDEX ON groups (grp);
CREATE FUNCTION rows_of_groups() RETURNS SETOF groups LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT * FROM groups; END $$;
PREPARE all_groups AS SELECT * FROM groups;
-- Copies made in every way; of each, the rows that do not show the default of a column added then.
CREATE FUNCTION copies(OUT way text, OUT rows bigint, OUT wrong bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE query text;
BEGIN
  FOREACH way IN ARRAY ARRAY[
      'SELECT * FROM groups', 'SELECT * FROM plain', 'SELECT * FROM firsts', 'SELECT * FROM everything',
      'SELECT * FROM groups ORDER BY total', 'SELECT * FROM groups LIMIT 2', 'SELECT * FROM groups WHERE grp >= 0',
      'SELECT * FROM groups UNION ALL SELECT * FROM groups', 'SELECT * FROM groups UNION SELECT * FROM groups',
      'SELECT * FROM groups EXCEPT SELECT 0, 0, 0', 'SELECT * FROM (SELECT * FROM groups OFFSET 1) g',
      'WITH g AS MATERIALIZED (SELECT * FROM groups) SELECT * FROM g',
      'WITH RECURSIVE g AS (SELECT * FROM groups UNION ALL SELECT * FROM g WHERE false) SELECT * FROM g',
      'SELECT * FROM rows_of_groups()', 'SELECT (rows_of_groups()).*', 'SELECT * FROM groups, LATERAL (SELECT) x',
      'SELECT * FROM groups WHERE ctid IS NOT NULL', 'SELECT (g).* FROM groups g'] LOOP
    EXECUTE 'CREATE TABLE copy AS ' || way;
    ALTER TABLE copy ADD COLUMN added text DEFAULT 'default', ADD COLUMN other bytea;
    EXECUTE 'SELECT count(*), count(*) FILTER (WHERE added IS DISTINCT FROM ''default'' OR other IS NOT NULL) FROM copy' INTO rows, wrong;
    RETURN NEXT;
    EXECUTE 'DROP TABLE copy';
    EXECUTE 'CREATE TABLE copy AS ' || way || ' WITH NO DATA';
    EXECUTE 'INSERT INTO copy ' || way;
    ALTER TABLE copy ADD COLUMN added text DEFAULT 'default', ADD COLUMN other bytea;
    EXECUTE 'SELECT count(*), count(*) FILTER (WHERE added IS DISTINCT FROM ''default'' OR other IS NOT NULL) FROM copy' INTO rows, wrong;
    IF wrong > 0 THEN RETURN NEXT; END IF;
    EXECUTE 'DROP TABLE copy';
  END LOOP;
  EXECUTE 'CREATE TABLE copy AS SELECT * FROM groups WITH NO DATA';
  EXECUTE 'WITH moved AS (INSERT INTO copy SELECT * FROM groups RETURNING *) INSERT INTO copy SELECT * FROM moved';
  ALTER TABLE copy ADD COLUMN added text DEFAULT 'default';
  way := 'INSERT in WITH';
  SELECT count(*), count(*) FILTER (WHERE added IS DISTINCT FROM 'default') FROM copy INTO rows, wrong;
  RETURN NEXT;
  EXECUTE 'DROP TABLE copy';
END $$;
SELECT * FROM copies();
-- Through indexes, and by parallel workers.
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT way, rows, wrong FROM copies() WHERE wrong > 0;
SET enable_indexscan = off;
SET enable_bitmapscan = on;
SELECT way, rows, wrong FROM copies() WHERE wrong > 0;
RESET enable_seqscan;
RESET enable_indexscan;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE copy AS SELECT * FROM groups UNION ALL SELECT * FROM groups;
ALTER TABLE copy ADD COLUMN added int DEFAULT 7;
SELECT count(*), count(*) FILTER (WHERE added = 7) FROM copy;
DROP TABLE copy;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
-- With rows pending, which are no tuples of the base.
INSERT INTO src SELECT i, i % 4, i FROM generate_series(10, 14) i;
DELETE FROM src WHERE id = 2;
SELECT * FROM copies();
SET enable_seqscan = off;
SELECT way, rows, wrong FROM copies() WHERE wrong > 0;
RESET enable_seqscan;
-- A prepared statement, and after the definition is gone.
CREATE TABLE copy AS EXECUTE all_groups;
ALTER TABLE copy ADD COLUMN added int DEFAULT 7;
SELECT count(*), count(*) FILTER (WHERE added = 7) FROM copy;
SELECT pgstream.refresh_stream_table('groups');
ALTER TABLE groups SET ACCESS METHOD heap;
ALTER TABLE groups ADD COLUMN added int DEFAULT 7, ADD COLUMN other bytea;
SELECT count(*), count(*) FILTER (WHERE added = 7 AND other IS NULL) FROM groups;
DROP SCHEMA escaping CASCADE;
