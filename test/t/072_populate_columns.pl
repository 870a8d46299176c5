# Which way the rows of a populate and of a full recompute go, as the server tells who sets client_min_messages = debug1: summed column by
# column, one by one into groups, or sorted first, and how many parallel workers took part. That all ways give the same is asserted by
# sql/populate_columns and sql/populate_parallel.

BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 60; }

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $node = stream_cluster('populate_columns', 'fsync = off', 'autovacuum = off', 'jit = off');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE src (id int PRIMARY KEY, k int, c int, txt text, n numeric, m numeric(12,2));
CREATE INDEX cover ON src (id) INCLUDE (k, c, n);
INSERT INTO src SELECT i, nullif(i % 10, 9), i % 7, 'text ' || i % 3, CASE WHEN i % 50 = 0 THEN 1.25 ELSE i END, i / 8.0 FROM generate_series(1, 1000) i;
UPDATE src SET n = 'NaN' WHERE id = 500;
DELETE FROM src WHERE id > 900;
CREATE VIEW seen AS SELECT k, c FROM src WHERE c <> 3;
CREATE TABLE many AS SELECT i % 6000 AS k, i AS id, i AS v FROM generate_series(1, 18000) i;
SQL

# Creates a stream table, refreshes one that holds what a recompute gives, and returns what was told of both.
my $number = 0;
sub ways
{
	my ($query, $settings) = @_;
	$number++;
	my ($out, $err);
	$node->psql('postgres', <<"SQL", stdout => \$out, stderr => \$err, on_error_stop => 1);
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
$settings
SET client_min_messages = debug1;
CREATE TABLE kept_$number USING pgstream AS $query;
CREATE TABLE full_$number USING pgstream WITH (refresh_mode = 'FULL') AS $query;
SELECT pgstream.refresh_stream_table('full_$number');
SQL
	my @told = $err =~ /DEBUG:  rows of source (.*)/g;
	die $err if $err =~ /ERROR/ || @told != 3;
	for my $table ("kept_$number", "full_$number")
	{
		my $wrong = $node->safe_psql('postgres',
			"SELECT count(*) FROM ((SELECT t::text FROM $table t EXCEPT ALL SELECT q::text FROM ($query) q) UNION ALL (SELECT q::text FROM ($query) q EXCEPT ALL SELECT t::text FROM $table t)) d");
		is($wrong, '0', "$table is what its query gives");
	}
	is_deeply([ @told[1, 2] ], [ @told[0, 0] ], "all were computed alike: $query");
	return $told[0];
}
sub summed
{
	my ($together, $single, $workers) = @_;
	return "summed column by column: $together, one by one: $single" . ($workers ? ", parallel workers: $workers" : '');
}

is(ways('SELECT c, sum(id), count(*), max(k) AS k FROM src GROUP BY c', ''), summed(900, 0), 'plain columns');
is(ways('SELECT k, sum(id), count(*) FROM src GROUP BY k', ''), summed(810, 90), 'NULL keys are left');
is(ways('SELECT txt, sum(m) AS m FROM src GROUP BY txt', ''), summed(900, 0), 'texts and numerics');
is(ways('SELECT c, sum(n) AS n FROM src GROUP BY c', ''), summed(882, 18), 'numerics of another scale, and NaN, are left');
is(ways('SELECT count(*), sum(id / c) AS quotient FROM src WHERE c > 0', ''), summed(900, 0), 'no keys, a condition before a division');
is(ways('SELECT count(*) FILTER (WHERE c > 0) AS n, sum(id / c) FILTER (WHERE c > 0) AS quotient FROM src', ''), summed(772, 128), 'divisions by zero that a FILTER avoids are left');
is(ways('SELECT k, count(*) FROM seen WHERE k < 5 GROUP BY k', ''), summed(900, 0), 'of a view');
is(ways('SELECT m, count(*) FROM src GROUP BY m', ''), 'aggregated one by one: 900', 'keys that are equal and look different');
is(ways('SELECT c, sum(id) FROM src GROUP BY c', 'SET enable_seqscan = off; SET enable_indexscan = on; SET enable_indexonlyscan = on;'),
	'aggregated one by one: 900', 'of an index, where the planner takes that');
