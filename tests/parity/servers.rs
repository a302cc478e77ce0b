//! Servers that refuse, go away and come back.

use crate::house::House;
use crate::talk::Ask::{Bind, Execute, Parse, Sync};

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![
        refused(),
        lost(),
        checked(),
        check_fails(),
        reset_fails(),
        notified(),
        hosts(),
        fast_close(),
        pool_modes(),
        shared(),
    ]
}

fn refused() -> House {
    House::new("refused", |ground| {
        ground
            .setup()
            .user("locked", "wrong")
            .user("opened", "right")
            .user("nologin", "x")
            .user("missing", "x")
    })
    .talk("a wrong password", |t| {
        t.login("a", "locked", "app");
        t.log("closing because");
    })
    .talk("the right password", |t| {
        let mut a = t.login("a", "opened", "app");
        a.query("SELECT current_user");
    })
    .talk("a role that may not log in", |t| drop(t.login("a", "nologin", "app")))
    .talk("a role that is missing", |t| drop(t.login("a", "missing", "app")))
    .talk("again, at once", |t| {
        t.login("a", "missing", "second");
        t.login("b", "missing", "second");
    })
}

/// A database that stops taking connections. Each pooler has one of its own.
fn lost() -> House {
    House::new("lost", |ground| {
        let port = ground.server.port();
        let entry = |name: &str| format!("{name} = host=127.0.0.1 port={port} dbname={name}");
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .database(&entry("own_a"))
            .database(&entry("own_b"))
    })
    .talk("and comes back", |t| {
        let own = t.own();
        let (mut a, mut b) = (t.quiet_login("a", "app", own), t.quiet_login("b", "app", own));
        a.query("SELECT 1");
        let server = t.server();
        server.query(&format!("ALTER DATABASE {own} ALLOW_CONNECTIONS false"));
        server.query(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{own}'"
        ));
        t.wait_server(
            &format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{own}'"),
            "0",
        );
        t.log_server("closing because");
        a.query("SELECT 2");
        a.end();
        b.ask(&[Parse("", "SELECT 3"), Bind("", "", &[]), Execute("", 0), Sync]);
        b.end();
        let mut c = t.login("c", "app", own);
        c.query("SELECT 4");
        server.query(&format!("ALTER DATABASE {own} ALLOW_CONNECTIONS true"));
        t.retried("d", own);
    })
}

fn checked() -> House {
    House::new("checked", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("server_check_delay", 0)
            .setting("server_check_query", "SELECT 'checked'")
            .setting("default_pool_size", 1)
    })
    .talk("the check is not seen", |t| {
        let mut a = t.app("a");
        a.query("SELECT 1");
        t.wait_show("SHOW POOLS", "sv_used", "1");
        a.query("SELECT 2");
    })
}

fn check_fails() -> House {
    House::new("check-fails", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("server_check_delay", 0)
            .setting("server_check_query", "SELECT nonsense")
            .setting("default_pool_size", 1)
    })
    .talk("another server is taken", |t| {
        let mut a = t.app("a");
        let pid = a.quietly("SELECT pg_backend_pid()");
        t.wait_show("SHOW POOLS", "sv_used", "1");
        t.note(format!("the same: {}", a.quietly("SELECT pg_backend_pid()") == pid));
        t.log_server("closing because");
    })
}

fn reset_fails() -> House {
    House::new("reset-fails", |ground| {
        ground
            .setup()
            .setting("server_reset_query", "SELECT nonsense")
            .setting("default_pool_size", 1)
    })
    .talk("another server is taken", |t| {
        let mut a = t.app("a");
        let pid = a.quietly("SELECT pg_backend_pid()");
        a.terminate();
        t.log_server("closing because");
        let mut b = t.app("b");
        t.note(format!("the same: {}", b.quietly("SELECT pg_backend_pid()") == pid));
    })
}

