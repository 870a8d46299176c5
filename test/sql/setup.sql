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
