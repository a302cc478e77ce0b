//! SUSPEND, and commands of the console that are called off.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::net::TcpStream;

use common::{Postgres, Setup, Signal, Weir, Wire, cancel, wait};

fn start() -> (Postgres, Weir) {
    let server = Setup::new().start();
    let setup = Weir::setup().server(&server).user("admin", "x");
    let weir = setup.setting("pool_mode", "transaction").start();
    (server, weir)
}

fn admin(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "admin", "pgbouncer").unwrap()
}

fn state(weir: &Weir, key: &str) -> bool {
    let state = weir.console("SHOW STATE");
    state.get(state.find("key", key).unwrap(), "value") == "yes"
}

fn running(server: &Postgres, text: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{text}%' AND state = 'active' AND pid <> pg_backend_pid()"
    );
    server.query(&sql).one() == "1"
}

#[test]
fn nobody_is_read_from_until_resume_and_nothing_is_lost() {
    let (server, weir) = start();
    let mut busy = Wire::tcp(weir.port(), "app", "app").unwrap();
    let mut idle = Wire::tcp(weir.port(), "app", "app").unwrap();
    busy.start("SELECT pg_advisory_lock(1), 'busy'").unwrap();
    let lock = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    wait::until("the lock", wait::DEADLINE, || server.query(lock).one() == "1");
    busy.answer().unwrap();
    busy.start("SELECT pg_sleep(0.2), 'slept'").unwrap();
    wait::until("a sleeper", wait::DEADLINE, || running(&server, "slept"));

    let mut console = admin(&weir);
    console.query("SUSPEND").unwrap();
    assert!(state(&weir, "suspended") && !state(&weir, "active"));
    for command in ["SUSPEND", "PAUSE"] {
        let again = weir.try_console(command);
        assert!(again.failed().contains("already suspended/paused"), "{again:?}");
    }
    wait::until("the query to end", wait::DEADLINE, || !running(&server, "slept"));
    // Asked while it is suspended: the server hears of it only later.
    idle.start("SELECT 'asked meanwhile'").unwrap();
    let newcomer = std::thread::spawn({
        let port = weir.port();
        move || {
            Wire::tcp(port, "app", "app").unwrap().query("SELECT 'new'").unwrap().one().to_owned()
        }
    });
    weir.wait_show("SHOW LISTS", "list", "used_clients");
    let held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%asked meanwhile%' AND pid <> pg_backend_pid()";
    assert_eq!(server.query(held).one(), "0");

    console.query("RESUME").unwrap();
    assert_eq!(busy.answer().unwrap().get(0, "?column?"), "slept");
    assert_eq!(idle.answer().unwrap().one(), "asked meanwhile");
    assert_eq!(newcomer.join().unwrap(), "new");
    assert!(state(&weir, "active"));
    weir.stop();
}

#[test]
fn a_suspension_ends_with_who_asked_for_it() {
    let (_server, weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    let mut console = admin(&weir);
    console.query("SUSPEND").unwrap();
    client.start("SELECT 7").unwrap();
    drop(console);
    assert_eq!(client.answer().unwrap().one(), "7");
    weir.wait_log("admin disappeared when suspended, doing RESUME");

    let mut console = admin(&weir);
    console.query("SUSPEND").unwrap();
    client.start("SELECT 8").unwrap();
    let clients = weir.console("SHOW CLIENTS");
    let row = clients.find("user", "admin").unwrap();
    weir.console(&format!("KILL_CLIENT {}", clients.get(row, "id")));
    assert_eq!(client.answer().unwrap().one(), "8");
    weir.stop();
}

#[test]
fn who_does_not_read_its_answers_cannot_hold_up_a_suspension() {
    let server = Setup::new().start();
    let setup = Weir::setup().server(&server).user("admin", "x");
    let weir = setup.setting("suspend_timeout", "0.3").start();
    let mut deaf = Wire::tcp(weir.port(), "app", "app").unwrap();
    // Far more than all buffers on the way have room for.
    deaf.start("SELECT repeat('x', 1000) FROM generate_series(1, 100000)").unwrap();
    let mut console = admin(&weir);
    // As often as it takes: until the buffers are full, a suspension finds everything sent.
    wait::until("the deaf client closed", wait::DEADLINE, || {
        console.query("SUSPEND").unwrap();
        console.query("RESUME").unwrap();
        weir.log().contains("closing because: suspend_timeout")
    });
    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    assert_eq!(other.query("SELECT 1").unwrap().one(), "1");
    drop((deaf, other));
    weir.stop();
}

#[test]
fn a_pause_that_waits_is_called_off_by_a_cancel_request() {
    let (_server, weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    let mut pause = weir.start_console("PAUSE");
    wait::until("paused", wait::DEADLINE, || state(&weir, "paused"));
    pause.signal(Signal::INT);
    let words = pause.finish().failed().to_owned();
    assert!(words.contains("canceling statement due to user request"), "{words}");
    assert!(state(&weir, "active"), "it has resumed");
    client.query("COMMIT").unwrap();
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");

    let mut console = admin(&weir);
    cancel(weir.port(), console.key()).unwrap();
    assert_eq!(
        console.query("SHOW STATE").unwrap().get(0, "value"),
        "yes",
        "one that came too late"
    );
    weir.stop();
}

#[test]
fn all_connections_are_shown_and_any_client_can_be_killed() {
    let (_server, weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    let silent = TcpStream::connect(("127.0.0.1", weir.port())).unwrap();
    // Deferred, it is not there before it says something.
    std::io::Write::write_all(&mut &silent, &[0]).unwrap();
    weir.wait_show("SHOW SOCKETS", "state", "cl_login");
    let sockets = weir.console("SHOW SOCKETS");
    for (state, database) in [
        ("cl_active", "app"),
        ("sv_active", "app"),
        ("cl_active", "pgbouncer"),
        ("cl_login", "(nodb)"),
    ] {
        let found = (0..sockets.rows.len()).any(|row| {
            sockets.get(row, "state") == state && sockets.get(row, "database") == database
        });
        assert!(found, "{state} {database}: {sockets:?}");
    }
    let login = sockets.find("state", "cl_login").unwrap();
    weir.console(&format!("KILL_CLIENT {}", sockets.get(login, "id")));
    weir.wait_log("(nodb)/(nouser)");
    weir.wait_log("closing because: admin forced disconnect");

    let mut console = admin(&weir);
    console.query("SHOW VERSION").unwrap();
    let clients = weir.console("SHOW CLIENTS");
    let ids: Vec<&str> = (0..clients.rows.len())
        .filter(|row| clients.get(*row, "database") == "pgbouncer")
        .map(|row| clients.get(row, "id"))
        .collect();
    weir.console(&format!("KILL_CLIENT {}", ids[0]));
    assert!(console.query("SHOW VERSION").is_err());
    drop(silent);
    client.query("COMMIT").unwrap();
    weir.stop();
}

#[test]
fn a_shutdown_ends_a_suspension_so_that_clients_can_leave() {
    let (_server, mut weir) = start();
    let mut client = Wire::tcp(weir.port(), "app", "app").unwrap();
    client.query("BEGIN").unwrap();
    let mut console = admin(&weir);
    console.query("SUSPEND").unwrap();
    weir.signal(Signal::INT);
    client.query("COMMIT").unwrap();
    assert!(weir.wait_end().success());
}
