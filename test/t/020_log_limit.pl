# A log past its limit across a crash and on a standby: the decision is in catalogs, so both know it, while what shared memory
# knew is gone. Concurrent writers pass the limit again and again, stream tables come back, and every answer is exact.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $node = stream_cluster('limit', 'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on',
	"pgstream.max_log_size = '256kB'", "pgstream.attach_timeout = '60s'");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE src (id bigserial PRIMARY KEY, k int, v numeric, t text);
INSERT INTO src (k, v, t) SELECT i % 20, i / 4.0, md5(i::text) FROM generate_series(1, 2000) i;
SQL
my %query = (
	sums => 'SELECT k, sum(v), count(*) FROM src GROUP BY k',
	lines => 'SELECT id, left(t, 5) FROM src WHERE k < 5');
$node->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach sort keys %query;

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('limit_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

sub state_of_log
{
	return $_[0]->safe_psql('postgres',
		"SELECT captured_by <> '0', (SELECT count(*) FROM pgstream.pgs_dependency d JOIN pgstream.pgs_frontier f USING (pgs_relid)
		  WHERE f.fold_number < d.log_start), (SELECT sum(pg_relation_size(s)) FROM unnest(segments) s) FROM pgstream.pgs_log");
}
sub exact_everywhere
{
	my ($when) = @_;
	is_exact($node, $_, $query{$_}, "primary, $when") foreach sort keys %query;
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	is_exact($standby, $_, $query{$_}, "standby, $when") foreach sort keys %query;
	return;
}
my $bulk = 'INSERT INTO src (k, v, t) SELECT i % 25, i / 8.0, md5(i::text) FROM generate_series(1, 3000) i';

exact_everywhere('at first');
$node->safe_psql('postgres', $bulk) foreach 1 .. 5;
is(state_of_log($node), 'f|2|0', 'the log is given up and empty');
exact_everywhere('given up');
like($standby->safe_psql('postgres', 'SELECT alert FROM pgstream.check_cdc_health()'), qr/given up.*lines, sums|given up.*sums, lines/,
	'the standby says so too');

$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE k = 3; DELETE FROM src WHERE id % 17 = 0');
is(state_of_log($node), 'f|2|0', 'still given up after a crash');
exact_everywhere('after a crash');

$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('sums')");
$node->safe_psql('postgres', 'UPDATE src SET v = v + 1 WHERE k = 4');
like(state_of_log($node), qr/^t\|1\|[1-9]/, 'one is back');
exact_everywhere('one rebuilt');

# A crash between a writer that was told to stop, its prepared transaction, and the refresh that must wait for it.
$node->safe_psql('postgres', "BEGIN; UPDATE src SET v = v * 2 WHERE k = 1; PREPARE TRANSACTION 'early'");
$node->safe_psql('postgres', $bulk) foreach 1 .. 5;
like(state_of_log($node), qr/^f\|2\|[1-9]/, 'given up again, not yet empty');
$node->safe_psql('postgres', "BEGIN; UPDATE src SET v = v * 2 WHERE k = 2; PREPARE TRANSACTION 'late'");
$node->stop('immediate');
$node->start;
my ($rc, $out, $err) =
  $node->psql('postgres', "SET pgstream.attach_timeout = '50ms'; SELECT pgstream.refresh_stream_table('sums')");
like($err, qr/could not attach change capture/, 'a refresh waits for prepared transactions');
$node->safe_psql('postgres', "COMMIT PREPARED 'early'");
exact_everywhere('one of two prepared transactions committed');
$node->safe_psql('postgres', "COMMIT PREPARED 'late'");
exact_everywhere('both committed');
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach sort keys %query;
exact_everywhere('both rebuilt');

# Writers, folders and readers at once, with a limit that is passed all the time.
my $writer = write_script($node, 'writer', <<'PGBENCH');
\set k random(0, 24)
\set n random(1, 400)
BEGIN;
INSERT INTO src (k, v, t) SELECT :k, i, md5(i::text) FROM generate_series(1, :n) i;
SAVEPOINT s;
UPDATE src SET v = v + 0.5 WHERE id IN (SELECT id FROM src WHERE k = :k LIMIT 20 FOR UPDATE SKIP LOCKED);
ROLLBACK TO s;
DELETE FROM src WHERE id IN (SELECT id FROM src WHERE k = :k LIMIT 10 FOR UPDATE SKIP LOCKED);
COMMIT;
PGBENCH
my $folder = write_script($node, 'folder', join('', map { "SELECT pgstream.refresh_stream_table('$_');\n\\sleep 150 ms\n" } sort keys %query));
my $reader = write_script($node, 'reader', join('', map { <<"PGBENCH" } sort keys %query));
DO \$\$ BEGIN IF EXISTS (
  (SELECT t::text FROM $_ t EXCEPT ALL SELECT q::text FROM ($query{$_}) q) UNION ALL
  (SELECT q::text FROM ($query{$_}) q EXCEPT ALL SELECT t::text FROM $_ t))
  THEN RAISE EXCEPTION '$_ differs'; END IF; END \$\$;
PGBENCH
my $before = $node->safe_psql('postgres', 'SELECT sum(fold_number) FROM pgstream.pgs_frontier');
my $log = -s $node->logfile;
my @running = (
	start_pgbench($node, 4, 12, $writer), start_pgbench($node, 1, 12, $folder), start_pgbench($node, 2, 12, $reader),
	start_pgbench($standby, 1, 12, $reader));
ok($running[$_]->finish, "session group $_ ran without an error") foreach 0 .. $#running;
my $text = slurp_file($node->logfile, $log) . slurp_file($standby->logfile);
unlike($text, qr/ERROR:.* differs|ERROR:  deadlock|could not enforce/, 'no reader saw a difference, nobody deadlocked');
like($text, qr/has exceeded "pgstream.max_log_size"/, 'the limit was passed meanwhile');
cmp_ok($node->safe_psql('postgres', 'SELECT sum(fold_number) FROM pgstream.pgs_frontier'), '>', $before, 'refreshes happened');
exact_everywhere('after all');
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach sort keys %query;
exact_everywhere('after all and a refresh');

done_testing();
