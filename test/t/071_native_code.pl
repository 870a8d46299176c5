# Stored native code: who may read it, what becomes of it when it is damaged, missing, of another key, not storable or without its
# stream table, that readers never need it, who makes what a reader misses, and that the server's own JIT and ours live in one session.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;
use Time::HiRes qw(usleep);

# Without workers nobody makes what a reader misses: what is damaged stays so until a refresh.
my $node = stream_cluster('native', 'pgstream.jit = on', 'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on', 'max_worker_processes = 0');
if (!compiles($node)) { $node->stop; plan skip_all => 'no LLVM' }
my %query = (
	lines => 'SELECT id, a + b AS sum, t || t AS tt FROM src WHERE a % 2 = 1',
	sums => 'SELECT CASE WHEN a > 9 THEN a % 3 ELSE 0 END AS k, sum(b + 1), count(*) FROM src GROUP BY 1');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE src (id bigserial PRIMARY KEY, a int, b bigint, t text);
INSERT INTO src (a, b, t) SELECT i, i * 2, i::text FROM generate_series(1, 100) i;
SQL
$node->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach sort keys %query;
my $directory = $node->data_dir . '/pg_stream_jit';

sub files { my ($name) = @_; my $oid = $name =~ /\D/ ? $node->safe_psql('postgres', "SELECT '$name'::regclass::oid") : $name; return glob("$directory/*/$oid.*") }
sub evaluation { my ($on, $name) = @_; return $on->safe_psql('postgres', "SELECT value FROM pgstream.explain_st('$name') WHERE property = 'expressions'") }
sub change { $node->safe_psql('postgres', "INSERT INTO src (a, b, t) SELECT i, i, 'new' FROM generate_series(1, 10) i; DELETE FROM src WHERE id % 10 = 3") }

# --- Where it lies ------------------------------------------------------------------------------------------------------
for my $name (sort keys %query)
{
	my @files = files($name);
	is(scalar @files, 1, "$name has one file");
	is((stat $files[0])[2] & 07777, 0600, 'which its owner alone may read and write');
	is(evaluation($node, $name), 'compiled', "$name is compiled");
}
is((stat $directory)[2] & 07777, 0700, 'in a directory of the same kind');
change();
is_exact($node, $_, $query{$_}, 'compiled') foreach sort keys %query;
my $mapped = $node->safe_psql('postgres', "SELECT count(*) FROM sums; CREATE TEMP TABLE maps (line text); COPY maps FROM '/proc/self/maps'; SELECT count(*) FROM maps WHERE line ~ 'libLLVM|pg_stream_jit'");
like($mapped, qr/\n0$/, 'who reads by native code has not loaded LLVM');

# --- Damage -------------------------------------------------------------------------------------------------------------
sub damaged
{
	my ($what, $damage) = @_;
	my ($file) = files('lines');
	$damage->($file);
	change();
	like(evaluation($node, 'lines'), qr/^interpreted: (its native code is damaged|no native code is stored|its native code cannot be read)$/, "$what: interpreted");
	is_exact($node, 'lines', $query{lines}, $what);
	change();
	$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('lines')");
	is(evaluation($node, 'lines'), 'compiled', "$what: a refresh makes it anew");
	change();
	is_exact($node, 'lines', $query{lines}, "after $what");
	return;
}
sub flip { my ($file, $at) = @_; my $bytes = slurp_file($file); substr($bytes, $at, 1) ^= chr(0x10); open(my $f, '>', $file) or die; binmode $f; print $f $bytes; close $f; return }
damaged('a missing file', sub { unlink $_[0] });
damaged('a truncated file', sub { truncate($_[0], -s $_[0] > 500 ? 500 : 10) });
damaged('an empty file', sub { truncate($_[0], 0) });
for my $where (0, 10, 45, 75, 90, 110, 300, -1)
{
	damaged("a flipped byte at $where", sub { flip($_[0], $where < 0 ? (-s $_[0]) + $where : $where) });
}
damaged('bytes behind', sub { open(my $f, '>>', $_[0]) or die; print $f 'x'; close $f });
damaged('a file that others may write', sub { chmod 0666, $_[0] });
damaged('a link', sub { rename $_[0], "$_[0].moved"; symlink "$_[0].moved", $_[0] });
my ($other) = files('sums');
damaged("another's code", sub { my $bytes = slurp_file($other); open(my $f, '>', $_[0]) or die; binmode $f; print $f $bytes; close $f });

# --- Not storable -------------------------------------------------------------------------------------------------------
my ($database) = glob("$directory/*");
chmod 0500, $database;
$node->safe_psql('postgres', 'CREATE TABLE refused USING pgstream AS SELECT id * 3 AS x FROM src');
change();
is(evaluation($node, 'refused'), 'interpreted: no native code is stored', 'a directory that cannot be written: interpreted');
is_exact($node, 'refused', 'SELECT id * 3 AS x FROM src', 'not storable');
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('refused')");
is_exact($node, 'refused', 'SELECT id * 3 AS x FROM src', 'not storable, refreshed');
chmod 0700, $database;
change();
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('refused')");
is(evaluation($node, 'refused'), 'compiled', 'and compiled when it can be written again');

