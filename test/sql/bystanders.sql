-- Names in pg_temp that shadow those of sources, catalogs, functions, operators and types, put there by reader, owner and superuser;
-- what monitoring shows to who may not read; definitions with settings that this server does not take.
CREATE SCHEMA bystanders;
SET search_path = bystanders, public;
SET client_min_messages = error;
CREATE ROLE regress_by_owner;
CREATE ROLE regress_by_reader;
CREATE ROLE regress_by_nobody;
GRANT ALL ON SCHEMA bystanders TO regress_by_owner, regress_by_reader;
GRANT USAGE ON SCHEMA bystanders TO regress_by_nobody;
SET ROLE regress_by_owner;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, txt text);
INSERT INTO src SELECT i, i % 3, i, 'hidden ' || i FROM generate_series(1, 30) i;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 * 2; END $$;
CREATE TABLE picks USING pgstream AS SELECT id, twice(grp) AS grp, val + 1 AS val FROM src WHERE id > 3;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS s, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE windowed USING pgstream AS SELECT grp, id, rank() OVER (PARTITION BY grp ORDER BY val) AS r FROM src;
CREATE TABLE joined USING pgstream AS SELECT a.id, b.val FROM src a JOIN src b ON a.id = b.grp;
GRANT SELECT ON picks, sums, windowed, joined TO regress_by_reader;
RESET ROLE;
CREATE FUNCTION shadow() RETURNS void LANGUAGE sql AS $$
  CREATE TEMP TABLE src (id int, grp int, val numeric, txt text);
  CREATE TEMP TABLE pgs_stream (pgs_relid oid, pgs_id bigint, refresh_mode text, schedule text, status text, version int, last_refresh_at timestamptz, consecutive_errors int, settings text[]);
  CREATE TEMP TABLE pgs_frontier (pgs_relid oid);
  CREATE TEMP TABLE pgs_dependency (pgs_relid oid);
  CREATE TEMP TABLE pgs_log (source_relid oid);
  CREATE TEMP TABLE pgs_refresh_history (refresh_id bigint);
  CREATE TEMP TABLE pg_class (oid oid, relname name);
  CREATE TEMP TABLE pg_rewrite (oid oid);
  CREATE TEMP TABLE picks (id int);
  CREATE DOMAIN pg_temp.int4 AS pg_catalog.text;
  CREATE DOMAIN pg_temp."numeric" AS pg_catalog.text;
  CREATE FUNCTION pg_temp.twice(pg_catalog.int4) RETURNS pg_catalog.int4 LANGUAGE sql IMMUTABLE RETURN 0;
  CREATE FUNCTION pg_temp.image_hash(VARIADIC pg_catalog.int4[]) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN 0;
  CREATE FUNCTION pg_temp.never(pg_catalog.int4, pg_catalog.int4) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN false;
  CREATE FUNCTION pg_temp.nothing(pg_catalog."numeric", pg_catalog."numeric") RETURNS pg_catalog."numeric" LANGUAGE sql IMMUTABLE RETURN NULL::pg_catalog."numeric";
  CREATE OPERATOR pg_temp.= (LEFTARG = pg_catalog.int4, RIGHTARG = pg_catalog.int4, FUNCTION = pg_temp.never);
  CREATE OPERATOR pg_temp.> (LEFTARG = pg_catalog.int4, RIGHTARG = pg_catalog.int4, FUNCTION = pg_temp.never);
  CREATE OPERATOR pg_temp.+ (LEFTARG = pg_catalog."numeric", RIGHTARG = pg_catalog."numeric", FUNCTION = pg_temp.nothing);
  CREATE AGGREGATE pg_temp.sum(pg_catalog."numeric") (SFUNC = pg_temp.nothing, STYPE = pg_catalog."numeric") $$;
