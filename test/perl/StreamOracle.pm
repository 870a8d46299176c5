# What the TAP tests share: a cluster that preloads the library, and the oracle's question.
#
# Promises: each comparison is one statement, so one snapshot, and compares texts as multisets.
package StreamOracle;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(stream_cluster compiles stream_tables is_exact start_pgbench write_script write_folder);

# A running cluster with the extension in database postgres. Further arguments are lines of its configuration.
sub stream_cluster
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf',
		join("\n", "shared_preload_libraries = 'pg_stream'", 'max_prepared_transactions = 20', 'max_connections = 40',
			@settings, ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_stream');
	return $node;
}

# compiles NODE: whether it has what makes native code: a library built with LLVM, and that
sub compiles
{
	my ($node) = @_;
	my $how = $node->safe_psql('postgres', <<'SQL');
SET client_min_messages = warning;
SET pgstream.jit = force;
CREATE TABLE probe_source (i int);
CREATE TABLE probe USING pgstream AS SELECT i + 1 AS x FROM probe_source;
SELECT value FROM pgstream.explain_st('probe') WHERE property = 'expressions';
DROP TABLE probe, probe_source;
SQL
	return $how !~ /without LLVM|pg_stream_jit|x86-64/;
}

# What pgbench scripts write: table src of so many rows over so many keys, and the sequence ids for further rows. Over it
# a stream table for each of the queries given and two more. Returns all queries by the names of their tables.
sub stream_tables
{
	my ($node, $rows, $keys, %query) = @_;
	%query = (
		sums => 'SELECT k, sum(v), count(*), avg(v) FROM src GROUP BY k',
		lines => 'SELECT k % 5 AS five, left(t, 1) FROM src WHERE v > 3',
		%query);
	$node->safe_psql('postgres', join(";\n",
		'CREATE TABLE src (id bigint PRIMARY KEY, k int, v numeric, t text)',
		"INSERT INTO src SELECT i, i % $keys, i / 8.0, md5(i::text) FROM generate_series(1, $rows) i",
		'CREATE SEQUENCE ids START 1000000'));
	$node->safe_psql('postgres', "CREATE TABLE $_ USING pgstream AS $query{$_}") foreach sort keys %query;
	return %query;
}

# A pgbench script that folds these stream tables, each in a transaction of its own.
sub write_folder
{
	my ($node, @tables) = @_;
	return write_script($node, 'folder', join('', map { "SELECT pgstream.refresh_stream_table('$_');\n" } @tables));
}

# The stream table has the rows of its query, now, as texts.
sub is_exact
{
	my ($node, $table, $query, $when) = @_;
	my $difference = $node->safe_psql('postgres', <<"SQL");
SELECT * FROM (
  (SELECT 'extra', t::text FROM $table t EXCEPT ALL SELECT 'extra', q::text FROM ($query) q) UNION ALL
  (SELECT 'missing', q::text FROM ($query) q EXCEPT ALL SELECT 'missing', t::text FROM $table t)) d LIMIT 5
SQL
	return is($difference, '', "$table is what its query gives, $when");
}

# Writes a pgbench script into the cluster's directory and returns its path.
sub write_script
{
	my ($node, $name, $text) = @_;
	my $path = $node->basedir . "/$name.pgbench";
	append_to_file($path, $text);
	return $path;
}

# pgbench in the background for at most so many seconds; clients go on after serialization failures.
sub start_pgbench
{
	my ($node, $clients, $seconds, @scripts) = @_;
	my ($in, $out) = ('', '');
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	return IPC::Run::start(
		[ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', $seconds, (map { ('-f', $_) } @scripts), 'postgres' ],
		'<', \$in, '&>', \$out);
}

1;
