# psql at a terminal: Ctrl-C stops the query, and the session lives on.
import os, pty, select, sys, time
import psycopg

psql = sys.argv[2]
END = time.monotonic() + 60
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "dumb"
    os.execv(psql, [psql, "-X", "-n", "-At", "-P", "pager=off", "-v", "PROMPT1=ready> "])
seen = ""


def until(words):
    global seen
    while words not in seen:
        assert time.monotonic() < END, f"waited for {words!r}, saw {seen!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096).decode()
    seen = seen[seen.index(words) + len(words) :]


def say(line):
    os.write(terminal, line.encode())


until("ready> ")
say("SELECT pg_sleep(600);\n")
with psycopg.connect("", autocommit=True) as conn:
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600);' AND state = 'active'"
    while conn.execute(asleep).fetchone() != (1,):
        assert time.monotonic() < END, seen
        time.sleep(0.01)
say("\x03")
until("canceling statement due to user request")
until("ready> ")
say("SELECT 'lives ' || 'on';\n")
until("lives on")
until("ready> ")
say("\\q\n")
assert os.waitpid(pid, 0)[1] == 0
