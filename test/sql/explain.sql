-- EXPLAIN: the delta arm, and the summary of every stream table that the statement reads, in all formats.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');

-- Lines of EXPLAIN's text that differ between versions or runs are taken out.
CREATE FUNCTION explained(options text, query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, query) LOOP
    CONTINUE WHEN line ~ '^\s*(Buffers|Planning|Heap Blocks|Index Searches|Disabled|Memory|Sort Method|Execution Time)';
    line := regexp_replace(line, '\(actual .*rows=(\d+)(\.\d+)? loops=(\d+)\)', '(rows=\1 loops=\3)');
    RETURN NEXT regexp_replace(line, '(Time|Age): [0-9.]+ ms', '\1: N ms');
  END LOOP;
END $$;
SET enable_bitmapscan = off;

-- What holds for every execution.
SELECT explained('COSTS OFF', 'SELECT * FROM totals');
SELECT explained('COSTS OFF', 'SELECT * FROM picked WHERE id = 8');
SELECT line FROM explained('COSTS OFF', 'SELECT p.id FROM picked p JOIN totals t ON t.grp = p.grp JOIN picked q ON q.id = p.id + 1 WHERE p.id < 10') line WHERE line ~ '^Stream Table';
SELECT explained('COSTS OFF', 'SELECT 1') ;

-- What happened.
SELECT explained('ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF', 'SELECT count(*) FROM totals');
UPDATE source SET val = val + 1 WHERE id IN (8, 9);
INSERT INTO source VALUES (9001, 500, 1, 'nine');
DELETE FROM source WHERE id = 11;
SELECT explained('ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF', 'SELECT count(*) FROM totals');
SELECT explained('ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF', 'SELECT * FROM picked WHERE id = 8');
SELECT line FROM explained('ANALYZE, COSTS OFF', 'SELECT * FROM picked') line WHERE line ~ '(Delta Time|Frontier Age)';
-- A lookup per outer row hashes the additions.
INSERT INTO source SELECT i, 1, 1, 'many' FROM generate_series(9101, 9140) i;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT explained('ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF', 'SELECT count(s.id) FROM generate_series(9101, 9104) g JOIN picked s ON s.id = g');
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;

-- The reason why something is recomputed.
CREATE TABLE ranked USING pgstream AS SELECT id, rank() OVER (ORDER BY val) AS place FROM source;
INSERT INTO source VALUES (9201, 1, 1, 'ranked');
SELECT explained('ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF', 'SELECT count(*) FROM ranked');
DROP TABLE ranked;

-- Structured formats stay well formed and have the summary within the query.
CREATE FUNCTION summary(options text, query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE result json;
BEGIN
  EXECUTE format('EXPLAIN (FORMAT JSON, %s) %s', options, query) INTO result;
  RETURN result::jsonb -> 0 -> 'Stream Tables';
END $$;
SELECT jsonb_pretty(summary('COSTS OFF', 'SELECT * FROM picked p JOIN totals t USING (grp)'));
SELECT keys FROM jsonb_object_keys(summary('ANALYZE', 'SELECT * FROM picked p') -> 0) keys WHERE keys !~ '^(Interpreted|Native)' ORDER BY 1;
-- As text: a server need not have been built with XML. Every tag is closed where it was opened.
CREATE FUNCTION xml_tail(query text, OUT tail text, OUT closed boolean) LANGUAGE plpgsql AS $$
DECLARE result text; tag text[]; open_tags text[] := '{}';
BEGIN
  EXECUTE format('EXPLAIN (FORMAT XML, COSTS OFF) %s', query) INTO result;
  closed := true;
  FOR tag IN SELECT m FROM regexp_matches(result, '<(/?)([A-Za-z-]+)[^>]*>', 'g') m LOOP
    IF tag[1] = '' THEN
      open_tags := open_tags || tag[2];
    ELSE
      closed := closed AND open_tags[cardinality(open_tags)] = tag[2];
      open_tags := open_tags[1:cardinality(open_tags) - 1];
    END IF;
  END LOOP;
  closed := closed AND open_tags = '{}';
  tail := substring(result FROM '<Stream-Tables>.*');
END $$;
SELECT * FROM xml_tail('SELECT * FROM picked p JOIN totals t USING (grp)');
CREATE FUNCTION yaml_tail(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
  EXECUTE format('EXPLAIN (FORMAT YAML, COSTS OFF) %s', query) INTO result;
  RETURN QUERY SELECT substring(result FROM 'Stream Tables.*');
END $$;
SELECT yaml_tail('SELECT * FROM totals');

-- EXECUTE of a prepared statement, whose plan may be an old one.
PREPARE look (int) AS SELECT * FROM picked WHERE id = $1;
PREPARE sums AS SELECT count(*) FROM totals t, (SELECT max(id) FROM source) s;
PREPARE neither AS SELECT 1;
SET plan_cache_mode = force_generic_plan;
EXECUTE look (8);
SELECT explained('COSTS OFF', 'EXECUTE look (8)');
SELECT explained('ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF', 'EXECUTE look (8)');
RESET plan_cache_mode;
SELECT line FROM explained('COSTS OFF', 'EXECUTE sums') line WHERE line ~ '^Stream Table|^  S';
SELECT line FROM explained('COSTS OFF', 'CREATE TABLE another AS EXECUTE sums') line WHERE line ~ '^Stream Table|^  S';
SELECT explained('COSTS OFF', 'EXECUTE neither');
SELECT summary('COSTS OFF', 'EXECUTE look (8)'), summary('COSTS OFF', 'EXECUTE neither');
SELECT keys FROM jsonb_object_keys(summary('ANALYZE', 'EXECUTE sums') -> 0) keys WHERE keys !~ '^(Interpreted|Native)' ORDER BY 1;
SELECT * FROM xml_tail('EXECUTE sums');
SELECT yaml_tail('EXECUTE sums');
DEALLOCATE ALL;
DELETE FROM source WHERE id BETWEEN 9001 AND 9300;
