# Logical replication between two servers that both have stream tables. What it brings for a source is captured (initial
# copy, rows, TRUNCATE, streamed transactions), and stream tables on the subscriber are exact all along, also for a trigger
# that reads them amid the apply. FOR ALL TABLES ships neither logs nor catalogs nor folds.

BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 30; }

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $publisher = stream_cluster('publisher', 'wal_level = logical', 'max_wal_senders = 10', 'max_replication_slots = 10',
	'logical_decoding_work_mem = 64kB', 'fsync = off');
my $subscriber = stream_cluster('subscriber', 'fsync = off', 'max_logical_replication_workers = 10',
	'wal_retrieve_retry_interval = 100ms');
my %query = (
	sums => 'SELECT k, sum(v) AS v, count(*) AS n, sum(twice) AS twice FROM src GROUP BY k',
	lines => 'SELECT id, k, txt, twice FROM src WHERE v > 3',
	joined => 'SELECT o.name, count(*), sum(s.v) FROM src s JOIN other o USING (k) GROUP BY o.name');
my $schema = <<'SQL';
CREATE TABLE src (id int PRIMARY KEY, k int, v numeric, txt text, twice int GENERATED ALWAYS AS (k * 2) STORED);
CREATE TABLE other (k int PRIMARY KEY, name text);
SQL
$_->safe_psql('postgres', $schema) foreach $publisher, $subscriber;
$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO src SELECT i, i % 7, i / 8.0, repeat(md5(i::text), i % 40) FROM generate_series(1, 3000) i;
INSERT INTO other SELECT i, 'name ' || i FROM generate_series(0, 9) i;
SQL
foreach my $node ($publisher, $subscriber)
{
	$node->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach sort keys %query;
}
# On the subscriber a row trigger that sorts before any other name reads a stream table amid the apply.
$subscriber->safe_psql('postgres', <<"SQL");
CREATE TABLE noted (at text, wrong bigint);
ALTER TABLE noted ADD PRIMARY KEY (at, wrong);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS \$\$
BEGIN
  IF coalesce(NEW.id, OLD.id) % 100 <> 0 THEN RETURN NULL; END IF;
  INSERT INTO noted
  SELECT TG_OP, count(*) FROM (
    (SELECT t::text FROM sums t EXCEPT ALL SELECT q::text FROM ($query{sums}) q) UNION ALL
    (SELECT q::text FROM ($query{sums}) q EXCEPT ALL SELECT t::text FROM sums t)) d
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END \$\$;
CREATE TRIGGER " first" AFTER INSERT OR UPDATE OR DELETE ON src FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION look();
ALTER TABLE src ENABLE ALWAYS TRIGGER " first";
SQL
fold($subscriber);  # changing triggers has marked them for rebuild

$publisher->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
is($publisher->safe_psql('postgres', "SELECT count(*) FROM pg_publication_tables WHERE tablename LIKE 'log\\_%'"), '0',
	'no change log is among the published tables');
foreach my $statement ('CREATE PUBLICATION one FOR TABLE sums', 'ALTER PUBLICATION two ADD TABLE src, public.lines')
{
	$publisher->safe_psql('postgres', 'CREATE PUBLICATION two FOR TABLE other') if $statement =~ /two/;
	my ($rc, $out, $err) = $publisher->psql('postgres', $statement);
	like($err, qr/cannot publish stream table "(sums|lines)"/, "refused: $statement");
}
my $catalogs = "SELECT pgs_relid, pgs_id FROM pgstream.pgs_stream ORDER BY 1";
my $before = $subscriber->safe_psql('postgres', $catalogs);
my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION everything WITH (streaming = on)");
ok($subscriber->poll_query_until('postgres', "SELECT bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel"),
	'every published table is synchronised, stream tables and catalogs too');

