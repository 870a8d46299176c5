"""The concurrent form of the oracle: rounds of some seconds in which many sessions work at once.

Writers run transactions of several statements, folders fold, readers of every isolation level compare stream tables with
their queries, others create and drop stream tables, change sources and indexes; now and then a session is cancelled or
terminated. Then all is quiet, and nothing may be left: every stream table equals its query before and after a fold,
nothing is pending, the logs are empty, no lock and no prepared transaction stays.

Promises: each comparison is one statement, so one snapshot. Each worker's decisions come from the round's seed; how they
meet does not. Refuses: to call these failures, for they are what any table gives:
  40001 under REPEATABLE READ and SERIALIZABLE, where a snapshot came too late;
  40P01 between a session that does DDL or creates or drops a stream table, which need strong locks on several tables, and
        one whose transaction holds locks on them. Between writers, readers and folders a deadlock is a failure: writers
        change rows of their own, so that the only locks left to collide are ours;
  55P03 of a session that does DDL, which gives up after two seconds, and of one that waits for a prepared transaction whose
  session was cancelled or terminated before it could end it;
  a difference while a partition is attached: the planner lists the partitions of a query, then waits for the default one,
        which ATTACH has locked, and goes on with the old list, while the snapshot that comes after already sees the rows (any
        query loses them so; tried without a stream table). The comparison is made again;
  57014 and 57P01 where statements are cancelled and sessions terminated, 42P01 of a stream table just dropped, 42804 of a
  partition to be attached that lacks a column which a cancelled session left behind.
"""

import collections
import multiprocessing
import os
import random
import re
import time

import psycopg2

import checks
import ddl
import queries
import reads
import values
import writes
from scenario import SETTINGS, StreamTable
from session import Connections, Failure, History, Session, jit_settings, lookup_settings
from sources import Source

WRITERS, FOLDERS, READERS = 4, 2, 3
PREFIX = 'concurrent'


class Ended(Exception):
    """The statement failed as it may; its transaction is over."""


class Client(Session):
    """A session whose errors are judged."""

    def __init__(self, worker):
        super().__init__(worker.role, Connections(worker.dsn, 1), worker.history)
        self.worker = worker

    def run(self, sql, allow=()):
        self.history.add('%.3f %s;' % (time.time() % 1000, sql))
        try:
            self.cursor.execute(sql)
            del self.connection.notices[:]
            return self.cursor.fetchall() if self.cursor.description is not None else None
        except psycopg2.Error as error:
            self.history.add('-- %s %s' % (error.pgcode, str(error).strip()[:300]))
            if error.pgcode is not None and error.pgcode in allow:
                return error
            self.worker.judge(error, sql)

    def copy_in(self, target, rows, options=''):
        try:
            super().copy_in(target, rows, options)
        except Failure as failure:
            self.worker.judge(failure.__cause__ or failure.__context__, 'COPY ' + target)


