-- The order of conditions: what a view or a condition keeps from an expression, no evaluation by key lets it see.
SET client_min_messages = warning;
SET pgstream.keyed_evaluation = always;
CREATE SCHEMA conditions;
SET search_path = conditions, public;
CREATE TABLE o (id int PRIMARY KEY, k int, d int, v int);
CREATE INDEX ON o (k);
INSERT INTO o SELECT x, x % 50, x % 5, x FROM generate_series(1, 1000) x;
INSERT INTO o VALUES (1001, 1, NULL, 1), (1002, NULL, NULL, 2);
ANALYZE o;

-- A condition that costs more than the key, which fails where the condition is not fulfilled.
CREATE FUNCTION divides(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 1000 AS $$ BEGIN RETURN $1 IS DISTINCT FROM 0; END $$;
CREATE TABLE quotients USING pgstream AS SELECT 100 / d AS q, count(DISTINCT v) AS c FROM o WHERE divides(d) GROUP BY 100 / d;
CREATE TABLE ratios USING pgstream AS SELECT k, 100 / d AS q, v, rank() OVER (PARTITION BY k, 100 / d ORDER BY v, id) AS r FROM o WHERE divides(d);
CREATE TABLE merged USING pgstream AS SELECT q, string_agg(v::text, ',' ORDER BY v, id) AS s FROM (SELECT 100 / d AS q, v, id FROM o WHERE divides(d)) x GROUP BY q;
SELECT * FROM explain_streams('conditions', '{strategy}');
INSERT INTO o VALUES (1003, 1, NULL, 3), (1004, NULL, NULL, 4), (1005, 1, 0, 5), (1006, 3, 3, 6);
SELECT streams, exact, answered, wrong FROM verify_streams('conditions');
UPDATE o SET v = v + 1 WHERE k IN (1, 2, 5) OR k IS NULL;
SELECT streams, exact, answered, wrong FROM verify_streams('conditions');
SELECT refresh_streams('conditions');
SELECT streams, exact, answered, wrong FROM verify_streams('conditions');
DROP TABLE quotients, ratios, merged;

-- A security-barrier view: the owner of a stream table may not read what the view's owner hides.
CREATE ROLE conditions_guest;
CREATE FUNCTION may_show(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 1000 AS $$ BEGIN RETURN $1 = 1; END $$;
CREATE VIEW shown WITH (security_barrier) AS SELECT * FROM o WHERE may_show(d) AND v < 500;
CREATE VIEW shown_less WITH (security_barrier) AS SELECT * FROM shown WHERE v > 100;
GRANT SELECT ON shown, shown_less TO conditions_guest;
GRANT ALL ON SCHEMA conditions TO conditions_guest;
CREATE FUNCTION told(id int, d int) RETURNS int LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$
BEGIN
  IF d <> 1 THEN RAISE WARNING 'row % leaks', id; END IF;
  RETURN id % 7;
END $$;
SET ROLE conditions_guest;
CREATE TABLE of_rows USING pgstream AS SELECT id, v FROM shown WHERE told(id, d) >= 0;
CREATE TABLE of_groups USING pgstream AS SELECT k, max(v) AS m FROM shown WHERE told(id, d) >= 0 GROUP BY k;
CREATE TABLE of_keys USING pgstream AS SELECT told(id, d) AS t, count(DISTINCT v) AS c FROM shown_less WHERE told(id, d) < 6 GROUP BY told(id, d);
CREATE TABLE of_windows USING pgstream AS SELECT k, id, rank() OVER (PARTITION BY k ORDER BY v) AS r FROM shown_less WHERE told(id, d) >= 0;
RESET ROLE;
SELECT * FROM explain_streams('conditions', '{strategy}');
INSERT INTO o SELECT x, x % 50, x % 5, x - 2000 FROM generate_series(2001, 2100) x;
UPDATE o SET v = v + 1 WHERE k < 5;
DELETE FROM o WHERE k = 6;
SELECT streams, exact, answered, wrong FROM verify_streams('conditions');
SET ROLE conditions_guest;
SELECT refresh_streams('conditions');
RESET ROLE;
SELECT streams, exact, answered, wrong FROM verify_streams('conditions');
DROP SCHEMA conditions CASCADE;
DROP ROLE conditions_guest;
