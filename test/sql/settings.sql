-- Session settings that a query's functions read belong to the definition: they are those of its creation, whoever reads.
-- Compared is the text that stream tables hold with what their queries give under the recorded settings.
CREATE SCHEMA settings_test;
SET search_path = settings_test, public;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (at timestamptz, f float8);
CREATE TABLE ev (id int PRIMARY KEY, ts timestamptz, lt timestamp, d date, iv interval, f float8, n numeric, b bytea,
                 m money, e mood, c pair, t text);
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql
  SET timezone = 'UTC' SET datestyle = 'ISO, YMD' AS $$
  INSERT INTO ev SELECT i, ts, ts AT TIME ZONE 'UTC' + interval '3 hours', ts::date, make_interval(days => i, mins => i), i / 3.0,
                        i * 1.25, decode(lpad(to_hex(i), 4, '0'), 'hex'), (i * 1.5)::numeric::money,
                        (ARRAY['sad', 'ok', 'happy', NULL])[1 + i % 4]::mood, ROW(ts, i / 7.0)::pair, 'the Foxes ' || i || ' and foxes'
    FROM (SELECT i, timestamptz '2024-03-09 20:30:00+00' + i * interval '5 hours 7 minutes' AS ts
            FROM generate_series(first, last) i) s
$$;
SELECT fill(1, 40);

-- What a reader sees, and what the query gives under the settings of the creation.
CREATE FUNCTION live(name text) RETURNS SETOF text LANGUAGE plpgsql STABLE AS
  $$ BEGIN RETURN QUERY EXECUTE format('SELECT r::text FROM settings_test.%I r', name); END $$;
CREATE FUNCTION due(name text) RETURNS SETOF text LANGUAGE plpgsql STABLE
  SET timezone = 'America/New_York' SET datestyle = 'SQL, DMY' SET intervalstyle = 'sql_standard' SET extra_float_digits = 0
  SET bytea_output = 'escape' SET xmlbinary = 'hex' SET default_text_search_config = 'simple' SET quote_all_identifiers = on AS
  $$ BEGIN RETURN QUERY EXECUTE format('SELECT r::text FROM (%s) r', rtrim(pgstream.defining_query(format('settings_test.%I', name)::regclass), ';')); END $$;
CREATE FUNCTION state() RETURNS TABLE (compared bigint, rows bigint, wrong text) LANGUAGE sql AS $$
  SELECT count(*), sum(rows)::bigint, string_agg(name, ', ' ORDER BY name) FILTER (WHERE differing > 0)
    FROM (SELECT s.pgs_name AS name, (SELECT count(*) FROM live(s.pgs_name)) AS rows,
                 (SELECT count(*) FROM ((SELECT live(s.pgs_name) EXCEPT ALL SELECT due(s.pgs_name)) UNION ALL
                                        (SELECT due(s.pgs_name) EXCEPT ALL SELECT live(s.pgs_name))) x) AS differing
            FROM pgstream.pgs_stream_tables s WHERE s.pgs_schema = 'settings_test') c
$$;
CREATE FUNCTION fold() RETURNS void LANGUAGE plpgsql AS $$
  DECLARE name text; BEGIN
    FOR name IN SELECT pgs_name FROM pgstream.pgs_stream_tables WHERE pgs_schema = 'settings_test' ORDER BY 1 LOOP
      PERFORM pgstream.refresh_stream_table('settings_test.' || quote_ident(name));
    END LOOP; END $$;

-- Created under these.
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = 0;
SET bytea_output = 'escape';
SET xmlbinary = 'hex';
SET default_text_search_config = 'simple';
SET quote_all_identifiers = on;

CREATE TABLE s_cast USING pgstream AS
  SELECT id, ts::text AS ts, lt::text AS lt, d::text AS d, iv::text AS iv, f::text AS f, b::text AS b, m::text AS m FROM ev;
