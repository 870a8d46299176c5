# From 0.1.0 to the newest version. The installed script of 0.1.0 is the one that was fixed; the library serves a database
# that still has its objects; ALTER EXTENSION UPDATE keeps every captured change and every answer, beside open writers and
# sessions with plans of before; and leaves, object by object, what a fresh CREATE EXTENSION makes.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $node = stream_cluster('update');
my $newest = $node->safe_psql('postgres', "SELECT default_version FROM pg_available_extensions WHERE name = 'pg_stream'");
isnt($newest, '0.1.0', 'there is a version to update to');
is($node->safe_psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'pg_stream'"), $newest, 'a fresh one is of that version');
is($node->safe_psql('postgres', "SELECT string_agg(path, ' ' ORDER BY source) FROM pg_extension_update_paths('pg_stream')
	 WHERE target = '$newest' AND path IS NOT NULL"), "0.1.0--$newest", 'the way there');
chomp(my $share = `pg_config --sharedir`);
is(sha256_hex(slurp_file("$share/extension/pg_stream--0.1.0.sql")), '8220af36fd7b840bbd6451c7cdbc10e393d09caceaf188d5796b8b8e31390652',
	'the script of 0.1.0 is fixed: what is new belongs into the update script');

# What an extension is made of, a line for each fact that a user could notice.
my $objects = <<'SQL';
WITH member AS (
  SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
   WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'pg_stream'
     AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
           SELECT FROM pgstream.pgs_log l WHERE d.objid = ANY (l.segments)))),
relation AS (
  SELECT c.*, c.oid::regclass::text AS named FROM pg_class c
   WHERE c.oid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass)
      OR c.oid IN (SELECT indexrelid FROM pg_index i JOIN member m ON m.objid = i.indrelid AND m.classid = 'pg_class'::regclass)),
fact (object, fact, value) AS (
  SELECT 'extension', 'itself', concat_ws(' ', extversion, extrelocatable, extconfig, extcondition, extnamespace::regnamespace, extowner::regrole)
    FROM pg_extension WHERE extname = 'pg_stream'
  UNION ALL SELECT pg_describe_object(classid, objid, 0), 'comment', obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)::name) FROM member
  UNION ALL SELECT pg_describe_object(p.classoid, p.objoid, p.objsubid), 'initial privileges ' || p.privtype::text, (SELECT array_agg(a ORDER BY a::text) FROM unnest(p.initprivs) a)::text
    FROM pg_init_privs p JOIN member m ON m.classid = p.classoid AND m.objid = p.objoid
  UNION ALL SELECT 'schema ' || nspname, 'itself', concat_ws(' ', nspowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(nspacl) a))
    FROM pg_namespace WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_namespace'::regclass)
  UNION ALL SELECT 'access method ' || amname, 'itself', concat_ws(' ', amtype, amhandler) FROM pg_am WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_am'::regclass)
  UNION ALL SELECT 'function ' || oid::regprocedure, 'itself', concat_ws(' ', pg_get_functiondef(oid), proowner::regrole, (SELECT array_agg(a ORDER BY a::text) FROM unnest(proacl) a))
    FROM pg_proc WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
  UNION ALL SELECT 'type ' || typname, 'itself', concat_ws(' ', typtype, typowner::regrole, typacl, format_type(typbasetype, typtypmod), typdefault,
      (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
    FROM pg_type t WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_type'::regclass) AND NOT EXISTS (SELECT FROM relation r WHERE r.reltype = t.oid)
  UNION ALL SELECT 'relation ' || named, 'itself', concat_ws(' ', relkind, relpersistence, relreplident, relispartition, relrowsecurity, relowner::regrole,
      (SELECT array_agg(a ORDER BY a::text) FROM unnest(relacl) a), reloptions, reltablespace, relrewrite = oid, CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
      CASE WHEN relkind = 'i' THEN pg_get_indexdef(oid) END, (SELECT concat_ws(' ', indisvalid, indisprimary, indisunique) FROM pg_index WHERE indexrelid = relation.oid))
    FROM relation
  UNION ALL SELECT 'relation ' || named, 'column ' || attnum, concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage,
      attisdropped, attcollation, attacl, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
    FROM relation JOIN pg_attribute a ON attrelid = relation.oid AND attnum > 0 LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  UNION ALL SELECT 'relation ' || named, 'constraint ' || conname, pg_get_constraintdef(c.oid) FROM relation JOIN pg_constraint c ON conrelid = relation.oid
  UNION ALL SELECT 'relation ' || named, 'trigger ' || tgname, concat_ws(' ', tgenabled, pg_get_triggerdef(t.oid)) FROM relation JOIN pg_trigger t ON tgrelid = relation.oid
  UNION ALL SELECT 'relation ' || named, 'rule ' || rulename, concat_ws(' ', ev_enabled, pg_get_ruledef(r.oid)) FROM relation JOIN pg_rewrite r ON ev_class = relation.oid
  UNION ALL SELECT 'relation ' || named, 'policy ' || polname, pg_get_expr(polqual, polrelid) FROM relation JOIN pg_policy ON polrelid = relation.oid
  UNION ALL SELECT 'relation ' || named, 'sequence', concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle)
    FROM relation JOIN pg_sequence ON seqrelid = relation.oid
  UNION ALL SELECT 'members', i.type, i.identity FROM member m, pg_identify_object(m.classid, m.objid, 0) i)
