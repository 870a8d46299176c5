-- Lookups by key, which resolve the changed groups that they ask for and leave the others: what is told of that, every kind of
-- key, what a lookup leaves for a full read under the same snapshot, cursors amid which all is resolved, own writes and DDL.
CREATE SCHEMA lookups;
SET search_path = lookups, public;
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET jit = off;
SET pgstream.keyed_evaluation = always;
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE src (id int PRIMARY KEY, k int, w text, c text COLLATE any_case, n numeric, v int, m numeric, unused int);
CREATE INDEX ON src (k);
INSERT INTO src SELECT i, nullif(i % 200, 7), 'w' || i % 3, (ARRAY['One', 'Two', 'Three'])[1 + i % 3], (i % 50)::numeric, i, i / 4.0 FROM generate_series(1, 4000) i;
CREATE TABLE sums USING pgstream AS SELECT k, count(*) AS n, sum(v) AS v, sum(m) AS m FROM src GROUP BY k;
CREATE TABLE extremes USING pgstream AS SELECT k, min(v) AS low, max(v) AS high FROM src GROUP BY k;
CREATE TABLE pairs USING pgstream AS SELECT k, w, sum(v) AS v FROM src GROUP BY k, w;
CREATE TABLE cased USING pgstream AS SELECT k, c, sum(v) AS v FROM src GROUP BY k, c;
CREATE TABLE numerics USING pgstream AS SELECT n, k, count(*) AS n_rows FROM src GROUP BY n, k;
CREATE TABLE hidden USING pgstream AS SELECT k, sum(v) AS v FROM src GROUP BY k HAVING sum(v) % 2 = 0;
CREATE TABLE kinds USING pgstream AS SELECT DISTINCT k, v % 10 AS digit FROM src;
CREATE TABLE quotients USING pgstream AS SELECT k, 1000 / sum(v) AS q FROM src GROUP BY k;
CREATE INDEX ON sums (k);
CREATE INDEX ON sums (v);
CREATE INDEX ON extremes (k);
CREATE INDEX ON pairs (k);
CREATE INDEX ON pairs (w, k);
CREATE INDEX ON cased (c);
CREATE INDEX ON cased (k);
CREATE INDEX ON numerics (n);
CREATE INDEX ON hidden (k);
CREATE INDEX ON kinds (k, digit);
CREATE INDEX ON quotients (k);

-- Runs a query and tells how many changed groups were resolved, of how many.
CREATE FUNCTION resolved(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; changed text := 'all'; done text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) ' || query LOOP
    IF line ~ 'Groups Changed' THEN changed := ' of ' || regexp_replace(line, '^.*: ', ''); END IF;
    IF line ~ 'Groups Resolved' THEN done := regexp_replace(line, '^.*: ', ''); END IF;
  END LOOP;
  RETURN done || changed;
END $$;
CREATE VIEW wrong AS SELECT x.name, d.* FROM unnest(ARRAY['sums', 'extremes', 'pairs', 'hidden', 'kinds', 'quotients']) AS x(name), differences(x.name) d WHERE missing + surplus > 0;
-- Looks up by a condition, compares with the query, then all of it with the query. Which of several keys that are equal is shown
-- says nothing.
CREATE FUNCTION image(line text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT regexp_replace(lower(line), '\.0+\M', '', 'g') $$;
CREATE FUNCTION looked_up(stream regclass, condition text, OUT n bigint, OUT lookup text, OUT then_all text) LANGUAGE plpgsql AS $$
DECLARE wrong bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM %s WHERE %s', stream, condition) INTO n;
  EXECUTE format('SELECT count(*) FROM ((SELECT image(x::text) FROM %1$s x WHERE %3$s EXCEPT ALL SELECT image(y::text) FROM (%2$s) y WHERE %3$s)
                  UNION ALL (SELECT image(y::text) FROM (%2$s) y WHERE %3$s EXCEPT ALL SELECT image(x::text) FROM %1$s x WHERE %3$s)) d',
                 stream, rtrim(pgstream.defining_query(stream), '; '), condition) INTO wrong;
  lookup := CASE wrong WHEN 0 THEN 'right' ELSE wrong || ' wrong' END;
  EXECUTE format('SELECT count(*) FROM ((SELECT image(x::text) FROM %1$s x EXCEPT ALL SELECT image(y::text) FROM (%2$s) y)
                  UNION ALL (SELECT image(y::text) FROM (%2$s) y EXCEPT ALL SELECT image(x::text) FROM %1$s x)) d',
                 stream, rtrim(pgstream.defining_query(stream), '; ')) INTO wrong;
  then_all := CASE wrong WHEN 0 THEN 'right' ELSE wrong || ' wrong' END;
