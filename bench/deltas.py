"""How fast pending changes become groups: the first read of a new backend, beside the query over the same rows.

It promises that everything is pending, that all of it was summed column by column (EXPLAIN says so), on one core, and that the
answers are the same. The stream table's base is empty, so what is timed is reading the log, grouping it and returning the groups.
"""

from harness import SERIAL, figure, interleave, milliseconds, ratio, require_incremental, require_same, times

SHAPES = (
    ("integer key, sum of integers, count", "k integer, v integer", "i % 10000, i % 1000",
     "SELECT k, sum(v) AS total, count(*) AS n FROM {} GROUP BY k"),
    ("the same of every second row, by a condition", "k integer, v integer", "i % 10000, i % 1000",
     "SELECT k, sum(v) AS total, count(*) AS n FROM {} WHERE v < 500 GROUP BY k"),
    ("two keys, sum of numerics, average of bigints", "k integer, d date, v numeric(12,2), w bigint",
     "i % 1000, date '2026-01-01' + i % 10, i % 100000 / 100.0, i",
     "SELECT k, d, sum(v) AS total, avg(w) AS mean FROM {} GROUP BY k, d"),
    ("text key, sum of integers, greatest date", "k text, v integer, d date",
     "'customer ' || i % 10000, i % 1000, date '2026-01-01' + i % 300",
     "SELECT k, sum(v) AS total, max(d) AS latest FROM {} GROUP BY k"),
)
SUMMARY = "SELECT count(*) FROM {}"


def deltas(server, report, options):
    size = 400_000 if options.quick else 4_000_000
    session = server.connect()
    rows = []
    for name, columns, values, query in SHAPES:
        session.run(f"CREATE TABLE changes ({columns})", f"CREATE TABLE grouped USING pgstream AS {query.format('changes')}")
        require_incremental(session, "grouped")
        session.run(f"INSERT INTO changes SELECT {values} FROM generate_series(1, {size}) AS i", "VACUUM (ANALYZE) changes")

        def read(statement):
            return server.in_new_backend(statement, SERIAL, "SELECT count(*) FROM pgstream.pgs_log")

        plan = "\n".join(row[0] for row in session.rows("EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF) " + SUMMARY.format("grouped")))
        if f"Changes Summed: {size}" not in plan:
            raise SystemExit(f"not all changes were summed column by column:\n{plan}")
        samples = interleave(options.rounds, {
            "grouped": lambda: read(SUMMARY.format("grouped")),
            "query": lambda: read(SUMMARY.format(f"({query.format('changes')}) AS q"))})
        require_same(session, "grouped", query.format("changes"))
        against = ratio(samples["query"], samples["grouped"])
        rate = size / min(samples["grouped"]) / 1e6
        rows.append((name, figure(milliseconds(samples["query"])), figure(milliseconds(samples["grouped"])), figure(rate),
                     times(against)))
        if name == SHAPES[0][0]:
            report.at_least("changes grouped, 10,000 groups, millions a second", rate, 30, "")
            report.at_least("changes grouped against the executor grouping the same rows", against, 10)
        session.run("DROP TABLE changes CASCADE")
    report.table("From the log to groups: the first read with everything pending, against the query over the same rows",
                 ("groups", "query, ms", "read, ms", "million changes a second", "faster by"), rows,
                 [f"{size:,} rows inserted by one statement into 10,000 groups; new backends, serial plans. Best of {options.rounds} rounds."])
    session.close()
