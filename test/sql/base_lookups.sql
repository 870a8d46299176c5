-- Groups are looked up in the base leaf by leaf of the key index where they are many, one by one where they are few: both find
-- the same. What folds write leaves room for the next, and states that are what computing everything anew gives.
SET client_min_messages = warning;
CREATE SCHEMA base_lookups;
SET search_path = base_lookups, public;
CREATE TABLE src (id int PRIMARY KEY, grp int, name text, val numeric(10,2), free numeric);
INSERT INTO src SELECT i, i % 20000, 'name ' || i % 20000, (i * 7919 % 100000) / 100.0 - 400, i % 1000 / 4.0 FROM generate_series(1, 60000) i;
CREATE TABLE by_grp USING pgstream AS SELECT grp, sum(val) AS total, avg(val) AS mean, sum(free) AS free, count(*) AS n FROM src GROUP BY grp;
CREATE TABLE by_name USING pgstream AS SELECT name, sum(val) AS total, min(val) AS least FROM src GROUP BY name;
CREATE TABLE lines USING pgstream AS SELECT id, grp, val, free FROM src WHERE val > -1000;
VACUUM (ANALYZE) by_grp, by_name, lines;
-- How often a stream table's key index was descended.
CREATE FUNCTION descents(st regclass) RETURNS bigint LANGUAGE sql AS $$
  SELECT pg_stat_get_numscans(i.indexrelid) FROM pg_index i WHERE i.indrelid = st AND NOT i.indisvalid
$$;
-- Few groups, then many, of which some are new and some are gone.
UPDATE src SET val = val + 1.25 WHERE id % 2000 = 7;
SELECT pg_stat_force_next_flush();
SELECT descents('by_grp') AS before \gset
SELECT * FROM differences('by_grp');
SELECT pg_stat_force_next_flush();
SELECT descents('by_grp') AS after \gset
SELECT :after - :before >= 10 AS one_by_one;
SELECT pg_stat_force_next_flush();
SELECT descents('by_name') AS before \gset
SELECT * FROM differences('by_name');
SELECT pg_stat_force_next_flush();
SELECT descents('by_name') AS after \gset
SELECT :after - :before >= 10 AS one_by_one;
SELECT pgstream.refresh_stream_table(st) FROM unnest('{by_grp,by_name,lines}'::text[]) st;
SELECT differences('by_grp'), differences('by_name'), differences('lines');
UPDATE src SET val = val - 0.5 WHERE grp % 40 = 3;
DELETE FROM src WHERE grp % 400 = 3;
INSERT INTO src SELECT 100000 + i, 30000 + i, 'new ' || i, i, i FROM generate_series(1, 100) i;
SELECT pg_stat_force_next_flush();
SELECT descents('by_grp') AS before \gset
SELECT * FROM differences('by_grp');
SELECT pg_stat_force_next_flush();
SELECT descents('by_grp') AS after \gset
SELECT :after - :before BETWEEN 1 AND 250 AS by_leaves;
SELECT pg_stat_force_next_flush();
SELECT descents('by_name') AS before \gset
SELECT * FROM differences('by_name');
SELECT pg_stat_force_next_flush();
SELECT descents('by_name') AS after \gset
SELECT :after - :before BETWEEN 1 AND 250 AS by_leaves;
SELECT pg_stat_force_next_flush();
SELECT descents('lines') AS before \gset
SELECT * FROM differences('lines');
SELECT pg_stat_force_next_flush();
SELECT descents('lines') AS after \gset
SELECT :after - :before BETWEEN 1 AND 750 AS by_leaves;
SELECT pgstream.refresh_stream_table(st) FROM unnest('{by_grp,by_name,lines}'::text[]) st;
SELECT differences('by_grp'), differences('by_name'), differences('lines');

