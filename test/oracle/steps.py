"""The random steps of a scenario: writes, folds, transactions, savepoints, a second session.

Promises: a check after every step, in whatever transaction state it leaves. Refuses: steps that would wait for the
other session, which the driver, being one thread, could never let go on.
"""

import checks
import cursors
import ddl
import writes
from session import Failure, Serialization
from writes import insert  # noqa: F401 (scenario uses it)

SETTINGS = [
    'enable_seqscan = off', 'enable_seqscan = on', 'enable_indexscan = off', 'enable_indexscan = on',
    'enable_bitmapscan = off', 'enable_bitmapscan = on', 'enable_indexonlyscan = off', 'enable_indexonlyscan = on',
    'enable_hashagg = off', 'enable_hashagg = on', 'enable_hashjoin = off', 'enable_hashjoin = on',
    'enable_mergejoin = off', 'enable_nestloop = off', 'enable_nestloop = on', 'enable_sort = off', 'enable_sort = on',
    "work_mem = '64kB'", "work_mem = '4MB'", 'plan_cache_mode = force_generic_plan', 'plan_cache_mode = auto',
    'pgstream.keyed_evaluation = always', 'pgstream.keyed_evaluation = always', 'pgstream.keyed_evaluation = auto',
    'pgstream.keyed_evaluation = never', 'PARALLEL', 'PARALLEL', 'SERIAL', 'RESET', 'jit = off', "timezone = 'Asia/Tokyo'", "datestyle = 'German'",
    "intervalstyle = 'iso_8601'", "bytea_output = 'escape'", 'extra_float_digits = 0', 'plan_cache_mode = force_custom_plan',
    'enable_material = off', 'enable_memoize = off', 'enable_incremental_sort = off', 'enable_gathermerge = off',
    'enable_parallel_append = off', 'enable_parallel_hash = off', 'enable_tidscan = off', 'enable_partitionwise_join = on',
    'enable_partitionwise_aggregate = on', 'parallel_leader_participation = off', 'from_collapse_limit = 1',
    'join_collapse_limit = 1', 'geqo_threshold = 2', 'cursor_tuple_fraction = 1', 'random_page_cost = 0.01',
    'random_page_cost = 1000', 'hash_mem_multiplier = 1', 'synchronous_commit = off', "timezone = 'America/New_York'",
    "search_path = 'pg_temp, public'", "xmlbinary = 'hex'",
]
DISPLAY = ('timezone', 'datestyle', 'intervalstyle', 'bytea_output', 'extra_float_digits', 'xmlbinary')
JIT = ['jit = on', 'jit_above_cost = 0', 'jit_inline_above_cost = 0', 'jit_optimize_above_cost = -1']


class Transaction:
    """An open transaction of the first session: what a rollback must restore."""

    def __init__(self, sc, isolation):
        self.isolation = isolation
        self.saved = [('', sc.state())]  # (savepoint, the model at that moment)
        self.folded = False
        self.exclusive = False  # holds a lock that stops the second session


def step(sc):
    rng = sc.rng
    inside = sc.transaction
    second_open = not sc.alone()
    options = [(write, 30), (refresh, 10), (setting, 4)]
    if inside is None:
        options += [(begin, 14), (vacuum, 3), (strategy, 4), (two_phase, 4)]
        if not second_open:
            options += [(drop, 1)]
    else:
        options += [(end_transaction, 8), (savepoint, 8), (failing, 3), (cursors.declare, 4)]
        if len(inside.saved) > 1:
            options += [(rollback_to, 10), (release, 3)]
    if not second_open and len(sc.tables) < 8:
        options += [(create, 3)]
    if not second_open and not any(c.depth for c in sc.cursors):
        options += [(ddl.of_source, 4), (ddl.of_table, 2)]
    if sc.cursors:
        options += [(cursors.fetch, 8)]
    if inside is None or not inside.exclusive:
        options += [(second, 14)]
    chosen = rng.choices([o[0] for o in options], [o[1] for o in options])[0]
    sc.touched = None
    try:
        chosen(sc)
        sc.check('after step ' + chosen.__name__)
    except Serialization:
        # Seeds that run side by side share the catalogs' pages.
        if sc.transaction is None or sc.transaction.isolation != 'SERIALIZABLE':
            raise
        undo_all(sc)


def write(sc):
    second_open = sc.second is not None and sc.second.in_transaction()
    kind = writes.write(sc, may_truncate=not second_open and not any(c.depth for c in sc.cursors))
    if sc.transaction is not None and kind is writes.truncate:
        sc.transaction.exclusive = True


def setting(sc):
    rng = sc.rng
    sc.touched = set()
    if rng.random() < 0.5:
        sc.first.forget_plans()
    for _ in range(rng.choice([1, 1, 2, 3])):
        one_setting(sc, rng.choice(SETTINGS))
    if rng.random() < 0.02:  # seconds, where compiled code is made for every comparison
        for one in JIT:
            sc.first.run('SET ' + one)


