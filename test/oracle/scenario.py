"""One seed: a schema of sources, stream tables over them, random steps, and what must hold after each.

Promises: the same seed on the same server version runs the same statements. Every random decision comes from the seed,
except values read back for lookups, which the steps before determine.
"""

import random
import time

import psycopg2

import checks
import queries
import steps
import values
from session import Failure, History, Session


SETTINGS = ("SET statement_timeout = '120s'; SET lock_timeout = '20s'; SET client_min_messages = 'warning'; "
            "SET search_path = 'public'; SET timezone = 'UTC'; SET lc_monetary = 'C'; SET jit = off")


class Source:
    """A source table. id is unique where the table has a primary key; otherwise rows may be copied whole."""

    def __init__(self, rng, schema, number):
        self.schema = schema
        self.bare = 's%d' % number
        self.name = '%s.%s' % (schema, self.bare)
        self.id = values.Column(rng, 'id', next(k for k in values.KINDS if k.sql == 'integer'))
        self.columns = [values.Column(rng, 'c%d' % (i + 1), values.pick_kind(rng))
                        for i in range(rng.choice([1, 2, 3, 4, 5, 8]))]
        self.shape = rng.choices(['plain', 'partitioned', 'unlogged', 'inherited'], [90, 4, 3, 3])[0]
        self.captured = self.shape == 'plain'
        self.key = rng.random() < 0.6
        self.triggers = rng.random() < 0.1
        self.indexes = [c.name for c in self.columns if c.kind.index and rng.random() < 0.25]
        self.generated = None
        numbers = [c for c in self.columns if c.kind.name == 'int' and c.type == 'integer']
        if numbers and self.shape == 'plain' and rng.random() < 0.15:
            self.generated = numbers[0].name
            g = values.Column(rng, 'g', next(k for k in values.KINDS if k.sql == 'integer'))
            g.generated = True
            self.columns.append(g)
        self.watched = rng.random() < 0.15  # triggers of its own read the stream tables while a statement runs

    def ddl(self):
        parts = ['id integer%s' % (' PRIMARY KEY' if self.key else '')]
        parts += ['%s %s%s' % (c.name, c.type, ' NOT NULL' if c.not_null else '') for c in self.plain_columns()]
        if self.generated:
            parts.append('g integer GENERATED ALWAYS AS (%s %% 5 + 1) STORED' % self.generated)
        body = ', '.join(parts)
        if self.shape == 'partitioned':
            found = ['CREATE TABLE %s (%s) PARTITION BY HASH (id)' % (self.name, body)]
            found += ['CREATE TABLE %s_%d PARTITION OF %s FOR VALUES WITH (MODULUS 2, REMAINDER %d)' % (
                self.name, i, self.name, i) for i in range(2)]
        else:
            found = ['CREATE %sTABLE %s (%s)' % ('UNLOGGED ' if self.shape == 'unlogged' else '', self.name, body)]
        if self.shape == 'inherited':
            found.append('CREATE TABLE %s_child () INHERITS (%s)' % (self.name, self.name))
        found += ['CREATE INDEX ON %s (%s)' % (self.name, n) for n in self.indexes]
        found.append('CREATE VIEW %s_v AS SELECT id, %s FROM %s WHERE id %% 5 <> 1' % (
            self.name, ', '.join(c.name for c in self.columns), self.name))
        if self.triggers:
            found.append('CREATE FUNCTION %s_before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN '
                         'IF NEW.id %% 11 = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$' % self.name)
            found.append('CREATE TRIGGER before BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s_before()' % (
                self.name, self.name))
        return found

    def plain_columns(self):
        return [c for c in self.columns if not c.generated]

    def insertable(self):
        return ['id'] + [c.name for c in self.plain_columns()]

    def row(self, rng, row_id):
        return '(%s)' % ', '.join([str(row_id)] + [c.typed(rng) if c.not_null else
                                                   '%s::%s' % (c.literal(rng), c.type) for c in self.plain_columns()])


