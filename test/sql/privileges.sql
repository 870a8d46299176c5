-- Privileges: what a materialized view's owner needs and no more; nothing runs with more rights than the owner's; rules
-- written by hand give nothing away.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA priv;
CREATE ROLE regress_owner;
CREATE ROLE regress_reader;
CREATE ROLE regress_member IN ROLE regress_owner;
GRANT ALL ON SCHEMA priv TO regress_owner;
GRANT USAGE ON SCHEMA priv TO regress_reader, regress_member;
SET search_path = priv, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, secret text);
INSERT INTO src SELECT i, i % 5, i, 'secret ' || i FROM generate_series(1, 50) i;
CREATE VIEW shown AS SELECT id, grp, val FROM src WHERE grp > 0;
GRANT SELECT (id, grp, val) ON src TO regress_owner;
GRANT SELECT ON shown TO regress_owner;
CREATE FUNCTION exact(stream regclass) RETURNS boolean LANGUAGE sql AS $$ SELECT missing + surplus = 0 FROM public.differences(stream) $$;

-- SELECT on the columns used and CREATE on the schema are enough.
SET ROLE regress_owner;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total FROM src GROUP BY grp;
CREATE TABLE rows USING pgstream AS SELECT id, val FROM shown;
CREATE TABLE tops USING pgstream AS SELECT grp, max(val) AS top FROM shown GROUP BY grp;
CREATE TABLE peek USING pgstream AS SELECT secret FROM src;
GRANT SELECT ON sums TO regress_reader;
RESET ROLE;
INSERT INTO src VALUES (51, 1, 100, 'x'), (52, 0, 5, 'y');
DELETE FROM src WHERE id IN (49, 7);
SELECT exact('sums'), exact('rows'), exact('tops');

-- Readers need SELECT on the stream table alone; changing it is the owner's, or a member's.
SET ROLE regress_reader;
SELECT count(*) FROM sums;
SELECT count(*) FROM rows;
SELECT pgstream.refresh_stream_table('sums');
SELECT pgstream.alter_stream_table('sums', schedule => '1h');
SELECT pgstream.drop_stream_table('sums');
DROP TABLE sums;
SET ROLE regress_member;
SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('rows'), pgstream.refresh_stream_table('tops');
RESET ROLE;
SELECT exact('sums'), exact('rows'), exact('tops');

-- Privileges on a source that the owner loses: the error the query would give, for reads of pending rows and for refreshes;
-- nothing is lost meanwhile.
REVOKE SELECT (id, grp, val) ON src FROM regress_owner;
SELECT count(*) FROM sums;
UPDATE src SET val = val + 1 WHERE id < 5;
SELECT count(*) FROM sums;
SELECT pgstream.refresh_stream_table('sums');
SELECT exact('rows'), exact('tops');
REVOKE SELECT ON shown FROM regress_owner;
SELECT count(*) FROM rows;
SELECT count(*) FROM tops;
SELECT pgstream.refresh_stream_table('rows');
GRANT SELECT (id, grp, val) ON src TO regress_owner;
GRANT SELECT ON shown TO regress_owner;
SELECT exact('sums'), exact('rows'), exact('tops');
SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('rows'), pgstream.refresh_stream_table('tops');
SELECT exact('sums'), exact('rows'), exact('tops');

