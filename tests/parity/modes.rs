//! Queries in the three pool modes: what follows a client, what comes back, what is refused.

use crate::house::House;
use crate::talk::Ask::{Bind, Close, Describe, Execute, Flush, Parse, Query, Sync};

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![
        queries(House::new("session", |ground| ground.setup())),
        queries(House::new("transaction", |ground| {
            ground.setup().setting("pool_mode", "transaction")
        })),
        carried(),
        statement(),
        resets(),
        resets_always(),
        no_simple(),
        application_names(),
        forced(),
    ]
}

/// Conversations of one client, which hold in session and in transaction mode alike.
fn queries(house: House) -> House {
    let queries = [
        "SELECT 1",
        "",
        ";",
        "-- nothing",
        "SELECT 1; SELECT 'two', NULL, ''",
        "SELECT 1; SELECT 1/0; SELECT 3",
        "SELECT FROM WHERE",
        "SELECT * FROM nowhere",
        "SELECT 'größe'",
        "BEGIN; SELECT 1; COMMIT",
        "BEGIN; SELECT 1/0; COMMIT",
        "COMMIT",
        "ROLLBACK",
        "SET LOCAL datestyle = 'German'",
        "DO $$ BEGIN RAISE NOTICE 'hello'; END $$",
        "DO $$ BEGIN RAISE WARNING 'hello' USING DETAIL = 'd', HINT = 'h'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'P0042'; END $$",
        "SELECT * FROM generate_series(1, 50)",
        "SELECT 1 AS a, 2.5 AS b, 'x'::text AS c, ARRAY[1, 2] AS d",
        "COPY (SELECT generate_series(1, 3)) TO STDOUT",
        "COPY nowhere TO STDOUT",
        "COPY (VALUES (1, 'a')) TO STDOUT WITH (FORMAT csv, HEADER)",
        "SELECT length(repeat('x', 1000000))",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH ALL FROM nothing",
        "PREPARE p AS SELECT 1; EXECUTE p; DEALLOCATE p",
        "EXPLAIN (COSTS off) SELECT 1",
        "LISTEN channel; NOTIFY channel, 'hello'; UNLISTEN channel",
        "VALUES (1), (2)",
        "BEGIN; DECLARE c CURSOR FOR VALUES (1), (2); FETCH 1 FROM c; CLOSE c; COMMIT",
        "SAVEPOINT s",
        "BEGIN; SAVEPOINT s; SELECT 1/0; ROLLBACK TO s; COMMIT",
        "VACUUM (ANALYZE) kept",
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SHOW transaction_isolation; COMMIT",
        "START TRANSACTION READ ONLY",
        "BEGIN READ ONLY; INSERT INTO kept VALUES (1); COMMIT",
        "PREPARE TRANSACTION 'x'",
    ];
    queries
        .into_iter()
        .fold(house, |house, sql| house.talk(format!("{sql:?}"), move |t| t.app("a").query(sql)))
        .talk("a transaction by messages", |t| {
            let mut a = t.app("a");
            for sql in [
                "BEGIN",
                "SELECT 1",
                "SAVEPOINT s",
                "SELECT 1/0",
                "SELECT 2",
                "ROLLBACK TO s",
                "SELECT 3",
                "COMMIT",
                "SELECT 4",
            ] {
                a.query(sql);
            }
        })
        .talk("BEGIN twice", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.query("BEGIN");
            a.query("ROLLBACK");
            a.query("ROLLBACK");
        })
        .talk("BEGIN and COMMIT with nothing between", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.query("COMMIT");
            a.query("begin;");
            a.query("END");
            a.query("START TRANSACTION");
            a.query("ABORT");
        })
        .talk("BEGIN and a wrong statement", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.query("SELECT FROM WHERE");
            a.query("COMMIT");
        })
        .talk("BEGIN with a wrong word", |t| {
            let mut a = t.app("a");
            a.query("BEGIN FROBNICATE");
            a.query("BEGIN ISOLATION LEVEL nonsense");
            a.query("SELECT 1");
        })
        .talk("COMMIT AND CHAIN", |t| {
            let mut a = t.app("a");
            a.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
            a.query("COMMIT AND CHAIN");
            a.query("SHOW transaction_isolation");
            a.query("ROLLBACK");
        })
        .talk("SET TRANSACTION", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
            a.query("SHOW transaction_isolation");
            a.query("COMMIT");
        })
        .talk("two queries in one write", |t| {
            let mut a = t.app("a");
            a.send(&[Query("SELECT 1"), Query("SELECT 2")]);
            a.ready();
            a.ready();
        })
        .talk("a query in two pieces", |t| {
            let mut a = t.app("a");
            a.bytes("half a query", b"Q\0\0\0\x0dSEL");
            a.silent();
            a.bytes("the other half", b"ECT 1\0");
            a.ready();
        })
        .talk("parameters reported", |t| {
            let mut a = t.app("a");
            a.query("SET datestyle = 'German'");
            a.query("SET timezone = 'Europe/Berlin'");
            a.query("SET application_name = 'x y'");
            a.query("SET client_encoding = 'LATIN1'");
            a.query("SHOW datestyle");
            a.query("SET search_path = public");
            a.query("SET frobnicate = 1");
            a.query("SET datestyle = 'nonsense'");
            a.query("RESET datestyle");
            a.query("SHOW datestyle");
        })
        .talk("parameters and ROLLBACK", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.query("SET datestyle = 'German'");
            a.query("ROLLBACK");
            a.query("SHOW datestyle");
        })
        .talk("DISCARD ALL", |t| {
            let mut a = t.quiet_login_with("a", &[("user", "app"), ("application_name", "mine")]);
            a.query("SET datestyle = 'German'");
            a.query("DISCARD ALL");
            a.query("SHOW datestyle");
            a.query("SHOW application_name");
        })
        .talk("extended: a query", |t| {
            let mut a = t.app("a");
            a.ask(&[
                Parse("", "SELECT $1::int + 1 AS n"),
                Bind("", "", &["41"]),
                Describe(b'P', ""),
                Execute("", 0),
                Sync,
            ]);
        })
        .talk("extended: Describe of a statement", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", "SELECT $1::int, $2::text"), Describe(b'S', ""), Sync]);
        })
        .talk("extended: a query without rows", |t| {
            let mut a = t.app("a");
            a.ask(&[
                Parse("", "SET datestyle = 'ISO'"),
                Describe(b'S', ""),
                Bind("", "", &[]),
                Execute("", 0),
                Sync,
            ]);
        })
        .talk("extended: nothing", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", ""), Bind("", "", &[]), Describe(b'P', ""), Execute("", 0), Sync]);
        })
        .talk("extended: an error in Parse", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", "SELECT FROM WHERE"), Bind("", "", &[]), Execute("", 0), Sync]);
            a.query("SELECT 1");
        })
        .talk("extended: an error in Bind", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", "SELECT $1::int"), Bind("", "", &["x"]), Execute("", 0), Sync]);
            a.ask(&[Parse("", "SELECT $1::int"), Bind("", "", &[]), Execute("", 0), Sync]);
        })
        .talk("extended: an error in Execute", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", "SELECT 1/0"), Bind("", "", &[]), Execute("", 0), Sync]);
            a.ask(&[Execute("nowhere", 0), Sync]);
        })
        .talk("extended: a portal in parts", |t| {
            let mut a = t.app("a");
            a.ask(&[
                Parse("", "SELECT generate_series(1, 5)"),
                Bind("", "", &[]),
                Execute("", 2),
                Execute("", 2),
                Execute("", 2),
                Sync,
            ]);
        })
        .talk("extended: a portal over several batches", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.ask(&[
                Parse("", "SELECT generate_series(1, 3)"),
                Bind("p", "", &[]),
                Execute("p", 1),
                Sync,
            ]);
            a.ask(&[Execute("p", 1), Sync]);
            a.ask(&[Close(b'P', "p"), Sync]);
            a.ask(&[Execute("p", 1), Sync]);
            a.query("COMMIT");
        })
        .talk("extended: Flush", |t| {
            let mut a = t.app("a");
            a.send(&[Parse("", "SELECT 1"), Flush]);
            a.until(b'1');
            a.send(&[Bind("", "", &[]), Execute("", 0), Flush]);
            a.until(b'C');
            a.ask(&[Sync]);
        })
        .talk("extended: a pipeline of batches with an error amid", |t| {
            let mut a = t.app("a");
            let batch = |sql| [Parse("", sql), Bind("", "", &[]), Execute("", 0), Sync];
            let mut all = Vec::new();
            for sql in ["SELECT 1", "SELECT 1/0", "SELECT 3"] {
                all.extend(batch(sql));
            }
            a.send(&all);
            a.ready();
            a.ready();
            a.ready();
        })
        .talk("extended: BEGIN and COMMIT", |t| {
            let mut a = t.app("a");
            for sql in ["BEGIN", "SELECT 1", "COMMIT"] {
                a.ask(&[Parse("", sql), Bind("", "", &[]), Execute("", 0), Sync]);
            }
        })
        .talk("extended: all of a transaction in one batch", |t| {
            let mut a = t.app("a");
            let mut all = Vec::new();
            for sql in ["BEGIN", "SELECT 1", "COMMIT"] {
                all.extend([Parse("", sql), Bind("", "", &[]), Execute("", 0)]);
            }
            all.push(Sync);
            a.ask(&all);
        })
        .talk("extended: a simple query amid a batch", |t| {
            let mut a = t.app("a");
            a.send(&[
                Parse("", "SELECT 1"),
                Query("SELECT 2"),
                Bind("", "", &[]),
                Execute("", 0),
                Sync,
            ]);
            a.ready();
            a.ready();
        })
        .talk("extended: Close of what is not there", |t| {
            let mut a = t.app("a");
            a.ask(&[Close(b'S', "nowhere"), Close(b'P', "nowhere"), Sync]);
        })
        .talk("COPY in", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.start("COPY kept FROM STDIN");
            a.until(b'G');
            a.message("CopyData", b'd', b"1\n2\n");
            a.message("CopyData", b'd', b"3\n");
            a.message("CopyDone", b'c', b"");
            a.ready();
            a.query("ROLLBACK");
        })
        .talk("COPY in that the client ends with an error", |t| {
            let mut a = t.app("a");
            a.start("COPY kept FROM STDIN");
            a.until(b'G');
            a.message("CopyFail", b'f', b"no more\0");
            a.ready();
            a.query("SELECT 1");
        })
        .talk("COPY in of a wrong row", |t| {
            let mut a = t.app("a");
            a.start("COPY kept FROM STDIN");
            a.until(b'G');
            a.message("CopyData", b'd', b"x\n");
            a.message("CopyDone", b'c', b"");
            a.ready();
            a.query("SELECT 1");
        })
        .talk("COPY in with a Sync amid", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.send(&[Parse("", "COPY kept FROM STDIN"), Bind("", "", &[]), Execute("", 0), Flush]);
            a.until(b'G');
            a.message("CopyData", b'd', b"1\n");
            a.message("CopyDone", b'c', b"");
            a.ask(&[Sync]);
            a.query("ROLLBACK");
        })
        .talk("COPY in with a query amid", |t| {
            let mut a = t.app("a");
            a.start("COPY kept FROM STDIN");
            a.until(b'G');
            a.start("SELECT 1");
            a.ready();
        })
        .talk("COPY out of much", |t| {
            let mut a = t.app("a");
            a.start("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 30)) TO STDOUT");
            a.ready();
        })
        .talk("FunctionCall", |t| {
            let mut a = t.app("a");
            a.message(
                "FunctionCall of pg_backend_pid less arguments",
                b'F',
                b"\0\0\x07\xea\0\0\0\x01\0\0",
            );
            a.silent();
        })
}

