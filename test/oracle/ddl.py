"""Random DDL of sources and stream tables, amid pending changes and open transactions.

Promises: after every command the model says what the server has. Refuses: to run while the second session or an open
cursor could stand in its way.
"""

import re

import checks
import reads
import writes
from session import Failure
from sources import Part


def options(sc, source):
    """What can be done to a source now: (function, weight)."""
    found = [(add_column, 3), (drop_column, 2), (constraints, 2), (refused_type, 1), (disable_triggers, 1), (replica, 1)]
    if source.renames:
        found += [(rename_column, 8), (rename_table, 4)]
    else:
        found += [(replace_view, 1)]
    if source.shape in ('plain', 'unlogged') and not any(s.foreign for s in sc.sources):
        found += [(persistence, 1)]
    if source.shape == 'plain' and not any(s.foreign for s in sc.sources) and sc.transaction is None:
        found += [(copy_freeze, 2)]
    if source.shape == 'partitioned':
        found += [(detach_attach, 8), (new_leaf, 6), (drop_leaf, 4), (truncate_leaf, 3)]
    if source.shape == 'inherited':
        found += [(disinherit, 6), (new_child, 3)]
    return found


def of_source(sc):
    """One change of a source."""
    rng = sc.rng
    source = rng.choice(sc.sources)
    if source.deferred and sc.transaction is not None:
        return  # pending trigger events
    sc.touched = {source}
    source.changed = True
    found = options(sc, source)
    # From the first of its commands on.
    if sc.transaction is not None:
        sc.transaction.exclusive = True
    rng.choices([f[0] for f in found], [f[1] for f in found])[0](sc, source)


def add_column(sc, source):
    name = 'more%d' % sc.next_id
    if name in source.extra:
        return
    sc.next_id += 1
    sc.first.run('ALTER TABLE %s ADD COLUMN %s integer%s' % (source.name, name, sc.rng.choice(
        ['', ' DEFAULT 7', ' DEFAULT random() * 9'])))
    source.extra = source.extra + [name]


def drop_column(sc, source):
    if source.extra:
        name = sc.rng.choice(source.extra)
        sc.first.run('ALTER TABLE %s DROP COLUMN %s' % (source.name, name))
        source.extra = [n for n in source.extra if n != name]


def constraints(sc, source):
    rng = sc.rng
    sc.first.run('ALTER TABLE %s %s' % (source.name, rng.choice([
        'ALTER COLUMN id SET STATISTICS 50', 'ADD CHECK (id IS NOT NULL OR true)', 'ALTER COLUMN id SET DEFAULT 0',
        'SET (fillfactor = 70)' if source.shape != 'partitioned' else 'ALTER COLUMN id DROP DEFAULT', 'REPLICA IDENTITY FULL'])))


def refused_type(sc, source):
    """A used column keeps its type: the rule that holds the definition depends on it."""
    used = [t for t in sc.tables if source in t.query.sources and re.search(r'\bid\b', t.query.sql)]
    if used and sc.transaction is None and source.shape == 'plain':
        error = sc.first.run('ALTER TABLE %s ALTER COLUMN id TYPE bigint' % source.name, allow=('0A000', '42804'))
        if not isinstance(error, Exception):
            raise Failure('the type of a used column was changed')


def disable_triggers(sc, source):
    """Changes that no trigger tells."""
    rng, s = sc.rng, sc.first
    s.run('ALTER TABLE %s DISABLE TRIGGER ALL' % source.name)
    s.run('UPDATE %s SET %s WHERE %s' % (source.name, writes.assignments(rng, source), writes.rows_where(rng, sc, source)))
    if not source.foreign:
        writes.insert(sc, s, source, 2)
    sc.check('while triggers are disabled')
    s.run('ALTER TABLE %s ENABLE TRIGGER ALL' % source.name)
    if source.triggers or source.watched:
        sc.touched = None


def replica(sc, source):
    s = sc.first
    s.run('SET %ssession_replication_role = replica' % ('LOCAL ' if sc.transaction is not None else ''))
    if not source.foreign:
        writes.insert(sc, s, source, 2)
    s.run('UPDATE %s SET %s WHERE %s' % (source.name, writes.assignments(sc.rng, source), writes.rows_where(sc.rng, sc, source)))
    sc.check('under session_replication_role = replica')
    s.run('SET %ssession_replication_role = origin' % ('LOCAL ' if sc.transaction is not None else ''))


