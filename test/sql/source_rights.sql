-- What the owner of a stream table must hold on its sources, and what happens when it goes: as for a materialized view, and no
-- change is lost.
CREATE SCHEMA rights;
SET search_path = rights, public;
SET client_min_messages = warning;
CREATE ROLE rights_owner;
CREATE ROLE rights_reader;
CREATE ROLE rights_group;
GRANT ALL ON SCHEMA rights TO rights_owner;
GRANT USAGE ON SCHEMA rights TO rights_reader;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, secret text);
INSERT INTO src SELECT i, i % 3, i, 'secret ' || i FROM generate_series(1, 20) i;
CREATE TABLE other (id int PRIMARY KEY, val numeric);
INSERT INTO other SELECT i, i FROM generate_series(1, 5) i;
CREATE FUNCTION captured(source regclass) RETURNS boolean LANGUAGE sql AS $$
  SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = source) OR EXISTS (SELECT FROM pgstream.pgs_log WHERE source_relid = source) $$;
CREATE FUNCTION exact(stream regclass) RETURNS boolean LANGUAGE sql AS $$ SELECT missing + surplus = 0 FROM public.differences(stream) $$;

-- A source that its creator may not read is not touched, with data or without.
SET ROLE rights_owner;
CREATE TABLE peek USING pgstream AS SELECT id, val FROM src;
CREATE TABLE peek USING pgstream AS SELECT id, val FROM src WITH NO DATA;
SELECT pgstream.create_stream_table('peek', 'SELECT id FROM rights.src', initialize => false);
SELECT pgstream.create_or_replace_stream_table('peek', 'SELECT id FROM rights.src', initialize => false);
SELECT pgstream.create_stream_table('full_peek', 'SELECT id FROM rights.src', refresh_mode => 'FULL', initialize => false);
SELECT pgstream.refresh_stream_table('full_peek');
SELECT pgstream.alter_stream_table('full_peek', refresh_mode => 'DIFFERENTIAL');
RESET ROLE;
SELECT captured('src');
GRANT SELECT ON other TO rights_owner;
SET ROLE rights_owner;
CREATE TABLE moves USING pgstream AS SELECT id FROM other WITH NO DATA;
SELECT pgstream.alter_stream_table('moves', query => 'SELECT id FROM rights.src');
RESET ROLE;
SELECT captured('src');
SELECT * FROM pgstream.defining_query('moves');
DROP TABLE moves, full_peek;

-- pgstream.source_privilege asks for more; by default it does not.
GRANT SELECT ON src TO rights_owner;
SHOW pgstream.source_privilege;
SET ROLE rights_owner;
SET pgstream.source_privilege = 'owner';
CREATE TABLE before USING pgstream AS SELECT id, val FROM src;
RESET ROLE;
SET pgstream.source_privilege = 'trigger';
SET ROLE rights_owner;
CREATE TABLE asked USING pgstream AS SELECT id, val FROM src;
CREATE TABLE asked USING pgstream AS SELECT id, val FROM src WITH NO DATA;
CREATE TABLE asked USING pgstream AS SELECT s.id FROM src s JOIN other o USING (id);
SELECT pgstream.alter_stream_table('before', query => 'SELECT id, val FROM rights.src WHERE id > 0');
-- Where nothing is captured nothing more is asked for.
CREATE TABLE full_asked USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, val FROM src;
CREATE TABLE own (id int);
CREATE TABLE over_own USING pgstream AS SELECT id FROM own;
DROP TABLE full_asked, over_own, own;
-- What is captured already goes on.
SELECT pgstream.refresh_stream_table('before');
RESET ROLE;
INSERT INTO src VALUES (21, 0, 21, 's');
SELECT exact('before');
GRANT TRIGGER ON src TO rights_owner;
SET ROLE rights_owner;
CREATE TABLE asked USING pgstream AS SELECT id, val FROM src;
DROP TABLE asked;
RESET ROLE;
SET pgstream.source_privilege = 'owner';
SET ROLE rights_owner;
CREATE TABLE asked USING pgstream AS SELECT id, val FROM src;
RESET ROLE;
-- The rights of the stream table's owner count, not those of who refreshes it.
CREATE TABLE asked USING pgstream AS SELECT id, val FROM src;
DROP TABLE asked;
DROP TRIGGER IF EXISTS none ON src;
SELECT count(*) > 0 AS detached FROM (SELECT 1 FROM pg_trigger WHERE tgrelid = 'src'::regclass) t;
DO $$ DECLARE t name; BEGIN
  FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'rights.src'::regclass LOOP EXECUTE format('DROP TRIGGER %I ON rights.src', t); END LOOP;
