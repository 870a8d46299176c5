-- What else a row has: system columns, the whole row as a value, and its TID, of additions as of base rows.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
CALL change(15000);
ANALYZE picked, totals;

-- System columns, by every plan that reads rows (an addition was written by nobody: it shows as frozen).
SELECT tableoid::regclass, xmin, cmin, xmax, cmax, ctid > '(0,0)' AS has_tid, id FROM picked WHERE id = 15001;
SELECT tableoid::regclass, xmin::text::bigint > 2 AS written, xmax, ctid > '(0,0)' AS has_tid, id FROM picked WHERE id = 4;
SET enable_seqscan = off;
SELECT tableoid::regclass, xmin, cmin, xmax, cmax, ctid > '(0,0)' AS has_tid, id FROM picked WHERE id = 15001;
SET enable_indexscan = off;
SELECT tableoid::regclass, xmin, cmin, xmax, cmax, ctid > '(0,0)' AS has_tid, id FROM picked WHERE id = 15001;
RESET enable_indexscan;
RESET enable_seqscan;
SELECT xmin, tableoid::regclass, id FROM picked WHERE ctid = (SELECT ctid FROM picked WHERE id = 15001);
SELECT count(*) = (SELECT count(*) FROM picked) AS all_rows, count(*) FILTER (WHERE xmin = 2) > 100 AS additions FROM (SELECT xmin, id FROM picked ORDER BY xmin::text, id) x;
SELECT count(DISTINCT ctid) = count(*) AS distinct_tids, count(*) FILTER (WHERE tableoid <> 'totals'::regclass) AS elsewhere FROM totals;

-- The whole row.
CREATE FUNCTION note_of(r picked) RETURNS text LANGUAGE sql AS $$ SELECT r.note || ' of ' || r.id $$;
CREATE FUNCTION fields_of(r record) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN r.grp || '/' || r.id || '/' || to_json(r); END $$;
CREATE FUNCTION row_of(int) RETURNS picked LANGUAGE sql AS $$ SELECT * FROM picked WHERE id = $1 $$;
CREATE FUNCTION rows_of(int, int) RETURNS SETOF picked LANGUAGE sql AS $$ SELECT * FROM picked WHERE id BETWEEN $1 AND $2 $$;
CREATE FUNCTION rows_in_plpgsql(int, int) RETURNS SETOF picked LANGUAGE plpgsql AS $$
DECLARE r picked;
BEGIN
  FOR r IN SELECT * FROM picked WHERE id BETWEEN $1 AND $2 ORDER BY id LOOP r.note := r.note || '.'; RETURN NEXT r; END LOOP;
  RETURN QUERY SELECT * FROM picked WHERE id BETWEEN $1 AND $2;
END $$;
SELECT s, (s).note, s.note_of, note_of(s) FROM picked s WHERE id IN (3, 4, 15001) ORDER BY id;
SELECT fields_of(s) FROM picked s WHERE id IN (3, 15001) ORDER BY id;
SELECT row_to_json(s), to_jsonb(s) -> 'note' FROM picked s WHERE id IN (3, 15001) ORDER BY id;
SELECT row_of(15001), (row_of(3)).*;
SELECT * FROM rows_of(14990, 15003);
SELECT * FROM rows_in_plpgsql(14990, 15002);
SELECT * FROM checked('SELECT s AS whole FROM {picked} s');
SELECT * FROM checked('SELECT DISTINCT s::text AS whole FROM {totals} s');
SELECT * FROM checked('SELECT array_agg(s ORDER BY s.id)::text AS rows FROM {picked} s WHERE id > 4990');
SELECT * FROM checked('SELECT (SELECT t::text FROM {totals} t WHERE t.grp = s.grp) AS whole, s.id FROM {picked} s WHERE s.id > 4990');
SELECT count(*) FROM picked s JOIN picked p ON s = p AND s.id = p.id;
SELECT * FROM checked('SELECT count(*), count(s), count(s.*) FROM other o LEFT JOIN {picked} s ON s.id = o.id');
SELECT * FROM checked('SELECT o.id, s::text AS whole, s IS NULL AS missing FROM other o LEFT JOIN {picked} s ON s.id = o.id');
CREATE TABLE kept_rows (r picked);
INSERT INTO kept_rows SELECT s FROM picked s WHERE id IN (3, 4, 15001);
SELECT (r).* FROM kept_rows ORDER BY 1;
DROP TABLE kept_rows;