# --- Levels and keys ----------------------------------------------------------------------------------------------------
is($node->safe_psql('postgres', "SET pgstream.jit_optimization = 1; SELECT value FROM pgstream.explain_st('lines') WHERE property = 'expressions'"),
	'interpreted: no native code is stored', 'code of another level is another code');
$node->safe_psql('postgres', "SET pgstream.jit_dump = on; SET pgstream.jit = force; SET pgstream.jit_optimization = 1; SELECT count(*) FROM lines");
change();
$node->safe_psql('postgres', "SET pgstream.jit_dump = on; SET pgstream.jit = force; SET pgstream.jit_optimization = 1; SELECT count(*) FROM lines");
is(scalar(grep { /\.ll$/ } files('lines')), 1, 'the intermediate code is dumped on demand');
like(slurp_file((grep { /\.ll$/ } files('lines'))[0]), qr/define .*pgstream_image_row/, 'and is that');

# --- Many at once -------------------------------------------------------------------------------------------------------
$node->safe_psql('postgres', 'CREATE TABLE races USING pgstream AS SELECT id + 7 AS x, a - 1 AS y FROM src WHERE b > 1');
change();
$node->pgbench(
	'--no-vacuum --connect --client=4 --jobs=2 --transactions=12', 0, [ qr{processed: 48/48} ], [], 'sessions compile at several levels and overwrite each other\'s files',
	{ races => "\\set level random(0, 2)\nSET pgstream.jit = force;\nSET pgstream.jit_optimization = :level;\nSELECT sum(x + y) FROM races;" });
is_exact($node, 'races', 'SELECT id + 7 AS x, a - 1 AS y FROM src WHERE b > 1', 'after the races');
my $racers = $node->safe_psql('postgres', "SELECT 'races'::regclass::oid");
is(scalar(grep { /\.\d+\z/ } glob("$directory/*/$racers.*.*")), 0, 'and left no drafts');