# --- names ---------------------------------------------------------------------------------------------------------

def rewrite(sc, source, pattern, new):
    """The queries of the source's stream tables, with a name in them changed."""
    for table in sc.tables:
        if source in table.query.sources:
            table.query = table.query.with_text(re.sub(pattern, new, table.query.sql))
            sc.first.run("UPDATE %s.watched SET differs = $q$%s$q$ WHERE st = '%s'" % (
                sc.schema, checks.exists(table), table.name))


def rename_column(sc, source):
    column = sc.rng.choice(source.plain_columns())
    new = column.name[:-1] if column.name.endswith('x') else column.name + 'x'
    sc.first.run('ALTER TABLE %s RENAME COLUMN %s TO %s' % (source.name, column.name, new))
    rewrite(sc, source, r'\b%s\b' % column.name, new)
    source.columns = [c.renamed(new) if c is column else c for c in source.columns]
    if source.generated == column.name:
        source.generated = new
    if source.part_column == column.name:
        source.part_column = new


def rename_table(sc, source):
    old = source.name
    bare = source.bare[:-1] if source.bare.endswith('x') else source.bare + 'x'
    sc.first.run('ALTER TABLE %s RENAME TO %s' % (old, bare))
    source.bare, source.name = bare, '%s.%s' % (source.schema, bare)
    source.parts = [p._replace(parent=source.name) if p.parent == old else p for p in source.parts]
    rewrite(sc, source, r'%s\b' % re.escape(old), source.name)


def replace_view(sc, source):
    sc.first.run(source.view_ddl('id %% 7 <> %d' % sc.rng.randrange(7) if sc.rng.random() < 0.5 else 'id % 5 <> 1'))


# --- what rewrites -------------------------------------------------------------------------------------------------

def persistence(sc, source):
    """An unlogged source is emptied by a crash: nothing is captured from it."""
    logged = source.shape == 'unlogged'
    sc.first.run('ALTER TABLE %s SET %s' % (source.name, 'LOGGED' if logged else 'UNLOGGED'))
    source.shape = 'plain' if logged else 'unlogged'
    for table in sc.tables:
        if source in table.query.sources:
            table.query = table.query.with_text(table.query.sql, ('*',))


def copy_freeze(sc, source):
    """Rows that every snapshot sees at once."""
    sc.first.run('BEGIN')
    sc.first.run('TRUNCATE %s CASCADE' % source.name)
    writes.copy(sc, source, sc.rng.choice([1, 20]), ' WITH (FREEZE)')
    sc.first.run('COMMIT')
    sc.touched = None


# --- partitions ----------------------------------------------------------------------------------------------------

def detach_attach(sc, source):
    """A partition is detached, changed while it is a table of its own, and attached again."""
    rng, s = sc.rng, sc.first
    tops = [p for p in source.parts if not any(q.parent == p.name for q in source.parts)] + source.parts
    part = rng.choice(tops)
    hashed = 'MODULUS' in part.bound
    concurrently = hashed and sc.transaction is None and not any(
        p.bound == 'DEFAULT' for p in source.parts if p.parent == part.parent) and rng.random() < 0.5
    s.run('ALTER TABLE %s DETACH PARTITION %s%s' % (part.parent, part.name, ' CONCURRENTLY' if concurrently else ''))
    sc.check('after DETACH PARTITION')
    changed = [c.name for c in source.plain_columns() if c.name != source.part_column]
    if changed:
        s.run('UPDATE %s SET %s WHERE id %% 2 = 0' % (part.name, writes.assignments(rng, source, writes.own(source))))
    s.run('DELETE FROM %s WHERE id %% 5 = %d' % (part.name, rng.randrange(5)))
    if part.bound != 'DEFAULT':
        s.run('DELETE FROM %s WHERE id %% 7 = %d' % (source.name, rng.randrange(7)))
    sc.check('while a partition is detached')
    s.run(source.attach_sql(part))


