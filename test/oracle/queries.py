"""Random defining queries, each with the strategy that must maintain it.

Promises: the text of every result row is determined by the query: no aggregate whose value depends on input order, no
tie under LIMIT, no float sum of inexact values. Refuses: volatile functions and anything a snapshot does not determine.
"""

import keyed_queries
from sources import NEVER
from values import SHARED

ROWS, GROUPS, KEYED = 'algebraic (rows)', 'algebraic (groups)', 'keyed'
RECOMPUTE, ALWAYS = 'recompute', 'recompute on every read'


class Output:
    """A column of a stream table: what a reader may do with it."""

    def __init__(self, expr, equal=True, order=True, index=True):
        self.expr, self.equal, self.order, self.index = expr, equal, order, index
        self.name = None


class Query:
    def __init__(self, sql, strategy, outputs, sources, one_row=False):
        self.sql = sql
        self.strategies = (strategy,) if isinstance(strategy, str) else strategy  # any of these; '*': whatever is shown
        self.outputs = outputs
        self.sources = sources
        self.one_row = one_row  # an empty source still gives one row

    def with_text(self, sql, strategies=None):
        """The same query in other words."""
        return Query(sql, strategies or self.strategies, self.outputs, self.sources, self.one_row)


def of(col, expr, index=None):
    k = col.kind
    return Output(expr, k.equal, k.order, k.index if index is None else index)


# --- expressions over one row --------------------------------------------------------------------------------------

def condition(rng, src, depth=0):
    """An immutable condition over a source's columns; may be NULL for a row."""
    if depth < 2 and rng.random() < 0.25:
        return '(%s %s %s)' % (condition(rng, src, depth + 1), rng.choice(['AND', 'OR']), condition(rng, src, depth + 1))
    if depth < 2 and rng.random() < 0.08:
        return '(NOT %s)' % condition(rng, src, depth + 1)
    c = rng.choice(src.columns)
    n, k = c.name, c.kind
    options = ['%s IS NULL' % n, '%s IS NOT NULL' % n, 'id %% 3 = %d' % rng.randrange(3), 'id > %d' % rng.randrange(60)]
    if k.equal:
        options += ['%s = %s' % (n, c.typed(rng)), '%s <> %s' % (n, c.typed(rng)),
                    '%s IN (%s, %s)' % (n, c.typed(rng), c.typed(rng)), '%s IS DISTINCT FROM %s' % (n, c.typed(rng))]
    if k.order:
        options += ['%s %s %s' % (n, rng.choice(['<', '>=', '<=', '>']), c.typed(rng))] * 2
    if k.name in ('text', 'long'):
        options += ["%s LIKE '%%a%%'" % n, 'length(%s) > 3' % n, "%s ~ '^[a-z]'" % n]
    if k.name == 'text':
        options += ["%s COLLATE %s.nocase = 'A'" % (n, SHARED), "lower(%s) > 'b'" % n]
    if k.name == 'bool':
        options += [n, 'NOT %s' % n, '%s IS NOT TRUE' % n] * 2
    if k.name == 'intarray':
        options += ['1 = ANY (%s)' % n, '%s @> ARRAY[1]' % n]
    if k.name == 'jsonb':
        options += ["%s ? 'a'" % n, "%s -> 'a' IS NOT NULL" % n]
    return rng.choice(options)


def expressions(rng, src, col):
    """Outputs that a projection or a group key may compute from a column: immutable, one text per value."""
    n, k = col.name, col.kind
    found = [of(col, n)] * 4
    if k.equal:
        found += [Output('%s IS NULL' % n), of(col, 'coalesce(%s, %s)' % (n, col.typed(rng)))]
    else:
        found = [Output('%s IS NULL' % n)]
    if k.name == 'int':
        found += [Output('%s %% 3' % n), Output('%s / 7' % n), Output('(%s > 1)' % n), Output('%s::numeric / 4' % n),
                  Output('CASE WHEN %s > 0 THEN 1 WHEN %s < 0 THEN -1 ELSE 0 END' % (n, n)), Output('-%s' % n)]
    elif k.name in ('num', 'mixed'):
        found += [Output('trim_scale(%s)' % n), Output('round(%s, 1)' % n), Output('%s.twice(trim_scale(%s))' % (SHARED, n)),
                  Output("(%s = 'NaN')" % n)]
    elif k.name in ('text', 'long'):
        found += [Output('length(%s)' % n), Output('substr(%s, 1, 2)' % n), Output('md5(%s)' % n),
                  Output('%s.label(substr(%s, 1, 5))' % (SHARED, n)), Output("upper(left(%s, 3)) || '!'" % n)]
        if k.name == 'text':
            found += [Output("%s || '-' || coalesce(%s, '?')" % (n, n))]
    elif k.name == 'bool':
        found += [Output('NOT %s' % n), Output('%s::text' % n)]
    elif k.name == 'timestamp':
        found += [Output("date_trunc('month', %s)" % n), Output('%s::date' % n)]
    elif k.name == 'date':
        found += [Output('%s > DATE \'2024-01-10\'' % n), Output('%s::timestamp' % n)]
    elif k.name == 'intarray':
        found += [Output('%s[1]' % n), Output('cardinality(%s)' % n)]
    elif k.name == 'jsonb':
        found += [Output("%s ->> 'a'" % n), Output("%s -> 'a'" % n, index=False), Output("jsonb_typeof(%s)" % n)]
    elif k.name == 'enum':
        found += [Output("%s >= 'ok'" % n)]
    elif k.name == 'composite':
        found += [Output('(%s).x' % n), Output('(%s).y' % n)]
    elif k.name == 'float':
        found += [Output('%s * 2' % n)]
    return found


