# Native code against the server: random expressions of every operation that is compiled, each the output of a stream table of
# its own, over one row at a time of NULLs, extremes, NaN, infinities, zeroes, values that are compressed or stored elsewhere and what
# lies between. What the stream table shows live must be, as text, what the query shows; where the query raises, the same SQLSTATE and
# message.
#
# SEED and EXPRESSIONS in the environment choose which and how many; the seed is in every test's name.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $seed = $ENV{SEED} // 1;
my $count = $ENV{EXPRESSIONS} // 150;
srand($seed);

my @types = qw(bool int2 int4 int8 float4 float8 date time timestamp timestamptz oid uuid interval numeric text varchar bpchar);
my %edges = (
	bool => [qw(true false)],
	int2 => [qw(0 1 -1 2 7 -7 100 181 32767 -32768)],
	int4 => [qw(0 1 -1 2 7 -7 32768 46341 2147483647 -2147483648)],
	int8 => [qw(0 1 -1 3 -7 2147483648 3037000500 9223372036854775807 -9223372036854775808)],
	float4 => [qw(0 -0 1 -1.5 2.5 3.4e38 1e-45 1e-38 NaN Infinity -Infinity 32767.5 2147483648)],
	float8 => [qw(0 -0 1 -2.5 0.5 1e308 -1e308 5e-324 1e-300 NaN Infinity -Infinity 2147483647.5 9223372036854775807 32767.49 1e39 1e-46)],
	date => [qw(2000-01-01 1999-12-31 infinity -infinity 5874897-12-31 294276-12-31 294277-01-01), '4714-11-24 BC'],
	time => [qw(00:00 24:00 12:34:56.789)],
	timestamp => ['2000-01-01 00:00', 'infinity', '-infinity', '4714-11-24 BC', '2024-02-29 12:00', '1999-12-31 00:00', '294276-12-31 23:59:59.999999'],
	timestamptz => ['2000-01-01 00:00+00', 'infinity', '-infinity', '2024-02-29 12:00+02'],
	oid => [qw(0 1 4294967295 2147483648)],
	uuid => [qw(00000000-0000-0000-0000-000000000000 ffffffff-ffff-ffff-ffff-ffffffffffff 00000000-0000-0000-8000-000000000000
	  7fffffff-ffff-ffff-0000-000000000001 80000000-0000-0000-0000-000000000000 01000000-0000-0000-0000-000000000001)],
	interval => ['0', '1 month', '30 days', '720 hours', '-1 day', '1 day -24 hours', '-1 month 30 days', '178000000 years', '-178000000 years',
		'23:59:59.999999', '-00:00:00.000001', '2562047788:00:54.775807', '-2562047788:00:54.775807'],
	numeric => [qw(0 0.00 1 1.0 1.50 -7 -7.000 NaN Infinity -Infinity 123456789.123 0.001 -0.0001 1e-30 1e-16383 9999 10000 10000.0001 -9999999999999999
	  99999999.99999999 999999999999999999999999999999999999 -99999999999999999999999999999999.9999 1e100 18446744073709551616)],
	text => ['', 'a', 'A', 'B', 'longer text', 'longer texu', 'a '],
	varchar => ['', 'a', 'a ', 'longer text'],
	bpchar => ['', 'a', 'b', 'longer']);
# Values that rows have, and expressions do not: long ones, stored compressed or elsewhere, and numbers of most digits.
my %long = (
	text => [ "repeat('x', 200)", "repeat('x', 9000)", "repeat('x', 8999) || 'y'", "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)",
		"(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i) || 'z'", "repeat('x', 126)", "repeat('x', 127)" ],
	varchar => [ "repeat('x', 9000)", "repeat('x', 200)" ],
	numeric => [ "('1' || repeat('0', 130000))::numeric", "(repeat('123456789', 14000) || '.5')::numeric", "('0.' || repeat('7', 16000))::numeric",
		"repeat('9', 20)::numeric", "('0.' || repeat('1', 40))::numeric" ]);
$long{varchar} = [ map { "($_)::varchar" } @{ $long{varchar} } ];

sub pick { return $_[int(rand(@_))] }
sub column { my ($type) = @_; return "c_${type}_" . (1 + int(rand(2))) }
sub constant { my ($type) = @_; return "'" . pick(@{ $edges{$type} }) . "'::$type" }
sub value { my ($type) = @_; return $long{$type} && rand() < 0.3 ? pick(@{ $long{$type} }) : constant($type) }

my @integers = qw(int2 int4 int8);
my @numbers = (@integers, 'float4', 'float8');
# What has the operation Equal; what has an order, too.
my @compared = grep { $_ ne 'bpchar' } @types;
my @ordered = grep { $_ ne 'text' && $_ ne 'varchar' } @compared;
my %ordered = map { $_ => 1 } @ordered;

sub wider
{
	my ($a, $b) = @_;
	my %rank = (int2 => 0, int4 => 1, int8 => 2, float4 => 3, float8 => 4);
	return $rank{$a} > $rank{$b} ? $a : $b;
}

