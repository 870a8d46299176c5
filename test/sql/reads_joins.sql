-- Joins of every kind by every method, with the stream table on either side, and every other way of a query to take its
-- rows, while additions, masked and changed rows are pending.
SET search_path = reads, public;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SELECT pgstream.refresh_stream_table('picked'), pgstream.refresh_stream_table('totals');
CALL change(13000);
ANALYZE picked, totals, other, source;

-- Every join kind with one method left, the stream table (picked) and the plain one (other) changing sides.
CREATE FUNCTION all_joins(wanted text) RETURNS TABLE (kind text, n int, verdict text, strategy text, plan text) LANGUAGE plpgsql AS $$
DECLARE
  kinds text[] := ARRAY['JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN'];
BEGIN
  FOREACH kind IN ARRAY kinds LOOP
    IF kind = 'FULL JOIN' AND wanted ~ 'Nested' THEN CONTINUE; END IF;
    SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked(format('SELECT o.*, s.id AS sid, s.note FROM reads.other o %s {picked} s ON s.id = o.id', kind), CASE WHEN kind IN ('RIGHT JOIN') AND wanted ~ 'Nested' THEN '' ELSE wanted END) c;
    RETURN NEXT;
    kind := 'swapped ' || kind;
    SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked(format('SELECT o.*, s.id AS sid, s.note FROM {picked} s %s reads.other o ON s.id = o.id', substr(kind, 9)), CASE WHEN kind ~ 'RIGHT' AND wanted ~ 'Nested' THEN '' ELSE wanted END) c;
    RETURN NEXT;
  END LOOP;
  kind := 'semi';
  SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked('SELECT o.* FROM reads.other o WHERE EXISTS (SELECT FROM {picked} s WHERE s.id = o.id)', wanted) c;
  RETURN NEXT;
  kind := 'anti';
  SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked('SELECT o.* FROM reads.other o WHERE NOT EXISTS (SELECT FROM {picked} s WHERE s.id = o.id)', wanted) c;
  RETURN NEXT;
  kind := 'semi of it';
  SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked('SELECT s.* FROM {picked} s WHERE s.id IN (SELECT o.id FROM reads.other o)', wanted) c;
  RETURN NEXT;
  kind := 'anti of it';
  SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked('SELECT s.* FROM {picked} s WHERE NOT EXISTS (SELECT FROM reads.other o WHERE s.id = o.id)', wanted) c;
  RETURN NEXT;
  kind := 'itself';
  SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked('SELECT a.id, b.note FROM {picked} a JOIN {picked} b ON b.id = a.id', wanted) c;
  RETURN NEXT;
  kind := 'two of them';
  SELECT c.* INTO n, verdict, strategy, plan FROM reads.checked('SELECT a.id, b.total FROM {picked} a LEFT JOIN {totals} b ON b.grp = a.grp WHERE a.id > 4000', wanted) c;
  RETURN NEXT;
END $$;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT * FROM all_joins('Hash Join');
SET enable_mergejoin = on;
SET enable_hashjoin = off;
SELECT * FROM all_joins('Merge Join');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT * FROM all_joins('Merge Join');
RESET enable_seqscan;
RESET enable_bitmapscan;
SET enable_mergejoin = off;
SET enable_nestloop = on;
SELECT * FROM all_joins('Nested Loop');
SET enable_material = off;
SET enable_memoize = off;
SELECT * FROM all_joins('Nested Loop');
RESET enable_memoize;
RESET enable_material;

-- Memoize over the parameterized Append.
CREATE TABLE repeated AS SELECT i AS id, i % 30 AS grp FROM generate_series(1, 6000) i;
ANALYZE repeated;
SET enable_seqscan = off;
SET enable_material = off;
SELECT * FROM checked('SELECT a.id, b.note FROM repeated a JOIN {picked} b ON b.id = a.grp', 'Memoize.Append');
SELECT * FROM checked('SELECT a.id, b.total FROM repeated a LEFT JOIN {totals} b ON b.grp = a.grp', 'Memoize.Append');
RESET enable_seqscan;
RESET enable_material;
DROP TABLE repeated;
RESET enable_hashjoin;
RESET enable_mergejoin;

