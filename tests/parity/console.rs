//! The console: every SHOW with its columns and their types, and who may do what.

use crate::house::House;
use crate::talk::Ask::{Bind, Close, Describe, Execute, Flush, Parse, Query, Sync};

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![shows(), words(), rights(), settings(), control(), kill(), suspend()]
}

/// What is shown, and the columns whose values do not depend on the day. Of those not named here only the shape counts.
const SHOWS: &[(&str, &[&str])] = &[
    ("STATS", &["database"]),
    ("STATS_TOTALS", &["database"]),
    ("STATS_AVERAGES", &["database"]),
    ("TOTALS", &["name"]),
    ("CLIENTS", &["type", "user", "database", "state", "addr", "close_needed", "application_name"]),
    ("SERVERS", &["type", "user", "database", "state", "addr", "close_needed", "tls"]),
    ("SOCKETS", &["type", "user", "database", "addr"]),
    ("ACTIVE_SOCKETS", &[]),
    (
        "POOLS",
        &[
            "database",
            "user",
            "cl_active",
            "cl_waiting",
            "sv_active",
            "sv_idle",
            "sv_login",
            "maxwait",
            "pool_mode",
        ],
    ),
    (
        "DATABASES",
        &[
            "name",
            "host",
            "database",
            "force_user",
            "pool_size",
            "pool_mode",
            "max_connections",
            "paused",
            "disabled",
        ],
    ),
    ("USERS", &["name", "pool_mode"]),
    ("LISTS", &["list"]),
    ("CONFIG", &["key"]),
    ("VERSION", &[]),
    ("STATE", &["key", "value"]),
    ("MEM", &[]),
    ("DNS_HOSTS", &[]),
    ("DNS_ZONES", &[]),
    ("FDS", &["task", "user", "database", "client_encoding", "std_strings"]),
    ("HELP", &[]),
    ("PEERS", &[]),
    ("PEER_POOLS", &[]),
];

fn shows() -> House {
    let house = House::new("show", |ground| {
        ground.setup().setting("pool_mode", "transaction").user("zed", "z")
    });
    SHOWS.iter().fold(house, |house, (what, columns)| {
        let since = if what.starts_with("PEER") { (1, 20) } else { (0, 0) };
        house.talk_since(since, *what, move |t| {
            let mut client =
                t.quiet_login_with("a", &[("user", "app"), ("application_name", "me")]);
            client.quietly("SELECT 1");
            let mut console = t.console("c");
            console.show(&format!("SHOW {what}"), columns);
        })
    })
}

