# Readers compare stream tables with their queries, in one statement each, while writers write, others fold, create and
# drop: every comparison must be exact, whatever is going on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run ();
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;
use Time::HiRes qw(time);

my $node = stream_cluster('concurrent', 'fsync = off', "lock_timeout = '60s'");
my %query = stream_tables($node, 1000, 40,
	extremes => 'SELECT k % 7 AS seven, min(v), max(id), count(DISTINCT k) FROM src GROUP BY k % 7',
	total => 'SELECT count(*), sum(v) FROM src',
	pairs => 'SELECT a.k, count(*) FROM src a JOIN src b ON a.id = b.id + 1 GROUP BY a.k');
$node->safe_psql('postgres', 'CREATE INDEX ON src (k)');

my $writer = write_script($node, 'writer', <<'PGBENCH');
\set k random(0, 50)
\set id random(1, 1000)
\set n random(1, 3)
BEGIN;
INSERT INTO src SELECT nextval('ids'), :k, :id / 16.0, repeat(md5(:id::text), 1 + :k * 3) FROM generate_series(1, :n) i;
SAVEPOINT s;
DELETE FROM src WHERE id = (SELECT max(id) FROM src WHERE k = :k);
ROLLBACK TO s;
UPDATE src SET v = v + 0.125, k = :k WHERE id = :id;
\if :n = 1
ROLLBACK;
\else
COMMIT;
\endif
DELETE FROM src WHERE id = (SELECT min(id) FROM src WHERE id >= 1000000);
PGBENCH
my $folder = write_folder($node, sort keys %query);
my $creator = write_script($node, 'creator', <<'PGBENCH');
CREATE TABLE IF NOT EXISTS passing USING pgstream AS SELECT k, max(v) FROM src GROUP BY k;
SELECT count(*) FROM passing;
DROP TABLE IF EXISTS passing;
PGBENCH

# One reader in each isolation level; each raises an error at the first difference.
$node->safe_psql('postgres', join("\n", 'SELECT 1;', map {
	my $level = $_;
	my $body = join("\n", map { <<"SQL" } sort keys %query);
    IF EXISTS (SELECT t::text FROM $_ t EXCEPT ALL SELECT q::text FROM ($query{$_}) q)
       OR EXISTS (SELECT q::text FROM ($query{$_}) q EXCEPT ALL SELECT t::text FROM $_ t) THEN
      RAISE EXCEPTION '$_ differs ($level)';
    END IF;
SQL
	"CREATE FUNCTION check_$level() RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN\n$body\nEND \$\$;"
} 'all'));
my @readers = map { write_script($node, "reader_$_->[0]", $_->[1]) } (
	[ 'committed', "SELECT check_all();\n" ],
	[ 'index', "SET enable_seqscan = off;\nSELECT check_all();\n" ],
	[ 'repeatable', "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT check_all();\nSELECT pg_sleep(0.05);\nSELECT check_all();\nCOMMIT;\n" ],
	[ 'serializable', "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;\nSELECT check_all();\nCOMMIT;\n" ]);

my @handles;
my @outputs;
my $seconds = 20;
foreach my $job ([ 3, $writer ], [ 2, $folder ], [ 1, $creator ], map { [ 1, $_ ] } @readers)
{
	my $output = '';
	push @outputs, \$output;
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	push @handles,
	  IPC::Run::start([ 'pgbench', '-n', '-c', $job->[0], '-T', $seconds, '--max-tries=100', '-f', $job->[1], 'postgres' ],
		'<', \'', '&>', \$output);
}
$_->finish foreach @handles;
foreach my $i (0 .. $#outputs)
{
	my ($processed) = ${ $outputs[$i] } =~ /number of transactions actually processed: (\d+)/;
	my ($errors) = ${ $outputs[$i] } =~ /^(.*(?:ERROR|FATAL|aborted).*)$/m;
	ok(($processed // 0) > 0 && !defined $errors, "job $i ran without errors") or diag(${ $outputs[$i] });
}

is_exact($node, $_, $query{$_}, 'at the end') foreach sort keys %query;
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach sort keys %query;
is_exact($node, $_, $query{$_}, 'at the end, folded') foreach sort keys %query;
my $folds = $node->safe_psql('postgres', q{SELECT min(fold_number) FROM pgstream.pgs_frontier WHERE pgs_relid <> 'pairs'::regclass});
cmp_ok($folds, '>', 5, 'every stream table was folded meanwhile');
$node->stop;
done_testing();
