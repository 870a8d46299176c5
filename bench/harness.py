"""What the parts of the bench share: connections, interleaved timings, and the report.

It promises that figures compared with each other come from interleaved runs (the order rotates from round to round),
that a figure is the fastest of its rounds (what else goes on in a machine only ever adds time), and that every bar is
printed with what was measured.
"""

import glob
import os
import re
import subprocess
import time

import psycopg2


SERIAL = "SET max_parallel_workers_per_gather = 0"


class Server:
    """The scratch server that PGHOST, PGPORT and PGUSER name."""

    def __init__(self, bindir, scratch, cpu_clock=False):
        self.bindir = bindir
        self.scratch = scratch
        self.cpu_clock = cpu_clock

    def connect(self, database="bench"):
        connection = psycopg2.connect(dbname=database)
        connection.autocommit = True
        session = Session(connection, self.cpu_clock)
        if self.cpu_clock:
            session.run(SERIAL)
        return session

    def pgbench(self, script, clients, seconds, database="bench", log=None):
        """Transactions per second of a script run by prepared statements. log: prefix of files that tell each one's latency."""
        path = os.path.join(self.scratch, "script.sql")
        with open(path, "w") as file:
            file.write(script)
        command = [os.path.join(self.bindir, "pgbench"), "-n", "-M", "prepared", "-f", path, "-c", str(clients),
                   "-j", str(min(clients, os.cpu_count() or 1)), "-T", str(seconds)] + (["-l", "--log-prefix", log] if log else []) + [database]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return float(re.search(r"^tps = ([0-9.]+)", output, re.MULTILINE).group(1))


    def latencies(self, log):
        """Takes the files of pgbench runs whose log's prefix was this, or matches it: milliseconds of each transaction."""
        found = []
        for path in glob.glob(log + ".*"):
            with open(path) as file:
                found += [int(line.split()[2]) / 1000 for line in file]
            os.unlink(path)
        return found

    def in_new_backend(self, statement, *before):
        """Time of a statement that a new connection sends after others."""
        new = self.connect()
        new.run(*before)
        elapsed = new.seconds(statement)
        new.close()
        return elapsed


class Session:
    """One backend, in autocommit."""

    def __init__(self, connection, cpu_clock):
        self.connection = connection
        self.cursor = connection.cursor()
        self.clock = time.perf_counter
        if cpu_clock:
            self.schedule = open(f"/proc/{connection.get_backend_pid()}/schedstat")
            self.clock = self.backend_time

    def backend_time(self):
        """Seconds of processor time that the backend has used: what others do on the machine hardly changes it."""
        self.schedule.seek(0)
        return int(self.schedule.read().split()[0]) / 1e9

    def run(self, *statements):
        for statement in statements:
            self.cursor.execute(statement)

    def value(self, query):
        self.cursor.execute(query)
        return self.cursor.fetchone()[0]

    def rows(self, query):
        self.cursor.execute(query)
        return self.cursor.fetchall()

    def seconds(self, statement):
        """Time of one statement as its client sees it; under --clock cpu the backend's processor time."""
        start = self.clock()
        self.cursor.execute(statement)
        return self.clock() - start

    def close(self):
        self.connection.close()


def interleave(rounds, variants, samples=None):
    """Runs each of variants (name -> function returning a number) once a round, starting with another one each round.
    Returns name -> list of numbers, appended to samples where given."""
    samples = {} if samples is None else samples
    names = list(variants)
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            samples.setdefault(name, []).append(variants[name]())
    return samples


def ratio(numerators, denominators):
    """How many times as long the one takes as the other, each at its fastest."""
    return min(numerators) / min(denominators)


def milliseconds(samples):
    return min(samples) * 1e3


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def figure(number):
    """Three digits are all that such measurements carry."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def times(number):
    return figure(number) + "x"


class Report:
    """Collects tables and bars; prints each table when it is complete, all of it in Markdown."""

    def __init__(self):
        self.text = []
        self.bars = []

    def say(self, line=""):
        self.text.append(line)
        print(line, flush=True)

    def table(self, title, header, rows, notes=()):
        self.say(f"\n### {title}\n")
        for note in notes:
            self.say(note)
        if notes:
            self.say()
        self.say("| " + " | ".join(header) + " |")
        self.say("|" + "---|" * len(header))
        for row in rows:
            self.say("| " + " | ".join(str(cell) for cell in row) + " |")

    def at_most(self, what, measured, limit, unit="x"):
        self.bars.append((what, figure(measured) + unit, f"<= {limit}{unit}", measured <= limit))

    def at_least(self, what, measured, limit, unit="x"):
        self.bars.append((what, figure(measured) + unit, f">= {limit}{unit}", measured >= limit))

    def print_bars(self):
        if self.bars:
            self.table("Bars", ("bar", "measured", "required", ""),
                       [(what, measured, required, "met" if met else "**missed**")
                        for what, measured, required, met in self.bars])


def same_rows(session, left, right):
    """Whether two queries return the same rows as text, as multisets, in one statement."""
    def as_text(query):
        return f"SELECT q::text AS row FROM ({query}) AS q"
    return session.value(f"""
        SELECT NOT EXISTS (({as_text(left)}) EXCEPT ALL ({as_text(right)}))
           AND NOT EXISTS (({as_text(right)}) EXCEPT ALL ({as_text(left)}))""")


def require_incremental(session, stream_table):
    """A stream table that recomputes would be measured as something it is not."""
    properties = dict(session.rows(f"SELECT * FROM pgstream.explain_st('{stream_table}')"))
    if properties.get("strategy", "recompute").startswith("recompute") or properties["populated"] != "yes":
        raise SystemExit(f"{stream_table} is answered by recompute: {properties.get('reason')}")


def require_same(session, stream_table, query):
    if not same_rows(session, f"SELECT * FROM {stream_table}", query):
        raise SystemExit(f"{stream_table} does not answer what its query answers: nothing measured here counts")
