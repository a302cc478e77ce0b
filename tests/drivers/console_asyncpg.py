# asyncpg on the console: it knows the extended protocol only, and asks for the binary format.
import asyncio
import asyncpg


async def main():
    conn = await asyncpg.connect()
    version = await conn.fetchval("SHOW VERSION")
    assert version.startswith("PgBouncer 1."), version
    databases = {row["name"]: row for row in await conn.fetch("SHOW DATABASES")}
    assert databases["pgbouncer"]["pool_size"] == 2, databases
    assert databases["app"]["paused"] == 0
    await conn.execute("PAUSE app")
    databases = {row["name"]: row for row in await conn.fetch("SHOW DATABASES")}
    assert databases["app"]["paused"] == 1, databases
    await conn.execute("RESUME app")
    await conn.close()


asyncio.run(main())
