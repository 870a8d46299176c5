-- Views, security barriers and row level security over a stream table: added rows obey as base rows do, and no leaky
-- function of a user's sees what a policy or a barrier hides.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
CALL change(16000);
ANALYZE picked, totals;
CREATE VIEW plain AS SELECT id, note, twice FROM picked WHERE grp < 50;
CREATE VIEW joined AS SELECT p.id, t.total FROM picked p JOIN totals t USING (grp);
CREATE VIEW barrier WITH (security_barrier) AS SELECT id, note, grp FROM picked WHERE grp < 50;
CREATE VIEW checked_view AS SELECT * FROM barrier WHERE id > 4000 WITH CASCADED CHECK OPTION;
CREATE MATERIALIZED VIEW once AS SELECT * FROM picked;
CREATE FUNCTION differs(a text, b text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT r FROM (SELECT x::text COLLATE "C" AS r, 1 AS w FROM (%s) x UNION ALL SELECT y::text, -1 FROM (%s) y) d GROUP BY r HAVING sum(w) <> 0) e', a, b) INTO n;
  RETURN n;
END $$;
SELECT differs('TABLE plain', 'SELECT id, note, val * 2 FROM source WHERE id % 5 <> 0 AND grp < 50') AS plain,
       differs('TABLE joined', 'SELECT id, total FROM source JOIN (SELECT grp, sum(val) AS total FROM source GROUP BY grp) t USING (grp) WHERE id % 5 <> 0') AS joined,
       differs('TABLE barrier', 'SELECT id, note, grp FROM source WHERE id % 5 <> 0 AND grp < 50') AS barrier,
       differs('TABLE checked_view', 'SELECT id, note, grp FROM source WHERE id % 5 <> 0 AND grp < 50 AND id > 4000') AS checked,
       differs('TABLE once', 'SELECT id, grp, val * 2, note FROM source WHERE id % 5 <> 0') AS once;
SELECT strategies('TABLE plain'), strategies('TABLE joined'), strategies('TABLE checked_view');
INSERT INTO plain VALUES (1, 'x', 1);
UPDATE barrier SET note = '';
DELETE FROM checked_view;
SELECT 1 FROM plain FOR UPDATE;
SELECT 1 FROM joined FOR SHARE;

