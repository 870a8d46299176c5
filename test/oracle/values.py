"""Column types of the oracle's source tables and the values they get.

Promises: within one column two values that compare equal print equal, so that a group key, a minimum or a DISTINCT has
one possible text (the exception is the kind `mixed`: numerics of equal value and different scale, which queries use
only where the text is determined, as in sums). Floats are multiples of 1/4, so their sums are exact in any order.
Refuses: values whose arithmetic overflows: errors of the query are tested elsewhere.
"""

INFINITE = ("'NaN'", "'Infinity'", "'-Infinity'")


class Kind:
    """A type with its pool of SQL literals. Flags say what queries may do with a column of it."""

    def __init__(self, name, sql, pool, equal=True, order=True, index=True, weight=2):
        self.name = name      # key into the tables of queries.py
        self.sql = sql        # type name; {s} is the schema of the shared objects
        self.pool = pool      # SQL literals, distinct as values
        self.equal = equal    # has = (GROUP BY, DISTINCT), with one text per value
        self.order = order    # has < (min, max, ORDER BY)
        self.index = index    # short enough and ordered: a btree index on it works
        self.weight = weight


def quoted(*words):
    return ["'" + w + "'" for w in words]


KINDS = [
    Kind('int', 'smallint', ['0', '1', '2', '3', '-4', '7', '100', '-32000', '32000'], weight=2),
    Kind('int', 'integer', ['0', '1', '2', '3', '5', '-8', '13', '1000', '-70000', '100000'], weight=4),
    Kind('int', 'bigint', ['0', '1', '2', '-3', '9007199254740993', '-9007199254740993', '4611686018427387904', '10'],
         weight=2),
    Kind('num', 'numeric', ['0', '1', '2.0', '3.00', '-4.5', '0.001', '12345678901234567890.123456', '-1e-20', '1e30',
                            '99999'] + list(INFINITE), weight=3),
    Kind('num', 'numeric', ['0', '1', '2.0', '3.00', '-4.50', '0.001', '7.25', '-1', '100.1'], weight=3),
    Kind('num', 'numeric(10,2)', ['0', '1', '2.5', '3.01', '-4.50', '99999.99', '-0.01'], weight=3),
    Kind('mixed', 'numeric', ['1', '1.0', '1.00', '2', '2.000', '0', '0.0', '-1', '-1.0', '5.5', '5.50', '1e3', "'NaN'"],
         equal=False, order=False, index=False, weight=2),
    Kind('text', 'text', quoted('a', 'b', 'A', 'ab', '', 'abc', 'x y', 'Ünï', 'it''s', '"q",\\', 'zebra'), weight=4),
    Kind('text', 'varchar(12)', quoted('one', 'two', 'three', '', 'One', 'two '), weight=2),
    Kind('char', 'char(5)', quoted('a', 'b', 'abcde', '', 'Z'), weight=1),
    Kind('long', 'text',
         ["'short'", "{s}.long_text('a', 80)", "{s}.long_text('b', 80)", "{s}.long_text('a', 150)",
          "{s}.long_text('c', 300)", "repeat('xyz', 4000)", "''", "{s}.long_text('d', 250)"], index=False, weight=2),
    Kind('bool', 'boolean', ['true', 'false'], weight=2),
    Kind('date', 'date', quoted('2024-01-01', '2024-01-15', '2024-02-29', '1999-12-31', 'infinity', '0044-03-15 BC'),
         weight=2),
    Kind('timestamp', 'timestamp', quoted('2024-01-01 00:00', '2024-01-01 12:34:56.789', '2024-03-31 02:30',
                                          '1970-01-01', '-infinity'), weight=2),
    Kind('timestamptz', 'timestamptz', quoted('2024-01-01 00:00+00', '2024-07-01 12:00+02', '1999-12-31 23:59:59-05'),
         weight=1),
    Kind('interval', 'interval', quoted('1 day', '2 mons', '3 hours', '-1 day', '1 year 2 mons 3 days 04:05:06', '0'),
         weight=2),
    Kind('money', 'money', quoted('1.00', '2.50', '-3.33', '0', '1000000.01'), weight=1),
    Kind('enum', '{s}.mood', quoted('sad', 'ok', 'happy'), weight=2),
    Kind('intarray', 'integer[]', quoted('{1,2,3}', '{1,2}', '{}', '{NULL,1}', '{{1,2},{3,4}}'), index=False, weight=1),
    Kind('textarray', 'text[]', quoted('{a,b}', '{a,NULL}', '{}', '{"x y","q"}'), index=False, weight=1),
    Kind('jsonb', 'jsonb', quoted('{"a": 1}', '{"a": 2, "b": [1, 2]}', '[]', 'null', '"s"', '{"a": {"b": null}}'),
         index=False, weight=2),
    Kind('json', 'json', quoted('{"a":1}', '{"a" : 1}', '[1,2]', '{}'), equal=False, order=False, index=False, weight=1),
    Kind('uuid', 'uuid', quoted('00000000-0000-0000-0000-000000000001', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
         weight=1),
    Kind('float', 'float8', ['0.25', '1', '1.5', '-2.75', '1024', '-0.5'], weight=2),
    Kind('float', 'float8', ['0.25', '1', '-2.75'] + list(INFINITE), weight=1),
    Kind('float', 'real', ['0.5', '1', '-2.25', '64'], weight=1),
    Kind('bytea', 'bytea', quoted('\\x00', '\\xdeadbeef', '\\x', '\\x0102'), weight=1),
    Kind('bit', 'bit(5)', ["B'10101'", "B'00000'", "B'11111'", "B'00001'"], index=False, weight=1),
    Kind('inet', 'inet', quoted('10.0.0.1', '10.0.0.0/8', '::1'), weight=1),
    Kind('range', 'int4range', quoted('[1,5)', 'empty', '(,3)', '[7,)'), index=False, weight=1),
    Kind('point', 'point', quoted('(1,2)', '(0,0)', '(-1.5,2)'), equal=False, order=False, index=False, weight=1),
    Kind('domain', '{s}.small', ['1', '2', '3', '50'], weight=1),
    Kind('composite', '{s}.pair', ["ROW(1,'a')::{s}.pair", "ROW(NULL,'b')::{s}.pair", "ROW(2,NULL)::{s}.pair"],
         index=False, weight=1),
]

MOVABLE = ('int', 'num', 'mixed', 'interval', 'money')


class Column:
    """A column of a source: its kind, the part of the pool it draws from and how often it is NULL."""

    def __init__(self, rng, name, kind):
        self.name = name
        self.kind = kind
        self.type = kind.sql.format(s=SHARED)
        pool = [v.replace('{s}', SHARED) for v in kind.pool]
        size = rng.choice([1, 2, 3, len(pool), len(pool)])
        self.pool = rng.sample(pool, min(size, len(pool)))
        self.nulls = rng.choice([0, 0.1, 0.1, 0.3, 0.6])
        self.not_null = self.nulls == 0 and rng.random() < 0.3
        self.generated = False  # a stored generated column: never written

    def renamed(self, name):
        other = Column.__new__(Column)
        vars(other).update(vars(self), name=name)
        return other

    def literal(self, rng):
        """A value as SQL that has the column's type when cast."""
        if self.nulls and rng.random() < self.nulls:
            return 'NULL'
        return rng.choice(self.pool)

    def typed(self, rng):
        """A value that is not NULL, cast to the column's type."""
        return '%s::%s' % (rng.choice(self.pool), self.type)


def pick_kind(rng):
    return rng.choices(KINDS, [k.weight for k in KINDS])[0]


# What every seed uses and none changes, once per database.
SHARED = 'support'

SHARED_OBJECTS = """
CREATE SCHEMA support;
CREATE TYPE support.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE support.pair AS (x integer, y text);
CREATE DOMAIN support.small AS integer CHECK (VALUE < 1000);
CREATE FUNCTION support.long_text(salt text, n integer) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT string_agg(md5(salt || i::text), '' ORDER BY i) FROM generate_series(1, n) i $$;
CREATE AGGREGATE support.own_sum(bigint) (sfunc = int8pl, stype = bigint, initcond = '0', msfunc = int8pl,
  minvfunc = int8mi, mstype = bigint, minitcond = '0');
CREATE FUNCTION support.drop_first(bigint[], bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$ SELECT $1[2:] $$;
CREATE FUNCTION support.sorted(bigint[]) RETURNS text LANGUAGE sql IMMUTABLE
  AS $$ SELECT string_agg(coalesce(v::text, 'none'), ' ' ORDER BY v) FROM unnest($1) v $$;
CREATE FUNCTION support.append(bigint[], bigint) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$ SELECT $1 || $2 $$;
CREATE AGGREGATE support.own_list(bigint) (sfunc = support.append, stype = bigint[], initcond = '{}',
  finalfunc = support.sorted, msfunc = support.append, minvfunc = support.drop_first, mstype = bigint[], minitcond = '{}',
  mfinalfunc = support.sorted);
CREATE FUNCTION support.twice(v numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT v * 2 $$;
CREATE FUNCTION support.label(v text) RETURNS text LANGUAGE plpgsql IMMUTABLE
  AS $$ BEGIN RETURN '<' || coalesce(v, 'none') || '>'; END $$;
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') THEN
    CREATE COLLATION support.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  ELSE
    CREATE COLLATION support.nocase FROM "C";
  END IF;
END $$;
"""

# What triggers of a seed's sources do: compare every stream table with its query while the statement runs.
WATCH_OBJECTS = """
CREATE TABLE {s}.watched (st text PRIMARY KEY, differs text);
CREATE FUNCTION {s}.look() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE w record; d boolean; BEGIN
  FOR w IN SELECT * FROM {s}.watched LOOP EXECUTE w.differs INTO d; IF d THEN
    RAISE EXCEPTION 'in a trigger (% % %) % differs from its query', TG_NAME, TG_WHEN, TG_OP, w.st; END IF; END LOOP;
  RETURN NEW; END $$;
"""
