# A dump made by whoever may make one: a superuser, or an owner who is held to row level security. And restored where the
# library is missing: plain tables with all rows, and errors for the parts of pg_stream alone.
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

# ---- Row level security ---------------------------------------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE ROLE policed LOGIN; CREATE DATABASE secured; CREATE DATABASE again; CREATE DATABASE mine OWNER policed');
$node->safe_psql('secured', <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION pg_stream;
CREATE TABLE src (id int, owner name, v int);
INSERT INTO src SELECT i, CASE WHEN i % 3 = 0 THEN 'policed' ELSE 'other' END, i FROM generate_series(1, 30) i;
ALTER TABLE src ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON src USING (owner = current_user);
GRANT SELECT, INSERT, DELETE ON src TO policed;
CREATE SCHEMA home AUTHORIZATION policed;
SET ROLE policed;
CREATE TABLE home.open (id int, v int);
INSERT INTO home.open SELECT i, i FROM generate_series(1, 30) i;
CREATE TABLE home.sums USING pgstream AS SELECT owner, sum(v) AS v, count(*) AS n FROM src GROUP BY owner;
CREATE TABLE home.lines USING pgstream AS SELECT id, v FROM home.open WHERE v > 10;
CREATE TABLE home.forced USING pgstream AS SELECT id, v FROM home.open WHERE v < 10;
CREATE POLICY evens ON home.lines FOR SELECT TO PUBLIC USING (id % 2 = 0);
ALTER TABLE home.lines ENABLE ROW LEVEL SECURITY;
CREATE POLICY evens ON home.forced USING (id % 2 = 0);
ALTER TABLE home.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
INSERT INTO home.open VALUES (101, 101), (102, 102);
INSERT INTO src VALUES (33, 'policed', 33);
SQL

# What a role sees in a database of the stream tables.
sub seen
{
	my ($db, $role) = @_;
	return $node->safe_psql($db, <<"SQL");
SET ROLE $role;
SELECT 'sums', string_agg(s::text, ' ' ORDER BY s::text) FROM home.sums s UNION ALL
SELECT 'lines', count(*) || ' ' || sum(id) FROM home.lines UNION ALL
SELECT 'forced', count(*) || ' ' || sum(id) FROM home.forced
SQL
}
my ($to_superuser, $to_owner) = (seen('secured', 'postgres'), seen('secured', 'policed'));
like($to_owner, qr/^sums\|\(policed,198,11\)\nlines\|22 613\nforced\|4 20$/, 'the owner sees his rows of the source, and what policies leave him');
like($to_superuser, qr/^sums\|\(policed,198,11\)\nlines\|22 613\nforced\|9 45$/, 'a superuser sees the same table, and all of it');

$node->command_ok([ 'pg_dump', '-f', "$dir/superuser.sql", $node->connstr('secured') ], 'pg_dump by a superuser');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/superuser.sql", $node->connstr('again') ], 'restored');
is(seen('again', 'postgres'), $to_superuser, 'a superuser sees the same');
is(seen('again', 'policed'), $to_owner, 'and the owner, before any refresh');
$node->safe_psql('again', <<'SQL');
SET ROLE policed;
SELECT pgstream.refresh_stream_table('home.' || t) FROM unnest(ARRAY['sums', 'lines', 'forced']) t;
INSERT INTO src VALUES (36, 'policed', 36);
INSERT INTO home.open VALUES (4, 4);
SQL
is($node->safe_psql('again', "SET ROLE policed; SELECT string_agg(s::text, ' ') FROM home.sums s"), '(policed,234,12)', 'and after one');
is($node->safe_psql('again', 'SELECT count(*) FROM home.forced'), '10', 'with pending changes');

# By the owner: what a table's or a materialized view's owner may dump, and refused where forced policies would leave out rows.
my $owner = $node->connstr('secured') . ' user=policed';
$node->command_ok([ 'pg_dump', '-n', 'home', '-T', 'home.forced', '-f', "$dir/owner.sql", $owner ], 'pg_dump by the owner');
like(slurp_file("$dir/owner.sql"), qr/COPY home\.sums \(owner, v, n\) FROM stdin;\npoliced\t198\t11\n\\\.\n/, 'his rows of the source');
is(scalar(() = slurp_file("$dir/owner.sql") =~ /COPY home\.lines.*?\n\\\./s ? split(/\n/, $&) : ()), 24, 'all rows of his stream table');
$node->command_fails_like([ 'pg_dump', '-n', 'home', '-f', "$dir/forced.sql", $owner ],
	qr/query would be affected by row-level security policy for table "forced"/, 'forced policies: refused as for a table');
$node->command_ok([ 'pg_dump', '-n', 'home', '--enable-row-security', '-f', "$dir/forced.sql", $owner ], 'unless asked for');
like(slurp_file("$dir/forced.sql"), qr/COPY home\.forced \(id, v\) FROM stdin;\n(?:\d+\t\d+\n){4}\\\./, 'what the policies leave him');
$node->safe_psql('mine', 'CREATE EXTENSION pg_stream; CREATE TABLE src (id int, owner name, v int); GRANT SELECT ON src TO policed');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/owner.sql", $node->connstr('mine') . ' user=policed' ],
	'the owner restores it');
