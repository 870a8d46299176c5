# The SQL examples of the documents are true: every ```sql block of README.md and docs/*.md runs, a file at a time and in
# order, in a database of its own, and shows what the document says it shows.
#
# What they point to (tests, source files, names in them, sections) is there.
#
# In a block, `-- error: SQLSTATE` above a statement says that it fails so, and `-- => line` behind it or below it says
# what it returns, values separated by ` | `. A statement ends with the line that ends in a semicolon or \gexec.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $node;

# examples TEXT: the statements of a document, each with its line, the SQLSTATE it fails with and the lines it returns
sub examples
{
	my ($text) = @_;
	my (@examples, @lines, $block, $error, $quoted, $first);
	my $number = 0;
	foreach my $line (split /\n/, $text)
	{
		$number++;
		if ($line =~ /^\s*```/)
		{
			$block = $line =~ /^\s*```sql\s*$/;
			next;
		}
		next if !$block || $line =~ /^\s*$/;
		if (!@lines)
		{
			if ($line =~ /^\s*-- error: (\w+)/) { $error = $1; next; }
			if ($line =~ /^\s*-- => ?(.*?)\s*$/)
			{
				push @{ $examples[-1]{returns} }, $1;
				next;
			}
			next if $line =~ /^\s*--/;
			$first = $number;
		}
		my $returns;
		$returns = $1 if $line =~ s/\s+-- => ?(.*?)\s*$//;
		push @lines, $line;
		$quoted = !$quoted for $line =~ /\$\$/g;
		next if $quoted || $line !~ m{(;|\\gexec)\s*(--.*)?$};
		push @examples,
		  { line => $first, text => join("\n", @lines), error => $error, returns => defined $returns ? [$returns] : undef };
		(@lines, $error) = ();
	}
	push @examples, { line => $first, text => join("\n", @lines, ';') } if @lines;
	return @examples;
}

