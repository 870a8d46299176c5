-- A refresh gathers index entries and inserts them index by index: every kind of index has every row, and nothing else.
SET client_min_messages = warning;
CREATE SCHEMA entries;
SET search_path = entries, public;
-- Rows of st that an index finds, as the whole of it does: each of these conditions has an index.
CREATE FUNCTION unlike_scans(st regclass, conditions text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE condition text; by_scan text[]; by_index text[]; way text; line text; uses boolean;
BEGIN
  FOREACH condition IN ARRAY conditions LOOP
    FOR way IN VALUES ('scan'), ('index') LOOP
      PERFORM set_config('enable_seqscan', CASE way WHEN 'scan' THEN 'on' ELSE 'off' END, true),
              set_config('enable_indexscan', CASE way WHEN 'scan' THEN 'off' ELSE 'on' END, true),
              set_config('enable_bitmapscan', CASE way WHEN 'scan' THEN 'off' ELSE 'on' END, true);
      EXECUTE format('SELECT array_agg(r::text ORDER BY r::text) FROM %s r WHERE %s', st, condition) INTO by_index;
      IF way = 'scan' THEN by_scan := by_index; END IF;
    END LOOP;
    uses := false;
    FOR line IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT * FROM %s r WHERE %s', st, condition) LOOP
      uses := uses OR line LIKE '%Index Scan%';
    END LOOP;
    IF NOT uses THEN RETURN NEXT condition || ': no index'; END IF;
    IF coalesce(cardinality(by_scan), 0) = 0 THEN RETURN NEXT condition || ': no rows'; END IF;
    IF by_scan IS DISTINCT FROM by_index THEN RETURN NEXT condition || ': other rows'; END IF;
  END LOOP;
END $$;
CREATE TABLE src (id int PRIMARY KEY, grp int, t text, val numeric, tags int[]);
INSERT INTO src SELECT i, i % 400, CASE WHEN i % 7 > 0 THEN 'text ' || i % 50 END, i * 0.25, ARRAY[i % 10, i % 13] FROM generate_series(1, 4000) i;
CREATE TABLE lines USING pgstream AS SELECT id, grp, t, val, tags FROM src WHERE val >= 0;
CREATE TABLE sums USING pgstream AS SELECT grp, t, sum(val) AS total, count(*) AS n FROM src GROUP BY grp, t;
CREATE UNIQUE INDEX ON lines (id);
CREATE INDEX ON lines (t DESC NULLS LAST, grp) INCLUDE (val);
CREATE INDEX ON lines (grp) WHERE val > 500;
CREATE INDEX ON lines ((id * 2), (t || '!'));
CREATE INDEX ON lines USING hash (val);
CREATE INDEX ON lines USING gin (tags);
CREATE INDEX ON lines USING brin (id);
CREATE INDEX ON sums (total, t);
CREATE INDEX ON sums ((total::text) COLLATE "C" DESC);
CREATE UNIQUE INDEX ON sums (grp, t);
CREATE FUNCTION check_all() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT unlike_scans('lines', ARRAY['id BETWEEN 100 AND 900', 't = ''text 3''', 't IS NULL', 'grp < 20 AND val > 500', 'id * 2 IN (200, 4000, 8200)', 'val = 251',
                                     'tags @> ARRAY[3, 4]', 'id > 3000'])
  UNION ALL SELECT unlike_scans('sums', ARRAY['total BETWEEN 10 AND 5000', 'total::text COLLATE "C" LIKE ''4%'' AND total::text COLLATE "C" < ''5''', 'grp = 7 AND t = ''text 7'''])
$$;
SELECT check_all();

-- Everything changes, a part goes, some come; twice, so that rows are where earlier ones were. Waiting entries may take a megabyte: they are
-- inserted in several goes.
SET maintenance_work_mem = '1MB';
UPDATE src SET val = val + 1, t = nullif(t, 'text 9') WHERE id % 3 < 2;
DELETE FROM src WHERE id % 11 = 0;
INSERT INTO src SELECT i, i % 450, repeat('long text ' || i % 50, 30), i * 0.25, ARRAY[i % 10, i % 13] FROM generate_series(4001, 8200) i;
SELECT differences('lines'), differences('sums');
SELECT pgstream.refresh_stream_table('lines'), pgstream.refresh_stream_table('sums');
SELECT differences('lines'), differences('sums');
SELECT check_all();
VACUUM lines;
VACUUM sums;
UPDATE src SET val = val + 1000, grp = grp + 1 WHERE id NOT IN (807, 1004);
SELECT pgstream.refresh_stream_table('lines'), pgstream.refresh_stream_table('sums');
SELECT differences('lines'), differences('sums');
SELECT check_all();
-- Computed anew.
TRUNCATE src;
INSERT INTO src SELECT i, i % 400, CASE WHEN i % 7 > 0 THEN 'text ' || i % 50 END, i * 0.25, ARRAY[i % 10, i % 13] FROM generate_series(1, 4100) i;
SELECT pgstream.refresh_stream_table('lines'), pgstream.refresh_stream_table('sums');
SELECT action FROM pgstream.get_refresh_history('lines') ORDER BY start_time DESC LIMIT 1;
SELECT differences('lines'), differences('sums');
SELECT check_all();
RESET maintenance_work_mem;

-- What a unique index refuses is refused, and nothing of the refresh stays. Values that rows exchange are no conflict.
CREATE TABLE codes (id int PRIMARY KEY, code int, note text);
INSERT INTO codes SELECT i, i * 10, 'note' FROM generate_series(1, 20) i;
CREATE TABLE by_code USING pgstream AS SELECT id, code FROM codes WHERE code > 0;
CREATE UNIQUE INDEX by_code_code ON by_code (code);
UPDATE codes SET code = CASE id WHEN 1 THEN 20 WHEN 2 THEN 10 WHEN 3 THEN 50 WHEN 5 THEN 30 END WHERE id IN (1, 2, 3, 5);
SELECT pgstream.refresh_stream_table('by_code');
SELECT differences('by_code');
UPDATE codes SET code = 70 WHERE id = 6;
SELECT pgstream.refresh_stream_table('by_code');
SELECT differences('by_code'), (SELECT count(*) FROM by_code WHERE code = 70);
UPDATE codes SET code = 75 WHERE id = 7;
SELECT pgstream.refresh_stream_table('by_code');
SELECT differences('by_code');
-- Groups that exchange a value of theirs that has a unique index.
CREATE TABLE by_note USING pgstream AS SELECT note, id % 2 AS odd, max(code) AS top, sum(code) AS total FROM codes GROUP BY note, id % 2;
CREATE UNIQUE INDEX ON by_note (total);
UPDATE codes SET id = id + 101;
SELECT pgstream.refresh_stream_table('by_note');
SELECT differences('by_note');
SELECT odd, total FROM by_note ORDER BY odd;
DROP SCHEMA entries CASCADE;
