-- What the tests of reading share: a source with changes that no refresh has folded, and a check that runs a query twice
-- in one snapshot, over the stream table and over its defining query, and tells the shape of the plan that was run.
SET client_min_messages = warning;
CREATE SCHEMA reads;
SET search_path = reads, public;

-- The shape of a plan: node types, the same on every server version.
CREATE FUNCTION shape_of(plan jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN (plan ->> 'Parallel Aware')::boolean THEN 'Parallel ' ELSE '' END
         || coalesce(plan ->> 'Custom Plan Provider', plan ->> 'Node Type')
         || CASE WHEN plan ->> 'Scan Direction' = 'Backward' THEN ' Backward' ELSE '' END
         || coalesce('(' || (SELECT string_agg(reads.shape_of(child), ', ' ORDER BY n)
                               FROM jsonb_array_elements(plan -> 'Plans') WITH ORDINALITY AS c (child, n)) || ')', '')
$$;
CREATE FUNCTION shape(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT JSON, COSTS OFF) ' || query INTO plan;
  RETURN reads.shape_of(plan::jsonb -> 0 -> 'Plan');
END $$;

-- Runs query with {name} standing for a stream table, and again with its defining query there. STABLE: both see the
-- snapshot of the calling statement. Compared as text: in order where the query orders its rows wholly (ordered), else
-- as multisets.
CREATE FUNCTION verify(query text, ordered boolean DEFAULT false, OUT plan text, OUT n int, OUT verdict text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
  name text;
  live text := regexp_replace(query, '\{(\w+)\}', '\1', 'g');
  oracle text := query;
  got text[];
  want text[];
  collect text := 'SELECT coalesce(array_agg(row_::text' || CASE WHEN ordered THEN '' ELSE ' ORDER BY row_::text COLLATE "C"' END || '), ''{}'') FROM (%s) row_';
BEGIN
  FOR name IN SELECT DISTINCT m[1] FROM regexp_matches(query, '\{(\w+)\}', 'g') m LOOP
    oracle := replace(oracle, '{' || name || '}', '(' || rtrim(pgstream.defining_query(name::regclass), '; ') || ')');
  END LOOP;
  plan := reads.shape(live);
  EXECUTE format(collect, live) INTO got;
  EXECUTE format(collect, oracle) INTO want;
  n := cardinality(got);
  verdict := CASE WHEN got IS NOT DISTINCT FROM want THEN 'same' ELSE 'DIFFERENT from ' || cardinality(want) || ' rows' END;
END $$;

-- Which strategies answered; a stream table that had nothing to merge is called idle, one that only workers have read is
-- read elsewhere.
CREATE FUNCTION strategies(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE explained json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || query INTO explained;
  RETURN (SELECT string_agg(DISTINCT (s ->> 'Strategy') || CASE WHEN s ->> 'Pending Changes' IS NULL THEN ' elsewhere' WHEN s ->> 'Pending Changes' = '0' THEN ' idle' ELSE '' END, ', ')
            FROM json_array_elements(explained -> 0 -> 'Stream Tables') s);
END $$;
-- As verify, with the strategies that answered, and telling the plan only where it is not the wanted one (a regular
-- expression): plans differ between server versions in what does not matter here.
CREATE FUNCTION checked(query text, wanted text DEFAULT '', ordered boolean DEFAULT false, OUT n int, OUT verdict text, OUT strategy text, OUT plan text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
  SELECT v.n, v.verdict, v.plan INTO n, verdict, plan FROM reads.verify(query, ordered) v;
  strategy := reads.strategies(regexp_replace(query, '\{(\w+)\}', '\1', 'g'));
  IF plan ~ wanted THEN plan := 'as wanted'; END IF;
END $$;

-- rows: filter and project; groups: one row a group. Each gets changes of all kinds, and keeps most of its base.
CREATE TABLE source (id int PRIMARY KEY, grp int, val numeric, note text);
INSERT INTO source SELECT i, i % 100, i * 1.50, 'note ' || i FROM generate_series(1, 5000) i;
CREATE TABLE picked USING pgstream AS SELECT id, grp, val * 2 AS twice, note FROM source WHERE id % 5 <> 0;
CREATE TABLE totals USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM source GROUP BY grp;
CREATE INDEX picked_id ON picked (id);
CREATE INDEX picked_grp ON picked (grp);
CREATE INDEX picked_place ON picked USING gist (point(id, grp));
CREATE UNIQUE INDEX totals_grp ON totals (grp);
CREATE INDEX totals_total ON totals (total);
CREATE TABLE other (id int, tag text);
INSERT INTO other SELECT i * 7, 'tag ' || i FROM generate_series(1, 800) i;
VACUUM (ANALYZE) picked, totals, other, source;

-- Changes of every kind; first: the ids from there on are free.
CREATE PROCEDURE change(first int) LANGUAGE sql AS $$
  INSERT INTO reads.source SELECT first + i, i % 101, i, 'new ' || i FROM generate_series(1, 120) i;
  INSERT INTO reads.source VALUES (first + 201, NULL, NULL, NULL), (first + 202, NULL, 1.0, NULL);
  UPDATE reads.source SET val = val + 1, note = note || ' changed' WHERE id % 50 = 3;
  UPDATE reads.source SET grp = 7 WHERE id BETWEEN 1000 AND 1010;
  DELETE FROM reads.source WHERE id % 70 = (first / 1000) % 70 OR grp = 42;
$$;
CALL change(5000);
SELECT * FROM verify('SELECT * FROM {picked} s');
SELECT * FROM verify('SELECT * FROM {totals} s');