class Worker:
    """What every role shares. It looks like a scenario to the functions of writes and ddl."""

    def __init__(self, role, number, shared):
        self.role = '%s%d' % (role, number)
        self.kind, self.number = role, number
        self.shared = shared
        self.dsn, self.seed, self.schema, self.sources, self.tables = (
            shared.dsn, shared.seed, shared.schema, shared.sources, list(shared.tables))
        self.rng = random.Random('%d %s' % (shared.seed, self.role))
        self.history = History(False)
        self.isolation, self.locked = None, False
        self.counts = collections.Counter()
        self.first = None
        # what writes and ddl look at
        self.transaction, self.cursors, self.touched = None, [], None
        self.next_id = 10000000 + 100000 * number

    def check(self, when):
        """Nothing between the steps of DDL: the readers look all the time."""

    def connect(self):
        self.first = Client(self)
        self.shared.pids[self.number_of_all] = self.first.connection.info.backend_pid
        self.first.run(SETTINGS)
        # Sessions of several levels replace each other's code; with on, workers make it beside all this.
        self.first.run(jit_settings('%d %d' % (self.shared.seed, self.number_of_all), self.shared.options.jit,
                                    ('off', 'on', 'force 0', 'force 2')))
        self.first.run(lookup_settings('%d %d' % (self.shared.seed, self.number_of_all)))
        if self.kind in ('ddl', 'creator'):
            self.first.run("SET lock_timeout = '2s'")
        else:
            self.first.run("SET pgstream.attach_timeout = '10s'")  # an overloaded machine's writers take their time
        if self.rng.random() < 0.5:
            self.first.run('SET default_transaction_deferrable = %s' % self.rng.choice(['on', 'off']))

    def judge(self, error, sql):
        """Raises Ended for an error that may come, Failure for another."""
        code, text = error.pgcode, str(error).strip()
        may = False
        if code in ('57014', '57P01') or (code is None and self.first.connection.closed):
            may = self.shared.cancels  # a crash would take the main session with it
        elif code == '40001':
            may = self.isolation in ('REPEATABLE READ', 'SERIALIZABLE')
        elif code == '40P01':
            pids = [int(p) for p in re.findall(r'[Pp]rocess (\d+)', text)]
            roles = {r for r, p in zip(self.shared.roles, self.shared.pids) if p in pids}
            may = bool(roles & {'ddl', 'creator'})
        elif code == '55P03':
            may = self.kind in ('ddl', 'creator') or self.first.prepared_are_left()
        elif code in ('42P01', '42804'):
            may = bool(re.search(r'\bextra\w*', text))
        self.counts[code or 'connection'] += 1
        if not may:
            raise Failure('%s (%s): %s: %s\nin: %.800s' % (self.role, self.isolation or 'READ COMMITTED', code, text, sql))
        raise Ended(code)

    def begin(self, levels, locked=False):
        """locked: what is not MVCC-safe waits for this transaction, whose locks come before its snapshot."""
        self.isolation = self.rng.choice(levels)
        self.first.run('BEGIN ISOLATION LEVEL %s' % self.isolation)
        self.locked = locked and (self.isolation != 'READ COMMITTED' or self.rng.random() < 0.3)
        if self.locked:
            self.first.run('LOCK TABLE %s IN ACCESS SHARE MODE' % ', '.join(x.name for x in self.sources))

    def compare(self, table, when):
        """By a prepared statement only where no source can be rewritten between its snapshot and its locks."""
        anew = self.rng.random() < 0.3 or (self.shared.unsafe and not self.locked)
        for _ in range(5):
            began = time.time()
            try:
                return checks.compare(self.first, table, '%s of %s' % (when, self.role), anew=anew)
            except Failure:
                if not self.shared.attached_since(began):
                    raise
                self.counts['beside ATTACH'] += 1
                anew = True
        checks.compare(self.first, table, '%s of %s' % (when, self.role), anew=True)

    def work(self):
        """Runs until the round's end; returns what went wrong, or None."""
        while time.time() < self.shared.deadline:
            try:
                if self.first is None or self.first.connection.closed:
                    self.connect()
                self.counts['turns'] += 1
                self.turn()
            except Ended:
                pass
            except psycopg2.OperationalError as error:  # while connecting
                if not self.shared.cancels:
                    return '%s cannot connect: %s' % (self.role, error)
            except Failure as failure:
                return str(failure)
            finally:
                self.isolation, self.transaction, self.locked = None, None, False
                # A cancellation can meet the ROLLBACK as well.
                while self.first is not None and not self.first.connection.closed and self.first.in_transaction():
                    try:
                        self.first.cursor.execute('ROLLBACK')
                    except psycopg2.Error:
                        pass
                if self.first is not None and self.first.connection.closed:
                    self.first = None
        return None


