# CREATE DATABASE ... TEMPLATE of a database with stream tables copies them with what is pending, by either strategy; then both
# go on without each other, although their logs have the same names and OIDs. A database renamed or moved to another tablespace
# goes on as well.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamDump;
use StreamOracle;
use Test::More;

my $node = stream_cluster('main', 'fsync = off', 'autovacuum = off', 'allow_in_place_tablespaces = on');
fill_roles($node);
$node->safe_psql('postgres', 'CREATE DATABASE old');
fill_database($node, 'old');
refresh_all($node, 'old');

# What is pending for each stream table.
sub pending
{
	my ($db) = @_;
	return $node->safe_psql($db,
		q{SELECT string_agg(pgs_name || ' ' || coalesce(pending_changes, -1), ', ' ORDER BY pgs_name) FROM pgstream.pg_stat_stream_tables});
}

# A script that writes, folds and reads in a few rounds, and prints what is wrong.
sub rounds
{
	my ($db, $from) = @_;
	my $script = "SET client_min_messages = warning; SET search_path = '';\n";
	for my $i (1 .. 4)
	{
		my $id = $from + 100 * $i;
		$script .= <<"SQL";
INSERT INTO public.src SELECT i, i % 12, i, 'round', 'blue', '2026-03-01' FROM generate_series($id, $id + 30) i;
DELETE FROM public.src WHERE id % 17 = $i;
INSERT INTO public.parts SELECT i, i % 5, i FROM generate_series($id, $id + 30) i;
SELECT stream, wrong FROM public.inexact() WHERE wrong <> 0;
DO \$\$ BEGIN PERFORM pgstream.refresh_stream_table('public.' || t) FROM unnest(ARRAY['picks', 'over_parts', 'joined', 'windowed']) t; END \$\$;
SELECT stream, wrong FROM public.inexact() WHERE wrong <> 0;
SQL
	}
	return $script;
}

foreach my $strategy ('wal_log', 'file_copy')
{
	my $copy = "copy_$strategy";
	change_sources($node, 'old', $strategy eq 'wal_log' ? 4000 : 5000);
	my ($contents, $pending) = (contents($node, 'old'), pending('old'));
	like($pending, qr/picks [1-9]/, "$strategy: something is pending");
	$node->safe_psql('postgres', "CREATE DATABASE $copy TEMPLATE old STRATEGY $strategy");
	is(inexact($node, $copy), '', "$strategy: the copy is exact");
	is(contents($node, $copy), $contents, "$strategy: and has the rows of its template");
	is(pending($copy), $pending, "$strategy: and what was pending");
	like($node->safe_psql($copy, 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM picks'), qr/algebraic \(rows\)\n *Pending Changes: [1-9]/,
		"$strategy: merged from its own log");
	is(schema_of($node, $copy), schema_of($node, 'old'), "$strategy: its dump is that of its template");

	# What one writes and folds the other does not see, not even at the same time.
	change_sources($node, $copy, 6000);
	is(contents($node, 'old'), $contents, "$strategy: writes to the copy leave the template as it is");
	refresh_all($node, $copy);
	is(pending('old'), $pending, "$strategy: and so do folds");
	is(inexact($node, $copy), '', "$strategy: the copy is exact after them");
	my @sessions = map {
		my ($in, $out) = (rounds($_, $strategy eq 'wal_log' ? 10000 : 20000), '');
		[ $_, IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', $node->connstr($_) ], '<', \$in, '&>', \$out), \$out ]
	} 'old', $copy;
	foreach my $session (@sessions)
	{
		IPC::Run::finish($session->[1]);
		is(${ $session->[2] }, '', "$strategy: $session->[0] is exact, written and folded beside its twin");
	}
	is(inexact($node, $_), '', "$strategy: $_ at the end") foreach 'old', $copy;
}
$node->safe_psql('postgres', 'DROP DATABASE copy_file_copy');
is(inexact($node, 'old'), '', 'the template is exact when its copy is gone');

# With pending changes each
change_sources($node, 'old', 30000);
my $contents = contents($node, 'old');
$node->safe_psql('postgres', 'ALTER DATABASE old RENAME TO renamed');
is(inexact($node, 'renamed'), '', 'RENAME: exact');
is(contents($node, 'renamed'), $contents, 'RENAME: the same rows');
$node->safe_psql('postgres', q{CREATE TABLESPACE elsewhere LOCATION ''});
$node->safe_psql('postgres', 'ALTER DATABASE renamed SET TABLESPACE elsewhere');
is(inexact($node, 'renamed'), '', 'SET TABLESPACE: exact');
change_sources($node, 'renamed', 31000);
refresh_all($node, 'renamed');
$node->safe_psql('renamed', 'CREATE TABLE further USING pgstream AS SELECT a FROM parent; INSERT INTO child VALUES (1, 2, 3)');
change_sources($node, 'renamed', 32000);
is(inexact($node, 'renamed'), '25|', 'SET TABLESPACE: exact after writes, folds and one more');
is($node->safe_psql('renamed', q{SELECT count(DISTINCT reltablespace) FROM pg_class WHERE relname ~ '^log_'}), '1', 'its logs are in it');

# The twin's logs, of the same OIDs, are still its own.
is(inexact($node, 'copy_wal_log'), '', 'and its twin is as exact as before');

$node->stop;
done_testing();
