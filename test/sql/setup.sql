-- The installation itself: the library is preloaded, the extension is there in its version and comes and goes whole.
SELECT 'pg_stream' = ANY (string_to_array(replace(current_setting('shared_preload_libraries'), ' ', ''), ',')) AS preloaded;
SELECT name, default_version FROM pg_available_extensions WHERE name = 'pg_stream';
CREATE EXTENSION pg_stream;
SELECT amname, amtype FROM pg_am WHERE amname = 'pgstream';
DROP EXTENSION pg_stream;
SELECT (SELECT count(*) FROM pg_am WHERE amname = 'pgstream') AS access_methods,
       (SELECT count(*) FROM pg_namespace WHERE nspname = 'pgstream') AS schemas,
       (SELECT count(*) FROM pg_proc WHERE probin LIKE '%pg_stream%') AS functions;
-- What the tests after this one use.
CREATE EXTENSION pg_stream;
-- The oracle: rows of a stream table against its query, as text, in one statement.
CREATE FUNCTION differences(stream regclass, OUT missing bigint, OUT surplus bigint) LANGUAGE plpgsql AS $$
DECLARE q text := pgstream.defining_query(stream);
BEGIN
  EXECUTE format('WITH st AS (SELECT row_::text AS r FROM %s row_), q AS (SELECT row_::text AS r FROM (%s) row_)
                  SELECT (SELECT count(*) FROM (SELECT r FROM q EXCEPT ALL SELECT r FROM st) x),
                         (SELECT count(*) FROM (SELECT r FROM st EXCEPT ALL SELECT r FROM q) x)', stream, q)
  INTO missing, surplus;
END $$;
-- Every stream table of a schema, live, as text and in one statement, against its query; how the reads were answered, and how
-- many keys they evaluated.
CREATE FUNCTION verify_streams(schema name, OUT streams bigint, OUT exact bigint, OUT answered text, OUT keys bigint,
                               OUT wrong text) LANGUAGE plpgsql AS $$
DECLARE
  name text;
  line text;
  summary boolean;
  missing bigint;
  surplus bigint;
  uses text[] := '{}';
BEGIN
  streams := 0;
  exact := 0;
  keys := 0;
  FOR name IN SELECT relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
              WHERE amname = 'pgstream' AND relnamespace = schema::text::regnamespace ORDER BY relname COLLATE "C" LOOP
    streams := streams + 1;
    summary := false;
    FOR line IN EXECUTE format('EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM %I.%I', schema, name) LOOP
      summary := summary OR line ~ '^Stream Table: ';
      CONTINUE WHEN NOT summary;
      IF line ~ 'Strategy: ' THEN uses := uses || regexp_replace(line, '^.*: ', ''); END IF;
      IF line ~ 'Keys Evaluated: ' THEN keys := keys + regexp_replace(line, '^.*: ', '')::bigint; END IF;
    END LOOP;
    -- Last: keys that one read has evaluated another, under a later snapshot, need not evaluate again.
    SELECT d.missing, d.surplus INTO missing, surplus FROM differences(format('%I.%I', schema, name)::regclass) d;
    IF missing = 0 AND surplus = 0 THEN
      exact := exact + 1;
    ELSE
      wrong := concat_ws(', ', wrong, format('%s (%s missing, %s surplus)', name, missing, surplus));
    END IF;
  END LOOP;
  SELECT string_agg(format('%s %s', n, use), ', ' ORDER BY use) INTO answered
    FROM (SELECT use, count(*) AS n FROM unnest(uses) use GROUP BY use) counted;
END $$;
CREATE FUNCTION refresh_streams(schema name) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  name text;
  done bigint := 0;
BEGIN
  FOR name IN SELECT relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
              WHERE amname = 'pgstream' AND relnamespace = schema::text::regnamespace ORDER BY relname COLLATE "C" LOOP
    PERFORM pgstream.refresh_stream_table(format('%I.%I', schema, name));
    done := done + 1;
  END LOOP;
  RETURN done;
END $$;
-- What explain_st says of each.
CREATE FUNCTION explain_streams(schema name, properties text[], OUT name text, OUT property text, OUT value text)
  RETURNS SETOF record LANGUAGE sql AS $$
  SELECT c.relname, e.property, e.value
    FROM pg_class c JOIN pg_am a ON a.oid = c.relam, pgstream.explain_st(format('%I.%I', schema, c.relname)) e
    WHERE amname = 'pgstream' AND relnamespace = schema::text::regnamespace AND e.property = ANY (properties)
    ORDER BY c.relname COLLATE "C", array_position(properties, e.property)
$$;
-- The error that a query raises, or 'nothing'.
CREATE FUNCTION raised(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE query;
  RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
