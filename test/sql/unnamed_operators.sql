-- CASE, NULLIF, IS DISTINCT FROM and JOIN ... USING use an operator that their text does not name: the one
-- that the search path gave when the stream table was created, as in a view.
SET client_min_messages = warning;
CREATE SCHEMA unnamed;
SET search_path = unnamed, pg_catalog, public;
CREATE FUNCTION alike(a int, b int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ($1 OPERATOR(pg_catalog./) 10) OPERATOR(pg_catalog.=) ($2 OPERATOR(pg_catalog./) 10)';
CREATE OPERATOR unnamed.= (LEFTARG = int, RIGHTARG = int, FUNCTION = alike);
CREATE TABLE source (id int PRIMARY KEY, i int);
CREATE TABLE other (i int, t text);
INSERT INTO source VALUES (1, 1), (2, 41), (3, 44), (4, NULL), (5, 12);
INSERT INTO other VALUES (15, 'ten'), (41, 'forty'), (NULL, 'none');
CREATE VIEW in_case_view AS SELECT id, CASE i WHEN 44 THEN 'forties' ELSE 'no' END AS w FROM source;
CREATE TABLE in_case USING pgstream AS SELECT id, CASE i WHEN 44 THEN 'forties' ELSE 'no' END AS w FROM source;
CREATE TABLE in_nullif USING pgstream AS SELECT id, NULLIF(i, 44) AS n FROM source;
CREATE TABLE in_distinct USING pgstream AS SELECT id FROM source WHERE i IS DISTINCT FROM 44;
CREATE TABLE in_list USING pgstream AS SELECT id FROM source WHERE i IN (44, 3);
CREATE TABLE in_sublink USING pgstream AS SELECT id FROM source WHERE i IN (SELECT i FROM other);
CREATE TABLE in_using USING pgstream AS SELECT id, t FROM source JOIN other USING (i);
CREATE TABLE in_groups USING pgstream AS SELECT NULLIF(i, 44) AS n, count(*) AS c FROM source GROUP BY 1;
CREATE TABLE in_union USING pgstream AS SELECT NULLIF(i, 44) AS n FROM source UNION ALL SELECT NULLIF(i, 41) FROM other;
CREATE FUNCTION differ(stream regclass, query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE found bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM ((SELECT s::text FROM %1$s s EXCEPT ALL SELECT q::text FROM (%2$s) q) UNION ALL
                                        (SELECT q::text FROM (%2$s) q EXCEPT ALL SELECT s::text FROM %1$s s)) d', stream, query) INTO found;
  RETURN found;
END $$;
CREATE FUNCTION differences() RETURNS TABLE (stream regclass, rows bigint) LANGUAGE sql AS $$
  VALUES ('in_case'::regclass, differ('in_case', 'SELECT id, CASE i WHEN 44 THEN ''forties'' ELSE ''no'' END AS w FROM source')),
    ('in_case', differ('in_case', 'SELECT * FROM in_case_view')),
    ('in_nullif', differ('in_nullif', 'SELECT id, NULLIF(i, 44) AS n FROM source')),
    ('in_distinct', differ('in_distinct', 'SELECT id FROM source WHERE i IS DISTINCT FROM 44')),
    ('in_list', differ('in_list', 'SELECT id FROM source WHERE i IN (44, 3)')),
    ('in_sublink', differ('in_sublink', 'SELECT id FROM source WHERE i IN (SELECT i FROM other)')),
    ('in_using', differ('in_using', 'SELECT id, t FROM source JOIN other USING (i)')),
    ('in_groups', differ('in_groups', 'SELECT NULLIF(i, 44) AS n, count(*) AS c FROM source GROUP BY 1')),
    ('in_union', differ('in_union', 'SELECT NULLIF(i, 44) AS n FROM source UNION ALL SELECT NULLIF(i, 41) FROM other')) $$;
SELECT * FROM differences();
SELECT * FROM in_case ORDER BY id;
INSERT INTO source VALUES (6, 43), (7, 46), (8, 17);
UPDATE source SET i = 49 WHERE id = 1;
DELETE FROM source WHERE id = 3;
INSERT INTO other VALUES (19, 'nineteen');
SELECT * FROM differences();
EXPLAIN (COSTS OFF) SELECT * FROM in_nullif;
SELECT pgstream.refresh_stream_table(s) FROM unnest('{in_case,in_nullif,in_distinct,in_groups}'::text[]) s;
SELECT * FROM differences();
-- The text alone gives another query, which is why nothing can be verified by it, and another definition.
SELECT pgstream.verify('in_list');
SELECT pgstream.verify('in_nullif');
SET search_path = public;
SELECT * FROM pgstream.create_or_replace_stream_table('unnamed.in_nullif', 'SELECT id, NULLIF(i, 44) AS n FROM unnamed.source', dry_run => true);
SET search_path = unnamed, pg_catalog, public;
SELECT * FROM pgstream.create_or_replace_stream_table('unnamed.in_nullif', 'SELECT id, nullif(s.i, 44) AS n FROM source s', dry_run => true);
-- An operator that is used is depended upon.
DROP OPERATOR unnamed.= (int, int);
RESET search_path;
DROP SCHEMA unnamed CASCADE;
