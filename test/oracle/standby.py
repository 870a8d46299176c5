"""A hot standby as another reader.

Promises: what the standby answers is compared with the query there, in one statement; a snapshot that is kept while the
primary folds and reclaims either gives the same rows or is cancelled by recovery (40001). Refuses: unlogged sources, which a
standby cannot read.
"""

import time

import psycopg2

import checks
from session import Failure, Session


class Standby:
    def __init__(self, sc):
        self.sc = sc
        for attempt in range(100):
            try:
                self.session = Session('standby', sc.connections, sc.history)
                break
            except psycopg2.OperationalError:  # the database is not there yet
                if attempt == 99:
                    raise
                time.sleep(0.1)
        self.session.run("SET statement_timeout = '60s'")
        self.contents = None  # of a REPEATABLE READ transaction that is open there

    def readable(self):
        def logged(table):
            return all(s.shape != 'unlogged' for s in table.query.sources) and (table.parent is None or logged(table.parent))
        return [t for t in self.sc.committed() if logged(t)]

    def look(self, when):
        """Waits for the standby to have replayed what is committed now, then compares some stream tables there."""
        rng, s = self.sc.rng, self.session
        if self.contents is not None:
            return self.look_again()
        position = self.sc.first.value('SELECT pg_current_wal_flush_lsn()')
        for attempt in range(3000):
            if s.value("SELECT pg_last_wal_replay_lsn() >= '%s'" % position):
                break
            time.sleep(0.005)
        else:
            raise Failure('the standby has not replayed %s within 15 s' % position)
        try:
            for table in self.readable():
                if rng.random() < 0.5:
                    checks.compare(s, table, when + ', on the standby', anew=rng.random() < 0.3)
            if rng.random() < 0.15:
                s.run('BEGIN ISOLATION LEVEL REPEATABLE READ')
                self.contents = {t.name: self.digest(t.name) for t in self.readable()}
        except Failure as failure:
            self.cancelled(failure)

    def look_again(self):
        """The kept snapshot."""
        contents, self.contents = self.contents, None
        try:
            for name, digest in contents.items():
                if self.digest(name) != digest:
                    raise Failure('%s changed under one REPEATABLE READ snapshot on the standby' % name)
            self.session.run('COMMIT')
        except Failure as failure:
            self.cancelled(failure)

    def digest(self, name):
        return self.session.value("SELECT md5(string_agg(x::text, '|' ORDER BY x::text COLLATE \"C\")) FROM %s x" % name)

    def cancelled(self, failure):
        """Recovery may cancel any query and end any transaction that stands in its way."""
        cause = failure.__context__
        if not isinstance(cause, psycopg2.Error) or (cause.pgcode not in ('40001', '40P01') and 'conflict with recovery' not in str(cause)):
            raise failure
        self.contents = None
        if not self.session.connection.closed:
            self.session.run('ROLLBACK')
