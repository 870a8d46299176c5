-- A hostile owner: whatever code the query, its types, indexes and statistics bring along, it runs with the owner's rights, in a
-- restricted operation, whoever reads, analyzes, vacuums, reindexes, verifies, explains or refreshes.
CREATE SCHEMA hostile;
SET search_path = hostile, public;
SET client_min_messages = error;
CREATE ROLE hostile_owner LOGIN;
CREATE ROLE hostile_victim SUPERUSER;
GRANT ALL ON SCHEMA hostile TO hostile_owner;
CREATE TABLE prize (secret text);
INSERT INTO prize VALUES ('secret');
SELECT current_user AS victim \gset
-- A session of his own: what his functions may do in it, outside of the query, is what he may do.
\c - hostile_owner
SET search_path = hostile, public;
SET client_min_messages = error;
-- Notes who it runs as, and tries to become more. An attempt that is refused ends the statement, so each is caught.
CREATE TABLE seen (who name, place text, UNIQUE (who, place));
CREATE FUNCTION attempt(what text, place text) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
BEGIN
  EXECUTE what;
  INSERT INTO hostile.seen VALUES (current_user, place || ': ' || what) ON CONFLICT DO NOTHING;
EXCEPTION WHEN OTHERS THEN NULL;
END $$;
CREATE FUNCTION strike(place text) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
BEGIN
  INSERT INTO hostile.seen VALUES (current_user, place) ON CONFLICT DO NOTHING;
  PERFORM hostile.attempt('RESET ROLE', place);
  PERFORM hostile.attempt('SET ROLE hostile_victim', place);
  PERFORM hostile.attempt('SET SESSION AUTHORIZATION hostile_victim', place);
  PERFORM hostile.attempt('RESET SESSION AUTHORIZATION', place);
  PERFORM hostile.attempt('SELECT set_config(''role'', ''none'', false)', place);
  PERFORM hostile.attempt('SELECT set_config(''session_authorization'', ''hostile_victim'', false)', place);
  PERFORM hostile.attempt('DISCARD ALL', place);
  PERFORM hostile.attempt('RESET ALL', place);
  PERFORM hostile.attempt('ALTER ROLE hostile_owner SUPERUSER', place);
  PERFORM hostile.attempt('GRANT hostile_victim TO hostile_owner', place);
  PERFORM hostile.attempt('SELECT secret FROM hostile.prize', place);
  PERFORM hostile.attempt('CREATE TEMPORARY TABLE left_behind (a int)', place);
  PERFORM hostile.attempt('LISTEN left_behind', place);
  PERFORM hostile.attempt('PREPARE left_behind AS SELECT 1', place);
  PERFORM hostile.attempt('DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1', place);
  PERFORM hostile.attempt('UPDATE pgstream.pgs_stream SET version = 0', place);
  PERFORM hostile.attempt('INSERT INTO hostile.bomb VALUES (1)', place);
  RETURN true;
