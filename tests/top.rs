//! `pgweir top` in a real terminal, before a pgweir and before a pgbouncer: what a person sees, and what keys do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::home::{Home, as_service};
use common::weir::binary;
use common::{Cluster, Run, Setup, Signal, Terminal, Weir, Wire, wait};

const ENTER: &str = "\r";
const ESCAPE: &str = "\u{1b}";
const TAB: &str = "\t";
const DOWN: &str = "\u{1b}[B";
const END: &str = "\u{1b}[F";

/// Runs `pgweir top` in a terminal.
fn top(home: &Home, arguments: &[&str], columns: u16, lines: u16) -> Terminal {
    top_with(home, arguments, &[], columns, lines)
}

fn top_with(
    home: &Home,
    arguments: &[&str],
    variables: &[(&str, &str)],
    columns: u16,
    lines: u16,
) -> Terminal {
    let program = binary(home);
    let start = |command: &mut Command| {
        command.arg(&program).arg("top").args(arguments);
        without_libpqs(command).envs(variables.iter().copied());
    };
    Terminal::start(start, columns, lines)
}

/// Runs it to its end, with no terminal.
fn once(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = as_service(binary(home));
    command.arg("top").args(arguments);
    without_libpqs(&mut command).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Takes away what the test was started with.
fn without_libpqs(command: &mut Command) -> &mut Command {
    for name in ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSSLMODE"] {
        command.env_remove(name);
    }
    command
}

fn ini(weir: &Weir) -> String {
    weir.dir().join("pgweir.ini").display().to_string()
}

/// A primary with a replica, and a pgweir over them whose pools have two servers on each.
fn whole() -> (Cluster, Weir) {
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(1);
    let weir = Weir::setup()
        .cluster(&cluster)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 2)
        .setting("route_reads", "shadow")
        .setting("slow_start", 0)
        // On a machine that is busy with other tests a late answer must not count as none.
        .setting("topology_timeout", 20)
        .start();
    weir.wait_show("SHOW TOPOLOGY", "role", "replica");
    (cluster, weir)
}

/// Clients that read, until the story is over.
fn with_traffic(weir: &Weir, story: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wire = Wire::tcp(weir.port(), "app", "app").unwrap();
            while !stop.load(Ordering::Relaxed) {
                // Others want the processor, too.
                thread::sleep(Duration::from_millis(2));
                // Whatever fails while hosts fail: there is the next one.
                for sql in ["BEGIN READ ONLY", "SELECT 1", "COMMIT", "SELECT 42 AS answer"] {
                    if wire.query(sql).is_err() {
                        wire = wait::ok("a login", wait::DEADLINE, || {
                            Wire::tcp(weir.port(), "app", "app")
                        });
                    }
                }
            }
        });
        let _stop = Stop(&stop);
        story();
    });
}

#[test]
fn the_overview_shows_hosts_pools_and_rates_and_keys_lead_further() {
    let (cluster, weir) = whole();
    let home = Home::new();
    let [primary, replica] = <[u16; 2]>::try_from(cluster.ports()).unwrap();
    let [primary, replica] = [primary, replica].map(|port| format!("127.0.0.1:{port}"));
    with_traffic(&weir, || {
        let mut top = top(&home, &["-c", &ini(&weir), "-i", "0.2"], 80, 24);
        top.wait_line(&["pgweir top", &weir.dir().display().to_string()[..10]]);
        top.wait_line(&["1 Overview", "2 Hosts", "7 Reads", "8 Events"]);
        top.wait_line(&[&primary, "primary", "up"]);
        top.wait_line(&[&replica, "replica", "up"]);
        let line = top.wait("transactions per second", |text| {
            text.lines().any(|line| rate(line).is_some_and(|rate| rate > 0.0))
        });
        assert!(top.coloured(6).contains("Pools"), "the pane that has the keys is cyan\n{line}");
        top.wait_line(&["app", "app", "4", "."]); // two servers on each of two hosts

        // Where reads went, and what would go there.
        top.press("2");
        top.wait("shares of both hosts", |text| {
            text.lines().filter(|line| line.contains('%') && line.contains("127.0.0.1")).count()
                == 2
        });
        top.press("7");
        top.wait_line(&["app", "replica", "it only reads", "SELECT"]);
        top.press("8");
        top.wait_line(&[&primary, "primary"]);

        // From a pool to its clients and servers, and to one of them.
        top.press("3");
        top.wait_line(&["app", "app", "transaction"]);
        top.press(ENTER);
        top.wait_line(&["Pool app/app"]);
        top.wait_line(&["transaction mode", "of 4 servers busy"]);
        top.wait_line(&["Clients 1"]);
        top.wait_line(&["app", "127.0.0.1:"]);
        top.press(TAB);
        top.press(DOWN);
        top.press(ENTER);
        top.wait_line(&["Pools > Pool app/app > Server "]);
        top.wait_line(&["remote_pid"]);
        top.press(ESCAPE);
        top.wait_line(&["Clients 1"]);
        top.press(ESCAPE);
        top.wait("the pools", |text| text.contains("Pools 1") && !text.contains("Pool app/app"));

        // Filter, sort, help, freeze.
        top.press("/nosuch");
        top.wait_line(&["filter Pools: nosuch_"]);
        top.wait_line(&["none that the filter lets through"]);
        top.press(ESCAPE);
        top.wait_line(&["waiting▼"]);
        top.press("s");
        top.wait_line(&["longest▼"]);
        top.press("r");
        top.wait_line(&["longest▲"]);
        top.press("?");
        top.wait_line(&["freeze, and go on"]);
        top.press(" ");
        top.press("p");
        top.wait_line(&["FROZEN"]);
        top.press("p");
        top.wait_line(&["active"]);

        // The same with much room.
        top.press("1");
        top.wait_line(&[&primary, "primary", "up"]);
        top.resize(200, 50);
        top.wait_line(&["Databases 1"]);
        top.wait_line(&["behind", "since"]);

        top.resize(60, 20);
        top.wait_line(&[&replica, "replica"]);
        top.press("q");
        assert!(top.wait_end().success());
        assert!(top.is_restored());
    });
    weir.stop();
}