# An expression of this type.
sub expression
{
	my ($type, $depth) = @_;
	return rand() < 0.85 ? column($type) : constant($type) if $depth == 0;
	my $inner = sub { return expression($_[0] // $type, $depth - 1) };
	my $kind = rand();
	if ($kind < 0.12)
	{
		return 'CASE WHEN ' . $inner->('bool') . ' THEN ' . $inner->() . (rand() < 0.5 ? ' WHEN ' . $inner->('bool') . ' THEN ' . $inner->() : '')
		  . (rand() < 0.7 ? ' ELSE ' . $inner->() : '') . ' END';
	}
	if ($kind < 0.16)
	{
		my $test = pick(@compared);
		return 'CASE ' . $inner->($test) . ' WHEN ' . constant($test) . ' THEN ' . $inner->() . ' WHEN ' . column($test) . ' THEN '
		  . $inner->() . ' ELSE ' . $inner->() . ' END';
	}
	return 'COALESCE(' . $inner->() . ', ' . $inner->() . ')' if $kind < 0.21;
	if ($type ne 'bpchar')
	{
		return 'NULLIF(' . $inner->() . ', ' . $inner->() . ')' if $kind < 0.25;
		return pick('GREATEST', 'LEAST') . '(' . join(', ', map { $inner->() } 1 .. 2 + int(rand(2))) . ')' if $kind < 0.29 && $ordered{$type};
	}
	return typed($type, $inner);
}

sub typed
{
	my ($type, $inner) = @_;
	if ($type eq 'bool')
	{
		my $kind = rand();
		return '(' . join(pick(' AND ', ' OR '), map { $inner->('bool') } 1 .. 2 + int(rand(2))) . ')' if $kind < 0.25;
		return '(NOT ' . $inner->('bool') . ')' if $kind < 0.3;
		return '(' . $inner->('bool') . ' IS ' . pick('TRUE', 'NOT TRUE', 'FALSE', 'NOT FALSE', 'UNKNOWN', 'NOT UNKNOWN') . ')' if $kind < 0.36;
		return '(' . $inner->(pick(@types)) . ' IS ' . pick('NULL', 'NOT NULL') . ')' if $kind < 0.42;
		my $of = pick(@compared);
		return '(' . $inner->($of) . ' IS ' . pick('', 'NOT ') . 'DISTINCT FROM ' . $inner->($of) . ')' if $kind < 0.5;
		return '(' . $inner->($of) . pick(' IN', ' NOT IN') . ' (' . join(', ', map { constant($of) } 1 .. (rand() < 0.8 ? 1 + int(rand(4)) : 32)) . '))' if $kind < 0.58;
		return '(' . $inner->('int4') . ')::bool' if $kind < 0.61;
		return '(' . $inner->('bpchar') . pick(' = ', ' <> ') . $inner->('bpchar') . ')' if $kind < 0.63;
		return '(' . $inner->('text') . pick(' = ', ' <> ') . $inner->('text') . ' COLLATE careless)' if $kind < 0.65;
		my ($a, $b) = $kind < 0.72 ? (pick(@integers), pick(@integers)) : $kind < 0.77 ? (pick('float4', 'float8'), pick('float4', 'float8'))
		  : $kind < 0.8 ? ('date', 'timestamp') : $kind < 0.83 ? ('timestamp', 'date') : $kind < 0.87 ? ('numeric', pick('numeric', @integers)) : ($of, $of);
		($a, $b) = ('text', 'varchar') if $kind > 0.97;
		return '(' . $inner->($a) . pick(' = ', ' <> ', $ordered{$a} ? (' < ', ' <= ', ' > ', ' >= ') : ()) . $inner->($b) . ')';
	}
	if (grep { $_ eq $type } @integers)
	{
		my $kind = rand();
		my $other = pick(grep { wider($_, $type) eq $type } @integers);
		my ($a, $b) = rand() < 0.5 ? ($type, $other) : ($other, $type);
		return '(' . $inner->($a) . pick(' + ', ' - ', ' * ', ' / ') . $inner->($b) . ')' if $kind < 0.45;
		return '(' . $inner->() . pick(' % ', ' & ', ' | ', ' # ') . $inner->() . ')' if $kind < 0.6;
		return pick('(- ', '(~ ', '(+ ', 'abs(', '(@ ') . $inner->() . ')' if $kind < 0.72;
		return '(' . $inner->('date') . ' - ' . $inner->('date') . ')' if $type eq 'int4' && $kind < 0.78;
		return '(' . $inner->('bool') . ')::int4' if $type eq 'int4' && $kind < 0.82;
		return '(' . $inner->('oid') . ')::int8' if $type eq 'int8' && $kind < 0.8;
		return 'mod(' . $inner->() . ', ' . $inner->() . ')' if $kind < 0.84;
		return '(' . $inner->(pick(grep { $_ ne $type } @numbers)) . ")::$type";
	}
	if ($type eq 'float4' || $type eq 'float8')
	{
		my $kind = rand();
		my ($a, $b) = $type eq 'float8' ? @{ pick([ 'float8', 'float8' ], [ 'float4', 'float8' ], [ 'float8', 'float4' ]) } : ($type, $type);
		return '(' . $inner->($a) . pick(' + ', ' - ', ' * ', ' / ') . $inner->($b) . ')' if $kind < 0.6;
		return pick('(- ', '(+ ', 'abs(', '(@ ') . $inner->() . ')' if $kind < 0.75;
		return '(' . $inner->(pick(grep { $_ ne $type } @numbers)) . ")::$type";
	}
	return '(' . $inner->() . pick(' + ', ' - ') . $inner->('int4') . ')' if $type eq 'date';
	return '(' . $inner->() . pick(' + ', ' - ', ' * ', ' / ') . $inner->() . ')' if $type eq 'numeric' && rand() < 0.7;
	return '(' . $inner->(pick(@integers)) . ')::numeric' if $type eq 'numeric';
	return '(' . $inner->('text') . ')::varchar' if $type eq 'varchar' && rand() < 0.5;
	return '(' . $inner->('varchar') . ')::text' if $type eq 'text' && rand() < 0.4;
	return '(' . $inner->() . ' || ' . $inner->() . ')' if $type eq 'text';
	return 'COALESCE(' . $inner->() . ', ' . $inner->() . ')';
}

my $node = stream_cluster('expressions', 'pgstream.jit = on', 'fsync = off', "timezone = 'UTC'", 'log_min_messages = fatal', 'log_min_error_statement = fatal');
if (!compiles($node)) { $node->stop; plan skip_all => 'no LLVM' }
push @{ $edges{interval} }, 'infinity', '-infinity' if $node->pg_version >= 17;
# Equality that is not of bytes; where there is none to be had, another collation.
$node->safe_psql('postgres', q(CREATE COLLATION careless FROM "C"))
  if $node->psql('postgres', q(CREATE COLLATION careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false))) != 0;
my $columns = join(', ', map { ("c_${_}_1 $_", "c_${_}_2 $_") } @types);
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE v ($columns);
CREATE TABLE samples (LIKE v);
-- What a query returns or raises, one line a row.
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
  result text;
BEGIN
  EXECUTE format('SELECT string_agg(coalesce(x::text, ''NULL''), E''\\n'') FROM (%s) q', query) INTO result;
  RETURN coalesce(result, 'no row');
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END \$\$;
-- Differences between a stream table of this output and filter and its query; NULL when it cannot be created (its constants alone
-- raise), and the number of rows that raised.
CREATE FUNCTION try_expression(output text, filter text, OUT compiled text, OUT differences text, OUT raised int) LANGUAGE plpgsql AS \$\$
DECLARE
  query text := format('SELECT %s AS x FROM v WHERE %s', output, filter);
  got text;
  expected text;
  sample samples;
BEGIN
  raised := 0;
  BEGIN
    EXECUTE 'CREATE TABLE st USING pgstream AS ' || query;
  EXCEPTION WHEN data_exception THEN
    compiled := 'skipped';
    RETURN;
  END;
  SELECT value INTO compiled FROM pgstream.explain_st('st') WHERE property = 'expressions';
  FOR sample IN SELECT * FROM samples LOOP
    BEGIN
      INSERT INTO v SELECT sample.*;
      got := outcome('SELECT x FROM st');
      expected := outcome(query);
      IF expected ~ '^2[0-9A-Z]{4} ' THEN raised := raised + 1; END IF;
      IF got IS DISTINCT FROM expected THEN
        differences := concat_ws(E'\\n', differences, format('%s: got %s, expected %s', sample, got, expected));
      END IF;
      RAISE EXCEPTION 'undone' USING ERRCODE = 'UNDO1';
    EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
    END;
  END LOOP;
  DROP TABLE st;
END \$\$;
SQL

for my $row (1 .. 24)
{
	my @values = map { my $type = $_; map { rand() < 0.15 ? 'NULL' : value($type) } 1 .. 2 } @types;
	$node->safe_psql('postgres', 'INSERT INTO samples VALUES (' . join(', ', @values) . ')');
}

my ($compiled, $skipped, $raised) = (0, 0, 0);
for my $n (1 .. $count)
{
	my $output = expression(pick(@types), 1 + int(rand(3)));
	my $filter = rand() < 0.4 ? expression('bool', 1 + int(rand(2))) : 'true';
	my $level = $n % 2 == 0 ? 2 : 0;
	# As one value, so that newlines among differences do not matter.
	my $result = $node->safe_psql('postgres',
		"SET pgstream.jit_optimization = $level; SELECT * FROM try_expression(\$e\$$output\$e\$, \$e\$$filter\$e\$)");
	my ($how, $differences, $errors) = $result =~ /^([^|]*)\|(.*)\|([^|]*)$/s;
	if ($how eq 'skipped') { $skipped++; next }
	$raised += $errors;
	$compiled++ if $how eq 'compiled';
	# A call of constants alone is not evaluated to describe it.
	$how =~ s/^compiled or interpreted: .*$/compiled/;
	is("$how|$differences", 'compiled|', "seed $seed, O$level: $output WHERE $filter");
}
cmp_ok($compiled, '>', $count / 2, "most expressions could be tried ($skipped could not)");
cmp_ok($raised, '>', $count / 10, 'errors were met');
$node->stop;
done_testing();
