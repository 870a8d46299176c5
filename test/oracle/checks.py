"""What must hold after every step: a stream table and its query give the same rows, compared as text.

Promises: each comparison is one statement, so one snapshot in every isolation level. Refuses: to compare values, which
would take 1.0 for 1.00.
"""

from session import Failure

# Every row of one side against every row of the other: what is left over has a weight.
DIFFERENCE = """SELECT r, sum(n)::integer FROM (
  SELECT x::text AS r, 1 AS n FROM {st} x UNION ALL SELECT y::text, -1 FROM ({query}) y) d
 GROUP BY r HAVING sum(n) <> 0 ORDER BY 1 LIMIT 6"""

EXISTS = 'SELECT EXISTS ({difference})'


def difference(table):
    return DIFFERENCE.format(st=table.name, query=table.query.sql)


def compare(session, table, when, anew=False):
    """Live equality, as multisets of texts.

    anew: planned anew; otherwise by a prepared statement, whose plan the server keeps as long as it thinks it right.
    """
    sql = difference(table)
    if anew:
        rows = session.run(sql)
    else:
        session.prepare('differs_' + table.bare, sql)
        rows = session.run('EXECUTE differs_' + table.bare)
    if rows:
        raise Failure('%s (%s) differs from its query %s:\n  query: %s\n%s' % (
            table.name, table.query.strategy, when, table.query.sql,
            '\n'.join('  %s %d: %s' % ('extra' if n > 0 else 'missing', abs(n), r if len(r) < 300 else r[:300] + '...')
                      for r, n in rows)))


def same(session, table, shape, left, right):
    """Two scalar expressions, one over the stream table and one over the query, in one statement."""
    row = session.run('SELECT l IS NOT DISTINCT FROM r, l, r FROM (SELECT (%s)::text AS l, (%s)::text AS r OFFSET 0) d' % (
        left, right))[0]
    if not row[0]:
        raise Failure('%s (%s) read by %s differs from its query\n  query: %s\n  stream table: %.500s\n  query:        %.500s' % (
            table.name, table.query.strategy, shape, table.query.sql, row[1], row[2]))


def read_otherwise(rng, session, table, may_fold):
    """Reads a stream table in one of many shapes; each must agree with the same read of the query.

    may_fold: no other transaction holds a fold of it.
    """
    query = '(%s)' % table.query.sql
    keyed = [o for o in table.query.outputs if o.equal and o.index]
    shapes = ['count', 'cursor', 'copy', 'whole']
    if keyed:
        shapes += ['equality', 'equality', 'join', 'order', 'extremes', 'limit', 'lookup', 'range', 'semijoin', 'isnull']
    shape = rng.choice(shapes)
    if shape == 'count':
        same(session, table, shape, 'SELECT count(*) FROM %s' % table.name, 'SELECT count(*) FROM %s y' % query)
    elif shape == 'whole':
        same(session, table, shape, 'SELECT count(x) FROM %s x' % table.name, 'SELECT count(y) FROM %s y' % query)
    elif shape == 'cursor':
        cursor_both_ways(rng, session, table, may_fold)
    elif shape == 'copy':
        what = rng.choice([table.name, '(SELECT * FROM %s)' % table.name])
        if session.name == 's1' and session.copy_out(what) != session.copy_out(query):
            raise Failure('%s read by COPY differs from its query %s' % (table.name, query))
    else:
        by_column(rng, session, table, shape, query, rng.choice(keyed).name)


def by_column(rng, session, table, shape, query, c):
    def both(template):
        left, right = (template.replace('{text}', text).replace('{c}', c).replace('{r}', r) for r in (table.name, query + ' y'))
        same(session, table, '%s on %s' % (shape, c), left, right)

    # Sums that are equal may print differently (1.0 and 1.00), so ties have no order of their texts.
    column_type = table.types[c]
    text = 'trim_scale(t.{c})::text' if column_type == 'numeric' else 't.{c}::text'
    if column_type == 'interval' and shape in ('order', 'limit'):
        shape = 'join'

    if shape in ('equality', 'range', 'lookup'):
        values = session.run('SELECT DISTINCT quote_literal(%s) FROM %s y WHERE %s IS NOT NULL ORDER BY 1 LIMIT 8' % (
            c, query, c))
        literal = rng.choice(values)[0] if values else 'NULL'
    if shape == 'equality':
        both("SELECT string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\") FROM (SELECT * FROM {r} WHERE {c} = %s) t" % literal)
    elif shape == 'range':
        both('SELECT count(*) FROM (SELECT * FROM {r} WHERE {c} %s %s) t' % (rng.choice(['<', '>=', '<=', '>']), literal))
    elif shape == 'isnull':
        both("SELECT string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\") FROM (SELECT * FROM {r} WHERE {c} IS NULL) t")
    elif shape == 'lookup':
        both('SELECT count(*) FROM (VALUES (%s), (NULL)) v(k), LATERAL (SELECT * FROM {r} WHERE {c} = v.k) l' % (
            '%s::%s' % (literal, column_type)))
    elif shape == 'join':
        both('SELECT count(*) FROM (SELECT {c} FROM {r}) a JOIN (SELECT {c} FROM {r}) b USING ({c})')
    elif shape == 'semijoin':
        both('SELECT count(*) FROM (SELECT {c} FROM {r}) a WHERE EXISTS (SELECT 1 FROM (SELECT {c} FROM {r}) b WHERE b.{c} = a.{c})')
    elif shape == 'order':
        both("SELECT string_agg(coalesce({text}, '-'), '|') FROM (SELECT {c} FROM {r} ORDER BY {c} %s) t" % (
            rng.choice(['', 'DESC', 'NULLS FIRST'])))
    elif shape == 'limit':
        both("SELECT string_agg(coalesce({text}, '-'), '|') FROM (SELECT {c} FROM {r} ORDER BY {c} %s LIMIT %d OFFSET %d) t" % (
            rng.choice(['', 'DESC']), rng.randrange(1, 5), rng.randrange(3)))
    elif shape == 'extremes':
        both('SELECT count({c})::text || count(DISTINCT {c})::text FROM {r}')