END $$;

-- A change of 40 groups, two of them new, one gone, the NULL key among them.
UPDATE src SET v = v + 1, m = m + 0.5 WHERE k BETWEEN 20 AND 55 OR k IS NULL;
INSERT INTO src SELECT 5000 + i, 1000 + i, 'w0', 'One', 1.50, i, 1 FROM generate_series(1, 2) i;
DELETE FROM src WHERE k = 60;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT resolved('SELECT * FROM sums WHERE k = 1') AS not_changed;
SELECT resolved('SELECT * FROM sums WHERE k = 20') AS changed;
SELECT resolved('SELECT * FROM sums WHERE k = 20') AS again;
SELECT resolved('SELECT * FROM sums WHERE k = 1001') AS new;
SELECT resolved('SELECT * FROM sums WHERE k = 60') AS gone;
SELECT resolved('SELECT * FROM sums WHERE k = 777') AS never_was;
SELECT resolved('SELECT * FROM sums WHERE k = 21::bigint') AS other_type;
SELECT * FROM sums WHERE k IN (20) OR k = 20;
-- What does not ask by key takes all.
SELECT resolved('SELECT * FROM sums WHERE k IS NULL') AS by_null;
COMMIT;
SELECT resolved('SELECT * FROM sums WHERE k = 22 AND v > 0') AS a_second_snapshot, resolved('SELECT * FROM pairs WHERE w = ''w1'' AND k = 22') AS both_keys,
       resolved('SELECT * FROM kinds WHERE digit = 3') AS second_key, resolved('SELECT * FROM extremes WHERE low = 22') AS no_key;
SELECT x.condition, looked_up.* FROM unnest(ARRAY['k = 1', 'k = 20', 'k = 1001', 'k = 60', 'k = 777', 'k IS NULL', 'k = NULL', 'k = 21::bigint', 'k > 1000', 'k = 30 AND v > 0']) AS x(condition),
  looked_up('sums', condition);
SELECT * FROM looked_up('pairs', 'k = 25');
SELECT * FROM looked_up('pairs', $$k = 25 AND w = 'w1'$$);
SELECT * FROM looked_up('pairs', $$w = 'w1'$$);
SELECT * FROM looked_up('kinds', 'k = 26');
SELECT * FROM looked_up('hidden', 'k = 27');
SELECT * FROM looked_up('hidden', 'k = 28');

-- Keys that are equal without looking alike: what tells their images apart does not find groups.
INSERT INTO src SELECT 6000 + i, 30 + i, 'w0', (ARRAY['ONE', 'two', 'THREE'])[1 + i % 3], i + 0.00, i, 1 FROM generate_series(1, 40) i;
SELECT x.condition, looked_up.* FROM unnest(ARRAY[$$c = 'one'$$, $$c = 'TWO' AND k = 31$$, 'k = 33']) AS x(condition),
  looked_up('cased', condition);
SELECT x.condition, looked_up.* FROM unnest(ARRAY['n = 3', 'n = 3.00', 'n = 1.5', 'n = 7 AND k = 37', 'n = 0']) AS x(condition), looked_up('numerics', condition);
SELECT refresh_streams('lookups') > 0 AS refreshed;
INSERT INTO src SELECT 7000 + i, i, 'w0', 'OnE', (i % 50)::numeric(8, 2), i, 1 FROM generate_series(100, 150) i;
SELECT resolved('SELECT * FROM cased WHERE c = ''ONE'' COLLATE "C"') AS finer_collation, resolved('SELECT * FROM numerics WHERE n = 3.000') AS equal_by_key;
SELECT refresh_streams('lookups') > 0 AS refreshed;
UPDATE src SET c = upper(c), n = n + 0.000 WHERE id BETWEEN 1000 AND 1300;
SELECT (SELECT count(*) FROM cased WHERE c = 'ONE' COLLATE "C") = (SELECT count(*) FILTER (WHERE c = 'ONE' COLLATE "C") FROM cased) AS alike,
       (SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM numerics x WHERE n = 3.00) = (SELECT string_agg(x::text, ' ' ORDER BY x::text) FILTER (WHERE n = 3.00) FROM numerics x) AS too;

