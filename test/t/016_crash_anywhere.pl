# kill -9 of a backend or of the postmaster at a random moment of a populate, a fold, a captured write, reclaim, CREATE
# INDEX CONCURRENTLY and so on, with fsync and full_page_writes on and off: after recovery every stream table that is there
# is exact, live and folded, by every index, and nothing is left at the end.
#
# CRASH_SEED repeats the choices of a run (not its timing), CRASH_SECONDS (20) is how long rounds begin.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run ();
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;
use Time::HiRes qw(sleep time);

my $seed = $ENV{CRASH_SEED} // int(time() * 1000) % 1000000;
srand($seed);
note("CRASH_SEED=$seed");
my $node = stream_cluster('anywhere', 'restart_after_crash = on', "unix_socket_permissions = '0700'", 'autovacuum_naptime = 1s');
my %query = stream_tables($node, 6000, 300,
	ranks => 'SELECT id, k, rank() OVER (PARTITION BY k ORDER BY v) FROM src',
	extremes => 'SELECT k % 7 AS seven, min(v), max(id) FROM src GROUP BY k % 7',
	rest => 'SELECT k FROM src WHERE v > 20 EXCEPT SELECT k % 50 FROM src');
$node->safe_psql('postgres', 'CREATE INDEX ON src (k)');

my $writer = write_script($node, 'writer', <<'PGBENCH');
\set k random(0, 320)
\set id random(1, 6000)
BEGIN;
INSERT INTO src SELECT nextval('ids'), :k, :id / 16.0, md5(:id::text) FROM generate_series(1, 1 + :k % 4);
UPDATE src SET v = v + 1, k = :k WHERE id = :id;
SAVEPOINT s;
DELETE FROM src WHERE id = :id + 1;
ROLLBACK TO s;
COMMIT;
DELETE FROM src WHERE id = (SELECT max(id) FROM src WHERE k = :k) AND :k % 3 = 0;
PGBENCH

# What is going on when the server dies; {n} is the round's number.
my @victims = (
	[ 'a populate', 'CREATE TABLE born_{n} USING pgstream AS SELECT k % 11 AS key, count(*), sum(v) FROM src GROUP BY 1' ],
	[ 'a populate without a key', 'CREATE TABLE plain_{n} USING pgstream AS SELECT id, v FROM src WHERE k > 5' ],
	[ 'a fold of many changes', "UPDATE src SET v = v + 0.5 WHERE id <= 6000; SELECT pgstream.refresh_stream_table('sums')" ],
	[ 'a fold by key', "UPDATE src SET v = v - 0.5 WHERE k < 100; SELECT pgstream.refresh_stream_table('ranks')" ],
	[ 'a captured write', "INSERT INTO src SELECT nextval('ids'), i % 300, i, md5(i::text) FROM generate_series(1, 4000) i" ],
	[ 'a captured delete', 'DELETE FROM src WHERE id > 1000000 AND id % 2 = {n} % 2' ],
	[ 'reclaim', join('; ', map { "SELECT pgstream.refresh_stream_table('$_')" } (sort keys %query) x 3) ],
	[ 'CREATE INDEX CONCURRENTLY', 'CREATE INDEX CONCURRENTLY lines_{n} ON lines (five); CREATE INDEX CONCURRENTLY sums_{n} ON sums (k)' ],
	[ 'another query', "SELECT pgstream.alter_stream_table('extremes', query => 'SELECT k % 7 AS seven, min(v), max(id + {n}) AS max FROM src GROUP BY k % 7')" ],
	[ 'VACUUM FULL and REINDEX', 'VACUUM FULL sums; REINDEX TABLE lines; VACUUM FULL src' ],
	[ 'a drop and TRUNCATE', "DROP TABLE IF EXISTS born_1, plain_1; BEGIN; TRUNCATE src; INSERT INTO src SELECT i, i % 300, i / 8.0, md5(i::text) FROM generate_series(1, 6000) i; COMMIT; SELECT pgstream.refresh_stream_table('lines')" ]);

# psql with this script, in the background; every statement in a transaction of its own. It comes from a file: a psql that finds
# no server any more reads nothing.
sub start_victim
{
	my ($round, $script) = @_;
	my $path = write_script($node, "victim_$round",
		"SET application_name = 'victim'; SET lock_timeout = '5s';\n" . join(";\n", split(/; */, $script)) . ";\n");
	my ($in, $out) = ('', '');
	return IPC::Run::start([ 'psql', '-XAtq', '-f', $path, '-d', $node->connstr('postgres') ], '<', \$in, '&>', \$out);
}