def cursor_both_ways(rng, session, table, may_fold):
    """A scroll cursor keeps the snapshot of its opening, forwards and backwards, whatever is folded meanwhile."""
    inside = session.in_transaction()
    if not inside:
        session.run('BEGIN')
    query = 'SELECT y::text FROM (%s) y' % table.query.sql
    expected = sorted(r[0] for r in session.run(query))
    session.run('DECLARE c SCROLL CURSOR FOR SELECT x::text FROM %s x' % table.name)
    first = session.run('FETCH %d FROM c' % rng.randrange(1, 4))
    if not inside and may_fold and rng.random() < 0.3:
        session.run("SELECT pgstream.refresh_stream_table('%s')" % table.name, allow=('40001', '55006'))
    if session.connection.info.transaction_status == 3:
        session.run('ROLLBACK')
        return
    rows = first + session.run('FETCH ALL FROM c')
    back = session.run('FETCH BACKWARD ALL FROM c')
    again = session.run('FETCH ALL FROM c')
    session.run('CLOSE c')
    if not inside:
        session.run('COMMIT')
    if sorted(r[0] for r in rows) != expected:
        raise Failure('%s read by a cursor differs from its query %s: %r, expected %r' % (
            table.name, table.query.sql, sorted(r[0] for r in rows)[:6], expected[:6]))
    if back[::-1] != rows or again != rows:
        raise Failure('%s: a cursor fetched backward gives other rows than forward' % table.name)


def strategy_at_creation(session, table):
    """explain_st names the strategy the query's generator expects."""
    rows = dict(session.run("SELECT property, value FROM pgstream.explain_st('%s')" % table.name))
    if rows.get('strategy') != table.query.strategy:
        raise Failure('%s is maintained by %r (%s), not by %r\n  query: %s' % (
            table.name, rows.get('strategy'), rows.get('reason'), table.query.strategy, table.query.sql))


def plan_text(session, table):
    rows = session.run('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s' % table.name)
    return '\n'.join(r[0] for r in rows)


def strategy_used(session, table):
    """EXPLAIN (ANALYZE) after a small change shows the strategy that was promised."""
    text = plan_text(session, table)
    if table.query.strategy not in text:
        raise Failure('%s is read otherwise than by %s\n  query: %s\n%s' % (
            table.name, table.query.strategy, table.query.sql, text))


def nothing_left(session, schema, sources, relids):
    """After every stream table is dropped: no catalog row, no trigger, no log."""
    ids = ', '.join(str(r) for r in relids) or '0'
    for catalog in ('pgs_stream', 'pgs_frontier', 'pgs_dependency', 'pgs_refresh_history'):
        left = session.value('SELECT count(*) FROM pgstream.%s WHERE pgs_relid IN (%s)' % (catalog, ids))
        if left:
            raise Failure('%d rows are left in %s after the drop' % (left, catalog))
    for source in sources:
        left = session.run("SELECT tgname FROM pg_trigger WHERE tgrelid = '%s'::regclass AND tgname LIKE '%%pgstream%%'"
                           "UNION ALL SELECT tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE "
                           "tgrelid = '%s'::regclass AND p.pronamespace = 'pgstream'::regnamespace" % (source, source))
        if left:
            raise Failure('triggers are left on %s: %r' % (source, left))
        left = session.run("SELECT 'pgs_log row' FROM pgstream.pgs_log WHERE source_relid = '%s'::regclass UNION ALL "
                           "SELECT relname FROM pg_class WHERE relnamespace = 'pgstream'::regnamespace AND "
                           "relname LIKE 'log\\_' || '%s'::regclass::oid || '\\_%%'" % (source, source))
        if left:
            raise Failure('the log of %s is left: %r' % (source, left))
