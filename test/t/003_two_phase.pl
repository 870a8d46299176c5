# Prepared transactions that wrote a source, or folded, live through folds of others and through a restart: their
# changes appear with COMMIT PREPARED, once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $node = stream_cluster('prepared');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE src (id int PRIMARY KEY, k int, v numeric);
INSERT INTO src SELECT i, i % 5, i FROM generate_series(1, 100) i;
SQL
my %query = (
	sums => 'SELECT k, sum(v), count(*) FROM src GROUP BY k',
	lines => 'SELECT k, v FROM src WHERE v > 50',
	total => 'SELECT count(*), max(v) FROM src');
$node->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach sort keys %query;

sub exact
{
	my ($when) = @_;
	is_exact($node, $_, $query{$_}, $when) foreach sort keys %query;
	return;
}

sub fold
{
	$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach @_ ? @_ : sort keys %query;
	return;
}

foreach my $end ('COMMIT', 'ROLLBACK')
{
	foreach my $stop ('none', 'fast', 'immediate')
	{
		my $what = "$end PREPARED, " . ($stop eq 'none' ? 'no restart' : "restart after $stop stop");
		$node->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO src SELECT 1000 + i, i % 7, 100 + i FROM generate_series(1, 20) i;
SAVEPOINT s;
DELETE FROM src WHERE k = 1;
ROLLBACK TO s;
UPDATE src SET v = v + 0.5 WHERE id <= 3;
DELETE FROM src WHERE id = 1005;
PREPARE TRANSACTION 'writer';
SQL
		exact("while prepared; $what");
		$node->safe_psql('postgres', 'INSERT INTO src VALUES (5000, 3, 77)');
		fold();
		exact("folded past the prepared transaction; $what");
		if ($stop ne 'none')
		{
			$node->stop($stop);
			$node->start;
		}
		exact("before the end; $what");
		$node->safe_psql('postgres', 'DELETE FROM src WHERE id = 5000');
		fold();
		$node->safe_psql('postgres', "$end PREPARED 'writer'");
		exact("after the end; $what");
		fold();
		exact("after the end and a fold; $what");
		$node->safe_psql('postgres', 'DELETE FROM src WHERE id > 1000');
		exact("cleaned; $what");
	}
}

# A prepared transaction that wrote and folded.
foreach my $end ('COMMIT', 'ROLLBACK')
{
	$node->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO src VALUES (2000, 1, 1), (2001, 9, 9);
SELECT pgstream.refresh_stream_table('sums');
INSERT INTO src VALUES (2002, 1, 5);
PREPARE TRANSACTION 'folder';
SQL
	exact("another's fold is prepared");
	$node->safe_psql('postgres', 'INSERT INTO src VALUES (3000, 2, 1)');
	exact("another's fold is prepared, and a change");
	$node->stop('immediate');
	$node->start;
	exact("another's fold is prepared, after a crash");
	$node->safe_psql('postgres', "$end PREPARED 'folder'");
	exact("after $end of the prepared fold");
	fold();
	exact("after $end of the prepared fold and a fold");
	$node->safe_psql('postgres', 'DELETE FROM src WHERE id >= 2000');
	exact("after $end of the prepared fold, cleaned");
}

$node->stop;
done_testing();
