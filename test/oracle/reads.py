"""Ways of reading a stream table, each compared with the same read of its query; and the indexes that make them differ.

Promises: both sides in one statement, so in one snapshot, under the same conditions, orders and limits. Refuses: orders
that ties of equal values with different texts (1.0 and 1.00) could tell apart.
"""

from checks import compare, same
from session import Failure

HASHED = ('smallint', 'integer', 'bigint', 'numeric', 'text', 'boolean', 'date', 'uuid')
BLOCK_RANGES = ('smallint', 'integer', 'bigint', 'numeric', 'text', 'date', 'uuid')
INVERTED = ('integer[]', 'jsonb', 'bigint[]')

ROWS = "SELECT string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\") FROM (SELECT * FROM {r} WHERE %s) t"


def make_indexes(rng, session, table, chance, concurrently=''):
    """Indexes of several kinds, as users make them: each output has one with the given chance."""
    found = []
    ordered = [o for o in table.query.outputs if o.index and o.order]
    for o in table.query.outputs:
        if rng.random() > chance:
            continue
        n, column_type = o.name, table.types[o.name]
        if o.index and o.order:
            other = rng.choice(ordered).name
            found += [rng.choice(['(%s)' % n] * 4 + [
                '(%s DESC NULLS LAST)' % n, '(%s, %s)' % (n, other) if other != n else '(%s)' % n, '(%s) INCLUDE (%s)' % (n, other),
                '(%s) WHERE %s IS NOT NULL' % (n, n), '(%s) WHERE %s IS NULL' % (other, n), '((%s IS NULL), %s)' % (n, n)]
                + ['USING hash (%s)' % n] * (column_type in HASHED) + ['USING brin (%s)' % n] * (column_type in BLOCK_RANGES)
                + ['((%s + 1))' % n, '(abs(%s)) WHERE %s > 0' % (n, n)] * (column_type == 'integer'))]
        elif column_type in INVERTED:
            found.append('USING gin (%s)' % n)
    for where in found:
        taken = [int(n[1:n.index('_')]) for n in table.indexes]
        name = 'x%d_%s' % (max(taken, default=0) + 1, table.bare)
        session.run('CREATE INDEX %s%s ON %s %s' % (concurrently, name, table.name, where))
        table.indexes = table.indexes + [name]


def read_otherwise(rng, session, table, may_fold):
    """Reads a stream table in one of many shapes; each must agree with the same read of the query.

    may_fold: no other transaction holds a fold of it.
    """
    query = '(%s)' % table.query.sql
    keyed = [o for o in table.query.outputs if o.equal and o.index]
    shapes = ['count', 'cursor', 'copy', 'whole', 'tid', 'lateral', 'setop']
    if keyed:
        shapes += ['equality', 'equality', 'join', 'order', 'extremes', 'limit', 'lookup', 'range', 'semijoin', 'isnull',
                   'several', 'bitmap', 'prepared', 'prepared', 'grouped', 'antijoin', 'outer', 'rank']
    shape = rng.choice(shapes)

    def both(template):
        left, right = (template.replace('{r}', r) for r in (table.name, query + ' y'))
        same(session, table, shape, left, right)

    if shape == 'count':
        both('SELECT count(*) FROM {r}')
    elif shape == 'whole':
        same(session, table, shape, 'SELECT count(x) FROM %s x' % table.name, 'SELECT count(y) FROM %s y' % query)
    elif shape == 'tid':
        # A range of TIDs; the TIDs of one scan are not looked for in another: an overlay that is not cached has its own.
        same(session, table, shape, "SELECT count(*) FROM %s WHERE ctid >= '(0,0)'" % table.name, 'SELECT count(*) FROM %s y' % query)
    elif shape == 'lateral':
        both('SELECT sum(n) FROM generate_series(1, 3) g, LATERAL (SELECT count(*) AS n FROM {r} WHERE g > 1) l')
    elif shape == 'setop':
        both('SELECT count(*) FROM (SELECT t::text FROM (SELECT * FROM {r}) t UNION ALL SELECT t::text FROM (SELECT * FROM {r}) t) u')
    elif shape == 'cursor':
        cursor_both_ways(rng, session, table, may_fold)
    elif shape == 'copy':
        what = rng.choice([table.name, '(SELECT * FROM %s)' % table.name])
        if session.name == 's1' and session.copy_out(what) != session.copy_out(query):
            raise Failure('%s read by COPY differs from its query %s' % (table.name, query))
    else:
        by_column(rng, session, table, shape, query, [o.name for o in keyed])