-- The least value of a group goes: that group has to be evaluated from its rows, and all others are resolved with it.
SELECT refresh_streams('lookups') > 0 AS refreshed;
UPDATE src SET v = v - 1000000 WHERE id IN (SELECT max(id) FROM src GROUP BY k);
DELETE FROM src WHERE id = 45;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT resolved('SELECT * FROM extremes WHERE k = 46') AS by_states;
SELECT resolved('SELECT * FROM extremes WHERE k = 100') AS from_rows;
COMMIT;
SELECT k, looked_up('extremes', 'k = ' || k) FROM unnest(ARRAY[100, 45, 46]) k;

-- Single groups, until they have cost as much as all would; and whatever the setting says.
SELECT refresh_streams('lookups') > 0 AS refreshed;
UPDATE src SET v = v + 1;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM (VALUES (1), (2), (3)) x(k) JOIN LATERAL (SELECT v FROM sums WHERE k = x.k) s ON true;
SELECT resolved('SELECT * FROM sums WHERE k = 4') AS a_few;
SELECT count(*) FROM generate_series(0, 199) g JOIN LATERAL (SELECT v FROM sums WHERE k = g) s ON true;
SELECT resolved('SELECT * FROM sums WHERE k = 5') AS many;
COMMIT;
SELECT differences('sums');
SET pgstream.lookup_by_key = never;
SELECT resolved('SELECT * FROM extremes WHERE k = 5') AS never;
SET pgstream.lookup_by_key = always;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM generate_series(0, 99) g JOIN LATERAL (SELECT v FROM pairs WHERE k = g) s ON true;
SELECT resolved('SELECT * FROM pairs WHERE k = 5') AS always;
COMMIT;
RESET pgstream.lookup_by_key;

-- A second snapshot has all, and goes on from there.
SELECT refresh_streams('lookups') > 0 AS refreshed;
UPDATE src SET v = v + 1;
SELECT resolved('SELECT * FROM sums WHERE k = 5') AS first;
UPDATE src SET v = v + 1 WHERE k = 5;
SELECT resolved('SELECT * FROM sums WHERE k = 5') AS second;
SELECT * FROM looked_up('sums', 'k = 5');

-- Own writes and savepoints.
SELECT refresh_streams('lookups') > 0 AS refreshed;
UPDATE src SET v = v + 1 WHERE k < 100;
BEGIN;
SELECT resolved('SELECT * FROM sums WHERE k = 5'), looked_up('sums', 'k = 6');
SAVEPOINT one;
UPDATE src SET v = v + 3 WHERE k = 5;
SELECT looked_up('sums', 'k = 5');
DELETE FROM src WHERE k = 8;
SELECT resolved('SELECT * FROM extremes WHERE k = 8'), looked_up('extremes', 'k = 8');
ROLLBACK TO one;
SELECT resolved('SELECT * FROM extremes WHERE k = 8'), looked_up('extremes', 'k = 8'), looked_up('sums', 'k = 5');
ROLLBACK;

-- Cursors that look up, amid which all is resolved: by a full read, by another cursor, by lookups without end, by own DDL that
-- would take the source's rows from the snapshot.
CREATE FUNCTION cursors(stream text, amid text, OUT n int, OUT verdict text) LANGUAGE plpgsql AS $$
DECLARE
  wanted text := 'SELECT l FROM generate_series(40, 80, 3) g, LATERAL (SELECT * FROM %s WHERE k = g) l';
  expected text[];
  c refcursor;
  r text;
  f text[] := '{}';
BEGIN
  EXECUTE format('SELECT array_agg(lower(l::text) ORDER BY lower(l::text)) FROM (' || wanted || ') q', '(' || rtrim(pgstream.defining_query(stream::regclass), '; ') || ') y') INTO expected;
  OPEN c FOR EXECUTE replace(format(wanted, stream), 'SELECT l FROM', 'SELECT l::text FROM');
  LOOP
    FETCH c INTO r;
    EXIT WHEN NOT FOUND;
    f := f || lower(r);
    IF cardinality(f) = 3 AND amid <> '' THEN EXECUTE amid; END IF;
  END LOOP;
  CLOSE c;
  n := cardinality(f);
  verdict := CASE WHEN expected = (SELECT array_agg(x ORDER BY x) FROM unnest(f) x) THEN 'right' ELSE 'wrong' END;