-- TIDs: what a scan says, a TID scan of the same snapshot finds, in every form; base rows that are masked are not found.
SELECT count(*) = (SELECT count(*) FROM picked) AS all_found, count(*) FILTER (WHERE a.id = b.id AND a.note IS NOT DISTINCT FROM b.note) = count(*) AS same
  FROM picked a JOIN picked b ON b.ctid = a.ctid;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT shape('SELECT a.id FROM picked a JOIN picked b ON b.ctid = a.ctid') ~ 'Tid Scan' AS by_tid;
SELECT count(*) = (SELECT count(*) FROM picked) AS all_found, count(*) FILTER (WHERE a.id = b.id AND a.note IS NOT DISTINCT FROM b.note) = count(*) AS same
  FROM picked a JOIN picked b ON b.ctid = a.ctid;
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT id FROM picked WHERE ctid IN (SELECT ctid FROM picked WHERE id IN (3, 4, 15001)) ORDER BY id;
SELECT id FROM picked WHERE ctid = ANY (ARRAY(SELECT ctid FROM picked WHERE id IN (3, 4, 15001, 15002))) ORDER BY id;
CREATE FUNCTION at(tids tid[]) RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
DECLARE found bigint[];
BEGIN
  EXECUTE 'SELECT array_agg(id ORDER BY id) FROM reads.picked WHERE ctid = ANY ($1)' INTO found USING tids;
  RETURN found;
END $$;
SELECT at(array_agg(ctid)) FROM picked WHERE id IN (3, 4, 15001, 15002);
-- Of the base row of what was changed or deleted there is nothing left.
SELECT bool_and(ctid < '(4026531840,0)') AS base, string_agg(quote_literal(ctid) || '::tid', ',') AS tids, min(ctid) AS first, max(ctid) AS last
  FROM picked WHERE id IN (1, 2, 6, 7) \gset
SELECT :'base' AS base;
DELETE FROM source WHERE id = 1;
UPDATE source SET note = 'moved' WHERE id = 2;
SELECT id FROM picked WHERE ctid IN (:tids) ORDER BY id;
SELECT id FROM picked WHERE ctid BETWEEN :'first' AND :'last' AND id IN (1, 2, 6, 7) ORDER BY id;
SELECT count(*) FROM picked WHERE ctid >= '(4026531840,0)' AND id = 2;
SELECT count(*) FROM picked WHERE ctid < '(4026531840,0)' AND id = 2;
SELECT (SELECT count(*) FROM picked WHERE ctid < '(4026531840,0)') + (SELECT count(*) FROM picked WHERE ctid >= '(4026531840,0)') = (SELECT count(*) FROM picked) AS two_halves;
SELECT bool_and(r.n = (SELECT count(*) FROM picked p WHERE p.ctid <= r.upto)) AS every_range
  FROM (SELECT ctid AS upto, row_number() OVER (ORDER BY ctid) AS n FROM picked) r WHERE r.n % 250 = 0;
SELECT id FROM picked WHERE ctid IN ('(4026531839,1)', '(4294967295,1)', '(4294967294,65535)', '(0,0)', '(4026531840,0)');
-- A later statement's additions may have others, but never another row's within one transaction and snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ;
CREATE TEMP TABLE tids ON COMMIT DROP AS SELECT ctid AS at, id FROM picked;
SELECT count(*) = (SELECT count(*) FROM picked) AS all_found, count(*) FILTER (WHERE p.id = t.id) = count(*) AS same FROM tids t JOIN picked p ON p.ctid = t.at;
COMMIT;
-- Nor have two scans of one statement where every read recomputes.
CREATE UNLOGGED TABLE uncaptured AS SELECT x FROM generate_series(1, 5) x;
CREATE TABLE recomputed USING pgstream AS SELECT x FROM uncaptured;
SELECT count(*) FROM recomputed WHERE ctid = ANY (ARRAY(SELECT ctid FROM recomputed));
SELECT count(*) FROM recomputed a JOIN recomputed b ON a.ctid = b.ctid AND a.x = b.x;
BEGIN;
INSERT INTO uncaptured VALUES (6);
SELECT count(*) FROM recomputed WHERE ctid = ANY (ARRAY(SELECT ctid FROM recomputed WHERE x > 3));
SAVEPOINT before;
SELECT 1 / (x - 6) FROM recomputed;
ROLLBACK TO before;
DELETE FROM uncaptured WHERE x = 1;
SELECT count(*) FROM recomputed WHERE ctid = ANY (ARRAY(SELECT ctid FROM recomputed));
COMMIT;
DROP TABLE recomputed, uncaptured;
DROP FUNCTION note_of, fields_of, row_of, rows_of, rows_in_plpgsql, at;