# exact WHEN: on both servers, when the subscriber has all
sub exact
{
	my ($when) = @_;
	$publisher->wait_for_catchup('sub');
	foreach my $name (sort keys %query)
	{
		is_exact($subscriber, $name, $query{$name}, "on the subscriber, $when");
		is_exact($publisher, $name, $query{$name}, "on the publisher, $when");
	}
	is($subscriber->safe_psql('postgres', "SELECT string_agg(r::text, ',' ORDER BY id) FROM src r"),
		$publisher->safe_psql('postgres', "SELECT string_agg(r::text, ',' ORDER BY id) FROM src r"), "src is replicated, $when");
	return;
}
sub fold
{
	my ($node) = @_;
	$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach sort keys %query;
	return;
}
sub strategy
{
	return $subscriber->safe_psql('postgres',
		"SELECT string_agg(line, ' ') FROM strategy_of('SELECT * FROM sums') line");
}
$subscriber->safe_psql('postgres', <<'SQL');
CREATE FUNCTION strategy_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF) ' || query LOOP
    IF line LIKE '%Strategy%' THEN RETURN NEXT line; END IF;
  END LOOP;
END $$;
SQL

exact('after the initial copy');
like(strategy(), qr/algebraic/, 'the initial copy was captured');
is($subscriber->safe_psql('postgres', $catalogs), $before, "the subscriber's catalogs are its own");
fold($_) foreach $publisher, $subscriber;
exact('folded');

$publisher->safe_psql('postgres', <<'SQL');
INSERT INTO src VALUES (5001, 1, 10.50, 'a'), (5002, 2, NULL, NULL);
UPDATE src SET v = v + 1, k = 3 WHERE id % 500 = 0;
UPDATE src SET id = id + 100000 WHERE id = 5001;
DELETE FROM src WHERE id % 700 = 0;
BEGIN;
UPDATE other SET name = 'renamed' WHERE k = 3;
INSERT INTO src VALUES (5003, 3, 1, repeat('x', 5000));
DELETE FROM other WHERE k = 4;
COMMIT;
SQL
exact('rows of two tables');
like(strategy(), qr/algebraic/, 'rows were captured');
fold($publisher);
$publisher->safe_psql('postgres', 'UPDATE src SET k = k + 1 WHERE id < 20');
exact("the publisher's folds are not shipped");
fold($subscriber);
exact("after the subscriber's fold");

$publisher->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO src SELECT i, i % 11, i, 'streamed' FROM generate_series(10001, 16000) i;
SAVEPOINT s;
DELETE FROM src WHERE id > 13000;
ROLLBACK TO s;
UPDATE src SET v = v * 2 WHERE id BETWEEN 10001 AND 10500;
COMMIT;
SQL
exact('a streamed transaction');
$publisher->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO src VALUES (20000, 1, 1, 'gone');
TRUNCATE src, other;
INSERT INTO src SELECT i, i % 3, i, 'refilled' FROM generate_series(1, 50) i;
INSERT INTO other VALUES (1, 'one');
COMMIT;
SQL
exact('TRUNCATE and refill');
fold($_) foreach $subscriber, $publisher;
$publisher->safe_psql('postgres', 'DELETE FROM src WHERE k = 1');
exact('folded after TRUNCATE');
is($subscriber->safe_psql('postgres', "SELECT string_agg(at, ',' ORDER BY at) FROM noted WHERE wrong = 0"), 'DELETE,INSERT,UPDATE',
	'the trigger read amid the apply');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM noted WHERE wrong <> 0'), '0', 'and was never answered wrongly');

# Where the subscriber has an ordinary table of the stream table's name: what it copied, and no row twice.
$subscriber->safe_psql('postgres', 'CREATE DATABASE plain');
$subscriber->safe_psql('plain', "CREATE EXTENSION pg_stream; $schema");
$subscriber->safe_psql('plain', "CREATE TABLE $_ AS $query{$_}") foreach sort keys %query;
$publisher->safe_psql('postgres', "INSERT INTO src VALUES (30000, 1, 5, 'pending')");
$subscriber->safe_psql('plain', "CREATE SUBSCRIPTION plain CONNECTION '$connection' PUBLICATION everything");
$subscriber->poll_query_until('plain', "SELECT bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel");
my $copied = $subscriber->safe_psql('plain', 'SELECT count(*) FROM lines');
fold($publisher);
$publisher->wait_for_catchup('plain');
is($subscriber->safe_psql('plain', 'SELECT count(*) FROM lines'), $copied, 'a fold ships no row that the copy had');
is($subscriber->safe_psql('plain', 'SELECT count(*) FROM src'), $publisher->safe_psql('postgres', 'SELECT count(*) FROM src'),
	'the source is shipped');

$subscriber->safe_psql('plain', 'DROP SUBSCRIPTION plain');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
$_->stop foreach $subscriber, $publisher;
done_testing();
