# A dumped and restored stream table answers exactly at once, by running its query; its first refresh enrolls and
# populates it, and from then on it is maintained again, under its old options and recorded settings. Nothing internal is
# dumped, and a dump of what was restored is the same dump.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('postgres', 'CREATE DATABASE new');
$node->safe_psql('old', q{
  CREATE EXTENSION pg_stream;
  CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric);
  INSERT INTO src SELECT i, i % 10, i * 1.5 FROM generate_series(1, 500) i;
  CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
  CREATE TABLE picks USING pgstream AS SELECT id, val FROM src WHERE grp = 3;
  CREATE VIEW threes AS SELECT id, val FROM src WHERE grp = 3;
  CREATE TABLE viewed USING pgstream AS SELECT id FROM threes;
  CREATE INDEX sums_total ON sums (total);
  SET TimeZone = 'Asia/Tokyo';
  CREATE TABLE hours USING pgstream WITH (schedule = '90s') AS
    SELECT extract(hour FROM '2026-06-01 00:00+00'::timestamptz + id * interval '1 hour') AS h, count(*) AS n FROM src GROUP BY 1;
  CREATE TABLE held USING pgstream WITH (refresh_mode = 'FULL', schedule = '0 3 * * *') AS SELECT id, random() AS r FROM src;
  SELECT pgstream.alter_stream_table('picks', schedule => 'calculated');
  COMMENT ON TABLE sums IS 'sums by group';
  CREATE ROLE dump_reader;
  GRANT SELECT ON sums TO dump_reader;
  INSERT INTO src SELECT i, i % 12, i FROM generate_series(501, 600) i;
  DELETE FROM src WHERE id < 20;
});

my $difference = q{
  SELECT (SELECT count(*) FROM (SELECT s::text FROM sums s EXCEPT ALL
            SELECT q::text FROM (SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp) q) a),
         (SELECT count(*) FROM (SELECT q::text FROM (SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp) q
            EXCEPT ALL SELECT s::text FROM sums s) b),
         (SELECT count(*) FROM (SELECT s::text FROM picks s EXCEPT ALL
            SELECT q::text FROM (SELECT id, val FROM src WHERE grp = 3) q) c),
         (SELECT count(*) FROM (SELECT q::text FROM (SELECT id, val FROM src WHERE grp = 3) q
            EXCEPT ALL SELECT s::text FROM picks s) d)};
is($node->safe_psql('old', $difference), '0|0|0|0', 'exact before the dump');

my $file = $node->backup_dir . '/old.sql';
mkdir $node->backup_dir;
$node->command_ok([ 'pg_dump', '-f', $file, $node->connstr('old') ], 'pg_dump');
my $dump = slurp_file($file);
unlike($dump, qr/pgstream\.log_/, 'no change log in the dump');
unlike($dump, qr/capture_changes/, 'no capture trigger in the dump');
unlike($dump, qr/pgstream_key|key_hash|image_hash/, 'no key index in the dump');
my $held = $node->safe_psql('old', 'SELECT md5(string_agg(r::text, $$,$$ ORDER BY id)) FROM held');
my $hours = $node->safe_psql('old', 'SELECT string_agg(h || $$:$$ || n, $$,$$ ORDER BY h) FROM hours');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr('new') ], 'restore');

is($node->safe_psql('new', $difference), '0|0|0|0', 'exact after the restore');
is($node->safe_psql('new', 'SELECT string_agg(h || $$:$$ || n, $$,$$ ORDER BY h) FROM hours'), $hours,
  'settings recorded at creation still belong to the query');
is($node->safe_psql('new', 'SELECT md5(string_agg(r::text, $$,$$ ORDER BY id)) FROM held'), $held,
  'a FULL stream table holds what it held');
