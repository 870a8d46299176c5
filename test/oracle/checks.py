"""What must hold after every step: a stream table and its query give the same rows, compared as text.

Promises: each comparison is one statement, so one snapshot in every isolation level. Refuses: to compare values, which
would take 1.0 for 1.00.
"""

from session import Failure

# Every row of one side against every row of the other: what is left over has a weight.
DIFFERENCE = """SELECT r, sum(n)::integer FROM (
  SELECT x::text AS r, 1 AS n FROM {st} x UNION ALL SELECT y::text, -1 FROM ({query}) y) d
 GROUP BY r HAVING sum(n) <> 0 ORDER BY 1 LIMIT 6"""


def exists(table):
    return 'SELECT EXISTS (%s)' % difference(table)


def difference(table):
    return DIFFERENCE.format(st=table.name, query=table.query.sql)


def compare(session, table, when, anew=False, sql=None):
    """Live equality, as multisets of texts.

    anew: planned anew; otherwise by a prepared statement, whose plan the server keeps as long as it thinks it right.
    sql: what difference(table) was earlier, planned anew.
    """
    if anew or sql is not None:
        rows = session.run(sql or difference(table))
    else:
        session.prepare('differs_' + table.bare, difference(table))
        rows = session.run('EXECUTE differs_' + table.bare)
    if rows:
        raise Failure('%s (%s) differs from its query %s:\n  query: %s\n%s' % (
            table.name, table.strategy, when, table.query.sql,
            '\n'.join('  %s %d: %s' % ('extra' if n > 0 else 'missing', abs(n), r if len(r) < 300 else r[:300] + '...')
                      for r, n in rows)))


def same(session, table, shape, left, right):
    """Two scalar expressions, one over the stream table and one over the query, in one statement."""
    row = session.run('SELECT l IS NOT DISTINCT FROM r, l, r FROM (SELECT (%s)::text AS l, (%s)::text AS r OFFSET 0) d' % (
        left, right))[0]
    if not row[0]:
        raise Failure('%s (%s) read by %s differs from its query\n  query: %s\n  stream table: %.500s\n  query:        %.500s' % (
            table.name, table.strategy, shape, table.query.sql, row[1], row[2]))


def strategy_told(session, table):
    """explain_st names a strategy that the query's generator expects; it is noted."""
    rows = dict(session.run("SELECT property, value FROM pgstream.explain_st('%s')" % table.name))
    table.strategy = rows.get('strategy')
    if table.strategy is None or (table.strategy not in table.query.strategies and '*' not in table.query.strategies):
        raise Failure('%s is maintained by %r (%s), not by %r\n  query: %s' % (
            table.name, table.strategy, rows.get('reason'), table.query.strategies, table.query.sql))


def plan_text(session, table):
    rows = session.run('EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM %s' % table.name)
    return '\n'.join(r[0] for r in rows)


def strategy_used(session, table):
    """EXPLAIN (ANALYZE) after a small change shows the strategy that explain_st tells."""
    strategy_told(session, table)
    # On so small tables cost would often choose to recompute.
    kept = session.value('SHOW pgstream.keyed_evaluation')
    session.run('SET pgstream.keyed_evaluation = always')
    text = plan_text(session, table)
    session.run('SET pgstream.keyed_evaluation = %s' % kept)
    if table.strategy not in text:
        raise Failure('%s is read otherwise than by %s\n  query: %s\n%s' % (table.name, table.strategy, table.query.sql, text))


def remove_capture(session, source):
    """Capture whose removal was put off, because autovacuum say held a lock, goes with the next stream table dropped."""
    if session.value("SELECT count(*) FROM pgstream.pgs_log WHERE source_relid = '%s'::regclass" % source.name):
        session.run('CREATE TABLE %s.last_one USING pgstream AS SELECT id FROM %s' % (source.schema, source.name))
        session.run('DROP TABLE %s.last_one' % source.schema)


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