# problems DATABASE TEXT: what is not as a document says, one line each; empty when all is
sub problems
{
	my ($database, $text) = @_;
	my @examples = examples($text);
	my $script = '';
	foreach my $i (0 .. $#examples)
	{
		my $stop = defined $examples[$i]{error} ? 'off' : 'on';
		$script .= "\\set ON_ERROR_STOP $stop\n$examples[$i]{text}\n\\echo \@\@ $i :SQLSTATE\n";
	}
	$node->safe_psql('postgres', qq{CREATE DATABASE "$database"});
	my ($out, $err) = ('', '');
	IPC::Run::run(
		[ 'psql', '-XAqt', '-F', ' | ', '-d', $node->connstr($database), '-f', '-' ],
		'<', \$script, '>', \$out, '2>', \$err);
	my (@problems, @returned);
	my $ran = 0;
	foreach my $line (split /\n/, $out)
	{
		if ($line !~ /^\@\@ (\d+) (\w+)$/) { push @returned, $line; next; }
		my ($example, $state) = ($examples[$1], $2);
		$ran++;
		my $due = $example->{error} // '00000';
		push @problems, "line $example->{line}: SQLSTATE $state, not $due" if $state ne $due;
		my $returned = join("\n", map { s/\s+$//r } @returned);
		push @problems, "line $example->{line}: returns\n$returned"
		  if defined $example->{returns} && $returned ne join("\n", @{ $example->{returns} });
		@returned = ();
	}
	push @problems, "line $examples[$ran]{line}: $err" if $ran < @examples;
	return join("\n", @problems);
}

$node = PostgreSQL::Test::Cluster->new('documents');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stream'");
$node->start;

# What this test would overlook, it could not find.
my $fence = '```';
is(problems('right', "${fence}sql\nSELECT 1, 'a';  -- => 1 | a\n-- error: 22012\nSELECT 1/0;\nSELECT x FROM\n  generate_series(1, 2) x;\n-- => 1\n-- => 2\n$fence\n"),
	'', 'right examples are right');
like(problems('wrong_value', "${fence}sql\nSELECT 2;  -- => 1\n$fence"), qr/^line 2: returns\n2$/, 'another value is noticed');
like(problems('wrong_state', "${fence}sql\n-- error: 22012\nSELECT x;\n$fence"), qr/^line 3: SQLSTATE 42703, not 22012$/,
	'another error is noticed');
like(problems('no_error', "${fence}sql\n-- error: 22012\nSELECT 1;\n$fence"), qr/^line 3: SQLSTATE 00000, not 22012$/,
	'an error that does not come is noticed');
like(problems('unexpected', "text\n${fence}sql\nSELECT 1;\nSELECT nothing();\nSELECT 2;\n$fence"), qr/^line 4: .*nothing/,
	'an error that nobody expects is noticed');
like(problems('unfinished', "${fence}sql\nSELECT 1;\nSELEC 2\n$fence"), qr/^line 3: .*syntax error/, 'an unfinished statement is noticed');

my @documents = ('README.md', map { s{.*/}{docs/}r } sort glob("$top/docs/*.md"));
cmp_ok(scalar(grep { -f "$top/$_" } @documents), '>=', 4, "the documents are found beside the tests ($top)");
my %has_examples;
foreach my $document (grep { -f "$top/$_" } @documents)
{
	my $text = slurp_file("$top/$document");
	my $count = examples($text) or next;
	$has_examples{$document} = 1;
	my $database = lc($document =~ s/\W/_/gr);
	is(problems($database, $text), '', "$document: $count statements");
}
ok($has_examples{$_}, "$_ has examples") foreach ('README.md', 'docs/REFERENCE.md', 'docs/OPERATIONS.md');


# What they point to is there: tests, source files, names of the program, sections.
my %pointed = (sql => [ 'test/sql', 'sql' ], specs => [ 'test/specs', 'spec' ], t => [ 'test/t', 'pl' ]);
my $program = join('', map { slurp_file($_) } glob("$top/src/*.cpp $top/src/*/*.[ch]pp"));
sub anchors
{
	my ($text) = @_;
	utf8::decode($text);
	return map { (lc =~ s/[^\w\- ]//gr) =~ tr/ /-/r } $text =~ /^##+ (.*?)\s*$/mg;
}
sub dangling
{
	my ($file, $text) = @_;
	my @dangling;
	while ($text =~ /`(sql|specs|t)\/([\w*]+)`/g)
	{
		my ($directory, $suffix) = @{ $pointed{$1} };
		push @dangling, "$1/$2" if !grep { -f } glob("$top/$directory/$2.$suffix");
	}
	while ($text =~ /`(\w+\/\w+\.[ch]pp)`/g) { push @dangling, $1 if !-f "$top/src/$1"; }
	while ($text =~ /`([A-Z]\w*[a-z][A-Z]\w*)(?:\(\))?`/g) { push @dangling, $1 if $program !~ /\b$1\b/; }
	while ($text =~ /\]\(([^)#:\s]*)(?:#([^)]+))?\)/g)
	{
		my ($to, $anchor) = ($1, $2);
		my $path = $to eq '' ? "$top/$file" : $file =~ m{/} ? "$top/docs/$to" : "$top/$to";
		if (!-f $path) { push @dangling, $to; next; }
		push @dangling, "$to#$anchor" if defined $anchor && !grep { $_ eq $anchor } anchors(slurp_file($path));
	}
	return join(' ', @dangling);
}
is(dangling('docs/X.md', '`t/none` `sql/none` `sql/reads*` `pg/none.cpp` `NoSuchName` `AcquireOverlay` [a](NONE.md) [b](REFERENCE.md#none) [c](REFERENCE.md#settings)'),
	't/none sql/none pg/none.cpp NoSuchName NONE.md REFERENCE.md#none', 'pointers to nothing are noticed');
is(dangling($_, slurp_file("$top/$_")), '', "$_ points to what there is") foreach grep { -f "$top/$_" } @documents;
$node->stop;
done_testing();