def one_setting(sc, s):
    rng = sc.rng
    if sc.standby is not None and 'synchronous_commit' in s:
        return  # the standby would wait for the log's being flushed
    if sc.cursors and s.startswith(DISPLAY):
        return  # a cursor makes its texts when it is fetched
    if s == 'PARALLEL':
        # the setting's name before and since 16
        name = 'debug_parallel_query' if sc.first.connection.server_version >= 160000 else 'force_parallel_mode'
        sc.first.run('; '.join('SET ' + one for one in (
            'parallel_setup_cost = 0', 'parallel_tuple_cost = 0', 'min_parallel_table_scan_size = 0',
            'min_parallel_index_scan_size = 0', '%s = %s' % (name, rng.choice(['on', 'off', 'regress'])))))
    elif s == 'SERIAL':
        sc.first.run('SET max_parallel_workers_per_gather = 0')
    elif s == 'RESET':
        sc.first.run('; '.join('RESET ' + one for one in (
            'enable_seqscan', 'enable_nestloop', 'enable_hashjoin', 'enable_mergejoin', 'parallel_setup_cost',
            'max_parallel_workers_per_gather', 'enable_indexscan', 'enable_bitmapscan', 'random_page_cost', 'jit')))
    else:
        sc.first.run('SET ' + s)


# --- folds ---------------------------------------------------------------------------------------------------------

def refresh(sc):
    if not sc.tables:
        return
    chosen = sc.rng.sample(sc.tables, sc.rng.choice([1, 1, len(sc.tables)]))
    for table in chosen:
        if not refresh_one(sc, table):
            return
    sc.touched = set(chosen)


def refresh_one(sc, table):
    """Folds one table; under an older snapshot the server may answer 40001. False: the transaction is gone."""
    t = sc.transaction
    allow = ('40001',) if t is not None and t.isolation != 'READ COMMITTED' else ()
    changed = any(s.changed for s in table.query.sources)
    if changed and not sc.alone():
        allow += ('55P03',)  # capture is put in order, for which the other's writes must have ended
    error = sc.first.run("SELECT pgstream.refresh_stream_table('%s')" % table.name, allow=allow)
    if isinstance(error, Exception):
        if t is not None:
            undo_all(sc)
        return False
    if t is not None:
        t.folded = True
        t.exclusive |= changed
    return True


# --- transactions --------------------------------------------------------------------------------------------------

def begin(sc):
    isolation = sc.rng.choice(['READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'])
    sc.first.run('BEGIN ISOLATION LEVEL %s' % isolation)
    sc.transaction = Transaction(sc, isolation)
    if sc.rng.random() < 0.7:
        write(sc)


def end_transaction(sc):
    if sc.rng.random() < 0.35:
        undo_all(sc)
    else:
        sc.first.run('COMMIT')
        sc.transaction = None
        cursors.ended(sc, committed=True)


def undo_all(sc):
    sc.first.run('ROLLBACK')
    sc.restore(sc.transaction.saved[0][1])
    sc.transaction = None
    cursors.ended(sc, committed=False)


def savepoint(sc):
    name = 'p%d' % len(sc.transaction.saved)
    sc.first.run('SAVEPOINT %s' % name)
    sc.transaction.saved.append((name, sc.state()))


def rollback_to(sc):
    saved = sc.transaction.saved
    i = sc.rng.randrange(1, len(saved))
    sc.first.run('ROLLBACK TO %s' % saved[i][0])
    sc.restore(saved[i][1])
    del saved[i + 1:]
    cursors.rolled_back(sc, i)


def release(sc):
    saved = sc.transaction.saved
    i = sc.rng.randrange(1, len(saved))
    sc.first.run('RELEASE %s' % saved[i][0])
    del saved[i:]
    cursors.released(sc, i)


def failing(sc):
    """A statement that fails after it changed rows, undone to a savepoint."""
    savepoint(sc)
    name, state = sc.transaction.saved[-1]
    source = sc.rng.choice(sc.sources)
    if sc.rng.random() < 0.5:
        writes.write(sc, may_truncate=False)
    sc.first.run('UPDATE %s SET id = id WHERE id / (id %% 2) > 0' % source.name, allow=('22012',))
    sc.first.run('ROLLBACK TO %s' % name)
    sc.restore(state)
    sc.touched = None


def finish_transactions(sc):
    if sc.transaction is not None:
        end_transaction(sc)
    if sc.second is not None:
        if sc.second.in_transaction():
            sc.second.run(sc.rng.choice(['COMMIT', 'ROLLBACK']))
        sc.check('after the second session ended')


