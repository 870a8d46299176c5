-- The access method below the planner: plain scans in both directions, TIDs, COPY, maintenance commands, and the writes
-- and locks that a stream table refuses.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
CALL change(12000);

-- Cursors over the merging scan: the base first, additions after it, and back.
CREATE FUNCTION walk(query text) RETURNS TABLE (forwards bigint, backwards bigint, mirrored boolean, turned boolean) LANGUAGE plpgsql AS $$
DECLARE
  c refcursor;
  r record;
  f text[] := '{}';
  b text[] := '{}';
  t text[] := '{}';
BEGIN
  OPEN c SCROLL FOR EXECUTE query;
  LOOP
    FETCH c INTO r;
    EXIT WHEN NOT FOUND;
    f := f || r::text;
  END LOOP;
  LOOP
    FETCH BACKWARD FROM c INTO r;
    EXIT WHEN NOT FOUND;
    b := r::text || b;
  END LOOP;
  -- Turning round at every third row, on the way to the end.
  FOR i IN 1 .. cardinality(f) LOOP
    FETCH c INTO r;
    IF i % 3 = 0 THEN
      FETCH BACKWARD FROM c INTO r;
      FETCH c INTO r;
    END IF;
    t := t || r::text;
  END LOOP;
  CLOSE c;
  RETURN QUERY SELECT cardinality(f)::bigint, cardinality(b)::bigint, f = b, f = t;
END $$;
SELECT forwards = (SELECT count(*) FROM picked) AS complete, mirrored, turned FROM walk('SELECT * FROM picked');
SELECT forwards = (SELECT count(*) FROM totals) AS complete, mirrored, turned FROM walk('SELECT * FROM totals');
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT count(*) OVER () > 0 AS any_row FROM totals;
FETCH LAST FROM c;
FETCH NEXT FROM c;
FETCH PRIOR FROM c;
FETCH FIRST FROM c;
FETCH PRIOR FROM c;
ROLLBACK;

-- TIDs. An addition has one that is good within the snapshot.
SELECT count(*) = (SELECT count(*) FROM picked) AS every_row_once FROM (SELECT DISTINCT ctid FROM picked) t;
SELECT (SELECT count(*) FROM picked) = (SELECT count(*) FROM picked WHERE ctid > '(0,0)') AS range_has_all;
SELECT id, note FROM picked WHERE ctid = (SELECT ctid FROM picked WHERE id = 5001);
SELECT id, note FROM picked WHERE ctid = ANY (ARRAY(SELECT ctid FROM picked WHERE id IN (4, 5001, 5002))) ORDER BY id;
SELECT id FROM picked WHERE ctid = '(4294000000,1)';
SELECT tableoid::regclass, id FROM picked WHERE id IN (4, 5001) ORDER BY id;

-- COPY reads the merged rows.
COPY (SELECT count(*) FROM picked) TO STDOUT;
\copy totals TO PROGRAM 'wc -l | tr -d " "'

-- Reading it while changing something else.
CREATE TABLE target AS SELECT id, ''::text AS note FROM source WHERE id > 4900;
UPDATE target SET note = s.note FROM picked s WHERE s.id = target.id;
SELECT count(*), count(*) FILTER (WHERE t.note IS DISTINCT FROM s.note) AS wrong
  FROM target t JOIN (SELECT id, note FROM source WHERE id % 5 <> 0) s USING (id);
DELETE FROM target USING totals t WHERE t.grp = target.id % 100 AND t.n > 40;
INSERT INTO target SELECT id, note FROM picked WHERE id < 10;
SELECT count(*) FROM target;

-- Indexes are built over the base, whatever is pending.
CREATE INDEX picked_twice ON picked (twice);
CREATE INDEX CONCURRENTLY picked_note ON picked (note);
CREATE INDEX picked_brin ON picked USING brin (id);
CREATE INDEX picked_some ON picked (lower(note)) WHERE grp > 50;
REINDEX INDEX CONCURRENTLY picked_id;
REINDEX TABLE picked;
-- The key index is marked invalid, which keeps it out of plans and dumps.
SELECT array_agg(indexrelid::regclass) FILTER (WHERE NOT indisvalid) AS invalid, count(*) FROM pg_index WHERE indrelid = 'picked'::regclass;
SET enable_seqscan = off;
SELECT n, verdict FROM verify('SELECT * FROM {picked} s WHERE twice BETWEEN 900 AND 1000');
SET enable_bitmapscan = off;
SELECT * FROM verify('SELECT * FROM {picked} s WHERE twice BETWEEN 900 AND 1000');
RESET enable_bitmapscan;
SELECT * FROM verify('SELECT * FROM {picked} s WHERE note = ''note 4''');
SELECT * FROM verify('SELECT * FROM {picked} s WHERE lower(note) LIKE ''new 50%'' AND grp > 50');
RESET enable_seqscan;

-- Maintenance.
ANALYZE picked;
SELECT * FROM verify('SELECT * FROM {picked} s');
VACUUM picked;
SELECT * FROM verify('SELECT * FROM {picked} s');
VACUUM FULL totals;
SELECT * FROM verify('SELECT * FROM {totals} s');
CLUSTER picked USING picked_grp;
SELECT * FROM verify('SELECT * FROM {picked} s');
DELETE FROM source WHERE id % 90 = 2;
SELECT * FROM verify('SELECT * FROM {picked} s');
SELECT * FROM verify('SELECT * FROM {totals} s');
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
SELECT * FROM verify('SELECT * FROM {picked} s');
SELECT * FROM verify('SELECT * FROM {totals} s');
SELECT c.relname = 'picked' AS main, a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
 WHERE c.oid IN ('picked'::regclass, (SELECT reltoastrelid FROM pg_class WHERE oid = 'picked'::regclass)) ORDER BY 1;

-- Refusals.
UPDATE source SET val = val + 1 WHERE id = 4;
INSERT INTO totals VALUES (1, 2, 3);
INSERT INTO totals SELECT 1, 2, 3 WHERE false;
UPDATE totals SET n = 0 WHERE false;
DELETE FROM totals;
-- Before 17 core itself refuses MERGE because of the rule.
DO $$
BEGIN
  MERGE INTO reads.totals t USING reads.other o ON o.id = t.grp WHEN MATCHED THEN DELETE;
  RAISE INFO 'merged';
EXCEPTION WHEN wrong_object_type OR feature_not_supported THEN
  RAISE INFO 'refused';
END $$;
WITH gone AS (DELETE FROM totals RETURNING *) SELECT count(*) FROM gone;
COPY totals FROM STDIN;
\.
SELECT 1 FROM totals FOR UPDATE;
SELECT 1 FROM totals FOR KEY SHARE;
SELECT count(*) FROM (SELECT o.id FROM other o JOIN totals t ON t.grp = o.id FOR UPDATE OF o) l;
SELECT count(*) FROM picked TABLESAMPLE system (50);
SELECT pgstream.refresh_stream_table('picked');
SELECT count(*) > 0 FROM picked TABLESAMPLE system (100);

-- A FULL stream table is read as it was computed; before that, not at all.
CREATE TABLE held USING pgstream WITH (refresh_mode = 'FULL') AS SELECT count(*) AS n FROM source WITH NO DATA;
SELECT * FROM held;
SELECT pgstream.refresh_stream_table('held');
SELECT h.n = (SELECT count(*) FROM source) AS right_now FROM held h;
DELETE FROM source WHERE id = 4;
SELECT h.n = (SELECT count(*) FROM source) + 1 AS as_computed FROM held h;
DROP TABLE held;