fn carried() -> House {
    House::new("carried", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("default_pool_size", 1)
    })
    .talk("what a client has set follows it", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("SET datestyle = 'German'");
        a.query("SET timezone = 'Europe/Berlin'");
        b.query("SHOW datestyle");
        b.query("SHOW timezone");
        b.query("SET standard_conforming_strings = off");
        a.query("SHOW datestyle");
        a.query("SHOW standard_conforming_strings");
        b.query("SHOW standard_conforming_strings");
    })
    .talk("application_name follows, too", |t| {
        let mut a = t.quiet_login_with("a", &[("user", "app"), ("application_name", "one")]);
        let mut b = t.quiet_login_with("b", &[("user", "app"), ("application_name", "two")]);
        for _ in 0..2 {
            a.query("SHOW application_name");
            b.query("SHOW application_name");
        }
        a.query("SET application_name = 'three'");
        b.query("SHOW application_name");
        a.query("SHOW application_name");
    })
    .talk("what is not tracked leaks", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("SET geqo = off");
        b.query("SHOW geqo");
        b.query("RESET geqo");
    })
    .talk("SQL PREPARE is of the server", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("PREPARE p AS SELECT 1");
        b.query("EXECUTE p");
        b.query("DEALLOCATE p");
    })
    .talk("a transaction keeps its server", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN");
        a.query("SELECT 1");
        b.start("SELECT 2");
        b.silent();
        a.query("COMMIT");
        b.ready();
    })
    .talk("an unfinished batch keeps it, too", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.send(&[Parse("", "SELECT 1"), Flush]);
        a.until(b'1');
        b.start("SELECT 2");
        b.silent();
        a.ask(&[Sync]);
        b.ready();
    })
}

