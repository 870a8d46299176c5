-- Users' indexes of every kind over a stream table with pending changes: what pending rows enter and leave is right by each.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
CREATE TABLE things (id int PRIMARY KEY, kind int, at timestamp, tags text[], doc jsonb, place point, span int4range, name text);
CREATE FUNCTION thing(i int, OUT id int, OUT kind int, OUT at timestamp, OUT tags text[], OUT doc jsonb, OUT place point, OUT span int4range, OUT name text)
LANGUAGE sql IMMUTABLE AS $$
  SELECT i, i % 20, timestamp '2024-01-01' + i * interval '1 hour', ARRAY['t' || i % 7, 'u' || i % 11], jsonb_build_object('k', i % 13, 'n', i),
         point(i % 50, i / 50), int4range(i, i + 5), CASE WHEN i % 17 = 0 THEN NULL ELSE 'Name ' || i END
$$;
INSERT INTO things SELECT t.* FROM generate_series(1, 3000) i, thing(i) t;
CREATE TABLE items USING pgstream AS SELECT * FROM things WHERE id % 4 <> 0;
CREATE INDEX items_partial ON items (id) WHERE kind = 3;
CREATE INDEX items_partial_null ON items (id) WHERE name IS NULL;
CREATE INDEX items_lower ON items (lower(name));
CREATE INDEX items_sum ON items ((id + kind));
CREATE INDEX items_hash ON items USING hash (name);
CREATE INDEX items_tags ON items USING gin (tags);
CREATE INDEX items_doc ON items USING gin (doc jsonb_path_ops);
CREATE INDEX items_brin ON items USING brin (at) WITH (pages_per_range = 2);
CREATE INDEX items_place ON items USING gist (place);
CREATE INDEX items_span ON items USING gist (span);
CREATE INDEX items_quad ON items USING spgist (place);
CREATE UNIQUE INDEX items_id ON items (id) INCLUDE (name);
CREATE INDEX items_many ON items (kind, id DESC, at);
CREATE UNIQUE INDEX items_nulls ON items (name, id) NULLS NOT DISTINCT;
VACUUM (ANALYZE) items, things;
-- Rows come in, go out, and move into and out of each index's predicate or to another place in it.
INSERT INTO things SELECT t.* FROM generate_series(3001, 3120) i, thing(i) t;
UPDATE things SET kind = 3 WHERE id % 100 IN (1, 5);
UPDATE things SET kind = 4 WHERE kind = 3 AND id % 3 = 0;
UPDATE things SET name = CASE WHEN name IS NULL THEN 'was null' END WHERE id % 51 = 0 OR id % 77 = 1;
UPDATE things SET tags = tags || 'new'::text, doc = doc || '{"k": 99}', place = point(500, id), span = int4range(90000, 90000 + id), at = at + interval '10 years' WHERE id % 60 = 7;
DELETE FROM things WHERE id % 90 = 13 OR id BETWEEN 700 AND 720;

CREATE FUNCTION by_index() RETURNS TABLE (what text, n int, verdict text, strategy text, plan text) LANGUAGE plpgsql AS $$
DECLARE
  queries text[] := ARRAY[
    'partial', 'Index', 'SELECT * FROM {items} i WHERE kind = 3 AND id BETWEEN 1 AND 400',
    'partial, its predicate alone', 'Index', 'SELECT * FROM {items} i WHERE kind = 3',
    'partial, NULLs', 'Index', 'SELECT * FROM {items} i WHERE name IS NULL AND id < 2000',
    'expression', 'Index', 'SELECT * FROM {items} i WHERE lower(name) = ''name 3001'' OR lower(name) = ''was null''',
    'expression, range', 'Index', 'SELECT * FROM {items} i WHERE id + kind BETWEEN 2990 AND 3030',
    'hash', 'Index', 'SELECT * FROM {items} i WHERE name = ''was null''',
    'hash, base', 'Index', 'SELECT * FROM {items} i WHERE name = ''Name 9''',
    'gin', 'Bitmap', 'SELECT * FROM {items} i WHERE tags @> ARRAY[''t3'', ''u5'']',
    'gin, new', 'Bitmap', 'SELECT * FROM {items} i WHERE tags && ARRAY[''new'']',
    'gin, jsonb', 'Bitmap', 'SELECT * FROM {items} i WHERE doc @> ''{"k": 5}''',
    'gin, jsonb new', 'Bitmap', 'SELECT * FROM {items} i WHERE doc @> ''{"k": 99}''',
    'brin', 'Bitmap', 'SELECT * FROM {items} i WHERE at BETWEEN ''2024-02-01'' AND ''2024-02-03''',
    'brin, new', 'Bitmap', 'SELECT * FROM {items} i WHERE at > ''2033-01-01''',
    'gist', 'Index', 'SELECT * FROM {items} i WHERE place <@ box ''((0,0),(3,70))''',
    'gist, range', 'Index', 'SELECT * FROM {items} i WHERE span && int4range(2990, 3010)',
    'gist, range new', 'Index', 'SELECT * FROM {items} i WHERE span @> 90000',
    'two of them', 'Bitmap', 'SELECT * FROM {items} i WHERE tags @> ARRAY[''t3''] AND doc @> ''{"k": 5}''',
    'one or the other', 'Bitmap', 'SELECT * FROM {items} i WHERE tags @> ARRAY[''new''] OR id + kind = 3010',
    'unique', 'Index', 'SELECT * FROM {items} i WHERE id IN (5, 7, 13, 3001, 3003, 705)',
    'unique, covering', 'Index', 'SELECT id, name FROM {items} i WHERE id BETWEEN 690 AND 730',
    'several columns', 'Index', 'SELECT * FROM {items} i WHERE kind = 4 AND id > 2500',
    'row comparison', 'Index', 'SELECT * FROM {items} i WHERE (kind, -id) > (18, 0) AND kind > 17',
    'nothing', 'Index', 'SELECT * FROM {items} i WHERE id = -1',
    'minimum and maximum', 'Index', 'SELECT min(id), max(id), min(lower(name)), max(id + kind) FROM {items} i',
    'of a partial index', 'Index', 'SELECT min(id), max(id) FROM {items} i WHERE kind = 3',
    'of additions', 'Index', 'SELECT max(id) FROM {items} i WHERE id > 3000',
    'of nothing', 'Index', 'SELECT min(id) FROM {items} i WHERE id > 100000',
    'count by index', 'Index', 'SELECT count(*) FROM {items} i WHERE id > 2900'];
