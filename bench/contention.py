"""Contention: 16 writers, 4 readers and 2 folders on one source, against 16 writers and 4 readers of plain tables.

Autovacuum runs, unlike in the other measurements: nobody lets tables that are written all the time go without for minutes.
It promises that the writers of both sides do the same statements on tables of the same shape, in slices that alternate;
that readers check, with each read, that no change was lost or doubled (every transaction of a writer keeps the sum and the
number of rows); and that at the end each stream table is compared with its query, before and after a refresh. It reports
the writers' latencies, deadlocks and errors, what writers waited for, and memory and log size over time.
"""

import os
import re
import subprocess
import threading
import time

from harness import figure, percentile, require_incremental, times

WRITERS, READERS, FOLDERS = 16, 4, 2
ROWS = 200_000

# Each transaction moves an amount between two rows, inserts rows that cancel out and deletes as many old ones.
WRITER = """
\\set a random(1, {rows} / 2)
\\set b random({rows} / 2 + 1, {rows})
\\set d random(1, 100)
BEGIN;
UPDATE {table} SET amount = amount + :d WHERE id = :a;
UPDATE {table} SET amount = amount - :d WHERE id = :b;
COMMIT;
SELECT nextval('{table}_ids') AS new \\gset
BEGIN;
INSERT INTO {table} VALUES (:new, :a % 500, :d, 'new'), (-(:new::bigint), :b % 500, 0 - :d, 'new');
DELETE FROM {table} WHERE id = :new OR id = -(:new::bigint);
COMMIT;
"""
# A division by zero tells of a change that was lost or seen twice.
READER = """
\\set g random(0, 499)
SELECT 1 / (sum(total) = {total} AND sum(n) = {rows})::int FROM {totals};
SELECT * FROM {totals} WHERE g = :g;
SELECT 1 / (count(*) = {rows})::int FROM {lines} WHERE id >= 0;
\\sleep 50 ms
"""
FOLDER = """
SELECT pgstream.refresh_stream_table('totals');
\\sleep 250 ms
SELECT pgstream.refresh_stream_table('lines');
\\sleep 250 ms
"""
IDLE = "\\sleep 500 ms\nSELECT 1;\n"


