"""What writing a source costs beside writing a bare table: in bulk and row by row, partitioned, one writer and eight."""

from harness import figure, interleave, milliseconds, ratio, require_incremental, times

COLUMNS = """id bigint PRIMARY KEY, k integer NOT NULL, v integer NOT NULL, amount numeric(12,2) NOT NULL,
             note text NOT NULL, at timestamptz NOT NULL"""


def stream_tables(source, count):
    """The stream tables over a source, all of them over its columns k and v; the first is a GROUP BY."""
    queries = [f"SELECT k, sum(v) AS total, count(*) AS n FROM {source} GROUP BY k"]
    for i in range(1, count):
        if i % 2:
            queries.append(f"SELECT k, v FROM {source} WHERE v = {i}")
        else:
            queries.append(f"SELECT k / {i} AS k, sum(v) AS total, count(*) AS n FROM {source} GROUP BY 1")
    return {f"{source}_st{i}": query for i, query in enumerate(queries[:count])}


def single_row_functions(table):
    loops = {
        "insert": f"INSERT INTO {table} VALUES (i, i % 1000, i % 100, 9.5, 'a note of some thirty-two letters', now())",
        "update": f"UPDATE {table} SET v = v + 1 WHERE id = i",
        "delete": f"DELETE FROM {table} WHERE id = i",
    }
    return [f"""CREATE FUNCTION {table}_{name}(first bigint, rows integer) RETURNS void LANGUAGE plpgsql AS
                $$BEGIN FOR i IN first .. first + rows - 1 LOOP {statement}; END LOOP; END$$"""
            for name, statement in loops.items()]


def log_bytes(session, source):
    return session.value(f"""SELECT coalesce(sum(pg_relation_size(s)), 0)::bigint
                               FROM pgstream.pgs_log, unnest(segments) AS s WHERE source_relid = '{source}'::regclass""")


