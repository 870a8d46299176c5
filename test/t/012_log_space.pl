# The space of a change log: bounded while writers never pause and somebody folds, also beside a writer that stays open,
# which keeps one segment; and what the long writer wrote is neither lost nor doubled. A new session's first read does not
# visit the consumed log of all that time.

BEGIN { $ENV{PG_TEST_TIMEOUT_DEFAULT} //= 30; }

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = stream_cluster('log_space', 'fsync = off', 'autovacuum = off', 'shared_buffers = 64MB');
my $query = 'SELECT k, sum(v) AS v, count(*) AS n, sum(length(pad)) AS pad FROM src GROUP BY k';
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE src (id bigserial, k int, v numeric, pad text);
INSERT INTO src (k, v) SELECT i % 50, i FROM generate_series(1, 1000) i;
CREATE TABLE sums USING pgstream AS $query;
SQL
my $writer = write_script($node, 'writer', <<'PGBENCH');
\set k random(0, 60)
INSERT INTO src (k, v, pad) SELECT :k, i, repeat('x', 100) FROM generate_series(1, 150) i;
PGBENCH
my $folder = write_script($node, 'folder', <<'PGBENCH');
SELECT pgstream.refresh_stream_table('sums');
\sleep 150 ms
PGBENCH

sub pages
{
	return $node->safe_psql('postgres',
		"SELECT sum(pg_relation_size(s))::bigint / 8192 FROM pgstream.pgs_log, unnest(segments) s WHERE source_relid = 'src'::regclass");
}
sub rows_written
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM src');
}

# What a row takes in the log.
$node->safe_psql('postgres', "INSERT INTO src (k, v, pad) SELECT 1, i, repeat('x', 100) FROM generate_series(1, 20000) i");
my $pages_per_row = pages() / 20000;

# Writers without a pause, and folds, for some seconds; returns the most pages that were seen after a while, and how many
# were written in all.
sub load
{
	my ($seconds) = @_;
	my $before = rows_written();
	my $folders = start_pgbench($node, 1, $seconds + 1, $folder);
	my $writers = start_pgbench($node, 2, $seconds, $writer);
	my ($most, $start) = (0, time);
	while (time - $start < $seconds)
	{
		sleep(0.4);
		my $now = pages();
		$most = $now if $now > $most && time - $start > 2;
	}
	$_->finish foreach $writers, $folders;
	return ($most, int((rows_written() - $before) * $pages_per_row));
}

my ($most, $written) = load(4);
cmp_ok($written, '>', 500, 'the writers wrote much');
cmp_ok($most, '<', $written * 0.6, "without a pause of the writers: at most $most pages of log where $written were written");
is_exact($node, 'sums', $query, 'after the load');

# A writer stays open; so does a prepared transaction.
my $long = $node->background_psql('postgres');
$long->query_safe('BEGIN; INSERT INTO src (k, v) VALUES (1, 10000000), (2, 10000000); SELECT 1');
$node->safe_psql('postgres', "BEGIN; INSERT INTO src (k, v) VALUES (3, 1000000); PREPARE TRANSACTION 'long'");
($most, $written) = load(7);
cmp_ok($most, '<', $written * 0.6, "beside long writers: at most $most pages of log where $written were written");
is_exact($node, 'sums', $query, 'before the long writers commit');
cmp_ok($node->safe_psql('postgres', "SELECT cardinality(segments) FROM pgstream.pgs_log WHERE source_relid = 'src'::regclass"), '>=', 2,
	'segments');

# A new session's first read, beside the long writers: what it visits of the log.
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('sums')") foreach 1 .. 3;
cmp_ok(pages(), '<', $written / 3, 'what is left of the log is a fraction of what was written');
$long->query_safe('COMMIT');
$long->quit;
is_exact($node, 'sums', $query, 'after the long writer');
is($node->safe_psql('postgres', 'SELECT sum(v) >= 20000000 FROM sums WHERE k IN (1, 2)'), 't', 'its rows are there');
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('sums')");
$node->stop('immediate');
$node->start;
is_exact($node, 'sums', $query, 'after a crash, with the prepared transaction open');
$node->safe_psql('postgres', "COMMIT PREPARED 'long'");
is_exact($node, 'sums', $query, 'after the prepared one');
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('sums')") foreach 1 .. 3;
is_exact($node, 'sums', $query, 'after folds');
is(pages(), '0', 'the log is empty');
$node->safe_psql('postgres', 'DROP TABLE src CASCADE');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname LIKE 'log\\_%' AND relnamespace = 'pgstream'::regnamespace"),
	'0', 'all segments are dropped with their source');
$node->stop;
done_testing();
