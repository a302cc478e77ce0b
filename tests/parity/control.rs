//! The console: who may do what, and what the commands do.

use crate::common::Signal;
use crate::house::House;

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![
        rights(),
        settings(),
        control(),
        paused_sessions(),
        kill(),
        suspend(),
        shutdown(),
        shutdown_for_servers(),
        shutdown_for_clients(),
        terminated(),
        interrupted(),
    ]
}

fn rights() -> House {
    let house = House::new("rights", |ground| ground.setup())
        .talk("an admin's greeting", |t| drop(t.login("c", "admin", "pgbouncer")))
        .talk("a stats user's greeting", |t| {
            t.login("c", "stats", "pgbouncer");
            t.log("login attempt");
        })
        .talk("anybody else", |t| {
            t.login("c", "app", "pgbouncer");
            t.log("pooler error");
            t.log("closing because");
        })
        .talk("an unknown user", |t| drop(t.login("c", "nobody", "pgbouncer")))
        .talk("startup parameters", |t| {
            t.login_with(
                "c",
                &[("user", "admin"), ("database", "pgbouncer"), ("client_encoding", "LATIN1")],
            );
        })
        .talk("an unknown startup parameter", |t| {
            t.login_with("c", &[("user", "admin"), ("database", "pgbouncer"), ("frob", "1")]);
        });
    let words = [
        "SHOW STATE",
        "SHOW FDS",
        "SHOW MEM",
        "SHOW CONFIG",
        "SHOW CLIENTS",
        "SET verbose = 0",
        "SET datestyle = x",
        "PAUSE",
        "RESUME",
        "RELOAD",
        "DISABLE app",
        "ENABLE app",
        "KILL app",
        "SUSPEND",
        "SHUTDOWN",
        "RECONNECT",
        "WAIT_CLOSE",
        "FROBNICATE",
        "",
    ];
    words.into_iter().fold(house, |house, words| {
        house.talk(format!("a stats user says {words:?}"), move |t| {
            let mut console = t.quiet_login("c", "stats", "pgbouncer");
            console.show(words, &["task", "key"]);
        })
    })
}

fn settings() -> House {
    House::new("settings", |ground| ground.setup().setting("pool_mode", "transaction"))
        .talk("SET takes effect", |t| {
            let mut a = t.app("a");
            t.command("SET client_idle_timeout = 1");
            a.end();
            t.command("SET client_idle_timeout = 0");
        })
        .talk_since((1, 25), "defaults, and what RELOAD may change", |t| {
            t.console("c").rows("SHOW CONFIG", &["key", "default", "changeable"]);
        })
        .talk("SET is logged", |t| {
            t.command("SET log_stats = 0");
            t.log("SET");
        })
        .talk("RELOAD is logged", |t| {
            t.command("RELOAD");
            t.log("RELOAD");
        })
        .talk("every command is logged", |t| {
            for command in [
                "PAUSE app",
                "RESUME app",
                "DISABLE app",
                "ENABLE app",
                "RECONNECT app",
                "PAUSE",
                "RESUME",
                "RECONNECT",
            ] {
                t.command(command);
                t.log(&format!("{} ", command.split(' ').next().unwrap()));
            }
        })
}