-- What an owner's functions do, they do as the owner, whoever reads, analyzes or refreshes.
SET ROLE regress_owner;
CREATE FUNCTION who(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN current_user; END $$;
CREATE TABLE own (id int);
INSERT INTO own VALUES (1), (2);
CREATE TABLE ran_as USING pgstream AS SELECT id, who(id) AS ran_as FROM own;
INSERT INTO own VALUES (3);
RESET ROLE;
SELECT * FROM ran_as ORDER BY id;
ANALYZE ran_as;
SELECT pgstream.refresh_stream_table('ran_as');
SELECT DISTINCT ran_as FROM ran_as;
SET ROLE regress_owner;
CREATE FUNCTION climb(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET ROLE NONE'; RETURN $1; END $$;
CREATE TABLE climber USING pgstream AS SELECT climb(id) AS id FROM own;
RESET ROLE;

-- Catalogs and logs are nobody's to write, and logs nobody's to read.
SET ROLE regress_owner;
INSERT INTO pgstream.pgs_stream (pgs_relid, refresh_mode, status) VALUES (1, 'FULL', 'ACTIVE');
UPDATE pgstream.pgs_frontier SET version = 0;
DELETE FROM pgstream.pgs_dependency;
DELETE FROM pgstream.pgs_log;
DO $$ DECLARE log regclass; BEGIN
  SELECT segments[1] INTO log FROM pgstream.pgs_log LIMIT 1;
  EXECUTE 'SELECT * FROM ' || log;
EXCEPTION WHEN insufficient_privilege THEN RAISE WARNING 'no reading of logs'; END $$;
CREATE TRIGGER mine AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION pgstream.capture_changes();
RESET ROLE;
-- Nor are they for who was granted everything, who owns them, or a superuser who has not said that he means it.
SELECT segments[1]::regclass AS log FROM pgstream.pgs_log ORDER BY source_relid LIMIT 1 \gset
CREATE ROLE regress_all;
GRANT pg_write_all_data, pg_read_all_data TO regress_all;
GRANT ALL ON :log, pgstream.pgs_stream, pgstream.pgs_frontier, pgstream.pgs_dependency, pgstream.pgs_log, pgstream.pgs_refresh_history TO regress_all;
CREATE FUNCTION tries(VARIADIC commands text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE command text;
BEGIN
  FOREACH command IN ARRAY commands LOOP
    BEGIN
      EXECUTE command;
      RETURN NEXT 'done: ' || command;
    EXCEPTION WHEN OTHERS THEN
      RETURN NEXT SQLSTATE || ' ' || regexp_replace(SQLERRM, 'log_\d+', 'log_N');
    END;
  END LOOP;
END $$;
SELECT format('SELECT tries(%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L)',
  'INSERT INTO pgstream.pgs_stream (pgs_relid, refresh_mode, status) VALUES (1, $$FULL$$, $$ACTIVE$$)',
  'UPDATE pgstream.pgs_frontier SET version = version',
  'DELETE FROM pgstream.pgs_dependency',
  'DELETE FROM pgstream.pgs_dependencies', -- the view
  'MERGE INTO pgstream.pgs_log l USING (VALUES (1)) v (a) ON true WHEN MATCHED THEN DELETE',
  'WITH gone AS (DELETE FROM pgstream.pgs_refresh_history RETURNING 1) SELECT count(*) FROM gone',
  'SELECT * FROM pgstream.pgs_stream FOR UPDATE',
  'TRUNCATE pgstream.pgs_frontier',
  'INSERT INTO ' || :'log' || ' (kind) VALUES ($$t$$)',
  'UPDATE ' || :'log' || ' SET kind = $$t$$',
  'TRUNCATE ' || :'log',
  'LOCK TABLE pgstream.pgs_frontier',
  'LOCK TABLE pgstream.pgs_dependencies IN ROW EXCLUSIVE MODE') AS all_of_it \gset
SET ROLE regress_all;
:all_of_it;
COPY pgstream.pgs_log FROM stdin;
\.
-- Reading is another matter.
SELECT count(*) > 0 AS "reads" FROM pgstream.pgs_stream;
BEGIN;
LOCK TABLE pgstream.pgs_stream IN ACCESS SHARE MODE;
COMMIT;
RESET ROLE;
BEGIN;
ALTER TABLE pgstream.pgs_frontier OWNER TO regress_all;
SET LOCAL ROLE regress_all;
SELECT tries('UPDATE pgstream.pgs_frontier SET version = version', 'TRUNCATE pgstream.pgs_frontier', 'LOCK TABLE pgstream.pgs_frontier');
ROLLBACK;
BEGIN;
:all_of_it;
ROLLBACK;
DELETE FROM pgstream.pgs_refresh_history WHERE end_time < now() - interval '1 year'; -- as OPERATIONS.md says
BEGIN;
SET LOCAL allow_system_table_mods = on;
SELECT tries('UPDATE pgstream.pgs_frontier SET version = version', 'DELETE FROM pgstream.pgs_log WHERE false');
-- which a function that another role wrote does not get from it
SET LOCAL ROLE regress_all;
SELECT tries('UPDATE pgstream.pgs_frontier SET version = version');
ROLLBACK;
-- A table of somebody else's with such a name is his.
CREATE SCHEMA regress_mine;
CREATE TABLE regress_mine.pgs_stream (a int);
SET ROLE regress_all;
INSERT INTO regress_mine.pgs_stream VALUES (1);
RESET ROLE;
DROP SCHEMA regress_mine CASCADE;
DROP OWNED BY regress_all;
DROP ROLE regress_all;
DROP FUNCTION tries;
SET ROLE regress_owner;

-- The defining rule is not for tampering with.
ALTER TABLE sums ENABLE RULE pgstream_query;
ALTER TABLE sums DISABLE RULE pgstream_query;
CREATE OR REPLACE RULE pgstream_query AS ON INSERT TO sums DO INSTEAD SELECT 1;
CREATE OR REPLACE RULE pgstream_query AS ON INSERT TO sums DO INSTEAD NOTHING;
ALTER RULE pgstream_query ON sums RENAME TO other;
DROP RULE pgstream_query ON sums;
RESET ROLE;
SELECT exact('sums');

-- A rule written by hand, as a restore does, records and no more: what it names is read with the rights of its writer.
SET default_table_access_method = pgstream;
SET ROLE regress_owner;
CREATE TABLE passwords (rolname name, rolpassword text);
CREATE RULE pgstream_query AS ON INSERT TO passwords DO INSTEAD SELECT rolname, rolpassword FROM pg_catalog.pg_authid;
ALTER TABLE passwords DISABLE RULE pgstream_query;
CREATE TABLE secrets (secret text);
CREATE RULE pgstream_query AS ON INSERT TO secrets DO INSTEAD SELECT secret FROM src;
ALTER TABLE secrets DISABLE RULE pgstream_query;
CREATE TABLE settings (id int, ran_as text);
CREATE RULE pgstream_query AS ON INSERT TO settings
  WHERE pgstream.stream_options('role=none', 'search_path=priv', 'refresh_mode=DIFFERENTIAL') DO INSTEAD SELECT id, who(id) FROM own;
ALTER TABLE settings DISABLE RULE pgstream_query;
CREATE TABLE one (a int);
CREATE TABLE two (a int);
CREATE RULE pgstream_query AS ON INSERT TO one DO INSTEAD SELECT a FROM two;
ALTER TABLE one DISABLE RULE pgstream_query;
CREATE RULE pgstream_query AS ON INSERT TO two DO INSTEAD SELECT a FROM one;
ALTER TABLE two DISABLE RULE pgstream_query;
SELECT * FROM passwords;
SELECT pgstream.refresh_stream_table('passwords');
SELECT pgstream.refresh_stream_table('secrets');
SELECT * FROM one;
SELECT pgstream.refresh_stream_table('two');
RESET ROLE;
RESET default_table_access_method;
SELECT * FROM passwords;
SELECT * FROM secrets;
SELECT pgstream.refresh_stream_table('secrets');
SELECT * FROM settings ORDER BY id;
SELECT pgstream.refresh_stream_table('settings');
SELECT DISTINCT ran_as FROM settings;
SELECT array_position(s.settings, 'role=none'), array_position(s.settings, 'search_path=priv') FROM pgstream.pgs_stream s WHERE pgs_relid = 'settings'::regclass;
SELECT count(*) FROM pgstream.pgs_stream WHERE pgs_relid IN ('passwords'::regclass, 'secrets'::regclass, 'one'::regclass, 'two'::regclass);
DROP TABLE passwords, secrets, one, two;

DROP SCHEMA priv CASCADE;
DROP OWNED BY regress_owner, regress_reader, regress_member;
DROP ROLE regress_owner, regress_reader, regress_member;