def projection(rng, src):
    """An output of a query without DISTINCT: text need not be unique per value."""
    c = rng.choice(src.columns)
    roll = rng.random()
    if roll < 0.45:
        return of(c, c.name)
    if roll < 0.55:
        return Output('id')
    if roll < 0.62:
        return rng.choice([Output("'const'::text"), Output('NULL::integer'), Output('42'), Output('1.50'), Output('true')])
    return rng.choice(expressions(rng, src, c))


def key(rng, src):
    while True:
        c = rng.choice(src.columns)
        if rng.random() < 0.12:
            return Output('id %% %d' % rng.choice([2, 5, 10]))
        o = rng.choice(expressions(rng, src, c))
        if o.equal:
            return o


def name_outputs(outputs):
    for i, o in enumerate(outputs):
        o.name = 'o%d' % (i + 1)
    return ', '.join('%s AS %s' % (o.expr, o.name) for o in outputs)


# --- aggregates ----------------------------------------------------------------------------------------------------

def aggregate(rng, src):
    """One aggregate with an optional FILTER; its value does not depend on the order of its input."""
    s = SHARED
    c = rng.choice(src.columns)
    n, k = c.name, c.kind
    long = dict(index=False)
    found = [('count(*)', {}), ('count(%s)' % n, {})]
    if k.equal and k.order:
        found += [('count(DISTINCT %s)' % n, {})]
        if k.name not in ('bool', 'uuid', 'jsonb', 'bytea', 'composite', 'range', 'bit'):
            found += [('min(%s)' % n, dict(index=k.index)), ('max(%s)' % n, dict(index=k.index))] * 2
            found += [('percentile_disc(0.5) WITHIN GROUP (ORDER BY %s)' % n, dict(index=k.index)),
                      ('mode() WITHIN GROUP (ORDER BY %s)' % n, dict(index=k.index))]
        if k.name in ('int', 'num', 'text', 'long', 'bool', 'float'):  # their casts to text are immutable
            found += [("string_agg(%s::text, ',' ORDER BY %s)" % (n, n), long)]
        if k.name not in ('intarray', 'textarray'):
            found += [('array_agg(%s ORDER BY %s)' % (n, n), long), ('array_agg(DISTINCT %s)' % n, long)]
    if k.name in ('int', 'num', 'mixed'):
        fair = ['sum', 'avg', 'sum', 'avg', 'variance', 'var_pop', 'var_samp', 'stddev', 'stddev_pop', 'stddev_samp']
        found += [('%s(%s)' % (f, n), {}) for f in fair] * 2
        if k.name != 'mixed':
            found += [('sum(DISTINCT %s)' % n, {})]
    if k.name == 'int':
        found += [('%s(%s)' % (f, n), {}) for f in ('bit_and', 'bit_or', 'bit_xor')]
        found += [('%s.own_sum(%s %% 100000)' % (s, n), {}), ('%s.own_list(%s)' % (s, n), long), ('avg(%s::numeric / 8)' % n, {}),
                  ('sum(%s) - min(%s)' % (n, n), {}), ('bool_or(%s > 2)' % n, {})]
    if k.name == 'domain':
        found += [('sum(%s)' % n, {}), ('max(%s)' % n, {})]
    if k.name == 'bool':
        found += [('%s(%s)' % (f, n), {}) for f in ('bool_and', 'bool_or', 'every')] * 2
    if k.name == 'interval':
        found += [('sum(%s)' % n, {}), ('avg(%s)' % n, {})] * 2
    if k.name == 'money':
        found += [('sum(%s)' % n, {})] * 3
    if k.name == 'float':
        found += [('sum(%s)' % n, {}), ('avg(%s)' % n, {})] * 2
    if k.name == 'bit':
        found += [('bit_or(%s)' % n, dict(index=False)), ('bit_and(%s)' % n, dict(index=False))]
    if k.name == 'text':
        found += [("string_agg(%s, '/' ORDER BY %s DESC)" % (n, n), long),
                  ("string_agg(DISTINCT %s, ',')" % n, long), ('count(DISTINCT %s COLLATE %s.nocase)' % (n, s), {})]
    expr, flags = rng.choice(found)
    if rng.random() < 0.15 and expr.count('(') >= 1 and ' - ' not in expr:
        expr = '%s FILTER (WHERE %s)' % (expr, condition(rng, src, 1))
    return Output(expr, **flags)