class Writer(Worker):
    """Transactions of several statements over rows of its own, and single rows that others want as well."""

    def rows_where(self, source):
        return '(%s) AND id %% %d = %d' % (writes.rows_where(self.rng, self, source), WRITERS, self.number)

    def new_rows(self, source, n):
        ids = [WRITERS * i + self.number for i in range(self.own, self.own + n)]
        self.own += n
        if source.foreign:
            names = ', '.join(source.insertable())
            return 'INSERT INTO %s (%s) SELECT * FROM (VALUES %s) v(%s) WHERE id IN (SELECT id FROM %s)' % (
                source.name, names, ', '.join(source.row(self.rng, i) for i in ids), names, source.foreign.name)
        return 'INSERT INTO %s (%s) VALUES %s' % (
            source.name, ', '.join(source.insertable()), ', '.join(source.row(self.rng, i) for i in ids))

    own = 1
    prepared = 0

    def statement(self, source):
        rng = self.rng
        roll = rng.random()
        if roll < 0.4:
            return self.new_rows(source, rng.choice([1, 1, 2, 10, 100]))
        if roll < 0.75:
            return 'UPDATE %s SET %s WHERE %s' % (source.name, writes.assignments(rng, source), self.rows_where(source))
        if roll < 0.92 or source.foreign or any(s.foreign is source for s in self.sources):
            return 'DELETE FROM %s WHERE %s' % (source.name, self.rows_where(source))
        return 'WITH gone AS (DELETE FROM %s WHERE %s RETURNING 1) %s' % (
            source.name, self.rows_where(source), self.new_rows(source, 2))

    def turn(self):
        rng, s = self.rng, self.first
        if rng.random() < 0.3:
            source = rng.choice(self.sources)
            s.run(rng.choice([self.statement(source), 'UPDATE %s SET %s WHERE id = %d' % (
                source.name, writes.assignments(rng, source, writes.own(source) or None), rng.randrange(1, 30))]))
            return
        self.begin(['READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'], locked=True)
        # Always in one order, so that no two transactions wait for each other's tables.
        for source in sorted(rng.choices(self.sources, k=rng.choice([1, 2, 4])), key=lambda x: x.name):
            s.run(self.statement(source))
            roll = rng.random()
            if roll < 0.2:
                s.run('SAVEPOINT a')
                s.run(self.statement(source))
                s.run(rng.choice(['ROLLBACK TO a', 'RELEASE a']))
            elif roll < 0.45:
                self.compare(rng.choice(self.tables), 'after own writes')
            elif roll < 0.5:
                time.sleep(rng.random() * 0.2)
        roll = rng.random()
        if roll < 0.05 and self.shared.two_phase:
            # A session that was terminated between the two statements leaves the name taken.
            self.prepared += 1
            gid = '%s_%d_%s_%d' % (PREFIX, self.seed, self.role, self.prepared)
            s.run("PREPARE TRANSACTION '%s'" % gid)
            time.sleep(rng.random() * 0.3)
            s.run("%s PREPARED '%s'" % (rng.choice(['COMMIT', 'ROLLBACK']), gid))
        else:
            s.run('COMMIT' if roll < 0.85 else 'ROLLBACK')


class Folder(Worker):
    def turn(self):
        rng, s = self.rng, self.first
        tables = sorted(rng.sample(self.tables, rng.choice([1, 1, 2])), key=lambda t: t.relid)
        if rng.random() < 0.7:
            for table in tables:
                s.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
        else:
            self.begin(['READ COMMITTED', 'REPEATABLE READ'], locked=True)
            for table in tables:
                s.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
                if rng.random() < 0.3:
                    self.compare(table, 'after a fold in the same transaction')
            s.run(rng.choice(['COMMIT', 'COMMIT', 'ROLLBACK']))
        time.sleep(rng.random() * 0.1)


class Reader(Worker):
    """Comparisons in every isolation level; under one snapshot a stream table never changes."""

    def turn(self):
        rng, s = self.rng, self.first
        if rng.random() < 0.25:
            self.compare(rng.choice(self.tables), 'in a transaction of its own')
            return
        if rng.random() < 0.1:
            s.run('SET ' + rng.choice(['enable_seqscan = off', 'enable_seqscan = on', "work_mem = '64kB'", "work_mem = '4MB'",
                                       'enable_hashagg = off', 'enable_hashagg = on', 'plan_cache_mode = auto',
                                       'plan_cache_mode = force_custom_plan']))
        self.begin(['READ COMMITTED', 'REPEATABLE READ', 'REPEATABLE READ', 'SERIALIZABLE'], locked=True)
        if rng.random() < 0.3:
            s.run('SET TRANSACTION READ ONLY')
        kept = self.isolation != 'READ COMMITTED'
        contents = {}
        for _ in range(rng.choice([1, 2, 4])):
            table = rng.choice(self.tables)
            roll = rng.random()
            if kept and rng.random() < 0.4:
                reads.look_up(rng, s, table, True)
            if roll < 0.6:
                self.compare(table, 'under ' + self.isolation)
            elif roll < 0.8 and kept:  # some shapes are several statements
                reads.read_otherwise(rng, s, table, False)
            if kept:
                digest = s.run("SELECT md5(string_agg(x::text, '|' ORDER BY x::text COLLATE \"C\")) FROM %s x" % table.name)
                if contents.setdefault(table.name, digest) != digest:
                    raise Failure('%s: %s changed under one %s snapshot' % (self.role, table.name, self.isolation))
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.3)
        s.run('COMMIT')


