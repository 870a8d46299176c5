"""The source that reads and refreshes are measured over, with the stream tables on it and what they are compared with."""

from harness import require_incremental, require_same


class Source:
    """`big`: 3,000,000 rows in 100,000 groups (a tenth of both with --quick). Stream tables: `totals`, sum of a numeric
    and count of each group; `lines`, a filter and projection that keeps every row. `totals_heap` and `lines_heap` are
    plain tables of the same content, filled from the queries; every one of them is indexed on its key."""

    TOTALS = "SELECT g, sum(amount) AS total, count(*) AS n FROM {} GROUP BY g"
    LINES = "SELECT id, g, amount FROM {} WHERE amount >= 0"

    def __init__(self, session, options):
        self.size = 300_000 if options.quick else 3_000_000
        self.groups = self.size // 30
        self.totals = self.TOTALS.format("big")
        self.lines = self.LINES.format("big")
        self.cursor = 0
        self.fill(session, "big")
        for name, query, key in (("totals", self.totals, "g"), ("lines", self.lines, "id")):
            session.run(f"CREATE TABLE {name} USING pgstream AS {query}",
                        f"CREATE TABLE {name}_heap AS SELECT * FROM {name}",
                        f"CREATE INDEX ON {name} ({key})", f"CREATE INDEX ON {name}_heap ({key})",
                        f"VACUUM (ANALYZE) {name}", f"VACUUM (ANALYZE) {name}_heap")
            require_incremental(session, name)
        self.check(session)

    def fill(self, session, table):
        """A table like big. Rows are of groups as if drawn by lot: changing a few rows changes as many groups."""
        session.run(f"CREATE TABLE {table} (id bigint PRIMARY KEY, g integer NOT NULL, amount numeric(12,2) NOT NULL, "
                    "note text NOT NULL)",
                    f"""INSERT INTO {table} SELECT i, abs(hashint8(i)) % {self.groups}, (i * 104729 % 1000000) / 100.0,
                               'a note of twenty-odd letters' FROM generate_series(1::bigint, {self.size}) AS i""",
                    f"CREATE INDEX ON {table} (g)", f"VACUUM (ANALYZE) {table}")

    def change(self, session, rows, table="big"):
        """Updates the amounts of the next rows of big, spread over the whole of it. Returns the seconds it took."""
        if not rows:
            return 0.0
        step = self.size // rows
        self.cursor = (self.cursor + 7) % step
        session.run("CREATE TEMPORARY TABLE IF NOT EXISTS changed (id bigint)", "TRUNCATE changed",
                    f"INSERT INTO changed SELECT i FROM generate_series({self.cursor + 1}, {self.size}, {step}) AS i "
                    f"LIMIT {rows}", "ANALYZE changed")
        return session.seconds(f"UPDATE {table} SET amount = amount + 1.25 FROM changed WHERE {table}.id = changed.id")

    def check(self, session):
        """The answers are right, or nothing measured counts. The big one is compared by a sum of its hashes."""
        require_same(session, "totals", self.totals)
        digest = "SELECT sum(hashtextextended(q::text, 0)) AS digest, count(*) FROM ({}) AS q"
        require_same(session, f"({digest.format('SELECT * FROM lines')}) AS d", digest.format(self.lines))

    def refresh(self, session):
        session.run("SELECT pgstream.refresh_stream_table('totals')", "SELECT pgstream.refresh_stream_table('lines')")

    def drop(self, session):
        session.run("DROP TABLE big CASCADE", "DROP TABLE IF EXISTS totals_heap, lines_heap")
