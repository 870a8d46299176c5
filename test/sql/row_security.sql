-- Row security. On a source: the owner of the stream table is subject to it as the owner of a materialized view is, now and after
-- every change of policies. On the stream table, or in a security-barrier view over it: no condition of a reader sees a row
-- that is hidden from him, pending or not, whatever plan reads it.
CREATE SCHEMA rowsec;
SET search_path = rowsec, public;
SET client_min_messages = warning;
SET jit = off;
CREATE ROLE rowsec_owner;
CREATE ROLE rowsec_reader;
CREATE ROLE rowsec_bypass BYPASSRLS;
GRANT ALL ON SCHEMA rowsec TO rowsec_owner, rowsec_bypass;
GRANT USAGE ON SCHEMA rowsec TO rowsec_reader;
CREATE TABLE src (id int PRIMARY KEY, tenant text, val int);
INSERT INTO src SELECT i, CASE i % 3 WHEN 0 THEN 'rowsec_owner' WHEN 1 THEN 'a' ELSE 'b' END, i FROM generate_series(1, 12) i;
CREATE TABLE allowed (tenant text);
INSERT INTO allowed VALUES ('a');
GRANT SELECT ON src, allowed TO rowsec_owner, rowsec_bypass;
-- What the owner's query returns now, what a refreshed materialized view holds, and what the stream tables say.
CREATE FUNCTION compare(OUT owner_sees text, OUT matview text, OUT stream text, OUT grouped text, OUT bypassing text) LANGUAGE plpgsql AS $$
BEGIN
  SET LOCAL ROLE rowsec_owner;
  SELECT string_agg(id::text, ' ' ORDER BY id) FROM rowsec.src INTO owner_sees;
  RESET ROLE;
  REFRESH MATERIALIZED VIEW rowsec.m;
  SELECT string_agg(id::text, ' ' ORDER BY id) FROM rowsec.m INTO matview;
  SELECT string_agg(id::text, ' ' ORDER BY id) FROM rowsec.s INTO stream;
  SELECT string_agg(tenant || '=' || n, ' ' ORDER BY tenant) FROM rowsec.g INTO grouped;
  SELECT count(*)::text FROM rowsec.p INTO bypassing;
END $$;
SET ROLE rowsec_owner;
CREATE TABLE s USING pgstream AS SELECT id, tenant FROM src;
CREATE TABLE g USING pgstream AS SELECT tenant, count(*) AS n FROM src GROUP BY tenant;
CREATE MATERIALIZED VIEW m AS SELECT id FROM src;
SET ROLE rowsec_bypass;
CREATE TABLE p USING pgstream AS SELECT id FROM src;
RESET ROLE;
INSERT INTO src VALUES (13, 'a', 13), (14, 'b', 14);
SELECT * FROM compare();
-- Enabled after the creation, with rows pending; a policy by user, by setting, by a subquery; refreshed between.
ALTER TABLE src ENABLE ROW LEVEL SECURITY;
SELECT * FROM compare();
CREATE POLICY by_user ON src USING (tenant = current_user);
SELECT * FROM compare();
INSERT INTO src VALUES (15, 'rowsec_owner', 15), (16, 'a', 16);
SELECT * FROM compare();
SELECT pgstream.refresh_stream_table('s'), pgstream.refresh_stream_table('g'), pgstream.refresh_stream_table('p');
SELECT * FROM compare();
UPDATE src SET tenant = 'b' WHERE id = 15;
SELECT * FROM compare();
ALTER POLICY by_user ON src USING (tenant = current_setting('app.tenant', true));
SELECT * FROM compare();
SET app.tenant = 'a';
SELECT * FROM compare();
SET app.tenant = 'b';
SELECT * FROM compare();
CREATE POLICY by_table ON src USING (tenant IN (SELECT tenant FROM allowed));
SELECT * FROM compare();
INSERT INTO allowed VALUES ('rowsec_owner');
SELECT * FROM compare();
SELECT pgstream.refresh_stream_table('s'), pgstream.refresh_stream_table('g');
DELETE FROM allowed WHERE tenant = 'a';
SELECT * FROM compare();
CREATE POLICY but ON src AS RESTRICTIVE USING (id > 5);
SELECT * FROM compare();
DROP POLICY by_user ON src;
SELECT * FROM compare();
-- A reader's row_security does not decide.
SET row_security = off;
SELECT count(*) FROM s;
SELECT count(*) FROM p;
RESET row_security;
-- The owner of the source is subject to policies when they are forced.
ALTER TABLE src OWNER TO rowsec_owner;
SELECT * FROM compare();
ALTER TABLE src FORCE ROW LEVEL SECURITY;
SELECT * FROM compare();
ALTER TABLE src NO FORCE ROW LEVEL SECURITY;
SELECT * FROM compare();
ALTER TABLE src OWNER TO CURRENT_USER;
GRANT SELECT ON src TO rowsec_owner, rowsec_bypass;
ALTER ROLE rowsec_owner BYPASSRLS;
SELECT * FROM compare();
ALTER ROLE rowsec_owner NOBYPASSRLS;
SELECT * FROM compare();
ALTER TABLE src DISABLE ROW LEVEL SECURITY;
SELECT * FROM compare();
SELECT pgstream.refresh_stream_table('s'), pgstream.refresh_stream_table('g'), pgstream.refresh_stream_table('p');
INSERT INTO src VALUES (17, 'a', 17);
SELECT * FROM compare();
SELECT value FROM pgstream.explain_st('s') WHERE property = 'strategy';