fn words() -> House {
    let house = House::new("words", |ground| ground.setup());
    let words = [
        "",
        " ",
        ";",
        ";;",
        "-- a comment",
        "FROBNICATE",
        "FROBNICATE this",
        "SHOW",
        "SHOW ",
        "SHOW FROBNICATE",
        "SHOW VERSION;",
        "show state",
        "  SHOW\tSTATE\n",
        "SHOW STATE; SHOW STATE",
        "SHOW STATE extra",
        "SHOW \"state\"",
        "SELECT 1",
        "SELECT state",
        "SELECT * FROM pools",
        "SHOW client_encoding",
        "SHOW default_transaction_isolation",
        "SHOW standard_conforming_strings",
        "SHOW datestyle",
        "SHOW timezone",
        "SHOW server_version",
        "SET",
        "SET x",
        "SET x =",
        "SET frobnicate = 1",
        "SET frobnicate TO 'one'",
        "SET verbose = 0",
        "SET verbose TO 0",
        "SET verbose = '0'",
        "SET verbose = many",
        "SET verbose = 2.5",
        "SET verbose = -1",
        "SET verbose = 'a",
        "SET listen_port = 1",
        "SET pool_mode = sideways",
        "SET query_timeout = '0.0'",
        "SET query_timeout = '-1'",
        "SET query_timeout = 'x'",
        "SET client_encoding = 'LATIN1'",
        "SET datestyle TO german",
        "SET DateStyle = x",
        "set timezone = 'x'",
        "BEGIN",
        "COMMIT",
        "DISCARD ALL",
        "LISTEN x",
        "COPY x FROM stdin",
        "PAUSE nowhere",
        "PAUSE pgbouncer",
        "PAUSE app second",
        "RESUME",
        "RESUME app",
        "RESUME nowhere",
        "DISABLE",
        "DISABLE nowhere",
        "DISABLE pgbouncer",
        "ENABLE",
        "ENABLE nowhere",
        "ENABLE pgbouncer",
        "ENABLE app",
        "KILL nowhere",
        "KILL pgbouncer",
        "RECONNECT",
        "RECONNECT app",
        "RECONNECT nowhere",
        "WAIT_CLOSE",
        "WAIT_CLOSE app",
        "WAIT_CLOSE nowhere",
        "RELOAD",
        "RELOAD app",
        "SHUTDOWN NOW",
        "SHUTDOWN app",
        "SUSPEND app",
        "PAUSE \"app",
        "PAUSE \"\"",
        "PAUSE app;",
        "RESUME APP",
        "RESUME \"app\";",
    ];
    let house = words.into_iter().fold(house, |house, words| {
        house.talk(format!("{words:?}"), move |t| {
            t.console("c").query(words);
            t.resume();
        })
    });
    let later = [
        "KILL_CLIENT",
        "KILL_CLIENT 999999",
        "KILL_CLIENT x",
        "KILL_CLIENT 0xdeadbeef",
        "SHUTDOWN WAIT_FOR_NOBODY",
    ];
    let house = later.into_iter().fold(house, |house, words| {
        house.talk_since((1, 25), format!("{words:?}"), move |t| {
            t.console("c").query(words);
            t.resume();
        })
    });
    let long = [
        ("a long command", "X".repeat(100)),
        ("a long name", format!("PAUSE {}", "d".repeat(100))),
        ("a long value", format!("SET verbose = '{}'", "1".repeat(300))),
        ("a command of 100000 bytes", "X".repeat(100_000)),
        ("a command beyond ASCII", "größe".to_owned()),
    ];
    long.into_iter()
        .fold(house, |house, (name, words)| {
            house.talk(name, move |t| {
                let mut console = t.console("c");
                console.query(&words);
                console.query("SHOW STATE");
            })
        })
        .talk("the extended protocol", |t| {
            let mut console = t.console("c");
            console.send(&[Parse("", "SHOW STATE"), Bind("", "", &[]), Execute("", 0), Sync]);
            console.end();
            t.log("closing because");
        })
        .talk("Parse alone", |t| {
            let mut console = t.console("c");
            console.send(&[Parse("", "SHOW STATE")]);
            console.end();
        })
        .talk("Describe alone", |t| {
            let mut console = t.console("c");
            console.send(&[Describe(b'S', "")]);
            console.end();
        })
        .talk("Sync alone", |t| {
            let mut console = t.console("c");
            console.send(&[Sync]);
            console.end();
        })
        .talk("Flush alone", |t| {
            let mut console = t.console("c");
            console.send(&[Flush]);
            console.end();
        })
        .talk("Close alone", |t| {
            let mut console = t.console("c");
            console.send(&[Close(b'S', "")]);
            console.end();
        })
        .talk("an unknown message", |t| {
            let mut console = t.console("c");
            console.message("an unknown message", b'~', b"");
            console.end();
        })
        .talk("CopyData", |t| {
            let mut console = t.console("c");
            console.message("CopyData", b'd', b"x");
            console.end();
        })
        .talk("two queries in one write", |t| {
            let mut console = t.console("c");
            console.send(&[Query("SHOW STATE"), Query("SHOW VERSION")]);
            console.until(b'Z');
            console.until(b'Z');
        })
        .talk("goodbye", |t| {
            let console = t.console("c");
            console.terminate();
            t.log("closing because");
        })
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
