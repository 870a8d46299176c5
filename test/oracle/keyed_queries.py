"""Queries that have a key over one source without being aggregates: DISTINCT ON, windows, the first rows of each group.

Promises: every order is total, since id is unique, so that the query determines its result. Refuses: sources without a
primary key.
"""

import queries


def over(rng, partition):
    return '(PARTITION BY %s ORDER BY id%s)' % (partition, rng.choice(['', ' DESC']))


def window(rng, src, partition):
    """A window function over one partition whose value is determined."""
    c = rng.choice(src.columns)
    w = over(rng, partition)
    ints = [x.name for x in src.columns if x.kind.name == 'int']
    found = [queries.Output('row_number() OVER %s' % w), queries.Output('count(%s) OVER (PARTITION BY %s)' % (c.name, partition)),
             queries.Output('ntile(3) OVER %s' % w), queries.of(c, 'lag(%s) OVER %s' % (c.name, w)), queries.of(c, 'lead(%s, 2) OVER %s' % (c.name, w)),
             queries.of(c, 'first_value(%s) OVER %s' % (c.name, w)), queries.of(c, 'last_value(%s) OVER %s' % (c.name, w)),
             queries.Output('rank() OVER (PARTITION BY %s ORDER BY id %% 3)' % partition)]
    if ints:
        n = rng.choice(ints)
        found += [queries.Output('sum(%s) OVER %s' % (n, w)), queries.Output('max(%s) OVER (PARTITION BY %s)' % (n, partition)),
                  queries.Output('sum(%s) OVER (PARTITION BY %s ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)' % (n, partition))]
    return rng.choice(found)


def keyed_query(rng, src):
    keys = [c for c in src.columns if c.kind.equal and c.kind.order]
    if keys and rng.random() < 0.8:
        c = rng.choice(keys)
        k = queries.of(c, c.name)
    else:
        k = queries.Output('id % 4')
    others = [queries.projection(rng, src) for _ in range(rng.choice([0, 1, 2]))]
    roll = rng.random()
    where = queries.where(rng, src, 0.35)
    if roll < 0.35:
        outputs = [k] + others + [queries.Output('id')] * (rng.random() < 0.6)
        return queries.Query('SELECT DISTINCT ON (%s) %s FROM %s%s ORDER BY %s%s, id%s' % (
            k.expr, queries.name_outputs(outputs), src.name, where, k.expr, rng.choice(['', ' DESC', ' NULLS FIRST']),
            rng.choice(['', ' DESC'])), ('*',), outputs, [src])
    outputs = [k] + others + [queries.Output('id')] * (rng.random() < 0.6)
    if roll < 0.7:
        outputs += [window(rng, src, k.expr) for _ in range(rng.choice([1, 1, 2, 3]))]
        return queries.Query('SELECT %s FROM %s%s' % (queries.name_outputs(outputs), src.name, where), ('*',), outputs, [src])
    inner = queries.name_outputs(outputs)
    outputs = [queries.Output(o.name, o.equal, o.order, o.index) for o in outputs]
    return queries.Query('SELECT %s FROM (SELECT %s, row_number() OVER %s AS n FROM %s%s) t WHERE n <= %d' % (
        queries.name_outputs(outputs), inner, over(rng, k.expr), src.name, where, rng.choice([1, 2, 3])), ('*',), outputs, [src])
