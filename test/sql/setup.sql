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
