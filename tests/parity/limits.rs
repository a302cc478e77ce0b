//! Too many clients, too few servers.

use crate::house::House;

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![
        clients(),
        clients_by_database(),
        clients_by_user(),
        queue_in_vain(),
        queue(),
        notified(),
        per_user(),
        per_database(),
        reserve(),
        eviction(),
    ]
}

fn clients() -> House {
    House::new("max_client_conn", |ground| ground.setup().setting("max_client_conn", 2))
        .talk("one too many", |t| {
            t.alone();
            let (mut a, b) = (t.app("a"), t.app("b"));
            let mut c = t.connect("c");
            c.startup(&[("user", "app")]);
            c.end();
            t.log("pooler error");
            t.log("closing because");
            a.query("SELECT 1");
            b.terminate();
        })
        .talk("one too many of an unknown user", |t| {
            t.alone();
            let _held = (t.app("a"), t.app("b"));
            let mut c = t.connect("c");
            c.startup(&[("user", "nobody"), ("database", "nowhere")]);
            c.end();
        })
        .talk("the console is exempt", |t| {
            t.alone();
            let _held = (t.app("a"), t.app("b"));
            t.login("c", "admin", "pgbouncer").query("SHOW VERSION");
            t.login("d", "stats", "pgbouncer");
        })
        .talk("a place that came free", |t| {
            t.alone();
            let (a, _b) = (t.app("a"), t.app("b"));
            a.terminate();
            // No question on the console: pgbouncer counts its clients, too.
            t.log("closing because");
            t.login("c", "app", "app");
        })
}

fn clients_by_database() -> House {
    House::new("max_db_client_connections", |ground| {
        ground.setup().setting("max_db_client_connections", 1)
    })
    .since(1, 24)
    .talk("one too many", |t| {
        t.alone();
        let _a = t.app("a");
        t.login("b", "app", "app");
        t.log("closing because: client connections");
        t.login("c", "other", "app");
        t.login("d", "app", "second");
    })
    .talk("an admin is exempt on the console, a stats user not", |t| {
        t.alone();
        let _a = t.login("a", "admin", "pgbouncer");
        t.login("b", "admin", "pgbouncer");
        t.login("c", "stats", "pgbouncer");
    })
}

fn clients_by_user() -> House {
    House::new("max_user_client_connections", |ground| {
        ground.setup().setting("max_user_client_connections", 1)
    })
    .since(1, 24)
    .talk("one too many", |t| {
        t.alone();
        let _a = t.app("a");
        t.login("b", "app", "second");
        t.login("c", "other", "app");
    })
}

fn queue_in_vain() -> House {
    House::new("query_wait_timeout", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", 1)
            .setting("query_wait_timeout", 0.5)
    })
    .talk("in vain", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.query("SELECT 1");
        t.log("pooler error");
        t.log("closing because");
        a.query("COMMIT");
    })
    .talk("in vain with the extended protocol", |t| {
        use crate::talk::Ask::{Bind, Execute, Parse, Sync};
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.ask(&[Parse("", "SELECT 1"), Bind("", "", &[]), Execute("", 0), Sync]);
        a.query("COMMIT");
    })
}

fn queue() -> House {
    House::new("queue", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("default_pool_size", 1)
    })
    .talk("served in the end, in the order of asking", |t| {
        let (mut a, mut b, mut c) = (t.app("a"), t.app("b"), t.app("c"));
        a.query("BEGIN; SELECT 1");
        b.start("BEGIN; SELECT 'b'");
        t.wait_show("SHOW POOLS", "cl_waiting", "1");
        c.start("SELECT 'c'");
        t.wait_show("SHOW POOLS", "cl_waiting", "2");
        a.query("COMMIT");
        b.ready();
        c.silent();
        b.query("COMMIT");
        c.ready();
    })
    .talk("away while waiting", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.start("SELECT 1");
        t.wait_show("SHOW POOLS", "cl_waiting", "1");
        b.leave();
        t.wait_show("SHOW POOLS", "cl_waiting", "0");
        a.query("COMMIT");
    })
    .talk("a cancel of one who waits", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.start("SELECT 1");
        t.wait_show("SHOW POOLS", "cl_waiting", "1");
        t.cancel("x", &b.key);
        a.query("COMMIT");
        b.ready();
    })
    .talk("a login does not wait for a pool that is full", |t| {
        let mut a = t.app("a");
        a.query("BEGIN; SELECT 1");
        t.login("b", "app", "app");
        a.query("COMMIT");
    })
}

fn notified() -> House {
    House::new("query_wait_notify", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", 1)
            .setting("query_wait_notify", 1)
    })
    .since(1, 25)
    .talk("told while waiting", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.start("SELECT 1");
        b.next();
        a.query("COMMIT");
        b.ready();
    })
}

fn per_user() -> House {
    House::new("max_user_connections", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("query_wait_timeout", 1)
            .section("[users]\napp = max_user_connections=1")
    })
    .talk("counts over databases", |t| {
        let (mut a, mut b) = (t.app("a"), t.quiet_login("b", "other", "second"));
        a.query("BEGIN; SELECT 1");
        b.query("SELECT 1");
        let mut c = t.quiet_login("c", "app", "app");
        c.query("SELECT 1");
        a.query("COMMIT");
    })
}

fn per_database() -> House {
    House::new("max_db_connections", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("query_wait_timeout", 1)
            .setting("max_db_connections", 1)
    })
    .talk("in vain", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.query("SELECT 1");
        a.query("COMMIT");
    })
}

fn eviction() -> House {
    House::new("eviction", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("max_db_connections", 1)
    })
    .talk("another user's idle server makes room", |t| {
        let mut a = t.login("a", "app", "app");
        a.query("SELECT current_user");
        let mut b = t.login("b", "other", "app");
        b.query("SELECT current_user");
        a.query("SELECT current_user");
    })
}

fn reserve() -> House {
    House::new("reserve_pool_size", |ground| {
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("default_pool_size", 1)
            .setting("reserve_pool_size", 1)
            .setting("reserve_pool_timeout", 0.3)
    })
    .talk("comes to help", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        a.query("BEGIN; SELECT 1");
        b.query("SELECT 2");
        t.log("reserve_pool");
        a.query("COMMIT");
    })
}
