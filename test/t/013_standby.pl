# A hot standby answers live: with pending changes, across folds and reclaims of the log on the primary, under transactions that
# keep an old snapshot meanwhile (right, or cancelled by a recovery conflict, never wrong), in parallel; a creation and a
# drop are replayed; after promotion it writes and folds. An unlogged source fails there as its query does.

BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 30; }

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;
use Time::HiRes qw(time);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_stream'
max_prepared_transactions = 10
autovacuum = off
fsync = off
CONF
$primary->start;
$primary->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_stream;
CREATE TABLE src (id int PRIMARY KEY, k int, v numeric, txt text);
INSERT INTO src SELECT i, i % 20, i / 8.0, md5(i::text) FROM generate_series(1, 2000) i;
CREATE UNLOGGED TABLE unlogged (id int);
SQL
my %query = (
	sums => 'SELECT k, sum(v) AS v, count(*) AS n FROM src GROUP BY k',
	lines => 'SELECT id, k, txt FROM src WHERE v > 100',
	pairs => 'SELECT a.k, count(*) AS n FROM src a JOIN src b ON a.id = b.id + 1 GROUP BY a.k');
$primary->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach sort keys %query;
$primary->safe_psql('postgres', 'CREATE TABLE unlogged_st USING pgstream AS SELECT count(*) AS n FROM unlogged');
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nwal_receiver_status_interval = 1\nmax_standby_streaming_delay = 10s");
$standby->start;