-- What they should be, from here, where nothing is shadowed.
SELECT md5(string_agg(r::text, ' ' ORDER BY r::text COLLATE "C")) AS expected FROM (
  SELECT 'picks' || q::text AS r FROM (SELECT id, twice(grp), val + 1 FROM src WHERE id > 3 UNION ALL SELECT i, twice(i % 3), i + 1 FROM generate_series(100, 110) i) q
  UNION ALL SELECT 'sums' || q::text FROM (SELECT grp, sum(val), count(*) FROM (SELECT grp, val FROM src UNION ALL SELECT i % 3, i FROM generate_series(100, 110) i) u GROUP BY grp) q
  UNION ALL SELECT 'windowed' || q::text FROM (SELECT grp, id, rank() OVER (PARTITION BY grp ORDER BY val) FROM (SELECT id, grp, val FROM src UNION ALL SELECT i, i % 3, i FROM generate_series(100, 110) i) u) q
  UNION ALL SELECT 'joined' || q::text FROM (SELECT a.id, b.val FROM src a JOIN (SELECT grp, val FROM src UNION ALL SELECT i % 3, i FROM generate_series(100, 110) i) b ON a.id = b.grp) q) x \gset
INSERT INTO src SELECT i, i % 3, i, 'hidden ' || i FROM generate_series(100, 110) i;
SELECT $$SELECT pg_catalog.md5(pg_catalog.string_agg(r::pg_catalog.text, ' ' ORDER BY r::pg_catalog.text COLLATE "C")) AS got FROM (
  SELECT 'picks' || q::pg_catalog.text AS r FROM bystanders.picks q UNION ALL SELECT 'sums' || q::pg_catalog.text FROM bystanders.sums q
  UNION ALL SELECT 'windowed' || q::pg_catalog.text FROM bystanders.windowed q UNION ALL SELECT 'joined' || q::pg_catalog.text FROM bystanders.joined q) x$$ AS content \gset
-- The reader
\c -
SET client_min_messages = error;
SET ROLE regress_by_reader;
SELECT bystanders.shadow();
SET search_path = pg_temp, pg_catalog, bystanders;
:content \gset
SELECT :'got' OPERATOR(pg_catalog.=) :'expected' AS reader;
-- The superuser reads and refreshes.
\c -
SET client_min_messages = error;
SELECT bystanders.shadow();
SET search_path = pg_temp, pg_catalog, bystanders;
:content \gset
SELECT :'got' OPERATOR(pg_catalog.=) :'expected' AS superuser;
SELECT pgstream.refresh_stream_table('bystanders.picks'), pgstream.refresh_stream_table('bystanders.windowed');
:content \gset
SELECT :'got' OPERATOR(pg_catalog.=) :'expected' AS "superuser, refreshed";
SELECT pgs_name, is_populated FROM pgstream.pgs_stream_tables WHERE pgs_schema OPERATOR(pg_catalog.=) 'bystanders' ORDER BY pgs_id;
-- The owner refreshes the others, and creates one more, of the table that his search path finds first: which is refused.
\c -
SET client_min_messages = error;
SET ROLE regress_by_owner;
SELECT bystanders.shadow();
SET search_path = pg_temp, pg_catalog, bystanders;
SELECT pgstream.refresh_stream_table('bystanders.sums'), pgstream.refresh_stream_table('bystanders.joined');
CREATE TABLE bystanders.shadowed USING pgstream AS SELECT id FROM src;
:content \gset
SELECT :'got' OPERATOR(pg_catalog.=) :'expected' AS "owner, refreshed";
\c -
SET search_path = bystanders, public;
SELECT stream, differences(stream) FROM unnest('{picks,sums,windowed,joined}'::regclass[]) stream;
-- Who may read nothing sees names, queries and counts, as of views, and no value.
INSERT INTO src VALUES (200, 1, 1, 'hidden 200');
SET ROLE regress_by_owner;
SET client_min_messages = error;
CREATE TABLE casts USING pgstream AS SELECT id, txt::int AS v FROM src WHERE id > 1000;
INSERT INTO src VALUES (2000, 1, 1, 'hidden 2000');
SELECT pgstream.refresh_stream_table('casts');
RESET ROLE;
SET ROLE regress_by_nobody;
SELECT * FROM picks;
SELECT pgstream.verify('picks');
SELECT pgstream.refresh_stream_table('picks');
SELECT s::text LIKE '%hidden%' AS shown, count(*) > 0 AS "rows" FROM (
  SELECT t::text FROM pgstream.pg_stat_stream_tables t UNION ALL SELECT t::text FROM pgstream.stream_tables_info t
  UNION ALL SELECT t::text FROM pgstream.pgs_stream_tables t UNION ALL SELECT t::text FROM pgstream.pgs_dependencies t
  UNION ALL SELECT t::text FROM pgstream.pgs_refreshes t UNION ALL SELECT t::text FROM pgstream.pg_stat_progress_refresh t
  UNION ALL SELECT t::text FROM pgstream.check_cdc_health() t UNION ALL SELECT t::text FROM pgstream.pgs_status() t
  UNION ALL SELECT t::text FROM pgstream.failed_refreshes() t UNION ALL SELECT t::text FROM pgstream.refresh_progress() t
  UNION ALL SELECT t::text FROM pgstream.explain_st('casts') t UNION ALL SELECT t::text FROM pgstream.get_refresh_history('casts') t
  UNION ALL SELECT pgstream.get_staleness('casts')::text) s(s) GROUP BY 1;
