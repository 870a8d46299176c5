"""Reads of a stream table beside the same reads of a plain table, where more than a scan in one process is involved:
parallel scans, ranges of an index, the first lookup of a new backend, and lookups while others write and fold."""

import os
import threading

from harness import SERIAL, figure, interleave, milliseconds, percentile, ratio, times
from source import Source


def access(server, report, options):
    session = server.connect()
    source = Source(session, options)
    side_by_side(server, source, report, options)
    first_lookups(server, session, source, report, options)
    while_folding(server, session, source, report, options)
    source.check(session)
    source.drop(session)
    session.close()


def side_by_side(server, source, report, options):
    """Nothing pending: parallel scans, and a range of an index."""
    rows = []
    range_end = source.size // 3
    for what, settings, query, node, bar in (
            ("parallel scan, two workers", ("SET max_parallel_workers_per_gather = 2", "SET parallel_setup_cost = 0", "SET parallel_tuple_cost = 0",
                                            "SET min_parallel_table_scan_size = 0"),
             "SELECT sum(amount) FROM {}", "Parallel Seq Scan", 1.25),
            (f"{range_end:,} rows by an index", (SERIAL, "SET enable_seqscan = off", "SET enable_bitmapscan = off"),
             f"SELECT sum(amount) FROM {{}} WHERE id <= {range_end}", "Index Scan", 1.15)):
        reader = server.connect()
        reader.run(*settings)
        for table in ("lines", "lines_heap"):
            plan = "\n".join(row[0] for row in reader.rows("EXPLAIN " + query.format(table)))
            if node not in plan:
                raise SystemExit(f"{what}: another plan than wanted:\n{plan}")
        samples = interleave(2 * options.rounds, {
            table: lambda table=table: reader.seconds(query.format(table)) for table in ("lines", "lines_heap")})
        against = ratio(samples["lines"], samples["lines_heap"])
        rows.append((what, figure(milliseconds(samples["lines_heap"])), figure(milliseconds(samples["lines"])), times(against)))
        report.at_most(f"{what}, nothing pending", against, bar)
        reader.close()
    report.table("Nothing pending: against a plain table of the same content", ("read", "plain table, ms", "stream table, ms", ""), rows,
                 [f"{source.size:,} rows. Best of {2 * options.rounds} rounds."])


def first_lookups(server, session, source, report, options):
    """New backends look one key up, with a thousandth of the source pending."""
    source.change(session, source.size // 1000)

    samples = interleave(5 * options.rounds, {
        table: lambda table=table: server.in_new_backend(f"SELECT total FROM {table} WHERE g = 5", SERIAL, "SELECT 1")
        for table in ("totals", "totals_heap")})
    more = milliseconds(samples["totals"]) - milliseconds(samples["totals_heap"])
    report.table("The first lookup of a new backend: against a plain table", ("pending", "plain table, ms", "stream table, ms"),
                 [(f"{source.size // 1000:,} changes", figure(milliseconds(samples["totals_heap"])), figure(milliseconds(samples["totals"])))],
                 [f"Best of {5 * options.rounds} rounds."])
    report.at_most("the first lookup of a new backend: more than of a plain table, ms", more, 1, "")
    source.refresh(session)


def while_folding(server, session, source, report, options):
    """Lookups by one client, idle and while another session changes rows and folds without a pause. The processor time of
    the client's backend would leave out waits, so these are times on the clock."""
    seconds = 2 if options.quick else 10
    script = f"\\set key random(0, {source.groups - 1})\nSELECT total FROM totals WHERE g = :key;\n"
    prefix = os.path.join(server.scratch, "lookups")
    folds = 0

    def measure(folding):
        nonlocal folds
        stop = threading.Event()

        def fold():
            nonlocal folds
            other = server.connect()
            while not stop.is_set():
                source.change(other, source.size // 1000)
                other.run("SELECT pgstream.refresh_stream_table('totals')")
                folds += 1
            other.close()

        folder = threading.Thread(target=fold)
        if folding:
            folder.start()
        server.pgbench(script, 1, seconds, log=prefix)
        if folding:
            stop.set()
            folder.join()
        return server.latencies(prefix)

    samples = {"idle": [], "folding": []}
    for _ in range(options.rounds):
        samples["idle"] += measure(False)
        samples["folding"] += measure(True)
    report.table("Lookups while another session writes and folds", ("", "lookups", "p50 ms", "p99 ms", "p99.9 ms"),
                 [(name, len(values), *(f"{percentile(values, share):.3f}" for share in (0.5, 0.99, 0.999))) for name, values in samples.items()],
                 [f"One client of pgbench, prepared statements, {seconds} s a run, {options.rounds} rounds; the other updates {source.size // 1000:,} rows "
                  f"and refreshes, without a pause: {folds} times."])
    report.at_most("p99 of lookups while folding, against idle", percentile(samples["folding"], 0.99) / percentile(samples["idle"], 0.99), 1.3)
