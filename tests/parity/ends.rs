//! Cancels, ends amid things, servers that go away, statements that are prepared, secrets from the database.

use crate::house::House;
use crate::talk::Ask::{Bind, Close, Describe, Execute, Flush, Parse, Query, Sync};
use crate::talk::{Conn, Talk};

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![
        cancels(),
        ends(House::new("ends/session", |ground| ground.setup())),
        ends(House::new("ends/transaction", |ground| {
            ground.setup().setting("pool_mode", "transaction")
        })),
        prepared(),
        unprepared(),
        auth_query(),
        broken_auth_query(),
        auth_query_of_stranger(),
        any(),
        replication(),
    ]
}

/// Starts a query that sleeps until something happens, and waits until it runs.
fn sleeps(t: &Talk<'_>, a: &mut Conn) -> String {
    let pid = a.quietly("SELECT pg_backend_pid()");
    a.start("SELECT pg_sleep(20)");
    t.wait_server(
        &format!("SELECT state FROM pg_stat_activity WHERE pid = {pid} AND query LIKE '%sleep%'"),
        "active",
    );
    pid
}

fn cancels() -> House {
    House::new("cancels", |ground| ground.setup())
        .talk("of a running query", |t| {
            let mut a = t.app("a");
            sleeps(t, &mut a);
            t.cancel("x", &a.key);
            a.ready();
            a.query("SELECT 1");
        })
        .talk("of nothing", |t| {
            let mut a = t.app("a");
            a.query("SELECT 1");
            t.cancel("x", &a.key);
            t.log("closing because");
            a.query("SELECT 2");
        })
        .talk("of one who never asked", |t| {
            let a = t.app("a");
            t.cancel("x", &a.key);
            t.log("closing because");
        })
        .talk("with a wrong key", |t| {
            let mut a = t.app("a");
            sleeps(t, &mut a);
            let mut key = a.key.clone();
            key[7] ^= 1;
            t.cancel("x", &key);
            t.log("closing because");
            a.silent();
            t.cancel("y", &a.key);
            a.ready();
        })
        .talk("with a key of zeroes", |t| t.cancel("x", &[0; 8]))
        .talk("with a short key", |t| t.cancel("x", &[0; 4]))
        .talk("with a long key", |t| t.cancel("x", &[0; 32]))
        .talk("in a transaction", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            sleeps(t, &mut a);
            t.cancel("x", &a.key);
            a.ready();
            a.query("SELECT 1");
            a.query("ROLLBACK");
        })
        .talk("of one who has left", |t| {
            let a = t.app("a");
            let key = a.key.clone();
            a.terminate();
            t.alone();
            t.cancel("x", &key);
        })
        .talk("with bytes behind it", |t| {
            let mut a = t.app("a");
            sleeps(t, &mut a);
            let mut x = t.connect("x");
            let mut bytes = b"\0\0\0\x10\x04\xd2\x16\x2e".to_vec();
            bytes.extend(&a.key);
            bytes.extend(b"more");
            x.bytes("CancelRequest and more", &bytes);
            x.end();
            t.cancel("y", &a.key);
            a.ready();
        })
        .talk("of the console", |t| {
            let c = t.console("c");
            t.cancel("x", &c.key);
        })
}

