//! Who takes too long.

use crate::house::House;
use crate::talk::Ask::{Bind, Execute, Parse, Sync};

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![
        login(),
        login_without_server(),
        idle(),
        query(),
        query_waiting(),
        idle_transaction(),
        transaction(),
        of_user(),
        unreachable(),
        server_idle(),
    ]
}

fn login() -> House {
    House::new("client_login_timeout", |ground| {
        ground.setup().setting("auth_type", "plain").setting("client_login_timeout", 0.5)
    })
    .talk("nothing", |t| {
        t.connect("a").end();
        t.log("closing because");
    })
    .talk("half a packet", |t| {
        let mut a = t.connect("a");
        a.bytes("half a packet", b"\0\0\0\x12\0\x03\0\0us");
        a.end();
    })
    .talk("no password", |t| {
        let mut a = t.connect("a");
        a.startup(&[("user", "app")]);
        a.end();
        t.log("pooler error");
    })
    .talk("SSLRequest alone", |t| {
        let mut a = t.connect("a");
        a.ask_for("SSL");
        a.end();
    })
}

fn login_without_server() -> House {
    House::new("client_login_timeout-server", |ground| {
        let port = crate::common::home::free_port();
        ground
            .setup()
            .setting("client_login_timeout", 0.7)
            .database(&format!("app = host=127.0.0.1 port={port}"))
    })
    .talk("nobody there", |t| {
        t.login("a", "app", "app");
        t.log("closing because: client_login_timeout");
    })
}

fn unreachable() -> House {
    House::new("unreachable", |ground| {
        let port = crate::common::home::free_port();
        ground
            .setup()
            .setting("query_wait_timeout", 0.7)
            .database(&format!("app = host=127.0.0.1 port={port}"))
    })
    .talk("a login", |t| {
        t.login("a", "app", "app");
        t.log("closing because: query_wait_timeout");
        t.log_server("closing because");
    })
}

fn idle() -> House {
    House::new("client_idle_timeout", |ground| {
        ground.setup().setting("client_idle_timeout", 1).database(&format!(
            "pooled = host=127.0.0.1 port={} dbname=app pool_mode=transaction",
            ground.server.port()
        ))
    })
    .talk("after the login", |t| {
        t.app("a").end();
        t.log("pooler error");
        t.log("closing because");
    })
    .talk("after a transaction", |t| {
        let mut a = t.quiet_login("a", "app", "pooled");
        a.query("SELECT 1");
        a.end();
    })
    .talk("not inside one", |t| {
        let mut a = t.quiet_login("a", "app", "pooled");
        a.query("BEGIN; SELECT 1");
        a.query("SELECT pg_sleep(1.6)");
        a.query("COMMIT");
    })
    .talk("on the console", |t| t.console("a").stays())
}

fn query() -> House {
    House::new("query_timeout", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("query_timeout", 1)
    })
    .talk("a query", |t| {
        let mut a = t.app("a");
        a.query("SELECT pg_sleep(20)");
        a.end();
        t.log("pooler error");
        t.log("closing because: query timeout");
    })
    .talk("in a transaction", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1");
        a.query("SELECT pg_sleep(20)");
        a.end();
    })
    .talk("in the extended protocol", |t| {
        let mut a = t.app("a");
        a.ask(&[Parse("", "SELECT pg_sleep(20)"), Bind("", "", &[]), Execute("", 0), Sync]);
        a.end();
    })
    .talk("not the quick ones", |t| {
        let mut a = t.app("a");
        a.query("SELECT pg_sleep(0.1)");
    })
}

fn query_waiting() -> House {
    House::new("query_timeout-waiting", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", 1)
            .setting("query_timeout", 1)
    })
    .talk("in the queue", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.query("SELECT 1");
        b.end();
        t.log("closing because");
        a.query("COMMIT");
    })
}

fn idle_transaction() -> House {
    House::new("idle_transaction_timeout", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("idle_transaction_timeout", 1)
    })
    .talk("idle in a transaction", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1");
        a.end();
        t.log("pooler error");
        t.log("closing because: idle transaction timeout");
    })
    .talk("after BEGIN alone", |t| {
        let mut a = t.app("a");
        a.query("BEGIN");
        a.end();
    })
    .talk("in a failed transaction", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1/0");
        a.end();
    })
    .talk("a long query is not idle", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1");
        a.query("SELECT pg_sleep(1.6)");
        a.query("COMMIT");
    })
}

fn transaction() -> House {
    House::new("transaction_timeout", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("transaction_timeout", 1)
    })
    .since(1, 25)
    .talk("idle in it", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1");
        a.end();
        t.log("closing because: transaction timeout");
    })
    .talk("busy in it", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1");
        a.query("SELECT pg_sleep(20)");
        a.end();
    })
}

fn of_user() -> House {
    House::new("user-timeouts", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .section("[users]\napp = idle_transaction_timeout=1\nother = query_timeout=1")
    })
    .since(1, 25)
    .talk("his own", |t| {
        let (mut a, mut b) = (t.app("a"), t.quiet_login("b", "other", "app"));
        a.query("BEGIN; SELECT 1");
        b.query("SELECT pg_sleep(20)");
        a.end();
        b.end();
    })
}

fn server_idle() -> House {
    House::new("server_idle_timeout", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("server_idle_timeout", 0.3)
            .setting("server_lifetime", 1)
    })
    .talk("a server that was closed meanwhile is another next time", |t| {
        let mut a = t.app("a");
        a.query("SELECT 1");
        t.wait_show("SHOW POOLS", "sv_idle", "0");
        t.log_server("closing because");
        a.query("SELECT 2");
    })
}