def over_aggregate(rng, src):
    """An output of a grouped query: an aggregate or an expression over some."""
    o = aggregate(rng, src)
    ints = [c for c in src.columns if c.kind.name == 'int']
    roll = rng.random()
    if roll < 0.08:
        return Output('count(*) * 2 + 1')
    if roll < 0.14 and ints:
        n = rng.choice(ints).name
        return Output('coalesce(sum(%s), 0)' % n)
    if roll < 0.19 and ints:
        n = rng.choice(ints).name
        return Output('round(avg(%s), 2)' % n)
    if roll < 0.23:
        return Output("'n=' || count(*)::text")
    return o


def having(rng, src):
    ints = [c.name for c in src.columns if c.kind.name == 'int']
    options = ['count(*) > %d' % rng.randrange(1, 4), 'count(*) %% 2 = %d' % rng.randrange(2),
               'count(%s) < 5' % rng.choice(src.columns).name]
    if ints:
        options += ['sum(%s) > 2' % rng.choice(ints), 'max(%s) >= 3' % rng.choice(ints),
                    'coalesce(avg(%s), 0) <> 1' % rng.choice(ints), 'bool_or(%s > 0)' % rng.choice(ints)]
    return rng.choice(options)


# --- queries of the maintained class ---------------------------------------------------------------------------------

def where(rng, src, chance=0.5):
    return ' WHERE ' + condition(rng, src) if rng.random() < chance else ''


def rows_query(rng, src):
    outputs = [projection(rng, src) for _ in range(rng.choice([1, 1, 2, 3, 4, 6]))]
    order = ' ORDER BY id' if rng.random() < 0.05 else ''
    return Query('SELECT %s FROM %s%s%s' % (name_outputs(outputs), src.name, where(rng, src, 0.6), order), ROWS, outputs,
                 [src])


def groups_query(rng, src):
    roll = rng.random()
    if roll < 0.14:
        outputs = [key(rng, src) for _ in range(rng.choice([1, 1, 2, 3]))]
        return Query('SELECT DISTINCT %s FROM %s%s' % (name_outputs(outputs), src.name, where(rng, src)), GROUPS, outputs,
                     [src])
    if roll < 0.30:
        outputs = [over_aggregate(rng, src) for _ in range(rng.choice([1, 2, 4, 7]))]
        sql = 'SELECT %s FROM %s%s' % (name_outputs(outputs), src.name, where(rng, src))
        has = rng.random() < 0.2
        if has:
            sql += ' HAVING ' + having(rng, src)
        return Query(sql, GROUPS, outputs, [src], one_row=not has)
    keys = [key(rng, src) for _ in range(rng.choice([1, 1, 1, 2, 2, 3]))]
    shown = [k for k in keys if rng.random() < 0.85]
    outputs = shown + [over_aggregate(rng, src) for _ in range(rng.choice([0, 1, 1, 2, 3, 6]))]
    if not outputs:
        outputs = [Output('count(*)')]
    rng.shuffle(outputs)
    outputs = [Output(o.expr, o.equal, o.order, o.index) for o in outputs]
    sql = 'SELECT %s FROM %s%s GROUP BY %s' % (name_outputs(outputs), src.name, where(rng, src),
                                               ', '.join('(%s)' % k.expr for k in keys))
    if rng.random() < 0.3:
        sql += ' HAVING ' + having(rng, src)
    # A group is found by its key's columns. Where some do not show, those that do restrict the query; if none does, or none
    # can be hashed, nothing does.
    hidden = [k for k in keys if k.expr not in [o.expr for o in outputs]]
    seen = [k for k in keys if k not in hidden]
    return Query(sql, GROUPS if not hidden else (KEYED, RECOMPUTE) if seen else RECOMPUTE, outputs, [src])


