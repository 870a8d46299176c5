"""What folding costs beside REFRESH MATERIALIZED VIEW of the same query and, on 18, beside what pg_ivm adds to the
statement that changes the source."""

from harness import figure, interleave, milliseconds, ratio, times
from source import Source

LEVELS = ((0, "nothing"), (0.0001, "0.01 %"), (0.001, "0.1 %"), (0.01, "1 %"), (0.1, "10 %"))
BARS = {"0.01 %": 500, "0.1 %": 150, "1 %": 30, "10 %": 8}
IVM_BARS = {"0.01 %": 5, "0.1 %": 25, "1 %": 200}


def refresh(server, report, options):
    session = server.connect()
    source = Source(session, options)
    queries = {"totals": source.totals, "lines": source.lines}
    for name, query in queries.items():
        session.run(f"CREATE MATERIALIZED VIEW {name}_mv AS {query}")
    rows = {name: [] for name in queries}
    for share, level in LEVELS:
        samples = {}
        for number in range(options.rounds):
            source.change(session, round(source.size * share))
            for name in queries:
                statements = {f"{name} fold": f"SELECT pgstream.refresh_stream_table('{name}')",
                              f"{name} refresh": f"REFRESH MATERIALIZED VIEW {name}_mv"}
                # A fold is done once for each change; its place in the order alternates.
                for key in list(statements) if number % 2 else reversed(list(statements)):
                    samples.setdefault(key, []).append(session.seconds(statements[key]))
        for name in queries:
            against = ratio(samples[f"{name} refresh"], samples[f"{name} fold"])
            rows[name].append((level, figure(milliseconds(samples[f"{name} refresh"])),
                               figure(milliseconds(samples[f"{name} fold"])), times(against)))
            if name == "totals" and share:
                report.at_least(f"refresh against REFRESH MATERIALIZED VIEW, {level} changed", against, BARS[level])
            elif name == "totals":
                report.at_most("refresh with nothing to do, ms", milliseconds(samples[f"{name} fold"]), 0.2, "")
        source.check(session)
        session.run("VACUUM big", "VACUUM totals", "VACUUM lines")
    shape = f"{source.size:,} source rows"
    for name, what in (("totals", f"sum(numeric) and count in {source.groups:,} groups"), ("lines", "filter and projection")):
        report.table(f"Refresh against REFRESH MATERIALIZED VIEW: {name}",
                     ("rows of the source updated", "REFRESH MATERIALIZED VIEW, ms", "refresh_stream_table, ms",
                      "faster by"), rows[name],
                     [f"{shape}; {what}; indexes on the stream table, none on the materialized view. Best of "
                      f"{options.rounds} rounds."])
    if options.pg_ivm:
        against_pg_ivm(session, source, report, options)
    for name in queries:
        session.run(f"DROP MATERIALIZED VIEW {name}_mv")
    source.drop(session)
    session.close()


def against_pg_ivm(session, source, report, options):
    """pg_ivm maintains inside the UPDATE: its maintenance is the UPDATE with the view minus the bare UPDATE."""
    for table in ("bare", "viewed"):
        source.fill(session, table)
    session.run(f"SELECT pgivm.create_immv('immv', '{source.TOTALS.format('viewed')}')", "ANALYZE immv")
    rows = []
    for share, level in LEVELS[1:4]:
        count = round(source.size * share)
        # At 1 % one round takes pg_ivm a quarter of a minute.
        rounds = min(options.rounds, 1 if share >= 0.01 else 3)

        def fold():
            source.change(session, count)
            return session.seconds("SELECT pgstream.refresh_stream_table('totals')")

        samples = interleave(rounds, {"bare": lambda: source.change(session, count, "bare"),
                                      "viewed": lambda: source.change(session, count, "viewed"), "fold": fold})
        added = [max(a - b, 1e-6) for a, b in zip(samples["viewed"], samples["bare"])]
        report.at_least(f"refresh against pg_ivm's maintenance, {level} changed", ratio(added, samples["fold"]), IVM_BARS[level])
        rows.append((level, figure(milliseconds(added)), figure(milliseconds(samples["fold"])),
                     times(ratio(added, samples["fold"]))))
    report.table("Refresh against pg_ivm's maintenance: totals",
                 ("rows of the source updated", "pg_ivm: UPDATE with the view minus bare UPDATE, ms",
                  "refresh_stream_table, ms", "faster by"), rows,
                 ["10 % is left out: pg_ivm takes minutes there. Best of up to 3 rounds, one at 1 %."])
    session.run("DROP TABLE immv", "DROP TABLE bare, viewed")
