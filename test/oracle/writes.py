"""Random writes to a source: one statement each, or several in a row.

Promises: none of them fails by itself (unique keys, foreign keys and NOT NULL are respected), except those made to fail,
which run inside a savepoint of their own.
"""

import queries
from session import Failure

SECOND_BASE = 1000000  # ids of the second session, so that the two never wait for each other


def rows_where(rng, sc, source):
    roll = rng.random()
    if roll < 0.3:
        return 'id = %d' % rng.randrange(1, sc.next_id + 1)
    if roll < 0.5:
        m = rng.choice([2, 3, 5, 10])
        return 'id %% %d = %d' % (m, rng.randrange(m))
    if roll < 0.7:
        low = rng.randrange(1, sc.next_id + 1)
        return 'id BETWEEN %d AND %d' % (low, low + rng.choice([1, 3, 10]))
    if roll < 0.95:
        return queries.condition(rng, source)
    return rng.choice(['true', 'false'])


def own(source):
    """The columns that decide nothing about the leaf a row belongs to."""
    return [c for c in source.plain_columns() if c.name != source.part_column]


def assignments(rng, source, columns=None):
    plain = columns or source.plain_columns()
    chosen = rng.sample(plain, rng.choice([1, 1, 2]) if len(plain) > 1 else 1)
    found = []
    for c in chosen:
        roll = rng.random()
        if roll < 0.12:
            value = c.name
        elif roll < 0.2 and c.kind.name in ('mixed', 'int') and c.type in ('integer', 'numeric'):
            value = '%s %% 1000 + 1' % c.name if c.type == 'integer' else 'trim_scale(%s)' % c.name
        else:
            value = c.typed(rng) if c.not_null else '%s::%s' % (c.literal(rng), c.type)
        found.append('%s = %s' % (c.name, value))
    return ', '.join(found)


def take_ids(sc, n):
    first = sc.next_id
    sc.next_id += n
    return range(first, first + n)


def insert(sc, session, source, n):
    rng = sc.rng
    names = ', '.join(source.insertable())
    if source.foreign:
        ids = sorted(rng.sample(range(1, sc.next_id + 20), min(n, sc.next_id)))
        rows = ',\n  '.join(source.row(rng, i) for i in ids)
        session.run('INSERT INTO %s (%s) SELECT * FROM (VALUES\n  %s) v(%s) WHERE id IN (SELECT id FROM %s) AND NOT EXISTS '
                    '(SELECT FROM %s x WHERE x.id = v.id)' % (source.name, names, rows, names, source.foreign.name, source.name))
        return
    rows = ',\n  '.join(source.row(rng, i) for i in take_ids(sc, n))
    session.run('INSERT INTO %s (%s) VALUES\n  %s' % (source.name, names, rows))


def insert_into(sc, session, target, source, n):
    """New rows for a child or another table with the source's columns."""
    session.run('INSERT INTO %s (%s) VALUES\n  %s' % (target, ', '.join(source.insertable()), ',\n  '.join(
        source.row(sc.rng, i) for i in take_ids(sc, n))))


def insert_second(sc, source):
    """The second session inserts rows of its own and may change them."""
    rng = sc.rng
    low = SECOND_BASE + sc.next_second
    n = rng.choice([1, 2, 10])
    sc.next_second += n
    rows = ',\n  '.join(source.row(rng, low + i) for i in range(n))
    sc.second.run('INSERT INTO %s (%s) VALUES\n  %s' % (source.name, ', '.join(source.insertable()), rows))
    if rng.random() < 0.3:
        sc.second.run('UPDATE %s SET %s WHERE id >= %d' % (source.name, assignments(rng, source), low))
    if rng.random() < 0.2:
        sc.second.run('DELETE FROM %s WHERE id = %d' % (source.name, low))


def plain_field(rng, c):
    """A value as COPY reads it, or None for NULL; refuses literals that are calls."""
    simple = [v for v in c.pool if v[0] in "'-0123456789tf" and not v.startswith('trim')]
    if (c.nulls and rng.random() < c.nulls) or not simple:
        return None
    v = rng.choice(simple)
    return v[1:-1].replace("''", "'") if v.startswith("'") else v


def copy(sc, source, n, options=''):
    rng = sc.rng
    rows = []
    for i in take_ids(sc, n):
        fields = [plain_field(rng, c) for c in source.plain_columns()]
        if any(f is None and c.not_null for f, c in zip(fields, source.plain_columns())):
            return insert(sc, sc.first, source, n)
        rows.append([str(i)] + fields)
    sc.first.copy_in('%s (%s)' % (source.name, ', '.join(source.insertable())), rows, options)