SELECT action, status, error_message FROM pgstream.get_refresh_history('casts') WHERE status = 'FAILED';
SELECT last_status, last_error FROM pgstream.pg_stat_stream_tables WHERE pgs_name = 'casts';
SET ROLE regress_by_owner;
SELECT status, error_message FROM pgstream.get_refresh_history('casts') WHERE status = 'FAILED';
-- The error of the query reaches who may read, as a view's does.
GRANT SELECT ON casts TO regress_by_reader;
CREATE VIEW casting AS SELECT id, txt::int AS v FROM src WHERE id > 1000;
GRANT SELECT ON casting TO regress_by_reader;
SET ROLE regress_by_reader;
SELECT * FROM casts;
SELECT * FROM casting;
RESET ROLE;
-- A dump from a machine with another locale: an error that names it, where the query depends on settings at all.
SET default_table_access_method = pgstream;
CREATE TABLE months (id int, m text);
CREATE TABLE other (id int);
RESET default_table_access_method;
CREATE RULE pgstream_query AS ON INSERT TO months WHERE pgstream.stream_options(VARIADIC '{refresh_mode=DIFFERENTIAL,schedule=1m,lc_time=xx_XX.UTF-8}')
  DO INSTEAD SELECT id, to_char('2026-02-01'::timestamptz + id * interval '1 day', 'TMMon') AS m FROM src;
ALTER TABLE months DISABLE RULE pgstream_query;
CREATE RULE pgstream_query AS ON INSERT TO other WHERE pgstream.stream_options(VARIADIC '{refresh_mode=DIFFERENTIAL,schedule=1m,lc_time=xx_XX.UTF-8}')
  DO INSTEAD SELECT id FROM src;
ALTER TABLE other DISABLE RULE pgstream_query;
SELECT count(*) FROM months;
SELECT pgstream.refresh_stream_table('months');
EXPLAIN (COSTS OFF) SELECT * FROM months;
SELECT value FROM pgstream.explain_st('months') WHERE property = 'settings';
VACUUM ANALYZE months;
SELECT count(*) = (SELECT count(*) FROM src) AS all FROM other;
SELECT pgstream.refresh_stream_table('other');
SELECT count(*) = (SELECT count(*) FROM src) AS all FROM other;
DROP TABLE months;
RESET search_path;
SET client_min_messages = error;
DROP SCHEMA bystanders CASCADE;
DROP ROLE regress_by_owner, regress_by_reader, regress_by_nobody;