/// The number behind `xact/s` in the charts.
fn rate(line: &str) -> Option<f64> {
    let figure = line.split("xact/s").nth(1)?.split_whitespace().next()?;
    figure.replace([',', 'k'], "").parse().ok()
}

#[test]
fn what_goes_wrong_is_told_with_what_to_do() {
    let (mut cluster, mut weir) = whole();
    let home = Home::new();
    let mut top = top_with(&home, &[&ini(&weir), "-i", "0.2"], &[("NO_COLOR", "1")], 120, 30);
    top.wait_line(&["replica", "up"]);

    // Everybody who wants the primary waits for two.
    let mut holders: Vec<Wire> =
        (0..2).map(|_| Wire::tcp(weir.port(), "app", "app").unwrap()).collect();
    for holder in &mut holders {
        holder.query("BEGIN").unwrap();
        holder.query("SELECT 1").unwrap();
    }
    let mut late = Wire::tcp(weir.port(), "app", "app").unwrap();
    late.start("SELECT 'late'").unwrap();
    top.wait_line(&["!", "1 client waits in app/app, the longest for"]);
    top.press("3");
    top.press(ENTER);
    top.wait_line(&["1 clients wait, the longest for"]);
    top.wait_line(&["waiting", "127.0.0.1:"]);
    top.press("1");
    holders[0].query("COMMIT").unwrap();
    late.answer().unwrap();
    top.wait("nobody to wait", |text| !text.contains("waits in app/app"));

    drop(holders);
    weir.console("PAUSE app");
    top.wait_line(&["!app is paused: its clients wait", "RESUME app"]);
    weir.console("RESUME app");

    cluster.nodes[1].kill(Signal::KILL);
    top.wait_line(&["is down"]);
    top.press("w");
    top.wait_line(&["nothing is sent there until it answers"]);
    top.press(ESCAPE);

    // It goes, and comes back.
    weir.signal(Signal::KILL);
    weir.wait_end();
    top.wait_line(&["NO CONNECTION for"]);
    top.wait_line(&["!cannot reach"]);
    weir.start_again();
    top.wait_line(&["connected again after", "leave that time out"]);
    top.wait_line(&["primary", "up"]);
    assert_eq!(top.coloured(1) + &top.coloured(3) + &top.coloured(6), "", "NO_COLOR");
    top.press("\u{3}"); // Ctrl-C
    assert!(top.wait_end().success());
    assert!(top.is_restored());
}

#[test]
fn signals_end_it_and_leave_the_terminal_as_it_was() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).start();
    let home = Home::new();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut top = top(&home, &["-c", &ini(&weir)], 80, 24);
        top.wait_line(&["active"]);
        assert!(top.is_alternate() && !top.is_restored());
        top.signal(signal);
        assert!(top.wait_end().success(), "{signal:?}");
        assert!(top.is_restored(), "{signal:?}");
    }
    let log = weir.log();
    assert!(!log.contains("unexpected eof"), "it takes leave of the console:\n{log}");
}

