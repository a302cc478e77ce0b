# psycopg 3: where its transactions run. Arguments: the primary's port, the replica's.
import sys
import psycopg

PRIMARY, REPLICA = map(int, sys.argv[1:])
WHO = "select inet_server_port()"


def who(conn, text=WHO, **how):
    return conn.execute(text, **how).fetchone()[0]


def attributes(conn):
    conn.read_only = True  # BEGIN READ ONLY
    assert who(conn) == REPLICA
    conn.rollback()
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    assert who(conn) == REPLICA
    conn.rollback()
    conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE  # which no replica has
    assert who(conn) == PRIMARY
    conn.rollback()
    conn.read_only = conn.isolation_level = None
    assert who(conn) == PRIMARY
    conn.rollback()


def first_statements(conn):
    for _ in range(8):  # prepared after five times
        with conn.transaction():
            conn.execute("set transaction read only")
            assert who(conn) == REPLICA
        with conn.transaction():
            assert who(conn, "/* pgweir: route=replica */ select inet_server_port()") == REPLICA
        with conn.transaction():
            assert who(conn) == PRIMARY
    with conn.transaction():
        pass


def pipelines(conn):
    # In a pipeline BEGIN goes by the extended protocol, and nobody waits for its answer.
    for _ in range(3):
        with conn.pipeline(), conn.transaction():
            conn.execute("set transaction read only")
            cursor = conn.execute(WHO)
        assert cursor.fetchone()[0] == REPLICA
        with conn.pipeline(), conn.transaction():
            cursor = conn.execute(WHO)
        assert cursor.fetchone()[0] == PRIMARY
        with conn.pipeline() as pipeline, conn.transaction():
            pipeline.sync()
            cursor = conn.execute("/* pgweir: route=replica */ select inet_server_port()")
        assert cursor.fetchone()[0] == REPLICA


def settings(conn):
    for number in range(8):
        for prepare in (True, False):
            route, host = (("replica", REPLICA), ("primary", PRIMARY))[number % 2]
            conn.execute(f"set pgweir.route = {route}", prepare=prepare)
            assert who(conn, "show pgweir.route", prepare=prepare) == route
            conn.commit()
            assert who(conn) == host
            assert who(conn, "show pgweir.route", prepare=prepare) == route
            conn.rollback()
    with conn.pipeline():
        conn.execute("set pgweir.route = replica")
        shown = conn.execute("show pgweir.route")
        conn.execute("reset pgweir.route")
        reset = conn.execute("show pgweir.route")
    assert [shown.fetchone()[0], reset.fetchone()[0]] == ["replica", "auto"]
    conn.rollback()
    try:
        conn.execute("set pgweir.route = nowhere")
        raise SystemExit("no error")
    except psycopg.errors.InvalidParameterValue:
        conn.rollback()
    assert who(conn) == PRIMARY
    conn.rollback()


with psycopg.connect() as conn:
    attributes(conn)
    first_statements(conn)
    conn.autocommit = True
    first_statements(conn)
    pipelines(conn)
    conn.autocommit = False
    settings(conn)
with psycopg.connect(options="-c pgweir.route=replica") as conn:
    assert who(conn) == REPLICA