def index_a_key(rng, session, table):
    """An index by which lookups find one of the outputs; the others have theirs by chance."""
    keyed = [o for o in table.query.outputs if o.equal and o.index and o.order]
    if keyed:
        name = 'x%d_%s' % (max([int(n[1:n.index('_')]) for n in table.indexes], default=0) + 1, table.bare)
        session.run('CREATE INDEX %s ON %s (%s)' % (name, table.name, rng.choice(keyed[:3]).name))
        table.indexes = table.indexes + [name]


def look_up(rng, session, table, inside):
    """Lookups by single values through an index, before anything else has read the stream table under this snapshot. inside: a
    transaction is open that may have a cursor, which is left half-way while all of the stream table is read."""
    query = '(%s)' % table.query.sql
    keyed = [o.name for o in table.query.outputs if o.equal and o.index]
    if not keyed:
        return
    kept = [(name, session.value('SHOW ' + name)) for name in ('enable_seqscan', 'enable_bitmapscan')]
    c = rng.choice(keyed[:3])
    literals = [some_literal(rng, session, c, query) for _ in range(rng.choice([1, 1, 2, 4]))]
    values = ', '.join('(%s::%s)' % (literal, table.types[c]) for literal in literals + ['NULL'])
    if session.connection.info.transaction_status == 3:
        return
    for name, _ in kept:
        session.run('SET %s = off' % name)
    joined = 'SELECT l::text FROM (VALUES %s) v(k), LATERAL (SELECT * FROM {r} OFFSET 0) l WHERE l.%s = v.k' % (values, c)
    looked = joined.replace(' OFFSET 0', '').replace('{r}', table.name)
    joined = joined.replace('{r}', query + ' y')
    how = rng.choice(['one', 'one', 'several', 'nested', 'cursor'])
    if how == 'one':
        left, right = ((ROWS % ('%s = %s' % (c, literals[0]))).replace('{r}', r) for r in (table.name, query + ' y'))
        same(session, table, 'a lookup of %s' % c, left, right)
    elif how == 'several':
        # All of it, too: what a lookup resolved and what was resolved for all is one overlay.
        left, right = ('SELECT string_agg(t, \'|\' ORDER BY t COLLATE "C") FROM (%s UNION ALL SELECT t::text FROM (SELECT * FROM %s) t) u(t)'
                       % x for x in ((looked, table.name), (joined, query + ' y')))
        same(session, table, 'lookups of %s beside all' % c, left, right)
    elif how == 'nested' or not inside:
        left, right = ('SELECT string_agg(t, \'|\' ORDER BY t COLLATE "C") FROM (%s) u(t)' % x for x in (looked, joined))
        same(session, table, 'lookups of %s' % c, left, right)
    else:
        expected = sorted(r[0] for r in session.run(joined))
        session.run('DECLARE lookups CURSOR FOR ' + looked)
        rows = session.run('FETCH %d FROM lookups' % rng.choice([0, 1, 2]))
        compare(session, table, 'while lookups were under way')
        rows += session.run('FETCH ALL FROM lookups')
        session.run('CLOSE lookups')
        if sorted(r[0] for r in rows) != expected:
            raise Failure('%s: lookups of %s by a cursor differ from the query %s: %r, expected %r' % (
                table.name, c, table.query.sql, sorted(r[0] for r in rows)[:6], expected[:6]))
    for name, value in kept:
        session.run('SET %s = %s' % (name, value))


def some_literal(rng, session, c, query):
    """A value that the column has, as a literal, or NULL."""
    values = session.run('SELECT DISTINCT quote_literal(%s) FROM %s y WHERE %s IS NOT NULL ORDER BY 1 LIMIT 8' % (c, query, c))
    return rng.choice(values)[0] if values else 'NULL'