#[test]
fn a_pgbouncer_is_shown_as_far_as_it_goes() {
    let server = Setup::new().start();
    let bouncer = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", 5)
        .user("stats", "")
        .pgbouncer()
        .start();
    let home = Home::new();
    let port = bouncer.port().to_string();
    with_traffic(&bouncer, || {
        let mut top =
            top(&home, &["-H", "127.0.0.1", "-p", &port, "-U", "stats", "-i", "0.2"], 80, 24);
        top.wait_line(&["PgBouncer", "every 0.2 s"]);
        let tabs = top.wait_line(&["1 Overview", "3 Pools"]);
        for pane in ["2 Hosts", "7 Reads", "8 Events"] {
            assert!(!tabs.contains(pane), "{pane}: {tabs}");
        }
        top.wait("transactions per second", |text| {
            text.lines().any(|line| rate(line).is_some_and(|rate| rate > 0.0))
        });
        top.wait_line(&["app", "5", "."]);
        top.wait_line(&["Databases"]);
        top.press("2"); // does nothing here
        top.press("3");
        top.press(ENTER);
        top.wait_line(&["Pool app/app"]);
        top.wait_line(&["Clients 1"]);
        top.wait_line(&["of 5 servers busy"]);
        top.press(ENTER);
        top.wait_line(&["application_name"]);
        top.press("5");
        top.wait_line(&["stats", "pgweir top"]);
        top.press(END);
        top.press("q");
        assert!(top.wait_end().success());
    });
    // It is not asked again what it does not know: each refusal stands in its log.
    let log = bouncer.log();
    assert!(log.matches("ERROR invalid command 'SHOW TOPOLOGY'").count() <= 1, "{log}");
    let seen = once(&home, &["--once", "-i", "0.2", &bouncer.url("stats", "pgbouncer")], &[]);
    assert!(seen.ok().contains("Pools 1") && !seen.stdout.contains("Hosts"), "{}", seen.stdout);
}

#[test]
fn without_a_terminal_one_look_is_printed() {
    let (cluster, weir) = whole();
    let home = Home::new();
    with_traffic(&weir, || {
        for arguments in [&["--once", "-i", "0.5"][..], &["-i", "0.5"]] {
            let seen = once(&home, &[arguments, &[&ini(&weir)]].concat(), &[]);
            let text = seen.ok();
            let has = |words: &[&str]| {
                assert!(
                    text.lines().any(|line| words.iter().all(|word| line.contains(word))),
                    "{words:?} in\n{text}"
                );
            };
            has(&["PgBouncer", "pgweir", "active"]);
            has(&["xact/s", "query/s"]);
            for (port, role) in cluster.ports().iter().zip(["primary", "replica"]) {
                has(&[&format!("127.0.0.1:{port}"), role, "up"]);
            }
            has(&["app", "transaction", "."]);
            has(&["it only reads"]);
            has(&["Events"]);
            assert!(!text.contains('\u{1b}'), "plain text has no escapes");
        }
    });
}

#[test]
fn passwords_come_from_where_libpq_has_them() {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("auth_type", "scram-sha-256")
        .user("stats", "watchword")
        .start();
    let home = Home::new();
    let port = weir.port().to_string();
    let place = ["-i", "0.1", "-H", "127.0.0.1", "-p", &port, "-U", "stats"];
    assert!(once(&home, &place, &[("PGPASSWORD", "watchword")]).ok().contains("Databases 1"));
    let pgpass = home.file("pgpass", &format!("127.0.0.1:{port}:*:stats:watchword\n"));
    let pgpass = pgpass.display().to_string();
    assert!(once(&home, &place, &[("PGPASSFILE", &pgpass)]).ok().contains("Databases 1"));
    // Who may read the files needs no other.
    assert!(
        once(&home, &["-i", "0.1", &ini(&weir), "-U", "stats"], &[]).ok().contains("Databases 1")
    );

    let none = once(&home, &place, &[]);
    assert!(
        none.failed().contains("wants a password for stats: set PGPASSWORD"),
        "{}",
        none.stderr
    );
    let wrong = once(&home, &place, &[("PGPASSWORD", "guess")]);
    assert!(wrong.failed().contains("refused stats"), "{}", wrong.stderr);
    let nowhere = once(&home, &["-H", "127.0.0.1", "-p", "1"], &[]);
    assert!(nowhere.failed().contains("cannot reach 127.0.0.1:1"), "{}", nowhere.stderr);
    for run in [none, wrong, nowhere] {
        assert!(
            !run.stderr.contains("watchword") && !run.stderr.contains("guess"),
            "{}",
            run.stderr
        );
    }
}