is(ways('SELECT c, sum(id) FROM src WHERE id < 10 GROUP BY c', 'ANALYZE src; SET enable_indexscan = on; SET enable_seqscan = off;'),
	'aggregated one by one: 9', 'of rows that an index finds');
my $short = "SET work_mem = '64kB'; SET hash_mem_multiplier = 1;";
is(ways('SELECT k, sum(v) AS v, max(id) AS m, count(*) FROM many GROUP BY k', "$short SET maintenance_work_mem = '16MB';"), summed(18000, 0), 'memory for all groups');
is(ways('SELECT k, sum(v) AS v, max(id) AS m, count(*) FROM many GROUP BY k', "$short SET maintenance_work_mem = '2MB';"), summed(17871, 129), 'memory for most groups');
is(ways('SELECT k, sum(v) AS v, max(id) AS m, count(*) FROM many GROUP BY k', "$short SET maintenance_work_mem = '1MB';"), 'aggregated one by one, sorted: 18000', 'memory for few groups');

# With parallel workers, as the server would use them for the query: never for so small a table, unless they cost nothing.
my $free = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;';
my $query = 'SELECT c, sum(id), count(*), max(k) AS k FROM src GROUP BY c';
is(ways($query, 'SET max_parallel_workers_per_gather = 2;'), summed(900, 0), 'a table too small for workers');
is(ways($query, $free), summed(900, 0, 2), 'two workers');
is(ways($query, "$free SET parallel_leader_participation = off;"), summed(900, 0, 2), 'without the leader');
is(ways($query, "$free SET max_parallel_workers_per_gather = 1;"), summed(900, 0, 1), 'one');
is(ways($query, "$free SET max_parallel_workers_per_gather = 0;"), summed(900, 0), 'none allowed');
is(ways($query, "$free SET max_parallel_workers = 0; SET parallel_leader_participation = off;"), summed(900, 0), 'none to be had');
is(ways('SELECT k, sum(id), count(*) FROM src GROUP BY k', "$free SET parallel_leader_participation = off;"), summed(810, 90, 2), 'workers leave rows to the leader');
is(ways('SELECT txt, sum(m) AS m FROM src GROUP BY txt', "$free SET parallel_leader_participation = off;"), summed(900, 0, 2), 'their own numbers for texts');
is(ways('SELECT k, sum(v) AS v, max(id) AS m, count(*) FROM many GROUP BY k', "$free $short SET maintenance_work_mem = '1MB';"), 'aggregated one by one, sorted: 18000', 'memory for few groups, of each');
is(ways('SELECT m, count(*) FROM src GROUP BY m', $free), 'aggregated one by one: 900', 'rows that are not summed');
$node->safe_psql('postgres', q{CREATE FUNCTION seen_by_one(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql PARALLEL RESTRICTED AS 'BEGIN RETURN $1 > 0; END';
CREATE FUNCTION unsafe(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'});
is(ways('SELECT c, count(*) FROM src GROUP BY c HAVING seen_by_one(count(*)::int)', $free), summed(900, 0, 2), 'what the leader may do above');
is(ways('SELECT c, unsafe(count(*)) AS n FROM src GROUP BY c', $free), summed(900, 0), 'a query that is not safe');
$node->safe_psql('postgres', 'ALTER TABLE src SET (parallel_workers = 0)');
is(ways($query, $free), summed(900, 0), 'a table that wants none');
$node->safe_psql('postgres', 'ALTER TABLE src RESET (parallel_workers)');
my $debug = $node->safe_psql('postgres', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
is(ways($query, "SET $debug = on;"), summed(900, 0, 1), 'where everything is to be parallel');
$node->stop;
done_testing();
