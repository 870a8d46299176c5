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
-- What is constant in an expression is evaluated when an index is opened, which a refresh does too; explaining opens none.
SET ROLE index_rights_owner;
CREATE TABLE tops USING pgstream AS SELECT val, max(id) AS top FROM src GROUP BY val;
CREATE FUNCTION constant(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RAISE WARNING 'evaluated as %', current_user;
  RETURN $1;
END $$;
SET client_min_messages = error;
CREATE INDEX ON plain ((val + constant(1)));
CREATE INDEX ON totals (grp) WHERE total > constant(0);
CREATE INDEX ON src ((id + constant(2)));
INSERT INTO src VALUES (10, 10);
\c -
SET search_path = index_rights, public;
SET client_min_messages = warning;
SELECT pgstream.refresh_stream_table('plain');
SELECT pgstream.refresh_stream_table('totals');
\c -
SET search_path = index_rights, public;
SET client_min_messages = warning;
SELECT property FROM pgstream.explain_st('tops') WHERE property = 'missing index';
ALTER TABLE tops OWNER TO CURRENT_USER;
SELECT pgstream.create_or_replace_stream_table('tops', 'SELECT val, max(id) AS top FROM index_rights.src WHERE id > 0 GROUP BY val', dry_run => true);
DROP SCHEMA index_rights CASCADE;
DROP ROLE index_rights_owner;
