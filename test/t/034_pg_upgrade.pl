# pg_upgrade to a cluster of the same version: it runs, what it cannot carry (logs, capture, key indexes) is taken for lost, and
# stream tables answer by their queries until their next refresh, from which on they are maintained again. A dump before and
# after is the same.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamDump;
use StreamOracle;
use Test::More;

my $old = stream_cluster('old', 'fsync = off', 'autovacuum = off');
my $bindir = $old->config_data('--bindir');
plan skip_all => "no pg_upgrade in $bindir" if !-x "$bindir/pg_upgrade";
fill_roles($old);
$old->safe_psql('postgres', 'CREATE DATABASE app; CREATE DATABASE empty');
$old->safe_psql('empty', 'CREATE EXTENSION pg_stream');
fill_database($old, 'app');
my ($contents, $schema) = (contents($old, 'app'), schema_of($old, 'app'));
my $segments = $old->safe_psql('app', 'SELECT sum(pg_relation_size(s)) > 0 FROM pgstream.pgs_log, unnest(segments) s');
is($segments, 't', 'changes are pending in the logs');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'\nfsync = off\nautovacuum = off\nmax_prepared_transactions = 20");
chdir $PostgreSQL::Test::Utils::tmp_check;
$old->command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host,
	'-p', $old->port, '-P', $new->port ], 'pg_upgrade') or do {
	foreach my $log (glob($new->data_dir . '/pg_upgrade_output.d/*/log/*')) { diag(slurp_file($log)) }
};
$new->start;

is(inexact($new, 'app'), '', 'exact at once');
is(contents($new, 'app'), $contents, 'and what it was before, FULL ones too');
is(schema_of($new, 'app'), $schema, 'the dump is the same');
like($new->safe_psql('app', 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM picks'),
	qr/Strategy: recompute\n *Strategy Reason: a source is no longer captured/, 'by its query');
is($new->safe_psql('app', 'SELECT count(*), count(alert) FROM pgstream.check_cdc_health()'), '3|3', 'check_cdc_health() says so of every source');
change_sources($new, 'app', 2000);
is(inexact($new, 'app'), '', 'exact after changes that no log has');

# One that is made or refreshed attaches capture for all: the others must not trust it for what it has not seen.
$new->safe_psql('app', q{SET client_min_messages = warning; SELECT pgstream.refresh_stream_table('by_key')});
change_sources($new, 'app', 3000);
is(inexact($new, 'app'), '', 'exact when one of them is captured again');
refresh_all($new, 'app');
change_sources($new, 'app', 4000);
is(inexact($new, 'app'), '', 'exact after refreshes and changes');
is(unpopulated($new, 'app'), '0', 'all are populated');
like($new->safe_psql('app', 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM picks'), qr/algebraic \(rows\)\n *Pending Changes: [1-9]/,
	'and maintained');
is($new->safe_psql('app', 'SELECT count(alert) FROM pgstream.check_cdc_health()'), '0', 'nothing is wrong any more');
is(schema_of($new, 'app'), $schema, 'the dump is still the same');

# What the script of the extension and the creation of a stream table set up besides
foreach my $db ('app', 'empty')
{
	is($new->safe_psql($db, q{SELECT count(*) FROM pg_class WHERE relnamespace = 'pgstream'::regnamespace AND relkind = 'r'
		AND relname LIKE 'pgs\_%' AND relrewrite <> oid}), '0', "$db: catalogs are left out of replication");
}
is($new->safe_psql('app', q{SELECT count(*) FILTER (WHERE c.relrewrite <> c.oid), count(*) FILTER (WHERE NOT EXISTS (SELECT FROM pg_trigger t
	JOIN pg_proc p ON p.oid = tgfoid WHERE tgrelid = c.oid AND proname = 'ignore_replicated' AND tgenabled = 'R')),
	max((SELECT count(*) FROM pg_trigger t WHERE tgrelid = c.oid)) FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE amname = 'pgstream'}), '0|0|1',
	'so are stream tables, once');
$new->safe_psql('app', 'SET client_min_messages = warning; DROP TABLE src, parts, parent CASCADE');
is($new->safe_psql('app', q{SELECT (SELECT string_agg(pgs_name, ',' ORDER BY pgs_name) FROM pgstream.pgs_stream_tables), (SELECT count(*) FROM pgstream.pgs_log),
	(SELECT count(*) FROM pg_class WHERE relname ~ '^log_' AND relnamespace = 'pgstream'::regnamespace)}), 'held_union,listed|0|0',
	'stream tables and logs go with their sources');
$new->safe_psql('empty', 'CREATE TABLE s AS SELECT 1 AS i; CREATE TABLE t USING pgstream AS SELECT i FROM s; INSERT INTO s VALUES (2)');
is($new->safe_psql('empty', 'SELECT sum(i) FROM t'), '3', 'a new one in a database that had none');

$new->stop;
done_testing();
