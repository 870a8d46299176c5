-- Silent changes: DDL that makes a query return something else, of which no log tells. From its instant on readers
-- recompute, until a refresh has rebuilt the base; a rollback takes both back.
CREATE SCHEMA silent_test;
SET search_path = silent_test, public;
SET client_min_messages = warning;
CREATE TABLE src (id int PRIMARY KEY, grp int, val int, t text);
INSERT INTO src SELECT i, i % 4, i * 10, 'the Foxes ' || i FROM generate_series(1, 12) i;

-- How a stream table answers: whether its base is of the present definition, and in how many rows it differs from its query.
CREATE FUNCTION state(name text) RETURNS TABLE (strategy text, rebuilt boolean, rows bigint, differing bigint)
  LANGUAGE plpgsql STABLE AS $$
  DECLARE query text := rtrim(pgstream.defining_query(format('silent_test.%I', name)::regclass), ';'); BEGIN
    SELECT value INTO strategy FROM pgstream.explain_st('silent_test.' || name) WHERE property = 'strategy';
    SELECT s.is_populated INTO rebuilt FROM pgstream.pgs_stream_tables s WHERE s.pgs_name = name;
    EXECUTE format('SELECT count(*) FROM silent_test.%I', name) INTO rows;
    EXECUTE format('SELECT count(*) FROM ((SELECT r::text FROM silent_test.%1$I r EXCEPT ALL SELECT r::text FROM (%2$s) r)
                                          UNION ALL (SELECT r::text FROM (%2$s) r EXCEPT ALL SELECT r::text FROM silent_test.%1$I r)) x',
                   name, query) INTO differing;
    RETURN NEXT;
  END $$;
CREATE FUNCTION refresh(name text) RETURNS TABLE (strategy text, rebuilt boolean, rows bigint, differing bigint) LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pgstream.refresh_stream_table('silent_test.' || name); RETURN QUERY SELECT * FROM state(name); END $$;

