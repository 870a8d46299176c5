# Eight sessions create stream tables at once: of one name (one wins, the others get an ordinary error), and of
# different names over the same sources in different orders (no deadlock), while writers go on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run ();
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $node = stream_cluster('creators', "deadlock_timeout = '100ms'");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE a (id int, k int);
CREATE TABLE b (id int, k int);
INSERT INTO a SELECT i, i % 5 FROM generate_series(1, 500) i;
INSERT INTO b SELECT i, i % 5 FROM generate_series(1, 500) i;
SQL

# Runs one statement in each of several sessions at once; returns their outputs (errors included).
sub at_once
{
	my (@statements) = @_;
	my @outputs = ('') x @statements;
	my @handles;
	foreach my $i (0 .. $#statements)
	{
		push @handles,
		  IPC::Run::start(
			[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', $statements[$i] ],
			'<', \'', '&>', \$outputs[$i]);
	}
	$_->finish foreach @handles;
	return @outputs;
}

my $writer = write_script($node, 'writer', <<'PGBENCH');
\set k random(0, 9)
INSERT INTO a VALUES (:k, :k);
UPDATE b SET k = :k WHERE id = :k + 1;
PGBENCH

foreach my $round (1 .. 3)
{
	my @same = at_once(('CREATE TABLE st USING pgstream AS SELECT k, count(*) FROM a GROUP BY k') x 8);
	my @won = grep { !/ERROR/ } @same;
	my @lost = grep { /ERROR:  (42P07|23505|42710)/ } @same;
	is(scalar(@won), 1, "round $round: one session creates the table") or diag(join("\n", @same));
	is(scalar(@lost), 7, "round $round: the others get an ordinary error") or diag(join("\n", @same));
	is_exact($node, 'st', 'SELECT k, count(*) FROM a GROUP BY k', 'created by one of eight');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pgstream.pgs_stream'), '1', 'the losers left nothing');
	$node->safe_psql('postgres', 'INSERT INTO a VALUES (1, 9)');
	is_exact($node, 'st', 'SELECT k, count(*) FROM a GROUP BY k', 'after a change');

	my $writers = start_pgbench($node, 2, 30, $writer);
	my %query;
	foreach my $i (1 .. 8)
	{
		my ($one, $two) = $i % 2 ? ('a', 'b') : ('b', 'a');
		$query{"st$i"} =
			$i <= 4
		  ? "SELECT $one.id, $two.k FROM $one JOIN $two ON $one.id = $two.id"
		  : "SELECT k, count(*), sum(id) FROM $one GROUP BY k";
	}
	my @outputs = at_once(map { "CREATE TABLE $_ USING pgstream AS $query{$_}" } sort keys %query);
	is(scalar(grep { /ERROR/ } @outputs), 0, "round $round: eight names over the same sources, no deadlock")
	  or diag(join("\n", @outputs));
	is_exact($node, $_, $query{$_}, 'created beside seven others and writers') foreach sort keys %query;
	@outputs = at_once(map { "SELECT pgstream.refresh_stream_table('$_')" } sort keys %query);
	is(scalar(grep { /ERROR/ } @outputs), 0, "round $round: eight folds at once") or diag(join("\n", @outputs));
	is_exact($node, $_, $query{$_}, 'after eight folds at once') foreach sort keys %query;
	@outputs = at_once(map { "DROP TABLE $_" } 'st', sort keys %query);
	is(scalar(grep { /ERROR/ } @outputs), 0, "round $round: nine drops at once") or diag(join("\n", @outputs));
	$writers->signal('TERM');
	$writers->finish;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM pgstream.pgs_stream'), '0', 'all dropped');
}

# What a drop could not remove for a busy source, a later one does: nothing is left in the end.
$node->safe_psql('postgres', 'CREATE TABLE st USING pgstream AS SELECT a.id FROM a JOIN b USING (id)');
$node->safe_psql('postgres', 'DROP TABLE st');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('a'::regclass, 'b'::regclass)}), '0',
	'no trigger is left');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'pgstream'::regnamespace AND relname LIKE 'log\_%'}),
	'0', 'no log is left');

$node->stop;
done_testing();