def upsert(sc, source):
    rng = sc.rng
    ids = sorted(rng.sample(range(1, sc.next_id + 5), min(3, sc.next_id)))
    sc.next_id += 5
    rows = ',\n  '.join(source.row(rng, i) for i in ids)
    c = rng.choice(source.plain_columns())
    action = rng.choice(['DO NOTHING', 'DO UPDATE SET %s = EXCLUDED.%s' % (c.name, c.name),
                         'DO UPDATE SET %s = %s WHERE %s.id %% 2 = 0' % (c.name, c.typed(rng), source.bare)])
    sc.first.run('INSERT INTO %s AS %s (%s) VALUES\n  %s\n  ON CONFLICT (id) %s' % (
        source.name, source.bare, ', '.join(source.insertable()), rows, action))


def merge(sc, source):
    rng = sc.rng
    ids = sorted(rng.sample(range(1, sc.next_id + 5), min(4, sc.next_id)))
    sc.next_id += 5
    names = source.insertable()
    rows = ',\n  '.join(source.row(rng, i) for i in ids)
    clauses = []
    if rng.random() < 0.6:
        clauses.append('WHEN MATCHED AND t.id %% 3 = %d THEN DELETE' % rng.randrange(3))
    if rng.random() < 0.8:
        c = rng.choice(source.plain_columns())
        clauses.append('WHEN MATCHED THEN UPDATE SET %s = v.%s' % (c.name, c.name))
    if rng.random() < 0.8 or not clauses:
        clauses.append('WHEN NOT MATCHED THEN INSERT (%s) VALUES (%s)' % (
            ', '.join(names), ', '.join('v.' + n for n in names)))
    sc.first.run('MERGE INTO %s t USING (VALUES\n  %s) v(%s) ON t.id = v.id\n  %s' % (
        source.name, rows, ', '.join(names), '\n  '.join(clauses)))


def move(sc, source):
    """One statement that deletes and inserts the same rows, or copies rows whole where no key forbids it."""
    rng = sc.rng
    names = ', '.join(source.insertable())
    if not source.key and rng.random() < 0.5:
        sc.first.run('INSERT INTO %s (%s) SELECT %s FROM %s WHERE id %% 4 = %d' % (
            source.name, names, names, source.name, rng.randrange(4)))
    else:
        sc.first.run('WITH gone AS (DELETE FROM %s WHERE %s RETURNING *) SELECT count(*) FROM gone' % (
            source.name, rows_where(rng, sc, source)))


def in_a_loop(sc, source):
    """Many small statements in one, some of them undone by an exception block."""
    rng = sc.rng
    sc.first.run('DO $do$ BEGIN\n  FOR i IN 1..%d LOOP\n    UPDATE %s SET %s WHERE id %% 5 = i %% 5;\n    BEGIN\n'
                 '      DELETE FROM %s WHERE id %% 7 = i %% 7;\n      IF i %% 2 = %d THEN RAISE division_by_zero; END IF;\n'
                 '    EXCEPTION WHEN division_by_zero THEN NULL;\n    END;\n  END LOOP;\nEND $do$' % (
                     rng.randrange(1, 5), source.name, assignments(rng, source), source.name, rng.randrange(2)))


def fold_in_block(sc, source):
    """A fold in a block whose exception undoes it, amid changes that stay."""
    rng = sc.rng
    table = rng.choice(sc.tables)
    sc.first.run("DO $do$ BEGIN\n  UPDATE %s SET %s WHERE id %% 4 = 1;\n  BEGIN\n    DELETE FROM %s WHERE id %% 5 = 2;\n"
                 "    PERFORM pgstream.refresh_stream_table('%s');\n    UPDATE %s SET %s WHERE id %% 3 = 1;\n"
                 "    %s\n  EXCEPTION WHEN division_by_zero OR serialization_failure OR lock_not_available THEN NULL;\n  END;\n"
                 "  DELETE FROM %s WHERE id %% 11 = 3;\nEND $do$" % (
                     source.name, assignments(rng, source), source.name, table.name, source.name,
                     assignments(rng, source), rng.choice(['RAISE division_by_zero;', 'NULL;']), source.name))


def truncate(sc, source):
    rng = sc.rng
    names = ', '.join(s.name for s in sc.sources) if len(sc.sources) > 1 and rng.random() < 0.3 else source.name
    sc.first.run('TRUNCATE %s CASCADE' % names)