END $$;
SELECT pgstream.refresh_stream_table('before');
SELECT exact('before');
RESET pgstream.source_privilege;
SELECT pgstream.refresh_stream_table('before');
SELECT exact('before'), captured('src');
REVOKE TRIGGER ON src FROM rights_owner;
DROP TABLE before;

-- Losing SELECT: while something is pending, reads and refreshes by anybody fail as the query would; what was read before in
-- the same session is not shown on. Nothing is lost.
REVOKE SELECT ON src FROM rights_owner;
REVOKE SELECT ON other FROM rights_owner;
GRANT SELECT ON src, other TO rights_group;
GRANT rights_group TO rights_owner;
SET ROLE rights_owner;
CREATE TABLE as_rows USING pgstream AS SELECT id, val FROM src;
CREATE TABLE as_groups USING pgstream AS SELECT grp, sum(val) AS total, max(val) AS top FROM src GROUP BY grp;
CREATE TABLE as_keys USING pgstream AS SELECT id, grp, rank() OVER (PARTITION BY grp ORDER BY val) AS place FROM src;
CREATE TABLE as_query USING pgstream AS SELECT s.id, o.val FROM src s JOIN other o USING (id);
CREATE TABLE as_full USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, val FROM src;
CREATE MATERIALIZED VIEW as_matview AS SELECT id, val FROM src;
-- Its warnings, of what is another's, come in no order.
SET client_min_messages = error;
GRANT SELECT ON ALL TABLES IN SCHEMA rights TO rights_reader;
SET client_min_messages = warning;
RESET ROLE;
INSERT INTO src VALUES (31, 1, 31, 's');
-- Found out by the message that the materialized view's refresh gives.
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE FUNCTION attempts(OUT stream text, OUT reads text, OUT reader_reads text, OUT refresh text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
  FOREACH stream IN ARRAY ARRAY['as_rows', 'as_groups', 'as_keys', 'as_query', 'as_full'] LOOP
    reads := rights.attempt('SELECT * FROM rights.' || stream);
    SET LOCAL ROLE rights_reader;
    reader_reads := rights.attempt('SELECT * FROM rights.' || stream);
    RESET ROLE;
    refresh := rights.attempt(format('SELECT pgstream.refresh_stream_table(%L)', 'rights.' || stream));
    RETURN NEXT;
  END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION attempt(text) TO PUBLIC;
SELECT count(*) FROM as_rows;
SELECT count(*) FROM as_groups;
REVOKE rights_group FROM rights_owner;
SELECT attempt('REFRESH MATERIALIZED VIEW rights.as_matview');
SELECT * FROM attempts();
UPDATE src SET val = val + 1 WHERE id % 4 = 0;
DELETE FROM src WHERE id = 5;
INSERT INTO other VALUES (6, 6);
SELECT * FROM attempts();
GRANT rights_group TO rights_owner;
SELECT c.relname, exact(c.oid), (pgstream.pending_changes(c.oid)).changes FROM pg_class c
 WHERE relnamespace = 'rights'::regnamespace AND relname IN ('as_rows', 'as_groups', 'as_keys', 'as_query') ORDER BY 1;
SELECT * FROM attempts();
SELECT c.relname, exact(c.oid) FROM pg_class c WHERE relnamespace = 'rights'::regnamespace AND relname LIKE 'as\_%' AND relkind = 'r' ORDER BY 1;
-- With nothing pending nothing is evaluated: the content is as of what was permitted. A refresh runs the query's checks anyway.
REVOKE rights_group FROM rights_owner;
SELECT * FROM attempts();
GRANT rights_group TO rights_owner;

-- A function or an aggregate that the owner may not call any more.
CREATE FUNCTION twice(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN $1 * 2;
CREATE AGGREGATE total(numeric) (SFUNC = numeric_add, STYPE = numeric, MSFUNC = numeric_add, MINVFUNC = numeric_sub, MSTYPE = numeric);
SET ROLE rights_owner;
CREATE TABLE doubled USING pgstream AS SELECT id, twice(val) AS val FROM src;
CREATE TABLE totals USING pgstream AS SELECT grp, sum(val) AS total, total(val) AS total2 FROM src GROUP BY grp;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total FROM src GROUP BY grp;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION twice(numeric) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION total(numeric) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION sum(numeric) FROM PUBLIC;
INSERT INTO src VALUES (40, 1, 40, 's');
SELECT attempt('SELECT * FROM rights.doubled'), attempt('SELECT * FROM rights.totals'), attempt('SELECT * FROM rights.sums');
GRANT EXECUTE ON FUNCTION twice(numeric), total(numeric), sum(numeric) TO PUBLIC;
SELECT exact('doubled'), exact('totals'), exact('sums');
DROP TABLE doubled, totals, sums;

-- Privileges on columns alone, also below a view of somebody else's.
REVOKE rights_group FROM rights_owner;
CREATE VIEW shown AS SELECT id, grp, val FROM src WHERE grp < 2;
GRANT SELECT (id, val) ON src TO rights_owner;
GRANT SELECT (id, grp, val) ON shown TO rights_owner;
DROP TABLE as_rows, as_groups, as_keys, as_query, as_full;
DROP MATERIALIZED VIEW as_matview;
SET ROLE rights_owner;
CREATE TABLE by_column USING pgstream AS SELECT id, val FROM src;
CREATE TABLE by_view USING pgstream AS SELECT grp, sum(val) AS total FROM shown GROUP BY grp;
CREATE TABLE not_permitted USING pgstream AS SELECT id, secret FROM src;
CREATE TABLE not_permitted USING pgstream AS SELECT id FROM src WHERE grp = 1;
CREATE TABLE not_permitted USING pgstream AS SELECT val, count(*) FROM src GROUP BY val HAVING max(secret) > '';
CREATE TABLE counted USING pgstream AS SELECT count(*) AS n FROM src;
RESET ROLE;
INSERT INTO src VALUES (50, 1, 50, 's'), (51, 2, 51, 's');
SELECT exact('by_column'), exact('by_view'), exact('counted');
REVOKE SELECT (val) ON src FROM rights_owner;
REVOKE SELECT (grp) ON shown FROM rights_owner;
SELECT attempt('SELECT * FROM rights.by_column'), attempt('SELECT * FROM rights.by_view'), attempt('SELECT * FROM rights.counted');
-- The view's owner counts for what is below the view.
GRANT SELECT (val) ON src TO rights_owner;
GRANT SELECT (grp) ON shown TO rights_owner;
ALTER VIEW shown OWNER TO rights_reader;
SELECT attempt('SELECT * FROM rights.by_column'), attempt('SELECT * FROM rights.by_view');
ALTER VIEW shown OWNER TO CURRENT_USER;
GRANT SELECT (id, grp, val) ON shown TO rights_owner;
SELECT exact('by_column'), exact('by_view'), exact('counted');
ALTER VIEW shown SET (security_invoker = true);
SELECT attempt('SELECT * FROM rights.by_view');
ALTER VIEW shown RESET (security_invoker);
SELECT pgstream.refresh_stream_table('by_column'), pgstream.refresh_stream_table('by_view'), pgstream.refresh_stream_table('counted');
SELECT exact('by_column'), exact('by_view'), exact('counted');
-- A name that is also a temporary table's or one of the system's.
CREATE TEMPORARY TABLE named (id int);
CREATE TABLE named USING pgstream AS SELECT id FROM src;
CREATE TABLE pg_am USING pgstream AS SELECT id FROM src;
SELECT exact('rights.named'), exact('rights.pg_am');
DROP SCHEMA rights CASCADE;
DROP OWNED BY rights_owner, rights_reader, rights_group;
DROP ROLE rights_owner, rights_reader, rights_group;
