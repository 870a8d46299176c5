# Without shared_preload_libraries nothing half-alive is made, no base is read as if it were the answer, and no change of a
# source goes unnoticed: creating, reading and writing sources fail with a hint, in every spelling; with it again, everything
# is as it was.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('preload');
$node->init;
$node->start;

# refused QUERY, NAME: the query fails with the hint
sub refused {
  my ($query, $name) = @_;
  my ($rc, $out, $err) = $node->psql('postgres', $query);
  isnt($rc, 0, "$name: refused");
  like($err, qr/HINT:  Add pg_stream to shared_preload_libraries/, "$name: the hint names the setting");
}

refused('CREATE EXTENSION pg_stream', 'CREATE EXTENSION');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgstream'"), '0', 'nothing of it is left');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stream; CREATE TABLE s (k int, v int); INSERT INTO s VALUES (1, 10), (2, 20)');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
refused('CREATE TABLE t USING pgstream AS SELECT k, sum(v) FROM s GROUP BY k', 'CREATE TABLE AS');
refused('CREATE TABLE t (a int) USING pgstream', 'CREATE TABLE');
refused('SET default_table_access_method = pgstream; CREATE TABLE t AS SELECT 1 AS a', 'default_table_access_method');
refused('SET default_table_access_method = pgstream; SELECT 1 AS a INTO t', 'SELECT INTO');
refused("SELECT pgstream.create_stream_table('t', 'SELECT k, sum(v) FROM s GROUP BY k')", 'create_stream_table');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = 't'"), '0', 'nothing was made');

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$node->restart;
$node->safe_psql('postgres', 'CREATE TABLE t USING pgstream AS SELECT k, sum(v) AS v FROM s GROUP BY k');
$node->safe_psql('postgres', 'CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
  CREATE TABLE ps USING pgstream AS SELECT a FROM p');
$node->safe_psql('postgres', 'INSERT INTO s VALUES (2, 2), (3, 30)');
is($node->safe_psql('postgres', 'SELECT * FROM t ORDER BY k'), "1|10\n2|22\n3|30", 'preloaded: live');

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
refused('SELECT * FROM t', 'SELECT');
refused('COPY t TO STDOUT', 'COPY');
refused('INSERT INTO s VALUES (4, 40)', 'a write to a source');
refused('TRUNCATE s', 'TRUNCATE of a source');
refused('INSERT INTO p VALUES (1)', 'a write to a partition');
refused("SELECT $_", $_)
  foreach "pgstream.check_cdc_health()", "pgstream.pending_changes('t')", "pgstream.verify('t')", "pgstream.refresh_stream_table('t')",
  "pgstream.drop_stream_table('t')";

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$node->restart;
is($node->safe_psql('postgres', 'SELECT * FROM t ORDER BY k'), "1|10\n2|22\n3|30", 'preloaded again: as it was');
$node->stop;
done_testing();