fn statement() -> House {
    House::new("statement", |ground| ground.setup().setting("pool_mode", "statement"))
        .talk("a query", |t| t.app("a").query("SELECT 1"))
        .talk("BEGIN", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.end();
            t.log("pooler error");
            t.log("closing because: transaction blocks");
        })
        .talk("START TRANSACTION READ ONLY", |t| {
            let mut a = t.app("a");
            a.query("START TRANSACTION READ ONLY");
            a.end();
        })
        .talk("BEGIN in a longer query", |t| {
            let mut a = t.app("a");
            a.query("SELECT 1; BEGIN; SELECT 2");
            a.end();
        })
        .talk("a whole transaction in a query", |t| {
            let mut a = t.app("a");
            a.query("BEGIN; SELECT 1; COMMIT");
            a.query("SELECT 2");
        })
        .talk("BEGIN in the extended protocol", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", "BEGIN"), Bind("", "", &[]), Execute("", 0), Sync]);
            a.end();
        })
        .talk("a failed BEGIN", |t| {
            let mut a = t.app("a");
            a.query("BEGIN FROBNICATE");
            a.query("SELECT 1");
        })
        .talk("an error", |t| {
            let mut a = t.app("a");
            a.query("SELECT 1/0");
            a.query("SELECT 1");
        })
        .talk("extended", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", "SELECT 1"), Bind("", "", &[]), Execute("", 0), Sync]);
        })
        .talk("COPY", |t| {
            let mut a = t.app("a");
            a.query("COPY (SELECT 1) TO STDOUT");
        })
}