my $second = $node->backup_dir . '/new.sql';
# The rows of a table come in any order.
my $lines = sub { join "\n", sort grep { !/^\\(un)?restrict / } split /\n/, slurp_file($_[0]) };
$node->command_ok([ 'pg_dump', '-f', $second, $node->connstr('new') ], 'pg_dump of what was restored');
is($lines->($second), $lines->($file), 'the second dump is the first');
# pg_dump forbids itself to read views; the query of a stream table may.
is($node->safe_psql('new', 'SELECT count(*) > 0 AND count(*) = (SELECT count(*) FROM threes) FROM viewed'), 't', 'over a view');
$node->safe_psql('new', q{INSERT INTO src VALUES (1001, 3, 7.25), (1002, NULL, 1); DELETE FROM src WHERE id % 7 = 0});
is($node->safe_psql('new', $difference), '0|0|0|0', 'exact after changes, before any refresh');
$node->safe_psql('new', q{SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('picks')});
is($node->safe_psql('new', $difference), '0|0|0|0', 'exact after the refresh');
$node->safe_psql('new', q{SELECT pgstream.refresh_stream_table('hours')});
is($node->safe_psql('new', q{SELECT string_agg(pgs_name || ' ' || coalesce(schedule, '-') || ' ' || refresh_mode, ', ' ORDER BY pgs_name)
  FROM pgstream.pgs_stream_tables}), 'held 0 3 * * * FULL, hours 1m30s DIFFERENTIAL, picks - DIFFERENTIAL, sums 1m DIFFERENTIAL, viewed 1m DIFFERENTIAL',
	'options came along, also of those that await their first refresh');
like($node->safe_psql('new', q{SELECT value FROM pgstream.explain_st('hours') WHERE property = 'settings'}), qr{TimeZone = Asia/Tokyo},
  'and settings');
$node->safe_psql('new', q{SELECT pgstream.refresh_stream_table('held')});
isnt($node->safe_psql('new', 'SELECT md5(string_agg(r::text, $$,$$ ORDER BY id)) FROM held'), $held, 'FULL is computed anew by its refresh');
is($node->safe_psql('new', q{SELECT obj_description('sums'::regclass), has_table_privilege('dump_reader', 'sums', 'SELECT')}),
  'sums by group|t', 'comments and grants');
$node->command_ok([ 'pg_dump', '-f', $second, $node->connstr('new') ], 'pg_dump of what is maintained again');
unlike(slurp_file($second), qr/pgstream_key|key_hash|image_hash|capture_changes/, 'nothing internal in it either');
$node->safe_psql('new', q{UPDATE src SET val = val + 1 WHERE id % 5 = 0});
is($node->safe_psql('new', $difference), '0|0|0|0', 'exact after further changes');
like($node->safe_psql('new', q{EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM sums}), qr/Strategy: algebraic \(groups\)/,
  'maintained again');
is($node->safe_psql('new', q{SELECT count(*) FROM pg_index WHERE indrelid = 'sums'::regclass}), 2, 'one key index, one of the user');
$node->safe_psql('new', 'DROP TABLE src CASCADE');
is($node->safe_psql('new', q{SELECT (SELECT count(*) FROM pgstream.pgs_stream), (SELECT count(*) FROM pgstream.pgs_log),
  (SELECT count(*) FROM pg_class WHERE relname ~ '^log_' AND relnamespace = 'pgstream'::regnamespace)}), '0|0|0', 'nothing left');
$node->safe_psql('new', 'DROP EXTENSION pg_stream CASCADE');
$node->safe_psql('old', 'DROP EXTENSION pg_stream CASCADE');
is($node->safe_psql('old', q{SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src'::regclass),
  (SELECT count(*) FROM pg_class WHERE relname IN ('sums', 'picks') OR relname LIKE 'log\_%'),
  (SELECT count(*) FROM pg_namespace WHERE nspname = 'pgstream')}), '0|0|0', 'DROP EXTENSION CASCADE leaves nothing');
$node->stop;
done_testing();
