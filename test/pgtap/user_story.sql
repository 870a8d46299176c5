-- What a user would write about a stream table with pgTAP: it answers what its query answers, at every moment.
SET client_min_messages = warning;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount numeric, note text);
INSERT INTO orders SELECT i, i % 4, i * 1.25, 'note ' || i FROM generate_series(1, 40) i;

SELECT plan(27);

SELECT lives_ok($$
  CREATE TABLE order_totals USING pgstream WITH (schedule = '1m') AS
  SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count FROM orders GROUP BY customer_id
$$, 'a stream table is created like a table');
SELECT has_table('order_totals'::name);
SELECT columns_are('order_totals', ARRAY['customer_id', 'total_amount', 'order_count']);
SELECT col_type_is('order_totals', 'total_amount', 'numeric');
SELECT is(amname, 'pgstream', 'it has its own access method')
  FROM pg_am JOIN pg_class ON relam = pg_am.oid WHERE pg_class.oid = 'order_totals'::regclass;

PREPARE stream AS SELECT * FROM order_totals ORDER BY customer_id;
PREPARE query AS SELECT customer_id, sum(amount), count(*) FROM orders GROUP BY customer_id ORDER BY customer_id;
SELECT results_eq('stream', 'query', 'filled at creation');

INSERT INTO orders VALUES (100, 1, 10.00, 'late'), (101, NULL, 0.001, 'nobody');
SELECT results_eq('stream', 'query', 'an insert shows at once');
UPDATE orders SET amount = amount * 2, customer_id = 9 WHERE id <= 3;
SELECT results_eq('stream', 'query', 'an update shows at once');
DELETE FROM orders WHERE customer_id = 2;
SELECT results_eq('stream', 'query', 'a group that is gone is gone');
SELECT is_empty('SELECT * FROM order_totals WHERE customer_id = 2', 'and a lookup does not find it');

BEGIN;
INSERT INTO orders SELECT 200 + i, 50, 1 FROM generate_series(1, 5) i;
SELECT is((SELECT order_count FROM order_totals WHERE customer_id = 50), 5::bigint, 'a transaction reads its own writes');
SAVEPOINT s;
DELETE FROM orders;
SELECT is_empty('SELECT * FROM order_totals', 'all of them');
ROLLBACK TO s;
SELECT results_eq('stream', 'query', 'a rollback to a savepoint takes them back');
SELECT pgstream.refresh_stream_table('order_totals');
SELECT results_eq('stream', 'query', 'a refresh inside the transaction changes nothing that is seen');
ROLLBACK;
SELECT is_empty('SELECT * FROM order_totals WHERE customer_id = 50', 'a rollback takes everything back');
SELECT results_eq('stream', 'query', 'after the rollback');

SELECT lives_ok($$ SELECT pgstream.refresh_stream_table('order_totals') $$, 'refresh');
SELECT results_eq('stream', 'query', 'after the refresh');
TRUNCATE orders;
SELECT is_empty('SELECT * FROM order_totals', 'TRUNCATE of the source shows at once');
INSERT INTO orders VALUES (1, 1, 1.10, 'again');
SELECT results_eq('stream', 'query', 'and what comes after it');

SELECT throws_ok('INSERT INTO order_totals VALUES (1, 1, 1)', '42809', 'cannot change stream table "order_totals"', 'no INSERT into a stream table');
SELECT throws_ok('UPDATE order_totals SET total_amount = 0', '42809', 'cannot change stream table "order_totals"', 'no UPDATE of a stream table');
SELECT throws_ok('DELETE FROM order_totals', '42809', 'cannot change stream table "order_totals"', 'no DELETE from a stream table');
SELECT throws_ok('TRUNCATE order_totals', '0A000', 'cannot truncate a stream table', 'no TRUNCATE of a stream table');
SELECT throws_ok($$ CREATE TABLE r USING pgstream AS SELECT random() AS r FROM orders $$, '0A000', NULL,
                 'no volatile functions in DIFFERENTIAL mode');
SELECT lives_ok($$ SELECT pgstream.drop_stream_table('order_totals') $$, 'drop_stream_table');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass), 0::bigint, 'the source is as it was before');

SELECT * FROM finish();
