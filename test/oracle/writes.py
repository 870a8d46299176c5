"""Random writes to a source: one statement each, or several in a row.

Promises: none of them fails by itself (unique keys, foreign keys and NOT NULL are respected), except those made to fail,
which run inside a savepoint of their own.
"""

import queries

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


def assignments(rng, source):
    plain = source.plain_columns()
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
    if getattr(source, 'foreign', None):
        ids = sorted(rng.sample(range(1, sc.next_id + 20), min(n, sc.next_id)))
        rows = ',\n  '.join(source.row(rng, i) for i in ids)
        session.run('INSERT INTO %s (%s) SELECT * FROM (VALUES\n  %s) v(%s) WHERE id IN (SELECT id FROM %s) AND NOT EXISTS '
                    '(SELECT FROM %s x WHERE x.id = v.id)' % (source.name, names, rows, names, source.foreign.name, source.name))
        return
    rows = ',\n  '.join(source.row(rng, i) for i in take_ids(sc, n))
    session.run('INSERT INTO %s (%s) VALUES\n  %s' % (source.name, names, rows))


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


def copy(sc, source, n):
    rng = sc.rng
    rows = []
    for i in take_ids(sc, n):
        fields = [plain_field(rng, c) for c in source.plain_columns()]
        if any(f is None and c.not_null for f, c in zip(fields, source.plain_columns())):
            return insert(sc, sc.first, source, n)
        rows.append([str(i)] + fields)
    sc.first.copy_in('%s (%s)' % (source.name, ', '.join(source.insertable())), rows)


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
                 "    %s\n  EXCEPTION WHEN division_by_zero OR serialization_failure THEN NULL;\n  END;\n"
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
    sc.first.run('INSERT INTO %s_child (%s) VALUES %s' % (source.name, ', '.join(source.insertable()),
                                                          source.row(sc.rng, take_ids(sc, 1)[0])))


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
    foreign = getattr(source, 'foreign', None)
    options = [(some_rows, 5), (update, 6), (delete, 3), (several, 1), (in_a_loop, 1), (move, 1)]
    if not foreign:
        options += [(copy_some, 2), (change_id, 1)]
        if source.shape != 'inherited':
            options += [(merge, 2)]
        if source.key and source.shape != 'inherited':
            options += [(upsert, 2)]
        if rng.random() < 0.03:
            options += [(lambda sc, source: sc.many(source), 1)]
    if may_truncate and rng.random() < 0.25:
        options += [(truncate, 1)]
    if sc.tables:
        options += [(fold_in_block, 1)]
    if source.shape == 'inherited':
        options += [(child, 1)]
    return options


def write(sc, may_truncate=True):
    """One random write of the first session; returns the function that made it."""
    source = sc.rng.choice(sc.sources)
    options = possible(sc, source, may_truncate)
    kind = sc.rng.choices([o[0] for o in options], [o[1] for o in options])[0]
    kind(sc, source)
    if kind is fold_in_block and sc.transaction is not None:
        sc.transaction.folded = True
    if kind is not truncate:
        sc.touched = {s for s in sc.sources if s is source or getattr(s, 'foreign', None) is source}
    return kind