def several(sc, source):
    """The same rows again and again: what a transaction does to a row must add up."""
    rng = sc.rng
    which = rows_where(rng, sc, source)
    for _ in range(rng.choice([2, 3])):
        sc.first.run('UPDATE %s SET %s WHERE %s' % (source.name, assignments(rng, source), which))
    if rng.random() < 0.4:
        sc.first.run('DELETE FROM %s WHERE %s' % (source.name, which))


def change_id(sc, source):
    """A changed key: moves a row between partitions, cascades through foreign keys."""
    sc.first.run('UPDATE %s s SET id = -id WHERE id IN (%d, -%d) AND NOT EXISTS (SELECT FROM %s x WHERE x.id = -s.id)' % (
        source.name, sc.rng.randrange(1, sc.next_id + 1), sc.rng.randrange(1, sc.next_id + 1), source.name))


def child(sc, source):
    """A row written to a child table, behind its parent's back."""
    rng, name = sc.rng, sc.rng.choice(source.children)
    if rng.random() < 0.6:
        insert_into(sc, sc.first, name, source, rng.choice([1, 3]))
    elif rng.random() < 0.6:
        sc.first.run('UPDATE %s SET %s WHERE %s' % (name, assignments(rng, source), rows_where(rng, sc, source)))
    else:
        sc.first.run('DELETE FROM %s WHERE %s' % (rng.choice([name, 'ONLY ' + source.name]), rows_where(rng, sc, source)))


def leaf(sc, source):
    """A write to a partition itself, behind its parent's back."""
    rng = sc.rng
    part = rng.choice(source.parts)
    roll = rng.random()
    if roll < 0.4 and own(source):
        sc.first.run('UPDATE %s SET %s WHERE %s' % (part.name, assignments(rng, source, own(source)), rows_where(rng, sc, source)))
    elif roll < 0.6 or source.foreign:
        sc.first.run('DELETE FROM %s WHERE %s' % (part.name, rows_where(rng, sc, source)))
    else:
        names = ', '.join(source.insertable())
        ids = sorted(rng.sample(range(-5, sc.next_id), 4)) + list(take_ids(sc, 2))
        rows = ',\n  '.join(source.row(rng, i) for i in ids)
        fits = sc.first.value("SELECT pg_get_partition_constraintdef('%s'::regclass)" % part.name) or 'true'
        sc.first.run('INSERT INTO %s (%s) SELECT * FROM (VALUES\n  %s) v(%s) WHERE %s AND NOT EXISTS (SELECT FROM %s x '
                     'WHERE x.id = v.id)' % (part.name, names, rows, names, fits, source.name))


def move_partition(sc, source):
    """The partition key changes: rows move from leaf to leaf."""
    rng = sc.rng
    if source.part_column is None:
        return change_id(sc, source)
    c = next(c for c in source.columns if c.name == source.part_column)
    sc.first.run('UPDATE %s SET %s = %s WHERE %s' % (source.name, c.name, c.typed(rng), rows_where(rng, sc, source)))


def cte(sc, source):
    """One statement that changes several tables, or one table in several places."""
    rng = sc.rng
    other = rng.choice(sc.sources)
    names = ', '.join(source.insertable())
    first = 'DELETE FROM %s WHERE id %% 5 = %d RETURNING 1' % (source.name, rng.randrange(5))
    if not source.foreign and rng.random() < 0.5:
        first = 'INSERT INTO %s (%s) VALUES %s RETURNING 1' % (source.name, names, source.row(rng, take_ids(sc, 1)[0]))
    second = 'UPDATE %s SET %s WHERE id %% 5 = %d RETURNING 1' % (other.name, assignments(rng, other), rng.randrange(5))
    sc.first.run('WITH a AS (%s), b AS (%s) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)' % (first, second))


def deep(sc, source):
    """Subtransactions within subtransactions, some undone; now and then more of them than a snapshot lists."""
    rng = sc.rng
    step = "UPDATE %s SET %s WHERE id %% 6 = %d;"
    lines = []
    depth = rng.choice([2, 3, 5])
    for i in range(depth):
        lines.append('  ' * i + 'BEGIN ' + step % (source.name, assignments(rng, source), i))
    for i in range(depth)[::-1]:
        lines.append('  ' * i + "DELETE FROM %s WHERE id %% 17 = %d; %s EXCEPTION WHEN division_by_zero THEN NULL; END;" % (
            source.name, i, rng.choice(['RAISE division_by_zero;', ''])))
    if rng.random() < 0.2:
        lines.append("FOR i IN 1..80 LOOP BEGIN UPDATE %s SET %s WHERE id = i; IF i %% 3 = 0 THEN RAISE division_by_zero; END IF; "
                     "EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP;" % (source.name, assignments(rng, source)))
    sc.first.run('DO $do$ BEGIN\n%s\nEND $do$' % '\n'.join(lines))


