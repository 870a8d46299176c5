# Beside other extensions, in both orders of shared_preload_libraries: pg_stat_statements with track = all, auto_explain with
# everything on, refreshes by pg_cron, and vector columns with approximate indexes. What of them is not installed is skipped;
# STRICT_NEIGHBOURS names those that must be there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

chomp(my $libdir = `pg_config --pkglibdir`);
chomp(my $share = `pg_config --sharedir`);
sub has_library { return -e "$libdir/$_[0].so"; }
sub has_extension { return -e "$share/extension/$_[0].control"; }
foreach my $required (split ' ', $ENV{STRICT_NEIGHBOURS} // '')
{
	ok(has_library($required) || has_extension($required), "$required is installed");
}

my $node = PostgreSQL::Test::Cluster->new('neighbours');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 40\nmax_prepared_transactions = 5");
my %query = (
	sums => 'SELECT k, sum(v) AS s, count(*) AS n, max(v) AS top FROM src GROUP BY k',
	lines => 'SELECT id, k, v FROM src WHERE v > 10',
	ranks => 'SELECT id, k, row_number() OVER (PARTITION BY k ORDER BY v, id) AS r FROM src');
sub all_exact { is_exact($node, $_, $query{$_}, $_[0]) foreach sort keys %query; return; }
sub write_some
{
	my ($round) = @_;
	$node->safe_psql('postgres', qq{
	  UPDATE src SET v = v + $round, k = (k + $round) % 22 WHERE id % 7 = $round % 7;
	  DELETE FROM src WHERE id % 50 = $round % 50;
	  INSERT INTO src SELECT $round * 10000 + i, i % 25, i / 4.0 FROM generate_series(1, 40) i});
	return;
}

# ---- pg_stat_statements and auto_explain ---------------------------------------------------------------------------------

SKIP:
{
	skip 'pg_stat_statements and auto_explain are not installed (Debian: postgresql-NN)', 1
	  if !has_library('pg_stat_statements') || !has_library('auto_explain');
	$node->append_conf('postgresql.conf', q{
pg_stat_statements.track = all
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
auto_explain.log_buffers = on
auto_explain.log_nested_statements = on
auto_explain.log_triggers = on
auto_explain.log_format = json
});
	my $round = 0;
	foreach my $order ('pg_stream, pg_stat_statements, auto_explain', 'auto_explain, pg_stat_statements, pg_stream')
	{
		$node->append_conf('postgresql.conf', "shared_preload_libraries = '$order'");
		$round ? $node->restart : $node->start;
		$node->safe_psql('postgres', q{DROP TABLE IF EXISTS src CASCADE; DROP EXTENSION IF EXISTS pg_stream CASCADE; DROP EXTENSION IF EXISTS pg_stat_statements});
		$node->safe_psql('postgres', q{
		  CREATE EXTENSION pg_stream; CREATE EXTENSION pg_stat_statements;
		  CREATE TABLE src (id int PRIMARY KEY, k int, v numeric);
		  INSERT INTO src SELECT i, i % 20, i / 8.0 FROM generate_series(1, 1000) i;
		  CREATE INDEX ON src (k)});
		$node->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach sort keys %query;
		$node->safe_psql('postgres', 'CREATE INDEX ON lines (id); SELECT pg_stat_statements_reset()');
		my $log = -s $node->logfile;
		write_some(++$round);
		all_exact("live, $order");
		# By index, by a function, in a prepared statement, by a cursor, in an exception block.
		is($node->safe_psql('postgres', 'SET enable_seqscan = off; SELECT count(*) FROM lines WHERE id > 500'),
			$node->safe_psql('postgres', "SELECT count(*) FROM ($query{lines}) q WHERE id > 500"), "by index, $order");
		$node->safe_psql('postgres', q{
		  PREPARE p (int) AS SELECT * FROM sums WHERE k = $1; EXECUTE p (1); EXECUTE p (2);
		  BEGIN; DECLARE c CURSOR FOR SELECT * FROM ranks; FETCH 5 FROM c; CLOSE c; COMMIT;
		  DO $$ BEGIN PERFORM * FROM sums; BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN END; PERFORM * FROM lines; END $$;
		  EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM sums});
		$node->safe_psql('postgres', "SELECT pgstream.refresh_stream_table('$_')") foreach sort keys %query;
		write_some(++$round);
		all_exact("after refreshes, $order");
		my ($code) = $node->psql('postgres', q{INSERT INTO src VALUES (5, 1, 1)});
		isnt($code, 0, "an error goes its way, $order");
		all_exact("after an error, $order");
		is($node->safe_psql('postgres', q{SELECT calls, rows FROM pg_stat_statements WHERE query LIKE 'PREPARE p%' OR query LIKE 'SELECT * FROM sums WHERE k = $1'}) =~ /^2\|/m ? 1 : 0,
			1, "a read is counted as one statement, $order");
		# What an INSERT shows is its rows, not those of the log; calls of reads do not double.
		is($node->safe_psql('postgres', q{SELECT sum(rows) FROM pg_stat_statements WHERE query LIKE 'INSERT INTO src SELECT%' AND calls = 2}), '80',
			"rows of a write, $order");
		is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%refresh_stream_table%' AND calls = 3}), '1',
			"refreshes are counted, $order");
		# Every plan that auto_explain logged is valid JSON.
		my $text = slurp_file($node->logfile, $log);
		my ($plans, $broken, $merged) = (0, '', 0);
		while ($text =~ /^[^\t\n]*LOG:  duration: [\d.]+ ms  plan:\n((?:\t[^\n]*\n)+)/mg)
		{
			my $plan = $1;
			$plan =~ s/^\t//mg;
			my $tree = eval { JSON::PP->new->utf8->decode($plan) };
			$plans++;
			$broken ||= $plan if !defined $tree;
			$merged++ if $plan =~ /StreamDelta/;
		}
		cmp_ok($plans, '>', 20, "plans are logged, $order");
		is($broken, '', "all of them valid JSON, $order");
		cmp_ok($merged, '>', 0, "a delta arm among them, $order");
		unlike($text, qr/PANIC|TRAP|was terminated by signal/, "nothing crashed, $order");
	}
	$node->stop;
}

