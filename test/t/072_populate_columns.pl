# Which way the rows of a populate and of a full recompute go, as the server tells who sets client_min_messages = debug1: summed column by
# column, one by one into groups, or sorted first. That all ways give the same is asserted by sql/populate_columns.

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
sub summed { return sprintf 'summed column by column: %d, one by one: %d', @_ }

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
$node->stop;
done_testing();