class Creator(Worker):
    """Stream tables that come and go beside the others."""

    count = 0

    def turn(self):
        rng, s = self.rng, self.first
        self.count += 1
        table = StreamTable(self.schema, 0, queries.random_query(rng, self.sources))
        table.bare = 'extra%d_%d' % (self.number, self.count)
        table.name = '%s.%s' % (self.schema, table.bare)
        if rng.random() < 0.4:
            self.begin(['READ COMMITTED', 'REPEATABLE READ'], locked=True)
        s.run('CREATE TABLE %s USING pgstream AS %s%s' % (table.name, table.query.sql, rng.choice(['', '', ' WITH NO DATA'])))
        try:
            self.compare(table, 'after its creation')
            if rng.random() < 0.5:
                s.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
                self.compare(table, 'after its first fold')
            if self.isolation is not None:
                s.run(rng.choice(['COMMIT', 'ROLLBACK']))
                self.isolation, self.locked = None, False
            time.sleep(rng.random() * 0.3)
            if s.run("SELECT to_regclass('%s') IS NOT NULL" % table.name)[0][0]:
                self.compare(table, 'later')
        finally:
            if not s.connection.closed and self.isolation is None:
                for _ in range(20):
                    try:
                        s.run('DROP TABLE IF EXISTS ' + table.name)
                        break
                    except Ended:
                        if s.connection.closed:
                            break


class Changer(Worker):
    """DDL of sources and stream tables, vacuum."""

    def turn(self):
        rng, s = self.rng, self.first
        source, table = rng.choice(self.sources), rng.choice(self.tables)
        roll = rng.random()
        if roll < 0.25:
            s.run(rng.choice(['VACUUM %s', 'VACUUM (ANALYZE) %s', 'ANALYZE %s']) % rng.choice([source, table]).name)
        elif roll < 0.35:
            s.run(rng.choice(['VACUUM (FULL) %s', 'REINDEX TABLE %s']) % table.name)
        elif roll < 0.5:
            index = 'i_%d' % rng.randrange(1000000)
            concurrently = rng.choice(['', 'CONCURRENTLY '])
            o = [o for o in table.query.outputs if o.index and o.order]
            if o:
                s.run('CREATE INDEX %s%s ON %s (%s)' % (concurrently, index, table.name, rng.choice(o).name))
                time.sleep(rng.random() * 0.2)
                s.run('DROP INDEX %s%s.%s' % (concurrently, self.schema, index))
        elif roll < 0.65:
            name = 'extra_column%d' % rng.randrange(1000000)
            s.run('ALTER TABLE %s ADD COLUMN %s integer%s' % (
                source.name, name, rng.choice(['', ' DEFAULT 1'] + [' DEFAULT random() * 9'] * self.shared.unsafe)))
            s.run('ALTER TABLE %s DROP COLUMN %s' % (source.name, name))
        elif roll < 0.7 and self.shared.unsafe and not source.foreign:
            s.run('TRUNCATE %s CASCADE' % source.name)
        elif source.shape == 'partitioned' and self.shared.unsafe:
            saved = dict(vars(source))
            try:
                self.begin(['READ COMMITTED'])
                self.transaction = self
                self.shared.attaching[0] = True
                rng.choice([ddl.detach_attach, ddl.new_leaf, ddl.drop_leaf, ddl.truncate_leaf])(self, source)
                s.run('COMMIT')
            except Ended:
                vars(source).clear()
                vars(source).update(saved)
                raise
            finally:
                self.shared.attaching[:] = [False, time.time()]
        time.sleep(rng.random() * 0.5)

    exclusive = False


class Canceller(Worker):
    """Cancels and terminates the others, never while nothing may be cancelled."""

    def turn(self):
        time.sleep(self.rng.random() * 0.5)
        if not self.shared.cancels:
            return
        me = self.first.connection.info.backend_pid
        victims = [p for p in self.shared.pids if p and p != me]
        if victims:
            self.first.run('SELECT %s(%d)' % (self.rng.choice(['pg_cancel_backend'] * 4 + ['pg_terminate_backend']),
                                              self.rng.choice(victims)))


ROLES = [('writer', Writer)] * WRITERS + [('folder', Folder)] * FOLDERS + [('reader', Reader)] * READERS + [
    ('creator', Creator), ('ddl', Changer), ('canceller', Canceller)]