def failing_alone(sc, source):
    """A statement that fails after it changed rows; nothing of it stays."""
    if sc.transaction is None:
        sc.first.run('UPDATE %s SET %s WHERE id / (id %% 2) > 0' % (source.name, assignments(sc.rng, source)), allow=('22012',))


def from_stream_table(sc, source):
    """A change whose rows a stream table chooses: as many as its query would."""
    rng = sc.rng
    pairs = [(t, o, c) for t in sc.tables for o in t.query.outputs for c in source.columns if o.equal and o.expr == c.name
             and source in t.query.sources]
    if not pairs or source.triggers or source.watched:
        return update(sc, source)
    table, output, column = rng.choice(pairs)
    condition = rng.choice(['{c} IN (SELECT {o} FROM {r} r)', 'EXISTS (SELECT FROM {r} r WHERE r.{o} = {c})',
                            '{c} NOT IN (SELECT {o} FROM {r} r WHERE {o} IS NOT NULL)']).replace('{c}', 's.' + column.name).replace(
                                '{o}', output.name)
    expected = sc.first.value('SELECT count(*) FROM %s s WHERE %s' % (
        source.name, condition.replace('{r}', '(%s)' % table.query.sql)))
    statement = rng.choice(['DELETE FROM %s s' % source.name, 'UPDATE %s s SET %s' % (source.name, assignments(rng, source))])
    sc.first.run('%s WHERE %s' % (statement, condition.replace('{r}', table.name)))
    if sc.first.cursor.rowcount != expected:
        raise Failure('a statement that reads %s (%s) changed %d rows, by its query it would be %d\n  query: %s' % (
            table.name, table.strategy, sc.first.cursor.rowcount, expected, table.query.sql))


def some_rows(sc, source):
    insert(sc, sc.first, source, sc.rng.choice([1, 1, 2, 5, 30]))


def update(sc, source):
    sc.first.run('UPDATE %s SET %s WHERE %s' % (source.name, assignments(sc.rng, source), rows_where(sc.rng, sc, source)))


def delete(sc, source):
    sc.first.run('DELETE FROM %s WHERE %s' % (source.name, rows_where(sc.rng, sc, source)))


def copy_some(sc, source):
    copy(sc, source, sc.rng.choice([1, 4, 40]))


def possible(sc, source, may_truncate):
    """The writes that a source takes, as often as they are wanted."""
    rng = sc.rng
    foreign = source.foreign
    options = [(some_rows, 5), (update, 6), (delete, 3), (several, 1), (in_a_loop, 1), (move, 1), (cte, 1), (deep, 1),
               (failing_alone, 1), (from_stream_table, 1)]
    if not foreign:
        options += [(copy_some, 2), (change_id, 1)]
        if source.shape != 'inherited':
            options += [(merge, 2)]
        if source.key and source.shape != 'inherited':
            options += [(upsert, 2)]
        if rng.random() < 0.03:
            options += [(lambda sc, source: sc.many(source), 1)]
    if may_truncate and not (sc.transaction is not None and any(s.deferred for s in sc.sources)) and rng.random() < 0.25:
        options += [(truncate, 1)]
    if sc.tables:
        options += [(fold_in_block, 1)]
    if source.shape == 'inherited':
        options += [(child, 6)]
    if source.shape == 'partitioned':
        options += [(leaf, 6), (move_partition, 3)]
    return options


def write(sc, may_truncate=True):
    """One random write of the first session; returns the function that made it."""
    source = sc.rng.choice(sc.sources)
    options = possible(sc, source, may_truncate)
    kind = sc.rng.choices([o[0] for o in options], [o[1] for o in options])[0]
    kind(sc, source)
    if kind is fold_in_block and sc.transaction is not None:
        sc.transaction.folded = True
        sc.transaction.exclusive |= any(s.changed for s in sc.sources)
    if kind is not truncate:
        sc.touched = {s for s in sc.sources if s is source or s.foreign is source}
    return kind
