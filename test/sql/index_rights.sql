-- A refresh by a superuser evaluates expressions and predicates of the owner's indexes with the rights of the owner,
-- whichever way it writes the base.
CREATE SCHEMA index_rights;
SET search_path = index_rights, public;
SET client_min_messages = warning;
CREATE ROLE index_rights_owner;
GRANT ALL ON SCHEMA index_rights TO index_rights_owner;
SET ROLE index_rights_owner;
CREATE TABLE src (id int PRIMARY KEY, val int);
INSERT INTO src SELECT i, i FROM generate_series(1, 5) i;
CREATE TABLE plain USING pgstream AS SELECT id, val FROM src;
CREATE TABLE totals USING pgstream AS SELECT val % 3 AS grp, sum(val) AS total FROM src GROUP BY 1;
CREATE FUNCTION rights(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_user <> 'index_rights_owner' THEN RAISE EXCEPTION 'evaluated as %', current_user; END IF;
  RETURN $1;
END $$;
CREATE INDEX ON plain (rights(val));
CREATE INDEX ON totals (grp) WHERE rights(total) > 0;
INSERT INTO src VALUES (6, 6), (7, 7);
RESET ROLE;
SELECT pgstream.refresh_stream_table('plain'), pgstream.refresh_stream_table('totals');
SELECT * FROM differences('plain'), differences('totals') AS t(missing_groups, surplus_groups);
-- By computing the base anew.
TRUNCATE src;
INSERT INTO src VALUES (8, 8), (9, 9);
SELECT pgstream.refresh_stream_table('plain'), pgstream.refresh_stream_table('totals');
SELECT * FROM differences('plain'), differences('totals') AS t(missing_groups, surplus_groups);
SELECT pgs_relid::regclass, action FROM pgstream.pgs_refresh_history
 WHERE pgs_relid IN ('plain'::regclass, 'totals'::regclass) ORDER BY pgs_relid::regclass::text, start_time;
DROP SCHEMA index_rights CASCADE;
DROP ROLE index_rights_owner;
