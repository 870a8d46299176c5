# Every form of pg_dump gives back a database with working stream tables: exact at once and populated by the next refresh, with
# definition, options, recorded settings, indexes, statistics, grants, comments, policies and dependants; a dump of it is the
# first dump. So do --clean and --data-only into databases that have the stream tables already; -t alone leaves a plain table.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamDump;
use StreamOracle;
use Test::More;

my $node = stream_cluster('main', 'fsync = off', 'autovacuum = off');
my $dir = $node->backup_dir;
mkdir $dir;
fill_roles($node);
$node->safe_psql('postgres', 'CREATE DATABASE old');
fill_database($node, 'old');
is(inexact($node, 'old'), '', 'before the dump');
my ($contents, $schema, $whole) = (contents($node, 'old'), schema_of($node, 'old'), dump_of($node, 'old'));
unlike($whole, qr/$_/, "no $_ in the dump")
  foreach qr/pgstream\.log_/, qr/pgs_(stream|frontier|dependency|log|refresh_history)\b/, qr/TRIGGER/, qr/pgstream_key|key_hash|image_hash/;
my $streams = () = $schema =~ /^SET default_table_access_method = pgstream/mg;
cmp_ok($streams, '>', 0, 'the access method is in the dump');

my $number = 0;

# An empty database of the next number.
sub new_database
{
	my $db = 'new' . ++$number;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	return $db;
}

# dump FILE, OPTIONS: pg_dump of database old
sub dump_old
{
	my ($file, @options) = @_;
	$node->command_ok([ 'pg_dump', @options, '-f', "$dir/$file", $node->connstr('old') ], "pg_dump @options");
	return "$dir/$file";
}

sub run_script
{
	my ($db, $file, @options) = @_;
	return [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @options, '-f', $file, $node->connstr($db) ];
}

sub restore
{
	my ($db, $file, @options) = @_;
	return [ 'pg_restore', '--exit-on-error', @options, '-d', $node->connstr($db), $file ];
}

# restored DB, HOW: all that must be true of what a dump of old gave
sub restored
{
	my ($db, $how) = @_;
	is(inexact($node, $db), '', "$how: exact at once");
	is(contents($node, $db), $contents, "$how: and so were the rows in the dump");
	is(schema_of($node, $db), $schema, "$how: the second dump's schema is the first's");
	return;
}