-- What a leaky function is shown.
CREATE TABLE leaked (id int);
CREATE FUNCTION leak(id int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN INSERT INTO reads.leaked VALUES (id); RETURN true; END $$;
CREATE FUNCTION shown(query text, allowed text) RETURNS TABLE (seen bigint, hidden bigint) LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM reads.leaked;
  EXECUTE format('SELECT count(*) FROM (%s) q', query) INTO seen;
  RETURN QUERY EXECUTE format('SELECT count(*), count(*) FILTER (WHERE s.id IS NULL OR NOT coalesce(%s, false)) FROM reads.leaked l LEFT JOIN reads.source s USING (id)', allowed);
END $$;
SELECT seen > 1500 AS seen, hidden FROM shown('SELECT * FROM barrier WHERE leak(id)', 's.grp < 50');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT seen > 1500 AS seen, hidden FROM shown('SELECT * FROM barrier WHERE leak(id) AND id > 0', 's.grp < 50');
SELECT seen > 0 AS seen, hidden FROM shown('SELECT * FROM barrier b WHERE leak(id) AND id = 16001', 's.grp < 50');
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SELECT seen > 1500 AS seen, hidden FROM shown('SELECT * FROM barrier WHERE leak(id) AND id > 0', 's.grp < 50');
RESET enable_indexscan;
RESET enable_seqscan;

-- Row level security.
CREATE ROLE reads_guest;
GRANT USAGE ON SCHEMA reads, pgstream TO reads_guest;
GRANT SELECT ON picked, totals, other TO reads_guest;
GRANT SELECT, INSERT, DELETE ON leaked TO reads_guest;
GRANT SELECT (id, grp) ON source TO reads_guest;
ALTER TABLE picked ENABLE ROW LEVEL SECURITY;
CREATE POLICY low ON picked FOR SELECT TO reads_guest USING (grp < 20);
CREATE POLICY listed ON picked AS RESTRICTIVE FOR SELECT TO reads_guest USING (id NOT IN (SELECT id FROM other WHERE id % 2 = 0));
CREATE FUNCTION guest_rows(query text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE r text[];
BEGIN
  SET LOCAL ROLE reads_guest;
  EXECUTE format('SELECT array_agg(x::text ORDER BY x::text COLLATE "C") FROM (%s) x', query) INTO r;
  RESET ROLE;
  RETURN r;
END $$;
CREATE FUNCTION all_rows(query text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE r text[];
BEGIN
  EXECUTE format('SELECT array_agg(x::text ORDER BY x::text COLLATE "C") FROM (%s) x', query) INTO r;
  RETURN r;
END $$;
CREATE FUNCTION allowed(columns text, more text) RETURNS text[] LANGUAGE sql AS $$
  SELECT reads.all_rows('SELECT ' || columns || ' FROM (SELECT id, grp, val * 2 AS twice, note FROM reads.source WHERE id % 5 <> 0) s WHERE grp < 20 AND id NOT IN (SELECT id FROM reads.other WHERE id % 2 = 0) AND ' || more)
$$;
SELECT guest_rows('TABLE reads.picked') = allowed('*', 'true') AS same, cardinality(guest_rows('TABLE reads.picked')) AS n, cardinality(all_rows('TABLE reads.picked')) AS owner;
SELECT guest_rows('SELECT count(*) FROM reads.picked WHERE id > 16000') = allowed('count(*)', 'id > 16000') AS added_only;
DELETE FROM leaked;
SELECT guest_rows('SELECT * FROM reads.picked WHERE reads.leak(id)') = allowed('*', 'true') AS same;
SELECT count(*) AS hidden FROM leaked l LEFT JOIN source s USING (id) WHERE s.id IS NULL OR s.grp IS NULL OR s.grp >= 20;
DELETE FROM leaked;
SET enable_seqscan = off;
SELECT guest_rows('SELECT * FROM reads.picked WHERE id > 0') = allowed('*', 'true') AS by_index;
SELECT guest_rows('SELECT * FROM reads.picked WHERE reads.leak(id) AND id > 4000') = allowed('*', 'id > 4000') AS same;
SELECT guest_rows('SELECT s.id FROM reads.other o JOIN reads.picked s ON s.id = o.id AND reads.leak(s.id)') = allowed('id', 'id IN (SELECT id FROM reads.other)') AS joined;
SELECT guest_rows('SELECT * FROM reads.picked WHERE reads.leak(id) AND id = 16025') IS NULL AS not_allowed, guest_rows('SELECT id FROM reads.picked WHERE reads.leak(id) AND id = 16001') AS allowed;
SELECT count(*) AS hidden FROM leaked l LEFT JOIN source s USING (id) WHERE s.id IS NULL OR s.grp IS NULL OR s.grp >= 20;
RESET enable_seqscan;
SELECT guest_rows('SELECT ctid, id FROM reads.picked WHERE ctid > ''(0,0)''') IS NOT NULL AS tids,
       guest_rows('SELECT id FROM reads.picked WHERE ctid = ANY (ARRAY[' || (SELECT string_agg(format('%L::tid', ctid), ',') FROM picked WHERE id IN (16001, 16025, 16026)) || '])') AS by_tid;
-- The owner, under FORCE; a role to whom no policy applies; without rights on the stream table.
ALTER TABLE picked FORCE ROW LEVEL SECURITY;
SELECT count(*) > 0 AS superuser_reads FROM picked;
ALTER TABLE picked NO FORCE ROW LEVEL SECURITY;
DROP POLICY low ON picked;
SELECT guest_rows('TABLE reads.picked') IS NULL AS nothing;
ALTER TABLE picked DISABLE ROW LEVEL SECURITY;
SELECT cardinality(guest_rows('TABLE reads.picked')) = cardinality(all_rows('TABLE reads.picked')) AS everything;
-- The rights on the stream table are what counts; of those on its source it needs none.
SELECT guest_rows('SELECT total FROM reads.totals') = all_rows('SELECT sum(val) AS total FROM reads.source GROUP BY grp') AS without_rights_on_source;
REVOKE SELECT ON picked FROM reads_guest;
GRANT SELECT (id) ON picked TO reads_guest;
SELECT cardinality(guest_rows('SELECT id FROM reads.picked')) = (SELECT count(*) FROM picked) AS one_column;
DO $$
BEGIN
  PERFORM reads.guest_rows('SELECT note FROM reads.picked');
EXCEPTION WHEN insufficient_privilege THEN RAISE INFO '%', SQLERRM;
END $$;
DROP POLICY listed ON picked;
DROP MATERIALIZED VIEW once;
DROP VIEW plain, joined, checked_view, barrier;
DROP TABLE leaked;
DROP FUNCTION differs, leak, shown, guest_rows, all_rows, allowed;
DROP OWNED BY reads_guest;
DROP ROLE reads_guest;
