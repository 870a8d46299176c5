# docs/REFERENCE.md is complete: every function with its arguments and results, every view, catalog and column, every setting
# with its default and context, every option, every message that a user can meet with its SQLSTATE, every line of EXPLAIN,
# reason, property and alert. What exists is asked of the server and read from the sources, so that what somebody adds without
# describing it fails here.
use strict;
use utf8;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StreamOracle;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $node = stream_cluster('reference');
my $reference = slurp_file("$top/docs/REFERENCE.md");
utf8::decode($reference);

# ---- The reference as text with structure -----------------------------------------------------------------------------

# section TEXT HEADING: what is below a heading of two or more signs, down to the next one of as many
sub section
{
	my ($text, $heading) = @_;
	return $text =~ /^(##+) \Q$heading\E\n(.*?)(?=^\1 |^## |\z)/ms ? $2 : '';
}

# functions_in TEXT: name => [arguments, result and description]
sub functions_in
{
	my ($text) = @_;
	my %functions;
	$functions{$1} = [ $2, "$3\n$4" ] while $text =~ /^### (\w+)\(([^\n]*?)\) → ([^\n]*)\n(.*?)(?=^##)/msg;
	my $telling = section($text, 'Functions that tell');
	while ($telling =~ /^\| `(\w+)\((.*?)\)` \| (.*)$/mg)
	{
		my ($name, $arguments, $description) = ($1, $2, $3);
		# Some have a table of their own, introduced by their name.
		my ($own) = section($text, 'Functions that tell') =~ /^`\Q$name\E\(\)` [^\n]*\n\n((?:\|[^\n]*\n)+)/m;
		$description .= $own // '';
		$functions{$name} = [ $arguments, $description ];
	}
	return %functions;
}

# relations_in TEXT: name => description
sub relations_in
{
	my ($text) = @_;
	my %relations;
	foreach my $part (section($text, 'Views'), section($text, 'Catalogs'))
	{
		$relations{$1} = $2 while $part =~ /^\*\*`(\w+)`\*\*(.*?)(?=^\*\*`|^```|\z)/msg;
	}
	return %relations;
}

# with_columns DESCRIPTION RELATIONS: the description and those of the relations whose columns it says it has
sub with_columns
{
	my ($description, %relations) = @_;
	my $whole = $description;
	$whole .= $relations{$1} // '' while $description =~ /columns of `(\w+)`/g;
	return $whole;
}

# ---- What the server has ---------------------------------------------------------------------------------------------

sub rows { return map { [ split /\x01/, $_, -1 ] } split /\x02\n?/, $node->safe_psql('postgres', $_[0], extra_params => [ '-F', "\x01", '-R', "\x02" ]); }

my @functions = rows(q{
  SELECT proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
         has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AND prorettype NOT IN ('trigger'::regtype, 'table_am_handler'::regtype),
         array_to_string(ARRAY(SELECT name FROM unnest(proargnames, proargmodes) AS a (name, mode) WHERE mode IN ('o', 't')), ' ')
    FROM pg_proc p WHERE pronamespace = 'pgstream'::regnamespace ORDER BY 1});
my @columns = rows(q{
  SELECT relname, attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
   WHERE relnamespace = 'pgstream'::regnamespace AND relkind NOT IN ('i', 'S', 't', 'c') AND attnum > 0 AND NOT attisdropped
     AND NOT EXISTS (SELECT FROM pgstream.pgs_log WHERE c.oid = ANY (segments)) ORDER BY c.relname, attnum});
my @settings = rows(q{SELECT name, current_setting(name), context FROM pg_settings WHERE name LIKE 'pgstream.%' ORDER BY 1});
my @schemas = rows(q{SELECT count(*) FROM pg_depend d JOIN pg_extension e ON e.oid = refobjid
   WHERE extname = 'pg_stream' AND deptype = 'e' AND classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_am'::regclass, 'pg_type'::regclass)});

# undescribed_objects TEXT: what the server has and the text does not describe
sub undescribed_objects
{
	my ($text) = @_;
	my @undescribed;
	my %function = functions_in($text);
	my %relation = relations_in($text);
	my ($machinery) = $text =~ /^Functions that the machinery uses(.*)$/m;
	foreach my $row (@functions)
	{
		my ($name, $arguments, $result, $public, $columns) = @$row;
		next if ($machinery // '') =~ /`\Q$name\E`/;
		if (!$function{$name}) { push @undescribed, "function $name"; next; }
		my ($described, $description) = @{ $function{$name} };
		$arguments =~ s/::\w+//g;
		$arguments = join(', ', grep { !/^OUT / } split /, /, $arguments);
		push @undescribed, "arguments of $name: $arguments" if $described ne $arguments;
		my $whole = with_columns($description, %relation);
		push @undescribed, map { "result $_ of $name" } grep { $whole !~ /\b\Q$_\E\b/ } split ' ', $columns;
		push @undescribed, "result $result of $name" if !$columns && $description !~ /^\Q$result\E(?!\w)/;
	}
	foreach my $row (@columns)
	{
		my ($name, $column) = @$row;
		if (!$relation{$name}) { push @undescribed, "relation $name"; next; }
		push @undescribed, "column $column of $name" if with_columns($relation{$name}, %relation) !~ /`\Q$column\E`/;
	}
	my $settings = section($text, 'Settings');
	foreach my $row (@settings)
	{
		my ($name, $default, $context) = @$row;
		my ($line) = $settings =~ /^(\| `\Q$name\E` \|.*)$/m;
		if (!defined $line) { push @undescribed, "setting $name"; next; }
		push @undescribed, "default $default of $name" if index($line, "| `$default` |") < 0;
		push @undescribed, "context $context of $name" if $line !~ /\| \Q$context\E\b/;
	}
	return @undescribed;
}

# ---- What the sources say --------------------------------------------------------------------------------------------

my %sqlstate;
chomp(my $share = `pg_config --sharedir`);
foreach my $line (split /\n/, slurp_file("$share/errcodes.txt"))
{
	$sqlstate{$2} = $1 if $line =~ /^(\w{5})\s+[EWS]\s+(ERRCODE_\w+)/;
}

# call TEXT POSITION: the text of a call whose opening parenthesis is at the position
sub call
{
	my ($text, $position) = @_;
	pos($text) = $position;
	my $depth = 0;
	while ($text =~ /\G(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)+'|([()])|.)/gcs)
	{
		next if !defined $1;
		$depth += $1 eq '(' ? 1 : -1;
		return substr($text, $position, pos($text) - $position) if $depth == 0;
	}
	return '';
}

# literals TEXT: its string literals, adjacent ones as one, placeholders as dots
sub literals
{
	my ($text) = @_;
	my @literals;
	while ($text =~ /("(?:[^"\\]|\\.)*"(?:\s*(?:INT64_FORMAT|UINT64_FORMAT)?\s*"(?:[^"\\]|\\.)*")*)/g)
	{
		my $text = $1;
		my $literal = '';
		$literal .= $1 // '…' while $text =~ /"((?:[^"\\]|\\.)*)"|U?INT64_FORMAT/g;
		$literal =~ s/\\"%s\\"|%-?\d*\.?\d*l*[sduifgxc]|%%/…/g;
		$literal =~ s/\\"/"/g;
		push @literals, $literal;
	}
	return @literals;
}

# messages SOURCE: [level, SQLSTATE, text] of each message it can send to a client or the log
sub messages
{
	my ($source) = @_;
	my @messages;
	while ($source =~ /\b(ereport|Refuse)\(/g)
	{
		my ($kind, $call) = ($1, call($source, pos($source) - 1));
		next if $call =~ /^\((?:SourceSearch|int sqlstate|const char)/ || ($kind eq 'Refuse' && $call =~ /^\(&?search,/);
		my ($code) = $call =~ /\b(ERRCODE_\w+)/;
		if ($kind eq 'Refuse')
		{
			push @messages, [ 'ERROR', $sqlstate{ $code // 'ERRCODE_FEATURE_NOT_SUPPORTED' }, (literals($call))[0] ];
			next;
		}
		my ($level) = $call =~ /^\(\s*(\w+)/;
		my $at = index($call, 'errmsg(');
		next if $at < 0;
		my ($text) = literals(call($call, $at + 6));
		next if !defined $text || $text eq '…';    # another function says it
		push @messages, [ $level, $call =~ /errcode_for_file_access/ ? '53100' : $sqlstate{ $code // '' } // ($level eq 'ERROR' ? 'XX000' : ''), $text ];
	}
	return @messages;
}

# sayings SOURCE: the reasons, properties and alerts that a source file can show, each with its section
sub sayings
{
	my ($source) = @_;
	my @sayings;
	push @sayings, [ 'EXPLAIN', $1 ] while $source =~ /\bExplainProperty\w+\("(.*?)"/g;
	push @sayings, [ 'explain_st', (literals($1))[0] ] while $source =~ /\bPut\(&?sink, ((?:psprintf\()?"[^"]*")/g;
	while ($source =~ /\bAddAlert\(/g) { push @sayings, [ 'Functions that tell', $_ ] foreach grep { $_ ne '…' } literals(call($source, pos($source) - 1) =~ s/psprintf\(INT64_FORMAT[^)]*\)//gr); }
	while ($source =~ /\bRefuse\(&?search, (.*?)\);/gs) { push @sayings, [ 'EXPLAIN', $_ ] foreach literals($1); }
	while ($source =~ /\bNote\(examination, (.*?)\);/gs) { push @sayings, [ 'EXPLAIN', $_ ] foreach literals($1); }
	while ($source =~ /(?:\breturn\b|\b\w*(?:reason|why)\w* =|\breasons,|const char \*k\w+ =)((?:"(?:[^"\\]|\\.)*"|[^;"])*);/g)
	{
		push @sayings, map { [ undef, $_ ] } grep { /^(?:[a-z…]+|pgstream\.\w+) .*[a-z]/ } literals($1);
	}
	return @sayings;
}

sub sources
{
	my %sources;
	foreach my $file (glob("$top/src/*.cpp $top/src/*/*.[ch]pp"))
	{
		my $text = slurp_file($file);
		# Comments hold parentheses and quotes of any kind.
		$text =~ s{("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+')|//[^\n]*|/\*.*?\*/}{$1 // ' '}gse;
		$sources{ $file =~ s{.*/src/}{}r } = $text;
	}
	return %sources;
}
my %sources = sources();

# Details of an error: what is wrong with a schedule, how storage is damaged, what does not compile. They speak for themselves.
my $detail = qr{^core/|^jit/|^delta/source_delta};

# plain TEXT: as it is compared, without the marks of code and the quotes about a name
sub plain { return $_[0] =~ s/`|"(?=…)|(?<=…)"//gr; }

# like_text SAID: matches it, and what it says with words in place of the dots
sub like_text { return join('(?:…|[\w.]+)', map { quotemeta } split /…/, $_[0], -1); }

# undescribed_texts TEXT SOURCES: messages and sayings that the text does not have
sub undescribed_texts
{
	my ($text, %from) = @_;
	my @undescribed;
	my %place = map { $_ => plain(section($text, $_)) } 'Errors', 'EXPLAIN', 'explain_st', 'Functions that tell', 'Functions that change', 'Views';
	my @lines = split /\n/, $place{Errors};
	foreach my $file (sort keys %from)
	{
		foreach my $message (messages($from{$file}))
		{
			my ($level, $state, $said) = @$message;
			utf8::decode($said) if !utf8::is_utf8($said);
			my @found = grep { index($_, $said) >= 0 } @lines;
			push @undescribed, "$file: $level $state $said"
			  if $level eq 'ERROR' ? !grep { /^\| \Q$state\E / } @found : !@found;
		}
		next if $file =~ $detail;
		foreach my $saying (sayings($from{$file}))
		{
			my ($where, $said) = @$saying;
			utf8::decode($said) if !utf8::is_utf8($said);
			my $among = defined $where ? $place{$where} : join("\n", values %place);
			push @undescribed, "$file: $said" if $among !~ like_text($said);
		}
	}
	return @undescribed;
}

# undescribed_options TEXT SOURCE: options of CREATE TABLE that the file which reads them knows
sub undescribed_options
{
	my ($text, $source) = @_;
	my @names = $source =~ /strcmp\(option->defname, "(\w+)"/g;
	push @names, map { split /", "/ } $source =~ /kParameters\[\] = \{"(.*?)"\}/;
	my $section = section($text, 'CREATE TABLE');
	return (@names < 3 ? 'the options are not found' : (), grep { $section !~ /`\Q$_\E`/ } @names);
}

# ---- The tests -------------------------------------------------------------------------------------------------------

cmp_ok(scalar(@functions), '>', 15, 'functions are found');
cmp_ok(scalar(@columns), '>', 60, 'columns are found');
cmp_ok(scalar(@settings), '>', 2, 'settings are found');
is($schemas[0][0], '0', 'the extension has no objects of a kind that is not looked at');
is(join("\n", undescribed_objects($reference)), '', 'every object is described');
my $version = $node->safe_psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'pg_stream'");
like($reference, qr/\A# .*\n\n.*\n?.*\bpg_stream \Q$version\E\./, 'of the version that there is');
my @messages = map { messages($_) } values %sources;
cmp_ok(scalar(@messages), '>', 70, 'messages are found');
cmp_ok(scalar(map { sayings($_) } values %sources), '>', 80, 'reasons, properties and alerts are found');
is(join("\n", undescribed_texts($reference, %sources)), '', 'every message is described');
is(join(' ', undescribed_options($reference, $sources{'api/options.cpp'})), '', 'every option is described');
is(join("\n", map { $_->[2] } grep { $_->[0] eq 'ERROR' && $_->[2] !~ /^(?:[a-z…"]|VARIADIC|EXPLAIN)/ } @messages), '', 'messages begin in lower case');

# What these checks would overlook, they could not find.
foreach my $lost ('| `pgstream.attach_timeout` | integer, ms | `10s`', '| `verify(name text)` |', '### drop_stream_table(name text)', ', initialize boolean DEFAULT true)',
	'**`pgs_dependencies`**', '`own_sequence`', '`pending_bytes`', '`lag_bytes`', '`average_ms`')
{
	my $at = index($reference, $lost);
	my $less = $reference;
	substr($less, $at, length($lost)) = '' if $at >= 0;
	isnt(join("\n", undescribed_objects($less)), '', "it would be missed: $lost");
}
my $added = <<'CPP';
void F() {
  if (x) ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("new (odd) message about \"%s\" "
         "and %d more", name, 1), errhint("Do.")));
  Refuse(ERRCODE_OBJECT_IN_USE, "another one", "Do.");
  ereport(NOTICE, (errmsg("a notice")));
  ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("pg_stream is not preloaded")));
  ExplainPropertyText("New Line", "x", es);
  if (y) return "it has a new reason";
  why = "it knows why";
  Refuse(search, psprintf("\"%s\" is odd", name));
  AddAlert(alert, "a new alert");
  Put(sink, "new property", "x");
}
CPP
is(join("\n", undescribed_texts($reference, 'new.cpp', $added)), <<'FOUND' =~ s/\n\z//r, 'whatever is added would be missed');
new.cpp: ERROR 55006 new (odd) message about … and … more
new.cpp: ERROR 55006 another one
new.cpp: NOTICE  a notice
new.cpp: ERROR 55006 pg_stream is not preloaded
new.cpp: New Line
new.cpp: new property
new.cpp: a new alert
new.cpp: … is odd
new.cpp: it has a new reason
new.cpp: it knows why
FOUND
is(join(' ', undescribed_options($reference, 'strcmp(option->defname, "new_option") strcmp(option->defname, "schedule") kParameters[] = {"fillfactor"}')),
	'new_option', 'so would an option');
$node->stop;
done_testing();
