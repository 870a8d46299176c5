-- The story of pg_stream in one file; demo/run plays it on a scratch server, and any database with the extension's
-- library preloaded will do: psql -X -q -f demo/story.sql
\set ON_ERROR_STOP on
\pset pager off
SET client_min_messages = warning;
CREATE EXTENSION pg_stream;
RESET client_min_messages;

\echo
\echo '1. A million orders of a thousand customers: an ordinary table, loaded the ordinary way.'
\echo
\set ECHO queries
CREATE TABLE orders (
  order_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id integer NOT NULL,
  amount      numeric(12,2) NOT NULL,
  placed_at   timestamptz NOT NULL DEFAULT now()
);
INSERT INTO orders (customer_id, amount)
SELECT 1 + i % 1000, (i::bigint * 7919 % 100000) / 100.0 FROM generate_series(1, 1000000) AS i;
CREATE INDEX ON orders (customer_id);
VACUUM ANALYZE orders;
\set ECHO none

\echo
\echo '2. A stream table: a table like any other, but defined by a query. Its access method is pgstream; the query'
\echo '   is kept as a disabled rule, so that PostgreSQL itself follows renames and knows what it depends on.'
\echo
\set ECHO queries
CREATE TABLE order_totals USING pgstream WITH (schedule = '1m') AS
SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count
FROM orders GROUP BY customer_id;
CREATE INDEX ON order_totals (customer_id);
ANALYZE order_totals;
\echo '\\d+ order_totals'
\d+ order_totals
\set ECHO none

\echo
-- Not part of the story: ends it with an error should any answer in it be wrong, through the index or without.
CREATE FUNCTION pg_temp.check_story() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  by_query text := (SELECT string_agg(t::text, ' ' ORDER BY t::text)
                    FROM (SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count
                          FROM orders GROUP BY customer_id) AS t);
  scanned  text := (SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM order_totals AS t);
  one      text := (SELECT t::text FROM (SELECT customer_id, sum(amount), count(*) FROM orders
                                         WHERE customer_id = 42 GROUP BY customer_id) AS t);
  looked_up text;
BEGIN
  SET LOCAL enable_seqscan = off;
  looked_up := (SELECT t::text FROM order_totals AS t WHERE customer_id = 42);
  SET LOCAL enable_seqscan = on;
  ASSERT scanned = by_query, 'reading order_totals does not give what its query gives';
  ASSERT looked_up = one, format('customer 42 is %s through the index and %s by the query', looked_up, one);
END $$;

\echo '3. It answers what the query answers, now: also inside the transaction that is still writing the source.'
\echo '   Customer 42 before, and then after an insert, an update and a delete, one after the other:'
\echo
\set ECHO queries
SELECT * FROM order_totals WHERE customer_id = 42;
BEGIN;
INSERT INTO orders (customer_id, amount) VALUES (42, 1000.00);
SELECT * FROM order_totals WHERE customer_id = 42;
UPDATE orders SET amount = amount + 500 WHERE customer_id = 42 AND amount = 1000.00;
SELECT * FROM order_totals WHERE customer_id = 42;
\set ECHO none
\o /dev/null
SELECT pg_temp.check_story();
\o
\set ECHO queries
DELETE FROM orders WHERE customer_id = 42 AND amount = 1500.00;
SELECT * FROM order_totals WHERE customer_id = 42;
COMMIT;
\set ECHO none
\o /dev/null
SELECT pg_temp.check_story();
\o

\echo
\echo '4. What is rolled back was never there. All customers lose an order here, and get it back:'
\echo
\set ECHO queries
SELECT sum(total_amount) AS total, sum(order_count) AS orders FROM order_totals;
BEGIN;
DELETE FROM orders WHERE order_id <= 1000;
SELECT sum(total_amount) AS total, sum(order_count) AS orders FROM order_totals;
ROLLBACK;
SELECT sum(total_amount) AS total, sum(order_count) AS orders FROM order_totals;
\set ECHO none

\echo
\echo '5. A new customer and a few more orders, committed and not refreshed. The point lookup still goes through the'
\echo '   index. EXPLAIN shows the merge: the index scan of the base, the delta arm beside it with the rows that are'
\echo '   not in the base yet, how many changes are pending, how many base rows they mask and how many they add.'
\echo '   (Four of the changes are those of step 3, which cancel each other: an update is a row less and a row more.)'
\echo
\set ECHO queries
INSERT INTO orders (customer_id, amount) VALUES (42, 19.99), (42, 5.01), (1001, 12.50);
SELECT * FROM order_totals WHERE customer_id IN (42, 1001) ORDER BY customer_id;
EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM order_totals WHERE customer_id = 42;
\set ECHO none
\o /dev/null
SELECT pg_temp.check_story();
\o

\echo
\echo '6. The two answers compared as text, as multisets, under one snapshot: rows of one that the other lacks.'
\echo
\set ECHO queries
WITH st AS (SELECT t::text FROM order_totals AS t),
     q AS (SELECT t::text FROM (SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count
                                FROM orders GROUP BY customer_id) AS t)
SELECT (SELECT count(*) FROM (TABLE st EXCEPT ALL TABLE q) AS d) AS only_in_stream_table,
       (SELECT count(*) FROM (TABLE q EXCEPT ALL TABLE st) AS d) AS only_in_query;
\set ECHO none

\echo
\echo '7. A refresh folds the pending changes into the base. No reader sees any difference, but for nothing pending.'
\echo
\set ECHO queries
SELECT pgstream.refresh_stream_table('order_totals');
SELECT * FROM order_totals WHERE customer_id IN (42, 1001) ORDER BY customer_id;
EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM order_totals WHERE customer_id = 42;
\set ECHO none
\o /dev/null
SELECT pg_temp.check_story();
\o

\echo
\echo '8. What it is for: the time of running the query, of reading the stream table whole, and again with changes'
\echo '   pending. (The first two ran once before, unmeasured, so that neither pays for a cold cache.)'
\echo
\o /dev/null
SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count FROM orders GROUP BY customer_id;
SELECT * FROM order_totals;
\o
\echo 'running the query:'
\timing on
\o /dev/null
SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count FROM orders GROUP BY customer_id;
\o
\timing off
\echo 'reading the stream table, nothing pending:'
\timing on
\o /dev/null
SELECT * FROM order_totals;
\o
\timing off
\set ECHO queries
UPDATE orders SET amount = amount + 1 WHERE order_id BETWEEN 1 AND 100;
\set ECHO none
\echo 'reading it with 100 orders changed since the refresh:'
\timing on
\o /dev/null
SELECT * FROM order_totals;
\o
\timing off
\echo 'one customer of it, through the index:'
\timing on
\o /dev/null
SELECT * FROM order_totals WHERE customer_id = 42;
\o
\timing off
\o /dev/null
SELECT pg_temp.check_story();
\o
\echo 'the refresh that folds them:'
\timing on
\o /dev/null
SELECT pgstream.refresh_stream_table('order_totals');
\o
\timing off

\echo
\echo '9. Dropped as any table; nothing is left on orders.'
\echo
\set ECHO queries
DROP TABLE order_totals;
SELECT count(*) AS triggers_on_orders FROM pg_trigger WHERE tgrelid = 'orders'::regclass;
\set ECHO none