BEGIN
  FOR i IN 1 .. cardinality(queries) / 3 LOOP
    what := queries[3 * i - 2];
    SELECT c.n, c.verdict, c.strategy, c.plan INTO n, verdict, strategy, plan FROM reads.checked(queries[3 * i], queries[3 * i - 1]) c;
    RETURN NEXT;
  END LOOP;
END $$;
SET enable_seqscan = off;
SELECT * FROM by_index();
SET enable_bitmapscan = off;
SELECT what, verdict, strategy FROM by_index() WHERE verdict <> 'same' OR strategy <> 'algebraic (rows)';
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SELECT what, verdict, strategy FROM by_index() WHERE verdict <> 'same' OR strategy <> 'algebraic (rows)';
RESET enable_indexscan;

-- Order: by index, by an expression, incrementally sorted, by distance; each with LIMIT and OFFSET.
SET enable_sort = off;
SET enable_bitmapscan = off;
SELECT * FROM checked('SELECT id, name FROM {items} i WHERE id > 0 ORDER BY id LIMIT 40 OFFSET 2240', 'Merge Append', true);
SELECT * FROM checked('SELECT kind, id FROM {items} i WHERE kind IS NOT NULL ORDER BY kind, id DESC LIMIT 300', 'Merge Append', true);
SELECT * FROM checked('SELECT kind, id FROM {items} i WHERE kind IS NOT NULL ORDER BY kind DESC, id LIMIT 300', 'Merge Append.Index Scan Backward', true);
SELECT * FROM checked('SELECT lower(name), id FROM {items} i WHERE lower(name) > ''n'' ORDER BY lower(name), id LIMIT 50', 'Incremental Sort.Merge Append', true);
SELECT * FROM checked('SELECT kind, id, at FROM {items} i WHERE kind > 2 ORDER BY kind, name, id LIMIT 100', 'Incremental Sort.Merge Append', true);
SELECT * FROM checked('SELECT id FROM {items} i WHERE kind = 3 AND id > 0 ORDER BY id', 'Merge Append', true);
SELECT * FROM checked('SELECT id, place <-> point(500, 1000) AS d FROM {items} i ORDER BY place <-> point(500, 1000) LIMIT 10', 'Merge Append', true);
SELECT * FROM checked('SELECT DISTINCT ON (kind) kind, id FROM {items} i WHERE kind >= 0 ORDER BY kind, id DESC', 'Merge Append', true);
SET enable_hashagg = off;
SELECT * FROM checked('SELECT kind, count(*), max(id) FROM {items} i WHERE kind >= 0 GROUP BY kind', 'Merge Append');
RESET enable_hashagg;
SELECT * FROM checked('SELECT id, row_number() OVER (ORDER BY id) FROM {items} i WHERE id > 0', 'Merge Append');
SELECT * FROM checked('SELECT o.g, l.id FROM generate_series(1, 3100, 100) o (g), LATERAL (SELECT id FROM {items} i WHERE i.id >= o.g ORDER BY i.id LIMIT 3) l', 'Merge Append');
SELECT * FROM checked('SELECT o.g, l.id FROM generate_series(0, 20) o (g), LATERAL (SELECT id FROM {items} i WHERE i.kind = o.g AND i.id < 3050 ORDER BY i.id DESC LIMIT 3) l');
RESET enable_sort;
RESET enable_bitmapscan;
RESET enable_seqscan;

-- Made while changes are pending, and refreshed while each is there.
CREATE INDEX items_late ON items (at) WHERE doc @> '{"k": 99}';
SET enable_seqscan = off;
SELECT * FROM checked('SELECT * FROM {items} i WHERE doc @> ''{"k": 99}'' AND at > ''2030-01-01''', 'Index');
SELECT pgstream.refresh_stream_table('items');
DROP INDEX items_late;
SELECT what, n, verdict, strategy, plan FROM by_index() WHERE verdict <> 'same' OR plan <> 'as wanted';
UPDATE things SET kind = kind + 1, name = name || '.', tags = tags || 'newer'::text WHERE id % 3 = 0;
SELECT what, n, verdict, strategy, plan FROM by_index() WHERE verdict <> 'same' OR plan <> 'as wanted' OR strategy <> 'algebraic (rows)';
VACUUM items;
SELECT what, n, verdict, strategy, plan FROM by_index() WHERE verdict <> 'same' OR plan <> 'as wanted' OR strategy <> 'algebraic (rows)';
RESET enable_seqscan;
DROP TABLE items, things;
DROP FUNCTION by_index, thing;