def by_column(rng, session, table, shape, query, columns):
    c = rng.choice(columns)

    def both(template):
        left, right = (template.replace('{text}', text).replace('{c}', c).replace('{r}', r) for r in (table.name, query + ' y'))
        same(session, table, '%s on %s' % (shape, c), left, right)

    # Sums that are equal may print differently (1.0 and 1.00), so ties have no order of their texts.
    column_type = table.types[c]
    text = 'trim_scale(t.{c})::text' if column_type == 'numeric' else 't.{c}::text'
    if column_type == 'interval' and shape in ('order', 'limit'):
        shape = 'join'

    if shape in ('equality', 'range', 'lookup', 'several', 'bitmap', 'prepared'):
        literal = some_literal(rng, session, c, query)
    if shape == 'equality':
        both(ROWS % ('{c} = %s' % literal))
    elif shape == 'range':
        both('SELECT count(*) FROM (SELECT * FROM {r} WHERE {c} %s %s) t' % (rng.choice(['<', '>=', '<=', '>']), literal))
    elif shape == 'several':
        both(ROWS % rng.choice(['{c} IN (%s, %s)', '{c} = ANY (ARRAY[%%s, %%s, NULL]::%s[])' % column_type, '{c} BETWEEN %s AND %s',
                                'NOT {c} = %s AND {c} >= %s', '({c} = %s) IS NOT TRUE OR {c} = %s']) % (
            (literal, some_literal(rng, session, c, query))))
    elif shape == 'bitmap':
        other = rng.choice(columns)
        both(ROWS % ('{c} = %s %s %s %s %s' % (literal, rng.choice(['OR', 'AND']), other, rng.choice(['=', '<', '>=']),
                                               some_literal(rng, session, other, query))))
    elif shape == 'prepared':
        condition = rng.choice(['{c} = $1', '{c} = $1', '{c} < $1', '{c} IS NOT DISTINCT FROM $1'])
        name = 'by_%s_%s_%d' % (table.bare, c, len(condition))
        sides = [(ROWS % condition).replace('{c}', c).replace('{r}', r) for r in (table.name, query + ' y')]
        sql = 'SELECT l IS NOT DISTINCT FROM r, l, r FROM (SELECT (%s) AS l, (%s) AS r OFFSET 0) d' % tuple(sides)
        session.prepare(name, sql, '(%s)' % column_type)
        equal, left, right = session.run('EXECUTE %s(%s)' % (name, literal))[0]
        if not equal:
            raise Failure('%s read by a prepared statement on %s differs from its query\n  query: %s\n  stream table: %.500s\n'
                          '  query:        %.500s' % (table.name, c, table.query.sql, left, right))
    elif shape == 'isnull':
        both(ROWS % '{c} IS NULL')
    elif shape == 'lookup':
        both('SELECT count(*) FROM (VALUES (%s), (NULL)) v(k), LATERAL (SELECT * FROM {r} WHERE {c} = v.k) l' % (
            '%s::%s' % (literal, column_type)))
    elif shape == 'join':
        both('SELECT count(*) FROM (SELECT {c} FROM {r}) a JOIN (SELECT {c} FROM {r}) b USING ({c})')
    elif shape == 'semijoin':
        both('SELECT count(*) FROM (SELECT {c} FROM {r}) a WHERE EXISTS (SELECT 1 FROM (SELECT {c} FROM {r}) b WHERE b.{c} = a.{c})')
    elif shape == 'antijoin':
        both(rng.choice(['SELECT count(*) FROM (SELECT {c} FROM {r}) a WHERE {c} NOT IN (SELECT {c} FROM {r} WHERE {c} IS NOT NULL)',
                         'SELECT count(*) FROM (SELECT {c} FROM {r}) a WHERE NOT EXISTS (SELECT FROM (SELECT {c} FROM {r}) b '
                         'WHERE b.{c} > a.{c})']))
    elif shape == 'outer':
        both('SELECT count(*) || \' \' || count(b.{c}) FROM (SELECT {c} FROM {r}) a %s JOIN (SELECT DISTINCT {c} FROM {r}) b '
             'ON a.{c} = b.{c}' % rng.choice(['LEFT', 'RIGHT', 'FULL']))
    elif shape == 'grouped':
        both(rng.choice(["SELECT string_agg(n::text, ',' ORDER BY n) FROM (SELECT count(*) AS n FROM {r} GROUP BY {c}) t",
                         'SELECT count(*) FROM (SELECT DISTINCT {c} FROM {r}) t',
                         "SELECT string_agg(n::text, ',' ORDER BY n) FROM (SELECT count(*) AS n FROM {r} GROUP BY ROLLUP ({c})) t"]))
    elif shape == 'rank':
        both("SELECT string_agg(n::text, ',' ORDER BY n) FROM (SELECT rank() OVER (ORDER BY {c}) AS n FROM {r}) t")
    elif shape == 'order':
        both("SELECT string_agg(coalesce({text}, '-'), '|') FROM (SELECT {c} FROM {r} ORDER BY {c} %s) t" % (
            rng.choice(['', 'DESC', 'NULLS FIRST', 'DESC NULLS LAST'])))
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
        session.run("SELECT pgstream.refresh_stream_table('%s')" % table.name, allow=('40001', '55006', '55P03'))
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
