# What the tests of dumps share: a database with stream tables of all kinds, and what must be alike in another that comes
# from its dump.
#
# Promises: a comparison of contents is by texts and as multisets, and names what differs.
package StreamDump;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(fill_roles fill_database change_sources inexact contents schema_of dump_of refresh_all unpopulated);

# What is common to the databases of a cluster.
sub fill_roles
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'CREATE ROLE dump_owner; CREATE ROLE dump_reader');
	return;
}

# Stream tables of every strategy and both modes, over every kind of source, with all that users put on tables; some changes
# are pending.
sub fill_database
{
	my ($node, $db) = @_;
	$node->safe_psql($db, <<'SQL');
SET client_min_messages = warning;
CREATE EXTENSION pg_stream;
CREATE SCHEMA "Odd Schema" AUTHORIZATION dump_owner;
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE src (id int PRIMARY KEY, grp int, val numeric, txt text, c colour, at timestamptz);
INSERT INTO src SELECT i, i % 10, i * 1.5, 'text ' || i, (enum_range(NULL::colour))[i % 3 + 1],
                       '2026-01-01 00:00+00'::timestamptz + i * interval '7 hours' FROM generate_series(1, 300) i;
CREATE INDEX ON src (grp);
CREATE TABLE parts (id int, k int, v int) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1, 2);
CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT i, i % 4, i FROM generate_series(1, 200) i;
CREATE TABLE parent (a int, b int);
CREATE TABLE child (c int) INHERITS (parent);
INSERT INTO parent SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO child SELECT i, i, i FROM generate_series(1, 20) i;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 * 2;
CREATE VIEW threes AS SELECT id, val FROM src WHERE grp = 3;
GRANT SELECT ON src TO dump_owner;
-- Of each strategy
CREATE TABLE picks USING pgstream WITH (fillfactor = 80) AS SELECT id, val, txt, c FROM src WHERE grp IN (3, 5);
CREATE TABLE by_key USING pgstream AS SELECT src.id, src.txt, count(*) AS n FROM src JOIN parts USING (id) GROUP BY src.id;
CREATE TABLE windowed USING pgstream AS SELECT id, grp, rank() OVER (PARTITION BY grp ORDER BY val) AS r FROM src;
CREATE TABLE latest USING pgstream AS SELECT DISTINCT ON (grp) grp, id FROM src ORDER BY grp, val DESC;
CREATE TABLE joined USING pgstream AS SELECT s.grp, sum(p.v) AS v FROM src s JOIN parts p USING (id) GROUP BY s.grp;
-- Over each kind of source
CREATE TABLE over_parts USING pgstream AS SELECT k, sum(v) AS v, count(*) AS n FROM parts GROUP BY k;
CREATE TABLE over_parent USING pgstream AS SELECT a + b AS ab FROM parent;
CREATE TABLE viewed USING pgstream AS SELECT id FROM threes;
CREATE TABLE doubled USING pgstream AS SELECT twice(grp) AS g, count(*) AS n FROM src GROUP BY 1;
SET ROLE dump_owner;
CREATE TABLE "Odd Schema"."Sum Of ""All""" USING pgstream AS SELECT grp AS "Group", sum(val) AS "The Total", count(*) AS n FROM src GROUP BY grp;
RESET ROLE;
CREATE TABLE stacked USING pgstream AS SELECT "Group" % 2 AS odd, sum("The Total") AS total FROM "Odd Schema"."Sum Of ""All""" GROUP BY 1;
-- In every spelling that a rule has to carry
CREATE TABLE united USING pgstream AS SELECT id FROM src WHERE id < 10 UNION ALL SELECT id FROM parts WHERE id > 190;
CREATE TABLE excepted USING pgstream WITH (schedule = '2h') AS (SELECT id FROM src EXCEPT SELECT id FROM parts) ORDER BY 1 LIMIT 50;
CREATE TABLE with_united USING pgstream AS WITH w AS (SELECT grp FROM src) SELECT grp FROM w WHERE grp < 3 INTERSECT SELECT grp FROM w WHERE grp > 0;
CREATE TABLE withs USING pgstream AS WITH w AS (SELECT grp, max(val) AS m FROM src GROUP BY grp) SELECT * FROM w WHERE m > 3;
CREATE TABLE recursed USING pgstream AS
  WITH RECURSIVE r(i) AS (SELECT min(id) FROM src UNION ALL SELECT i + 1 FROM r WHERE i < 20) SELECT i FROM r;