-- A function of the query replaced; one that is not part of it changes nothing.
CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE TABLE st USING pgstream AS SELECT id, f(val) AS v FROM src;
CREATE FUNCTION unrelated(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE OR REPLACE FUNCTION unrelated(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
SELECT * FROM state('st');
PREPARE look AS SELECT sum(v) FROM st;
EXECUTE look;
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1000';
EXECUTE look;
SELECT * FROM state('st');
INSERT INTO src VALUES (13, 1, 130, 'x');
SELECT * FROM state('st');
SELECT * FROM refresh('st');
UPDATE src SET val = val + 1 WHERE id > 6;
SELECT * FROM state('st');
EXECUTE look;

-- Rolled back, to a savepoint and whole; read between; refreshed between.
BEGIN;
SAVEPOINT a;
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT -$1';
SELECT * FROM state('st');
SELECT * FROM refresh('st');
ROLLBACK TO a;
SELECT * FROM state('st');
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 2; END';
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1 * 3; END';
SELECT * FROM state('st');
DELETE FROM src WHERE id = 2;
SELECT * FROM state('st');
ROLLBACK;
SELECT * FROM state('st');

-- An event trigger that looks while the command runs.
CREATE FUNCTION ended() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ DECLARE s record; BEGIN SELECT * INTO s FROM silent_test.state('st'); RAISE WARNING 'rebuilt %, differing %', s.rebuilt, s.differing; END $$;
CREATE EVENT TRIGGER ended ON ddl_command_end WHEN TAG IN ('CREATE FUNCTION') EXECUTE FUNCTION ended();
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 2000';
DROP EVENT TRIGGER ended;
SELECT * FROM refresh('st');

-- ALTER FUNCTION: volatility, settings. What is not immutable any more is recomputed on every read, and the refresh says so.
SET client_min_messages = notice;
ALTER FUNCTION f(int) STABLE;
SELECT * FROM state('st');
SELECT * FROM refresh('st');
ALTER FUNCTION f(int) VOLATILE;
SELECT * FROM state('st');
SELECT * FROM refresh('st');
UPDATE src SET val = val + 1 WHERE id = 3;
SELECT * FROM state('st');
ALTER ROUTINE f(int) IMMUTABLE;
SELECT * FROM state('st');
SELECT * FROM refresh('st');
UPDATE src SET val = val + 1 WHERE id = 4;
SELECT * FROM state('st');
SET client_min_messages = warning;
CREATE FUNCTION zoned(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN to_char('2024-01-01 00:00Z'::timestamptz, 'HH24:MI') || $1; END $$;
CREATE TABLE st_zoned USING pgstream AS SELECT zoned(id) FROM src;
ALTER FUNCTION zoned(int) SET timezone = 'Asia/Tokyo';
SELECT * FROM state('st_zoned');
SELECT * FROM refresh('st_zoned');
DROP TABLE st_zoned;

-- A table whose function becomes immutable is maintained from its next refresh on, be its source captured for another one or not.
CREATE TABLE own_src (id int PRIMARY KEY, val int);
INSERT INTO own_src VALUES (1, 1), (2, 2);
CREATE FUNCTION later(int) RETURNS int LANGUAGE sql STABLE RETURN $1 + 1;
CREATE TABLE st_later USING pgstream AS SELECT id, later(val) AS v FROM own_src;
CREATE TABLE st_later_group USING pgstream AS SELECT later(grp) AS g, count(*) FROM src GROUP BY 1;
ALTER FUNCTION later(int) IMMUTABLE;
SELECT * FROM state('st_later');
SELECT * FROM state('st_later_group');
SELECT * FROM refresh('st_later');
SELECT * FROM refresh('st_later_group');
INSERT INTO own_src VALUES (3, 3);
INSERT INTO src VALUES (14, 1, 140, 'x'), (15, 9, 150, 'x');
SELECT * FROM state('st_later');
SELECT * FROM state('st_later_group');
SELECT pgs_relid, source_relid, columns FROM pgstream.pgs_dependencies WHERE pgs_relid::text LIKE 'st\_later%' ORDER BY pgs_relid::text;
DROP TABLE st_later, st_later_group;

-- Through a function with an SQL-standard body, a default argument, an operator, an aggregate, a cast.
CREATE FUNCTION inner_f(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + 1;
CREATE FUNCTION outer_f(int) RETURNS int IMMUTABLE BEGIN ATOMIC SELECT inner_f($1) * 2; END;
CREATE FUNCTION with_default(int, int DEFAULT 5) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + $2;
CREATE FUNCTION op_f(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
CREATE OPERATOR <-> (LEFTARG = int, RIGHTARG = int, FUNCTION = op_f);
CREATE FUNCTION step(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + $2';
CREATE AGGREGATE total (int) (SFUNC = step, STYPE = int);
CREATE TYPE boxed AS (n int);
CREATE FUNCTION box_it(int) RETURNS boxed LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1)::silent_test.boxed';
CREATE CAST (int AS boxed) WITH FUNCTION box_it(int);
CREATE TABLE st_outer USING pgstream AS SELECT id, outer_f(val) FROM src;
CREATE TABLE st_default USING pgstream AS SELECT id, with_default(val) FROM src;
CREATE TABLE st_operator USING pgstream AS SELECT id FROM src WHERE val <-> 20 > 0;
CREATE TABLE st_aggregate USING pgstream AS SELECT grp, total(val) FROM src GROUP BY grp;
CREATE TABLE st_cast USING pgstream AS SELECT id, val::boxed AS b FROM src;
CREATE FUNCTION states() RETURNS TABLE (name text, strategy text, rebuilt boolean, rows bigint, differing bigint) LANGUAGE sql AS
  $$ SELECT s.pgs_name, (state(s.pgs_name)).* FROM pgstream.pgs_stream_tables s WHERE s.pgs_schema = 'silent_test' AND s.pgs_name LIKE 'st\_%' ORDER BY 1 $$;
SELECT * FROM states();
CREATE OR REPLACE FUNCTION inner_f(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + 7;
CREATE OR REPLACE FUNCTION with_default(int, int DEFAULT 50) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + $2;
CREATE OR REPLACE FUNCTION op_f(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $2 - $1';
CREATE OR REPLACE FUNCTION step(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) - $2';
CREATE OR REPLACE FUNCTION box_it(int) RETURNS boxed LANGUAGE sql IMMUTABLE AS 'SELECT ROW(-$1)::silent_test.boxed';
SELECT * FROM states();
UPDATE src SET val = val + 3 WHERE id IN (5, 6);
SELECT * FROM states();
DO $$ DECLARE name text; BEGIN FOR name IN SELECT s.name FROM silent_test.states() s LOOP PERFORM silent_test.refresh(name); END LOOP; END $$;
UPDATE src SET val = val + 3 WHERE id IN (7, 8);
SELECT * FROM states();
CREATE FUNCTION step_2(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + 2 * $2';
CREATE OR REPLACE AGGREGATE total (int) (SFUNC = step_2, STYPE = int);
SELECT * FROM state('st_aggregate');
SELECT * FROM refresh('st_aggregate');
CREATE FUNCTION near_f(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT abs($1 - $2) < 30';
CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = near_f);
CREATE TABLE st_near USING pgstream AS SELECT id FROM src WHERE val ~~~ 50;
ALTER OPERATOR ~~~ (int, int) SET (RESTRICT = neqsel);
SELECT * FROM state('st_near');
SELECT * FROM refresh('st_near');
DROP TABLE st_outer, st_default, st_operator, st_aggregate, st_cast, st_near;

-- A view replaced: another expression, a further column, another table, which is then captured; a view over it; its rule.
CREATE TABLE other (id int, grp int, val int);
INSERT INTO other VALUES (1, 1, 1), (2, 2, 2);
CREATE VIEW v AS SELECT id, val FROM src WHERE grp = 1;
CREATE VIEW over_v AS SELECT id, val + 1 AS val FROM v;
CREATE TABLE st_view USING pgstream AS SELECT * FROM v;
CREATE TABLE st_over USING pgstream AS SELECT * FROM over_v;
SELECT * FROM states();
CREATE OR REPLACE VIEW v AS SELECT id, val FROM src WHERE grp = 2;
SELECT * FROM states();
SELECT * FROM refresh('st_view');
CREATE OR REPLACE VIEW v AS SELECT id, val, grp FROM other;
SELECT * FROM states();
INSERT INTO other VALUES (3, 3, 3);
INSERT INTO src VALUES (16, 2, 160, 'x');
SELECT * FROM states();
SELECT * FROM refresh('st_view');
SELECT * FROM refresh('st_over');
INSERT INTO other VALUES (4, 4, 4);
SELECT * FROM states();
SELECT pgs_relid, source_relid, columns FROM pgstream.pgs_dependencies WHERE pgs_relid IN ('st_view'::regclass, 'st_over'::regclass) ORDER BY 1, 2;
CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO v DO INSTEAD SELECT id, val, grp FROM other WHERE id > 1;
SELECT * FROM states();
SELECT * FROM refresh('st_view');
ALTER VIEW v SET (security_invoker = true);
SELECT * FROM states();
BEGIN;
CREATE OR REPLACE VIEW v AS SELECT id, val, grp FROM src;
SELECT * FROM states();
ROLLBACK;
SELECT * FROM states();
DROP TABLE st_view, st_over;

-- Whole rows of a view after its columns were renamed.
CREATE TABLE st_view_row USING pgstream AS SELECT row_to_json(over_v)::text AS j FROM over_v;
SELECT *, (SELECT min(j) FROM st_view_row) FROM state('st_view_row');
ALTER VIEW over_v RENAME COLUMN val TO renamed;
SELECT *, (SELECT min(j) FROM st_view_row) FROM state('st_view_row');
SELECT * FROM refresh('st_view_row');
DROP TABLE st_view_row;

-- A rule on the source.
CREATE RULE also AS ON INSERT TO other WHERE NEW.val < 0 DO INSTEAD UPDATE other SET val = val - NEW.val;
CREATE TABLE st_rule USING pgstream AS SELECT id, val FROM other;
INSERT INTO other VALUES (5, 5, -5), (6, 6, 6);
SELECT * FROM state('st_rule');
ALTER TABLE other DISABLE RULE also;
SELECT * FROM state('st_rule');
DROP TABLE st_rule;

-- Enum labels: renamed, added in between.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE moody (id int, m mood);
INSERT INTO moody VALUES (1, 'sad'), (2, 'ok'), (3, 'happy');
CREATE TABLE st_enum USING pgstream AS SELECT id, m::text AS m, enum_range(m) AS range, m AS value FROM moody;
CREATE TABLE st_enum_group USING pgstream AS SELECT m::text AS m, count(*) FROM moody GROUP BY m::text;
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
SELECT * FROM states();
SELECT * FROM refresh('st_enum');
SELECT * FROM refresh('st_enum_group');
ALTER TYPE mood ADD VALUE 'fine' AFTER 'ok';
SELECT * FROM states();
INSERT INTO moody VALUES (4, 'fine');
SELECT * FROM states();
SELECT * FROM refresh('st_enum');
SELECT * FROM refresh('st_enum_group');
-- The cast to json of a type, which json functions find by themselves.
CREATE TABLE st_json USING pgstream AS SELECT id, to_json(m)::text AS j FROM moody;
SELECT * FROM state('st_json');
CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE sql STABLE AS $$ SELECT json_build_object('mood', $1::text) $$;
CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood);
SELECT * FROM state('st_json');
DROP CAST (mood AS json);
SELECT * FROM state('st_json');
SELECT * FROM refresh('st_json');
DROP TABLE st_enum, st_enum_group, st_json;

-- Attributes of a composite type, columns of a table whose row type is used, in json above all.
CREATE TYPE pair AS (a int, b text);
CREATE TABLE part (x int, y int);
CREATE TABLE holder (id int, p pair, ps pair[], r part);
INSERT INTO holder VALUES (1, ROW(1, 'one'), ARRAY[ROW(2, 'two')]::pair[], ROW(3, 4));
CREATE TABLE st_pair USING pgstream AS SELECT id, p::text AS t, row_to_json(p)::text AS j, to_jsonb(ps)::text AS js, p AS value FROM holder;
CREATE TABLE st_part USING pgstream AS SELECT id, r::text AS t, to_json(r)::text AS j FROM holder;
SELECT * FROM states();
ALTER TYPE pair ADD ATTRIBUTE c date;
SELECT * FROM state('st_pair');
SELECT * FROM refresh('st_pair');
ALTER TYPE pair RENAME ATTRIBUTE a TO renamed;
SELECT * FROM state('st_pair');
SELECT * FROM refresh('st_pair');
ALTER TYPE pair DROP ATTRIBUTE b;
SELECT * FROM state('st_pair');
SELECT * FROM refresh('st_pair');
ALTER TABLE part RENAME COLUMN x TO z;
SELECT * FROM state('st_part');
SELECT * FROM refresh('st_part');
ALTER TABLE part ADD COLUMN w int;
SELECT * FROM state('st_part');
SELECT * FROM refresh('st_part');
ALTER TABLE part DROP COLUMN y;
SELECT * FROM state('st_part');
SELECT * FROM refresh('st_part');
DROP TABLE st_pair, st_part;

-- Whole rows of a source after ADD, RENAME and DROP COLUMN.
CREATE TABLE wide (id int, a int, b int);
INSERT INTO wide VALUES (1, 2, 3);
CREATE TABLE st_wide USING pgstream AS SELECT w::text AS w, row_to_json(w)::text AS j FROM wide w;
SELECT * FROM st_wide;
ALTER TABLE wide ADD COLUMN c int DEFAULT 9;
SELECT * FROM st_wide;
ALTER TABLE wide RENAME COLUMN a TO renamed;
SELECT * FROM st_wide;
ALTER TABLE wide DROP COLUMN b;
SELECT * FROM st_wide;
SELECT * FROM state('st_wide');
SELECT * FROM refresh('st_wide');
DROP TABLE st_wide;

-- A domain's constraint.
CREATE DOMAIN small AS int CHECK (VALUE < 1000);
CREATE TABLE st_domain USING pgstream AS SELECT id, val::small AS v FROM src;
ALTER DOMAIN small ADD CONSTRAINT positive CHECK (VALUE > -1000);
SELECT * FROM state('st_domain');
SELECT * FROM refresh('st_domain');
ALTER DOMAIN small DROP CONSTRAINT small_check;
UPDATE src SET val = 5000 WHERE id = 1;
SELECT * FROM state('st_domain');
SELECT * FROM refresh('st_domain');
DROP TABLE st_domain;

-- Text search: a configuration that is named, that of the session, a dictionary.
CREATE TEXT SEARCH DICTIONARY words (TEMPLATE = simple, ACCEPT = true);
CREATE TEXT SEARCH CONFIGURATION conf (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR asciiword WITH words;
SET default_text_search_config = 'silent_test.conf';
CREATE TABLE st_named USING pgstream AS SELECT id, to_tsvector('silent_test.conf', t)::text AS v FROM src;
CREATE TABLE st_session USING pgstream AS SELECT id, to_tsvector(t)::text AS v FROM src;
SELECT * FROM states();
ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR asciiword WITH english_stem;
SELECT * FROM states();
SELECT * FROM refresh('st_named');
SELECT * FROM refresh('st_session');
ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR asciiword WITH words, simple;
SELECT * FROM refresh('st_named');
SELECT * FROM refresh('st_session');
ALTER TEXT SEARCH DICTIONARY words (ACCEPT = false, STOPWORDS = english);
SELECT * FROM states();
DROP TABLE st_named, st_session;
RESET default_text_search_config;

-- A new way to compute a generated column (from 17 on; before, the column's base is written instead).
CREATE TABLE generated (id int, a int, g int GENERATED ALWAYS AS (a * 2) STORED);
INSERT INTO generated VALUES (1, 1), (2, 2);
CREATE TABLE st_generated USING pgstream AS SELECT id, g FROM generated;
DO $$ BEGIN
  IF current_setting('server_version_num')::int >= 170000 THEN EXECUTE 'ALTER TABLE generated ALTER COLUMN g SET EXPRESSION AS (a * 3)';
  ELSE UPDATE generated SET a = a * 3; END IF; END $$;
SELECT rows, differing FROM state('st_generated');
INSERT INTO generated VALUES (3, 3);
SELECT rows, differing FROM state('st_generated');
SELECT * FROM refresh('st_generated');
DROP TABLE st_generated;

-- Triggers: what is written while they are disabled is in no log.
CREATE TABLE st_trigger USING pgstream AS SELECT grp, sum(val) FROM src GROUP BY grp;
ALTER TABLE src DISABLE TRIGGER ALL;
UPDATE src SET val = val + 7;
SELECT * FROM state('st_trigger');
ALTER TABLE src ENABLE TRIGGER ALL;
UPDATE src SET val = val + 1 WHERE grp = 1;
SELECT * FROM state('st_trigger');
SELECT * FROM refresh('st_trigger');
UPDATE src SET val = val + 1 WHERE grp = 2;
SELECT * FROM state('st_trigger');
BEGIN;
ALTER TABLE src DISABLE TRIGGER ALL;
DELETE FROM src WHERE id = 9;
ALTER TABLE src ENABLE TRIGGER ALL;
SELECT * FROM state('st_trigger');
SELECT * FROM refresh('st_trigger');
COMMIT;
UPDATE src SET val = val + 1 WHERE grp = 3;
SELECT * FROM state('st_trigger');
DROP TABLE st_trigger;

-- What rewrites a source: unlogged and back, a column that no stream table uses.
CREATE TABLE st_rewrite USING pgstream AS SELECT id, grp FROM src;
ALTER TABLE src ALTER COLUMN t TYPE varchar(100);
SELECT * FROM state('st_rewrite');
ALTER TABLE src SET UNLOGGED;
INSERT INTO src VALUES (20, 1, 1, 'x');
SELECT * FROM state('st_rewrite');
SELECT * FROM refresh('st_rewrite');
ALTER TABLE src SET LOGGED;
INSERT INTO src VALUES (21, 1, 1, 'x');
SELECT * FROM state('st_rewrite');
SELECT * FROM refresh('st_rewrite');
INSERT INTO src VALUES (22, 1, 1, 'x');
SELECT * FROM state('st_rewrite');
DROP TABLE st_rewrite;

-- COPY FREEZE.
CREATE TABLE frozen (id int);
INSERT INTO frozen VALUES (1);
CREATE TABLE st_frozen USING pgstream AS SELECT id FROM frozen;
BEGIN;
TRUNCATE frozen;
COPY frozen FROM stdin (FREEZE);
2
3
\.
SELECT * FROM state('st_frozen');
COMMIT;
SELECT * FROM state('st_frozen');
SELECT * FROM refresh('st_frozen');
INSERT INTO frozen VALUES (4);
SELECT * FROM state('st_frozen');
DROP TABLE st_frozen;

-- Row security: enabled, forced, disabled; policies made, changed, dropped; what a policy reads. As a role whom it binds.
CREATE ROLE regress_silent;
GRANT USAGE, CREATE ON SCHEMA silent_test TO regress_silent;
GRANT SELECT ON ALL TABLES IN SCHEMA silent_test TO regress_silent;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA silent_test TO regress_silent;
CREATE TABLE allowed (grp int);
GRANT SELECT ON allowed TO regress_silent;
INSERT INTO allowed VALUES (1), (2);
SET ROLE regress_silent;
CREATE TABLE st_secured USING pgstream AS SELECT id, grp FROM src;
RESET ROLE;
CREATE FUNCTION as_owner() RETURNS TABLE (strategy text, rebuilt boolean, rows bigint, differing bigint) LANGUAGE plpgsql AS
  $$ BEGIN SET LOCAL ROLE regress_silent; RETURN QUERY SELECT * FROM silent_test.state('st_secured'); RESET ROLE; END $$;
SELECT * FROM as_owner();
CREATE POLICY some_rows ON src USING (grp = 1);
ALTER TABLE src ENABLE ROW LEVEL SECURITY;
SELECT * FROM as_owner();
ALTER POLICY some_rows ON src USING (grp IN (SELECT grp FROM allowed));
SELECT * FROM as_owner();
INSERT INTO allowed VALUES (3);
SELECT * FROM as_owner();
CREATE POLICY more_rows ON src USING (id = 4);
SELECT * FROM as_owner();
SELECT pgstream.refresh_stream_table('st_secured');
DROP POLICY some_rows ON src;
SELECT * FROM as_owner();
ALTER TABLE src FORCE ROW LEVEL SECURITY;
SELECT * FROM as_owner();
ALTER TABLE src NO FORCE ROW LEVEL SECURITY;
ALTER TABLE src DISABLE ROW LEVEL SECURITY;
SELECT * FROM as_owner();
INSERT INTO src VALUES (30, 1, 1, 'x');
SELECT * FROM as_owner();
SELECT pgstream.refresh_stream_table('st_secured');
INSERT INTO src VALUES (31, 1, 1, 'x');
SELECT * FROM as_owner();
-- A table made while the source is secured does not capture it; another one's log is not mistaken for its own.
DROP TABLE st_secured;
ALTER TABLE src ENABLE ROW LEVEL SECURITY;
CREATE TABLE st_uncaptured USING pgstream AS SELECT id, grp FROM src;
ALTER TABLE src DISABLE ROW LEVEL SECURITY;
SELECT * FROM state('st_uncaptured');
INSERT INTO src VALUES (32, 1, 1, 'x');
SELECT * FROM state('st_uncaptured');
SELECT * FROM refresh('st_uncaptured');
INSERT INTO src VALUES (33, 1, 1, 'x');
SELECT * FROM state('st_uncaptured');
DROP TABLE st_uncaptured;

-- A FULL table holds its last result, whatever happens to the query.
CREATE TABLE st_full USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, f(val) AS v FROM src WHERE id = 3;
TABLE st_full;
CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 0';
TABLE st_full;
SELECT pgstream.refresh_stream_table('st_full');
TABLE st_full;

DROP SCHEMA silent_test CASCADE;
DROP ROLE regress_silent;