# ---- pg_cron ---------------------------------------------------------------------------------------------------------

SKIP:
{
	skip 'pg_cron is not installed (Debian: postgresql-NN-cron)', 1 if !has_library('pg_cron');
	my $first = 1;
	foreach my $order ('pg_stream, pg_cron', 'pg_cron, pg_stream')
	{
		my $cron = PostgreSQL::Test::Cluster->new('cron' . ($first ? 1 : 2));
		$cron->init;
		$cron->append_conf('postgresql.conf', qq{
shared_preload_libraries = '$order'
cron.database_name = 'postgres'
cron.use_background_workers = on
max_worker_processes = 20
});
		$cron->start;
		$cron->safe_psql('postgres', q{
		  CREATE EXTENSION pg_cron; CREATE EXTENSION pg_stream;
		  CREATE TABLE src (id int PRIMARY KEY, k int, v numeric);
		  INSERT INTO src SELECT i, i % 20, i / 8.0 FROM generate_series(1, 1000) i;
		  CREATE TABLE sums USING pgstream AS SELECT k, sum(v) AS s FROM src GROUP BY k;
		  CREATE TABLE shares USING pgstream AS SELECT id, 100 / v AS share FROM src;
		  UPDATE src SET v = v + 1;
		  INSERT INTO src VALUES (0, 0, 0)});
		is($cron->safe_psql('postgres', q{SELECT changes > 0 FROM pgstream.pending_changes('sums')}), 't', "something is pending, $order");
		# Versions before 1.5 know minutes alone.
		my $seconds = $cron->safe_psql('postgres', q{SELECT extversion >= '1.5' FROM pg_extension WHERE extname = 'pg_cron'}) eq 't';
		my $schedule = $seconds ? '1 seconds' : '* * * * *';
		$cron->safe_psql('postgres', qq{SELECT cron.schedule('fold $_', '$schedule', 'SELECT pgstream.refresh_stream_table(''$_'')')}) foreach 'sums', 'shares';
		ok($cron->poll_query_until('postgres', q{SELECT changes = 0 FROM pgstream.pending_changes('sums')}), "a job refreshes, $order");
		ok($cron->poll_query_until('postgres', q{SELECT consecutive_errors > 0 FROM pgstream.pgs_stream_tables WHERE pgs_name = 'shares'}),
			"a job's failure is seen, $order");
		is($cron->safe_psql('postgres', q{SELECT status, error_message FROM pgstream.get_refresh_history('shares', 1)}), 'FAILED|division by zero', "with its reason, $order");
		is($cron->safe_psql('postgres', q{SELECT DISTINCT status FROM cron.job_run_details d JOIN cron.job j USING (jobid) WHERE jobname = 'fold shares' AND status IN ('succeeded', 'failed')}),
			'failed', "and pg_cron's own record says so too, $order");
		$cron->safe_psql('postgres', q{DELETE FROM src WHERE v = 0});
		$cron->safe_psql('postgres', q{SELECT pgstream.refresh_stream_table('shares')}) if !$seconds;
		ok($cron->poll_query_until('postgres', q{SELECT consecutive_errors = 0 AND p.changes = 0 FROM pgstream.pgs_stream_tables t, pgstream.pending_changes(t.pgs_relid) p WHERE pgs_name = 'shares'}),
			"the next success ends it, $order");
		is($cron->safe_psql('postgres', q{SELECT * FROM pgstream.verify('sums')}), '0|0|20', "content is exact, $order");
		$cron->stop;
		$first = 0;
	}
}