fn control() -> House {
    House::new("control", |ground| ground.setup().setting("pool_mode", "transaction"))
        .talk("PAUSE waits for the transaction, clients for RESUME", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            c.start("PAUSE");
            c.silent();
            a.query("COMMIT");
            c.ready();
            a.start("SELECT 2");
            t.wait_show("SHOW POOLS", "cl_waiting", "1");
            a.silent();
            c.query("PAUSE");
            c.query("PAUSE app");
            c.query("SHOW STATE");
            c.query("RESUME");
            t.resume();
            a.ready();
            c.query("RESUME");
        })
        .talk("PAUSE of one database", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("SELECT 1");
            c.query("PAUSE app");
            c.rows("SHOW DATABASES", &["name", "paused"]);
            a.start("SELECT 2");
            t.wait_show("SHOW POOLS", "cl_waiting", "1");
            let mut b = t.login("b", "app", "second");
            b.query("SELECT 1");
            c.query("PAUSE app");
            c.query("RESUME second");
            c.query("RESUME");
            c.query("RESUME app");
            a.ready();
        })
        .talk("a login during PAUSE of a pool that had servers", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("SELECT 1");
            c.query("PAUSE app");
            let mut b = t.connect("b");
            b.startup(&[("user", "app")]);
            b.silent();
            c.query("RESUME app");
            b.ready();
            b.query("SELECT 1");
        })
        .talk("a cancel takes PAUSE back", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            c.start("PAUSE");
            c.silent();
            t.cancel("x", &c.key);
            c.stays();
            a.query("COMMIT");
            a.start("SELECT 2");
            t.resume();
            a.ready();
        })
        .talk("the console that waits in PAUSE goes away", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            c.start("PAUSE app");
            c.silent();
            c.leave();
            a.query("COMMIT");
            a.start("SELECT 2");
            t.wait_show("SHOW POOLS", "cl_waiting", "1");
            t.command("RESUME app");
            a.ready();
        })
        .talk("a cold login during PAUSE", |t| {
            let mut c = t.console("c");
            c.query("PAUSE second");
            let mut b = t.connect("b");
            b.startup(&[("user", "other"), ("database", "second")]);
            b.silent();
            c.query("RESUME second");
            b.ready();
        })
        .talk("SHUTDOWN while paused", |t| {
            let mut c = t.console("c");
            c.query("PAUSE");
            c.query("RECONNECT");
            c.query("WAIT_CLOSE");
            c.query("SHOW POOLS nonsense");
            c.query("DISABLE app");
            c.query("RESUME");
            c.query("ENABLE app");
        })
        .talk("DISABLE and ENABLE", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("SELECT 1");
            c.query("DISABLE app");
            c.query("DISABLE app");
            a.query("SELECT 2");
            t.login("b", "app", "app");
            t.login("u", "nobody", "app");
            t.log("closing because: database");
            c.rows("SHOW DATABASES", &["name", "disabled"]);
            c.query("ENABLE app");
            t.login("d", "app", "app");
        })
        .talk("RECONNECT replaces a server at the end of its transaction", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            let before = a.quietly("SELECT pg_backend_pid()");
            c.query("RECONNECT app");
            t.note(format!("the same: {}", a.quietly("SELECT pg_backend_pid()") == before));
            c.start("WAIT_CLOSE app");
            c.silent();
            a.query("COMMIT");
            c.ready();
            t.note(format!("the same: {}", a.quietly("SELECT pg_backend_pid()") == before));
        })
        .talk("RELOAD keeps everybody", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            c.query("RELOAD");
            a.query("COMMIT");
        })
}

fn kill() -> House {
    House::new("kill", |ground| ground.setup().setting("pool_mode", "transaction"))
        .talk("KILL of a database", |t| {
            let (mut a, mut b, mut c) = (t.app("a"), t.app("b"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            c.query("KILL app");
            a.end();
            b.end();
            t.log("closing because: database removed");
            c.rows("SHOW DATABASES", &["name", "paused"]);
            c.query("RESUME");
            c.query("RESUME app");
            t.login("d", "app", "app").query("SELECT 1");
        })
        .talk("KILL amid a query", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.start("SELECT pg_sleep(20)");
            t.wait_show("SHOW POOLS", "sv_active", "1");
            c.query("KILL app");
            a.end();
            c.query("RESUME app");
        })
        .talk_since((1, 25), "KILL of all", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("SELECT 1");
            c.query("KILL");
            a.end();
            c.rows("SHOW DATABASES", &["name", "paused"]);
            c.query("RESUME");
            c.query("RESUME app");
            c.query("RESUME second");
            c.rows("SHOW DATABASES", &["name", "paused"]);
            t.resume();
        })
        .talk_since((1, 24), "KILL_CLIENT", |t| {
            let (mut a, mut c) = (
                t.quiet_login_with("a", &[("user", "app"), ("application_name", "target")]),
                t.console("c"),
            );
            a.query("BEGIN; SELECT 1");
            let id = t.look_up("SHOW CLIENTS", "application_name", "target", "id");
            c.message("KILL_CLIENT and the id", b'Q', format!("KILL_CLIENT {id}\0").as_bytes());
            c.ready();
            a.end();
            t.log("closing because: admin");
        })
        .talk_since((1, 24), "KILL_CLIENT by its pointer", |t| {
            let a = t.quiet_login_with("a", &[("user", "app"), ("application_name", "by ptr")]);
            let ptr = t.look_up("SHOW CLIENTS", "application_name", "by ptr", "ptr");
            let mut c = t.console("c");
            c.message(
                "KILL_CLIENT and the pointer",
                b'Q',
                format!("KILL_CLIENT {ptr}\0").as_bytes(),
            );
            c.ready();
            a.leave();
        })
        .talk_since((1, 24), "KILL_CLIENT by a stats user", |t| {
            let mut c = t.quiet_login("c", "stats", "pgbouncer");
            c.query("KILL_CLIENT 1");
        })
}

