-- A cancelled or failing read or fold leaves nothing wrong behind: no half-made overlay, no other user or setting, no lock, no file.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA interrupted;
SET search_path = interrupted, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, note text);
CREATE INDEX ON src (grp);
INSERT INTO src SELECT i, i % 10, i, 'n' || i FROM generate_series(1, 500) i;
-- Where it is evaluated, -1 fails and -2 takes a minute.
CREATE FUNCTION trap(v numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF v = -1 THEN RAISE EXCEPTION 'trapped'; END IF;
  IF v = -2 THEN PERFORM pg_sleep(60); END IF;
  RETURN v;
END $$;
CREATE TABLE of_row USING pgstream AS SELECT id, trap(val) AS v FROM src;
CREATE TABLE of_filter USING pgstream AS SELECT id, note FROM src WHERE trap(val) > 3;
CREATE TABLE of_input USING pgstream AS SELECT grp, sum(trap(val)), count(*) FROM src GROUP BY grp;
CREATE TABLE of_result USING pgstream AS SELECT grp, trap(min(val)) AS least, count(*) FROM src GROUP BY grp;
CREATE TABLE of_having USING pgstream AS SELECT grp, count(*) FROM src GROUP BY grp HAVING trap(min(val)) < 400;
CREATE TABLE of_key USING pgstream AS SELECT trap(val) AS key, count(*) FROM src GROUP BY trap(val);
CREATE TABLE by_key USING pgstream AS SELECT grp, string_agg(note, ',' ORDER BY id), max(trap(val)) FROM src GROUP BY grp;
CREATE TABLE whole USING pgstream AS SELECT a.grp, count(*), sum(trap(a.val)) FROM src a JOIN src b USING (id) GROUP BY a.grp;
CREATE VIEW streams AS SELECT unnest('{of_row,of_filter,of_input,of_result,of_having,of_key,by_key,whole}'::text[]) AS name;

-- Nothing is left of a read that ended: no lock but a writer's on a log, no temporary file, no other user, no other search path.
CREATE FUNCTION left_behind() RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(', ',
    (SELECT 'lock on ' || c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
     WHERE l.pid = pg_backend_pid() AND l.mode <> 'RowExclusiveLock' AND c.relnamespace = 'pgstream'::regnamespace AND c.relname LIKE 'log\_%' LIMIT 1),
    (SELECT 'temporary file' FROM pg_ls_tmpdir() f WHERE f.name LIKE format('pgsql\_tmp%s.%%', pg_backend_pid()) LIMIT 1),
    CASE WHEN current_user <> session_user THEN 'user ' || current_user END,
    CASE WHEN current_setting('search_path') <> 'interrupted, public' THEN 'search_path ' || current_setting('search_path') END)
$$;
CREATE FUNCTION read(stream text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT s::text FROM %I s) x', stream) INTO n;
  RETURN 'read';
EXCEPTION WHEN raise_exception OR query_canceled THEN
  RETURN SQLERRM;
END $$;
CREATE FUNCTION compare(OUT streams bigint, OUT wrong text) LANGUAGE sql AS $$
  SELECT count(*), string_agg(name, ', ') FILTER (WHERE missing + surplus <> 0) FROM streams, differences(name::regclass)
$$;
CREATE FUNCTION folds() RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(name || ' ' || fold_number, ', ' ORDER BY name) FROM streams JOIN pgstream.pgs_frontier f ON f.pgs_relid = name::regclass
$$;

-- Errors, caught in the transaction that goes on: at the first build, and at the extension of an overlay that was right.
BEGIN;
INSERT INTO src VALUES (1001, 1, -1, 'bad');
SELECT name, read(name), left_behind() FROM streams;
DELETE FROM src WHERE id = 1001;
SELECT * FROM compare();
INSERT INTO src VALUES (1002, 2, 5, 'good');
SELECT * FROM compare();
SAVEPOINT s;
INSERT INTO src VALUES (1003, 3, -1, 'bad'), (1004, 4, 7, 'lost');
SELECT name, read(name), left_behind() FROM streams;
ROLLBACK TO s;
SELECT * FROM compare();
COMMIT;
SELECT * FROM compare();
SELECT left_behind();

-- The same with every statement its own transaction.
INSERT INTO src VALUES (1005, 5, -1, 'bad');
SELECT count(*) FROM of_row;
SELECT count(*) FROM of_filter;
SELECT count(*) FROM of_input;
SELECT count(*) FROM of_result;
SELECT count(*) FROM of_having;
SELECT count(*) FROM of_key;
SELECT count(*) FROM by_key;
SELECT count(*) FROM whole;
SELECT left_behind();
UPDATE src SET val = 8 WHERE id = 1005;
SELECT * FROM compare();

-- A timeout, wherever in the building it strikes.
INSERT INTO src VALUES (1006, 6, -2, 'slow');
SET statement_timeout = '200ms';
SELECT count(*) FROM of_row;
SELECT count(*) FROM of_filter;
SELECT count(*) FROM of_input;
SELECT count(*) FROM of_result;
SELECT count(*) FROM of_having;
SELECT count(*) FROM of_key;
SELECT count(*) FROM by_key;
SELECT count(*) FROM whole;
RESET statement_timeout;
SELECT left_behind();
-- Caught, amid a transaction that has read and goes on to write.
DELETE FROM src WHERE id = 1006;
BEGIN;
SELECT * FROM compare();
DO $$
BEGIN
  INSERT INTO src VALUES (1007, 7, 1, 'kept');
  BEGIN
    INSERT INTO src VALUES (1008, 8, -1, 'bad');
    PERFORM count(*) FROM of_input;
  EXCEPTION WHEN raise_exception THEN
    RAISE WARNING '%', SQLERRM;
  END;
END $$;
SELECT * FROM compare();
SELECT left_behind();
COMMIT;
SELECT * FROM compare();

-- A fold that fails or is cancelled folds nothing.
INSERT INTO src VALUES (1009, 9, -1, 'bad'), (1010, 1, 10, 'good');
SELECT folds();
SELECT pgstream.refresh_stream_table('of_row');
SELECT pgstream.refresh_stream_table('of_filter');
SELECT pgstream.refresh_stream_table('of_input');
SELECT pgstream.refresh_stream_table('of_result');
SELECT pgstream.refresh_stream_table('of_having');
SELECT pgstream.refresh_stream_table('of_key');
SELECT pgstream.refresh_stream_table('by_key');
SELECT pgstream.refresh_stream_table('whole');
UPDATE src SET val = -2 WHERE id = 1009;
SET statement_timeout = '200ms';
SELECT pgstream.refresh_stream_table('of_row');
SELECT pgstream.refresh_stream_table('of_input');
SELECT pgstream.refresh_stream_table('by_key');
SELECT pgstream.refresh_stream_table('whole');
RESET statement_timeout;
SELECT folds();
SELECT left_behind();
UPDATE src SET val = 11 WHERE id = 1009;
SELECT * FROM compare();
SELECT name FROM streams, pgstream.refresh_stream_table(name);
SELECT * FROM compare();

-- With an overlay that spills: the row that fails comes last.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
INSERT INTO src SELECT i, i % 10, i, repeat('x', 100) FROM generate_series(2001, 8000) i;
INSERT INTO src VALUES (9000, 0, -1, 'bad');
SELECT count(*) FROM of_row;
SELECT count(*) FROM of_filter;
SELECT count(*) FROM of_key;
SELECT count(*) FROM whole;
BEGIN;
SELECT name, read(name), left_behind() FROM streams;
ROLLBACK;
SELECT left_behind();
UPDATE src SET val = 12 WHERE id = 9000;
SELECT * FROM compare();
-- One that was built keeps its files until its transaction ends.
BEGIN;
SELECT count(*) FROM of_row;
SELECT left_behind();
COMMIT;
SELECT left_behind();
RESET work_mem;
RESET hash_mem_multiplier;

-- Another's stream table: the reader is the reader again, and the settings are the reader's.
CREATE ROLE interrupted_owner;
GRANT USAGE, CREATE ON SCHEMA interrupted TO interrupted_owner;
GRANT SELECT ON src TO interrupted_owner;
ALTER TABLE of_input OWNER TO interrupted_owner;
ALTER TABLE by_key OWNER TO interrupted_owner;
INSERT INTO src VALUES (9001, 0, -1, 'bad');
BEGIN;
SELECT name, read(name), left_behind() FROM streams WHERE name IN ('of_input', 'by_key');
SELECT left_behind();
COMMIT;
DELETE FROM src WHERE id = 9001;
SELECT * FROM compare();

DROP SCHEMA interrupted CASCADE;
DROP ROLE interrupted_owner;
