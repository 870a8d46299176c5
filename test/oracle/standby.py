"""A hot standby as another reader.

Promises: what the standby answers is compared with the query there, in one statement; under a snapshot that is kept while the
primary folds and reclaims too, unless recovery cancels it (40001). Its rows themselves may change even so: the server shows a
partition attached meanwhile to every snapshot. Refuses: unlogged sources, which a standby cannot read.
"""

import time

import psycopg2

import checks
from session import Failure, Session, jit_settings


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
        self.session.run("SET statement_timeout = '60s'; " + jit_settings(sc.seed, sc.options.jit))
        self.kept = None  # the stream tables that a REPEATABLE READ transaction, open there, has read

    def readable(self):
        def logged(table):
            return all(s.shape != 'unlogged' for s in table.query.sources) and (table.parent is None or logged(table.parent))
        return [t for t in self.sc.committed() if logged(t)]

    def look(self, when):
        """Waits for the standby to have replayed what is committed now, then compares some stream tables there."""
        rng, s = self.sc.rng, self.session
        if self.kept is not None:
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
                # As texts: a column may be renamed meanwhile, which is not replayed before this transaction is cancelled.
                self.kept = [(t, checks.difference(t)) for t in self.readable()]
                for table, sql in self.kept:
                    checks.compare(s, table, 'on the standby under a snapshot to be kept', sql=sql)
        except Failure as failure:
            self.cancelled(failure)

    def look_again(self):
        """The kept snapshot."""
        tables, self.kept = self.kept, None
        try:
            for table, sql in tables:
                checks.compare(self.session, table, 'on the standby under a snapshot kept meanwhile', sql=sql)
            self.session.run('COMMIT')
        except Failure as failure:
            self.cancelled(failure)

    def cancelled(self, failure):
        """Recovery may cancel any query and end any transaction that stands in its way."""
        cause = failure.__context__
        if not isinstance(cause, psycopg2.Error) or (cause.pgcode not in ('40001', '40P01') and 'conflict with recovery' not in str(cause)):
            raise failure
        self.kept = None
        if not self.session.connection.closed:
            self.session.run('ROLLBACK')
