# A dump made by one version of the server, restored by another: exact at once, with the rows it had, the same definitions as
# if it had been filled here, and maintained after a refresh. Each version leaves its dumps in $STREAM_DUMPS_OUT and restores
# what earlier ones left in $STREAM_DUMPS_IN; where none did, there is but a note.
use strict;
use warnings;
use File::Basename;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamDump;
use StreamOracle;
use Test::More;

# Definitions record the session's settings, which initdb takes from the machine: alike on both sides for the comparison.
my @settings = ("TimeZone = 'UTC'", "DateStyle = 'ISO, MDY'", "lc_monetary = 'C'", "lc_numeric = 'C'", "lc_time = 'C'",
	"default_text_search_config = 'pg_catalog.english'");
my $node = stream_cluster('main', 'fsync = off', 'autovacuum = off', @settings);
fill_roles($node);
$node->safe_psql('postgres', 'CREATE DATABASE here');
fill_database($node, 'here');
my $schema = schema_of($node, 'here');
my $version = $node->safe_psql('postgres', 'SHOW server_version_num') / 10000 | 0;
my $out = $ENV{STREAM_DUMPS_OUT} || $node->backup_dir;
mkdir $out;
$node->command_ok([ 'pg_dump', '-f', "$out/$version.sql", $node->connstr('here') ], "the dump of version $version");
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$out/$version.custom", $node->connstr('here') ], 'in custom format');
append_to_file("$out/$version.contents", contents($node, 'here') . "\n");

my @earlier = grep { basename($_, '.contents') < $version } glob(($ENV{STREAM_DUMPS_IN} || '/nonexistent') . '/*.contents');
note('no dump of an earlier version is here') if !@earlier;
foreach my $file (@earlier)
{
	my $from = basename($file, '.contents');
	my $dir = dirname($file);
	my %restore = (sql => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$from.sql" ],
		custom => [ 'pg_restore', '--exit-on-error', '-j', '2', "$dir/$from.custom", '-d' ]);
	foreach my $format (sort keys %restore)
	{
		my $db = "from_${from}_$format";
		$node->safe_psql('postgres', "CREATE DATABASE $db");
		$node->command_ok([ @{ $restore{$format} }, $node->connstr($db) ], "$db: restored");
		is(inexact($node, $db), '', "$db: exact at once");
		is(contents($node, $db) . "\n", slurp_file($file), "$db: the rows of version $from");
		is(schema_of($node, $db), $schema, "$db: the dump is that of a database filled here");
		refresh_all($node, $db);
		is(unpopulated($node, $db), '0', "$db: populated by the refresh");
		change_sources($node, $db, 2000);
		is(inexact($node, $db), '', "$db: exact with pending changes");
		like($node->safe_psql($db, 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM picks'), qr/algebraic \(rows\)\n *Pending Changes: [1-9]/,
			"$db: maintained");
	}
}

$node->stop;
done_testing();
