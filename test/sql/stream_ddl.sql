-- DDL of stream tables, with changes pending: content stays exact, or the command is refused with what to do instead.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA sd;
CREATE SCHEMA sd_other;
CREATE ROLE regress_sd_owner;
GRANT ALL ON SCHEMA sd, sd_other TO regress_sd_owner;
SET search_path = sd, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, note text);
INSERT INTO src SELECT i, i % 20, i * 1.25, 'note ' || i FROM generate_series(1, 400) i;
GRANT SELECT ON src TO regress_sd_owner;
CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE rows USING pgstream AS SELECT id, val, note FROM src WHERE grp < 10;
CREATE TABLE words USING pgstream AS SELECT id, to_tsvector('simple', note) AS v, ARRAY[grp, id] AS a FROM src;

-- Makes changes of every kind pending, asks every stream table, and says how it answered.
CREATE SEQUENCE turn;
CREATE FUNCTION exact() RETURNS TABLE (stream text, differences bigint, strategy text) LANGUAGE plpgsql AS $$
DECLARE t int := nextval('sd.turn'); r record; line text;
BEGIN
  INSERT INTO sd.src SELECT 1000 + t * 10 + i, (t + i) % 25, i, 'new ' || i FROM generate_series(1, 5) i;
  UPDATE sd.src SET val = val + 1, grp = grp + 1 WHERE id % 50 = t % 50;
  DELETE FROM sd.src WHERE id = t * 3;
  FOR r IN SELECT s.pgs_relid AS oid, format('%I.%I', s.pgs_schema, s.pgs_name) AS name, s.defining_query AS q
             FROM pgstream.pgs_stream_tables s WHERE s.pgs_schema LIKE 'sd%' ORDER BY 2 LOOP
    stream := r.name;
    EXECUTE format('SELECT count(*) FROM ((SELECT s::text FROM %1$s s EXCEPT ALL SELECT q::text FROM (%2$s) q)
                    UNION ALL (SELECT q::text FROM (%2$s) q EXCEPT ALL SELECT s::text FROM %1$s s)) d', r.name, r.q) INTO differences;
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM ' || r.name LOOP
      IF line LIKE '%Strategy: %' THEN strategy := substring(line FROM 'Strategy: (.*)'); END IF;
    END LOOP;
    RETURN NEXT;
  END LOOP;
END $$;
SELECT * FROM exact();

-- Names, owners, places.
ALTER TABLE sums RENAME TO totals;
ALTER TABLE totals RENAME COLUMN total TO amount;
ALTER TABLE rows SET SCHEMA sd_other;
ALTER TABLE words OWNER TO regress_sd_owner;
SELECT * FROM exact();
REASSIGN OWNED BY regress_sd_owner TO CURRENT_USER;
ALTER TABLE totals SET TABLESPACE pg_default;
ALTER TABLE sd_other.rows SET SCHEMA sd;
SELECT * FROM exact();

-- Indexes of every kind, statistics, upkeep.
CREATE INDEX ON rows (val);
CREATE UNIQUE INDEX rows_id ON rows (id);
CREATE INDEX CONCURRENTLY rows_note ON rows USING hash (note);
CREATE INDEX ON rows USING brin (id);
CREATE INDEX ON rows ((val * 2)) WHERE id > 50;
CREATE INDEX ON words USING gin (v);
CREATE INDEX ON words USING gin (a);
CREATE INDEX ON totals (amount) INCLUDE (n);
SELECT * FROM exact();
SET enable_seqscan = off;
SELECT * FROM exact();
SELECT count(*) FROM rows WHERE note = 'new 1';
SELECT count(*) FROM words WHERE v @@ 'new'::tsquery;
SELECT count(*) FROM words WHERE a @> ARRAY[3];
RESET enable_seqscan;
REINDEX TABLE rows;
REINDEX INDEX CONCURRENTLY rows_id;
CREATE STATISTICS sd.rows_stats ON id, val FROM rows;
VACUUM rows;
VACUUM (FULL, ANALYZE) totals;
CLUSTER rows USING rows_id;
ANALYZE words;
ALTER TABLE rows SET (fillfactor = 70, autovacuum_enabled = off);
ALTER TABLE rows ALTER COLUMN note SET STATISTICS 200, ALTER COLUMN note SET STORAGE EXTERNAL;
ALTER TABLE rows REPLICA IDENTITY FULL;
SELECT * FROM exact();
SELECT pgstream.refresh_stream_table('totals'), pgstream.refresh_stream_table('rows'), pgstream.refresh_stream_table('words');
SELECT * FROM exact();

