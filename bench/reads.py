"""What reading a stream table costs with changes pending: scans and point lookups beside a plain table, and a fresh read
beside running the defining query."""

from harness import SERIAL, figure, interleave, milliseconds, ratio, times
from source import Source

LEVELS = ((0, "nothing"), (0.0001, "0.01 %"), (0.001, "0.1 %"), (0.01, "1 %"))
SCAN_BARS = {"nothing": 1.02, "0.01 %": 1.05, "0.1 %": 1.1, "1 %": 1.4}


def lookup_function(name, query):
    """Point lookups by an ever different key, in a loop over one prepared plan."""
    return f"""CREATE FUNCTION lookup_{name}(lookups integer, groups integer) RETURNS bigint LANGUAGE plpgsql AS $$
               DECLARE key integer; found_total numeric; hits bigint := 0;
               BEGIN
                 FOR i IN 1 .. lookups LOOP
                   key := (i * 7919::bigint) % groups;
                   SELECT total INTO found_total FROM {query.format(key="key")};
                   IF found_total IS NOT NULL THEN hits := hits + 1; END IF;
                 END LOOP;
                 RETURN hits;
               END$$"""


def reads(server, report, options):
    session = server.connect()
    source = Source(session, options)
    lookups = 5_000
    targets = {"stream": "totals WHERE g = {key}", "heap": "totals_heap WHERE g = {key}",
               "query": "(" + source.TOTALS.format("big WHERE g = {key}") + ") AS q"}
    for name, query in targets.items():
        session.run(lookup_function(name, query))
    summary = "SELECT count(*), sum(total) FROM {}"
    scans = {("lines", "count(*)"): "SELECT count(*) FROM {}", ("lines", "sum(amount)"): "SELECT sum(amount) FROM {}",
             ("totals", "count(*)"): "SELECT count(*) FROM {}", ("totals", "sum(total)"): "SELECT sum(total) FROM {}"}
    scan_rows = {key: [] for key in scans}
    lookup_rows, fresh_rows = [], []
    pending = 0
    for share, level in LEVELS:
        # Backends that have read before this level's changes: each gives one first read after them.
        warm = [server.connect() for _ in range(options.rounds)]
        for other in warm:
            other.run(SERIAL, summary.format("totals"))
        wanted = round(source.size * share)
        source.change(session, wanted - pending)
        pending = wanted
        unread = iter(warm)
        fresh = interleave(options.rounds, {
            "new": lambda: server.in_new_backend(summary.format("totals"), SERIAL), "warm": lambda: next(unread).seconds(summary.format("totals")),
            "query": lambda: session.seconds(summary.format(f"({source.totals}) AS q"))})
        for other in warm:
            other.close()
        fresh_rows.append((level, figure(milliseconds(fresh["query"])), figure(milliseconds(fresh["new"])),
                           times(ratio(fresh["query"], fresh["new"])), figure(milliseconds(fresh["warm"])),
                           times(ratio(fresh["query"], fresh["warm"]))))
        if level == "0.1 %":
            report.at_least("fresh read against the query, 0.1 % pending, new backend",
                            ratio(fresh["query"], fresh["new"]), 200)
            report.at_least("fresh read against the query, 0.1 % pending, warm backend",
                            ratio(fresh["query"], fresh["warm"]), 200)
        reader = server.connect()
        reader.run(SERIAL)
        for (table, what), scan in scans.items():
            first = reader.seconds(scan.format(table))
            reader.run(scan.format(table), scan.format(table + "_heap"))
            # A small table is scanned several times for one sample.
            repeat = 1 if table == "lines" else 10
            samples = interleave(2 * options.rounds, {
                name: lambda name=name: sum(reader.seconds(scan.format(name)) for _ in range(repeat)) / repeat
                for name in (table, table + "_heap")})
            against = ratio(samples[table], samples[table + "_heap"])
            scan_rows[table, what].append((level, first, samples[table + "_heap"], against))
            if table == "lines":
                report.at_most(f"full scan of {table}, {level} pending: {what}", against, SCAN_BARS[level])
        for name in targets:
            found = reader.value(f"SELECT lookup_{name}({lookups}, {source.groups})")
            assert found == min(lookups, source.groups), (name, found)
        loops = interleave(2 * options.rounds, {
            name: lambda name=name: reader.seconds(f"SELECT lookup_{name}({lookups}, {source.groups})") / lookups
            for name in targets})
        script = f"\\set key random(0, {source.groups - 1})\nSELECT total FROM {{}};\n"
        clients = interleave(options.rounds, {
            name: lambda name=name: 1 / server.pgbench(script.format(targets[name].format(key=":key")), 1, 1)
            for name in ("stream", "heap")})
        against = ratio(loops["stream"], loops["heap"])
        if level == "0.1 %":
            report.at_most("point lookup, 0.1 % pending, in a loop on the server", against, 1.5)
        lookup_rows.append((level, figure(milliseconds(loops["heap"]) * 1e3), figure(milliseconds(loops["stream"]) * 1e3),
                            times(against), times(ratio(loops["query"], loops["stream"])),
                            times(ratio(clients["stream"], clients["heap"]))))
        reader.close()
        source.check(session)
    shape = f"{source.size:,} source rows, {source.groups:,} groups"
    report.table("Full scans: against a plain table of the same content",
                 ("stream table", "query", "plain table, ms") + tuple(f"{level} pending" for _, level in LEVELS) +
                 ("first read with 1 % pending, ms",),
                 [(f"{table} ({source.size if table == 'lines' else source.groups:,} rows)", what,
                   figure(milliseconds(rows[0][2]))) + tuple(times(row[3]) for row in rows) +
                  (figure(rows[-1][1] * 1e3),)
                  for (table, what), rows in scan_rows.items()],
                 [f"{shape}; serial plans; the overlay is cached, as after the first read. Best of "
                  f"{2 * options.rounds} rounds."])
    report.table("Point lookups by key: against an indexed plain table and against the query for that key",
                 ("pending", "plain table, us", "stream table, us", "against the plain table",
                  "faster than the query for the key", "one client, prepared statements: against the plain table"),
                 lookup_rows, [f"{shape}; a loop of {lookups:,} lookups in a PL/pgSQL function, one cached plan, an index on "
                               "the key of each table (and on the source's). The last column: pgbench."])
    report.table("Fresh reads: the first read after the changes, against running the query",
                 ("pending", "query, ms", "new backend, ms", "faster by", "warm backend, ms", "faster by"), fresh_rows,
                 [f"{shape}; `{summary.format('totals')}` and the same over the query (`{source.totals}`, "
                  f"{'serial' if server.cpu_clock else 'with the choice of parallel workers that the server makes'}). A warm backend has read before these changes. Best of "
                  f"{options.rounds} rounds."])
    for name in targets:
        session.run(f"DROP FUNCTION lookup_{name}")
    source.drop(session)
    session.close()