END $$;
UPDATE src SET v = v + 1000000 WHERE id < 60;
BEGIN;
SELECT * FROM unnest(ARRAY['sums', 'extremes', 'pairs', 'cased', 'hidden', 'kinds']) AS stream, cursors(stream, '');
SAVEPOINT a;
SELECT * FROM unnest(ARRAY['sums', 'extremes', 'pairs', 'cased', 'hidden', 'kinds']) AS stream, cursors(stream, format('SELECT * FROM %s', stream));
ROLLBACK TO a;
SELECT * FROM unnest(ARRAY['sums', 'extremes', 'pairs', 'cased', 'hidden', 'kinds']) AS stream, cursors(stream, format('SELECT cursors(%L, '''')', stream));
ROLLBACK TO a;
SELECT * FROM unnest(ARRAY['sums', 'extremes', 'pairs', 'cased', 'hidden', 'kinds']) AS stream, cursors(stream, format('UPDATE src SET v = v + 1 WHERE k BETWEEN 50 AND 60', stream));
ROLLBACK TO a;
SELECT * FROM unnest(ARRAY['sums', 'extremes', 'pairs', 'cased', 'hidden', 'kinds']) AS stream, cursors(stream, 'SELECT pgstream.refresh_stream_table(''sums'')');
ROLLBACK TO a;
SELECT * FROM unnest(ARRAY['extremes']) AS stream, cursors(stream, 'CREATE INDEX ON src (unused)');
SELECT raised($$SELECT * FROM cursors('extremes', 'ALTER TABLE src ALTER COLUMN unused TYPE bigint')$$);
ROLLBACK;

-- All parts of one statement have one overlay, whoever asks first.
SELECT count(*), count(DISTINCT x) FROM (SELECT x::text FROM sums x WHERE k = 41 UNION ALL SELECT x::text FROM sums x) u(x);
SELECT count(*), count(DISTINCT x) FROM (SELECT x::text FROM sums x UNION ALL SELECT x::text FROM sums x WHERE k = 41) u(x);
SELECT count(*) FROM sums a JOIN sums b USING (k) WHERE a.k = 42 AND a.ctid = b.ctid;
CREATE FUNCTION total(key int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT v FROM sums WHERE k = key';
CREATE FUNCTION total_of_all() RETURNS numeric LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT sum(v) FROM sums); END';
SELECT k, v = total(k), total_of_all() = (SELECT sum(v) FROM src) FROM sums WHERE k = 43;

-- An error in one group is the error of who asks for it; afterwards the answers are right.
SELECT refresh_streams('lookups') > 0 AS refreshed;
UPDATE src SET v = v + 1 WHERE k BETWEEN 100 AND 150;
UPDATE src SET v = 0 WHERE k = 120;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT q = 1000 / (SELECT sum(v) FROM src WHERE k = 121) AS right FROM quotients WHERE k = 121;
SAVEPOINT one;
SELECT q FROM quotients WHERE k = 120;
ROLLBACK TO one;
UPDATE src SET v = 1 WHERE k = 120;
SELECT looked_up('quotients', 'k = 120'), looked_up('quotients', 'k = 122');
COMMIT;
SELECT refresh_streams('lookups') > 0 AS refreshed;
UPDATE src SET v = 0 WHERE k BETWEEN 100 AND 150 AND (k = 120 OR id < 200);
-- Errors that are caught, in a snapshot that goes on after them.
CREATE FUNCTION caught() RETURNS TABLE (k int, q bigint, error text) LANGUAGE plpgsql AS $$
BEGIN
  FOR k IN SELECT g FROM generate_series(119, 122) g LOOP
    error := '';
    q := NULL;
    BEGIN
      SELECT s.q INTO q FROM quotients s WHERE s.k = caught.k;
    EXCEPTION WHEN division_by_zero THEN error := SQLERRM;
    END;
    RETURN NEXT;
  END LOOP;
END $$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT caught.k, caught.q IS NOT DISTINCT FROM (SELECT 1000 / nullif(sum(v), 0) FROM src WHERE src.k = caught.k) AS right, error FROM caught();
SELECT raised('SELECT count(*) FROM quotients');
COMMIT;
UPDATE src SET v = 5 WHERE k = 120;
SELECT * FROM wrong;
SELECT refresh_streams('lookups') > 0 AS refreshed;
SELECT * FROM wrong;
