# Thousands of reads in one backend leave no memory behind: of pending changes and of frontiers that move, under every kind of
# snapshot, by prepared statements, failing ones among them; nor do stream tables that come and go.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $node = stream_cluster('memory', 'fsync = off', 'autovacuum = off', "client_min_messages = 'warning'");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE src (id int PRIMARY KEY, k int, v numeric, note text);
CREATE INDEX ON src (k);
INSERT INTO src SELECT i, i % 20, i / 8.0, 't' || i FROM generate_series(1, 200) i;
SQL
my %query = (
	sums => 'SELECT k, sum(v), count(*), avg(v), min(note) FROM src GROUP BY k',
	lines => 'SELECT id, k % 5 AS five, 10 / (id - 100000) AS ratio, note FROM src WHERE v > 3',
	lists => q(SELECT k, string_agg(note, ',' ORDER BY id) FROM src GROUP BY k),
	pairs => 'SELECT a.k, count(*) FROM src a JOIN src b USING (id) GROUP BY a.k',
	total => 'SELECT count(*), sum(v) FROM src');
my @tables = sort keys %query;
$node->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach @tables;
$node->safe_psql('postgres', 'CREATE INDEX ON lines (id)');

# One round of writes, reads and now and then a fold: 14.5 reads on average, so 10,000 in all. The row 100000 makes lines fail.
sub one_round
{
	my ($i) = @_;
	my ($id, $key) = (1000 + $i % 500, $i % 20);
	my $text = "INSERT INTO src VALUES ($id, $key, $i % 7, 'n') ON CONFLICT (id) DO UPDATE SET v = excluded.v, k = excluded.k;\n";
	$text .= "SELECT * FROM $_;\n" foreach @tables;
	$text .= "EXECUTE one_line($id); EXECUTE joined;\n";
	$text .= <<"SQL";
BEGIN; DELETE FROM src WHERE id = $id; SELECT * FROM sums;
SAVEPOINT s; INSERT INTO src VALUES (100000, 1, 5, 'fails'); SELECT * FROM lines; ROLLBACK TO s; SELECT count(*) FROM lines;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM sums; SELECT * FROM lists; COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM total; COMMIT;
DECLARE held CURSOR WITH HOLD FOR SELECT * FROM sums; FETCH 3 FROM held; CLOSE held;
SQL
	$text .= "INSERT INTO src VALUES (100000, 1, 5, 'fails'); SELECT * FROM lines; SELECT * FROM lines;\nDELETE FROM src WHERE id = 100000;\n"
	  if $i % 4 == 0;
	$text .= join('', map { "SELECT pgstream.refresh_stream_table('$_');\n" } @tables) if $i % 2 == 0;
	return $text;
}

sub passing_tables
{
	my ($i) = @_;
	return "CREATE TABLE passing_src (a int, b int); INSERT INTO passing_src VALUES (1, $i);\n"
	  . "CREATE TABLE passing USING pgstream AS SELECT a, sum(b) FROM passing_src GROUP BY a;\n"
	  . "INSERT INTO passing_src VALUES (2, $i); SELECT * FROM passing; DROP TABLE passing, passing_src;\n";
}

# Used bytes by the name of a context.
my $measure = <<'SQL';
\o
SELECT 'used', name, sum(used_bytes) FROM pg_backend_memory_contexts GROUP BY name UNION ALL SELECT 'end', '', 0;
\o /dev/null
SQL

# Runs so many rounds in one backend after some to warm up; our own contexts and all of them may grow by less than so much.
sub growth_over
{
	my ($what, $rounds, $warm_up, $own_limit, $limit) = @_;
	my $text = "\\o /dev/null\n";
	$text .= "PREPARE one_line(int) AS SELECT * FROM lines WHERE id = \$1;\n";
	$text .= "PREPARE joined AS SELECT * FROM sums JOIN lists USING (k);\n";
	# The first measurement warms up what measuring itself needs.
	$text .= $measure . join('', map { $what->($_) } 1 .. $warm_up) . $measure;
	$text .= join('', map { $what->($_) } $warm_up + 1 .. $warm_up + $rounds) . $measure;
	my ($out, $errors) = ('', '');
	$node->psql('postgres', $text, stdout => \$out, stderr => \$errors, on_error_stop => 0);
	my (undef, $before, $after) = map { my %used = /^used\|(.*)\|(\d+)$/mg; \%used } split(/^end\|.*$/m, $out);
	my ($own, $all, @grown) = (0, 0);
	foreach my $name (sort keys %$after)
	{
		next if $name eq 'WAL record construction';    # grows once, when some record needs more room
		my $growth = $after->{$name} - ($before->{$name} // 0);
		$all += $growth;
		$own += $growth if $name =~ /^pg_?stream/;
		push @grown, "$name: $growth" if $growth > 0;
	}
	cmp_ok(scalar(keys %$before), '>', 20, 'memory was measured');
	cmp_ok($own, '<', $own_limit, "our own memory grew by $own bytes") or diag(join("\n", @grown));
	cmp_ok($all, '<', $limit, "all memory grew by $all bytes") or diag(join("\n", @grown));
	return $errors;
}

my $errors = growth_over(\&one_round, 700, 60, 16 * 1024, 64 * 1024);
my $failures = () = $errors =~ /division by zero/g;
is($failures, 760 + 2 * 190, 'the reads that had to fail did');
is(() = $errors =~ /ERROR/g, $failures, 'no others did');
is_exact($node, $_, $query{$_}, 'afterwards') foreach @tables;

# The server itself keeps some hundred bytes of every relation that went: two tables, two segments, an index, their TOAST.
$errors = growth_over(\&passing_tables, 100, 60, 4 * 1024, 400 * 1024);
is($errors, '', 'tables came and went');

$node->stop;
done_testing();
