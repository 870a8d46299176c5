-- What is made over a stream table, or of it, with changes pending: views, materialized views, rules, foreign tables, copies of its
-- shape, row types, grants, policies, comments, event triggers, large transactions of DDL.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA dependants;
SET search_path = dependants, public;
CREATE ROLE regress_dep_owner;
CREATE ROLE regress_dep_heir;
CREATE ROLE regress_dep_guest;
GRANT ALL ON SCHEMA dependants TO regress_dep_owner, regress_dep_heir;
GRANT USAGE ON SCHEMA dependants TO regress_dep_guest;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, note text);
INSERT INTO src SELECT i, i % 10, i * 1.5, 'note ' || i FROM generate_series(1, 100) i;
GRANT SELECT ON src TO regress_dep_owner, regress_dep_heir;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE rows USING pgstream AS SELECT id, grp, val, note FROM src WHERE grp < 6;
CREATE SEQUENCE turn;
CREATE FUNCTION change() RETURNS void LANGUAGE sql AS $$
  INSERT INTO dependants.src SELECT 1000 + t * 10 + i, (t + i) % 12, i, 'new ' || i FROM nextval('dependants.turn') t, generate_series(1, 5) i;
  UPDATE dependants.src SET val = val + 1, grp = (grp + 1) % 13 WHERE id % 7 = (SELECT last_value % 7 FROM dependants.turn);
  DELETE FROM dependants.src WHERE id = (SELECT last_value * 3 FROM dependants.turn) $$;