fn ends(house: House) -> House {
    house
        .talk("pg_terminate_backend amid a query", |t| {
            let mut a = t.app("a");
            let pid = sleeps(t, &mut a);
            t.server().query(&format!("SELECT pg_terminate_backend({pid})"));
            a.end();
            t.log("closing because");
            t.log_server("closing because");
        })
        .talk("pg_terminate_backend in an idle transaction", |t| {
            let mut a = t.app("a");
            a.query("BEGIN; SELECT 1");
            let pid = a.quietly("SELECT pg_backend_pid()");
            t.server().query(&format!("SELECT pg_terminate_backend({pid})"));
            t.wait_server(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
            a.query("SELECT 2");
            a.query("COMMIT");
            a.query("SELECT 3");
        })
        .talk("pg_terminate_backend of oneself", |t| {
            let mut a = t.app("a");
            a.query("SELECT pg_terminate_backend(pg_backend_pid())");
            a.end();
        })
        .talk("pg_terminate_backend between queries", |t| {
            let mut a = t.app("a");
            let pid = a.quietly("SELECT pg_backend_pid()");
            t.server().query(&format!("SELECT pg_terminate_backend({pid})"));
            t.wait_server(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
            t.log("closing because");
            a.query("SELECT 3");
        })
        .talk("idle_in_transaction_session_timeout", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.query("SET idle_in_transaction_session_timeout = 100");
            a.end();
        })
        .talk("statement_timeout", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            a.query("SET LOCAL statement_timeout = 100");
            a.query("SELECT pg_sleep(20)");
            a.query("ROLLBACK");
        })
        .talk("goodbye in a transaction", |t| {
            let mut a = t.app("a");
            a.query("BEGIN");
            let pid = a.quietly("SELECT pg_backend_pid()");
            a.message("Terminate", b'X', b"");
            a.end();
            t.wait_server(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), "0");
            t.log("closing because: client");
            t.log_server("closing because");
        })
        .talk("goodbye amid a query", |t| {
            let mut a = t.app("a");
            let pid = sleeps(t, &mut a);
            a.message("Terminate", b'X', b"");
            a.end();
            t.log("closing because: client");
            t.log_server("closing because");
            t.server().query(&format!("SELECT pg_terminate_backend({pid})"));
        })
        .talk("goodbye behind a query", |t| {
            let mut a = t.app("a");
            a.bytes("Query and Terminate", b"Q\0\0\0\x0dSELECT 1\0X\0\0\0\x04");
            a.end();
        })
        .talk("gone without goodbye", |t| {
            let a = t.app("a");
            a.leave();
            t.log("closing because: client");
        })
        .talk("gone in a transaction", |t| {
            let mut a = t.app("a");
            a.query("BEGIN; SELECT 1");
            a.leave();
            t.log("closing because: client");
        })
        .talk("gone with half a message", |t| {
            let mut a = t.app("a");
            a.bytes("half a query", b"Q\0\0\0\x0dSEL");
            a.leave();
            t.log("closing because: client");
        })
        .talk("Terminate with a body", |t| {
            let mut a = t.app("a");
            a.message("Terminate and more", b'X', b"more");
            a.end();
        })
}

