# The background workers that attach and detach capture for roles which may only read a source: none to be had, none that gets its
# locks, cancelled, much asked for; and what is detached just before commits, prepared and otherwise.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

# The launcher of logical replication takes the one there is.
my $node = stream_cluster('attachers', 'max_worker_processes = 1', 'autovacuum = off');
my $query = 'SELECT id, k FROM src';
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE src (id int, k int);
INSERT INTO src SELECT i, i % 5 FROM generate_series(1, 100) i;
CREATE ROLE reader;
CREATE SCHEMA r AUTHORIZATION reader;
GRANT SELECT ON src TO reader;
SQL

sub as_reader
{
	my ($statements) = @_;
	my ($stdout, $stderr);
	$node->psql('postgres', "\\set VERBOSITY verbose\nSET ROLE reader;\n$statements", stdout => \$stdout, stderr => \$stderr);
	return $stderr;
}

# Log tables, rows about them, and triggers: what there is of capture.
sub captured
{
	return $node->safe_psql('postgres', <<'SQL');
SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'pgstream'::regnamespace AND relname ~ '^log_' AND relkind = 'r'),
  (SELECT count(*) FROM pgstream.pgs_log),
  (SELECT count(*) > 0 FROM pg_trigger WHERE tgfoid = 'pgstream.capture_changes()'::regprocedure)
SQL
}

sub write_at_once
{
	my ($when) = @_;
	is($node->psql('postgres', "SET lock_timeout = '2s'; INSERT INTO src VALUES (1, 1); UPDATE src SET k = k + 1 WHERE id = 2"), 0,
		"writers do not wait, $when");
	return;
}

my $create = "CREATE TABLE r.st USING pgstream AS $query";
my $nothing = '0|0|f';

# No worker.
like(as_reader("SET pgstream.attach_timeout = '200ms'; $create"),
	qr/ERROR:  53400: could not run a background worker to attach change capture to table "src"\n.*max_worker_processes/,
	'without a free worker creation fails');
is(captured(), $nothing, 'and leaves nothing');
$node->safe_psql('postgres', 'GRANT TRIGGER ON src TO reader');
is(as_reader("$create; DROP TABLE r.st"), '', 'who may create triggers needs none');
$node->safe_psql('postgres', 'REVOKE TRIGGER ON src FROM reader');
$node->append_conf('postgresql.conf', "max_worker_processes = 8\nlog_min_messages = debug1\n");
$node->restart;

# One that does not get its locks.
$node->safe_psql('postgres', "BEGIN; LOCK TABLE pgstream.pgs_log IN SHARE MODE; PREPARE TRANSACTION 'blocker'");
like(as_reader("SET pgstream.attach_timeout = '1s'; $create"), qr/ERROR:  55P03: could not attach change capture to table "src"/,
	'a worker that does not get its locks is given up');
like(as_reader("SET statement_timeout = '300ms'; $create"), qr/ERROR:  57014: canceling statement due to statement timeout/,
	'who waits for a worker can be cancelled');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'blocker'");
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'pg\\_stream%'");
is(captured(), $nothing, 'neither left anything');

# Drops and creations that are prepared.
is(as_reader($create), '', 'created');
$node->safe_psql('postgres', "BEGIN; DROP TABLE r.st; PREPARE TRANSACTION 'drop'");
write_at_once('with a drop prepared');
$node->safe_psql('postgres', "COMMIT PREPARED 'drop'");
write_at_once('with the drop committed');
is($node->safe_psql('postgres', 'SELECT captured_by FROM pgstream.pgs_log'), '0', 'then writers write no log');
is(as_reader($create), '', 'created again');
write_at_once('afterwards');
is_exact($node, 'r.st', $query, 'created after a prepared drop');
$node->safe_psql('postgres', "BEGIN; DROP TABLE r.st; PREPARE TRANSACTION 'drop'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'drop'");
write_at_once('with a drop rolled back');
is_exact($node, 'r.st', $query, 'after a prepared drop that was rolled back');
$node->safe_psql('postgres', 'DROP TABLE r.st');
is(captured(), $nothing, 'a drop takes all away');

is(as_reader("BEGIN; $create; PREPARE TRANSACTION 'create'"), '', 'a creation is prepared');
write_at_once('with a creation prepared');
$node->safe_psql('postgres', "COMMIT PREPARED 'create'");
is_exact($node, 'r.st', $query, 'created by a prepared transaction');
write_at_once('with the creation committed');
is_exact($node, 'r.st', $query, 'and after a change');
$node->safe_psql('postgres', 'DROP TABLE r.st');

is(as_reader("BEGIN; $create; PREPARE TRANSACTION 'create'"), '', 'a creation is prepared');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'create'");
isnt(captured(), $nothing, 'what was attached for it is there after it was rolled back');
is($node->safe_psql('postgres', 'SELECT alert FROM pgstream.check_cdc_health()'), '', 'nothing to complain of');
is(captured(), $nothing, 'and check_cdc_health() has seen to it');