$node->safe_psql('mine', "SET ROLE policed; SELECT pgstream.refresh_stream_table('home.lines')");
is($node->safe_psql('mine', 'SELECT count(*), (SELECT count(*) FROM home.open WHERE v > 10) FROM home.lines'), '22|22', 'and refreshes it');

# ---- A hostile owner ------------------------------------------------------------------------------------------------

# What a superuser's pg_dump reads runs whatever code the owner has put into queries, types, operators and indexes: with the
# owner's rights and no others. So does what the superuser makes of the dump (but for a column of a domain: COPY checks that
# with the rights of who restores, in any table).
$node->safe_psql('postgres', 'CREATE ROLE hostile LOGIN; CREATE DATABASE hostile; CREATE DATABASE victim');
$node->safe_psql('hostile', 'CREATE EXTENSION pg_stream; CREATE SCHEMA den AUTHORIZATION hostile; CREATE TABLE prize (secret text)');
$node->safe_psql('hostile', <<'SQL', connstr => $node->connstr('hostile') . ' user=hostile');
SET client_min_messages = warning;
SET search_path = den, public;
CREATE TABLE src (id int, v int);
INSERT INTO src SELECT i, i FROM generate_series(1, 5) i;
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE command;
  RETURN 'done: ' || command;
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;
-- What its calls find out is in the rows.
CREATE FUNCTION strike(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN concat_ws(' ', current_user, den.attempt('CREATE ROLE climbed SUPERUSER'), den.attempt('SELECT * FROM public.prize'),
    den.attempt('INSERT INTO public.prize VALUES (1)'), den.attempt('RESET ROLE'), den.attempt('RESET SESSION AUTHORIZATION'),
    den.attempt('ALTER ROLE hostile SUPERUSER'), den.attempt('DELETE FROM pgstream.pgs_stream'));
END $$;
CREATE FUNCTION less(int, int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN den.strike($1); END $$;
CREATE OPERATOR <~> (LEFTARG = int, RIGHTARG = int, FUNCTION = less);
CREATE TYPE boxed AS (told text);
CREATE FUNCTION box(int) RETURNS boxed LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN ROW(den.strike($1))::den.boxed; END $$;
CREATE CAST (int AS boxed) WITH FUNCTION box(int);
CREATE FUNCTION agreeable(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN den.strike($1) ~ '^hostile ' AND den.strike($1) !~ 'done'; END $$;
CREATE DOMAIN guarded AS int CHECK (den.agreeable(VALUE));
CREATE FUNCTION count(bigint) RETURNS text LANGUAGE sql RETURN den.strike(1);
CREATE TABLE by_rows USING pgstream AS SELECT id, strike(v) AS told, v <~> id AS op, v::boxed AS boxed, v::guarded::int AS dom FROM src;
CREATE TABLE by_group USING pgstream AS SELECT v % 2 AS g, max(strike(v)) AS told, count(*) AS n FROM src GROUP BY 1;
CREATE TABLE by_key USING pgstream AS SELECT DISTINCT ON (v % 3) v % 3 AS k, strike(v) AS told, id FROM src ORDER BY 1, id;
CREATE TABLE by_query USING pgstream AS SELECT a.id, strike(b.v) AS told FROM src a JOIN src b USING (id);
CREATE TABLE by_refresh USING pgstream WITH (refresh_mode = 'FULL') AS SELECT id, strike(v) AS told FROM src;
CREATE INDEX ON by_rows (strike(id));
CREATE INDEX ON by_group (g) WHERE agreeable(g);
INSERT INTO src SELECT i, i FROM generate_series(11, 15) i;
SQL
my $told = qr/^hostile( [0-9A-Z]{5}){7}$/;

# What those functions told of who they ran as and what they got, in a database; '' when it was nothing.
sub climbed
{
	my ($db) = @_;
	my @told = split /\n/, $node->safe_psql($db, <<'SQL');
SELECT told FROM den.by_rows UNION ALL SELECT op FROM den.by_rows UNION ALL SELECT (boxed).told FROM den.by_rows UNION ALL
SELECT told FROM den.by_group UNION ALL SELECT told FROM den.by_key UNION ALL SELECT told FROM den.by_query UNION ALL
SELECT told FROM den.by_refresh
SQL
	my $left = $node->safe_psql($db, q{SELECT (SELECT count(*) FROM prize) || ' ' || (SELECT count(*) FROM pg_roles WHERE rolname = 'climbed') || ' ' ||
		(SELECT rolsuper FROM pg_roles WHERE rolname = 'hostile')});
	return join "\n", (@told < 40 ? 'rows are missing' : ()), (grep { !/$told/ } @told), ($left eq '0 0 false' ? () : $left);
}
foreach my $format ([ '-f', "$dir/hostile.sql" ], [ '-Fc', '-f', "$dir/hostile.custom" ], [ '-Fd', '-j', '2', '-f', "$dir/hostile.dir" ])
{
	$node->command_ok([ 'pg_dump', @$format, $node->connstr('hostile') ], "a hostile owner: pg_dump @$format[0]");
}
my $rows = slurp_file("$dir/hostile.sql");
cmp_ok(scalar(() = $rows =~ /hostile(?: [0-9A-Z]{5}){7}/g), '>=', 40, 'a hostile owner: his functions ran, also over what was pending');
unlike($rows, qr/\tdone:|\d done:|\t(?!hostile)\w+( [0-9A-Z]{5}){7}/, 'a hostile owner: as he, and had no success');
is(climbed('hostile'), '', 'a hostile owner: nothing is left, and a superuser reads');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/hostile.sql", $node->connstr('victim') ], 'a hostile owner: restored by a superuser');
is(climbed('victim'), '', 'a hostile owner: who reads it before a refresh');
$node->safe_psql('victim', <<'SQL');
SELECT pgstream.refresh_stream_table('den.' || t) FROM unnest(ARRAY['by_rows', 'by_group', 'by_key', 'by_query', 'by_refresh']) t;
INSERT INTO den.src SELECT i, i FROM generate_series(21, 25) i;
VACUUM ANALYZE;
REINDEX TABLE den.by_rows;
SQL
is(climbed('victim'), '', 'a hostile owner: and after one');
is($node->safe_psql('victim', q{SELECT string_agg(v::text, ' ') FROM (VALUES ('by_rows'), ('by_group'), ('by_key'), ('by_query')) t (t), pgstream.verify('den.' || t) v
	WHERE v.missing + v.unexpected > 0}), '', 'a hostile owner: exact');

# ---- A whole cluster, and without the library ---------------------------------------------------------------------------

$node->safe_psql('postgres', 'DROP DATABASE again; DROP DATABASE mine; DROP DATABASE secured; DROP DATABASE hostile; DROP DATABASE victim; DROP ROLE hostile; CREATE DATABASE old');
fill_database($node, 'old');
$node->safe_psql('postgres', "ALTER ROLE dump_owner SET pgstream.keyed_evaluation = 'never'; ALTER DATABASE old SET pgstream.max_log_size = '64MB'");
my ($contents, $schema) = (contents($node, 'old'), schema_of($node, 'old'));
$node->command_ok([ 'pg_dump', '-f', "$dir/old.sql", $node->connstr('old') ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/old.custom", $node->connstr('old') ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dumpall', '-f', "$dir/all.sql", '-d', $node->connstr('postgres') ], 'pg_dumpall');
$node->stop;

my $bare = PostgreSQL::Test::Cluster->new('bare');
$bare->init;
$bare->append_conf('postgresql.conf', "fsync = off\nautovacuum = off");
$bare->start;
fill_roles($bare);

# plain DB, HOW, ERRORS: all rows are in plain tables that can be written, with what users put on them; the errors are of
# pg_stream's parts
sub plain
{
	my ($db, $how, $errors) = @_;
	my @expected = (qr/schema "(pgstream|absent)" does not exist/, qr/pg_stream is not preloaded/, qr/extension "(pg_stream|absent)"/,
		qr/invalid value for parameter "default_table_access_method"/, qr/rule "(pgstream|absent)_query" for relation/);
	my @other = grep { my $error = $_; !grep { $error =~ $_ } @expected } grep { /ERROR/ } split /\n/, $errors;
	is(join("\n", @other), '', "$how: errors for the parts of pg_stream alone");
	like($errors, qr/ERROR:  (pg_stream is not preloaded|extension "absent" is not available)/, "$how: the first says why");
	is(contents($bare, $db), $contents, "$how: all rows are there");
	is($bare->safe_psql($db, q{SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('public', '"Odd Schema"')
		AND relam <> (SELECT oid FROM pg_am WHERE amname = 'heap')}), '0', "$how: in plain tables");
	is($bare->safe_psql($db, q{INSERT INTO picks (id) VALUES (-1) RETURNING id}), '-1', "$how: which can be written");
	is($bare->safe_psql($db, q{SELECT obj_description('picks'::regclass), has_column_privilege('dump_reader', 'picks', 'c', 'SELECT'),
		(SELECT count(*) FROM pg_indexes WHERE tablename = 'picks'), (SELECT count(*) FROM pg_policies WHERE tablename = 'over_parts'),
		(SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = 'picks'::regclass), (SELECT count(*) > 0 FROM over_stream),
		(SELECT count(*) > 0 FROM kept_of_stream)}), 'picked of src|t|2|1|1|t|t', "$how: with what users put on them");
	return;
}

# Runs a restore that may go on after errors; returns these.
sub restore
{
	my (@command) = @_;
	my ($out, $err);
	IPC::Run::run(\@command, '<', \'', '>', \$out, '2>', \$err);
	return $err;
}

# Installed, but not preloaded; then a server that has never heard of it.
$bare->safe_psql('postgres', "CREATE DATABASE $_") foreach 'script', 'archive', 'absent';
plain('script', 'not preloaded, psql', restore('psql', '-X', '-q', '-f', "$dir/old.sql", $bare->connstr('script')));
plain('archive', 'not preloaded, pg_restore -j', restore('pg_restore', '-j', '2', '-d', $bare->connstr('archive'), "$dir/old.custom"));
my $unheard_of = slurp_file("$dir/old.sql");
$unheard_of =~ s/pg_stream|pgstream/absent/g;
append_to_file("$dir/absent.sql", $unheard_of);
plain('absent', 'not installed', restore('psql', '-X', '-q', '-f', "$dir/absent.sql", $bare->connstr('absent')));

# With the library, the same server takes the whole cluster.
$bare->safe_psql('postgres', "DROP DATABASE $_") foreach 'script', 'archive', 'absent';
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$bare->restart;
$bare->safe_psql('postgres', 'DROP ROLE dump_reader, dump_owner');
my $errors = restore('psql', '-X', '-q', '-f', "$dir/all.sql", $bare->connstr('postgres'));
is(join("\n", grep { /ERROR/ && !/role "\w+" already exists/ } split /\n/, $errors), '', 'pg_dumpall: restored');
is(inexact($bare, 'old'), '', 'pg_dumpall: exact');
is(contents($bare, 'old'), $contents, 'pg_dumpall: all rows are there');
is(schema_of($bare, 'old'), $schema, 'pg_dumpall: the second dump is the first');
is($bare->safe_psql('old', 'SHOW pgstream.max_log_size'), '64MB', 'settings of databases');
is($bare->safe_psql('postgres', "SELECT setconfig[1] FROM pg_db_role_setting WHERE setrole = 'dump_owner'::regrole"),
	'pgstream.keyed_evaluation=never', 'settings of roles');
refresh_all($bare, 'old');
is(unpopulated($bare, 'old'), '0', 'pg_dumpall: populated by the refresh');
is(inexact($bare, 'old'), '', 'pg_dumpall: exact after it');

$bare->stop;
done_testing();