-- What may be made over it.
COMMENT ON COLUMN totals.amount IS 'per group';
GRANT SELECT (grp) ON totals TO regress_sd_owner;
CREATE VIEW over AS SELECT grp, amount FROM totals WHERE amount > 0;
CREATE MATERIALIZED VIEW frozen AS SELECT count(*) FROM totals;
CREATE TABLE likewise (LIKE totals INCLUDING ALL);
CREATE RULE also AS ON DELETE TO totals DO INSTEAD NOTHING;
ALTER TABLE rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON rows USING (id % 2 = 0);
GRANT SELECT ON rows, over TO regress_sd_owner;
SELECT * FROM exact();
SET ROLE regress_sd_owner;
SELECT count(*) FILTER (WHERE id % 2 = 1) AS hidden, count(*) > 0 AS some FROM rows;
SELECT grp IS NOT NULL AS seen FROM totals LIMIT 1;
SELECT amount FROM totals LIMIT 1;
RESET ROLE;
SELECT (SELECT count(*) FROM over) = (SELECT count(*) FROM totals WHERE amount > 0) AS same;

-- Refused.
ALTER TABLE totals ADD COLUMN x int;
ALTER TABLE totals DROP COLUMN n;
ALTER TABLE totals ALTER COLUMN n TYPE int;
ALTER TABLE totals ALTER COLUMN n SET DEFAULT 1;
ALTER TABLE totals ALTER COLUMN n SET NOT NULL;
ALTER TABLE totals ADD CHECK (n > 0);
ALTER TABLE totals ADD PRIMARY KEY (grp);
ALTER TABLE totals ADD FOREIGN KEY (grp) REFERENCES src;
ALTER TABLE totals SET UNLOGGED;
CREATE TABLE pointing (id int REFERENCES rows (id));
CREATE TABLE pointing (id int, FOREIGN KEY (id) REFERENCES rows (id));
CREATE TABLE pointing (id int);
ALTER TABLE pointing ADD FOREIGN KEY (id) REFERENCES rows (id);
ALTER TABLE pointing ADD COLUMN other int REFERENCES rows (id);
CREATE TABLE child () INHERITS (totals);
ALTER TABLE pointing INHERIT totals;
ALTER TABLE totals INHERIT pointing;
CREATE TABLE parted (grp int, amount numeric, n bigint) PARTITION BY LIST (grp);
ALTER TABLE parted ATTACH PARTITION totals DEFAULT;
CREATE TRIGGER mine AFTER INSERT ON totals EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM totals TABLESAMPLE bernoulli (50);
SELECT * FROM totals FOR SHARE;
ALTER TABLE src SET ACCESS METHOD pgstream;
SELECT * FROM exact();

-- Taken out of the access method it is a plain table with the present content.
CREATE TEMP TABLE before AS SELECT t::text FROM totals t;
ALTER TABLE totals SET ACCESS METHOD heap;
SELECT count(*) AS differences FROM ((SELECT t::text FROM totals t EXCEPT ALL TABLE before) UNION ALL (TABLE before EXCEPT ALL SELECT t::text FROM totals t)) d;
INSERT INTO totals VALUES (100, 1, 1);
UPDATE totals SET n = 0 WHERE grp = 100;
ALTER TABLE totals ADD COLUMN x int DEFAULT 7;
SELECT * FROM totals WHERE grp = 100;
SELECT a.amname, (SELECT count(*) FROM pg_rules WHERE schemaname = 'sd' AND tablename = 'totals' AND rulename = 'pgstream_query') AS rules,
       (SELECT count(*) FROM pg_index WHERE indrelid = 'totals'::regclass) AS indexes,
       (SELECT count(*) FROM pgstream.pgs_stream WHERE pgs_relid = 'totals'::regclass) AS streams
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = 'totals'::regclass;
BEGIN;
ALTER TABLE rows SET ACCESS METHOD heap;
ROLLBACK;
SELECT * FROM exact();
ALTER TABLE rows SET ACCESS METHOD heap;
ALTER TABLE words SET ACCESS METHOD heap;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src'::regclass AND tgisinternal;
DROP SCHEMA sd, sd_other CASCADE;
DROP OWNED BY regress_sd_owner;
DROP ROLE regress_sd_owner;