fn suspend() -> House {
    House::new("suspend", |ground| ground.setup().setting("pool_mode", "transaction"))
        .talk("SUSPEND stops all but the console", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("SELECT 1");
            c.query("SUSPEND");
            c.query("SUSPEND");
            c.query("PAUSE");
            c.query("SHOW STATE");
            a.start("SELECT 2");
            a.silent();
            c.query("RESUME");
            t.resume();
            a.ready();
        })
        .talk("SUSPEND with a paused database", |t| {
            let mut c = t.console("c");
            c.query("PAUSE app");
            c.query("SUSPEND");
            c.query("RESUME app");
        })
        .talk("the one who suspended goes away", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("SELECT 1");
            c.query("SUSPEND");
            c.terminate();
            t.log("doing RESUME");
            a.query("SELECT 2");
        })
}

fn paused_sessions() -> House {
    House::new("paused-sessions", |ground| ground.setup())
        .talk("PAUSE waits for a session to end", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            a.query("SELECT 1");
            c.start("PAUSE app");
            c.silent();
            a.query("SELECT 2");
            a.terminate();
            c.ready();
            t.resume();
        })
        .talk("RECONNECT waits for it, too", |t| {
            let (mut a, mut c) = (t.app("a"), t.console("c"));
            let before = a.quietly("SELECT pg_backend_pid()");
            c.query("RECONNECT app");
            t.note(format!("the same: {}", a.quietly("SELECT pg_backend_pid()") == before));
            c.start("WAIT_CLOSE app");
            c.silent();
            a.terminate();
            c.ready();
        })
}

fn shutdown() -> House {
    House::new("shutdown", |ground| ground.setup()).talk("at once", |t| {
        let (mut a, mut c) = (t.app("a"), t.console("c"));
        a.query("BEGIN; SELECT 1");
        c.query("SHUTDOWN");
        a.end();
        t.log("SHUTDOWN");
    })
}

fn shutdown_for_servers() -> House {
    House::new("shutdown-for-servers", |ground| ground.setup().setting("pool_mode", "transaction"))
        .since(1, 23)
        .talk("when none is in use", |t| {
            let (mut a, mut b, mut c) = (t.app("a"), t.app("b"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            c.query("SHUTDOWN WAIT_FOR_SERVERS");
            a.query("SELECT 2");
            b.query("SELECT 3");
            b.end();
            c.query("SHOW STATE");
            c.query("RESUME");
            c.query("PAUSE");
            a.query("COMMIT");
            a.end();
            c.end();
            t.log("exiting");
        })
}

fn shutdown_for_clients() -> House {
    House::new("shutdown-for-clients", |ground| ground.setup().setting("pool_mode", "transaction"))
        .since(1, 23)
        .talk("when all have gone", |t| {
            let (mut a, mut b, mut c) = (t.app("a"), t.app("b"), t.console("c"));
            a.query("BEGIN; SELECT 1");
            c.query("SHUTDOWN WAIT_FOR_CLIENTS");
            b.query("SELECT 3");
            let mut u = t.connect_unix("u");
            u.startup(&[("user", "app")]);
            u.end();
            a.query("COMMIT");
            a.query("SELECT 4");
            a.terminate();
            b.terminate();
            c.terminate();
            t.log("exiting");
        })
}

fn terminated() -> House {
    House::new("sigterm", |ground| ground.setup().setting("pool_mode", "transaction"))
        .since(1, 23)
        .talk("waits for clients", |t| {
            let mut a = t.app("a");
            a.query("BEGIN; SELECT 1");
            t.signal(Signal::TERM);
            t.log("got SIGTERM");
            a.query("COMMIT");
            a.query("SELECT 2");
            a.terminate();
            t.log("exiting");
        })
}

fn interrupted() -> House {
    House::new("sigint", |ground| ground.setup().setting("pool_mode", "transaction"))
        .since(1, 23)
        .talk("waits for servers", |t| {
            let mut a = t.app("a");
            a.query("BEGIN; SELECT 1");
            t.signal(Signal::INT);
            t.log("got SIGINT");
            a.query("COMMIT");
            a.end();
            t.log("exiting");
        })
}
