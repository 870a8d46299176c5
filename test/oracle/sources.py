"""Source tables of a seed: plain, partitioned (several levels), inherited, unlogged.

Promises: the model of a source (its columns, its leaves) says what the server has, in every state of a transaction: what
changes it replaces values instead of altering them, so that a rollback can put the old ones back. Refuses: leaves that
take no row of some key: every partitioned table has a place for every row, except while one is detached.
"""

from collections import namedtuple

import values

LETTERS = 'cdef'  # column names tell their source, so that a renamed column can be found in a query's text

# A partition: its bound as SQL; low and high where it takes ids of a range that nothing else uses.
Part = namedtuple('Part', 'name parent bound leaf low high')

CAPTURED, NEVER = 'captured', 'never'


class Source:
    """A source table. id is unique where the table has a primary key; otherwise rows may be copied whole."""

    def __init__(self, rng, schema, number):
        self.schema = schema
        self.bare = 's%d' % number
        self.name = self.stem = '%s.%s' % (schema, self.bare)
        integer = next(k for k in values.KINDS if k.sql == 'integer')
        self.id = values.Column(rng, 'id', integer)
        self.columns = [values.Column(rng, '%s%d' % (LETTERS[number - 1], i + 1), values.pick_kind(rng))
                        for i in range(rng.choice([1, 2, 3, 4, 5, 8]))]
        self.shape = rng.choices(['plain', 'partitioned', 'inherited', 'unlogged'], [80, 9, 7, 4])[0]
        self.key = rng.random() < 0.6
        self.triggers = rng.random() < 0.1
        self.indexes = [c.name for c in self.columns if c.kind.index and rng.random() < 0.25]
        self.generated = None
        numbers = [c for c in self.columns if c.kind.name == 'int' and c.type == 'integer']
        if numbers and self.shape != 'inherited' and rng.random() < 0.15:
            self.generated = numbers[0].name
            g = values.Column(rng, 'g', integer)
            g.generated = True
            self.columns.append(g)
        self.watched = rng.random() < 0.15  # triggers of its own read the stream tables while a statement runs
        self.renames = rng.random() < 0.15  # is renamed, and its columns; such a source has no view
        self.deferred = False               # has a deferred trigger: its events keep DDL out for the transaction
        self.changed = False                # by DDL: a refresh may have to put its capture in order
        self.foreign = None                 # the source its ids refer to
        self.parts = []
        self.part_column = None             # of a table partitioned by list
        self.children = []                  # inheritance: names of children
        self.extra = []                     # columns added later, used by no query

    @property
    def capture(self):
        return NEVER if self.shape == 'unlogged' else CAPTURED

    def plain_columns(self):
        return [c for c in self.columns if not c.generated]

    def insertable(self):
        return ['id'] + [c.name for c in self.plain_columns()]

    def row(self, rng, row_id):
        return '(%s)' % ', '.join([str(row_id)] + [c.typed(rng) if c.not_null else
                                                   '%s::%s' % (c.literal(rng), c.type) for c in self.plain_columns()])

    def column_ddl(self, key):
        parts = ['id integer%s' % key]
        parts += ['%s %s%s' % (c.name, c.type, ' NOT NULL' if c.not_null else '') for c in self.plain_columns()]
        if self.generated:
            parts.append('g integer GENERATED ALWAYS AS (%s %% 5 + 1) STORED' % self.generated)
        return parts

    def ddl(self, rng):
        body = ', '.join(self.column_ddl(' PRIMARY KEY' if self.key else ''))
        if self.shape == 'partitioned':
            found = self.partitioned_ddl(rng, body)
        else:
            found = ['CREATE %sTABLE %s (%s)' % ('UNLOGGED ' if self.shape == 'unlogged' else '', self.name, body)]
        if self.shape == 'inherited':
            self.children = ['%s_child' % self.stem]
            found.append('CREATE TABLE %s_child (%s) INHERITS (%s)' % (
                self.stem, rng.choice(['', 'of_child integer DEFAULT 3']), self.name))
            if rng.random() < 0.3:
                self.children.append('%s_grandchild' % self.stem)
                found.append('CREATE TABLE %s_grandchild () INHERITS (%s)' % (
                    self.stem, rng.choice([self.name, '%s_child' % self.stem])))
        found += ['CREATE INDEX ON %s (%s)' % (self.name, n) for n in self.indexes]
        if not self.renames:
            found.append(self.view_ddl('id %% 5 <> 1'.replace('%%', '%')))
        if self.triggers:
            found.append('CREATE FUNCTION %s_before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN '
                         'IF NEW.id %% 11 = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$' % self.stem)
            found.append('CREATE TRIGGER before BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s_before()' % (
                self.name, self.stem))
        return found

    def view_ddl(self, condition):
        return 'CREATE OR REPLACE VIEW %s_v AS SELECT id, %s FROM %s WHERE %s' % (
            self.stem, ', '.join(c.name for c in self.columns), self.name, condition)

    # --- partitions ------------------------------------------------------------------------------------------------

    def partitioned_ddl(self, rng, body):
        listable = [c for c in self.plain_columns() if c.kind.name in ('int', 'bool', 'enum', 'text') and not self.key]
        method = rng.choice(['HASH', 'RANGE', 'RANGE'] + ['LIST'] * 2 * bool(listable))
        if method == 'LIST':
            column = rng.choice(listable)
            self.part_column = column.name
            pool = [v for v in column.pool][:2]
            bounds = [('FOR VALUES IN (%s)' % v, None, None) for v in pool] + [('DEFAULT', None, None)]
        elif method == 'HASH':
            modulus = rng.choice([2, 3])
            bounds = [('FOR VALUES WITH (MODULUS %d, REMAINDER %d)' % (modulus, i), None, None) for i in range(modulus)]
        else:
            a, b = rng.randrange(2, 20), rng.randrange(20, 60)
            bounds = [('FOR VALUES FROM (MINVALUE) TO (1)', None, None), ('FOR VALUES FROM (1) TO (%d)' % a, None, None),
                      ('FOR VALUES FROM (%d) TO (%d)' % (a, b), None, None), ('DEFAULT', None, None)]
        self.method = method
        found = ['CREATE TABLE %s (%s) PARTITION BY %s (%s)' % (self.name, body, method, self.part_column or 'id')]
        deep = rng.randrange(len(bounds)) if rng.random() < 0.4 else None
        for i, (bound, low, high) in enumerate(bounds):
            part = Part('%s_p%d' % (self.stem, i), self.name, bound, i != deep, low, high)
            self.parts.append(part)
            found += self.part_ddl(rng, part)
            if i == deep:
                for j in range(2):
                    leaf = Part('%s_p%d_%d' % (self.stem, i, j), part.name,
                                'FOR VALUES WITH (MODULUS 2, REMAINDER %d)' % j, True, None, None)
                    self.parts.append(leaf)
                    found += self.part_ddl(rng, leaf)
        return found

    def part_ddl(self, rng, part):
        """A partition created as one, or a table with its columns in another order that is attached."""
        below = '' if part.leaf else ' PARTITION BY HASH (id)'
        if rng.random() < 0.6:
            return ['CREATE TABLE %s PARTITION OF %s %s%s' % (part.name, part.parent, part.bound, below)]
        return self.standalone_ddl(rng, part.name, below) + [self.attach_sql(part)]

    def standalone_ddl(self, rng, name, below=''):
        columns = self.column_ddl(' NOT NULL' if self.key else '') + ['%s integer' % n for n in self.extra]
        rng.shuffle(columns)
        return ['CREATE TABLE %s (junk integer, %s)%s' % (name, ', '.join(columns), below),
                'ALTER TABLE %s DROP COLUMN junk' % name]

    def attach_sql(self, part):
        return 'ALTER TABLE %s ATTACH PARTITION %s %s' % (part.parent, part.name, part.bound)

    def leaves(self):
        return [p for p in self.parts if p.leaf]
