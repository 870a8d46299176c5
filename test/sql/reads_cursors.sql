-- Cursors over a stream table with pending changes: scrolled both ways over every kind of plan, held past the transaction,
-- opened before own writes; loops in functions that write the source while they read.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
CALL change(14000);
ANALYZE picked, totals;

-- Reads a query through a scroll cursor: to the end, back to the beginning, and to positions here and there; what comes must
-- be what the defining query returns, in this order when it is a whole one.
CREATE FUNCTION scrolled(query text, wanted text DEFAULT '', of_live text DEFAULT '', OUT n int, OUT complete boolean, OUT mirrored boolean, OUT positioned boolean, OUT plan text)
LANGUAGE plpgsql AS $$
DECLARE
  live text := regexp_replace(query, '\{(\w+)\}', '\1', 'g') || of_live;
  name text;
  oracle text := query;
  c refcursor;
  r record;
  f text[] := '{}';
  b text[] := '{}';
  want text[];
BEGIN
  FOR name IN SELECT DISTINCT m[1] FROM regexp_matches(query, '\{(\w+)\}', 'g') m LOOP
    oracle := replace(oracle, '{' || name || '}', '(' || rtrim(pgstream.defining_query(name::regclass), '; ') || ')');
  END LOOP;
  plan := reads.shape('DECLARE c SCROLL CURSOR FOR ' || live);
  IF plan ~ wanted THEN plan := 'as wanted'; END IF;
  EXECUTE format('SELECT array_agg(x::text ORDER BY x::text COLLATE "C") FROM (%s) x', oracle) INTO want;
  OPEN c SCROLL FOR EXECUTE live;
  LOOP
    FETCH c INTO r;
    EXIT WHEN NOT FOUND;
    f := f || r::text;
  END LOOP;
  LOOP
    FETCH PRIOR FROM c INTO r;
    EXIT WHEN NOT FOUND;
    b := r::text || b;
  END LOOP;
  n := cardinality(f);
  complete := want = (SELECT array_agg(x ORDER BY x COLLATE "C") FROM unnest(f) x);
  mirrored := f = b;
  positioned := true;
  FOREACH name IN ARRAY ARRAY[1, n, n / 2, n / 2 + 1, n - 1, 2, n - 40, 3] LOOP
    FETCH ABSOLUTE name::int FROM c INTO r;
    positioned := positioned AND r::text = f[name::int];
    FETCH RELATIVE -1 FROM c INTO r;
    positioned := positioned AND (r::text IS NOT DISTINCT FROM f[name::int - 1] OR name = '1');
    FETCH ABSOLUTE name::int - n - 1 FROM c INTO r;  -- counted from the end
    positioned := positioned AND r::text = f[name::int];
  END LOOP;
  FETCH LAST FROM c INTO r;
  positioned := positioned AND r::text = f[n];
  FETCH FIRST FROM c INTO r;
  positioned := positioned AND r::text = f[1];
  MOVE FORWARD ALL FROM c;
  FETCH BACKWARD FROM c INTO r;
  positioned := positioned AND r::text = f[n];
  CLOSE c;
END $$;
SELECT * FROM scrolled('SELECT * FROM {picked} s', '^Seq Scan$');
SELECT * FROM scrolled('SELECT * FROM {picked} s WHERE grp < 60', '^Seq Scan$');
SELECT * FROM scrolled('SELECT * FROM {totals} s', '^Seq Scan$');
-- A TID range scan of 18 that turns round half-way loses rows of any table; from end to end it does not.
SELECT n, complete, mirrored, plan FROM scrolled('SELECT * FROM {picked} s', '^Tid Range Scan$', ' WHERE ctid > ''(0,0)''');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT * FROM scrolled('SELECT * FROM {picked} s WHERE id > 2000', 'Append');
SET enable_sort = off;
SELECT * FROM scrolled('SELECT * FROM {picked} s WHERE id > 2000 ORDER BY id', 'Merge Append');
SELECT * FROM scrolled('SELECT * FROM {picked} s WHERE id > 2000 ORDER BY id DESC', 'Merge Append.Index Scan Backward');
RESET enable_sort;
SET enable_indexscan = off;
SET enable_bitmapscan = on;
SELECT * FROM scrolled('SELECT * FROM {picked} s WHERE grp BETWEEN 5 AND 60', 'Append.Bitmap Heap Scan');
RESET enable_indexscan;
RESET enable_seqscan;
SELECT * FROM scrolled('SELECT * FROM {picked} s ORDER BY note, id', 'Sort');
SELECT * FROM scrolled('SELECT s.id, t.total FROM {picked} s LEFT JOIN {totals} t ON t.grp = s.grp');
SELECT * FROM strategies('SELECT s.id, t.total FROM picked s LEFT JOIN totals t ON t.grp = s.grp');

