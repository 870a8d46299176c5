"""Sessions that remember every statement, so that a failing seed can be told and replayed.

Promises: a history in order of execution, as SQL that psql takes (a second session's statements as comments, for psql
has one). Refuses: to retry anything.
"""

import io
import random

import psycopg2


class Failure(Exception):
    """The oracle found something: a wrong answer, an unexpected error, something left behind."""


class Unsuitable(Exception):
    """The seed wrote what its own tables refuse, or waits for a lock that its other session holds: it says nothing about
    stream tables and is not counted."""


# Errors of the sources' own constraints: foreign keys, checks and partition bounds, unique indexes; partitions that overlap;
# COPY FREEZE of a table that the transaction did not make; values too long for an index.
OF_SOURCES = ('23503', '23514', '23505', '42P17', '25000', '54000')


class Serialization(Failure):
    """A serialization failure: under SERIALIZABLE the server may always ask for another attempt."""


def jit_settings(seed, choice, drawn=('off', 'on', 'force 0', 'force 2')):
    """How expressions are evaluated; drawn apart from what else is, so that a seed's statements stay the same."""
    modes = {'off': ('off',), 'force': ('force 0', 'force 2'), 'draw': drawn}[choice]
    mode, _, level = random.Random('jit %s' % seed).choice(modes).partition(' ')
    return 'SET pgstream.jit = %s' % mode + ('; SET pgstream.jit_optimization = ' + level if level else '')


def lookup_settings(seed):
    """Whether a lookup by key resolves its group alone; always, mostly: there are few groups. Drawn apart, too."""
    return 'SET pgstream.lookup_by_key = %s' % random.Random('lookups %s' % seed).choice(['auto', 'always', 'always', 'always'])


class History:
    def __init__(self, verbose):
        self.lines = []
        self.verbose = verbose

    def add(self, line):
        self.lines.append(line)
        if self.verbose:
            print(line, flush=True)


class Connections:
    """The connections of one worker process, kept over several seeds: a new backend knows no catalog yet and costs as
    much as a seed, and one that has served other stream tables has caches that must not mislead it."""

    def __init__(self, dsn, seeds, standby_dsn=None):
        self.dsn, self.standby_dsn = dsn, standby_dsn
        self.limit = seeds
        self.kept = {}    # name -> connection
        self.served = []  # the seeds before this one

    def take(self, name):
        if name not in self.kept:
            dsn = self.standby_dsn if name == 'standby' else self.dsn
            self.kept[name] = connection = psycopg2.connect(dsn + " application_name='oracle %s'" % name)
            connection.autocommit = True
        return self.kept[name]

    def end_seed(self, seed, passed):
        """Leaves sessions as good as new for the next seed, or closes them."""
        self.served.append(seed)
        if passed and len(self.served) < self.limit:
            try:
                for connection in self.kept.values():
                    if connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
                        connection.cursor().execute('ROLLBACK')
                    connection.cursor().execute('DISCARD ALL')
                    del connection.notices[:]
                return
            except psycopg2.Error:
                pass
        for connection in self.kept.values():
            connection.close()
        self.kept, self.served = {}, []


class Session:
    def __init__(self, name, connections, history):
        self.name = name
        self.history = history
        self.connections = connections
        self.connection = connections.take(name)
        self.cursor = self.connection.cursor()
        self.prepared = {}  # name -> statement

    def prepare(self, name, sql, types=''):
        """Makes sure that a prepared statement of this text exists."""
        if self.prepared.get(name) != sql:
            if name in self.prepared:
                self.run('DEALLOCATE ' + name)
            self.run('PREPARE %s%s AS %s' % (name, types, sql))
            self.prepared[name] = sql

    def forget_plans(self):
        """Everything prepared is planned anew when it is next used."""
        if self.prepared:
            self.run('DEALLOCATE ALL')
            self.prepared = {}

    def note(self, text):
        self.history.add('-- ' + text)

    def record(self, sql):
        text = sql.rstrip(';') + ';'
        if self.name != 's1':
            text = '\n'.join('-- [%s] %s' % (self.name, line) for line in text.split('\n'))
        self.history.add(text)

    def run(self, sql, allow=()):
        """Executes one statement, returns its rows (None without a result). SQLSTATEs in allow return the error."""
        self.record(sql)
        try:
            self.cursor.execute(sql)
        except psycopg2.Error as error:
            if error.pgcode is not None and error.pgcode in allow:
                self.note('failed as it may: %s' % error.pgcode)
                return error
            kind = Serialization if error.pgcode == '40001' else Failure
            if (error.pgcode in OF_SOURCES and 'pgstream' not in sql) or (error.pgcode == '55P03' and self.others_are_open()):
                kind = Unsuitable
            raise kind('%s: unexpected error %s: %s\nin: %.600s' % (self.name, error.pgcode, str(error).strip(), sql))
        # Leaked buffers, snapshots and the like are told as warnings.
        warnings = [n for n in self.connection.notices if n.startswith('WARNING')]
        del self.connection.notices[:]
        if warnings:
            raise Failure('%s: %s\nin: %.600s' % (self.name, warnings[0], sql))
        return self.cursor.fetchall() if self.cursor.description is not None else None

    def others_are_open(self):
        """Whether another transaction of this seed, or one it prepared, may hold locks."""
        others = [c for c in self.connections.kept.values() if c is not self.connection]
        return self.prepared_are_left() or any(
            c.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE for c in others)

    def prepared_are_left(self):
        """Whether the database has prepared transactions."""
        look = psycopg2.connect(self.connections.dsn)
        cursor = look.cursor()
        cursor.execute('SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()')
        prepared, = cursor.fetchone()
        look.close()
        return prepared > 0

    def value(self, sql):
        return self.run(sql)[0][0]

    def copy_in(self, target, rows, options=''):
        """COPY target FROM stdin with rows of text fields (None is NULL)."""
        def field(value):
            if value is None:
                return '\\N'
            return value.replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n')
        data = ''.join('\t'.join(field(v) for v in row) + '\n' for row in rows)
        self.record('COPY %s FROM stdin%s' % (target, options))
        if self.name == 's1':
            self.history.add(data + '\\.')
        try:
            self.cursor.copy_expert('COPY %s FROM stdin%s' % (target, options), io.StringIO(data))
        except psycopg2.Error as error:
            kind = Unsuitable if error.pgcode in OF_SOURCES else Failure
            raise kind('unexpected error %s: %s\nin: COPY %s' % (error.pgcode, error, target))

    def copy_out(self, what):
        """The lines of COPY what TO stdout, sorted."""
        out = io.StringIO()
        sql = 'COPY %s TO stdout' % what
        self.record(sql)
        try:
            self.cursor.copy_expert(sql, out)
        except psycopg2.Error as error:
            raise Failure('unexpected error %s: %s\nin: %s' % (error.pgcode, error, sql))
        return sorted(out.getvalue().split('\n'))

    def in_transaction(self):
        return self.connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE
