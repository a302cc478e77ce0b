# psycopg 3: prepared statements, transactions, pipelines, cursors, COPY, errors, cancels; in
# threads and with asyncio. Where to connect stands in libpq's variables.
import asyncio, sys, threading
import psycopg

TLS = sys.argv[1] == "tls"


def transactions(conn):
    for n in range(20):
        assert conn.execute("select %s::int + 1", (n,)).fetchone() == (n + 1,)
        conn.commit()
    with conn.transaction():
        conn.execute("create temp table t (n int) on commit drop")
        with conn.transaction(force_rollback=True):  # a savepoint
            conn.execute("insert into t values (1)")
        assert conn.execute("select count(*) from t").fetchone() == (0,)


def copies(conn):
    with conn.transaction():
        conn.execute("create temp table t (n int) on commit drop")
        with conn.cursor().copy("copy t from stdin") as copy:
            for n in range(1000):
                copy.write_row((n,))
        with conn.cursor().copy("copy t to stdout") as copy:
            assert sorted(int(row[0]) for row in copy.rows()) == list(range(1000))
    try:
        with conn.cursor().copy("copy (select 1 / (3 - n) from generate_series(1, 5) n) to stdout") as copy:
            list(copy.rows())
        raise SystemExit("no error")
    except psycopg.errors.DivisionByZero:
        conn.rollback()


def cursors(conn):
    with conn.cursor(name="c") as cursor:
        cursor.execute("select n from generate_series(0, 99) n")
        assert [row[0] for row in cursor.fetchmany(3)] == [0, 1, 2]
        cursor.scroll(5)
        assert cursor.fetchone() == (8,)
        assert len(list(cursor)) == 91
    with conn.cursor(name="binary", scrollable=True) as cursor:
        cursor.execute("select n from generate_series(0, 9) n", binary=True)
        cursor.scroll(9, mode="absolute")
        assert cursor.fetchone() == (9,)
    conn.rollback()


def pipelines(conn):
    with conn.pipeline():
        cursors = [conn.execute("select %s::text", (f"tag {n}",)) for n in range(50)]
    assert [c.fetchone()[0] for c in cursors] == [f"tag {n}" for n in range(50)]
    conn.commit()
    # An error aborts the rest of its pipeline, up to the Sync.
    try:
        with conn.pipeline() as pipeline:
            before = conn.execute("select 'before'")
            pipeline.sync()
            wrong = conn.execute("select 1/0")
            after = conn.execute("select 'after'")
            pipeline.sync()
        raise SystemExit("no error")
    except psycopg.errors.DivisionByZero:
        conn.rollback()
    assert before.fetchone() == ("before",)
    # Each statement its own transaction: a server may be changed between any two of them.
    conn.autocommit = True
    with conn.pipeline() as pipeline:
        cursors = []
        for n in range(100):
            cursors.append(conn.execute("select %s::int, pg_backend_pid()", (n,)))
            pipeline.sync()
    assert [c.fetchone()[0] for c in cursors] == list(range(100))
    with conn.cursor() as cursor:
        cursor.executemany("select %s::int", [(n,) for n in range(50)], returning=True)
        numbers = []
        while True:
            numbers.append(cursor.fetchone()[0])
            if not cursor.nextset():
                break
        assert numbers == list(range(50))
    conn.autocommit = False


def errors(conn):
    try:
        conn.execute("select 1/0")
        raise SystemExit("no error")
    except psycopg.errors.DivisionByZero:
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        conn.rollback()
    assert conn.execute("select 1").fetchone() == (1,)
    conn.commit()


def cancels(conn):
    done = threading.Event()

    def cancel():
        # Until the query runs there is nothing to cancel, so more than one may be needed.
        while not done.wait(0.02):
            conn.cancel_safe()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        conn.execute("select pg_sleep(60)")
        raise SystemExit("not cancelled")
    except psycopg.errors.QueryCanceled:
        pass
    finally:
        done.set()
        thread.join()
    conn.rollback()
    assert conn.execute("select 1").fetchone() == (1,)
    conn.commit()


def notices(conn):
    heard = []
    conn.add_notice_handler(lambda diag: heard.append(diag.message_primary))
    conn.execute("do $$ begin raise notice 'heard'; end $$")
    conn.commit()
    assert heard == ["heard"], heard


with psycopg.connect("", prepare_threshold=0) as conn:
    assert bool(conn.pgconn.ssl_in_use) == TLS
    for part in (transactions, copies, cursors, pipelines, errors, cancels, notices):
        part(conn)
    # Settings of the session follow the client to every server.
    conn.execute("set timezone to 'Asia/Tokyo'")
    conn.commit()
    for n in range(10):
        assert conn.execute("show timezone").fetchone() == ("Asia/Tokyo",)
        conn.commit()


async def one(tag):
    async with await psycopg.AsyncConnection.connect("", prepare_threshold=1) as conn:
        for n in range(20):
            cursor = await conn.execute("select %s::text", (f"{tag} {n}",))
            assert await cursor.fetchone() == (f"{tag} {n}",)
            await conn.commit()
        async with conn.pipeline():
            cursors = [await conn.execute("select %s::text", (f"{tag} {n}",)) for n in range(20)]
        assert [(await c.fetchone())[0] for c in cursors] == [f"{tag} {n}" for n in range(20)]
        await conn.commit()
        async with conn.cursor(name="c") as cursor:
            await cursor.execute("select generate_series(1, 5)")
            assert [row async for row in cursor] == [(n,) for n in range(1, 6)]
        await conn.commit()


async def main():
    await asyncio.gather(*(one(f"client {n}") for n in range(20)))


asyncio.run(main())