sub replayed
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
	return;
}
sub exact
{
	my ($when) = @_;
	replayed();
	is_exact($standby, $_, $query{$_}, "on the standby, $when") foreach sort keys %query;
	return;
}
sub fold
{
	my ($node) = @_;
	$node->safe_psql('postgres', join('', map { "SELECT pgstream.refresh_stream_table('$_');" } sort keys %query));
	return;
}
sub log_pages
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT sum(pg_relation_size(s))::bigint / 8192 FROM pgstream.pgs_log, unnest(segments) s WHERE source_relid = 'src'::regclass");
}
sub strategy
{
	return $standby->safe_psql('postgres', 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM sums');
}

exact('at first');
$primary->safe_psql('postgres', 'INSERT INTO src VALUES (5001, 3, 7.5), (5002, 77, 1); UPDATE src SET v = v + 1 WHERE k = 4; DELETE FROM src WHERE k = 5');
exact('with pending changes');
like(strategy(), qr/algebraic/, 'answered from the log');
like($standby->safe_psql('postgres', <<'SQL'), qr/Parallel.*\n19\|t/s, 'a parallel read');
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT count(*) FROM lines;
SELECT (SELECT count(DISTINCT k) FROM lines), (SELECT count(*) FROM lines) = (SELECT count(*) FROM src WHERE v > 100);
SQL
$primary->safe_psql('postgres', "BEGIN; UPDATE src SET v = v * 2 WHERE k = 6; SAVEPOINT s; DELETE FROM src; ROLLBACK TO s; PREPARE TRANSACTION 'p'");
fold($primary);
exact('folded beside a prepared transaction');
$primary->safe_psql('postgres', "COMMIT PREPARED 'p'");
exact('after the prepared transaction');

# Transactions there that keep their snapshot while the primary writes, folds, reclaims and vacuums: one has read before, one
# has not, one has a cursor open.
my $check = join(' UNION ALL ', map {
	"SELECT '$_' WHERE EXISTS (SELECT t::text FROM $_ t EXCEPT ALL SELECT q::text FROM ($query{$_}) q) OR EXISTS (SELECT q::text FROM ($query{$_}) q EXCEPT ALL SELECT t::text FROM $_ t)"
} sort keys %query);
my $seen = $standby->background_psql('postgres', on_error_stop => 0);
my $fresh = $standby->background_psql('postgres', on_error_stop => 0);
$primary->safe_psql('postgres', "INSERT INTO src SELECT i, i % 20, i, 'pending' FROM generate_series(6001, 9000) i");
replayed();
my $rows = $standby->safe_psql('postgres', 'SELECT count(*) FROM src');
$seen->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sums; DECLARE c CURSOR FOR SELECT sum(n) OVER () FROM sums; FETCH 1 FROM c");
$fresh->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
# The feedback must have reached the primary, or its vacuum takes away what these snapshots see.
$primary->poll_query_until('postgres', 'SELECT bool_and(backend_xmin IS NOT NULL) FROM pg_stat_replication');
foreach my $round (1 .. 3)
{
	$primary->safe_psql('postgres', "INSERT INTO src SELECT i, i % 30, i FROM generate_series(10000 + $round * 1000, 10500 + $round * 1000) i; DELETE FROM src WHERE k = $round");
	fold($primary);
	fold($primary);
}
$primary->safe_psql('postgres', 'VACUUM src, sums, lines, pairs');
replayed();
is(log_pages($standby), log_pages($primary), 'the reclaim was replayed');
cmp_ok(log_pages($standby), '<', 5, 'and left an all but empty log');
is($seen->query($check), '', 'a transaction that had read');
is($seen->query('FETCH 1 FROM c'), $rows, 'its cursor');
is($fresh->query($check), '', 'a transaction that had only its snapshot: its log is gone');
is($fresh->query('SELECT sum(n) FROM sums'), $rows, 'it sees what it saw');
$_->query('COMMIT') foreach $seen, $fresh;
is($fresh->query($check), '', 'a new snapshot of the same session');
exact('afterwards');

# Without feedback and without patience: cancelled, or right.
$standby->append_conf('postgresql.conf', "hot_standby_feedback = off\nmax_standby_streaming_delay = 100ms");
$standby->reload;
$_->quit foreach $seen, $fresh;
my ($cancelled, $answered, $wrong) = (0, 0, 0);
foreach my $round (1 .. 6)
{
	my $reader = $standby->background_psql('postgres', on_error_stop => 0);
	$reader->query($round % 2
		? 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sums'
		: 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	$primary->safe_psql('postgres', ($round > 3 ? 'UPDATE src SET v = v + 1 WHERE k % 3 = 1; ' : '') . "INSERT INTO src SELECT i, i % 9, i FROM generate_series(20000 + $round * 100, 20050 + $round * 100) i");
	fold($primary) foreach 1 .. $round % 3;
	$primary->safe_psql('postgres', $round > 2 ? 'VACUUM src, sums, lines, pairs' : 'SELECT 1');
	replayed();
	my $out = eval { $reader->query($check) };
	my $error = $reader->{stderr};
	if (!defined($out) || $error =~ /conflict with recovery|terminating connection|current transaction is aborted/) { $cancelled++ }
	elsif ($out eq '') { $answered++ }
	else { $wrong++; diag("wrong: $out") }
	eval { $reader->quit };
}
is($wrong, 0, "under recovery conflicts no answer is wrong: $answered right, $cancelled cancelled");
cmp_ok($answered, '>', 0, 'some were answered');
cmp_ok($cancelled, '>', 0, 'some were cancelled');

# Reads without a pause while the primary writes and folds without one; each gets the time that a busy machine needs for it.
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 30s");
$standby->reload;
my $writer = write_script($primary, 'writer', <<'PGBENCH');
\set k random(0, 30)
\set id random(100000, 999999)
INSERT INTO src VALUES (:id, :k, :k) ON CONFLICT (id) DO UPDATE SET v = src.v + 1;
DELETE FROM src WHERE id = :id + 1;
PGBENCH
my $folder = write_script($primary, 'folder', join('', map { "SELECT pgstream.refresh_stream_table('$_');\n" } sort keys %query));
my @load = (start_pgbench($primary, 2, 5, $writer), start_pgbench($primary, 1, 5, $folder));
my ($start, $reads, $different) = (time, 0, '');
while (time - $start < 5)
{
	my ($rc, $out, $err) = $standby->psql('postgres', $check);
	$reads++ if $rc == 0;
	$different .= $out if $rc == 0;
}
$_->finish foreach @load;
is($different, '', "$reads reads beside writers and folds of the primary were right");
cmp_ok($reads, '>', 0, 'there were some');

# DDL is replayed, and what the query cannot do there the stream table cannot. Not while the load is still replayed: one that
# lags behind by more than it may wait cancels whoever connects.
replayed();
my ($rc, $out, $err) = $standby->psql('postgres', 'SELECT * FROM unlogged_st');
like($err, qr/cannot access temporary or unlogged relations during recovery/, 'an unlogged source');
($rc, $out, $err) = $standby->psql('postgres', "SELECT pgstream.refresh_stream_table('sums')");
like($err, qr/cannot execute refresh_stream_table\(\) (during recovery|in a read-only transaction)/, 'no fold there');
$primary->safe_psql('postgres', 'CREATE TABLE late USING pgstream AS SELECT k, max(v) AS v FROM src GROUP BY k; DROP TABLE pairs; INSERT INTO src VALUES (-1, 1, 1e6)');
delete $query{pairs};
$query{late} = 'SELECT k, max(v) AS v FROM src GROUP BY k';
exact('one created, one dropped');
($rc, $out, $err) = $standby->psql('postgres', 'SELECT * FROM pairs');
like($err, qr/does not exist/, 'the drop was replayed');

# Promotion, with changes pending and a transaction prepared.
$primary->safe_psql('postgres', "INSERT INTO src VALUES (-2, 1, 1); BEGIN; INSERT INTO src VALUES (-3, 2, 2); PREPARE TRANSACTION 'last'");
replayed();
$primary->stop('immediate');
$standby->promote;
is_exact($standby, $_, $query{$_}, 'promoted') foreach sort keys %query;
$standby->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE k < 5; INSERT INTO src VALUES (-4, 99, 4)');
is_exact($standby, $_, $query{$_}, 'promoted, and written') foreach sort keys %query;
fold($standby);
$standby->safe_psql('postgres', "COMMIT PREPARED 'last'");
is_exact($standby, $_, $query{$_}, 'promoted, folded, and the prepared transaction committed') foreach sort keys %query;
fold($standby) foreach 1 .. 3;
is_exact($standby, $_, $query{$_}, 'promoted and folded again') foreach sort keys %query;
is(log_pages($standby), '0', 'its log is reclaimed');
$standby->stop;
done_testing();