# --- Made elsewhere -----------------------------------------------------------------------------------------------------
sub files_but_drafts { return grep { !/\.\d+\z/ } files(@_) }
sub made_soon
{
	my ($name, $what) = @_;
	my $until = time + 60;
	usleep(100_000) while (evaluation($node, $name) ne 'compiled' && time < $until);
	is(evaluation($node, $name), 'compiled', $what);
	return;
}
sub worker_gone { return $node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_stream compile worker'") }

unlink files('lines');
change();
is_exact($node, 'lines', $query{lines}, 'no worker can be had');
is(scalar(my @none = files('lines')), 0, 'so the reader interprets, and nothing is made');
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nlog_min_messages = debug1");
$node->restart;
my $log_before = -s $node->logfile;
change();
is(evaluation($node, 'lines'), 'interpreted: no native code is stored', 'describing asks for nothing');
is_exact($node, 'lines', $query{lines}, 'a read of which the code is missing');
made_soon('lines', 'is followed by a worker, which makes it');
is_exact($node, 'lines', $query{lines}, 'and the next one uses it');
ok(worker_gone(), 'the worker has ended');
my $started_workers = () = slurp_file($node->logfile, $log_before) =~ /starting background worker process "pg_stream compile worker"/g;
is($started_workers, 1, 'and was one');
# Many readers, one worker in ten seconds.
unlink files('lines');
$log_before = -s $node->logfile;
change();
$node->safe_psql('postgres', 'SELECT count(*) FROM lines') foreach 1 .. 5;
$started_workers = () = slurp_file($node->logfile, $log_before) =~ /starting background worker process "pg_stream compile worker"/g;
cmp_ok($started_workers, '<=', 1, 'many readers do not start many workers');

# A reader that goes on looks again.
$node->safe_psql('postgres', 'CREATE TABLE later USING pgstream AS SELECT id, a * 11 AS x FROM src WHERE b > 2');
unlink files('later');
my $reader = $node->background_psql('postgres', on_error_stop => 1);
change();
like($reader->query_safe('EXPLAIN (ANALYZE, VERBOSE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM later'), qr/no native code is stored/, 'a session reads interpreted');
made_soon('later', 'its worker makes the code');
my $found = '';
for (1 .. 60)
{
	change();
	$found = $reader->query_safe('EXPLAIN (ANALYZE, VERBOSE, COSTS off, TIMING off, SUMMARY off) SELECT * FROM later');
	last if $found !~ /Interpreted/;
	usleep(500_000);
}
unlike($found, qr/Interpreted/, 'and the session that read interpreted uses it');
$reader->quit;

# A function whose strictness changes makes another program: after the rebuild it is compiled, and made elsewhere when that is lost.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE STRICT AS 'BEGIN RETURN i * 2; END';
CREATE ROLE modest;
GRANT SELECT ON src TO modest;
GRANT CREATE ON SCHEMA public TO modest;
SET ROLE modest;
-- Constant calls are evaluated when its code is made: as the owner, by whomever.
CREATE FUNCTION who(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN IF current_user <> 'modest' THEN RAISE 'evaluated as %', current_user; END IF; RETURN t || current_user; END $$;
CREATE TABLE called USING pgstream AS SELECT id, twice(a) AS d, who('x') AS w FROM src WHERE b > 0;
SQL
my $called = q{SELECT id, twice(a) AS d, 'xmodest' AS w FROM src WHERE b > 0};
sub code_file { my ($name) = @_; my @files = files_but_drafts($name); return "@files" }
my $file_before = code_file('called');
isnt($file_before, '', 'a query with functions is compiled');
$node->safe_psql('postgres', q{CREATE OR REPLACE FUNCTION twice(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN coalesce(i, 7) * 3; END'});
change();
is_exact($node, 'called', $called, 'a function is replaced');
$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('called')");
isnt(code_file('called'), $file_before, 'other code is made for it');
unlink files('called');
change();
is_exact($node, 'called', $called, 'and lost');
my $made = time + 60;
usleep(100_000) while (code_file('called') eq '' && time < $made);
isnt(code_file('called'), '', 'and made by a worker, which is nobody but the owner to its functions');
is_exact($node, 'called', $called, 'with the same result');
ok(worker_gone(), 'no worker is left');
unlike(slurp_file($node->logfile), qr/evaluated as \w|could not make native code/, 'as none but the owner was met');
$node->safe_psql('postgres', 'DROP TABLE called, later');

# --- The server's JIT and ours ----------------------------------------------------------------------------------------------
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $servers = 'SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0; '
  . 'SELECT sum(a + b * 2) > 0 FROM src WHERE a % 3 <> 1;';
my $ours = "SET pgstream.jit = force; INSERT INTO src (a, b, t) VALUES (1, 1, 'x'); DROP TABLE IF EXISTS both_jits; "
  . 'CREATE TABLE both_jits USING pgstream AS SELECT a * 5 - b AS x FROM src; INSERT INTO src (a, b, t) VALUES (1, 3, 1); SELECT count(*) > 0 FROM both_jits;';
my $available = $node->safe_psql('postgres', 'SELECT pg_jit_available()');
for ([ 'the server\'s first', $servers, $ours ], [ 'ours first', $ours, $servers ], [ 'in turn', "$ours$servers", "$ours$servers" ])
{
	my ($order, @statements) = @$_;
	my ($rc, $out, $err) = $node->psql('postgres', join(' ', 'SET client_min_messages = warning;', @statements), on_error_stop => 1);
	is("$rc $err", '0 ', "$order: both run (server's JIT available: $available)");
	is_exact($node, 'both_jits', 'SELECT a * 5 - b AS x FROM src', $order);
}
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server went on');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'and no backend crashed');

# --- A standby ----------------------------------------------------------------------------------------------------------
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('native_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
# Copying a backup here keeps no modes; pg_basebackup does.
chmod 0600, glob($standby->data_dir . '/pg_stream_jit/*/*');
$standby->start;
change();
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(evaluation($standby, 'sums'), 'compiled', 'a standby has what its base backup had');
is_exact($standby, $_, $query{$_}, 'standby, compiled') foreach sort keys %query;
unlink glob($standby->data_dir . '/pg_stream_jit/*/*');
is(evaluation($standby, 'sums'), 'interpreted: no native code is stored', 'and interprets without it');
is_exact($standby, $_, $query{$_}, 'standby, interpreted') foreach sort keys %query;
unlike(slurp_file($standby->logfile), qr/pg_stream compile worker/, 'where nobody is asked for it');
is($standby->safe_psql('postgres', "SET pgstream.jit = force; SELECT count(*) FROM sums; SELECT value FROM pgstream.explain_st('sums') WHERE property = 'expressions'") =~ /compiled$/, 1,
	'or compiles for itself when forced');
$standby->stop;

# --- Gone ---------------------------------------------------------------------------------------------------------------
my $oid = $node->safe_psql('postgres', "SELECT 'sums'::regclass::oid");
$node->safe_psql('postgres', 'DROP TABLE sums');
my @left = files($oid);
is(scalar @left, 0, 'a dropped stream table has no file');
$node->safe_psql('postgres', 'CREATE DATABASE gone');
$node->safe_psql('gone', 'CREATE EXTENSION pg_stream; CREATE TABLE s (i int); CREATE TABLE st USING pgstream AS SELECT i + 1 AS x FROM s');
my $gone = $node->safe_psql('gone', "SELECT oid FROM pg_database WHERE datname = 'gone'");
is(scalar(my @in_gone = glob("$directory/$gone/*")), 1, 'another database has files of its own');
$node->safe_psql('postgres', 'DROP DATABASE gone');
my $orphan = "$database/999999999.x";
open(my $f, '>', $orphan) or die; close $f;
utime(time - 7200, time - 7200, glob("$directory/$gone/*"), $orphan);
$node->safe_psql('postgres', 'CREATE TABLE sweeper USING pgstream AS SELECT id - 1 AS x FROM src');
is((-e "$directory/$gone") // 0, 0, 'those of a database that is gone go with the next compilation');
is((-e $orphan) // 0, 0, 'as do those of a stream table that is gone');
$node->stop;
done_testing();