SELECT object, fact, translate(value, E'\n', ' ') FROM fact WHERE value IS NOT NULL
SQL
sub difference
{
	my ($left, $right) = @_;
	my %in = map { $_ => 1 } split /\n/, $left;
	my @only = grep { !delete $in{$_} } split /\n/, $right;
	return join("\n", (map { "- $_" } sort keys %in), (map { "+ $_" } @only));
}
sub objects
{
	return $node->safe_psql($_[0], $objects);
}

# ---- A database at 0.1.0 under this library -------------------------------------------------------------------------

my %query = (
	sums => 'SELECT k, sum(v) AS s, count(*) AS n, max(v) AS top FROM src GROUP BY k',
	lines => 'SELECT id, k, left(t, 6) AS digits FROM src WHERE v > 10',
	kinds => 'SELECT DISTINCT k, v < 50 AS low FROM src',
	ranks => 'SELECT id, k, row_number() OVER (PARTITION BY k ORDER BY v, id) AS r FROM src',
	parts => 'SELECT region, count(*) AS n, sum(amount) AS s FROM sales GROUP BY region',
	joined => 'SELECT s.k, count(*) AS n FROM src s JOIN sales a ON a.id = s.id GROUP BY s.k');
my $live = <<'SQL';
CREATE EXTENSION pg_stream VERSION '0.1.0';
CREATE TABLE src (id int PRIMARY KEY, k int, v numeric, t text);
INSERT INTO src SELECT i, i % 20, i / 8.0, md5(i::text) FROM generate_series(1, 1000) i;
CREATE INDEX ON src (k);
CREATE TABLE sales (id int, region text, amount numeric) PARTITION BY LIST (region);
CREATE TABLE sales_n PARTITION OF sales FOR VALUES IN ('n');
CREATE TABLE sales_s PARTITION OF sales FOR VALUES IN ('s');
INSERT INTO sales SELECT i, CASE WHEN i % 3 = 0 THEN 'n' ELSE 's' END, i FROM generate_series(1, 300) i;
SQL
$live .= "CREATE TABLE $_ USING pgstream AS $query{$_};\n" foreach sort keys %query;
$live .= <<'SQL';
CREATE TABLE held USING pgstream WITH (refresh_mode = 'FULL') AS SELECT count(*) AS n FROM src;
CREATE TABLE given_up USING pgstream AS SELECT k, min(v) AS low FROM src GROUP BY k WITH NO DATA;
SELECT pgstream.alter_stream_table('lines', schedule => '5m', status => 'PAUSED');
CREATE ROLE update_reader;
GRANT SELECT ON sums TO update_reader;
COMMENT ON TABLE sums IS 'kept';
SQL
sub write_sources
{
	my ($database, $round) = @_;
	$node->safe_psql($database, <<"SQL");
UPDATE src SET v = v + $round, k = (k + $round) % 22 WHERE id % 7 = $round % 7;
DELETE FROM src WHERE id % 50 = $round % 50;
INSERT INTO src SELECT $round * 10000 + i, i % 25, i / 4.0, md5(i::text) FROM generate_series(1, 40) i;
UPDATE sales SET region = CASE region WHEN 'n' THEN 's' ELSE 'n' END, amount = amount + 1 WHERE id % 11 = $round % 11;
INSERT INTO sales VALUES ($round * 10000 + 1, 's', 1), ($round * 10000 + 2, 'n', 2);
SQL
	return;
}
my @maintained = grep { $_ ne 'joined' } sort keys %query;
sub all_exact
{
	my ($database, $when) = @_;
	my %also = (%query, given_up => 'SELECT k, min(v) AS low FROM src GROUP BY k');
	foreach my $table (sort keys %also)
	{
		is($node->safe_psql($database, <<"SQL"), '', "$table is what its query gives, $when");
SELECT * FROM (
  (SELECT 'extra', t::text FROM $table t EXCEPT ALL SELECT 'extra', q::text FROM ($also{$table}) q) UNION ALL
  (SELECT 'missing', q::text FROM ($also{$table}) q EXCEPT ALL SELECT 'missing', t::text FROM $table t)) d LIMIT 5
SQL
	}
	return;
}
sub pending
{
	return $node->safe_psql($_[0], "SELECT string_agg(c.relname || ' ' || coalesce((pgstream.pending_changes(c.oid)).changes::text, '-'), ', ' ORDER BY c.relname COLLATE \"C\")
	  FROM pgstream.pgs_stream JOIN pg_class c ON c.oid = pgs_relid");
}
sub refresh_all
{
	my ($database) = @_;
	$node->safe_psql($database, "SELECT pgstream.refresh_stream_table('$_')") foreach 'held', sort keys %query;
	return;
}

$node->safe_psql('postgres', "CREATE DATABASE $_") foreach 'old', 'first';
$node->safe_psql('old', $live);
is($node->safe_psql('old', "SELECT extversion FROM pg_extension WHERE extname = 'pg_stream'"), '0.1.0', 'a database at 0.1.0');
all_exact('old', 'created at 0.1.0');
write_sources('old', 1);
all_exact('old', 'written at 0.1.0');
like($node->safe_psql('old', "EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM $_"), qr/Strategy: (?!recompute)/, "$_ is maintained at 0.1.0")
  foreach @maintained;
refresh_all('old') foreach 1 .. 2;
all_exact('old', 'refreshed at 0.1.0');
is(pending('old'), 'given_up -, held -, joined 0, kinds 0, lines 0, parts 0, ranks 0, sums 0', 'nothing pending after it');
# Whatever 0.1.0 has can be called.
my @called = map { [ split /\t/ ] } split /\n/, <<'CALLS';
explain_st	SELECT count(*) > 3 FROM pgstream.explain_st('sums')	t
check_cdc_health	SELECT count(*) > 1, count(alert) FROM pgstream.check_cdc_health()	t|0
get_staleness	SELECT pgstream.get_staleness('sums') < interval '1 hour'	t
get_refresh_history	SELECT count(*) > 0 FROM pgstream.get_refresh_history('sums')	t
pgs_status	SELECT count(*) FROM pgstream.pgs_status()	8
verify	SELECT * FROM pgstream.verify('ranks')	0|0|ROWS
schedule_passed	SELECT pgstream.schedule_passed('1m', now() - interval '1 hour')	t
defining_query	SELECT pgstream.defining_query('held') LIKE 'SELECT count%' OR pgstream.defining_query('held') LIKE ' SELECT count%'	t
pending_changes	SELECT changes FROM pgstream.pending_changes('sums')	0
create_stream_table	SELECT pgstream.create_stream_table('extra', 'SELECT k FROM src', schedule => '1h')
create_or_replace_stream_table	SELECT action FROM pgstream.create_or_replace_stream_table('extra', 'SELECT id FROM src', '1h', dry_run => true)	RECREATE
alter_stream_table	SELECT pgstream.alter_stream_table('extra', query => 'SELECT k FROM src WHERE v > 1')
drop_stream_table	SELECT pgstream.drop_stream_table('extra')
CALLS
foreach my $call (@called)
{
	my ($function, $statement, $result) = @$call;
	$result = '' unless defined $result;
	my $rows = $node->safe_psql('old', 'SELECT count(*) FROM src');
	$result =~ s/ROWS/$rows/;
	is($node->safe_psql('old', $statement), $result, "$function at 0.1.0");
}
is($node->safe_psql('old', "SELECT count(*) FROM pgstream.$_"), '8', "$_ at 0.1.0")
  foreach qw(pgs_stream_tables stream_tables_info pg_stat_stream_tables);

# What fails there fails as it does here, and leaves nothing behind.
$node->safe_psql('old', 'CREATE TABLE fails USING pgstream AS SELECT id, 1000 / (id + 99) AS part FROM src');
write_sources('old', 5);
$node->safe_psql('old', "INSERT INTO src VALUES (-99, 1, 1, 'no quotient')");
foreach my $statement ('SELECT * FROM fails', "SELECT pgstream.refresh_stream_table('fails')")
{
	my ($rc, $out, $err) = $node->psql('old', $statement);
	like($err, qr/ERROR:  division by zero/, "the query's own error at 0.1.0: $statement");
}
$node->safe_psql('old', 'DELETE FROM src WHERE id = -99');
$node->safe_psql('old', "SELECT pgstream.refresh_stream_table('fails')");
is($node->safe_psql('old', "SELECT * FROM pgstream.verify('fails')"), '0|0|' . $node->safe_psql('old', 'SELECT count(*) FROM src'),
	'and exact afterwards');
$node->safe_psql('old', 'DROP TABLE fails');
# DDL of the sources, which a refresh follows; what is new since 0.1.0 is not known there.
$node->safe_psql('old', "CREATE TABLE sales_w PARTITION OF sales FOR VALUES IN ('w'); INSERT INTO sales VALUES (777, 'w', 7);
	CREATE TABLE sales_e (LIKE sales); INSERT INTO sales_e VALUES (778, 'e', 8); ALTER TABLE sales ATTACH PARTITION sales_e FOR VALUES IN ('e')");
all_exact('old', 'with further partitions at 0.1.0');
refresh_all('old') foreach 1 .. 2;
all_exact('old', 'refreshed with them at 0.1.0');
foreach my $new (split /\n/, $node->safe_psql('postgres', "SELECT proname FROM pg_proc WHERE pronamespace = 'pgstream'::regnamespace"))
{
	next if $node->safe_psql('old', "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgstream'::regnamespace AND proname = '$new'") > 0;
	my ($rc, $out, $err) = $node->psql('old', "SELECT pgstream.$new()");
	like($err, qr/ERROR:  function pgstream\.$new\(\) does not exist/, "$new is not known at 0.1.0");
}
# A dump of it becomes a database of the newest version.
write_sources('old', 6);
my $dump = $node->basedir . '/old.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('old') ], 'a dump at 0.1.0');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'is restored');
is($node->safe_psql('restored', "SELECT extversion FROM pg_extension WHERE extname = 'pg_stream'"), $newest, "at $newest");
all_exact('restored', 'restored from 0.1.0');
refresh_all('restored');
write_sources('restored', 7);
all_exact('restored', 'restored from 0.1.0, refreshed and written');

# ---- The update, beside writers and readers -------------------------------------------------------------------------

write_sources('old', 2);
$node->safe_psql('old', "BEGIN; UPDATE src SET v = v + 100 WHERE k = 5; DELETE FROM sales WHERE id = 9; PREPARE TRANSACTION 'before'");
my $writer = $node->background_psql('old');
$writer->query_safe("BEGIN; INSERT INTO src VALUES (-1, 3, 77, 'open')");
my $reader = $node->background_psql('old');
$reader->query_safe("PREPARE p AS SELECT sum(n) FROM sums");
$reader->query_safe('EXECUTE p') foreach 1 .. 6;
my $snapshot = $node->background_psql('old');
$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seen = $snapshot->query_safe('SELECT sum(n), count(*) FROM sums');
my $before = pending('old');
like($before, qr/sums [1-9]\d/, 'changes are pending');
all_exact('old', 'about to be updated');

$node->safe_psql('old', "BEGIN; ALTER EXTENSION pg_stream UPDATE; INSERT INTO src VALUES (-2, 4, 5, 'undone'); ROLLBACK");
is($node->safe_psql('old', "SELECT extversion FROM pg_extension WHERE extname = 'pg_stream'"), '0.1.0', 'an update may be undone');
all_exact('old', 'after an update that was undone');
is(pending('old'), $before, 'and the same changes are pending');
# In the same transaction as a write and a read of it.
is($node->safe_psql('old', <<'SQL'), "t\nt", 'exact within the transaction of the update');
SET lock_timeout = '20s';
BEGIN;
INSERT INTO src VALUES (-3, 4, 5, 'with it');
ALTER EXTENSION pg_stream UPDATE;
SELECT (SELECT sum(n) FROM sums) = (SELECT count(*) FROM src);
DELETE FROM src WHERE id = -3;
SELECT (SELECT sum(n) FROM sums) = (SELECT count(*) FROM src);
COMMIT;
SQL
is($node->safe_psql('old', "SELECT extversion FROM pg_extension WHERE extname = 'pg_stream'"), $newest, 'updated');
all_exact('old', 'updated, before any refresh');
like($node->safe_psql('old', "EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM $_"), qr/Strategy: (?!recompute)/, "$_ is still maintained")
  foreach @maintained;
is($node->safe_psql('old', "SELECT obj_description('sums'::regclass), has_table_privilege('update_reader', 'sums', 'SELECT')"), 'kept|t',
	'comments and grants stay');
is($snapshot->query_safe('SELECT sum(n), count(*) FROM sums'), $seen, 'a snapshot of before sees what it saw');
is($reader->query_safe('EXECUTE p'), $node->safe_psql('old', 'SELECT count(*) FROM src'), 'a plan of before sees what is there now');
$snapshot->query_safe('COMMIT');
$writer->query_safe("DELETE FROM src WHERE id = 8; COMMIT");
$node->safe_psql('old', "COMMIT PREPARED 'before'");
all_exact('old', 'transactions that were open during the update have committed');
is($reader->query_safe('EXECUTE p'), $node->safe_psql('old', 'SELECT count(*) FROM src'), 'the plan sees them as well');
is($reader->query_safe("UPDATE src SET v = v + 1 WHERE id = 11; SELECT (SELECT sum(s) FROM sums) = (SELECT sum(v) FROM src)"), 't',
	'a session of before writes');
write_sources('old', 3);
all_exact('old', 'written after the update');
refresh_all('old');
all_exact('old', 'refreshed after the update');
is($node->safe_psql('old', "SELECT string_agg(pgs_name, ' ') FROM pgstream.pgs_stream_tables WHERE status = 'PAUSED' AND schedule = '5m'"),
	'lines', 'options stay');
is($node->safe_psql('old', 'SELECT count(*), count(alert) FROM pgstream.check_cdc_health()'), '2|0', 'capture is in order') or diag(
	$node->safe_psql('old', 'SELECT * FROM pgstream.check_cdc_health()'));
$_->quit foreach $writer, $reader, $snapshot;

# ---- Object by object ----------------------------------------------------------------------------------------------

my $fresh = objects('postgres');
cmp_ok(scalar(split /\n/, $fresh), '>', 200, 'the objects of a fresh extension');
is(difference($fresh, objects('old')), '', 'the updated extension is a fresh one');
$node->safe_psql('first', "CREATE EXTENSION pg_stream VERSION '0.1.0'");
$node->safe_psql('first', 'ALTER EXTENSION pg_stream UPDATE');
is(difference($fresh, objects('first')), '', 'so is one that was updated before its first use');
# What the comparison would overlook, it could not find.
foreach my $change (
	"COMMENT ON FUNCTION pgstream.verify(text) IS 'other'", 'GRANT EXECUTE ON FUNCTION pgstream.capture_changes() TO PUBLIC',
	'ALTER FUNCTION pgstream.key_hash("any") PARALLEL UNSAFE', 'ALTER TABLE pgstream.pgs_log ALTER captured_by DROP NOT NULL',
	'REVOKE SELECT ON pgstream.pg_stat_stream_tables FROM PUBLIC', 'CREATE OR REPLACE VIEW pgstream.pgs_dependencies AS SELECT NULL::regclass AS pgs_relid, NULL::regclass AS source_relid, NULL::name[] AS columns',
	'ALTER TABLE pgstream.pgs_log ENABLE ALWAYS TRIGGER ignore_replicated', 'ALTER EXTENSION pg_stream DROP FUNCTION pgstream.verify(text)',
	"COMMENT ON COLUMN pgstream.pgs_stream.version IS NULL", 'DROP INDEX pgstream.pgs_refresh_history_relid_idx')
{
	my $changed = $node->safe_psql('first', "BEGIN; SET client_min_messages = error; SET allow_system_table_mods = on; $change; $objects; ROLLBACK");
	isnt(difference($fresh, $changed), '', "it would notice: $change");
}

# ---- To the end ----------------------------------------------------------------------------------------------------

$node->safe_psql('old', 'DROP TABLE src, sales CASCADE');
is($node->safe_psql('old', q{SELECT (SELECT count(*) FROM pgstream.pgs_stream), (SELECT count(*) FROM pgstream.pgs_log),
  (SELECT count(*) FROM pg_class WHERE relname ~ '^log_' AND relnamespace = 'pgstream'::regnamespace)}), '0|0|0', 'drops leave nothing');
$node->safe_psql('old', 'DROP EXTENSION pg_stream');
is($node->safe_psql('old', "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgstream'"), '0', 'nor does the end of the extension');
$node->stop;
done_testing();
