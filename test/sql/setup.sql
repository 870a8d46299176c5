-- The installation itself: the library is preloaded, the extension is there in its version and comes and goes whole.
SELECT 'pg_stream' = ANY (string_to_array(replace(current_setting('shared_preload_libraries'), ' ', ''), ',')) AS preloaded;
SELECT name, default_version FROM pg_available_extensions WHERE name = 'pg_stream';