/// What a server says while nobody has asked it.
fn notified() -> House {
    House::new("unasked", |ground| ground.setup())
        .talk("a notification to an idle session", |t| {
            let (mut a, mut b) = (t.app("a"), t.app("b"));
            a.query(&format!("LISTEN {}", t.own()));
            b.query(&format!("NOTIFY {}, 'hello'", t.own()));
            a.until(b'A');
            a.query("SELECT 1");
        })
        .talk("over the Unix socket", |t| {
            let mut a = t.connect_unix("a");
            a.startup(&[("user", "app"), ("application_name", "by socket")]);
            a.ready();
            t.console("c").rows("SHOW CLIENTS", &["database", "addr", "application_name"]);
        })
}

fn hosts() -> House {
    House::new("hosts", |ground| {
        let port = ground.server.port();
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .database(&format!("twice = host=127.0.0.1,127.0.0.1 port={port} dbname=app"))
            .database(&format!(
                "local = host={} port={port} dbname=app",
                ground.server.socket_dir().display()
            ))
    })
    .talk("a folder", |t| {
        let mut a = t.login("a", "app", "local");
        a.query("SELECT 1");
        t.console("d").rows("SHOW SERVERS", &["database", "addr", "state"]);
    })
    .talk("a list", |t| {
        let mut a = t.login("a", "app", "twice");
        a.query("SELECT 1");
        t.console("c").rows("SHOW DATABASES", &["name", "database"]);
    })
}

fn fast_close() -> House {
    House::new("server_fast_close", |ground| ground.setup().setting("server_fast_close", 1)).talk(
        "RECONNECT ends idle sessions",
        |t| {
            let (mut a, mut b) = (t.app("a"), t.app("b"));
            a.query("SELECT 1");
            b.query("BEGIN; SELECT 1");
            t.command("RECONNECT");
            a.end();
            b.query("SELECT 2");
            b.query("COMMIT");
            b.end();
            t.log("closing because");
        },
    )
}

fn pool_modes() -> House {
    House::new("pool-modes", |ground| {
        let port = ground.server.port();
        ground
            .setup()
            .setting("pool_mode", "statement")
            .database(&format!(
                "transactional = host=127.0.0.1 port={port} dbname=app pool_mode=transaction"
            ))
            .section("[users]\nother = pool_mode=session")
    })
    .talk("of the entry", |t| {
        let mut a = t.quiet_login("a", "app", "transactional");
        a.query("BEGIN; SELECT 1");
        a.query("COMMIT");
    })
    .talk("of the user", |t| {
        let mut a = t.quiet_login("a", "other", "app");
        let pid = a.quietly("SELECT pg_backend_pid()");
        a.query("BEGIN; SELECT 1");
        a.query("COMMIT");
        t.note(format!("the same: {}", a.quietly("SELECT pg_backend_pid()") == pid));
    })
    .talk("of the user before the entry's", |t| {
        let mut a = t.quiet_login("a", "other", "transactional");
        a.query("SELECT 1");
        t.console("c").rows("SHOW POOLS", &["database", "user", "sv_active", "pool_mode"]);
    })
    .talk("of all others", |t| {
        let mut a = t.app("a");
        a.query("BEGIN");
        a.end();
    })
}

/// What clients of one server see of each other.
fn shared() -> House {
    House::new("shared", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("default_pool_size", 1)
    })
    .talk("a notification goes to who holds the server", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query(&format!("LISTEN {}", t.own()));
        b.query(&format!("NOTIFY {}, 'hello'", t.own()));
        a.query("SELECT 1");
        b.query("UNLISTEN *");
    })
    .talk("temporary tables", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("CREATE TEMP TABLE passing (n int)");
        b.query("SELECT * FROM passing");
        b.query("DROP TABLE passing");
    })
    .talk("a session's lock", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        let lock = format!("hashtext('{}')", t.own());
        a.query(&format!("SELECT pg_try_advisory_lock({lock})"));
        b.query(&format!("SELECT pg_advisory_unlock({lock})"));
    })
    .talk("much in both directions", |t| {
        let mut a = t.app("a");
        a.ask(&[
            Parse("", "SELECT length($1), md5($1)"),
            Bind("", "", &[&"x".repeat(1_000_000)]),
            Execute("", 0),
            Sync,
        ]);
        a.query(&format!("SELECT length('{}')", "y".repeat(300_000)));
        a.query("SELECT md5(repeat('z', 2000000)), n FROM generate_series(1, 20) n");
    })
}