class Shared:
    """What the round's processes know of it."""

    def __init__(self, options, dsn, seed, seconds):
        self.options, self.dsn, self.seed = options, dsn, seed
        self.schema = '%s_%d' % (PREFIX, seed)
        self.seconds = seconds
        self.deadline = 0
        rng = random.Random(seed)
        self.rng = rng
        self.cancels = rng.random() < 0.4
        self.unsafe = rng.random() < 0.4  # TRUNCATE, rewriting ALTER TABLE, partitions that go: no table is MVCC-safe there
        self.pids = multiprocessing.Array('i', len(ROLES), lock=False)
        self.attaching = multiprocessing.Array('d', 2, lock=False)  # whether a partition is being attached; when that last ended
        self.roles = [r[0] for r in ROLES]
        self.tables = []
        self.two_phase = False

    def attached_since(self, began):
        """Whether a partition may have been attached since then."""
        return bool(self.attaching[0]) or self.attaching[1] >= began


def prepare(shared, session):
    """Sources, stream tables and some rows, as the seed says."""
    rng = shared.rng
    session.run('CREATE SCHEMA ' + shared.schema)
    shared.sources = []
    for number in range(1, rng.choice([2, 3]) + 1):
        source = Source(rng, shared.schema, number)
        while source.shape == 'unlogged':
            source = Source(rng, shared.schema, number)
        source.triggers = source.watched = source.renames = False
        for statement in source.ddl(rng):
            session.run(statement)
        shared.sources.append(source)
    a, b = shared.sources[:2]
    if a.key and a.shape == 'plain' and rng.random() < 0.4:
        session.run('ALTER TABLE %s ADD FOREIGN KEY (id) REFERENCES %s ON DELETE CASCADE' % (b.name, a.name))
        b.foreign = a
    for source in shared.sources:
        if not source.foreign:
            session.run('INSERT INTO %s (%s) VALUES %s' % (source.name, ', '.join(source.insertable()), ', '.join(
                source.row(rng, -i) for i in range(1, rng.choice([5, 50, 500])))))
    for number in range(1, rng.choice([3, 5, 7]) + 1):
        table = StreamTable(shared.schema, number, queries.random_query(rng, shared.sources))
        session.run('CREATE TABLE %s USING pgstream AS %s' % (table.name, table.query.sql))
        table.relid = session.value("SELECT '%s'::regclass::oid" % table.name)
        table.types = dict(session.run("SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
                                       "WHERE attrelid = %d AND attnum > 0 AND NOT attisdropped" % table.relid))
        checks.strategy_told(session, table)
        reads.make_indexes(rng, session, table, 0.2)
        shared.tables.append(table)
    shared.two_phase = int(session.value('SHOW max_prepared_transactions')) > WRITERS


def process(number, shared, results):
    role, cls = ROLES[number]
    worker = cls(role, number, shared)
    worker.number_of_all = number
    why = worker.work()
    if why is not None:
        path = os.path.join(shared.options.results, '%s-%d-%s.log' % (PREFIX, shared.seed, worker.role))
        with open(path, 'w') as out:
            out.write('%s\n\n%s\n' % (why, '\n'.join(worker.history.lines[-4000:])))
    results.put((worker.role, why, worker.counts))