END $$;
-- The query may only use what is declared immutable; the declaration is the owner's.
CREATE FUNCTION innocent(int, text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hostile.strike($2); RETURN $1; END $$;
-- A deferred trigger, which would run at the commit, outside of the restricted operation.
CREATE TABLE bomb (a int);
CREATE FUNCTION explode() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.strike('deferred trigger'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER fuse AFTER INSERT ON bomb DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION explode();
-- A cast, an operator, a domain, an aggregate, a function that has settings of its own.
CREATE TYPE boxed AS (value int);
CREATE FUNCTION box(int) RETURNS boxed LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hostile.strike('cast'); RETURN ROW($1)::hostile.boxed; END $$;
CREATE CAST (int AS boxed) WITH FUNCTION box(int);
CREATE FUNCTION less_or_more(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hostile.strike('operator'); RETURN $1; END $$;
CREATE OPERATOR <~> (LEFTARG = int, RIGHTARG = int, FUNCTION = less_or_more);
CREATE FUNCTION check_domain(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN hostile.strike('domain'); END $$;
CREATE DOMAIN guarded AS int CHECK (check_domain(VALUE));
CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hostile.strike('aggregate'); RETURN coalesce($1, 0) + $2; END $$;
CREATE FUNCTION back(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hostile.strike('aggregate, inverse'); RETURN $1 - $2; END $$;
CREATE AGGREGATE tally(int) (SFUNC = step, STYPE = int, MSFUNC = step, MINVFUNC = back, MSTYPE = int);
CREATE FUNCTION with_settings(int) RETURNS int LANGUAGE plpgsql IMMUTABLE SET search_path = hostile SET work_mem = '1MB'
  AS $$ BEGIN PERFORM strike('function with settings'); RETURN $1; END $$;
CREATE FUNCTION constant(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hostile.strike('constant'); RETURN $1; END $$;
CREATE TABLE src (id int PRIMARY KEY, val int);
INSERT INTO src SELECT i, i FROM generate_series(1, 6) i;
CREATE TABLE a_rows USING pgstream AS SELECT id, innocent(val, 'function') AS val, id <~> val AS op, val::boxed AS boxed, val::guarded AS dom,
  with_settings(val) AS w FROM src WHERE val > constant(0);
CREATE TABLE a_groups USING pgstream AS SELECT val % 2 AS grp, tally(val) AS t, sum(innocent(val, 'grouped')) AS s FROM src GROUP BY 1;
CREATE TABLE a_keyed USING pgstream AS SELECT val % 2 AS grp, id, rank() OVER (PARTITION BY val % 2 ORDER BY innocent(id, 'window')) AS r FROM src;
CREATE TABLE a_query USING pgstream AS SELECT a.id, innocent(b.val, 'join') AS val FROM src a JOIN src b USING (id);
CREATE TABLE a_full USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, innocent(val, 'full') AS val FROM src;
-- Expressions of indexes and statistics.
CREATE INDEX ON a_rows (innocent(id, 'index'));
CREATE INDEX ON a_groups (grp) WHERE innocent(grp, 'predicate') >= 0;
CREATE STATISTICS a_statistics ON (innocent(id, 'statistics')), val FROM a_rows;
-- A definition written by hand, with functions that are not immutable at all.
SET default_table_access_method = pgstream;
CREATE TABLE a_dump (ok boolean, v int);
CREATE RULE pgstream_query AS ON INSERT TO a_dump DO INSTEAD SELECT strike('by hand'), val FROM src;
ALTER TABLE a_dump DISABLE RULE pgstream_query;
RESET default_table_access_method;
-- What the owner did himself above is not of interest.
TRUNCATE seen;
-- The victim's session, without anything cached. (The planner evaluates what is constant in an index of any table, stream table
-- or not, with the rights of whoever reads it: such an index comes below, before a refresh.)
\c - :victim
SET search_path = hostile, public;
SET client_min_messages = error;
CREATE FUNCTION changes() RETURNS void LANGUAGE sql AS $$
  UPDATE hostile.src SET val = val + 2 WHERE id % 2 = 0; INSERT INTO hostile.src SELECT max(id) + 1, 1 FROM hostile.src; DELETE FROM hostile.src WHERE id = (SELECT min(id) FROM hostile.src) $$;
CREATE FUNCTION each(command text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE name text; done bigint := 0;
BEGIN
  FOREACH name IN ARRAY ARRAY['a_rows', 'a_groups', 'a_keyed', 'a_query', 'a_full', 'a_dump'] LOOP
    EXECUTE format(command, 'hostile.' || name);
    done := done + 1;
  END LOOP;
  RETURN done;
END $$;
SELECT changes();
SELECT each('SELECT count(*) FROM %s');
SELECT each('SELECT * FROM %s ORDER BY 1');
SELECT each('EXPLAIN ANALYZE SELECT * FROM %s');
SELECT each('SELECT pgstream.explain_st(%L)');
SELECT count(*) >= 6 AS all FROM pgstream.pg_stat_stream_tables;
SELECT count(*) >= 6 AS all FROM pgstream.pgs_stream_tables;
SELECT each('SELECT pgstream.verify(%L)');
COPY a_rows TO '/dev/null';
SELECT changes();
SELECT each('CREATE TABLE hostile.copied AS SELECT * FROM %s; DROP TABLE hostile.copied');
SELECT each('ANALYZE %s');
VACUUM a_rows, a_groups, a_keyed, a_query, a_full, a_dump;
VACUUM (FULL, ANALYZE) a_rows;
VACUUM (FULL, ANALYZE) a_groups;
SELECT each('REINDEX TABLE %s');
SELECT each('CREATE INDEX ON %s ((1))');
SELECT changes();
SELECT each('SELECT pgstream.refresh_stream_table(%L)');
SELECT changes();
CREATE INDEX ON a_keyed ((id + innocent(1, 'index constant')));
\c -
SET search_path = hostile, public;
SET client_min_messages = error;
SELECT pgstream.refresh_stream_table('a_keyed');
SELECT changes();
SELECT pgstream.alter_stream_table('a_query', query => 'SELECT a.id, hostile.innocent(b.val, ''altered'') AS val FROM hostile.src a JOIN hostile.src b USING (id) WHERE a.id > 0');
SELECT pgstream.alter_stream_table('a_full', refresh_mode => 'DIFFERENTIAL');
SELECT pgstream.create_or_replace_stream_table('a_keyed', 'SELECT val % 2 AS grp, id, rank() OVER (PARTITION BY val % 2 ORDER BY hostile.innocent(id, ''replaced'')) AS r FROM hostile.src WHERE id > 0');
TRUNCATE src;
INSERT INTO src VALUES (1, 1), (2, 2);
SELECT each('SELECT pgstream.refresh_stream_table(%L)');
BEGIN;
SELECT changes();
SELECT each('SELECT count(*) FROM %s');
SET CONSTRAINTS ALL IMMEDIATE;
COMMIT;
ALTER TABLE a_query SET ACCESS METHOD heap;
-- Who it all ran as, what was tried with success, and what was left behind.
SELECT who, place FROM seen WHERE place !~ ':' ORDER BY place COLLATE "C";
SELECT who, place FROM seen WHERE place ~ ':' ORDER BY place COLLATE "C";
SELECT current_user = session_user AS unchanged, (SELECT count(*) FROM bomb) AS bombs, (SELECT rolsuper FROM pg_roles WHERE rolname = 'hostile_owner') AS climbed,
       (SELECT count(*) FROM pg_listening_channels()) AS listening,
       (SELECT count(*) FROM pg_prepared_statements WHERE name = 'left_behind') AS prepared,
       (SELECT count(*) FROM pg_cursors WHERE name = 'left_behind') AS cursors, to_regclass('pg_temp.left_behind') AS temporary;
SHOW work_mem;
DROP SCHEMA hostile CASCADE;
DROP OWNED BY hostile_owner;
DROP ROLE hostile_owner, hostile_victim;