/// Named statements in transaction mode, which pgbouncer has since 1.21.
fn prepared() -> House {
    House::new("prepared", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", 1)
            .setting("max_prepared_statements", 3)
    })
    .since(1, 22)
    .talk("a statement on a server that another had", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        b.ask(&[Parse("s", "SELECT 'other'"), Sync]);
        a.ask(&[Bind("", "s", &[]), Describe(b'P', ""), Execute("", 0), Sync]);
        b.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
        a.ask(&[Describe(b'S', "s"), Sync]);
    })
    .talk("more of them than the limit", |t| {
        let mut a = t.app("a");
        for name in ["1", "2", "3", "4", "5"] {
            a.ask(&[Parse(name, &format!("SELECT {name}")), Sync]);
        }
        for name in ["1", "2", "3", "4", "5"] {
            a.ask(&[Bind("", name, &[]), Execute("", 0), Sync]);
        }
    })
    .talk("closed", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        a.ask(&[Close(b'S', "s"), Sync]);
        a.ask(&[Parse("s", "SELECT 2"), Bind("", "s", &[]), Execute("", 0), Sync]);
    })
    .talk("a Parse that fails", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT FROM WHERE"), Sync]);
        a.ask(&[Parse("s", "SELECT 2"), Bind("", "s", &[]), Execute("", 0), Sync]);
    })
    .talk("a name that is in use", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        a.ask(&[Parse("s", "SELECT 2"), Sync]);
        a.query("SELECT 3");
    })
    .talk("a name that is unknown", |t| {
        let mut a = t.app("a");
        a.ask(&[Bind("", "nowhere", &[]), Execute("", 0), Sync]);
        a.query("SELECT 1");
    })
    .talk("Describe of a name that is unknown", |t| {
        let mut a = t.app("a");
        a.ask(&[Describe(b'S', "nowhere"), Sync]);
        a.query("SELECT 1");
    })
    .talk("DEALLOCATE ALL", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        a.query("DEALLOCATE ALL");
        a.ask(&[Parse("s", "SELECT 2"), Bind("", "s", &[]), Execute("", 0), Sync]);
    })
    .talk("DISCARD ALL", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        a.query("DISCARD ALL");
        a.ask(&[Parse("s", "SELECT 2"), Bind("", "s", &[]), Execute("", 0), Sync]);
    })
    .talk("two names for one text", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Parse("u", "SELECT 1"), Sync]);
        a.ask(&[Bind("", "s", &[]), Execute("", 0), Bind("", "u", &[]), Execute("", 0), Sync]);
        a.ask(&[Close(b'S', "s"), Sync]);
        a.ask(&[Bind("", "u", &[]), Execute("", 0), Sync]);
    })
    .talk("all in one batch, closed in the same", |t| {
        let mut a = t.app("a");
        a.ask(&[
            Parse("s", "SELECT $1::int"),
            Describe(b'S', "s"),
            Bind("", "s", &["7"]),
            Execute("", 0),
            Close(b'S', "s"),
            Sync,
        ]);
        a.ask(&[Parse("s", "SELECT $1::text"), Describe(b'S', "s"), Sync]);
    })
    .talk("a batch that fails before a Parse", |t| {
        let mut a = t.app("a");
        a.ask(&[
            Parse("", "SELECT 1/0"),
            Bind("", "", &[]),
            Execute("", 0),
            Parse("never", "SELECT 1"),
            Sync,
        ]);
        a.ask(&[Parse("never", "SELECT 2"), Bind("", "never", &[]), Execute("", 0), Sync]);
    })
    .talk("Flush in place of Sync", |t| {
        let mut a = t.app("a");
        a.send(&[Parse("s", "SELECT 1"), Describe(b'S', "s"), Flush]);
        a.until(b'T');
        a.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
    })
    .talk("after RECONNECT", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        t.command("RECONNECT");
        a.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
    })
    .talk("in a transaction that fails", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1");
        a.ask(&[Parse("s", "SELECT 1/0"), Bind("", "s", &[]), Execute("", 0), Sync]);
        a.ask(&[Parse("u", "SELECT 1 AS unseen"), Sync]);
        a.query("ROLLBACK");
        a.ask(&[Parse("u", "SELECT 2"), Bind("", "u", &[]), Execute("", 0), Sync]);
    })
    .talk("in a transaction that has failed, of a text that the server has", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("t", "SELECT 1 AS seen"), Sync]);
        a.query("BEGIN; SELECT 1/0");
        a.ask(&[Parse("u", "SELECT 1 AS seen"), Sync]);
        a.query("ROLLBACK");
        a.ask(&[Bind("", "u", &[]), Execute("", 0), Sync]);
    })
    .talk("DEALLOCATE ALL by message", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        a.ask(&[Parse("", "DISCARD PLANS"), Bind("", "", &[]), Execute("", 0), Sync]);
        a.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
        a.ask(&[Parse("", "DEALLOCATE ALL"), Bind("", "", &[]), Execute("", 0), Sync]);
        a.ask(&[Parse("s", "SELECT 2"), Bind("", "s", &[]), Execute("", 0), Sync]);
    })
    .talk("a plan that went stale", |t| {
        let mut a = t.app("a");
        let table = format!("stale_{}", t.own());
        t.server().query(&format!("CREATE TABLE {table} (n int); GRANT ALL ON {table} TO PUBLIC"));
        a.ask(&[Parse("s", &format!("SELECT * FROM {table}")), Sync]);
        a.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
        t.server().query(&format!("ALTER TABLE {table} ADD m int"));
        a.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
        t.server().query(&format!("DROP TABLE {table}"));
    })
    .talk("DEALLOCATE of one", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        a.query("DEALLOCATE s");
    })
    .talk("pg_prepared_statements", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Query("SELECT count(*) > 0 FROM pg_prepared_statements")]);
    })
}

/// Statements that are prepared by message where nobody renames them.
fn unprepared() -> House {
    House::new("unprepared", |ground| {
        let port = ground.server.port();
        ground.setup().setting("max_prepared_statements", 0).database(&format!(
            "pooled = host=127.0.0.1 port={port} dbname=app pool_mode=transaction pool_size=1"
        ))
    })
    .since(1, 21)
    .talk("in transaction mode", |t| {
        let (mut a, mut b) =
            (t.quiet_login("a", "app", "pooled"), t.quiet_login("b", "app", "pooled"));
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        b.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
        b.ask(&[Parse("s", "SELECT 2"), Sync]);
        a.ask(&[Close(b'S', "s"), Sync]);
    })
    .talk("in session mode", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("s", "SELECT 1"), Sync]);
        a.ask(&[Bind("", "s", &[]), Execute("", 0), Sync]);
        a.ask(&[Parse("s", "SELECT 2"), Sync]);
        a.ask(&[Bind("", "nowhere", &[]), Execute("", 0), Sync]);
        a.ask(&[Close(b'S', "s"), Sync]);
    })
}