fn resets() -> House {
    House::new("reset", |ground| ground.setup().setting("default_pool_size", 1))
        .talk("session mode brings the server back", |t| {
            let mut a = t.app("a");
            a.query("SET geqo = off");
            a.query("SET datestyle = 'German'");
            a.query("CREATE TEMP TABLE mine ()");
            a.terminate();
            let mut b = t.app("b");
            b.query("SHOW geqo");
            b.query("SHOW datestyle");
            b.query("SELECT * FROM mine");
        })
        .talk("who leaves in a transaction costs the server", |t| {
            let mut a = t.app("a");
            let pid = a.quietly("SELECT pg_backend_pid()");
            a.query("BEGIN; SELECT 1");
            a.terminate();
            t.log_server("closing because");
            let mut b = t.app("b");
            t.note(format!("the same: {}", b.quietly("SELECT pg_backend_pid()") == pid));
        })
        .talk("a clean one is used again", |t| {
            let mut a = t.app("a");
            let pid = a.quietly("SELECT pg_backend_pid()");
            a.terminate();
            let mut b = t.app("b");
            t.note(format!("the same: {}", b.quietly("SELECT pg_backend_pid()") == pid));
        })
}

fn resets_always() -> House {
    House::new("reset-always", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", 1)
            .setting("server_reset_query_always", 1)
    })
    .talk("transaction mode brings it back, too", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("SET geqo = off");
        a.query("SET datestyle = 'German'");
        b.query("SHOW geqo");
        a.query("SHOW geqo");
        a.query("SHOW datestyle");
    })
}