CREATE TABLE listed USING pgstream AS VALUES (1, 'a'), (2, 'b');
CREATE TABLE old_and_new USING pgstream AS SELECT old.id, new.k FROM src old, parts new WHERE old.id = new.id;
CREATE TABLE laterals USING pgstream AS SELECT s.id, x.m FROM src s, LATERAL (SELECT max(v) AS m FROM parts p WHERE p.id = s.id) x;
CREATE TABLE rolled USING pgstream AS SELECT grp, c, sum(val) AS s, grouping(grp, c) AS g FROM src GROUP BY ROLLUP (grp, c);
CREATE TABLE limited USING pgstream AS SELECT id, val FROM src ORDER BY val DESC, id LIMIT 5;
CREATE TABLE whole_rows USING pgstream AS SELECT s AS r FROM src s WHERE id < 40;
CREATE TABLE unpopulated USING pgstream AS SELECT id FROM src WHERE id < 25 WITH NO DATA;
-- With options and settings
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'SQL, DMY';
CREATE TABLE days USING pgstream WITH (schedule = '1h30m') AS SELECT date_trunc('day', at)::text AS d, count(*) AS n FROM src GROUP BY 1;
RESET ALL;
SET client_min_messages = warning;
CREATE TABLE held USING pgstream WITH (refresh_mode = 'FULL', schedule = '0 3 * * *') AS SELECT id, random() AS r FROM src;
CREATE TABLE held_union USING pgstream WITH (refresh_mode = 'FULL') AS SELECT 1 AS i, random() AS r UNION ALL SELECT 2, random();
SELECT pgstream.alter_stream_table('picks', schedule => 'calculated');
-- What users put on tables
CREATE INDEX picks_val ON picks (val DESC) WHERE val > 100;
CREATE INDEX picks_upper ON picks (upper(txt), id);
CREATE INDEX sums_total ON "Odd Schema"."Sum Of ""All""" ("The Total");
ALTER TABLE over_parts REPLICA IDENTITY FULL;
ALTER TABLE picks ALTER txt SET STATISTICS 500;
ALTER TABLE picks CLUSTER ON picks_upper;
CREATE STATISTICS picks_statistics (ndistinct, mcv) ON id, c FROM picks;
COMMENT ON TABLE picks IS 'picked of src';
COMMENT ON COLUMN picks.val IS 'a column''s comment';
COMMENT ON INDEX picks_val IS 'an index';
COMMENT ON RULE pgstream_query ON picks IS 'the query';
GRANT SELECT ON over_parts, "Odd Schema"."Sum Of ""All""" TO dump_reader;
GRANT SELECT (id, c) ON picks TO dump_reader WITH GRANT OPTION;
ALTER TABLE over_parts ENABLE ROW LEVEL SECURITY;
CREATE POLICY some_parts ON over_parts FOR SELECT TO dump_reader USING (k > 1);
CREATE VIEW over_stream WITH (security_barrier) AS SELECT c, sum(val) AS val FROM picks GROUP BY c;
CREATE MATERIALIZED VIEW kept_of_stream AS SELECT * FROM over_stream;
CREATE RULE nothing_deleted AS ON DELETE TO picks DO INSTEAD NOTHING;
CREATE FUNCTION inexact(OUT stream text, OUT wrong bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE query text;
BEGIN
  FOR stream, query IN
    SELECT c.oid::regclass, rtrim(pgstream.defining_query(c.oid), ';') FROM pg_class c JOIN pg_am a ON a.oid = c.relam
     WHERE amname = 'pgstream' AND relname NOT LIKE 'held%' LOOP
    PERFORM set_config('TimeZone', CASE stream WHEN 'public.days' THEN 'Asia/Tokyo' ELSE 'UTC' END, true),
            set_config('DateStyle', CASE stream WHEN 'public.days' THEN 'SQL, DMY' ELSE 'ISO, MDY' END, true);
    EXECUTE format('SELECT count(*) FROM ((SELECT s_::text FROM %1$s s_ EXCEPT ALL SELECT q_::text FROM (%2$s) q_) UNION ALL
                                          (SELECT q_::text FROM (%2$s) q_ EXCEPT ALL SELECT s_::text FROM %1$s s_)) d', stream, query) INTO wrong;
    RETURN NEXT;
  END LOOP;
END $$;
CREATE FUNCTION contents(OUT content text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE stream regclass;
BEGIN
  FOR stream IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, '"Odd Schema"'::regnamespace)
                   AND relname NOT IN ('src', 'parts_1', 'parts_2', 'parent', 'child') ORDER BY relname COLLATE "C" LOOP
    EXECUTE format('SELECT %L || count(*) || %L || md5(string_agg(s_::text, %L ORDER BY s_::text COLLATE "C")) FROM %s s_', stream || ' ', ' ', ' ', stream)
       INTO content;
    RETURN NEXT;
  END LOOP;
END $$;
SQL
	change_sources($node, $db, 1000);
	return;
}