# No worker does what the role is not allowed.
is(as_reader($create), '', 'created once more');
$node->safe_psql('postgres', <<'SQL');
DO $$ DECLARE t name; BEGIN
FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'src'::regclass LOOP EXECUTE format('DROP TRIGGER %I ON src', t); END LOOP; END $$
SQL
like(as_reader("RESET ROLE; SET pgstream.source_privilege = 'trigger'; SET ROLE reader; SELECT pgstream.refresh_stream_table('r.st')"),
	qr/ERROR:  42501: permission denied to capture changes of table "src"/, 'a refresh may not attach again');
is(captured(), '2|1|f', 'and has not');
is(as_reader("SELECT pgstream.refresh_stream_table('r.st')"), '', 'another one may');
write_at_once('afterwards');
is_exact($node, 'r.st', $query, 'attached again');
$node->safe_psql('postgres', 'DROP TABLE r.st');

# Drops together with their sources, and with the extension.
foreach my $drop ('DROP TABLE other CASCADE', 'DROP SCHEMA s CASCADE', 'DROP TABLE r.st; DROP TABLE other CASCADE',
	'DROP TABLE r.st; DROP TABLE r.two', 'DROP EXTENSION pg_stream CASCADE',
	'DROP TABLE r.st; DROP EXTENSION pg_stream CASCADE; CREATE EXTENSION pg_stream')
{
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION IF NOT EXISTS pg_stream;
CREATE SCHEMA s;
CREATE TABLE s.other (id int);
GRANT USAGE ON SCHEMA s TO reader;
GRANT SELECT ON s.other TO reader;
SQL
	is(as_reader('CREATE TABLE r.st USING pgstream AS SELECT id FROM s.other; CREATE TABLE r.two USING pgstream AS SELECT count(*) FROM s.other'),
		'', "created, for $drop");
	$node->safe_psql('postgres', "SET client_min_messages = warning; SET search_path = s; BEGIN; $drop; SAVEPOINT a; ROLLBACK TO a; COMMIT");
	$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS pg_stream; DROP TABLE IF EXISTS r.st, r.two; DROP SCHEMA IF EXISTS s CASCADE');
	is(captured(), $nothing, "nothing is left by $drop");
}

# Creators, committed or not, come and go, while others write and drop.
my $creator = write_script($node, 'creator', <<'PGBENCH');
\set commit random(0, 2)
SET client_min_messages = warning;
SET pgstream.attach_timeout = '60s';
SET ROLE reader;
BEGIN;
CREATE TABLE r.st:client_id USING pgstream AS SELECT id, k FROM src WHERE k <> :commit;
SELECT 1 / (count(*) = 0)::int FROM ((SELECT * FROM r.st:client_id EXCEPT ALL SELECT id, k FROM src WHERE k <> :commit) UNION ALL
  (SELECT id, k FROM src WHERE k <> :commit EXCEPT ALL SELECT * FROM r.st:client_id)) d;
\if :commit
COMMIT;
SELECT 1 / (count(*) = 0)::int FROM ((SELECT * FROM r.st:client_id EXCEPT ALL SELECT id, k FROM src WHERE k <> :commit) UNION ALL
  (SELECT id, k FROM src WHERE k <> :commit EXCEPT ALL SELECT * FROM r.st:client_id)) d;
SELECT pgstream.refresh_stream_table('r.st:client_id');
SELECT 1 / (count(*) = 0)::int FROM ((SELECT * FROM r.st:client_id EXCEPT ALL SELECT id, k FROM src WHERE k <> :commit) UNION ALL
  (SELECT id, k FROM src WHERE k <> :commit EXCEPT ALL SELECT * FROM r.st:client_id)) d;
DROP TABLE r.st:client_id;
\else
ROLLBACK;
\endif
PGBENCH
my $writer = write_script($node, 'writer', <<'PGBENCH');
\set id random(1, 100)
BEGIN;
UPDATE src SET k = k + 1 WHERE id = :id;
DELETE FROM src WHERE id = :id AND k % 7 = 3;
INSERT INTO src VALUES (:id, 0);
COMMIT;
\sleep 2 ms
PGBENCH
my $before = -s $node->logfile;
my $writers = start_pgbench($node, 2, 8, $writer);
my $creators = start_pgbench($node, 3, 6, $creator);
$creators->finish;
is($creators->result(0), 0, 'no creator failed');
$writers->finish;
is($writers->result(0), 0, 'nor did a writer');
my $log = slurp_file($node->logfile, $before);
unlike($log, qr/ERROR|FATAL|PANIC/, 'nor a worker');
like($log, qr/starting background worker process "pg_stream attach worker"/, 'they were at work');
like($log, qr/starting background worker process "pg_stream detach worker"/, 'and those that detach');
# A creation that was rolled back while another relied on the same capture leaves it to that one.
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'pg\\_stream%'");
$node->safe_psql('postgres', 'SELECT * FROM pgstream.check_cdc_health()');
is($node->safe_psql('postgres', "SELECT count(*) FROM pgstream.pgs_log WHERE captured_by <> '0'"), '0', 'no log is written that nobody reads');
# Triggers stay where the source was busy at the last drop; the next one takes them along.
is(as_reader("$create; DROP TABLE r.st"), '', 'one more creation and drop');
is(captured(), $nothing, 'and nothing is left');

$node->stop;
done_testing();