# --- queries that are recomputed -------------------------------------------------------------------------------------

def recompute_query(rng, sources):
    a, b = rng.choice(sources), rng.choice(sources)
    s1, s2 = rng.choice(a.columns), rng.choice(b.columns)
    ka = rng.choice([c for c in a.columns if c.kind.equal] + [a.id])
    choice = rng.randrange(17)
    if choice in (12, 13) and a.renames:
        choice = 7
    both = [a, b]
    if choice == 0:
        outputs = [of(s1, 'a.%s' % s1.name), of(s2, 'b.%s' % s2.name), Output('a.id')]
        text = 'FROM %s a JOIN %s b ON a.id = b.id + %d' % (a.name, b.name, rng.randrange(3))
    elif choice == 1:
        outputs = [Output('a.id'), of(s2, 'b.%s' % s2.name), Output('b.id IS NULL')]
        text = 'FROM %s a LEFT JOIN %s b ON a.id %% 7 = b.id' % (a.name, b.name)
    elif choice == 2:
        outputs = [Output('a.id %% %d' % 4), Output('count(*)'), Output('count(b.id)')]
        text = 'FROM %s a LEFT JOIN %s b ON a.id = b.id GROUP BY 1' % (a.name, b.name)
    elif choice == 3:
        outputs = [Output('id'), Output('count(*) OVER (PARTITION BY %s)' % ka.name), Output('rank() OVER (ORDER BY id % 5)')]
        text, both = 'FROM %s' % a.name, [a]
    elif choice == 4:
        outputs = [of(s1, s1.name), Output('id')]
        text = 'FROM %s a WHERE %sEXISTS (SELECT 1 FROM %s b WHERE b.id = a.id + 1)' % (
            a.name, rng.choice(['', 'NOT ']), b.name)
    elif choice == 5:
        outputs = [Output('id'), Output('(SELECT count(*) FROM %s b WHERE b.id <= a.id)' % b.name)]
        text = 'FROM %s a WHERE a.id < 100' % a.name
    elif choice == 6:
        outputs, both = [Output('id')], [a]
        text = 'FROM %s ORDER BY id %s LIMIT %d' % (a.name, rng.choice(['', 'DESC']), rng.randrange(1, 8))
    elif choice == 7:
        outputs = [Output('id')]
        return Query('SELECT id AS o1 FROM %s %s SELECT id FROM %s WHERE id %% 2 = 0' % (
            a.name, rng.choice(['UNION ALL', 'UNION', 'EXCEPT', 'INTERSECT ALL']), b.name), RECOMPUTE,
            named(outputs), [a, b])
    elif choice == 8:
        outputs, both = [Output('id %% %d' % 3), Output('id %% %d' % 2), Output('count(*)')], [a]
        text = 'FROM %s GROUP BY GROUPING SETS ((1), (1, 2), ())' % a.name
    elif choice == 9:
        outputs = [Output('id %% %d' % 4), Output('max(id)')]
        text = 'FROM %s WHERE id NOT IN (SELECT id FROM %s WHERE id %% 3 = 0) GROUP BY 1' % (a.name, b.name)
    elif choice == 10:
        outputs, both = [Output('n'), Output('(SELECT count(*) FROM %s WHERE id %% 5 = n)' % a.name)], [a]
        text = 'FROM generate_series(0, 4) n'
    elif choice == 11:
        outputs, both = [Output('DISTINCT id %% %d' % 6, index=True), Output('count(*)')], [a]
        return Query('SELECT %s FROM %s GROUP BY id %% 3, id %% 6' % (name_outputs(outputs), a.name), KEYED, outputs, both)
    elif choice == 12:
        outputs, both = [of(s1, s1.name), Output('id')], [a]
        return Query('SELECT %s FROM %s_v' % (name_outputs(outputs), a.stem), ROWS, outputs, both)
    elif choice == 13:
        outputs, both = [Output('v.id %% %d' % 4), Output('count(*)'), Output('count(b.id)')], [a, b]
        text = 'FROM %s_v v LEFT JOIN %s b ON v.id = b.id GROUP BY 1' % (a.stem, b.name)
    elif choice == 15:
        # What no log tells: which table of a tree a row is in.
        shown = rng.choice(['count(DISTINCT tableoid)', 'count(*) FILTER (WHERE tableoid::bigint % 2 = 0)', 'max(tableoid)'])
        outputs, both = [Output('id %% %d' % 3), Output(shown)], [a]
        return Query('SELECT %s FROM %s%s GROUP BY 1' % (name_outputs(outputs), a.name, where(rng, a)), ALWAYS, outputs, both)
    elif choice == 16:
        outputs, both = [of(s1, s1.name), Output('id')], [a]
        return Query('SELECT %s FROM ONLY %s%s' % (name_outputs(outputs), a.name, where(rng, a)), ALWAYS, outputs, both)
    else:
        outputs = [Output('id')]
        return Query('WITH RECURSIVE r AS (SELECT id FROM %s WHERE id %% 5 = 0 UNION SELECT b.id FROM r, %s b '
                     'WHERE b.id = r.id + 1) SELECT id AS o1 FROM r' % (a.name, b.name), RECOMPUTE, named(outputs), [a, b])
    return Query('SELECT %s %s' % (name_outputs(outputs), text), RECOMPUTE, outputs, both)