-- Each cursor keeps the answer of its OPEN, whatever is written, rolled back or refreshed before it is fetched; first
-- fetched before the writes, and not at all.
CREATE TABLE expected (cursor text, r text);
CREATE FUNCTION kept(cursor text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c refcursor := cursor; r record; got text[] := '{}'; want text[];
BEGIN
  MOVE ABSOLUTE 0 FROM c;
  LOOP
    FETCH c INTO r;
    EXIT WHEN NOT FOUND;
    got := got || r::text;
  END LOOP;
  SELECT array_agg(e.r ORDER BY e.r COLLATE "C") INTO want FROM expected e WHERE e.cursor = kept.cursor;
  RETURN CASE WHEN (SELECT array_agg(x ORDER BY x COLLATE "C") FROM unnest(got) x) IS NOT DISTINCT FROM want
              THEN 'kept ' || cardinality(got) || ' rows' ELSE 'CHANGED' END;
END $$;
CREATE PROCEDURE note_expected(names text[], query text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO expected SELECT name_, x::text FROM unnest(%L::text[]) name_, (%s) x', names, query);
END $$;
BEGIN;
CALL note_expected('{seq_begun,seq,idx_begun,idx,held}', 'SELECT id, grp, val * 2 AS twice, note FROM source WHERE id % 5 <> 0 AND id > 100');
CALL note_expected('{sums_begun,sums}', 'SELECT grp, sum(val) AS total, count(*) AS n FROM source GROUP BY grp');
DECLARE seq_begun SCROLL CURSOR FOR SELECT * FROM picked WHERE id > 100;
DECLARE seq SCROLL CURSOR FOR SELECT * FROM picked WHERE id > 100;
SET LOCAL enable_seqscan = off;
DECLARE idx_begun SCROLL CURSOR FOR SELECT * FROM picked WHERE id > 100;
DECLARE idx SCROLL CURSOR FOR SELECT * FROM picked WHERE id > 100 ORDER BY id;
RESET enable_seqscan;
DECLARE sums_begun SCROLL CURSOR FOR SELECT * FROM totals;
DECLARE sums SCROLL CURSOR FOR SELECT * FROM totals;
DECLARE held SCROLL CURSOR WITH HOLD FOR SELECT * FROM picked WHERE id > 100;
MOVE 20 FROM seq_begun;
MOVE 20 FROM idx_begun;
MOVE 20 FROM sums_begun;
UPDATE source SET val = val + 7, grp = grp + 1 WHERE id % 4 = 0;
DELETE FROM source WHERE id BETWEEN 200 AND 400;
INSERT INTO source SELECT i, 3, 3, 'own' FROM generate_series(50001, 50400) i;
SELECT * FROM checked('SELECT * FROM {picked} s');
SELECT * FROM checked('SELECT * FROM {totals} s');
SAVEPOINT here;
DELETE FROM source WHERE id > 3000;
SELECT * FROM checked('SELECT * FROM {picked} s');
MOVE 20 FROM seq_begun;
ROLLBACK TO here;
SELECT * FROM checked('SELECT * FROM {picked} s');
SELECT c, kept(c, '') FROM unnest('{seq_begun,seq,idx_begun,idx,sums_begun,sums,held}'::text[]) c;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
SELECT c, kept(c, '') FROM unnest('{seq_begun,seq,idx_begun,idx,sums_begun,sums,held}'::text[]) c;
COMMIT;
SELECT kept('held', '');
UPDATE source SET note = note || '!' WHERE id % 9 = 0;
SELECT kept('held', '');
CLOSE held;
DELETE FROM source WHERE id > 50000;

-- Not even TRUNCATE takes the rows from under an open cursor: it is refused, as for a cursor on the source.
BEGIN;
DECLARE c CURSOR FOR SELECT grp, total FROM totals;
TRUNCATE source;
ROLLBACK;
-- Nor does ALTER TABLE, which may rewrite them, as it then looks empty to the cursor's snapshot; with the cursor closed it does as it likes.
BEGIN;
DECLARE c CURSOR FOR SELECT grp, total FROM totals;
SAVEPOINT before;
ALTER TABLE source ADD COLUMN stamp float8 DEFAULT random();
ROLLBACK TO before;
ALTER TABLE source ALTER COLUMN note SET DEFAULT 'none';
ROLLBACK TO before;
SELECT count(*) > 0 AS reads FROM totals;
CLOSE c;
ALTER TABLE source ADD COLUMN stamp float8 DEFAULT random();
SELECT (differences('totals')).*;
ROLLBACK;

-- A loop that writes the source under its own feet, with errors caught on the way; the loop sees its OPEN, a query inside
-- sees what was written so far.
CREATE FUNCTION loop_writing(query text) RETURNS TABLE (turns int, wrong int) LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  turns := 0;
  wrong := 0;
  FOR r IN EXECUTE query LOOP
    turns := turns + 1;
    INSERT INTO source VALUES (60000 + turns, r.grp, turns, 'loop');
    UPDATE source SET val = val + 1 WHERE id = r.id;
    IF turns % 20 = 0 THEN
      BEGIN
        DELETE FROM source WHERE id > 60000;
        IF EXISTS (SELECT FROM picked WHERE id > 60000) THEN wrong := wrong + 1; END IF;
        PERFORM 1 / 0;
      EXCEPTION WHEN division_by_zero THEN NULL;
      END;
      IF (SELECT count(*) FROM picked WHERE id > 60000) <> (SELECT count(*) FROM source WHERE id > 60000 AND id % 5 <> 0) THEN wrong := wrong + 1; END IF;
      IF (SELECT sum(twice) FROM picked) <> (SELECT sum(val * 2) FROM source WHERE id % 5 <> 0) THEN wrong := wrong + 1; END IF;
      IF (SELECT sum(total) FROM totals) <> (SELECT sum(val) FROM source) THEN wrong := wrong + 1; END IF;
    END IF;
  END LOOP;
  RETURN NEXT;
END $$;
BEGIN;
SELECT turns = (SELECT count(*) FROM source WHERE grp BETWEEN 4 AND 9 AND id % 5 <> 0 AND id < 60000) AS every_row_once, wrong FROM loop_writing('SELECT id, grp FROM picked WHERE grp BETWEEN 4 AND 9');
ROLLBACK;
SET enable_seqscan = off;
BEGIN;
SELECT turns = (SELECT count(*) FROM source WHERE grp BETWEEN 4 AND 9 AND id % 5 <> 0 AND id < 60000) AS every_row_once, wrong FROM loop_writing('SELECT id, grp FROM picked WHERE grp BETWEEN 4 AND 9 AND id > 0');
SELECT * FROM checked('SELECT * FROM {picked} s');
COMMIT;
RESET enable_seqscan;
SELECT * FROM checked('SELECT * FROM {totals} s');

-- A procedure that commits inside its loop.
CREATE PROCEDURE loop_committing() LANGUAGE plpgsql AS $$
DECLARE r record; turns int := 0; expected int;
BEGIN
  SELECT count(*) INTO expected FROM (SELECT id FROM source WHERE id % 5 <> 0 AND id > 60000) x;
  FOR r IN SELECT id FROM picked WHERE id > 60000 LOOP
    turns := turns + 1;
    DELETE FROM source WHERE id = r.id;
    COMMIT;
  END LOOP;
  RAISE INFO 'every row once: %, left: %', turns = expected, (SELECT count(*) FROM picked WHERE id > 60000);
END $$;
CALL loop_committing();
DELETE FROM source WHERE id > 60000;

-- Read-only transactions.
BEGIN READ ONLY;
SELECT * FROM checked('SELECT * FROM {picked} s');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT * FROM checked('SELECT * FROM {totals} s');
ROLLBACK;
SET default_transaction_read_only = on;
SELECT * FROM checked('SELECT * FROM {picked} s');
RESET default_transaction_read_only;
DROP TABLE expected;
DROP FUNCTION scrolled, kept, loop_writing;
DROP PROCEDURE note_expected, loop_committing;