class StreamTable:
    def __init__(self, schema, number, query):
        self.bare = 'st%d' % number
        self.name = '%s.%s' % (schema, self.bare)
        self.query = query
        self.relid = None
        self.types = {}
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
        self.prepared_gid = None
        self.touched = None  # what the step may have changed: sources and stream tables; None: anything

    def committed(self):
        """Stream tables that the second session can name."""
        if self.transaction is None:
            return self.tables
        return [t for t in self.tables if t in self.transaction.saved[0][1]]

    def second_sources(self):
        return [x for x in self.sources if not getattr(x, 'foreign', None)]

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
        s.run(SETTINGS)
        return s

    def run(self):
        rng = self.rng
        self.first = self.session('s1')
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
            if not source.watched or source.shape != 'plain':
                continue
            name = rng.choice(['a_first', 'zz_last'])
            when, level = rng.choice([('AFTER', 'ROW'), ('AFTER', 'ROW'), ('BEFORE', 'ROW'), ('AFTER', 'STATEMENT')])
            condition = 'WHEN (NEW.id % 3 = 0 AND NEW.id < 40)' if level == 'ROW' else ''
            self.first.run('CREATE TRIGGER %s %s INSERT OR UPDATE ON %s FOR EACH %s %s EXECUTE FUNCTION %s.look()' % (
                name, when, source.name, level, condition, self.schema))

    def make_sources(self):
        rng = self.rng
        self.sources = [Source(rng, self.schema, i + 1) for i in range(rng.choice([1, 1, 2, 2]))]
        for source in self.sources:
            for statement in source.ddl():
                self.first.run(statement)
            if rng.random() < 0.8:
                steps.insert(self, self.first, source, rng.choice([1, 5, 20, 60]))
            if rng.random() < 0.06:
                self.many(source)
        if len(self.sources) == 2 and self.sources[0].key and self.sources[0].shape == 'plain' and rng.random() < 0.3:
            a, b = self.sources
            self.first.run('DELETE FROM %s WHERE id NOT IN (SELECT id FROM %s)' % (b.name, a.name))
            self.first.run('ALTER TABLE %s ADD FOREIGN KEY (id) REFERENCES %s ON DELETE CASCADE ON UPDATE CASCADE' % (
                b.name, a.name))
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
        query, parent = None, None
        if self.tables and rng.random() < 0.06:
            parent = rng.choice(self.tables)
            query = queries.over_stream(rng, parent)
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
        self.tables.append(table)
        table.relid = s.value("SELECT '%s'::regclass::oid" % table.name)
        table.types = dict(s.run("SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
                                 "WHERE attrelid = %d AND attnum > 0 AND NOT attisdropped" % table.relid))
        self.relids.append(table.relid)
        s.run("INSERT INTO %s.watched VALUES ('%s', $q$%s$q$)" % (self.schema, table.name, checks.EXISTS.format(
            difference=checks.difference(table))))
        checks.strategy_at_creation(s, table)
        for o in query.outputs:
            if o.index and o.order and rng.random() < 0.2:
                s.run('CREATE INDEX ON %s (%s)' % (table.name, o.name))

    def check(self, when):
        """Live equality wherever something may have changed, and here and there besides; sometimes in another shape."""
        rng = self.rng
        for table in self.tables:
            if self.touched is not None and not table.reads(self.touched) and rng.random() > 0.3:
                continue
            checks.compare(self.first, table, when, anew=rng.random() < 0.2)
            if rng.random() < 0.15:
                checks.read_otherwise(rng, self.first, table, self.prepared_gid is None)
        if self.second is not None and (self.second.in_transaction() or rng.random() < 0.1):
            for table in [] if self.transaction is not None and self.transaction.exclusive else self.committed():
                if rng.random() < 0.6:
                    checks.compare(self.second, table, when + ', in the second session')
                    if rng.random() < 0.1:
                        checks.read_otherwise(rng, self.second, table, False)

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
            checks.nothing_left(s, self.schema, [x.name for x in self.sources], self.relids)
        s.run('DROP SCHEMA %s CASCADE' % self.schema)
        if s.value("SELECT count(*) FROM pg_class c LEFT JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e' "
                   "WHERE relnamespace = 'pgstream'::regnamespace AND relkind = 'r' AND relname LIKE 'log\\_%' AND "
                   "NOT EXISTS (SELECT 1 FROM pg_class s WHERE s.oid::text = split_part(c.relname, '_', 2))"):
            raise Failure('a log outlives its source')

    def expect_empty(self, table):
        n = self.first.value('SELECT count(*) FROM %s' % table.name)
        expected = self.first.value('SELECT count(*) FROM (%s) q' % table.query.sql)
        if n != expected or (n > 1 and table.query.strategy in (queries.ROWS, queries.GROUPS)):
            raise Failure('%s has %d rows over empty sources, its query %d' % (table.name, n, expected))
