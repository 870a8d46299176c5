# A stream table under recorded settings on a hot standby, where nothing can be changed: with pending changes, after a fold,
# by parallel workers, under other settings of the session; DDL of a function of its query, replayed beside an open snapshot.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$primary->start;
$primary->safe_psql('postgres', q{
  CREATE EXTENSION pg_stream;
  CREATE TABLE ev (id int PRIMARY KEY, ts timestamptz, iv interval);
  INSERT INTO ev SELECT i, '2024-03-01 00:00:00Z'::timestamptz + i * interval '97 minutes', i * interval '25 hours'
    FROM generate_series(1, 3000) i;
  CREATE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
  SET timezone = 'America/New_York'; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard';
  CREATE TABLE texts USING pgstream AS SELECT id, ts::text AS ts, iv::text AS iv, f(id) AS f FROM ev;
  CREATE TABLE days USING pgstream AS SELECT ts::date::text AS day, count(*) AS n FROM ev GROUP BY ts::date::text;
});
$primary->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'start', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby_feedback = on');
$standby->start;

my $elsewhere = q{SET timezone = 'Asia/Tokyo'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601';};
my $workers = q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
  SET parallel_leader_participation = off;};
my $as_created = q{SET timezone = 'America/New_York'; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard';};
my $live = q{SELECT (SELECT count(*) || ' ' || sum(hashtext(t::text)::bigint) FROM texts t),
  (SELECT count(*) || ' ' || sum(hashtext(d::text)::bigint) FROM days d)};
my $query = q{SELECT (SELECT count(*) || ' ' || sum(hashtext(t::text)::bigint)
    FROM (SELECT id, ts::text AS ts, iv::text AS iv, f(id) AS f FROM ev) t),
  (SELECT count(*) || ' ' || sum(hashtext(d::text)::bigint)
    FROM (SELECT ts::date::text AS day, count(*) AS n FROM ev GROUP BY ts::date::text) d)};

sub same
{
	my ($when) = @_;
	$primary->wait_for_catchup($standby);
	my $due = $standby->safe_psql('postgres', "$as_created $query");
	is($standby->safe_psql('postgres', "$elsewhere $live"), $due, "$when");
	is($standby->safe_psql('postgres', "$elsewhere $workers $live"), $due, "$when, by workers");
	return;
}

same('nothing pending');
$primary->safe_psql('postgres', "$elsewhere UPDATE ev SET ts = ts + interval '5 hours', iv = iv * 2 WHERE id % 50 = 0; DELETE FROM ev WHERE id < 5");
same('changes pending');
$primary->safe_psql('postgres', "$elsewhere SELECT pgstream.refresh_stream_table('texts'), pgstream.refresh_stream_table('days')");
same('folded under other settings');

my $old = $standby->background_psql('postgres', on_error_stop => 1);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $answer = q{SELECT (SELECT sum(f) FROM texts) || ' ' || (SELECT sum(f(id)) FROM ev)};
my $before = $old->query_safe($answer);
$primary->safe_psql('postgres', q{CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'});
same('a function replaced');
my ($stream, $due) = split(/ /, $old->query_safe($answer));
is($stream, $due, 'under a snapshot from before');
isnt("$stream $due", $before, 'the function is the new one');
$primary->safe_psql('postgres', "UPDATE ev SET iv = iv * 2 WHERE id % 31 = 0; SELECT pgstream.refresh_stream_table('texts')");
same('rebuilt');
($stream, $due) = split(/ /, $old->query_safe($answer));
is($stream, $due, 'under the old snapshot, after the rebuild');
$old->query_safe('COMMIT');
$old->quit;

$standby->promote;
$standby->safe_psql('postgres', "$elsewhere UPDATE ev SET ts = ts + interval '1 hour' WHERE id % 7 = 0");
is($standby->safe_psql('postgres', "$elsewhere $live"), $standby->safe_psql('postgres', "$as_created $query"), 'promoted');
is($standby->safe_psql('postgres', "$elsewhere SELECT pgstream.refresh_stream_table('texts'); $live") =~ s/^\n//r,
	$standby->safe_psql('postgres', "$as_created $query"), 'folded by the promoted one');
$standby->stop;
$primary->stop;
done_testing();