def quiet(shared, session):
    """Nothing is left when all have gone."""
    for _ in range(200):
        others = session.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'oracle %%' AND pid <> "
                               "pg_backend_pid() AND datname = current_database() AND application_name <> 'oracle %s'" % session.name)
        if others == 0:
            break
        time.sleep(0.05)
    else:
        raise Failure('%d sessions are still there' % others)
    # A session that was terminated between the two phases left its transaction.
    for gid, in session.run("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE '%s\\_%%'" % PREFIX):
        session.run("ROLLBACK PREPARED '%s'" % gid)
    # What committed serializable transactions have read goes when a later one ends.
    session.run('BEGIN ISOLATION LEVEL SERIALIZABLE')
    session.run('SELECT 1')
    session.run('COMMIT')
    # A session that only looked may still be ending.
    deadline = time.time() + 10
    while True:
        left = session.run("SELECT locktype, mode, coalesce(relation::regclass::text, objid::text), pid FROM pg_locks WHERE pid IS "
                           "DISTINCT FROM pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = "
                           "current_database()) AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = pg_locks.pid AND "
                           "backend_type <> 'client backend')")
        if not left:
            break
        if time.time() > deadline:
            raise Failure('locks are left: %r' % left[:5])
        time.sleep(0.05)
    for name, in session.run("SELECT oid::regclass::text FROM pg_class WHERE relnamespace = '%s'::regnamespace AND relname LIKE "
                             "'extra%%' AND relkind = 'r'" % shared.schema):
        session.run('DROP TABLE ' + name)  # its creator was cancelled
    for table in shared.tables:
        checks.compare(session, table, 'when all is quiet', anew=True)
    for source in shared.sources:
        # A query that is run on every read has no use for a log.
        if not session.value("SELECT count(*) FROM pgstream.pgs_dependency WHERE source_relid = '%s'::regclass" % source.name):
            checks.remove_capture(session, source)
    for _ in range(3):
        for table in shared.tables:
            session.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
    for table in shared.tables:
        checks.compare(session, table, 'after the last fold', anew=True)
        text = checks.plan_text(session, table)
        if table.strategy != queries.ALWAYS and 'Pending Changes: 0' not in text:
            raise Failure('%s has pending changes after a fold\n%s' % (table.name, text))
    # An ANALYZE of autovacuum's may still have a snapshot that sees what the logs hold.
    deadline = time.time() + 60
    while True:
        sizes = session.run("SELECT s::regclass, pg_relation_size(s) FROM pgstream.pgs_log, unnest(segments) s WHERE source_relid IN "
                            "(SELECT oid FROM pg_class WHERE relnamespace = '%s'::regnamespace) AND pg_relation_size(s) > 0" %
                            shared.schema)
        if not sizes or time.time() > deadline:
            break
        time.sleep(0.5)
        for table in shared.tables:
            session.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
    if sizes:
        raise Failure('logs are not given back: %r' % sizes)
    relids = [t.relid for t in shared.tables]
    for table in shared.tables[::-1]:
        session.run('DROP TABLE ' + table.name)
    for source in shared.sources:
        checks.remove_capture(session, source)
    checks.nothing_left(session, shared.schema, [x.name for x in shared.sources], relids)
    session.run('DROP SCHEMA %s CASCADE' % shared.schema)


def one_round(options, dsn, seed, seconds):
    """Returns (why it failed or None, counts of what happened)."""
    shared = Shared(options, dsn, seed, seconds)
    totals = collections.Counter()
    history = History(False)
    failures = []
    try:
        session = Session('main', Connections(dsn, 1), history)
        session.run(SETTINGS)
        prepare(shared, session)
        shared.deadline = time.time() + seconds
        results = multiprocessing.Queue()
        workers = [multiprocessing.Process(target=process, args=(i, shared, results)) for i in range(len(ROLES))]
        for w in workers:
            w.start()
        for _ in workers:
            role, why, counts = results.get(timeout=seconds + 180)
            for k, n in counts.items():
                totals[re.sub(r'\d', '', role) + ' turns' if k == 'turns' else k] += n
            if why is not None:
                failures.append(why)
        for w in workers:
            w.join()
        if not failures:
            quiet(shared, session)
    except (Failure, psycopg2.Error) as failure:
        failures.append(str(failure))
    except Exception as error:  # queue.Empty: a worker hangs
        failures.append('%s: %r (workers alive: %s)' % (type(error).__name__, error, ', '.join(
            '%s %d' % (ROLES[i][0], shared.pids[i]) for i, w in enumerate(workers) if w.is_alive())))
        for w in workers:
            w.terminate()
    if failures:
        path = os.path.join(options.results, '%s-%d.sql' % (PREFIX, seed))
        with open(path, 'w') as out:
            out.write('-- %s\n%s\n' % ('\n-- '.join('\n'.join(failures).split('\n')), '\n'.join(history.lines)))
    try:
        session.connection.close()
    except Exception:
        pass
    return '\n'.join(failures) or None, totals


def run(options, dsn):
    """Rounds until the time is over; returns the numbers of rounds that passed and failed."""
    deadline = time.time() + options.seconds
    seed = options.seed if options.seed is not None else int(time.time() * 10) % 100000000
    passed, failed = 0, []
    totals = collections.Counter()
    while time.time() < deadline:
        seconds = min(options.round, max(5, deadline - time.time()))
        why, counts = one_round(options, dsn, seed, seconds)
        totals.update(counts)
        if why is None:
            passed += 1
        else:
            failed.append(seed)
            print('round %d failed: %s' % (seed, why), flush=True)
            if options.stop_on_failure:
                break
        seed += 1
    print('concurrent: ' + ', '.join('%s %d' % (k, totals[k]) for k in sorted(totals)))
    if failed:
        print('failing rounds (again with --concurrent --seed N): %s' % ' '.join(str(s) for s in failed))
    return passed, len(failed)