class Slices:
    """pgbench groups of one side, with a log of every transaction of the writers."""

    def __init__(self, server, seconds):
        self.server = server
        self.seconds = seconds
        self.number = 0
        self.failures = []

    def start(self, name, script, clients, log=False):
        path = os.path.join(self.server.scratch, f"{name}.sql")
        with open(path, "w") as file:
            file.write(script)
        command = [os.path.join(self.server.bindir, "pgbench"), "-n", "-M", "prepared", "-f", path, "-c", str(clients),
                   "-j", str(min(clients, 4)), "-T", str(self.seconds)]
        if log:
            command += ["-l", "--log-prefix", os.path.join(self.server.scratch, f"{name}.{self.number}.log")]
        environment = dict(os.environ, PGAPPNAME=name)
        return name, subprocess.Popen(command + ["contention"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True)

    def run(self, scripts):
        """One slice: scripts is a list of (name, script, clients, log). Returns latencies (ms) of the logged ones."""
        self.number += 1
        running = [self.start(*script) for script in scripts]
        for name, process in running:
            output = process.communicate()[0]
            if process.returncode != 0 or re.search(r"ERROR|aborted", output):
                self.failures.append(f"{name}: " + " / ".join(re.findall(r".*(?:rror|abort).*", output)[:3]))
        latencies = self.server.latencies(os.path.join(self.server.scratch, f"*.{self.number}.log"))
        if not latencies:
            raise SystemExit("no writer got through: " + "; ".join(self.failures))
        return latencies


class Observer(threading.Thread):
    """Looks at waits, memory and the log once a second."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.session = server.connect("contention")
        self.stop = False
        self.waits, self.memory, self.log = {}, [], []

    def run(self):
        while not self.stop:
            for event, count in self.session.rows(
                    "SELECT coalesce(wait_event_type || ':' || wait_event, 'running'), count(*) FROM pg_stat_activity "
                    "WHERE application_name = 'watched_writers' AND state = 'active' GROUP BY 1"):
                self.waits[event] = self.waits.get(event, 0) + count
            pids = [pid for (pid,) in self.session.rows("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'watched%'")]
            self.memory.append(max((self.anonymous(pid) for pid in pids), default=0))
            self.log.append(self.session.value("SELECT sum(pg_relation_size(s)) FROM pgstream.pgs_log, unnest(segments) s"))
            time.sleep(1)

    @staticmethod
    def anonymous(pid):
        try:
            with open(f"/proc/{pid}/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
        except (OSError, StopIteration):
            return 0


def fill(session):
    for table in ("watched", "bare"):
        session.run(f"CREATE TABLE {table} (id bigint PRIMARY KEY, g integer NOT NULL, amount numeric NOT NULL, note text NOT NULL) "
                    "WITH (fillfactor = 70)",
                    f"INSERT INTO {table} SELECT i, i % 500, i % 1000, 'note' FROM generate_series(1, {ROWS}) i",
                    f"CREATE SEQUENCE {table}_ids START {ROWS + 1} CACHE 1", f"VACUUM (ANALYZE) {table}")
    totals = "SELECT g, sum(amount) AS total, count(*) AS n FROM {} GROUP BY g"
    lines = "SELECT id, g, amount FROM {} WHERE amount > -1000000"
    for name, query in (("totals", totals), ("lines", lines)):
        session.run(f"CREATE TABLE {name} USING pgstream AS {query.format('watched')}",
                    f"CREATE TABLE bare_{name} AS {query.format('bare')}")
        require_incremental(session, name)
    session.run("CREATE INDEX ON totals (g)", "CREATE INDEX ON bare_totals (g)", "VACUUM ANALYZE")
    return session.value("SELECT sum(amount) FROM watched")


def third(values, number):
    return values[len(values) * number // 3:len(values) * (number + 1) // 3]


def level(values):
    """The highest of the last third as a multiple of the highest of the second."""
    third = max(len(values) // 3, 1)
    return max(values[-third:]) / max(max(values[third:2 * third] or values), 1)


def contention(server, report, options):
    admin = server.connect("postgres")
    admin.run("CREATE DATABASE contention")
    admin.close()
    session = server.connect("contention")
    session.run("CREATE EXTENSION pg_stream", "ALTER SYSTEM SET autovacuum = on")
    session.value("SELECT pg_reload_conf()")
    total = fill(session)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'contention'"
    deadlocks_before = session.value(deadlocks)

    rounds = max(1, round(options.seconds / (2 * options.slice)))
    slices = Slices(server, options.slice)
    watched = [("watched_writers", WRITER.format(table="watched", rows=ROWS), WRITERS, True),
               ("watched_readers", READER.format(totals="totals", lines="lines", total=total, rows=ROWS), READERS, False),
               ("watched_folders", FOLDER, FOLDERS, False)]
    bare = [("bare_writers", WRITER.format(table="bare", rows=ROWS), WRITERS, True),
            ("bare_readers", READER.format(totals="bare_totals", lines="bare_lines", total=total, rows=ROWS), READERS, False),
            ("bare_folders", IDLE, FOLDERS, False)]
    observer = Observer(server)
    observer.start()
    latencies = {"watched": [], "bare": []}
    for number in range(rounds):
        for side, scripts in ([("watched", watched), ("bare", bare)] if number % 2 == 0 else [("bare", bare), ("watched", watched)]):
            latencies[side] += slices.run(scripts)
    observer.stop = True
    observer.join()

    verdicts = []
    for name in ("totals", "lines"):
        verdicts.append((name, "live") + session.rows(f"SELECT * FROM pgstream.verify('{name}')")[0])
        session.run(f"SELECT pgstream.refresh_stream_table('{name}')")
        verdicts.append((name, "refreshed") + session.rows(f"SELECT * FROM pgstream.verify('{name}')")[0])
    deadlocked = session.value(deadlocks) - deadlocks_before

    report.table(f"Contention: {WRITERS} writers, {READERS} readers, {FOLDERS} folders, {2 * rounds} slices of {options.slice} s",
                 ("writers of", "transactions", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "longest ms"),
                 [(side, len(values), *(figure(percentile(values, share)) for share in (0.5, 0.95, 0.99, 0.999)),
                   figure(max(values))) for side, values in latencies.items()],
                 ["Autovacuum is on, with the server's defaults: what ten minutes of writes leave behind is part of what is compared."])
    report.table("What it did", ("", ""),
                 [("deadlocks", deadlocked), ("errors", "; ".join(slices.failures) or "none"),
                  ("highest anonymous memory of a backend, last third to second", times(level(observer.memory))),
                  ("... kB", max(observer.memory)), ("log, last third to second", times(level(observer.log))),
                  ("... kB", f"{max(observer.log) / 1024:,.0f}"),
                  ("p99 against the bare table's, by thirds", ", ".join(
                      times(percentile(third(latencies["watched"], i), 0.99) / percentile(third(latencies["bare"], i), 0.99))
                      for i in range(3))),
                  ("writers' waits", ", ".join(f"{event} {count}" for event, count in
                                               sorted(observer.waits.items(), key=lambda item: -item[1])[:8]))])
    report.table("Content", ("stream table", "when", "missing", "unexpected", "rows"), verdicts)
    report.at_most("p99 of writers, as a multiple of the bare table's",
                   percentile(latencies["watched"], 0.99) / percentile(latencies["bare"], 0.99), 1.2)
    if deadlocked or slices.failures or any(verdict[2] or verdict[3] for verdict in verdicts):
        raise SystemExit("a change was lost, doubled or refused: see above")