-- A hostile reader.
DROP TABLE s, g, p;
DROP MATERIALIZED VIEW m;
TRUNCATE src;
INSERT INTO src SELECT i, CASE i % 2 WHEN 0 THEN 'rowsec_reader' ELSE 'hidden' END, i FROM generate_series(1, 400) i;
ANALYZE src;
SET ROLE rowsec_owner;
CREATE TABLE as_rows USING pgstream AS SELECT id, tenant, val, 'text ' || val AS word FROM src;
CREATE TABLE as_groups USING pgstream AS SELECT id, tenant, sum(val)::int AS val, 'text ' || max(val) AS word FROM src GROUP BY id, tenant;
CREATE TABLE as_keys USING pgstream AS SELECT id, tenant, first_value(val) OVER (PARTITION BY id) AS val, 'text ' || val AS word FROM src;
CREATE TABLE as_query USING pgstream AS SELECT a.id, a.tenant, b.val, 'text ' || b.val AS word FROM src a JOIN src b USING (id);
DO $$ DECLARE name text; BEGIN
  FOREACH name IN ARRAY ARRAY['as_rows', 'as_groups', 'as_keys', 'as_query'] LOOP
    EXECUTE format('CREATE INDEX ON rowsec.%I (id)', name);
    EXECUTE format('CREATE INDEX ON rowsec.%I (val)', name);
    EXECUTE format('CREATE INDEX ON rowsec.%I (word)', name);
    EXECUTE format('CREATE VIEW rowsec.%I WITH (security_barrier) AS SELECT * FROM rowsec.%I WHERE tenant = ''rowsec_reader''', 'view_' || name, name);
    EXECUTE format('GRANT SELECT ON rowsec.%I, rowsec.%I TO rowsec_reader', name, 'view_' || name);
    EXECUTE format('ALTER TABLE rowsec.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY mine ON rowsec.%I USING (tenant = current_user)', name);
  END LOOP;