CREATE TABLE s_parts USING pgstream AS
  SELECT date_trunc('day', ts)::text AS day, extract(hour FROM ts) AS hour, date_part('dow', ts) AS dow, ts::date::text AS date,
         ts::time::text AS time, ts::timestamp::text AS local, to_char(ts, 'YYYY-MM-DD HH24:MI TZ') AS formatted FROM ev;
CREATE TABLE s_arithmetic USING pgstream AS
  SELECT id, (ts + interval '1 day')::text AS next, (ts - interval '1 month')::text AS previous, lt::timestamptz::text AS lt,
         d::timestamptz::text AS d, make_timestamptz(2024, 3, id % 28 + 1, 2, 30, 0)::text AS made FROM ev;
CREATE TABLE s_compared USING pgstream AS
  SELECT id FROM ev WHERE ts >= d AND ts < lt AND d < ts + interval '1 day';
CREATE TABLE s_days USING pgstream AS
  SELECT ts::date::text AS day, count(*) AS n, sum(f)::text AS f, max(ts::text) AS latest FROM ev GROUP BY ts::date::text;
CREATE TABLE s_printed USING pgstream AS
  SELECT concat(ts, '/', d) AS a, concat_ws(',', f, iv, e) AS b, format('%s %I %L', ts, t, d) AS c, ts || '' AS d, '' || iv AS e,
         quote_literal(ts) AS f, array_to_string(ARRAY[ts, lt], ',', '-') AS g, ROW(d, f)::text AS h, quote_ident(t) AS i FROM ev;
CREATE TABLE s_json USING pgstream AS
  SELECT to_json(ts)::text AS a, json_build_object('d', d, 'f', f, 'e', e)::text AS b, row_to_json(c)::text AS c, to_jsonb(e)::text AS d,
         json_build_array(VARIADIC ARRAY[ts])::text AS e, row_to_json(ROW(ts, iv))::text AS f FROM ev;
CREATE TABLE s_json_agg USING pgstream AS
  SELECT id % 3 AS k, json_agg(ts ORDER BY id)::text AS a, jsonb_object_agg(id, iv)::text AS b FROM ev GROUP BY id % 3;
CREATE TABLE s_types USING pgstream AS
  SELECT id, e::text AS e, enum_last(e)::text AS last, c::text AS c, ARRAY[c]::text AS cs, tstzrange(ts, NULL)::text AS r, n::money::text AS m FROM ev;
CREATE TABLE s_search USING pgstream AS
  SELECT id, to_tsvector(t)::text AS v FROM ev WHERE t @@ to_tsquery('foxes') AND to_tsvector(t) @@ plainto_tsquery('The');
CREATE TABLE s_xml USING pgstream AS SELECT id, xmlelement(name x, b, ts)::text AS x FROM ev;
CREATE TABLE s_joined USING pgstream AS SELECT a.id, a.ts::text AS a, b.ts::date::text AS b FROM ev a JOIN ev b ON b.id = a.id + 1;

-- All are maintained, and say what they depend on.
SELECT s.pgs_name, max(e.value) FILTER (WHERE e.property = 'strategy') AS strategy,
       max(e.value) FILTER (WHERE e.property = 'reason') AS reason
  FROM pgstream.pgs_stream_tables s, pgstream.explain_st('settings_test.' || s.pgs_name) e
 WHERE s.pgs_schema = 'settings_test' GROUP BY 1 ORDER BY 1;
SELECT setting FROM pgstream.explain_st('s_cast') e, regexp_split_to_table(e.value, ', (?=[A-Za-z_]+ =)') setting
 WHERE e.property = 'settings' AND setting ~ '^(TimeZone|DateStyle|IntervalStyle|extra_float|bytea|xmlb|default_text)';
CREATE TABLE plain USING pgstream AS SELECT id, n FROM ev;
SELECT count(*) FROM pgstream.explain_st('plain') WHERE property = 'settings';
DROP TABLE plain;
SELECT * FROM state();