# Some of everything.
sub change_sources
{
	my ($node, $db, $from) = @_;
	$node->safe_psql($db, <<"SQL");
INSERT INTO src SELECT i, i % 12, i, 'new ' || i, 'red', '2026-02-01 12:00+00' FROM generate_series($from, $from + 20) i;
UPDATE src SET val = val + 1, grp = grp + 1 WHERE id % 29 = 0;
DELETE FROM src WHERE id < 1000 AND id % 23 = 0;
INSERT INTO parts SELECT i, i % 5, i FROM generate_series($from, $from + 20) i;
UPDATE parts SET k = k + 1 WHERE id % 31 = 0;
DELETE FROM parts WHERE id % 37 = 0;
INSERT INTO child VALUES ($from, 1, 1);
DELETE FROM parent WHERE a = 7;
SQL
	return;
}

# Stream tables that are not what their queries give, with the number of rows that differ: '' when all are right. They are
# 24 (and the FULL ones, which nobody can tell).
sub inexact
{
	my ($node, $db) = @_;
	my $result = $node->safe_psql($db,
		"SET search_path = ''; SELECT count(*), string_agg(stream || ' ' || wrong, ', ') FILTER (WHERE wrong <> 0) FROM public.inexact()");
	return $result eq '24|' ? '' : $result;
}

# The rows of every stream table, or of the plain table in its place, in a digest each.
sub contents
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, 'SELECT contents()');
}

# What pg_dump says, but for its random keys; further arguments are options.
sub schema_of
{
	my ($node, $db, @options) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '--schema-only', @options, $node->connstr($db) ]);
	return join "\n", grep { !/^\\(un)?restrict / } split /\n/, $out;
}

# The whole dump, sorted: rows come in any order.
sub dump_of
{
	my ($node, $db) = @_;
	my ($out, $err) = run_command([ 'pg_dump', $node->connstr($db) ]);
	return join "\n", sort grep { !/^\\(un)?restrict / } split /\n/, $out;
}

sub refresh_all
{
	my ($node, $db) = @_;
	$node->safe_psql($db, <<'SQL');
SET client_min_messages = warning;
SELECT format('SELECT pgstream.refresh_stream_table(%L)', c.oid::regclass)
  FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE amname = 'pgstream' AND relname NOT LIKE 'held%' \gexec
SQL
	return;
}

# Stream tables that no refresh has entered yet, or whose base is behind: but FULL ones, which refresh_all leaves alone.
sub unpopulated
{
	my ($node, $db) = @_;
	return $node->safe_psql($db, <<'SQL');
SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = c.relam LEFT JOIN pgstream.pgs_stream_tables t ON t.pgs_relid = c.oid
 WHERE amname = 'pgstream' AND relname NOT LIKE 'held%' AND is_populated IS NOT TRUE
SQL
}

1;
