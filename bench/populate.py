"""What computing the whole content costs, at creation and in a full recompute, beside CREATE MATERIALIZED VIEW of the same query."""

from harness import figure, interleave, milliseconds, ratio, require_same, times

QUERIES = {
    "totals": "SELECT g, sum(amount) AS total, count(*) AS n FROM facts GROUP BY g",
    "sums": "SELECT k, sum(v) AS total, count(*) AS n FROM facts GROUP BY k",
    "whole": "SELECT sum(v) AS total, count(*) AS n, max(v) AS most FROM facts WHERE k < 5000",
    "lines": "SELECT id, g, amount FROM facts WHERE amount >= 0",
}


def fill(session, size):
    """facts: rows of groups as if drawn by lot, size/30 of them by g and size/300 by k."""
    session.run("CREATE TABLE facts (id bigint PRIMARY KEY, g integer NOT NULL, k integer NOT NULL, v integer NOT NULL, "
                "amount numeric(12,2) NOT NULL, note text NOT NULL)",
                f"""INSERT INTO facts SELECT i, abs(hashint8(i)) % {size // 30}, abs(hashint8(-i)) % {size // 300},
                           i * 7919 % 100000, (i * 104729 % 1000000) / 100.0, 'a note of twenty-odd letters'
                    FROM generate_series(1::bigint, {size}) AS i""",
                "VACUUM (ANALYZE) facts")


def populate(server, report, options):
    session = server.connect()
    size = 300_000 if options.quick else 3_000_000
    fill(session, size)
    shapes = {"totals": f"sum(numeric), count(*) in {size // 30:,} groups", "sums": f"sum(integer), count(*) in {size // 300:,} groups",
              "whole": "one row of sum, count and max under a condition", "lines": "filter and projection, not grouped"}
    rows = []
    for name, query in QUERIES.items():
        session.run(f"CREATE TABLE kept USING pgstream WITH (refresh_mode = 'FULL') AS {query}")

        def view():
            session.run("DROP MATERIALIZED VIEW IF EXISTS v")
            return session.seconds(f"CREATE MATERIALIZED VIEW v AS {query}")

        def stream():
            session.run("DROP TABLE IF EXISTS s")
            return session.seconds(f"CREATE TABLE s USING pgstream AS {query}")

        def recompute():
            return session.seconds("SELECT pgstream.refresh_stream_table('kept')")

        samples = interleave(options.rounds, {"view": view, "populate": stream, "recompute": recompute})
        digest = "SELECT sum(hashtextextended(q::text, 0)) AS digest, count(*) FROM ({}) AS q"
        for table in ("s", "kept"):
            require_same(session, f"({digest.format(f'SELECT * FROM {table}')}) AS d", digest.format(query))
        created, recomputed = (ratio(samples["view"], samples[what]) for what in ("populate", "recompute"))
        rows.append((shapes[name], *(figure(milliseconds(samples[what])) for what in ("view", "populate", "recompute")),
                     times(created), times(recomputed)))
        if name in ("totals", "sums"):
            report.at_least(f"populate against CREATE MATERIALIZED VIEW, {name}", created, 5)
            report.at_least(f"full recompute against CREATE MATERIALIZED VIEW, {name}", recomputed, 5)
        session.run("DROP TABLE s, kept", "DROP MATERIALIZED VIEW v", "VACUUM")
    report.table("Populate and full recompute against CREATE MATERIALIZED VIEW",
                 ("query", "CREATE MATERIALIZED VIEW, ms", "CREATE TABLE USING pgstream, ms", "full recompute, ms",
                  "populate faster by", "recompute faster by"), rows,
                 [f"{size:,} source rows. The recompute is a refresh of a stream table with refresh_mode = 'FULL', of which nothing "
                  f"changed. Best of {options.rounds} rounds."])
    session.run("DROP TABLE facts")
    session.close()