-- Another session's settings: nothing pending, pending, folded under them.
SET timezone = 'Asia/Kolkata';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'iso_8601';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET xmlbinary = 'base64';
SET default_text_search_config = 'english';
SET quote_all_identifiers = off;
SELECT * FROM state();
SELECT fill(41, 60);
UPDATE ev SET ts = ts + interval '17 hours', lt = lt - interval '1 day', f = f / 3, iv = iv * 2, b = b || '\x00' WHERE id % 3 = 0;
DELETE FROM ev WHERE id % 5 = 0;
SELECT * FROM state();
SELECT fold();
SELECT * FROM state();
SHOW timezone; SHOW datestyle; SHOW intervalstyle;

-- By a prepared statement, in a function's SET clause, in a worker, within a transaction, after a rollback.
PREPARE days AS SELECT day, n FROM s_days ORDER BY n DESC, day LIMIT 2;
EXECUTE days;
SET timezone = 'UTC';
UPDATE ev SET ts = ts + interval '1 hour' WHERE id < 20;
EXECUTE days;
SELECT * FROM state();
CREATE FUNCTION count_in_tokyo() RETURNS bigint LANGUAGE sql SET timezone = 'Asia/Tokyo' SET datestyle = 'German'
  RETURN (SELECT count(*) FROM (SELECT live('s_days') INTERSECT ALL SELECT due('s_days')) x);
SELECT count_in_tokyo() = (SELECT count(*) FROM s_days) AS same_in_tokyo;
BEGIN;
SET LOCAL timezone = 'Australia/Sydney';
INSERT INTO ev (id, ts, d, t) VALUES (100, '2024-05-01 00:30', '2024-05-01', 'the foxes');
SELECT ts FROM s_cast WHERE id = 100;
SELECT * FROM state();
ROLLBACK;
SELECT * FROM state();
BEGIN;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL parallel_leader_participation = off;
SET LOCAL timezone = 'Pacific/Apia';
UPDATE ev SET ts = ts + interval '5 hours' WHERE id % 7 = 0;
SELECT sum(hashtext(p::text)::bigint) AS by_workers, count(*) AS rows FROM s_parts p \gset
SELECT sum(hashtext(r)::bigint) = :by_workers AS same_by_workers, count(*) = :rows AS as_many FROM due('s_parts') r;
COMMIT;
SELECT * FROM state();
SELECT fold();
SELECT * FROM state();

-- A column of type timestamptz is a value: how it looks is the reader's.
CREATE TABLE value USING pgstream AS SELECT id, ts FROM ev WHERE id = 1;
SET timezone = 'UTC';
SELECT * FROM value;
SET timezone = 'Asia/Kolkata';
SELECT * FROM value;
DROP TABLE value;

-- An immutable function of a user's that reads settings all the same.
CREATE FUNCTION lies(ts timestamptz) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN ts::date; END $$;
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
CREATE TABLE s_lies USING pgstream AS SELECT id, lies(ts) FROM ev;
SET timezone = 'Asia/Kolkata';
SET datestyle = 'ISO, YMD';
UPDATE ev SET ts = ts + interval '3 hours' WHERE id % 2 = 0;
SELECT * FROM state();
SELECT fold();
SELECT * FROM state();

-- An index that may leave out rows, where the reader wants it so, does not leave out what a query returns.
CREATE TABLE tagged (id int PRIMARY KEY, tags int[]);
INSERT INTO tagged SELECT i, ARRAY[1, i] FROM generate_series(1, 2000) i;
CREATE INDEX ON tagged USING gin (tags);
CREATE TABLE s_tagged USING pgstream AS SELECT a.id FROM tagged a, (SELECT 1 AS one) o WHERE a.tags @> ARRAY[o.one];
UPDATE tagged SET tags = tags || 2;
SELECT gin_clean_pending_list('tagged_tags_idx') >= 0 AS cleaned;
SET gin_fuzzy_search_limit = 100;
SET enable_seqscan = off;
SELECT count(*) FROM s_tagged;
SELECT pgstream.refresh_stream_table('s_tagged');
SELECT count(*) FROM s_tagged;
RESET enable_seqscan;
RESET gin_fuzzy_search_limit;
DROP TABLE tagged CASCADE;

