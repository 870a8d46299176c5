-- A record of another format version makes readers recompute; a damaged one is an error, and never more than that.
SET client_min_messages = warning;
CREATE SCHEMA log_format;
SET search_path = log_format, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, val int, note text);
INSERT INTO src SELECT i, i % 7, i * 3, CASE WHEN i % 3 > 0 THEN 'note ' || i END FROM generate_series(1, 100) i;
CREATE TABLE groups USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n, max(note) AS last FROM src GROUP BY grp;
CREATE TABLE lines USING pgstream AS SELECT id, val, note FROM src WHERE val % 2 = 0;
CREATE FUNCTION fine() RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN v.exact = v.streams THEN 'exact: ' || answered ELSE 'WRONG: ' || wrong END FROM verify_streams('log_format') v $$;
-- The records of the log, and each with a byte of its own.
CREATE FUNCTION log_segments() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT s::regclass::text FROM pgstream.pgs_log l, unnest(l.segments) s WHERE l.source_relid = 'src'::regclass $$;
CREATE FUNCTION set_byte_of_log(at int, byte int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE segment text; changed bigint := 0; n bigint;
BEGIN
  FOR segment IN SELECT log_segments() LOOP
    EXECUTE format('UPDATE %s SET batch = set_byte(batch, %s, %s) WHERE length(batch) > %s', segment, at, byte, at);
    GET DIAGNOSTICS n = ROW_COUNT;
    changed := changed + n;
  END LOOP;
  RETURN changed;
END $$;

INSERT INTO src SELECT i, i % 9, i, 'more ' || i FROM generate_series(101, 140) i;
UPDATE src SET val = val + 1 WHERE id % 10 = 0;
SELECT fine();
SET allow_system_table_mods = on;
-- Version 1, and one of the future.
SELECT set_byte_of_log(1, 1) > 0 AS changed;
-- A session that has read before goes on with what it read.
SELECT fine();
\c -
SET client_min_messages = warning;
SET search_path = log_format, public;
SET allow_system_table_mods = on;
SELECT fine();
SELECT changes > 0 AS some FROM pgstream.pending_changes('groups');
SELECT pgstream.refresh_stream_table('groups'), pgstream.refresh_stream_table('lines');
SELECT fine();
INSERT INTO src VALUES (201, 1, 2, 'after');
SELECT fine();
SELECT set_byte_of_log(1, 3) > 0 AS changed;
\c -
SET client_min_messages = warning;
SET search_path = log_format, public;
SET allow_system_table_mods = on;
SELECT fine();
SELECT pgstream.refresh_stream_table('groups'), pgstream.refresh_stream_table('lines');
SELECT fine();

-- Every byte of a record damaged in turn: an error of its own SQLSTATE, or an answer, never a crash.
SELECT fine();
CREATE FUNCTION damage(OUT outcome text, OUT seen boolean) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE outcomes text[] := '{}'; at int; byte int; found text;
BEGIN
  FOR at IN 0..150 LOOP
    CONTINUE WHEN at = 1;
    FOREACH byte IN ARRAY ARRAY[0, 1, 15, 16, 32, 127, 128, 255] LOOP
      BEGIN
        INSERT INTO src SELECT i, i % 9, i, nullif('more ' || i % 5, 'more 3') FROM generate_series(301, 320) i;
        PERFORM set_byte_of_log(at, byte);
        PERFORM count(*) FROM lines;
        found := 'read';
        RAISE EXCEPTION USING ERRCODE = 'P0999', MESSAGE = 'undo';
      EXCEPTION
        WHEN SQLSTATE 'P0999' THEN NULL;
        WHEN data_corrupted THEN found := 'data_corrupted';
      END;
      outcomes := outcomes || found;
    END LOOP;
  END LOOP;
  RETURN QUERY SELECT o, count(*) > 10 FROM unnest(outcomes) o GROUP BY o ORDER BY o;
END $$;
SELECT * FROM damage();
SELECT fine();
RESET allow_system_table_mods;
DROP SCHEMA log_format CASCADE;