# After kill -9 of the postmaster: its backends end by themselves, until then the shared memory is in use. Where nobody
# reaps orphans, its process number stays taken and keeps a new one from starting.
sub start_again
{
	my $pidfile = $node->data_dir . '/postmaster.pid';
	for my $try (1 .. 100)
	{
		if (-e $pidfile)
		{
			my ($pid) = split(/\n/, slurp_file($pidfile));
			unlink $pidfile if `ps -o stat= -p $pid` =~ /^Z/;
		}
		return if $node->start(fail_ok => 1);
		$node->{_pid} = undef;
		sleep(0.1);
	}
	BAIL_OUT('the server does not start again');
}

# Every stream table that is there, by its own definition; and by each of its valid indexes as by none.
sub all_exact
{
	my ($when) = @_;
	my $found = $node->safe_psql('postgres', 'SELECT pgs_name, translate(defining_query, E\'\n\', \' \') FROM pgstream.pgs_stream_tables ORDER BY 1');
	my @tables = map { [ split(/\|/, $_, 2) ] } split(/\n/, $found);
	is_exact($node, $_->[0], $_->[1] =~ s/;\s*$//r, $when) foreach @tables;
	my $differ = $node->safe_psql('postgres', <<'SQL');
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM (SELECT five FROM lines WHERE five >= 0 OR five IS NULL) x HAVING count(*) <> (SELECT count(*) FROM src WHERE v > 3);
SELECT k FROM sums WHERE k BETWEEN 10 AND 40 AND count <> (SELECT count(*) FROM src WHERE src.k = sums.k);
SQL
	is($differ, '', "by index, $when");
	return map { $_->[0] } @tables;
}

# The order of victims is a random one, so that a run of enough rounds has them all.
my @order = sort { $a->[1] <=> $b->[1] } map { [ $_, rand() ] } @victims;
my $end = time() + ($ENV{CRASH_SECONDS} // 20);
my $round = 0;
while ($round < 3 || ($round < 40 && time() < $end))
{
	my ($what, $script) = @{ $order[$round % @order][0] };
	$round++;
	my ($fsync, $full_pages, $postmaster) = map { int(rand(2)) } 1 .. 3;
	$node->safe_psql('postgres', "ALTER SYSTEM SET fsync = $fsync");
	$node->safe_psql('postgres', "ALTER SYSTEM SET full_page_writes = $full_pages");
	$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_commit = " . (rand() < 0.5 ? 'on' : 'off'));
	$node->reload;

	my $writers = start_pgbench($node, 2, 30, $writer);
	sleep(0.1);
	my $victim = start_victim($round, $script =~ s/\{n\}/$round/gr);
	sleep(rand(0.35));
	my $how = 'the postmaster';
	if ($postmaster)
	{
		$node->kill9;
	}
	else
	{
		# The victim, or a writer if it has ended, or what has both no more.
		my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE application_name IN ('victim', 'pgbench')
			OR backend_type = 'checkpointer' ORDER BY application_name DESC, pid LIMIT 1});
		$how = 'a backend';
		kill('KILL', $pid) or BAIL_OUT("no backend to kill");
	}
	$writers->finish;
	$victim->finish;
	my $when = "after kill -9 of $how during $what (fsync $fsync, full_page_writes $full_pages)";
	if ($postmaster)
	{
		start_again();
	}
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or BAIL_OUT("no recovery $when");
	# What CREATE INDEX CONCURRENTLY left half-made.
	$node->safe_psql('postgres', "DROP INDEX $_") foreach split(/\n/, $node->safe_psql('postgres', <<'SQL'));
SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid AND indexrelid::regclass::text ~ '^(lines|sums)_[0-9]+$'
SQL
	my @tables = all_exact($when);
	$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach @tables;
	all_exact("folded $when");
	# What accumulates is kept small.
	$node->safe_psql('postgres', "DROP TABLE $_") foreach grep { /^(born|plain)_/ && rand() < 0.5 } @tables;
	$node->safe_psql('postgres', 'DELETE FROM src WHERE id > 1000000 AND id % 3 > 0');
}
cmp_ok($round, '>=', 3, 'rounds');

$node->safe_psql('postgres', 'DELETE FROM src');
all_exact('over an empty source');
$node->safe_psql('postgres', 'DROP TABLE src CASCADE');
is($node->safe_psql('postgres', <<'SQL'), '0|0', 'nothing is left: no catalog row, no log');
SELECT (SELECT count(*) FROM pgstream.pgs_stream) + (SELECT count(*) FROM pgstream.pgs_log),
  (SELECT count(*) FROM pg_class WHERE relnamespace = 'pgstream'::regnamespace AND relname LIKE 'log\_%')
SQL
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|terminated by signal (?!9)/, 'only those that were killed died');
$node->stop;
done_testing();