# --- queries whose text depends on settings ----------------------------------------------------------------------------

PRINTED = {
    'timestamptz': ['{c}::text', "to_char({c}, 'YYYY-MM-DD HH24:MI TZ')", "date_trunc('day', {c})::text", '{c}::date::text',
                    'extract(hour FROM {c})::text', "({c} AT TIME ZONE 'Asia/Tokyo')::text", '{c}::time::text'],
    'date': ['{c}::text', "concat({c}, '/', id)"],
    'timestamp': ['{c}::text', "to_char({c}, 'Day DDD')"],
    'interval': ['{c}::text', "format('%s', {c})"],
    'bytea': ['{c}::text'],
    'float': ['({c} / 3)::text', 'to_jsonb({c})::text'],
    'money': ["{c}::text"],
}
READ = {
    'timezone': ['UTC', 'Asia/Tokyo', 'America/New_York', 'Australia/Lord_Howe'],
    'datestyle': ['ISO, MDY', 'German', 'SQL, DMY', 'Postgres, MDY'],
    'intervalstyle': ['postgres', 'iso_8601', 'sql_standard', 'postgres_verbose'],
    'bytea_output': ['hex', 'escape'],
    'extra_float_digits': ['1', '0', '-3'],
}


def settings_query(rng, sources):
    """Texts of values as settings make them: (query, settings), or None where no column prints so."""
    pairs = [(s, c) for s in sources if not s.renames for c in s.columns if c.kind.name in PRINTED]
    if not pairs:
        return None
    src, first = rng.choice(pairs)
    columns = [first] + [c for s, c in pairs if s is src and c is not first]
    printed = [Output(rng.choice(PRINTED[c.kind.name]).replace('{c}', c.name)) for c in columns[:3]]
    settings = {name: rng.choice(values) for name, values in READ.items()}
    condition = where(rng, src, 0.3)
    if rng.random() < 0.5:
        outputs = printed + [Output('id::text')]
        query = Query('SELECT %s FROM %s%s' % (name_outputs(outputs), src.name, condition), ROWS, outputs, [src])
        return captured_or_always(query), settings
    outputs = [printed[0], Output('count(*)::text')] + [
        Output("string_agg(%s, ',' ORDER BY id, %s)" % (o.expr, o.expr), index=False) for o in printed[1:]]
    query = Query('SELECT %s FROM %s%s GROUP BY 1' % (name_outputs(outputs), src.name, condition), GROUPS, outputs, [src])
    return captured_or_always(query), settings


def over_stream(rng, table):
    """A query over a stream table; None when it has no suitable column."""
    usable = [o for o in table.query.outputs if o.equal]
    if not usable:
        return None
    o = rng.choice(usable)
    if rng.random() < 0.5:
        outputs = [Output(o.name, o.equal, o.order, o.index), Output('count(*)')]
        text = 'FROM %s GROUP BY %s' % (table.name, o.name)
    else:
        outputs = [Output(o.name, o.equal, o.order, o.index)]
        text = 'FROM %s WHERE %s IS NOT NULL' % (table.name, o.name)
    return Query('SELECT %s %s' % (name_outputs(outputs), text), ALWAYS, outputs, table.query.sources)


def named(outputs):
    name_outputs(outputs)
    return outputs


def random_query(rng, sources, kinds=(0.28, 0.74, 0.88)):
    """A query over the sources: rows, groups, keyed or recomputed by the thresholds."""
    roll = rng.random()
    src = rng.choice(sources)
    if roll < kinds[0]:
        query = rows_query(rng, src)
    elif roll < kinds[1]:
        query = groups_query(rng, src)
    elif roll < kinds[2] and src.key:
        query = keyed_queries.keyed_query(rng, src)
    else:
        query = recompute_query(rng, sources)
    return captured_or_always(query)


def captured_or_always(query):
    if any(s.capture == NEVER for s in query.sources):
        query.strategies = (ALWAYS,)
    return query