def two_phase(sc):
    """Writes and folds in a prepared transaction, which others must not see before it commits."""
    rng = sc.rng
    if not sc.two_phase:
        return
    s = sc.first
    s.run('BEGIN')
    folded = set()
    for _ in range(rng.choice([1, 2])):
        sources = [x for x in sc.sources if not x.foreign]
        insert(sc, s, rng.choice(sources), rng.choice([1, 5]))
    # Capture that has to be put in order waits for every writer, a prepared one as well.
    tables = [t for t in sc.tables if not any(x.changed for x in t.query.sources)]
    if rng.random() < 0.3 and tables:
        table = rng.choice(tables)
        s.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
        folded.add(table)
        if rng.random() < 0.5:
            insert(sc, s, rng.choice(sources), 1)
    sc.check('before PREPARE TRANSACTION')
    gid = '%s_%d_%d' % (sc.options.database, sc.seed, sc.next_id)
    s.run("PREPARE TRANSACTION '%s'" % gid)
    sc.prepared_gid = gid
    sc.check('after PREPARE TRANSACTION')
    insert(sc, s, rng.choice(sources), 1)
    for table in tables:
        if table not in folded and rng.random() < 0.5:
            s.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
    sc.check('beside a prepared transaction')
    s.run("%s PREPARED '%s'" % (rng.choice(['COMMIT', 'COMMIT', 'ROLLBACK']), gid))
    sc.prepared_gid = None


# --- stream tables -------------------------------------------------------------------------------------------------

def create(sc):
    sc.create_table()
    if sc.transaction is not None:
        sc.transaction.exclusive = True


def drop(sc):
    if sc.tables:
        table = sc.rng.choice([t for t in sc.tables if all(x.parent is not t for x in sc.tables)])
        sc.first.run('DROP TABLE %s' % table.name)
        sc.first.run("DELETE FROM %s.watched WHERE st = '%s'" % (sc.schema, table.name))
        sc.tables.remove(table)


def vacuum(sc):
    rng = sc.rng
    if sc.second is not None and sc.second.in_transaction() and rng.random() < 0.5:
        return
    thing = rng.choice(sc.tables + sc.sources)
    name = thing.name
    sc.touched = {thing}
    alone = sc.second is None or not sc.second.in_transaction()
    if alone and rng.random() < 0.35:
        # What rewrites: hidden state is lost with it, a source keeps its content.
        sc.first.run(rng.choice(['VACUUM (FULL) %s', 'REINDEX TABLE %s', 'VACUUM (FULL, ANALYZE) %s']) % name)
    else:
        sc.first.run('VACUUM%s %s' % (rng.choice(['', ' (ANALYZE)', ' (FREEZE)']), name))


def strategy(sc):
    """A small change must be answered by the strategy promised, not by a silent recompute."""
    rng = sc.rng
    if not sc.tables or (sc.second is not None and sc.second.in_transaction()):
        return
    table = rng.choice(sc.tables)
    sources = [s for s in table.query.sources if not s.foreign]
    if not sources:
        return
    sc.first.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
    source = rng.choice(sources)
    insert(sc, sc.first, source, rng.choice([1, 3]))
    if rng.random() < 0.5:
        sc.first.run('DELETE FROM %s WHERE id = (SELECT max(id) FROM %s)' % (source.name, source.name))
    checks.strategy_used(sc.first, table)


# --- the second session --------------------------------------------------------------------------------------------

def second(sc):
    """The other session: reads under an old snapshot, or writes rows of its own and stays open across folds."""
    rng = sc.rng
    if sc.second is None:
        sc.second = sc.session('s2')
    s = sc.second
    if s.in_transaction():
        roll = rng.random()
        if roll < 0.4:
            if sc.second_writes:
                writes.insert_second(sc, rng.choice(sc.second_sources()))
        elif roll < 0.7:
            s.run(rng.choice(['COMMIT', 'COMMIT', 'ROLLBACK']))
        elif not sc.second_writes:
            for table in sc.committed():
                content(sc, table)
        return
    roll = rng.random()
    if roll < 0.25:
        s.run('BEGIN ISOLATION LEVEL REPEATABLE READ')
        sc.second_writes = False
        sc.contents = {}
        for table in sc.committed():
            content(sc, table)
    elif roll < 0.65:
        s.run('BEGIN ISOLATION LEVEL %s' % rng.choice(['READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ']))
        sc.second_writes = True
        writes.insert_second(sc, rng.choice(sc.second_sources()))
    elif roll < 0.85:
        writes.insert_second(sc, rng.choice(sc.second_sources()))
    elif sc.committed() and (sc.transaction is None or not sc.transaction.folded):
        s.run("SELECT pgstream.refresh_stream_table('%s')" % rng.choice(sc.committed()).name, allow=('55P03',) if sc.transaction else ())


def content(sc, table):
    """Under a kept snapshot a stream table never changes, whatever is folded and reclaimed."""
    digest = sc.second.value("SELECT md5(string_agg(x::text, '|' ORDER BY x::text COLLATE \"C\")) FROM %s x" % table.name)
    before = sc.contents.setdefault(table.name, digest)
    if before != digest:
        raise Failure('%s changed under one REPEATABLE READ snapshot\n  query: %s' % (table.name, table.query.sql))
