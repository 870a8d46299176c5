# An immediate stop in the middle of writes and folds: after recovery base, frontier and log agree, so every stream
# table is exact before and after the next fold.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;
use Time::HiRes qw(sleep);

my $node = stream_cluster('crash', 'checkpoint_timeout = 30s', "wal_level = minimal", 'max_wal_senders = 0');
$node->safe_psql('postgres',
	"CREATE TABLE other (k int, name text); INSERT INTO other SELECT i, 'name ' || i FROM generate_series(0, 49) i");
my %query = stream_tables($node, 2000, 50,
	extremes => 'SELECT k % 7 AS seven, min(v), max(id) FROM src GROUP BY k % 7',
	joined => 'SELECT name, count(*) FROM src JOIN other USING (k) GROUP BY name');

my $writer = write_script($node, 'writer', <<'PGBENCH');
\set k random(0, 60)
\set id random(1, 2000)
BEGIN;
INSERT INTO src SELECT nextval('ids'), :k, :id / 16.0, repeat(md5(:id::text), 1 + :k * 5) FROM generate_series(1, 1 + :k % 3);
SAVEPOINT s;
UPDATE src SET v = v + 1, k = :k WHERE id = :id;
DELETE FROM src WHERE id = :id + 1;
ROLLBACK TO s;
UPDATE src SET v = v + 0.125 WHERE id = :id;
COMMIT;
DELETE FROM src WHERE id = (SELECT max(id) FROM src WHERE k = :k) AND :k % 4 = 0;
PGBENCH
my $folder = write_folder($node, sort keys %query);

my $folds = 0;
foreach my $round (1 .. 4)
{
	my $writers = start_pgbench($node, 3, 60, $writer);
	my $folders = start_pgbench($node, 2, 60, $folder);
	sleep(1.0 + 0.37 * $round);
	$node->stop('immediate');
	$writers->finish;
	$folders->finish;
	$node->start;

	is_exact($node, $_, $query{$_}, "after crash $round") foreach sort keys %query;
	$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach sort keys %query;
	is_exact($node, $_, $query{$_}, "after crash $round and a fold") foreach sort keys %query;
	my $now = $node->safe_psql('postgres', "SELECT coalesce(max(fold_number), 0) FROM pgstream.pgs_frontier");
	cmp_ok($now, '>', $folds, "folds happened in round $round");
	$folds = $now;
}

# The log of the crashed transactions does not stay: with every consumer folded, it is back to almost nothing.
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach (sort keys %query) x 2;
my $size = $node->safe_psql('postgres', <<'SQL');
SELECT coalesce(sum(pg_relation_size(oid)), 0) FROM pg_class
 WHERE relnamespace = 'pgstream'::regnamespace AND relname LIKE 'log\_%' AND relkind = 'r'
SQL
cmp_ok($size, '<=', 64 * 1024, 'the logs are reclaimed');

$node->safe_psql('postgres', 'DELETE FROM src');
is_exact($node, $_, $query{$_}, 'over empty sources') foreach sort keys %query;
$node->safe_psql('postgres', 'DROP TABLE src, other CASCADE');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgstream.pgs_stream'), '0', 'dropped with their sources');

$node->stop;
done_testing();
