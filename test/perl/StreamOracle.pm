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

our @EXPORT = qw(stream_cluster is_exact start_pgbench write_script);

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