# ---- Vectors ---------------------------------------------------------------------------------------------------------

SKIP:
{
	skip 'pgvector is not installed (Debian 13 and later: postgresql-NN-pgvector)', 1 if !has_extension('vector');
	my $near = PostgreSQL::Test::Cluster->new('vector');
	$near->init;
	$near->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'\nmax_parallel_workers_per_gather = 0");
	$near->start;
	$near->safe_psql('postgres', q{
	  CREATE EXTENSION vector; CREATE EXTENSION pg_stream;
	  CREATE TABLE items (id int PRIMARY KEY, kind int, at vector(3));
	  SELECT setseed(0.5);
	  INSERT INTO items SELECT i, i % 3, ARRAY[i % 37, i % 53, i % 71]::real[]::vector FROM generate_series(1, 2000) i;
	  CREATE TABLE places USING pgstream AS SELECT id, at FROM items WHERE kind < 2;
	  CREATE TABLE means USING pgstream AS SELECT kind, avg(at) AS mean, count(*) AS n FROM items GROUP BY kind});
	is($near->safe_psql('postgres', q{SELECT * FROM pgstream.verify('places')}), '0|0|1333', 'vectors are stored');
	is($near->safe_psql('postgres', q{SELECT * FROM pgstream.verify('means')}), '0|0|3', 'and aggregated');
	my %indexes = (hnsw => 'USING hnsw (at vector_l2_ops)', ivfflat => 'USING ivfflat (at vector_l2_ops) WITH (lists = 10)');
	my $round = 0;
	foreach my $method (sort keys %indexes)
	{
		$near->safe_psql('postgres', "CREATE INDEX near ON places $indexes{$method}");
		# Every list and many candidates: then these indexes are exact, and so must be what is merged with them.
		my $set = 'SET enable_seqscan = off; SET ivfflat.probes = 10; SET hnsw.ef_search = 1000;';
		my $nearest = 'SELECT id, at, at <-> %s AS distance FROM places ORDER BY at <-> %s LIMIT 12';
		my $truth = 'SELECT id, at, at <-> %s AS distance FROM items WHERE kind < 2 ORDER BY at <-> %s LIMIT 12';
		my $compare = sub {
			my ($when) = @_;
			foreach my $point ("'[18,25,36]'", "'[0,0,0]'", "'[36,52,70]'", "'[18.25,500,3]'")
			{
				my $answer = $near->safe_psql('postgres', $set . 'SELECT round(distance::numeric, 6) FROM (' . ($nearest =~ s/%s/$point/gr) . ') q');
				my $right = $near->safe_psql('postgres', 'SELECT round(distance::numeric, 6) FROM (' . ($truth =~ s/%s/$point/gr) . ') q');
				is($answer, $right, "$method, nearest to $point, in order, $when");
				is($near->safe_psql('postgres', $set . 'SELECT count(*) FROM (' . ($nearest =~ s/%s/$point/gr) . ") a WHERE (id, at::text) NOT IN (SELECT id, at::text FROM items WHERE kind < 2)"),
					'0', "$method, nothing that is gone, nearest to $point, $when");
			}
			return;
		};
		like($near->safe_psql('postgres', $set . 'EXPLAIN (COSTS OFF) ' . ($nearest =~ s/%s/'[1,2,3]'/gr)), qr/Index Scan using near/, "$method is used");
		$compare->('nothing pending');
		$round++;
		# Nearer ones come, the nearest go, some move.
		$near->safe_psql('postgres', qq{
		  INSERT INTO items SELECT 10000 * $round + i, i % 3, ARRAY[18 + i / 100.0, 25, 36]::real[]::vector FROM generate_series(1, 30) i;
		  DELETE FROM items WHERE id % 11 = $round;
		  UPDATE items SET at = '[18.25,499,3]' WHERE id % 97 = $round;
		  UPDATE items SET kind = (kind + 1) % 3 WHERE id % 13 = $round;
		  INSERT INTO items VALUES (90000 + $round, 0, NULL)});
		like($near->safe_psql('postgres', $set . 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ' . ($nearest =~ s/%s/'[1,2,3]'/gr)),
			qr/(?:Merge Append|Append|Sort).*Index Scan using near.*Strategy: algebraic \(rows\)\n\s+Pending Changes: [1-9]/s, "$method is merged with what is pending");
		$compare->('with rows pending');
		$near->safe_psql('postgres', "BEGIN; DELETE FROM items WHERE id < 100; SELECT 1; ROLLBACK");
		is($near->safe_psql('postgres', q{SELECT missing, unexpected FROM pgstream.verify('places')}), '0|0', 'content is exact');
		is($near->safe_psql('postgres', q{SELECT missing, unexpected FROM pgstream.verify('means')}), '0|0', 'means are exact');
		$near->safe_psql('postgres', q{SELECT pgstream.refresh_stream_table('places'), pgstream.refresh_stream_table('means')});
		$compare->('after the fold');
		# A cursor that goes on after the rows of the first page.
		my $paged = $near->safe_psql('postgres', $set . q{
		  BEGIN; DECLARE c CURSOR FOR SELECT id FROM places ORDER BY at <-> '[18,25,36]' LIMIT 40; MOVE 20 IN c; CREATE TEMP TABLE page (id int);
		  FETCH 20 FROM c; COMMIT});
		is(scalar(split /\n/, $paged), 20, "$method, by a cursor");
		$near->safe_psql('postgres', 'DROP INDEX near');
	}
	$near->stop;
}

# ---- a language that stops a statement ---------------------------------------------------------------------------------

# SPI's row count ends INSERT ... RETURNING before its AFTER STATEMENT triggers: what it changed is not in the log.
SKIP:
{
	skip 'plperl is not installed (Debian: postgresql-plperl-NN)', 1 if !has_extension('plperl');
	my $stopping = PostgreSQL::Test::Cluster->new('stopping');
	$stopping->init;
	$stopping->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'\nmax_prepared_transactions = 2");
	$stopping->start;
	$stopping->safe_psql('postgres', q{
	  CREATE EXTENSION pg_stream;
	  CREATE EXTENSION plperl;
	  CREATE TABLE src (id int, v int);
	  INSERT INTO src VALUES (1, 1);
	  CREATE TABLE lines USING pgstream AS SELECT id, v FROM src;
	  CREATE FUNCTION stops(int) RETURNS int LANGUAGE plperl AS $$
	    spi_exec_query("INSERT INTO src SELECT i, i FROM generate_series($_[0], $_[0] + 5) i RETURNING id", 2)->{processed} $$});
	my $lines = 'SELECT id, v FROM src';
	is($stopping->safe_psql('postgres', 'SELECT stops(10)'), 2, 'a statement is stopped after two rows');
	is_exact($stopping, 'lines', $lines, 'after a stopped statement');
	like($stopping->safe_psql('postgres', 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM lines'),
		qr/Strategy Reason: a source was changed in a way that the change log does not hold/, 'and EXPLAIN says why');
	$stopping->safe_psql('postgres', q{SELECT pgstream.refresh_stream_table('lines')});
	is_exact($stopping, 'lines', $lines, 'after a stopped statement and a fold');
	$stopping->safe_psql('postgres', q{BEGIN; SELECT stops(20); PREPARE TRANSACTION 'p'});
	$stopping->safe_psql('postgres', q{COMMIT PREPARED 'p'});
	is_exact($stopping, 'lines', $lines, 'after a stopped statement in a prepared transaction');
	$stopping->safe_psql('postgres', q{SELECT pgstream.refresh_stream_table('lines')});
	$stopping->safe_psql('postgres', q{BEGIN; SAVEPOINT a; SELECT stops(30); ROLLBACK TO a; COMMIT});
	is_exact($stopping, 'lines', $lines, 'after one that was rolled back');
	like($stopping->safe_psql('postgres', 'EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM lines'), qr/Strategy: algebraic/,
		'which leaves nothing to recompute');
	$stopping->stop;
}

done_testing();