-- Rows that find no room beside themselves leave several entries of one key: in lists of places, and too many to be kept.
CREATE TABLE wide (id int PRIMARY KEY, grp int, note text);
INSERT INTO wide SELECT i, i % 12000, 'x' FROM generate_series(1, 24000) i;
CREATE TABLE wides USING pgstream AS SELECT grp, max(note) AS note, count(*) AS n FROM wide GROUP BY grp;
DO $$
BEGIN
  FOR i IN 1 .. 8 LOOP
    UPDATE wide SET note = repeat(chr(96 + i), 20 * i) || id WHERE grp % 30 IN (1, 2);
    IF i < 8 THEN PERFORM pgstream.refresh_stream_table('wides'); END IF;
  END LOOP;
END $$;
SELECT differences('wides');
UPDATE wide SET note = 'zz' || id WHERE grp % 30 = 2;
SELECT differences('wides');
SELECT pgstream.refresh_stream_table('wides');
SELECT differences('wides');

-- Pages are pruned when there is need: nearly all rows go on finding room on their page.
CREATE TABLE often (id int PRIMARY KEY, grp int, val int);
INSERT INTO often SELECT i, i % 3000, i FROM generate_series(1, 6000) i;
CREATE TABLE oftens USING pgstream AS SELECT grp, sum(val) AS total FROM often GROUP BY grp;
-- Another session's snapshot, as that of an autovacuum which analyzes, keeps rows alive and pages full: then once more, later.
CREATE PROCEDURE refresh_often(OUT updated bigint, OUT mostly_in_place bool) LANGUAGE plpgsql AS $$
DECLARE
  stream oid := 'oftens'::regclass;
  in_place bigint;
BEGIN
  FOR attempt IN 1 .. 5 LOOP
    -- Counters of what the session has not reported yet, which it does between statements.
    updated := -pg_stat_get_xact_tuples_updated(stream);
    in_place := -pg_stat_get_xact_tuples_hot_updated(stream);
    FOR i IN 1 .. 40 LOOP
      UPDATE often SET val = val + 1 WHERE grp % 25 = i % 25;
      COMMIT;
      PERFORM pgstream.refresh_stream_table('oftens');
      COMMIT;
    END LOOP;
    updated := updated + pg_stat_get_xact_tuples_updated(stream);
    in_place := in_place + pg_stat_get_xact_tuples_hot_updated(stream);
    mostly_in_place := in_place > 0.7 * updated;
    EXIT WHEN mostly_in_place;
    PERFORM pg_sleep(2);
  END LOOP;
END $$;
CALL refresh_often(NULL, NULL);
SELECT differences('oftens');

-- Sums of numerics: of one scale, of several, negative, none left, too long, no numbers, and back again. After all that everything
-- is computed anew, which finds nothing to write: states are the same to the byte.
UPDATE src SET free = free + 0.25 WHERE grp % 50 = 0;
UPDATE src SET free = -free WHERE grp % 50 = 1;
UPDATE src SET free = free + 0.125 WHERE grp % 50 = 2 AND id < 20000;
UPDATE src SET free = 1e20 WHERE grp % 50 = 4;
UPDATE src SET free = 'NaN' WHERE grp % 50 = 5 AND id < 20000;
UPDATE src SET free = NULL WHERE grp % 50 = 6;
UPDATE src SET free = 0 WHERE grp % 50 = 7;
UPDATE src SET free = 999999999999.5, val = -val WHERE grp % 50 = 8;
SELECT differences('by_grp');
SELECT pgstream.refresh_stream_table('by_grp');
SELECT differences('by_grp');
UPDATE src SET free = free * 10, val = val + 99999 WHERE grp % 50 IN (0, 1, 8) AND id % 2 = 0;
UPDATE src SET free = 7.25 WHERE grp % 50 IN (2, 4, 5, 6);
UPDATE src SET free = 0.00 WHERE grp % 50 = 7;
SELECT differences('by_grp');
SELECT pgstream.refresh_stream_table('by_grp');
SELECT differences('by_grp');
SELECT pgstream.alter_stream_table('by_grp', refresh_mode => 'FULL');
SELECT pgstream.refresh_stream_table('by_grp');
SELECT action, rows_inserted, rows_deleted FROM pgstream.pgs_refresh_history WHERE pgs_relid = 'by_grp'::regclass ORDER BY refresh_id DESC LIMIT 1;
DROP SCHEMA base_lookups CASCADE;