# refreshed DB, HOW: it is maintained again
sub refreshed
{
	my ($db, $how) = @_;
	isnt(unpopulated($node, $db), '0', "$how: not populated before a refresh");
	change_sources($node, $db, 2000);
	is(inexact($node, $db), '', "$how: exact after changes");
	refresh_all($node, $db);
	is(unpopulated($node, $db), '0', "$how: populated by the refresh");
	is(inexact($node, $db), '', "$how: exact after the refresh");
	is(schema_of($node, $db), $schema, "$how: the dump is still the first");
	change_sources($node, $db, 3000);
	is(inexact($node, $db), '', "$how: exact with pending changes");
	like($node->safe_psql($db, 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM picks'), qr/algebraic \(rows\)\n *Pending Changes: [1-9]/,
		"$how: captured and maintained");
	return;
}

# Plain, all in one
my $plain = dump_old('plain.sql');
my $first = new_database();
$node->command_ok(run_script($first, $plain, '-1'), 'plain: in one transaction');
restored($first, 'plain');
is(dump_of($node, $first), $whole, 'plain: the second dump is the first, rows and all');
is($node->safe_psql($first, q{SELECT string_agg(has_column_privilege('dump_reader', 'picks', c, p)::text, ' ')
	FROM unnest(ARRAY['id', 'val']) c, unnest(ARRAY['SELECT', 'SELECT WITH GRANT OPTION']) p}), 'true true false false', 'column grants');
is($node->safe_psql($first, 'SET ROLE dump_reader; SELECT string_agg(k::text, $$,$$ ORDER BY k) FROM over_parts'),
	$node->safe_psql('old', 'SELECT string_agg(k::text, $$,$$ ORDER BY k) FROM over_parts WHERE k > 1'), 'row level security');
is($node->safe_psql($first, q{SELECT string_agg(r::text, ' ' ORDER BY c) FROM kept_of_stream r}),
	$node->safe_psql('old', q{SELECT string_agg(r::text, ' ' ORDER BY c) FROM over_stream r}), 'a materialized view over a view over it');
refreshed($first, 'plain');
is($node->safe_psql($first, q{SELECT string_agg(pgs_name || ' ' || coalesce(schedule, '-'), ', ' ORDER BY pgs_name) FROM pgstream.pgs_stream_tables
	WHERE pgs_name IN ('days', 'excepted', 'picks', 'united')}), 'days 1h30m, excepted 2h, picks -, united 1m', 'options');
like($node->safe_psql($first, q{SELECT string_agg(value, ' ') FROM pgstream.explain_st('days') WHERE property = 'settings'}),
	qr/TimeZone = Asia\/Tokyo.*DateStyle = SQL, DMY/s, 'recorded settings');

# --clean, into a database that has all of it, changed since and with pending changes
my $clean = dump_old('clean.sql', '--clean', '--if-exists');
$node->command_ok(run_script($first, $clean), '--clean --if-exists');
restored($first, '--clean');
refresh_all($node, $first);
is(unpopulated($node, $first), '0', '--clean: populated by the refresh');
my $custom = dump_old('custom', '-Fc');
$node->command_ok(restore($first, $custom, '--clean', '--single-transaction'), 'pg_restore --clean');
restored($first, 'pg_restore --clean');
is($node->safe_psql($first, q{SELECT count(*) FROM pg_class WHERE relname ~ '^log_' AND relnamespace = 'pgstream'::regnamespace}), '0',
	'nothing is left of what was there before');
# What a dump does not know of keeps the table; the dump's rows then come into an empty one, which gets its definition back.
refresh_all($node, $first);
$node->safe_psql($first, 'CREATE VIEW mine AS SELECT * FROM viewed; CREATE VIEW mine_too AS SELECT * FROM held');
my ($status, $out, $err) = (0, '', '');
IPC::Run::run([ 'psql', '-X', '-q', '-f', $clean, $node->connstr($first) ], '<', \'', '>', \$out, '2>', \$err);
like($err, qr/cannot drop table public\.viewed because other objects depend on it/, '--clean: a table with another dependant stays');
is(inexact($node, $first), '', '--clean: and is exact');
is(contents($node, $first), $contents, '--clean: no row of it is there twice');
# Only such scripts may: elsewhere the definition is not for dropping.
($status, $out, $err) = $node->psql($first, 'DROP RULE pgstream_query ON picks');
like($err, qr/cannot drop rule pgstream_query on table picks because table picks requires it/, 'by hand the rule is not dropped');
($status, $out, $err) = $node->psql($first, "SET check_function_bodies = off; SELECT set_config('search_path', '', false); SET ROLE dump_reader;
	DROP RULE pgstream_query ON public.over_parts");
like($err, qr/must be owner of table over_parts/, "nor anybody else's in a script");
$node->safe_psql('postgres', "DROP DATABASE $first");

# Other formats, in parallel, by section
my $directory = dump_old('directory', '-Fd', '-j', '3');
my $db = new_database();
$node->command_ok(restore($db, $directory, '-j', '3'), 'directory: pg_restore -j');
restored($db, 'directory');
$node->safe_psql('postgres', "DROP DATABASE $db");
$db = new_database();
$node->command_ok(restore($db, $custom, "--section=$_"), "custom: section $_") foreach 'pre-data', 'data', 'post-data';
restored($db, 'by sections');
$node->safe_psql('postgres', "DROP DATABASE $db");
my $inserts = dump_old('inserts.sql', '--inserts');
$db = new_database();
$node->command_ok(run_script($db, $inserts), '--inserts');
restored($db, '--inserts');

# --data-only, where all of it is there: the rows of stream tables are read over, those of sources written. Names sort so that
# sources come after stream tables.
my $data = dump_old('data.sql', '--data-only', '--disable-triggers');
refresh_all($node, $db);
$node->safe_psql($db, 'TRUNCATE src, parts, parent, child');
my $before = $node->safe_psql($db, 'SELECT md5(string_agg(r::text, $$,$$ ORDER BY id)) FROM held');
$node->command_ok(run_script($db, $data), '--data-only --disable-triggers, into stream tables that are maintained');
is(inexact($node, $db), '', '--data-only: exact');
is(contents($node, $db), $contents, '--data-only: all is there, FULL ones as they were');
refresh_all($node, $db);
change_sources($node, $db, 4000);
is(inexact($node, $db), '', '--data-only: exact after a refresh and changes');
is($node->safe_psql($db, 'SELECT md5(string_agg(r::text, $$,$$ ORDER BY id)) FROM held'), $before, '--data-only: nothing is there twice');
($status, $out, $err) = $node->psql($db, "COPY picks FROM PROGRAM 'true'");
like($err, qr/cannot copy into a stream table/, 'by hand nothing is copied');
$node->safe_psql('postgres', "DROP DATABASE $db");

# --schema-only: stream tables over empty sources; FULL ones are not populated. Then its --data-only.
$db = new_database();
$node->command_ok(restore($db, $custom, '--schema-only'), '--schema-only');
is(inexact($node, $db), '', '--schema-only: exact');
is(schema_of($node, $db), $schema, '--schema-only: the second dump is the first');
($status, $out, $err) = $node->psql($db, 'SELECT * FROM held');
like($err, qr/has not been populated/, '--schema-only: a FULL one is not populated');
$node->command_ok(restore($db, $custom, '--data-only'), '--data-only after --schema-only');
restored($db, '--schema-only, --data-only');
refreshed($db, '--schema-only, --data-only');
$node->safe_psql('postgres', "DROP DATABASE $db");

# -t: with its sources a stream table, alone the rows and an error for the definition
my $alone = dump_old('alone.sql', '-t', 'picks', '-t', '"Odd Schema"."Sum Of ""All"""');
my $with = dump_old('with.sql', '-t', 'picks', '-t', 'src', '-t', 'united', '-t', 'parts*', '--no-owner', '--no-privileges');
$db = new_database();
$node->safe_psql($db, q{CREATE EXTENSION pg_stream; CREATE TYPE colour AS ENUM ('red', 'green', 'blue'); CREATE SCHEMA "Odd Schema"});
IPC::Run::run([ 'psql', '-X', '-q', '-f', $alone, $node->connstr($db) ], '<', \'', '>', \$out, '2>', \$err);
my @errors = grep { /ERROR/ } split /\n/, $err;
is(scalar(grep { !/relation "public\.src" does not exist|rule "pgstream_query" for relation|nothing_deleted|rule ".*" for/ } @errors), 0,
	'-t alone: errors for the definitions alone') or diag($err);
is($node->safe_psql($db, 'SELECT count(*), sum(val) FROM picks'), $node->safe_psql('old', 'SELECT count(*), sum(val) FROM picks'),
	'-t alone: its rows');
$node->safe_psql($db, 'INSERT INTO picks VALUES (-1); DELETE FROM picks; DROP TABLE picks; DROP SCHEMA "Odd Schema" CASCADE');
$node->command_ok(run_script($db, $with), '-t with its sources');
my $difference = q{SELECT count(*) FROM picks p FULL JOIN (SELECT id, val, txt, c FROM src WHERE grp IN (3, 5)) q ON p::text = q::text
	WHERE p IS NULL OR q IS NULL};
is($node->safe_psql($db, $difference), '0', '-t with its sources: exact');
is($node->safe_psql($db, "SELECT pgstream.refresh_stream_table('picks'), pgstream.refresh_stream_table('united')"), '|', '-t: refreshed');
is($node->safe_psql($db, q{SELECT pg_get_userbyid(relowner), relacl IS NULL FROM pg_class WHERE relname = 'picks'}),
	$node->safe_psql($db, 'SELECT current_user') . '|t', '--no-owner --no-privileges');

# --no-table-access-method: plain tables, which their disabled rules do not touch
my $no_method = dump_old('no_method.sql', '--no-table-access-method');
$db = new_database();
$node->command_ok(run_script($db, $no_method), '--no-table-access-method');
is(contents($node, $db), $contents, '--no-table-access-method: the rows');
is($node->safe_psql($db, q{INSERT INTO picks (id) VALUES (-7) RETURNING id; SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	WHERE amname = 'pgstream'}), "-7\n0", '--no-table-access-method: plain tables');

# A stream table that nobody has refreshed since its restore goes with its source, and is not taken for a plain table.
$db = new_database();
$node->command_ok(run_script($db, $plain), 'restore once more');
$node->safe_psql($db, 'SET client_min_messages = warning; DROP TABLE src CASCADE');
is($node->safe_psql($db, q{SELECT to_regclass('picks') IS NULL, to_regclass('held') IS NULL, to_regclass('listed') IS NULL}), 't|t|f',
	'dropped with its source before its first refresh');

# FULL stream tables without rows: one whose last refresh gave none is populated as a materialized view would be, one that was
# never refreshed is not.
$node->safe_psql('postgres', 'CREATE DATABASE nothing');
$node->safe_psql('nothing', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION pg_stream;
CREATE TABLE src (id int);
CREATE TABLE none USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, random() AS r FROM src;
CREATE TABLE none_united USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id FROM src WHERE random() < 2 UNION ALL SELECT id FROM src;
CREATE TABLE later USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, random() AS r FROM src WITH NO DATA;
CREATE TABLE emptied USING pgstream WITH (refresh_mode = 'FULL') AS VALUES (1);
SELECT pgstream.alter_stream_table('emptied', query => 'VALUES (1) EXCEPT VALUES (1)');
CREATE TABLE filled USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id FROM src;
INSERT INTO src VALUES (1);
SELECT pgstream.refresh_stream_table('filled');
DELETE FROM src;
CREATE TABLE live USING pgstream AS SELECT id FROM src;
SQL

# What is read of each: a number of rows, or - where that is refused.
sub read_each
{
	my ($db) = @_;
	return join ' ', map {
		my ($code, $rows, $error) = $node->psql($db, "SELECT count(*) FROM $_");
		$code == 0 ? "$_ $rows" : $error =~ /has not been populated/ ? "$_ -" : "$_ $error"
	} qw(none none_united later emptied filled live);
}

# dump_nothing FILE, OPTIONS
sub dump_nothing
{
	my ($from, $file, @options) = @_;
	$node->command_ok([ 'pg_dump', @options, '-f', "$dir/$file", $node->connstr($from) ], "pg_dump @options without rows");
	return "$dir/$file";
}
my $held = 'none 0 none_united 0 later - emptied 0 filled 1 live 0';
is(read_each('nothing'), $held, 'without rows: before the dump');
my $empty_plain = dump_nothing('nothing', 'nothing.sql');
my $empty_custom = dump_nothing('nothing', 'nothing.custom', '-Fc');
$db = new_database();
$node->command_ok(run_script($db, $empty_plain), 'without rows: plain');
is(read_each($db), $held, 'without rows: plain: what was populated is');
is(dump_of($node, $db), dump_of($node, 'nothing'), 'without rows: the second dump is the first');
is($node->safe_psql($db, q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^(none|later|emptied|filled|live)'
	AND pg_relation_size(oid) > 0}), 'emptied filled none none_united', 'without rows: a page tells it, where it is to be told');
$node->safe_psql($db, 'VACUUM (ANALYZE)');
is(read_each($db), $held, 'without rows: and after VACUUM');
$node->safe_psql($db, 'VACUUM FULL none');
is(read_each($db), $held, 'without rows: and after VACUUM FULL');
my $second = new_database();
$node->command_ok(run_script($second, dump_nothing($db, 'again.sql')), 'without rows: a dump of the restored one');
is(read_each($second), $held, 'without rows: is alike');
$node->safe_psql($second, q{SELECT pgstream.refresh_stream_table(t) FROM unnest('{none,none_united,later,emptied,filled}'::text[]) t});
is(read_each($second), 'none 0 none_united 0 later 0 emptied 0 filled 0 live 0', 'without rows: refreshed');
is($node->safe_psql($second, q{SELECT count(*) FROM unnest('{none,none_united,later,emptied,filled}'::regclass[]) t
	WHERE 'content=empty' = ANY (pgstream.definition_options(t))}), 5, 'without rows: each says so');
$node->safe_psql($second, q{INSERT INTO src VALUES (1); SELECT pgstream.refresh_stream_table('none')});
unlike($node->safe_psql($second, q{SELECT pgstream.definition_options('none')}), qr/content=/, 'without rows: until there are some');
$db = new_database();
$node->command_ok(restore($db, $empty_custom, '-j', '2'), 'without rows: parallel');
is(read_each($db), $held, 'without rows: parallel: what was populated is');
$db = new_database();
$node->command_ok(restore($db, $empty_custom, '--schema-only'), 'without rows: --schema-only');
is(read_each($db), 'none - none_united - later - emptied - filled - live 0', 'without rows: --schema-only populates nothing');
is(schema_of($node, $db), schema_of($node, 'nothing'), 'without rows: --schema-only: the second dump is the first');
$node->command_ok(restore($db, $empty_custom, '--data-only'), 'without rows: --data-only after it');
is(read_each($db), $held, 'without rows: --data-only after it: what was populated is');

$node->stop;
done_testing();