-- Two queries, as texts and multisets in one statement.
CREATE FUNCTION differ(a text, b text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('WITH a AS (SELECT x::text AS r FROM (%s) x), b AS (SELECT x::text AS r FROM (%s) x)
                  SELECT count(*) FROM ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) d', a, b) INTO n;
  RETURN n;
END $$;
CREATE FUNCTION exact(OUT streams bigint, OUT exact bigint, OUT answered text, OUT wrong text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dependants.change();
  SELECT v.streams, v.exact, v.answered, v.wrong INTO streams, exact, answered, wrong FROM verify_streams('dependants') v;
END $$;
SELECT * FROM exact();

-- Views, also recursive and over each other; materialized views, with REFRESH and REFRESH CONCURRENTLY.
CREATE VIEW big AS SELECT grp, total FROM sums WHERE total > 50;
CREATE VIEW joined AS SELECT r.id, r.note, b.total FROM rows r JOIN big b USING (grp);
CREATE RECURSIVE VIEW chain (id, depth) AS SELECT id, 1 FROM rows WHERE id < 10 UNION ALL SELECT r.id, depth + 1 FROM chain c JOIN rows r ON r.id = c.id + 10 WHERE depth < 4;
CREATE MATERIALIZED VIEW frozen AS SELECT grp, total FROM sums;
CREATE UNIQUE INDEX ON frozen (grp);
CREATE FUNCTION views_differ() RETURNS TABLE (joined bigint, chain bigint, frozen bigint) LANGUAGE sql AS $$
  SELECT dependants.differ('TABLE dependants.joined', 'SELECT id, note, total FROM dependants.src JOIN (SELECT grp, sum(val) AS total FROM dependants.src GROUP BY grp HAVING sum(val) > 50) t USING (grp) WHERE grp < 6'),
         dependants.differ('TABLE dependants.chain', 'WITH RECURSIVE c(id, depth) AS (SELECT id, 1 FROM dependants.src WHERE grp < 6 AND id < 10 UNION ALL SELECT r.id, depth + 1 FROM c JOIN dependants.src r ON r.id = c.id + 10 AND r.grp < 6 WHERE depth < 4) TABLE c'),
         dependants.differ('TABLE dependants.frozen', 'SELECT grp, sum(val) FROM dependants.src GROUP BY grp') $$;
SELECT * FROM views_differ();
SELECT change();
SELECT joined, chain, frozen > 0 AS frozen_is_old FROM views_differ();
REFRESH MATERIALIZED VIEW frozen;
SELECT frozen FROM views_differ();
SELECT change();
REFRESH MATERIALIZED VIEW CONCURRENTLY frozen;
SELECT frozen FROM views_differ();
SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('rows');
SELECT * FROM views_differ();
CREATE OR REPLACE VIEW big AS SELECT grp, total, n FROM sums WHERE total > 50;
SELECT joined FROM views_differ();
ALTER TABLE sums RENAME COLUMN total TO amount;
ALTER TABLE rows RENAME TO renamed;
SELECT change();
SELECT joined, chain FROM views_differ();
ALTER TABLE renamed RENAME TO rows;
ALTER TABLE sums RENAME COLUMN amount TO total;

-- Rules on other tables that read it; rules of its own for what is refused anyway.
CREATE TABLE journal (grp int, total numeric);
CREATE TABLE trigger_me (grp int);
CREATE RULE note_it AS ON INSERT TO trigger_me DO ALSO INSERT INTO journal SELECT grp, total FROM sums WHERE grp = NEW.grp;
SELECT change();
INSERT INTO trigger_me SELECT grp FROM src GROUP BY grp;
SELECT differ('TABLE dependants.journal', 'SELECT grp, sum(val) FROM dependants.src GROUP BY grp');
CREATE RULE redirect AS ON DELETE TO rows DO INSTEAD DELETE FROM src WHERE id = OLD.id;
SELECT count(*) FROM rows WHERE id = 1021;
DELETE FROM rows WHERE id = 1021;
SELECT (SELECT count(*) FROM rows WHERE id = 1021) AS rows, (SELECT count(*) FROM src WHERE id = 1021) AS src;
CREATE RULE redirect_update AS ON UPDATE TO rows DO INSTEAD UPDATE src SET note = NEW.note WHERE id = OLD.id;
UPDATE rows SET note = 'through the rule' WHERE id = 4;
SELECT note FROM rows WHERE id = 4;
SELECT * FROM exact();
DROP RULE redirect ON rows;
DROP RULE redirect_update ON rows;
DROP TABLE trigger_me, journal;
DROP VIEW joined, chain, big;
DROP MATERIALIZED VIEW frozen;

-- Foreign tables over it, by a loopback connection: reads, pushed-down joins and aggregates; writes are refused there too.
CREATE EXTENSION postgres_fdw;
DO $$ BEGIN EXECUTE format('CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname %L, host %L, port %L)',
  current_database(), split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port')); END $$;
CREATE USER MAPPING FOR CURRENT_USER SERVER loopback;
CREATE FOREIGN TABLE far_sums (grp int, total numeric, n bigint) SERVER loopback OPTIONS (schema_name 'dependants', table_name 'sums');
CREATE FOREIGN TABLE far_rows (id int, grp int, val numeric, note text) SERVER loopback OPTIONS (schema_name 'dependants', table_name 'rows');
SELECT * FROM exact();
SELECT differ('TABLE dependants.far_sums', 'SELECT grp, sum(val), count(*) FROM dependants.src GROUP BY grp') AS sums,
       differ('SELECT id, total FROM dependants.far_rows JOIN dependants.far_sums USING (grp) WHERE val > 5', 'SELECT id, total FROM dependants.src JOIN (SELECT grp, sum(val) AS total FROM dependants.src GROUP BY grp) t USING (grp) WHERE grp < 6 AND val > 5') AS joined,
       differ('SELECT grp, count(*) FROM dependants.far_rows GROUP BY grp', 'SELECT grp, count(*) FROM dependants.src WHERE grp < 6 GROUP BY grp') AS grouped;
UPDATE far_sums SET n = 0;
INSERT INTO far_rows VALUES (1, 1, 1, 'x');
ANALYZE far_rows;
IMPORT FOREIGN SCHEMA dependants LIMIT TO (sums) FROM SERVER loopback INTO public;
SELECT differ('TABLE public.sums', 'SELECT grp, sum(val), count(*) FROM dependants.src GROUP BY grp') AS imported;
DROP FOREIGN TABLE public.sums;
-- A stream table over the foreign table of a stream table is recomputed on every read.
CREATE TABLE over_far USING pgstream AS SELECT sum(n) AS n FROM far_sums;
SELECT change();
SELECT (SELECT n FROM over_far) = (SELECT count(*) FROM src) AS right_now, value FROM pgstream.explain_st('over_far') WHERE property = 'strategy';
DROP TABLE over_far;
DROP SERVER loopback CASCADE;
DROP EXTENSION postgres_fdw;

-- Copies of its shape, and types made of it.
CREATE INDEX sums_n ON sums (n);
COMMENT ON COLUMN sums.n IS 'members';
CREATE TABLE like_all (LIKE sums INCLUDING ALL);
CREATE TABLE like_none (LIKE sums);
SELECT c.relname, a.amname, (SELECT array_agg(pg_get_indexdef(indexrelid) ORDER BY 1) FROM pg_index WHERE indrelid = c.oid) AS indexes,
       (SELECT count(*) FROM pg_rewrite WHERE ev_class = c.oid) AS rules, col_description(c.oid, 3) AS comment
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.relname LIKE 'like\_%' AND relnamespace = 'dependants'::regnamespace AND relkind = 'r' ORDER BY 1;
INSERT INTO like_all SELECT * FROM sums;
CREATE TABLE copied AS TABLE sums;
SELECT * INTO copied_too FROM rows;
CREATE FUNCTION returns_rows() RETURNS SETOF sums LANGUAGE sql STABLE AS 'SELECT * FROM dependants.sums';
CREATE TABLE holds (s sums, many sums[]);
INSERT INTO holds SELECT s, ARRAY[s] FROM sums s WHERE grp = 3;
CREATE DOMAIN a_sum AS sums CHECK ((VALUE).n > 0);
SELECT change();
SELECT differ('SELECT * FROM dependants.returns_rows()', 'SELECT grp, sum(val), count(*) FROM dependants.src GROUP BY grp');
SELECT (s).grp, cardinality(many) FROM holds;
ALTER TABLE sums RENAME COLUMN n TO members;
SELECT * FROM exact();
ALTER TABLE sums RENAME COLUMN members TO n;
DROP TABLE holds, like_all, like_none, copied, copied_too;
DROP DOMAIN a_sum;
DROP FUNCTION returns_rows;

-- Rights: to columns, by default privileges, of a group; REVOKE; owners, REASSIGN OWNED, DROP OWNED.
GRANT SELECT (grp, n) ON sums TO regress_dep_guest;
SELECT * FROM exact();
SET ROLE regress_dep_guest;
SELECT count(*) > 0 AS granted FROM (SELECT grp, n FROM sums) s;
SELECT total FROM sums;
SELECT sums FROM sums;
SELECT pgstream.refresh_stream_table('sums');
RESET ROLE;
REVOKE SELECT (n) ON sums FROM regress_dep_guest;
SET ROLE regress_dep_guest;
SELECT n FROM sums;
RESET ROLE;
GRANT INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON sums TO regress_dep_guest;
SET ROLE regress_dep_guest;
DELETE FROM sums;
TRUNCATE sums;
RESET ROLE;
ALTER TABLE sums OWNER TO regress_dep_owner;
ALTER TABLE rows OWNER TO regress_dep_owner;
SELECT * FROM exact();
SET ROLE regress_dep_owner;
SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('rows');
RESET ROLE;
SELECT * FROM exact();
SELECT change();
REASSIGN OWNED BY regress_dep_owner TO regress_dep_heir;
SELECT * FROM exact();
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'dependants'::regnamespace AND relname ~ '^(sums|rows)' ORDER BY relname COLLATE "C";
SET ROLE regress_dep_owner;
SELECT pgstream.refresh_stream_table('sums');
SET ROLE regress_dep_heir;
SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('rows');
RESET ROLE;
SELECT * FROM exact();

-- Row security: policies with subqueries over a stream table, and on it.
ALTER TABLE rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_large ON rows USING (grp IN (SELECT grp FROM dependants.sums WHERE n > 5));
GRANT SELECT ON rows, sums TO regress_dep_guest;
SELECT * FROM exact();
SET ROLE regress_dep_guest;
CREATE TEMP TABLE seen AS SELECT id FROM rows;
RESET ROLE;
SELECT differ('SELECT id FROM seen', 'SELECT id FROM dependants.src WHERE grp < 6 AND grp IN (SELECT grp FROM dependants.src GROUP BY grp HAVING count(*) > 5)');
ALTER POLICY of_large ON rows USING (id % 2 = 0);
ALTER POLICY of_large ON rows RENAME TO of_even;
ALTER TABLE rows FORCE ROW LEVEL SECURITY;
SELECT * FROM exact();
SET ROLE regress_dep_heir;
SELECT count(*) FILTER (WHERE id % 2 = 1) AS hidden, count(*) > 0 AS some FROM rows;
SELECT pgstream.refresh_stream_table('rows');
RESET ROLE;
SELECT * FROM exact();
DROP POLICY of_even ON rows;
ALTER TABLE rows NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SELECT * FROM exact();

-- Comments, on it and on all that it has.
COMMENT ON TABLE sums IS 'the sums';
COMMENT ON COLUMN sums.total IS 'of val';
COMMENT ON INDEX sums_n IS 'an index';
COMMENT ON RULE pgstream_query ON sums IS 'its query';
SELECT obj_description('sums'::regclass), col_description('sums'::regclass, 2);
SELECT * FROM exact();

-- Event triggers look at each command while changes are pending, and may refuse it.
CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE v record;
BEGIN
  SELECT streams, exact, wrong INTO v FROM verify_streams('dependants');
  RAISE INFO '% %: % of % exact', tg_event, tg_tag, v.exact, v.streams;
END $$;
CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'P0001'; END $$;
CREATE FUNCTION dropped() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  FOR r IN SELECT object_type, object_identity FROM pg_event_trigger_dropped_objects() WHERE original LOOP
    RAISE INFO 'dropped % %', r.object_type, r.object_identity;
  END LOOP;
END $$;
CREATE EVENT TRIGGER look_before ON ddl_command_start EXECUTE FUNCTION look();
CREATE EVENT TRIGGER look_after ON ddl_command_end EXECUTE FUNCTION look();
CREATE EVENT TRIGGER look_dropped ON sql_drop EXECUTE FUNCTION dropped();
SELECT change();
ALTER TABLE sums RENAME TO totals;
ALTER TABLE totals RENAME TO sums;
CREATE INDEX rows_grp ON rows (grp);
CREATE TABLE third USING pgstream AS SELECT grp FROM src WHERE id < 50;
ALTER TABLE src ADD COLUMN extra int;
SELECT change();
SELECT pgstream.alter_stream_table('third', query => 'SELECT grp FROM src WHERE id > 50');
DROP INDEX rows_grp;
DROP TABLE third;
DROP EVENT TRIGGER look_before;
DROP EVENT TRIGGER look_after;
DROP EVENT TRIGGER look_dropped;
CREATE EVENT TRIGGER forbid_all ON ddl_command_end EXECUTE FUNCTION forbid();
CREATE TABLE fourth USING pgstream AS SELECT grp FROM src;
ALTER TABLE sums RENAME TO totals;
DROP TABLE rows;
SELECT pgstream.create_stream_table('fourth', 'SELECT grp FROM src');
DROP EVENT TRIGGER forbid_all;
SELECT to_regclass('fourth'), to_regclass('totals');
SELECT * FROM exact();

-- Much DDL in one transaction, to savepoints and back, and a cursor that was open before.
BEGIN;
DECLARE c CURSOR FOR SELECT count(*) FROM sums;
SELECT change();
SAVEPOINT a;
CREATE INDEX ON sums (total);
ROLLBACK TO a;
MOVE 1 IN c;
SAVEPOINT a;
ALTER TABLE sums RENAME TO totals;
ALTER TABLE totals SET SCHEMA public;
ALTER TABLE public.totals RENAME COLUMN total TO amount;
SELECT change();
SELECT * FROM differences('public.totals');
SELECT pgstream.refresh_stream_table('public.totals');
SELECT * FROM differences('public.totals');
ROLLBACK TO a;
SELECT * FROM exact();
SAVEPOINT b;
DROP TABLE sums;
ROLLBACK TO b;
CLOSE c;
ALTER TABLE rows RENAME COLUMN note TO remark;
SELECT * FROM exact();
ALTER TABLE rows RENAME COLUMN remark TO note;
COMMIT;
SELECT * FROM exact();
DROP OWNED BY regress_dep_heir, regress_dep_owner, regress_dep_guest;
SELECT to_regclass('sums'), to_regclass('rows'), (SELECT count(*) FROM pgstream.pgs_log WHERE source_relid = 'src'::regclass) AS logs;
DROP SCHEMA dependants CASCADE;
DROP ROLE regress_dep_owner, regress_dep_heir, regress_dep_guest;
