# A snapshot exported to another session: both see the same stream tables, whatever has been written, folded and reclaimed
# since, and whatever the exporter itself has written, which the other does not see.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$node->start;
$node->safe_psql('postgres', q{
  CREATE EXTENSION pg_stream;
  CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric);
  INSERT INTO src SELECT i, i % 10, i * 1.5 FROM generate_series(1, 500) i;
  CREATE TABLE sums USING pgstream AS SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp;
  CREATE TABLE picks USING pgstream AS SELECT id, val FROM src WHERE grp <> 3;
  CREATE INDEX picks_id ON picks (id);
  INSERT INTO src SELECT i, i % 12, i FROM generate_series(501, 600) i;
  UPDATE src SET val = val + 1 WHERE id % 20 = 1;
  DELETE FROM src WHERE id < 20;
});
my $content = q{
  SELECT count(*), md5(string_agg(r, ' ' ORDER BY r COLLATE "C")) FROM (SELECT x::text AS r FROM sums x UNION ALL SELECT x::text FROM picks x) u};
my $wrong = q{
  SELECT count(*) FROM (SELECT r FROM (
        SELECT 1 AS w, x::text AS r FROM sums x UNION ALL
        SELECT -1, x::text FROM (SELECT grp, sum(val) AS total, count(*) AS n FROM src GROUP BY grp) x UNION ALL
        SELECT 1, x::text FROM picks x UNION ALL
        SELECT -1, x::text FROM (SELECT id, val FROM src WHERE grp <> 3) x) u GROUP BY r HAVING sum(w) <> 0) d};

my $first = $node->safe_psql('postgres', $content);
my $exporter = $node->background_psql('postgres', on_error_die => 1);
$exporter->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $name = $exporter->query_safe('SELECT pg_export_snapshot()');
chomp $name;
sub imported {
  my ($query) = @_;
  my $out = $node->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '$name'; $query; COMMIT");
  return $out;
}
is(imported($content), $first, 'the same rows at once');
is(imported("SET LOCAL enable_seqscan = off; $wrong"), '0', 'and they are right');
like(imported('EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM picks'), qr/Strategy: algebraic \(rows\).*Pending Changes: [1-9]/s, 'by merging');
$node->safe_psql('postgres', 'INSERT INTO src VALUES (1001, 3, 7.25), (1002, 4, 1); DELETE FROM src WHERE id % 7 = 0');
is(imported($content), $first, 'the same after others have written');
is($exporter->query_safe($content), $first, 'also to the exporter');
$exporter->query_safe('INSERT INTO src VALUES (2001, 5, 7.25), (2002, NULL, 1)');
$exporter->query_safe('UPDATE src SET val = val - 1 WHERE id = 100');
is(imported($content), $first, "not the exporter's own changes");
isnt($exporter->query_safe($content), $first, 'which it sees itself');
is($exporter->query_safe($wrong), '0', 'rightly');
$node->safe_psql('postgres', q{SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('picks')});
is(imported($content), $first, 'the same after a refresh');
$node->safe_psql('postgres', q{UPDATE src SET val = val * 2 WHERE id BETWEEN 200 AND 300 AND id <> 100});
$node->safe_psql('postgres', q{SELECT pgstream.refresh_stream_table('sums'), pgstream.refresh_stream_table('picks')}) for 1 .. 3;
is(imported($content), $first, 'and after the log was reclaimed');
is(imported("SET LOCAL enable_seqscan = off; $wrong"), '0', 'right by index, too');
is($exporter->query_safe($wrong), '0', 'right to the exporter');
is($node->safe_psql('postgres', $wrong), '0', 'right to everybody else');
$exporter->query_safe('COMMIT');
$exporter->quit;
is($node->safe_psql('postgres', $wrong), '0', 'right in the end');
$node->stop;
done_testing();