END $$;
RESET ROLE;
-- Half of what is pending is hidden.
INSERT INTO src SELECT i, CASE i % 2 WHEN 0 THEN 'rowsec_reader' ELSE 'hidden' END, i FROM generate_series(401, 460) i;
UPDATE src SET val = -val WHERE id BETWEEN 1 AND 20;
SET ROLE rowsec_reader;
CREATE FUNCTION pg_temp.leak(anyelement, anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
  PERFORM set_config('app.leaked', current_setting('app.leaked', true) || $1::text || ' ', false);
  RETURN true;
END $$;
CREATE FUNCTION pg_temp.leak(anyelement) RETURNS boolean LANGUAGE sql COST 0.0000001 AS $$ SELECT pg_temp.leak($1, $1) $$;
CREATE OPERATOR pg_temp.<<< (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = pg_temp.leak);
-- Conditions that see every row they are given, alone and beside such as an index, or the hash table of additions, answers.
CREATE FUNCTION pg_temp.peek(OUT relation text, OUT condition text, OUT rows bigint, OUT leaked bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE way text;
BEGIN
  FOREACH relation IN ARRAY ARRAY['as_rows', 'as_groups', 'as_keys', 'as_query', 'view_as_rows', 'view_as_groups', 'view_as_keys', 'view_as_query'] LOOP
    FOREACH way IN ARRAY ARRAY['seqscan', 'indexscan', 'bitmapscan'] LOOP
      PERFORM set_config('enable_' || w, (w = way)::text, true) FROM unnest(ARRAY['seqscan', 'indexscan', 'bitmapscan']) w;
      FOREACH condition IN ARRAY ARRAY[
          'pg_temp.leak(id)', 'id OPERATOR(pg_temp.<<<) 1', 'id = 405 AND pg_temp.leak(id)', 'id = 3 AND pg_temp.leak(id)', 'val = -3 AND pg_temp.leak(id)',
          'word = ''text 405'' AND pg_temp.leak(word)', 'id IN (403, 404, 405) AND pg_temp.leak(id)', 'val BETWEEN 380 AND 420 AND pg_temp.leak(val)',
          'word LIKE ''text 4%'' AND pg_temp.leak(id)', 'ctid IS NOT NULL AND pg_temp.leak(id)', 'ctid >= ''(0,0)'' AND pg_temp.leak(id)',
          'id = ANY (ARRAY(SELECT g FROM generate_series(395, 410) g WHERE pg_temp.leak(g + 100000))) AND pg_temp.leak(id)'] LOOP
        CONTINUE WHEN relation LIKE 'view%' AND condition LIKE 'ctid%';
        PERFORM set_config('app.leaked', '', false);
        EXECUTE format('SELECT count(*) FROM rowsec.%I WHERE %s', relation, condition) INTO rows;
        SELECT count(*) FROM string_to_table(current_setting('app.leaked'), ' ') t WHERE t ~ '\d' AND abs(regexp_replace(t, '\D', '', 'g')::int) < 100000
           AND abs(regexp_replace(t, '\D', '', 'g')::int) % 2 = 1 INTO leaked;
        IF leaked > 0 THEN RETURN NEXT; END IF;
      END LOOP;
      -- Casts and operators that raise errors: on a row that is hidden they would.
      FOREACH condition IN ARRAY ARRAY['1 / (id % 2 - 1) <> 5', '(CASE WHEN id % 2 = 1 THEN word ELSE ''1'' END)::int = 1', 'id = 405 AND 1 / (id - 405) = 1',
                                       'val = -3 AND 1 / (val + 3) = 1', 'sqrt((1 - id % 2) * 2 - 1) > 0'] LOOP
        BEGIN
          EXECUTE format('SELECT count(*) FROM rowsec.%I WHERE %s', relation, condition) INTO rows;
        EXCEPTION WHEN OTHERS THEN
          leaked := -1;
          condition := condition || ': ' || SQLERRM;
          RETURN NEXT;
        END;
      END LOOP;
    END LOOP;
    -- Joined, so that conditions become parameters of the scan.
    FOR way IN SELECT unnest(ARRAY['nestloop', 'hashjoin', 'mergejoin']) LOOP
      PERFORM set_config('enable_' || w, 'on', true) FROM unnest(ARRAY['seqscan', 'indexscan', 'bitmapscan']) w;
      PERFORM set_config('enable_' || w, (w = way)::text, true) FROM unnest(ARRAY['nestloop', 'hashjoin', 'mergejoin']) w;
      PERFORM set_config('app.leaked', '', false);
      condition := way;
      EXECUTE format('SELECT count(*) FROM generate_series(390, 440) g LEFT JOIN rowsec.%I s ON s.id = g AND pg_temp.leak(s.id) AND s.val + 0 = g', relation) INTO rows;
      SELECT count(*) FROM string_to_table(current_setting('app.leaked'), ' ') t WHERE t ~ '\d' AND t::int % 2 = 1 INTO leaked;
      IF leaked > 0 OR rows <> 51 THEN RETURN NEXT; END IF;
    END LOOP;
  END LOOP;
END $$;
SELECT * FROM pg_temp.peek();
SELECT count(*), count(*) FILTER (WHERE tenant <> 'rowsec_reader') AS hidden FROM as_rows;
SELECT count(*), count(*) FILTER (WHERE tenant <> 'rowsec_reader') AS hidden FROM view_as_groups;
-- Statistics, COPY, cursors, functions of the library.
COPY (SELECT count(*) FROM as_keys) TO STDOUT;
SELECT * FROM pgstream.verify('as_rows');
RESET ROLE;
SELECT pgstream.refresh_stream_table('as_rows'), pgstream.refresh_stream_table('as_groups'), pgstream.refresh_stream_table('as_keys'), pgstream.refresh_stream_table('as_query');
SET ROLE rowsec_reader;
SELECT * FROM pg_temp.peek();
-- The traps do spring where nothing hides the rows.
RESET ROLE;
ALTER TABLE as_rows DISABLE ROW LEVEL SECURITY;
SET ROLE rowsec_reader;
SELECT relation, count(DISTINCT condition) FROM pg_temp.peek() GROUP BY relation;
RESET ROLE;
DROP FUNCTION pg_temp.peek();
DROP SCHEMA rowsec CASCADE;
DROP OWNED BY rowsec_owner, rowsec_reader, rowsec_bypass;
DROP ROLE rowsec_owner, rowsec_reader, rowsec_bypass;