-- FULL: the settings are those of its creation, too.
SET timezone = 'America/New_York';
CREATE TABLE whole USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, ts::text AS ts FROM ev WHERE id = 1;
SET timezone = 'Asia/Kolkata';
SELECT pgstream.refresh_stream_table('whole');
SELECT w.ts = (ev.ts AT TIME ZONE 'America/New_York')::text || '-05' AS as_created FROM whole w JOIN ev USING (id);
DROP TABLE whole;

-- A recorded configuration that is dropped is missed where it is needed only.
CREATE TEXT SEARCH CONFIGURATION private (COPY = pg_catalog.simple);
SET default_text_search_config = 'settings_test.private';
CREATE TABLE needs USING pgstream AS SELECT id, to_tsvector(t)::text AS v FROM ev;
CREATE TABLE needs_not USING pgstream AS SELECT id, ts::text AS v FROM ev;
RESET default_text_search_config;
DROP TEXT SEARCH CONFIGURATION private;
UPDATE ev SET t = t || ' again';
SELECT count(*) FROM needs;
SELECT count(*) FROM needs_not;
DROP TABLE needs, needs_not;

-- What reads the clock, the session or the catalogs is recomputed, and a NOTICE says so. So are users' STABLE functions.
CREATE FUNCTION users_stable(int) RETURNS int LANGUAGE sql STABLE RETURN $1;
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
CREATE TABLE r_now USING pgstream AS SELECT id FROM ev WHERE ts < now();
CREATE TABLE r_age USING pgstream AS SELECT id, age(ts) > '1 year' AS old FROM ev;
CREATE TABLE r_user USING pgstream AS SELECT id, CURRENT_USER AS who FROM ev;
CREATE TABLE r_stable USING pgstream AS SELECT id, users_stable(id) AS f FROM ev;
CREATE TABLE r_input USING pgstream AS SELECT id, ts::text::timestamp AS f FROM ev;
CREATE TABLE r_time USING pgstream AS SELECT id, ts::time::timetz AS f FROM ev;
CREATE TABLE r_name USING pgstream AS SELECT id, concat(id::regclass, '') AS f FROM ev;
CREATE TABLE r_json USING pgstream AS SELECT id, json_build_object('x', ARRAY[id::regtype])::text AS f FROM ev;
CREATE TABLE r_setting USING pgstream AS SELECT id, current_setting('timezone') AS zone FROM ev;
SELECT pgstream.create_stream_table('r_bounds', 'SELECT id, current_date > d AS f FROM ev');
SELECT s.pgs_name, max(e.value) FILTER (WHERE e.property = 'strategy') AS strategy,
       max(e.value) FILTER (WHERE e.property = 'reason') AS reason
  FROM pgstream.pgs_stream_tables s, pgstream.explain_st('settings_test.' || s.pgs_name) e
 WHERE s.pgs_schema = 'settings_test' AND s.pgs_name LIKE 'r\_%' GROUP BY 1 ORDER BY 1;
SET timezone = 'Asia/Kolkata';
SET datestyle = 'ISO, YMD';
UPDATE ev SET ts = now() + interval '1 second' WHERE id = 1;
SELECT count(*) FROM r_now WHERE id = 1;
SELECT pg_sleep(1.1);
SELECT count(*) FROM r_now WHERE id = 1;
SELECT DISTINCT zone FROM r_setting;

SET client_min_messages = warning;
DROP SCHEMA settings_test CASCADE;