fn no_simple() -> House {
    House::new("disable_pqexec", |ground| ground.setup().setting("disable_pqexec", 1))
        .talk("a simple query", |t| {
            let mut a = t.app("a");
            a.query("SELECT 1");
            a.end();
            t.log("closing because");
        })
        .talk("the extended protocol", |t| {
            let mut a = t.app("a");
            a.ask(&[Parse("", "SELECT 1"), Bind("", "", &[]), Execute("", 0), Sync]);
        })
        .talk("the console", |t| t.console("c").query("SHOW STATE"))
}

fn application_names() -> House {
    House::new("application_name_add_host", |ground| {
        ground.setup().setting("application_name_add_host", 1)
    })
    .talk("of one who has a name", |t| {
        let mut a = t.quiet_login_with("a", &[("user", "app"), ("application_name", "mine")]);
        a.query("SHOW application_name");
        a.query("SET application_name = 'other'");
        a.query("SHOW application_name");
    })
    .talk("of one who has none", |t| {
        let mut a = t.app("a");
        a.query("SHOW application_name");
    })
}

fn forced() -> House {
    House::new("forced", |ground| {
        let port = ground.server.port();
        ground
            .setup()
            .database(&format!("one = host=127.0.0.1 port={port} dbname=app user=other"))
            .database(&format!(
                "tuned = host=127.0.0.1 port={port} dbname=app application_name=tuned datestyle=German timezone=Asia/Tokyo client_encoding=LATIN1"
            ))
            .database(&format!(
                "greeting = host=127.0.0.1 port={port} dbname=app connect_query='SET geqo = off'"
            ))
            .database(&format!(
                "mistaken = host=127.0.0.1 port={port} dbname=app connect_query='SELECT nonsense'"
            ))
            .database(&format!("absent = host=127.0.0.1 port={port} dbname=nowhere"))
            .database(&format!("* = host=127.0.0.1 port={port}"))
    })
    .talk("a forced user", |t| {
        let mut a = t.login("a", "app", "one");
        a.query("SELECT current_user");
    })
    .talk("settings of the entry", |t| {
        let mut a = t.login("a", "app", "tuned");
        a.query("SHOW datestyle");
        a.query("SHOW application_name");
        a.query("SHOW client_encoding");
    })
    .talk("settings of the entry and of the client", |t| {
        let mut a = t.login_with(
            "a",
            &[("user", "app"), ("database", "tuned"), ("datestyle", "SQL"), ("application_name", "own")],
        );
        a.query("SHOW datestyle");
        a.query("SHOW application_name");
    })
    .talk("connect_query", |t| {
        let mut a = t.login("a", "app", "greeting");
        a.query("SHOW geqo");
    })
    .talk("a connect_query that fails", |t| {
        let mut a = t.login("a", "app", "mistaken");
        a.query("SELECT 1");
    })
    .talk("a database that the server does not have", |t| {
        t.login("a", "app", "absent");
        t.log("server login failed");
        t.log("closing because");
    })
    .talk("the fallback entry", |t| {
        let mut a = t.login("a", "app", "second");
        a.query("SELECT current_database()");
        let mut b = t.login("b", "app", "postgres");
        b.query("SELECT current_database()");
        t.log("registered new auto-database");
    })
    .talk("the fallback entry for what the server does not have", |t| {
        t.login("a", "app", "never_made");
    })
}
