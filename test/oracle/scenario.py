"""One seed: a schema of sources, stream tables over them, random steps, and what must hold after each.

Promises: the same seed on the same server version runs the same statements. Every random decision comes from the seed,
except values read back for lookups, which the steps before determine.
"""

import random
import time

import psycopg2

import checks
import queries
import reads
import steps
import values
from session import Failure, History, Session, jit_settings, lookup_settings
from sources import Source
from standby import Standby


SETTINGS = ("SET statement_timeout = '120s'; SET lock_timeout = '20s'; SET client_min_messages = 'warning'; "
            "SET search_path = 'public'; SET timezone = 'UTC'; SET lc_monetary = 'C'; SET jit = off; SET pgstream.attach_timeout = '200ms'")


class StreamTable:
    def __init__(self, schema, number, query):
        self.bare = 'st%d' % number
        self.name = '%s.%s' % (schema, self.bare)
        self.query = query
        self.strategy = None  # as explain_st told it
        self.relid = None
        self.types = {}
        self.indexes = []
        self.parent = None  # the stream table it reads, if any

    def reads(self, changed):
        """Whether one of these sources and stream tables decides what it holds."""
        return self in changed or any(s in changed for s in self.query.sources) or (
            self.parent is not None and self.parent.reads(changed))


class Scenario:
    """The state of one seed's run."""

    def __init__(self, seed, connections, options):
        self.seed = seed
        self.connections = connections
        self.options = options
        self.rng = random.Random(seed)
        self.lookups = random.Random('lookups of %s' % seed)  # drawn apart from what else is
        self.history = History(options.seed is not None and not options.quiet)
        self.schema = 'oracle_%d' % seed
        self.tables = []
        self.relids = []
        self.next_id = 1
        self.next_table = 1
        self.second = None
        self.next_second = 0
        self.second_writes = False
        self.contents = {}
        self.transaction = None
        self.cursors = []
        self.next_cursor = 0
        self.prepared_gid = None
        self.touched = None  # what the step may have changed: sources and stream tables; None: anything

    def committed(self):
        """Stream tables that the second session can name."""
        if self.transaction is None:
            return self.tables
        return [t for t in self.tables if t in self.transaction.saved[0][1][0]]

    def second_sources(self):
        return [x for x in self.sources if not x.foreign]

    def state(self):
        """What a rollback to this moment brings back of the model."""
        return list(self.tables), [(x, dict(vars(x))) for x in self.tables + self.sources]

    def restore(self, state):
        self.tables = list(state[0])
        for thing, variables in state[1]:
            vars(thing).clear()
            vars(thing).update(variables)

    def alone(self):
        """No other transaction is open: whatever lock is wanted can be had."""
        return self.second is None or not self.second.in_transaction()

    def session(self, name):
        for attempt in range(60):
            try:
                s = Session(name, self.connections, self.history)
                break
            except psycopg2.OperationalError:
                # Another seed made the server crash; it is that one's failure.
                if attempt == 59:
                    raise
                time.sleep(0.5)
        s.run('%s; %s; %s' % (SETTINGS, jit_settings(self.seed, self.options.jit), lookup_settings(self.seed)))
        return s

    def run(self):
        rng = self.rng
        self.first = self.session('s1')
        self.standby = Standby(self) if self.options.standby_port else None
        s = self.first
        try:
            s.run('CREATE SCHEMA %s' % self.schema)
            s.run(values.WATCH_OBJECTS.format(s=self.schema).strip())
            self.two_phase = int(s.value('SHOW max_prepared_transactions')) > 0
            self.make_sources()
            for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 5])):
                self.create_table()
            self.watch()
            self.check('after creation')
            for _ in range(rng.randrange(8, self.options.steps)):
                steps.step(self)
            steps.finish_transactions(self)
            self.end()
        finally:
            if self.prepared_gid is not None:
                self.give_up_prepared()

    def give_up_prepared(self):
        """A failed seed must not leave a prepared transaction to the next ones."""
        try:
            self.first.run("ROLLBACK PREPARED '%s'" % self.prepared_gid)
        except Failure:
            pass

    def watch(self):
        """Triggers that compare stream tables and queries in the middle of a statement, before or after capture."""
        rng = self.rng
        for source in self.sources:
            if not source.watched or source.shape == 'inherited':
                continue
            name = rng.choice(['a_first', 'zz_last'])
            when, level, event = rng.choice([
                ('AFTER', 'ROW', 'INSERT OR UPDATE'), ('AFTER', 'ROW', 'INSERT OR UPDATE'), ('BEFORE', 'ROW', 'INSERT OR UPDATE'),
                ('AFTER', 'ROW', 'UPDATE OR DELETE'), ('AFTER', 'STATEMENT', 'INSERT OR UPDATE OR DELETE'),
                ('BEFORE', 'STATEMENT', 'INSERT OR UPDATE OR DELETE'), ('AFTER', 'STATEMENT', 'TRUNCATE'),
                ('AFTER', 'DEFERRED', 'INSERT OR UPDATE')])
            row = 'OLD' if 'DELETE' in event else 'NEW'
            condition = '' if level == 'STATEMENT' else 'WHEN (%s.id %% 3 = 0 AND %s.id < 40)' % (row, row)
            if level == 'DEFERRED' and source.shape == 'partitioned':
                level = 'ROW'
            self.first.run('CREATE %sTRIGGER %s %s %s ON %s %sFOR EACH %s %s EXECUTE FUNCTION %s.look()' % (
                'CONSTRAINT ' if level == 'DEFERRED' else '', name, when, event, source.name,
                'DEFERRABLE INITIALLY DEFERRED ' if level == 'DEFERRED' else '', level.replace('DEFERRED', 'ROW'), condition,
                self.schema))
            source.deferred |= level == 'DEFERRED'

    def make_sources(self):
        rng = self.rng
        self.sources = [Source(rng, self.schema, i + 1) for i in range(rng.choice([1, 1, 2, 2]))]
        for source in self.sources:
            for statement in source.ddl(rng):
                self.first.run(statement)
            if rng.random() < 0.8:
                steps.insert(self, self.first, source, rng.choice([1, 5, 20, 60]))
            if rng.random() < 0.06:
                self.many(source)
        if len(self.sources) == 2 and self.sources[0].key and self.sources[0].shape == 'plain' and rng.random() < 0.3:
            a, b = self.sources
            self.first.run('DELETE FROM %s WHERE id NOT IN (SELECT id FROM %s)' % (b.name, a.name))
            action = rng.choice(['CASCADE', 'CASCADE', 'SET NULL', 'SET DEFAULT']) if not b.key else 'CASCADE'
            if b.part_column is None and b.shape == 'partitioned':
                action = 'CASCADE'  # a NULL has no place in a range or a remainder
            deferred = rng.choice(['', '', ' DEFERRABLE INITIALLY DEFERRED'])
            self.first.run('ALTER TABLE %s ADD FOREIGN KEY (id) REFERENCES %s ON DELETE %s ON UPDATE %s%s' % (
                b.name, a.name, action, action, deferred))
            a.deferred = b.deferred = deferred != ''
            b.foreign = a
        for source in self.sources:
            if rng.random() < 0.3:
                self.first.run('ANALYZE %s' % source.name)

    def many(self, source):
        """Enough rows for parallel plans, several log records and changes larger than a batch; of wide ones, fewer."""
        names = ', '.join(source.insertable())
        columns = ', '.join('(ARRAY[%s]::%s[])[1 + i %% %d]' % (', '.join(c.pool), c.type, len(c.pool))
                            if c.kind.name not in ('intarray', 'textarray', 'composite') else
                            '%s::%s' % (c.pool[0], c.type) for c in source.plain_columns())
        base = self.next_id
        wide = any(c.kind.name == 'long' for c in source.columns)
        n = self.rng.choice([100, 200] if wide else [400, 1500])
        self.next_id += n
        self.first.run('INSERT INTO %s (%s) SELECT %d + i, %s FROM generate_series(0, %d) i' % (
            source.name, names, base, columns, n - 1))

    def create_table(self):
        """Creates one stream table; asserts the strategy it is given."""
        rng = self.rng
        s = self.first
        query, parent, settings = None, None, {}
        if self.tables and rng.random() < 0.06:
            parent = rng.choice(self.tables)
            query = queries.over_stream(rng, parent)
        elif rng.random() < 0.08:
            query, settings = queries.settings_query(rng, self.sources) or (None, {})
        if query is None:
            query, parent = queries.random_query(rng, self.sources), None
        table = StreamTable(self.schema, self.next_table, query)
        table.parent = parent
        self.next_table += 1
        how = rng.random()
        data = rng.random() < 0.8
        schedule = rng.choice(['', " WITH (schedule = '1m')", " WITH (refresh_mode = 'DIFFERENTIAL', schedule = '1h30m')"])
        if self.options.only and table.bare not in self.options.only.split(','):
            return
        before = {name: s.value('SHOW ' + name) for name in settings}
        for name, value in settings.items():
            s.run("SET %s = '%s'" % (name, value))
        if how < 0.8:
            s.run('CREATE TABLE %s USING pgstream%s AS %s%s' % (table.name, schedule, query.sql,
                                                                '' if data else ' WITH NO DATA'))
        elif how < 0.9:
            s.run("SELECT pgstream.create_stream_table('%s', $q$%s$q$, initialize => %s)" % (
                table.name, query.sql, 'true' if data else 'false'))
        else:
            s.run('SET default_table_access_method = pgstream')
            s.run('CREATE TABLE %s AS %s%s' % (table.name, query.sql, '' if data else ' WITH NO DATA'))
            s.run('RESET default_table_access_method')
        for name, value in before.items():
            s.run("SET %s = '%s'" % (name, value))
        self.tables.append(table)
        table.relid = s.value("SELECT '%s'::regclass::oid" % table.name)
        table.types = dict(s.run("SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
                                 "WHERE attrelid = %d AND attnum > 0 AND NOT attisdropped" % table.relid))
        self.relids.append(table.relid)
        if settings:
            self.keep_settings(table, settings)
        s.run("INSERT INTO %s.watched VALUES ('%s', $q$%s$q$)" % (self.schema, table.name, checks.exists(table)))
        checks.strategy_told(s, table)
        reads.make_indexes(rng, s, table, 0.2)
        if self.lookups.random() < 0.6:
            reads.index_a_key(self.lookups, s, table)

    def keep_settings(self, table, settings):
        """The query as the settings of the table's creation make it, whatever the session's are: a function has them."""
        function = '%s.query_of_%s' % (self.schema, table.bare)
        self.first.run('CREATE OR REPLACE FUNCTION %s() RETURNS TABLE (%s) LANGUAGE sql STABLE PARALLEL RESTRICTED %s AS $f$ %s $f$' % (
            function, ', '.join('%s text' % o.name for o in table.query.outputs),
            ' '.join("SET %s = '%s'" % pair for pair in settings.items()), table.query.sql))
        table.query = table.query.with_text('SELECT * FROM %s()' % function)

    def check(self, when):
        """Live equality wherever something may have changed, and here and there besides; sometimes in another shape."""
        rng = self.rng
        for table in self.tables:
            if self.touched is not None and not table.reads(self.touched) and rng.random() > 0.3:
                continue
            if self.lookups.random() < 0.3:
                reads.look_up(self.lookups, self.first, table, self.transaction is not None)
            checks.compare(self.first, table, when, anew=rng.random() < 0.2)
            if rng.random() < 0.15:
                reads.read_otherwise(rng, self.first, table, self.prepared_gid is None)
        if self.standby is not None and self.transaction is None and rng.random() < 0.25:
            self.standby.look(when)
        if self.second is not None and (self.second.in_transaction() or rng.random() < 0.1):
            for table in [] if self.transaction is not None and self.transaction.exclusive else self.committed():
                if rng.random() < 0.6:
                    if self.lookups.random() < 0.3:
                        reads.look_up(self.lookups, self.second, table, self.second.in_transaction())
                    checks.compare(self.second, table, when + ', in the second session')
                    if rng.random() < 0.1:
                        reads.read_otherwise(rng, self.second, table, False)

    def end(self):
        """Everything deleted: live empty; folded: empty; dropped: nothing left."""
        rng = self.rng
        s = self.first
        s.run('RESET ALL')
        s.run("SET statement_timeout = '120s'")
        s.run("SET client_min_messages = 'warning'")
        for source in self.sources:
            s.run('DELETE FROM %s' % source.name)
        self.check('after deleting everything')
        for table in self.tables:
            self.expect_empty(table)
            s.run("SELECT pgstream.refresh_stream_table('%s')" % table.name)
            self.expect_empty(table)
        self.check('after deleting everything and folding')
        how = rng.random()
        if how < 0.2:
            for source in self.sources[::-1]:
                s.run('DROP TABLE %s CASCADE' % source.name)
            left = s.value("SELECT count(*) FROM pg_class WHERE oid IN (%s)" % (', '.join(
                str(t.relid) for t in self.tables if t.query.sources) or '0'))
            if left:
                raise Failure('%d stream tables outlive their sources' % left)
            checks.nothing_left(s, self.schema, [], self.relids)
        else:
            for table in self.tables[::-1]:
                s.run(rng.choice(['DROP TABLE %s', "SELECT pgstream.drop_stream_table('%s')"]) % table.name)
            for source in self.sources:
                checks.remove_capture(s, source)
            # What became unlogged under an open writer keeps its idle capture: no stream table over it has any to drop.
            checks.nothing_left(s, self.schema, [x.name for x in self.sources if x.shape != 'unlogged'], self.relids)
        s.run('DROP SCHEMA %s CASCADE' % self.schema)
        if s.value("SELECT count(*) FROM pg_class c LEFT JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e' "
                   "WHERE relnamespace = 'pgstream'::regnamespace AND relkind = 'r' AND relname LIKE 'log\\_%' AND "
                   "NOT EXISTS (SELECT 1 FROM pg_class s WHERE s.oid::text = split_part(c.relname, '_', 2))"):
            raise Failure('a log outlives its source')

    def expect_empty(self, table):
        n = self.first.value('SELECT count(*) FROM %s' % table.name)
        expected = self.first.value('SELECT count(*) FROM (%s) q' % table.query.sql)
        if n != expected or (n > 1 and table.strategy in (queries.ROWS, queries.GROUPS)):
            raise Failure('%s has %d rows over empty sources, its query %d' % (table.name, n, expected))
