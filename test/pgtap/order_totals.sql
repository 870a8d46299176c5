-- Tests as a user of pg_stream writes them for a stream table of an application: in one transaction, rolled back.
-- pg_prove -d DATABASE test/pgtap/order_totals.sql, or psql -XAtq -f.
BEGIN;
SELECT plan(14);

CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount numeric(10, 2), note text);
CREATE TABLE order_totals USING pgstream AS
SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count FROM orders GROUP BY customer_id;

-- What the stream table must always be. As text: 1.0 is not 1.00.
CREATE VIEW expected AS
SELECT t::text AS row FROM (SELECT customer_id, sum(amount) AS total_amount, count(*) AS order_count
                            FROM orders GROUP BY customer_id) AS t;
CREATE VIEW actual AS SELECT t::text AS row FROM order_totals AS t;

SELECT has_table('order_totals');
SELECT columns_are('order_totals', ARRAY['customer_id', 'total_amount', 'order_count']);
SELECT col_type_is('order_totals', 'total_amount', 'numeric', 'the query decides the types');
SELECT is((SELECT amname FROM pg_class JOIN pg_am ON pg_am.oid = relam WHERE relname = 'order_totals'), 'pgstream',
          'it is a table of the access method pgstream');
SELECT is_empty('SELECT * FROM order_totals', 'no orders, no totals');

INSERT INTO orders VALUES (1, 42, 9.50, 'a'), (2, 42, 0.50, 'b'), (3, 7, 1.00, 'c'), (4, NULL, 5.00, 'd');
SELECT results_eq('SELECT * FROM order_totals ORDER BY customer_id',
                  $$VALUES (7, 1.00, 1::bigint), (42, 10.00, 2), (NULL, 5.00, 1)$$, 'orders are counted at once');

UPDATE orders SET amount = 2.25 WHERE id = 1;
UPDATE orders SET note = 'changed' WHERE id = 2;
SELECT bag_eq('TABLE actual', 'TABLE expected', 'after updates');

DELETE FROM orders WHERE customer_id = 7;
SELECT bag_eq('TABLE actual', 'TABLE expected', 'a customer without orders is gone');

SAVEPOINT before_mistake;
DELETE FROM orders;
SELECT is_empty('SELECT * FROM order_totals', 'all orders deleted');
ROLLBACK TO before_mistake;
SELECT bag_eq('TABLE actual', 'TABLE expected', 'and back again with the savepoint');

SELECT lives_ok($$SELECT pgstream.refresh_stream_table('order_totals')$$, 'a refresh in the same transaction');
SELECT bag_eq('TABLE actual', 'TABLE expected', 'which changes no answer');

SELECT throws_ok($$INSERT INTO order_totals VALUES (1, 1, 1)$$, NULL, NULL, 'nobody writes a stream table by hand');
SELECT lives_ok('DROP TABLE order_totals CASCADE', 'it is dropped as any table');

SELECT * FROM finish();
ROLLBACK;
