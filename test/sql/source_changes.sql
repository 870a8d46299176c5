-- DDL of the sources while changes are pending: what names them follows, what the query uses is protected as under a view, and
-- what no trigger sees is rebuilt by the next refresh, with exact answers until then.
\set VERBOSITY default
SET client_min_messages = warning;
SET pgstream.keyed_evaluation = always;
CREATE SCHEMA changing;
CREATE SCHEMA changed;
SET search_path = changing, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, unused text, doubled numeric GENERATED ALWAYS AS (val * 2) STORED);
INSERT INTO src (id, grp, val) SELECT i, i % 10, i * 1.5 FROM generate_series(1, 100) i;
CREATE TABLE names (grp int PRIMARY KEY, name text);
INSERT INTO names SELECT i, 'group ' || i FROM generate_series(0, 9) i;
CREATE FUNCTION twist(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE rows USING pgstream AS SELECT id, grp, twist(val) AS t, doubled FROM src WHERE grp < 7;
CREATE TABLE best USING pgstream AS SELECT DISTINCT ON (grp) grp, id, val FROM src ORDER BY grp, val DESC, id;
CREATE TABLE named USING pgstream AS SELECT s.id, n.name FROM src s JOIN names n USING (grp);
CREATE SEQUENCE turn;
-- Changes of every kind, by whatever name the source has; then all stream tables against their queries.
CREATE FUNCTION exact(source regclass DEFAULT 'changing.src', OUT streams bigint, OUT exact bigint, OUT answered text, OUT rebuilt bigint, OUT wrong text)
  LANGUAGE plpgsql AS $$
DECLARE t int := nextval('changing.turn');
BEGIN
  EXECUTE format('INSERT INTO %s (id, grp, val) SELECT 1000 + %s * 10 + i, (%s + i) %% 10, i FROM generate_series(1, 5) i', source, t, t);
  EXECUTE format('UPDATE %s SET val = val + 1, grp = (grp + 1) %% 10 WHERE id %% 50 = %s', source, t % 50);
  EXECUTE format('DELETE FROM %s WHERE id = %s', source, t * 3);
  SELECT v.streams, v.exact, v.answered, v.wrong INTO streams, exact, answered, wrong FROM verify_streams('changing') v;
  SELECT count(*) FILTER (WHERE is_populated) INTO rebuilt FROM pgstream.pgs_stream_tables WHERE pgs_schema = 'changing';
END $$;
CREATE FUNCTION refreshed(source regclass DEFAULT 'changing.src', OUT streams bigint, OUT exact bigint, OUT answered text, OUT rebuilt bigint, OUT wrong text)
  LANGUAGE plpgsql AS $$
BEGIN
  PERFORM refresh_streams('changing');
  SELECT e.* INTO streams, exact, answered, rebuilt, wrong FROM changing.exact(source) e;
END $$;
SELECT * FROM exact();

-- Names: nothing is rebuilt.
ALTER TABLE src RENAME COLUMN val TO amount;
ALTER TABLE src RENAME COLUMN amount TO val;
ALTER TABLE src RENAME COLUMN grp TO kind;
SELECT pg_get_ruledef(oid) ~ 'kind' AS follows FROM pg_rewrite WHERE ev_class = 'sums'::regclass;
SELECT streams, exact, answered, wrong FROM verify_streams('changing');
ALTER TABLE src RENAME COLUMN kind TO grp;
ALTER TABLE src RENAME TO source;
SELECT * FROM exact('changing.source');
ALTER TABLE source SET SCHEMA changed;
SELECT * FROM exact('changed.source');
ALTER SCHEMA changed RENAME TO elsewhere;
SELECT * FROM exact('elsewhere.source');
SELECT * FROM refreshed('elsewhere.source');
ALTER TABLE elsewhere.source SET SCHEMA changing;
ALTER TABLE source RENAME TO src;
SELECT * FROM exact();

-- Columns: added ones, with and without a default that is kept in the catalog; dropped ones that are not used.
ALTER TABLE src ADD COLUMN more int DEFAULT 7, ADD COLUMN others timestamptz DEFAULT clock_timestamp();
SELECT * FROM exact();
ALTER TABLE src DROP COLUMN unused, DROP COLUMN more;
SELECT * FROM exact();
SELECT * FROM refreshed();
-- Whole rows show a new column, in the rows that are there as well.
CREATE TABLE whole USING pgstream AS SELECT id, row_to_json(s)::text AS whole_row FROM src s;
ALTER TABLE src ADD COLUMN late int DEFAULT 5;
SELECT streams, exact, wrong FROM exact();
SELECT streams, exact, wrong FROM refreshed();
UPDATE src SET late = late + 1 WHERE id < 10;
ALTER TABLE src RENAME COLUMN late TO later;
SELECT streams, exact, wrong FROM exact();
ALTER TABLE src DROP COLUMN later;
SELECT streams, exact, wrong FROM exact();
SELECT streams, exact, wrong FROM refreshed();
DROP TABLE whole;
ALTER TABLE src ADD COLUMN late int DEFAULT 5;

-- What the query uses is protected, as under a view.
ALTER TABLE src DROP COLUMN val;
ALTER TABLE src DROP COLUMN doubled;
-- (Which dependent the server names first is its own affair.)
\set VERBOSITY sqlstate
ALTER TABLE src ALTER COLUMN grp TYPE bigint;
ALTER TABLE src ALTER COLUMN val TYPE numeric(10, 2);
\set VERBOSITY default
ALTER TABLE names ALTER COLUMN name TYPE varchar(20);
DROP TABLE names;
DROP FUNCTION twist(numeric);
SELECT * FROM exact();
-- With CASCADE the stream tables concerned go, and leave nothing behind.
BEGIN;
ALTER TABLE src DROP COLUMN doubled CASCADE;
SELECT to_regclass('rows') AS rows, to_regclass('sums') AS sums;
SELECT * FROM exact();
ROLLBACK;
BEGIN;
DROP FUNCTION twist(numeric) CASCADE;
DROP TABLE names CASCADE;
SELECT * FROM exact();
SELECT count(*) FROM pgstream.pgs_dependency d WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = d.pgs_relid);
ROLLBACK;
SELECT * FROM exact();

