//! The console: every SHOW with its columns and their types, and every word that may be said there.

use crate::house::House;
use crate::talk::Ask::{Bind, Close, Describe, Execute, Flush, Parse, Query, Sync};

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![shows(), states(), words()]
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

/// Who is in which state.
fn states() -> House {
    House::new("states", |ground| {
        ground.setup().setting("pool_mode", "transaction").setting("default_pool_size", 1)
    })
    .talk("active, waiting, idle", |t| {
        let (mut a, mut b) = (t.app("a"), t.app("b"));
        let _c = t.quiet_login("c", "other", "second");
        a.query("BEGIN; SELECT 1");
        b.start("SELECT 2");
        t.wait_show("SHOW POOLS", "cl_waiting", "1");
        let mut console = t.console("s");
        console.rows("SHOW CLIENTS", &["user", "database", "state"]);
        console.rows("SHOW SERVERS", &["user", "database", "state", "application_name"]);
        console.rows(
            "SHOW POOLS",
            &["database", "user", "cl_active", "cl_waiting", "sv_active", "sv_idle"],
        );
        console.rows("SHOW DATABASES", &["name", "current_connections"]);
        a.query("COMMIT");
        b.ready();
        console.rows("SHOW SERVERS", &["user", "database", "state"]);
    })
    .talk("statistics", |t| {
        let mut a = t.quiet_login("a", "app", "second");
        a.query("BEGIN; SELECT 1; SELECT 2; COMMIT");
        a.query("BEGIN");
        a.query("SELECT 1");
        a.query("ROLLBACK");
        t.console("s").rows("SHOW STATS", &["database", "total_xact_count", "total_query_count"]);
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
            console.finish();
            t.log("closing because");
        })
        .talk("Parse alone", |t| {
            let mut console = t.console("c");
            console.send(&[Parse("", "SHOW STATE")]);
            console.finish();
        })
        .talk("Describe alone", |t| {
            let mut console = t.console("c");
            console.send(&[Describe(b'S', "")]);
            console.finish();
        })
        .talk("Sync alone", |t| {
            let mut console = t.console("c");
            console.send(&[Sync]);
            console.finish();
        })
        .talk("Flush alone", |t| {
            let mut console = t.console("c");
            console.send(&[Flush]);
            console.finish();
        })
        .talk("Close alone", |t| {
            let mut console = t.console("c");
            console.send(&[Close(b'S', "")]);
            console.finish();
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