def new_leaf(sc, source):
    """A new leaf for ids that nothing else uses: created as a partition, or attached with its rows."""
    rng, s = sc.rng, sc.first
    if source.method != 'RANGE' or source.foreign:
        return
    sc.next_id = max(sc.next_id, 61)  # past the fixed ranges
    low = writes.take_ids(sc, 20)[0]
    part = Part('%s_n%d' % (source.stem, low), source.name, 'FOR VALUES FROM (%d) TO (%d)' % (low, low + 20), True, low, low + 20)
    if rng.random() < 0.5:
        s.run('CREATE TABLE %s PARTITION OF %s %s' % (part.name, part.parent, part.bound))
    else:
        for statement in source.standalone_ddl(rng, part.name):
            s.run(statement)
        s.run('INSERT INTO %s (%s) VALUES %s' % (part.name, ', '.join(source.insertable()),
                                                 ', '.join(source.row(rng, low + 10 + i) for i in range(3))))
        s.run(source.attach_sql(part))
    source.parts = source.parts + [part]
    sc.check('after a new leaf')
    s.run('INSERT INTO %s (%s) VALUES %s' % (rng.choice([part.name, source.name]), ', '.join(source.insertable()),
                                             ', '.join(source.row(rng, low + i) for i in range(rng.choice([1, 5])))))


def drop_leaf(sc, source):
    """Only where the rows that would have come there find the default partition."""
    rng = sc.rng
    found = [p for p in source.leaves() if p.bound != 'DEFAULT' and p.parent == source.name and 'MODULUS' not in p.bound]
    if not found:
        return
    part = rng.choice(found)
    sc.first.run('DROP TABLE %s' % part.name)
    source.parts = [p for p in source.parts if p is not part]


def truncate_leaf(sc, source):
    sc.first.run('TRUNCATE %s' % sc.rng.choice(source.leaves()).name)


# --- inheritance ---------------------------------------------------------------------------------------------------

def disinherit(sc, source):
    """A child leaves its parent, is changed, and comes back."""
    rng, s = sc.rng, sc.first
    child = source.children[0]
    s.run('ALTER TABLE %s NO INHERIT %s' % (child, source.name))
    sc.check('after NO INHERIT')
    s.run('UPDATE %s SET %s WHERE %s' % (child, writes.assignments(rng, source), writes.rows_where(rng, sc, source)))
    writes.insert_into(sc, s, child, source, 2)
    sc.check('without its child')
    s.run('ALTER TABLE %s INHERIT %s' % (child, source.name))


def new_child(sc, source):
    if len(source.children) < 4:
        child = '%s_child%d' % (source.stem, writes.take_ids(sc, 1)[0])
        sc.first.run('CREATE TABLE %s () INHERITS (%s)' % (child, source.name))
        source.children = source.children + [child]
        sc.check('after a new child')
        writes.insert_into(sc, sc.first, child, source, 3)


# --- stream tables -------------------------------------------------------------------------------------------------

def of_table(sc):
    """Indexes come and go while changes are pending; CLUSTER loses the hidden state."""
    rng, s = sc.rng, sc.first
    if not sc.tables:
        return
    table = rng.choice(sc.tables)
    sc.touched = {table}
    roll = rng.random()
    if roll < 0.5:
        reads.make_indexes(rng, s, table, 0.4, 'CONCURRENTLY ' if sc.transaction is None and rng.random() < 0.3 else '')
    elif table.indexes and roll < 0.65:
        name = rng.choice(table.indexes)
        s.run('DROP INDEX %s.%s' % (sc.schema, name))
        table.indexes = [n for n in table.indexes if n != name]
    elif roll < 0.8:
        found = s.run("SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON "
                      "a.oid = c.relam WHERE indrelid = '%s'::regclass AND amname = 'btree' AND indpred IS NULL AND relname LIKE "
                      "'x%%'" % table.name)
        if found:
            s.run('CLUSTER %s USING %s' % (table.name, rng.choice(found)[0].split('.')[-1]))
    elif roll < 0.9:
        s.run('ALTER TABLE %s SET (fillfactor = %d)' % (table.name, rng.choice([50, 100])))
    else:
        s.run('ANALYZE %s' % table.name)
    if sc.transaction is not None:
        sc.transaction.exclusive = True