fn auth_query() -> House {
    House::new("auth_query", |ground| {
        ground
            .setup()
            .setting("auth_type", "plain")
            .setting("auth_user", "app")
            .setting(
                "auth_query",
                "SELECT rolname, CASE rolname WHEN 'md5er' THEN NULL ELSE 'pw' END FROM pg_roles WHERE rolname = $1",
            )
    })
    .talk("the right password", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "other"), ("database", "app")]);
        a.next();
        a.password("other");
        a.ready();
        let mut b = t.connect("b");
        b.startup(&[("user", "scrammer"), ("database", "app")]);
        b.next();
        b.password("pw");
        b.ready();
        b.query("SELECT current_user");
    })
    .talk("a wrong password", |t| {
        let mut b = t.connect("b");
        b.startup(&[("user", "scrammer"), ("database", "app")]);
        b.next();
        b.password("wrong");
        b.end();
    })
    .talk("an unknown user", |t| {
        let mut b = t.connect("b");
        b.startup(&[("user", "nobody"), ("database", "app")]);
        b.next();
        b.password("pw");
        b.end();
        t.log("closing because");
    })
    .talk("a user without a secret", |t| {
        let mut b = t.connect("b");
        b.startup(&[("user", "md5er"), ("database", "app")]);
        b.next();
        b.password("");
        b.end();
    })
    .talk("an unknown database", |t| {
        let mut b = t.connect("b");
        b.startup(&[("user", "scrammer"), ("database", "nowhere")]);
        b.next();
        b.password("pw");
        b.end();
    })
}

fn broken_auth_query() -> House {
    House::new("broken-auth_query", |ground| {
        ground
            .setup()
            .setting("auth_type", "plain")
            .setting("auth_user", "app")
            .setting("auth_query", "SELECT rolname FROM pg_roles WHERE rolname = $1")
    })
    .talk("with too few columns", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "scrammer"), ("database", "app")]);
        a.next();
        a.password("pw");
        a.end();
        t.log("closing because");
    })
}

fn auth_query_of_stranger() -> House {
    House::new("mistaken-auth_query", |ground| {
        ground
            .setup()
            .setting("auth_type", "plain")
            .setting("auth_user", "app")
            .setting("auth_query", "SELECT rolname, secret FROM nowhere WHERE rolname = $1")
    })
    .talk("over a table that is missing", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "scrammer"), ("database", "app")]);
        a.next();
        a.password("pw");
        a.end();
        t.log("closing because");
    })
}

fn any() -> House {
    House::new("any", |ground| {
        let port = ground.server.port();
        ground
            .setup()
            .setting("auth_type", "any")
            .database(&format!("one = host=127.0.0.1 port={port} dbname=app user=other"))
    })
    .talk("a user whom nobody knows", |t| {
        let mut a = t.login("a", "nobody", "one");
        a.query("SELECT current_user");
    })
    .talk("an entry without a user", |t| {
        t.login("a", "nobody", "app");
        t.log("closing because");
    })
    .talk("the console", |t| {
        let mut a = t.login("a", "nobody", "pgbouncer");
        a.query("SHOW STATE");
        a.query("PAUSE");
        t.login("b", "admin", "pgbouncer").query("RESUME");
    })
}

fn replication() -> House {
    House::new("replication", |ground| ground.setup().user("postgres", "x"))
        .since(1, 23)
        .talk("logical", |t| {
            let mut a = t.connect("a");
            a.startup(&[("user", "postgres"), ("database", "app"), ("replication", "database")]);
            a.ready();
            a.query("SHOW wal_level");
            t.log("login attempt");
        })
        .talk("physical", |t| {
            let mut a = t.connect("a");
            a.startup(&[("user", "postgres"), ("database", "app"), ("replication", "true")]);
            a.ready();
            a.query("SELECT 1");
        })
        .talk("of one who may not", |t| {
            let mut a = t.connect("a");
            a.startup(&[("user", "app"), ("database", "app"), ("replication", "database")]);
            a.ready();
        })
}
