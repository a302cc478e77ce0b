# psycopg 3 on the console, in autocommit: the simple and the extended protocol, prepared statements, values in the binary
# format, an empty query, errors.
import psycopg
from psycopg.rows import dict_row

with psycopg.connect(autocommit=True, row_factory=dict_row) as conn:
    pools = conn.execute("SHOW POOLS").fetchall()
    assert [pool["cl_active"] for pool in pools if pool["database"] == "pgbouncer"] == [1], pools
    for _ in range(10):  # prepared from the sixth on
        version = conn.execute("SHOW VERSION", prepare=True).fetchone()
        assert version["version"].startswith("PgBouncer 1."), version
    binary = conn.cursor(binary=True)
    for show in ["STATS", "DATABASES", "CONFIG", "CLIENTS", "SERVERS", "SOCKETS", "MEM", "USERS", "LISTS", "TOTALS"]:
        text = conn.execute(f"SHOW {show}").fetchall()
        other = binary.execute(f"SHOW {show}", binary=True).fetchall()
        assert text and text[0].keys() == other[0].keys(), show
        assert [type(v) for v in text[0].values()] == [type(v) for v in other[0].values()], show
    databases = binary.execute("SHOW DATABASES").fetchall()
    assert [d["pool_size"] for d in databases if d["name"] == "app"] == [20], databases
    totals = binary.execute("SHOW TOTALS").fetchall()
    totals = {total["name"]: total["value"] for total in totals}
    # `Q`, its length, SELECT 1, the end of the text; and Terminate.
    assert totals["total_client_bytes"] >= 14 and totals["total_wait_time"] >= 0, totals
    conn.execute(";")  # how psycopg's pool looks whether a connection is alive
    conn.execute("SET default_pool_size = 7")
    databases = conn.execute("SHOW DATABASES").fetchall()
    assert [d["pool_size"] for d in databases if d["name"] == "app"] == [7], databases
    for prepare in (False, True):
        try:
            conn.execute("FROBNICATE", prepare=prepare)
            raise SystemExit("no error")
        except psycopg.errors.ProtocolViolation as error:
            assert "invalid command 'FROBNICATE', use SHOW HELP;" in str(error)
    assert conn.execute("SHOW STATE").fetchone() == {"key": "active", "value": "yes"}