def bulk(server, report, options):
    size = 40_000 if options.quick else 400_000
    quarter = size // 4
    groups = 10_000
    session = server.connect()
    session.run(f"CREATE TABLE feed ({COLUMNS})",
                f"""INSERT INTO feed SELECT i, i % {groups}, i % 1000, (i * 7919 % 100000) / 100.0,
                           'a note of some thirty-two letters', now() FROM generate_series(1::bigint, {size}) AS i""",
                "VACUUM (FREEZE, ANALYZE) feed", f"COPY feed TO '{server.scratch}/feed.copy'")
    tables = {"bare": ("w0", 0), "one": ("w1", 1), "ten": ("w10", 10)}
    streams = {}
    for table, count in tables.values():
        session.run(f"CREATE TABLE {table} ({COLUMNS})", *single_row_functions(table))
        streams[table] = stream_tables(table, count)
        for name, query in streams[table].items():
            session.run(f"CREATE TABLE {name} USING pgstream AS {query}")
            require_incremental(session, name)

    captured = session.rows("SELECT source_relid::regclass::text FROM pgstream.pgs_log ORDER BY 1")
    assert captured == [("w1",), ("w10",)], captured

    def empty():
        for table, _ in tables.values():
            session.run(f"TRUNCATE {table}")
            for name in streams[table]:
                session.run(f"SELECT pgstream.refresh_stream_table('{name}')")

    rows = 2_000 if options.quick else 20_000
    first = size + 1
    operations = [
        (f"INSERT ... SELECT, {size:,} rows", "INSERT INTO {0} SELECT * FROM feed"),
        (f"UPDATE, {quarter:,} rows", f"UPDATE {{0}} SET v = v + 1 WHERE id <= {quarter}"),
        (f"UPDATE of columns that no stream table reads, {quarter:,} rows",
         f"UPDATE {{0}} SET amount = amount + 1 WHERE id <= {quarter}"),
        (f"DELETE, {quarter:,} rows", f"DELETE FROM {{0}} WHERE id <= {quarter}"),
        (f"INSERT of one row, {rows:,} in a transaction", f"SELECT {{0}}_insert({first}, {rows})"),
        (f"UPDATE of one row, {rows:,} in a transaction", f"SELECT {{0}}_update({first}, {rows})"),
        (f"DELETE of one row, {rows:,} in a transaction", f"SELECT {{0}}_delete({first}, {rows})"),
        (f"COPY, {size:,} rows", f"COPY {{0}} FROM '{server.scratch}/feed.copy'"),
    ]
    samples = {name: {} for name, _ in operations}
    logged = {}
    for number in range(options.rounds):
        empty()
        for name, statement in operations:
            if name.startswith("COPY"):
                empty()
            before = log_bytes(session, "w1")
            names = list(tables)
            for variant in names[number % 3:] + names[:number % 3]:
                elapsed = session.seconds(statement.format(tables[variant][0]))
                samples[name].setdefault(variant, []).append(elapsed)
            logged.setdefault(name, log_bytes(session, "w1") - before)
    empty()
    changed = {name: rows if "one row" in name else quarter if f"{quarter:,} rows" in name else size
               for name, _ in operations}
    report.table("Writes: against the bare table",
                 ("statement", "bare, ms", "one stream table", "ten stream tables", "log bytes per changed row"),
                 [(name, figure(milliseconds(s["bare"])), times(ratio(s["one"], s["bare"])),
                   times(ratio(s["ten"], s["bare"])), figure(logged[name] / changed[name]))
                  for name, s in samples.items()],
                 [f"Six columns, about 100 bytes a row, a primary key; the stream tables read two integer columns (one: "
                  f"GROUP BY {groups:,} keys with sum and count; ten: GROUP BYs and filters). Best of "
                  f"{options.rounds} rounds. One row at a time: a loop in a PL/pgSQL function, called once."])
    bars = {name.split(",")[0]: ratio(s["one"], s["bare"]) for name, s in samples.items()}
    for name, limit in (("INSERT ... SELECT", 1.2), ("COPY", 1.2), ("UPDATE", 1.2), ("DELETE", 1.4), ("INSERT of one row", 1.5),
                        ("UPDATE of one row", 1.5), ("DELETE of one row", 1.5), ("UPDATE of columns that no stream table reads", 1.1)):
        report.at_most(f"{name} against the bare table", bars[name], limit)
    ten = {name: ratio(s["ten"], s["one"]) for name, s in samples.items()}
    report.at_most("ten stream tables against one, the median of these statements", sorted(ten.values())[len(ten) // 2], 1.05)
    report.at_most("log bytes per changed row, two integer columns", max(logged[name] / changed[name] for name in logged if "one row" not in name), 16, "")
    for table, _ in tables.values():
        session.run(f"DROP TABLE {table} CASCADE")
    session.run("DROP TABLE feed")
    session.close()


def partitioned(server, report, options):
    """Writes of a table of eight partitions, at its root and at one of them."""
    size = 40_000 if options.quick else 400_000
    quarter = size // 4
    session = server.connect()
    session.run(f"""COPY (SELECT i, i % 10000, i % 1000, (i * 7919 % 100000) / 100.0, 'a note of some thirty-two letters', now()
                            FROM generate_series(1::bigint, {size}) AS i) TO '{server.scratch}/parts.copy'""")
    tables = {"bare": ("p0", 0), "one": ("p1", 1), "ten": ("p10", 10)}
    streams = {}
    for table, count in tables.values():
        session.run(f"CREATE TABLE {table} ({COLUMNS}) PARTITION BY HASH (id)")
        for i in range(8):
            session.run(f"CREATE TABLE {table}_{i} PARTITION OF {table} FOR VALUES WITH (MODULUS 8, REMAINDER {i})")
        session.run(*single_row_functions(table))
        streams[table] = stream_tables(table, count)
        for name, query in streams[table].items():
            session.run(f"CREATE TABLE {name} USING pgstream AS {query}")
            require_incremental(session, name)

    rows = 1_000 if options.quick else 5_000
    first = size + 1
    operations = [
        (f"COPY into the root, {size:,} rows", f"COPY {{0}} FROM '{server.scratch}/parts.copy'"),
        (f"UPDATE at the root, {quarter:,} rows", f"UPDATE {{0}} SET v = v + 1 WHERE id <= {quarter}"),
        (f"UPDATE that moves rows, {quarter:,} rows", f"UPDATE {{0}} SET id = id + {10 * size} WHERE id <= {quarter}"),
        (f"DELETE at the root, {quarter:,} rows", f"DELETE FROM {{0}} WHERE id > {10 * size}"),
        ("UPDATE of one partition", "UPDATE {0}_3 SET v = v + 1"),
        (f"INSERT of one row, {rows:,} in a transaction", f"SELECT {{0}}_insert({first}, {rows})"),
        (f"UPDATE of one row, {rows:,} in a transaction", f"SELECT {{0}}_update({first}, {rows})"),
        (f"DELETE of one row, {rows:,} in a transaction", f"SELECT {{0}}_delete({first}, {rows})"),
    ]
    samples = {name: {} for name, _ in operations}
    names = list(tables)
    for number in range(options.rounds):
        for table, _ in tables.values():
            session.run(f"TRUNCATE {table}")
            for name in streams[table]:
                session.run(f"SELECT pgstream.refresh_stream_table('{name}')")
        for name, statement in operations:
            for variant in names[number % 3:] + names[:number % 3]:
                elapsed = session.seconds(statement.format(tables[variant][0]))
                samples[name].setdefault(variant, []).append(elapsed)
    assert session.value("SELECT sum(n) FROM p1_st0") == session.value("SELECT count(*) FROM p1")
    report.table("Writes of a partitioned table: against the bare table",
                 ("statement", "bare, ms", "one stream table", "ten stream tables"),
                 [(name, figure(milliseconds(s["bare"])), times(ratio(s["one"], s["bare"])), times(ratio(s["ten"], s["bare"])))
                  for name, s in samples.items()],
                 [f"The same columns and stream tables in eight hash partitions. Best of {options.rounds} rounds."])
    copy = samples[operations[0][0]]
    report.at_most("COPY into a partitioned table against the bare one", ratio(copy["one"], copy["bare"]), 1.35)
    for table, _ in tables.values():
        session.run(f"DROP TABLE {table} CASCADE")
    session.close()


def writers(server, report, options):
    """Eight pgbench clients inserting single rows, each its own transaction."""
    seconds = 2 if options.quick else 5
    session = server.connect()
    variants = ["bare", "stream table"] + (["pg_ivm"] if options.pg_ivm else [])
    query = "SELECT k, sum(v) AS total, count(*) AS n FROM {} GROUP BY k"
    columns = COLUMNS.replace("id bigint", "id bigint GENERATED ALWAYS AS IDENTITY")
    for i, variant in enumerate(variants):
        session.run(f"CREATE TABLE c{i} ({columns})",
                    f"""INSERT INTO c{i} (k, v, amount, note, at)
                        SELECT n % 10000, n % 100, 9.5, 'a note', now() FROM generate_series(1, 100000) AS n""")
        if variant == "stream table":
            session.run(f"CREATE TABLE c{i}_st USING pgstream AS {query.format(f'c{i}')}")
            require_incremental(session, f"c{i}_st")
        elif variant == "pg_ivm":
            session.run(f"SELECT pgivm.create_immv('c{i}_immv', '{query.format(f'c{i}')}')")
    session.run("VACUUM ANALYZE")

    def tps(number):
        def run():
            if variants[number] == "stream table":
                session.run(f"SELECT pgstream.refresh_stream_table('c{number}_st')")
            return 1 / server.pgbench(
                f"\\set k random(0, 9999)\nINSERT INTO c{number} (k, v, amount, note, at)"
                " VALUES (:k, 7, 9.5, 'a note of some thirty-two letters', now());\n", 8, seconds)
        return run

    samples = interleave(options.rounds, {name: tps(i) for i, name in enumerate(variants)})
    report.table("Eight writers: single-row INSERTs, each its own transaction",
                 ("source", "transactions a second", "of the bare table's"),
                 [(name, figure(1 / min(s)), times(ratio(samples["bare"], s))) for name, s in samples.items()],
                 [f"pgbench with 8 clients, prepared statements, {seconds} s a run, best of {options.rounds} rounds; "
                  "GROUP BY over 10,000 keys with sum and count."])
    require = "SELECT * FROM c1_st"
    assert session.value(f"SELECT sum(n) FROM ({require}) AS q") == session.value("SELECT count(*) FROM c1")
    report.at_least("8 single-row writers against the bare table's throughput", ratio(samples["bare"], samples["stream table"]), 0.9)
    if options.pg_ivm:
        report.at_least("8 single-row writers against pg_ivm's throughput",
                        ratio(samples["pg_ivm"], samples["stream table"]), 15)
    for i, _ in enumerate(variants):
        if variants[i] == "pg_ivm":
            session.run(f"DROP TABLE c{i}_immv")
        session.run(f"DROP TABLE c{i} CASCADE")
    session.close()
