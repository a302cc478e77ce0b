# asyncpg: its statement cache, transactions, cursors, COPY, errors, cancels, and its pool. It
# names every statement and describes it, asks the catalogue for types it does not know, and
# resets a pool's connections. Where to connect stands in libpq's variables.
import asyncio, io, sys
import asyncpg

TLS = sys.argv[1] == "tls"


async def transactions(conn):
    for n in range(20):
        async with conn.transaction():
            assert await conn.fetchval("select $1::int + 1", n) == n + 1
    statement = await conn.prepare("select $1::text || $2")
    for n in range(20):
        assert await statement.fetchval("number ", str(n)) == f"number {n}"
    await conn.executemany("select $1::int", [(n,) for n in range(100)])


async def types(conn):
    # A type of the database's own: asyncpg looks it up.
    await conn.execute("drop type if exists mood; create type mood as enum ('sad', 'happy')")
    assert await conn.fetchval("select $1::mood", "happy") == "happy"
    assert await conn.fetchval("select array[$1::mood]", "sad") == ["sad"]
    row = await conn.fetchrow("select row(1, 'x')::record as pair, $1::jsonb as j", '{"a": 1}')
    assert tuple(row["pair"]) == (1, "x") and row["j"] == '{"a": 1}'


async def cursors(conn):
    async with conn.transaction():
        numbers = [row["n"] async for row in conn.cursor("select generate_series(1, 200) n", prefetch=7)]
        assert numbers == list(range(1, 201))
        cursor = await conn.cursor("select generate_series(1, 10)")
        assert [row[0] for row in await cursor.fetch(3)] == [1, 2, 3]
        await cursor.forward(2)
        assert (await cursor.fetchrow())[0] == 6


async def copies(conn):
    await conn.execute("drop table if exists asyncpg_copied; create table asyncpg_copied (n int, t text)")
    await conn.copy_records_to_table("asyncpg_copied", records=[(n, f"row {n}") for n in range(1000)])
    out = io.BytesIO()
    await conn.copy_from_table("asyncpg_copied", output=out)
    assert out.getvalue().count(b"\n") == 1000
    await conn.copy_to_table("asyncpg_copied", source=io.BytesIO(out.getvalue()))
    assert await conn.fetchval("select count(*) from asyncpg_copied") == 2000
    try:
        await conn.copy_to_table("asyncpg_copied", source=io.BytesIO(b"not a number\tx\n"))
        raise SystemExit("no error")
    except asyncpg.InvalidTextRepresentationError:
        pass


async def errors(conn):
    try:
        async with conn.transaction():
            await conn.fetch("select 1/0")
        raise SystemExit("no error")
    except asyncpg.DivisionByZeroError:
        pass
    try:
        await conn.fetch("select from where")
        raise SystemExit("no error")
    except asyncpg.PostgresSyntaxError:
        pass
    assert await conn.fetchval("select 1") == 1


async def cancels(conn):
    # A timeout makes asyncpg send a cancel request of its own.
    try:
        await conn.fetch("select pg_sleep(60)", timeout=1)
        raise SystemExit("not cancelled")
    except asyncio.TimeoutError:
        pass
    assert await conn.fetchval("select 1") == 1


async def a_pool():
    async with asyncpg.create_pool(min_size=10, max_size=10) as pool:

        async def one(number):
            async with pool.acquire() as conn:
                for n in range(10):
                    async with conn.transaction():
                        tag = f"task {number} round {n}"
                        assert await conn.fetchval("select $1::text", tag) == tag

        await asyncio.gather(*(one(number) for number in range(30)))


async def main():
    conn = await asyncpg.connect()
    assert (conn._transport.get_extra_info("ssl_object") is not None) == TLS
    for part in (transactions, types, cursors, copies, errors, cancels):
        await part(conn)
    await conn.reset()
    await conn.close()
    await a_pool()


asyncio.run(main())
