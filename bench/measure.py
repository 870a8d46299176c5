"""Runs the parts of the bench on the server that PGHOST names and writes the report. Called by bench/run."""

import argparse
import os
import platform
import sys

from harness import Report, Server
import access
import contention
import deltas
import populate
import reads
import refresh
import writes

PARTS = {"writes": writes.bulk, "partitioned": writes.partitioned, "writers": writes.writers, "reads": reads.reads,
         "access": access.access, "deltas": deltas.deltas, "refresh": refresh.refresh, "populate": populate.populate}
ON_DEMAND = {"contention": contention.contention}  # takes its own time


def machine():
    model = platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
        with open("/proc/meminfo") as file:
            memory = int(file.readline().split()[1]) // (1024 * 1024)
    except OSError:
        return f"{os.cpu_count()} cores ({model})"
    return f"{os.cpu_count()} cores ({model}), {memory} GB of memory"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bindir", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--only", action="append", choices=list(PARTS | ON_DEMAND))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--slice", type=int, default=20)
    options = parser.parse_args()
    server = Server(options.bindir, options.scratch, options.clock == "cpu")
    session = server.connect("postgres")
    session.run("CREATE DATABASE bench")
    version = session.value("SELECT current_setting('server_version')")
    shared, work_mem = session.rows("SELECT current_setting('shared_buffers'), current_setting('work_mem')")[0]
    session.close()
    session = server.connect()
    session.run("CREATE EXTENSION pg_stream")
    ivm = session.rows("SELECT default_version FROM pg_available_extensions WHERE name = 'pg_ivm'")
    options.pg_ivm = bool(ivm)
    if ivm:
        session.run("CREATE EXTENSION pg_ivm")
    session.close()

    report = Report()
    report.say(f"## PostgreSQL {version}")
    report.say(f"\n{machine()}; shared_buffers {shared}, work_mem {work_mem}, fsync, autovacuum and jit off, everything in "
               f"memory{'; pg_ivm ' + ivm[0][0] if ivm else ''}. {'Quick run: a tenth of the sizes. ' if options.quick else ''}"
               f"{'Times are processor times of the backend, plans serial. ' if server.cpu_clock else ''}"
               "Each figure is the fastest of its rounds.")
    for name in options.only or PARTS:
        (PARTS | ON_DEMAND)[name](server, report, options)
    report.print_bars()
    with open(options.report, "w") as file:
        file.write("\n".join(report.text) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