-- Defaults, constraints, triggers and rules of users, statistics, rights, an owner: nothing is rebuilt.
CREATE ROLE regress_changing;
ALTER TABLE src ALTER COLUMN grp SET DEFAULT 3, ALTER COLUMN grp SET NOT NULL, ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
ALTER TABLE src VALIDATE CONSTRAINT positive;
ALTER TABLE src ADD FOREIGN KEY (grp) REFERENCES names;
ALTER TABLE src ALTER COLUMN grp SET STATISTICS 50, SET (fillfactor = 80);
CREATE UNIQUE INDEX src_unique ON src (id, grp);
ALTER TABLE src REPLICA IDENTITY FULL;
CREATE FUNCTION user_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.val := NEW.val + 0.25; RETURN NEW; END $$;
CREATE TRIGGER user_trigger BEFORE INSERT OR UPDATE ON src FOR EACH ROW EXECUTE FUNCTION user_trigger();
GRANT SELECT ON src TO regress_changing;
SELECT * FROM exact();
ALTER TABLE src DISABLE TRIGGER user_trigger;
SELECT * FROM exact();
SELECT * FROM refreshed();
ALTER TABLE src DISABLE TRIGGER USER;
SELECT * FROM refreshed();
DROP TRIGGER user_trigger ON src;

-- Rewrites: the rows stay what they were.
VACUUM FULL src;
SELECT * FROM exact();
CLUSTER src USING src_pkey;
SELECT * FROM exact();
REINDEX TABLE CONCURRENTLY src;
SELECT * FROM exact();
SELECT * FROM refreshed();
ALTER TABLE src ALTER COLUMN late TYPE bigint USING late * 2;
SELECT * FROM exact();
SELECT * FROM refreshed();

-- Another expression of a generated column, where the server has that.
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 170000 THEN
    EXECUTE 'ALTER TABLE changing.src ALTER COLUMN doubled SET EXPRESSION AS (val * 3)';
  END IF;
END $$;
SELECT streams, exact, wrong FROM exact();
SELECT * FROM refreshed();

-- Without WAL no log can be relied upon: recomputed on every read, until it is logged again and refreshed.
ALTER TABLE src DROP CONSTRAINT src_grp_fkey;
ALTER TABLE src SET UNLOGGED;
SELECT * FROM exact();
SELECT * FROM refreshed();
ALTER TABLE src SET LOGGED;
SELECT * FROM exact();
SELECT * FROM refreshed();

-- Capture triggers disabled and enabled again: what was written between is in no log, and is there all the same.
ALTER TABLE src DISABLE TRIGGER ALL;
SELECT * FROM exact();
ALTER TABLE src ENABLE TRIGGER ALL;
SELECT * FROM exact();
SELECT * FROM refreshed();

-- A function of the query replaced, dropped and made anew in one transaction with its stream table.
CREATE OR REPLACE FUNCTION twist(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 100';
SELECT * FROM exact();
SELECT * FROM refreshed();
ALTER FUNCTION twist(numeric) RENAME TO turned;
ALTER FUNCTION turned(numeric) SET SCHEMA elsewhere;
SELECT * FROM exact();
SELECT * FROM refreshed();

-- TRUNCATE, alone and with others, rolled back and not.
BEGIN;
TRUNCATE src;
SELECT * FROM exact();
ROLLBACK;
SELECT * FROM exact();
TRUNCATE src, names RESTART IDENTITY CASCADE;
SELECT * FROM exact();
INSERT INTO names VALUES (3, 'three');
SELECT * FROM exact();
SELECT * FROM refreshed();
DROP SCHEMA elsewhere, changing CASCADE;
SELECT count(*) FROM pgstream.pgs_log l WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = l.source_relid);
DROP ROLE regress_changing;