-- Subqueries, LATERAL, set operations, windows, grouping sets, recursion.
SELECT * FROM checked('SELECT id FROM other WHERE id NOT IN (SELECT id FROM {picked} s)');
SELECT * FROM checked('SELECT id FROM other WHERE id NOT IN (SELECT grp FROM {picked} s)');
SELECT * FROM checked('SELECT id FROM other WHERE id > ALL (SELECT n * 20 FROM {totals} s)');
SELECT * FROM checked('SELECT id FROM other WHERE id = ANY (ARRAY(SELECT grp FROM {totals} s))');
SELECT * FROM checked('SELECT o.id, EXISTS (SELECT FROM {picked} s WHERE s.id = o.id), (SELECT t.total FROM {totals} t WHERE t.grp = o.id) FROM other o');
SELECT * FROM checked('SELECT o.id, l.* FROM other o, LATERAL (SELECT s.id AS sid, s.note FROM {picked} s WHERE s.grp = o.id % 100 AND s.id > o.id ORDER BY s.id DESC LIMIT 2) l');
SELECT * FROM checked('SELECT s.id, l.* FROM {picked} s, LATERAL (SELECT o.tag FROM other o WHERE o.id BETWEEN s.id AND s.id + 5) l WHERE s.grp < 5');
SELECT * FROM checked('SELECT s.id, l.* FROM {picked} s LEFT JOIN LATERAL (SELECT t.total + s.id AS x FROM {totals} t WHERE t.grp = s.grp) l ON true WHERE s.id > 4900');
SELECT * FROM checked('SELECT id FROM {picked} s INTERSECT SELECT id FROM other');
SELECT * FROM checked('SELECT id FROM other EXCEPT ALL SELECT id FROM {picked} s');
SELECT * FROM checked('SELECT id FROM {picked} s UNION SELECT grp FROM {totals} t');
SELECT * FROM checked('SELECT id, rank() OVER (PARTITION BY grp ORDER BY id), sum(twice) OVER (PARTITION BY grp) FROM {picked} s');
SELECT * FROM checked('SELECT grp, id % 3 AS m, count(*), sum(twice) FROM {picked} s GROUP BY GROUPING SETS ((grp), (id % 3), ())');
SELECT * FROM checked('WITH RECURSIVE r AS (SELECT 1 AS id UNION ALL SELECT s.id FROM r JOIN {picked} s ON s.id = r.id * 2 OR s.id = r.id * 2 + 1) SELECT * FROM r');
SELECT * FROM checked('WITH m AS MATERIALIZED (SELECT * FROM {picked} s) SELECT a.id, b.id AS next FROM m a JOIN m b ON b.id = a.id + 1');
SELECT * FROM checked('SELECT count(*), count(DISTINCT grp), array_agg(id ORDER BY twice, id) FROM {picked} s WHERE id % 11 = 0');
SELECT * FROM checked('SELECT s.id FROM {picked} s WHERE (s.id, s.grp) IN (SELECT p.id, p.grp FROM {picked} p WHERE p.note LIKE ''%changed'')');

-- Writing other tables from it: the rows they get are those of the query.
CREATE TABLE copy_of USING heap AS SELECT * FROM picked;
CREATE TABLE written (id int, grp int, twice numeric, note text);
INSERT INTO written SELECT * FROM picked;
CREATE FUNCTION differs(a text, b text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT r FROM (SELECT x::text COLLATE "C" AS r, 1 AS w FROM (%s) x UNION ALL SELECT y::text, -1 FROM (%s) y) d GROUP BY r HAVING sum(w) <> 0) e', a, b) INTO n;
  RETURN n;
END $$;
SELECT differs('TABLE copy_of', 'SELECT id, grp, val * 2 AS twice, note FROM source WHERE id % 5 <> 0') AS created,
       differs('TABLE written', 'SELECT id, grp, val * 2 AS twice, note FROM source WHERE id % 5 <> 0') AS inserted;
CREATE TABLE aimed AS SELECT id, ''::text AS note, 0::numeric AS total FROM generate_series(4800, 13100) id;
UPDATE aimed SET note = s.note FROM picked s WHERE s.id = aimed.id;
SELECT differs('SELECT id, note FROM aimed WHERE note <> ''''', 'SELECT s.id, s.note FROM source s JOIN aimed t USING (id) WHERE s.id % 5 <> 0 AND s.note IS NOT NULL') AS updated;
DELETE FROM aimed USING totals t WHERE t.grp = aimed.id % 200 AND t.n > 30;
SELECT differs('SELECT id FROM aimed', 'SELECT id FROM generate_series(4800, 13100) id WHERE NOT EXISTS (SELECT FROM (SELECT grp, count(*) AS n FROM source GROUP BY grp) t WHERE t.grp = id % 200 AND t.n > 30)') AS deleted;
MERGE INTO aimed USING picked s ON s.id = aimed.id
  WHEN MATCHED AND s.grp > 50 THEN DELETE
  WHEN MATCHED THEN UPDATE SET total = s.twice
  WHEN NOT MATCHED AND s.id > 4990 THEN INSERT VALUES (s.id, s.note, -1);
SELECT differs('SELECT t.id, t.total FROM aimed t JOIN source s USING (id) WHERE s.id % 5 <> 0',
               'SELECT s.id, CASE WHEN i.id IS NULL THEN -1 ELSE s.val * 2 END FROM source s LEFT JOIN (SELECT id FROM generate_series(4800, 13100) id WHERE NOT EXISTS (SELECT FROM (SELECT grp, count(*) AS n FROM source GROUP BY grp) t WHERE t.grp = id % 200 AND t.n > 30)) i USING (id) WHERE s.id % 5 <> 0 AND (CASE WHEN i.id IS NULL THEN s.id > 4990 ELSE coalesce(s.grp, 0) <= 50 END)') AS merged;
-- A source written from its own stream table, whose old answer is what counts.
BEGIN;
UPDATE source s SET val = p.twice FROM picked p WHERE p.id = s.id AND s.grp < 3;
SELECT * FROM checked('SELECT * FROM {picked} s');
INSERT INTO source SELECT id + 100000, grp, twice, note FROM picked WHERE id > 12990;
SELECT * FROM checked('SELECT * FROM {picked} s');
DELETE FROM source s USING totals t WHERE t.grp = s.grp AND t.n < 40;
SELECT * FROM checked('SELECT * FROM {totals} s');
ROLLBACK;
SELECT * FROM checked('SELECT * FROM {picked} s');
DROP TABLE copy_of, written, aimed;
DROP FUNCTION all_joins, differs;
