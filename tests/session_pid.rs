//! Session mode: the process id that a client is told at login is its server's.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::raw::{self, Raw, Welcome};
use common::{Postgres, Setup, Signal, Weir, WeirSetup, Wire, python, wait};

fn start(server: &Postgres, change: impl FnOnce(WeirSetup) -> WeirSetup) -> Weir {
    change(Weir::setup().server(server).setting("pool_mode", "session")).start()
}

fn login(weir: &Weir) -> (Raw, Welcome) {
    Raw::login(weir.port(), 0, &[]).unwrap()
}

fn own_pid(client: &mut Raw) -> u32 {
    client.value("SELECT pg_backend_pid()").parse().unwrap()
}

fn is_there(server: &Postgres, pid: u32) -> bool {
    let asked = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    server.query(&asked).one() == "1"
}

#[test]
fn each_client_is_told_the_process_id_of_the_server_that_it_then_has() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup.setting("default_pool_size", 6));
    let mut clients: Vec<_> = (0..6).map(|_| login(&weir)).collect();
    assert_eq!(weir.console("SHOW POOLS").get(0, "sv_idle"), "6");
    for (client, welcome) in clients.iter_mut().rev() {
        assert_eq!(own_pid(client), welcome.pid);
    }
    let pools = weir.console("SHOW POOLS");
    assert_eq!((pools.get(0, "sv_active"), pools.get(0, "sv_idle")), ("6", "0"));
    // What a client leaves is there for the next one.
    drop(clients.pop());
    weir.wait_show("SHOW POOLS", "sv_idle", "1");
    let (mut next, welcome) = login(&weir);
    assert_eq!(own_pid(&mut next), welcome.pid);
}

#[test]
fn clients_that_log_in_at_once_are_all_told_true_process_ids() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup.setting("default_pool_size", 12));
    std::thread::scope(|scope| {
        let logins: Vec<_> = (0..12).map(|_| scope.spawn(|| login(&weir))).collect();
        let clients: Vec<_> = logins.into_iter().map(|login| login.join().unwrap()).collect();
        for (mut client, welcome) in clients {
            assert_eq!(own_pid(&mut client), welcome.pid);
        }
    });
}

#[test]
fn a_driver_sees_its_own_process_id_in_notifications() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup);
    let program = "
import psycopg
with psycopg.connect(autocommit=True) as connection:
    told = connection.info.backend_pid
    connection.execute('LISTEN channel')
    connection.execute('NOTIFY channel')
    notify = next(connection.notifies(timeout=60))
    own = connection.execute('SELECT pg_backend_pid()').fetchone()[0]
    print(told == own == notify.pid)
";
    assert_eq!(python(&weir.login("app", "app"), program, &[]).ok().trim(), "True");
}

#[test]
fn a_client_that_never_asked_hears_why_its_server_was_terminated() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup);
    let (mut client, welcome) = login(&weir);
    let (mut other, _) = login(&weir);
    assert_eq!(other.value(&format!("SELECT pg_terminate_backend({})", welcome.pid)), "t");
    let told = client.answer();
    assert_eq!(told.code(), "57P01");
    assert_eq!(told.message(), "terminating connection due to administrator command");
    assert!(told.closed && told.error.unwrap().is_fatal());
    assert_eq!(other.value("SELECT 1"), "1", "nobody else is harmed");
}

#[test]
fn a_query_that_meets_the_end_of_an_unused_server_gets_its_words() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup);
    let (mut client, welcome) = login(&weir);
    server.query(&format!("SELECT pg_terminate_backend({})", welcome.pid));
    wait::until("the server process is gone", wait::DEADLINE, || !is_there(&server, welcome.pid));
    client.start("SELECT 1");
    assert_eq!(client.answer().code(), "57P01");
}

#[test]
fn a_client_that_never_asks_keeps_nobody_waiting() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| {
        setup.setting("default_pool_size", 1).setting("query_wait_timeout", 0)
    });
    let (mut idle, told) = login(&weir);
    let (mut second, other) = login(&weir);
    assert_ne!(other.pid, told.pid, "the only server is kept for the first");
    assert_eq!(own_pid(&mut second), told.pid, "but the second has more need of it");
    // Now it is the second's, and the first waits as anybody would.
    idle.start("SELECT pg_backend_pid()");
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    assert_eq!(own_pid(&mut second), told.pid);
    drop(second);
    assert_eq!(idle.answer().one(), told.pid.to_string());
}

#[test]
fn clients_that_never_ask_keep_no_other_pool_waiting() {
    let server = Setup::new().sql("CREATE ROLE other LOGIN").start();
    let weir = start(&server, |setup| setup.setting("max_db_connections", 2).user("other", ""));
    let (_idle, _) = login(&weir);
    let (mut busy, told) = login(&weir);
    assert_eq!(own_pid(&mut busy), told.pid);
    let mut other = Wire::tcp(weir.port(), "other", "app").unwrap();
    assert_eq!(other.query("SELECT current_user").unwrap().one(), "other");
    assert_eq!(own_pid(&mut busy), told.pid);
}

#[test]
fn after_its_first_query_the_server_stays_its_clients() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup.setting("default_pool_size", 1));
    let (mut first, told) = login(&weir);
    first.query("SET work_mem = '77kB'");
    let (mut second, _) = login(&weir);
    second.start("SHOW work_mem");
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    assert_eq!(own_pid(&mut first), told.pid);
    assert_eq!(first.value("SHOW work_mem"), "77kB");
    drop(first);
    assert_ne!(second.answer().one(), "77kB");
}

#[test]
fn a_cancel_with_the_real_process_id_stops_the_query() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup);
    let (mut client, welcome) = login(&weir);
    raw::cancel(weir.port(), welcome.pid, &welcome.key);
    client.start("SELECT pg_sleep(600)");
    let asked = format!("SELECT state FROM pg_stat_activity WHERE pid = {}", welcome.pid);
    wait::until("it sleeps", wait::DEADLINE, || server.query(&asked).one() == "active");
    // The server's own secret stays with us: who knows only the process id cannot cancel.
    raw::cancel(weir.port(), welcome.pid, b"none");
    raw::cancel(weir.port(), welcome.pid, &welcome.key);
    assert_eq!(client.answer().code(), "57014");
    assert_eq!(own_pid(&mut client), welcome.pid);
}

#[test]
fn pause_and_reconnect_do_not_wait_for_an_unused_server() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup);
    let (mut client, first) = login(&weir);
    weir.console("RECONNECT");
    weir.console("WAIT_CLOSE");
    assert!(!is_there(&server, first.pid));
    let (mut other, second) = login(&weir);
    weir.console("PAUSE");
    assert!(!is_there(&server, second.pid));
    let (mut late, _) = login(&weir);
    weir.console("RESUME");
    for client in [&mut client, &mut other, &mut late] {
        assert_eq!(client.value("SELECT 1"), "1");
    }
}

#[test]
fn a_client_that_leaves_without_a_query_leaves_its_server_as_it_was() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup.setting("default_pool_size", 1));
    let (client, first) = login(&weir);
    drop(client);
    weir.wait_show("SHOW POOLS", "cl_active", "0");
    let (mut next, second) = login(&weir);
    assert_eq!((second.pid, own_pid(&mut next)), (first.pid, first.pid));
}

#[test]
fn a_server_that_was_unused_for_long_is_checked_before_its_first_use_and_stays_the_same() {
    let server =
        Setup::new().sql("CREATE SEQUENCE checks; GRANT ALL ON SEQUENCE checks TO app").start();
    let checked = |query: &'static str| {
        start(&server, move |setup| {
            setup.setting("server_check_delay", 0).setting("server_check_query", query)
        })
    };
    let weir = checked("SELECT nextval('checks')");
    let (mut client, welcome) = login(&weir);
    assert_eq!(client.value("SELECT last_value FROM checks WHERE is_called"), "1");
    assert_eq!(own_pid(&mut client), welcome.pid);
    drop((client, weir));

    // One that fails its check is replaced.
    let weir = checked("SELECT 1 / 0");
    let (mut client, welcome) = login(&weir);
    assert_ne!(own_pid(&mut client), welcome.pid);
    weir.wait_log("test query failed");
}

/// It once closed each new connection before anybody could use it.
#[test]
fn with_a_server_lifetime_of_0_each_server_serves_one_client() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup.setting("server_lifetime", 0));
    let mut served = Vec::new();
    for _ in 0..3 {
        let (mut client, _) = login(&weir);
        served.push(own_pid(&mut client));
        drop(client);
        weir.wait_show("SHOW POOLS", "sv_active", "0");
    }
    served.dedup();
    assert_eq!(served.len(), 3, "{served:?}");
}

#[test]
fn where_servers_have_no_limit_logins_open_none() {
    let server = Setup::new().start();
    let weir = start(&server, |setup| setup.setting("default_pool_size", 0));
    let mut clients: Vec<_> = (0..4).map(|_| login(&weir)).collect();
    let pools = weir.console("SHOW POOLS");
    assert_eq!((pools.get(0, "cl_active"), pools.get(0, "sv_idle")), ("4", "1"));
    // The one that the first login needed is the first client's.
    let (first, told) = &mut clients[0];
    assert_eq!(own_pid(first), told.pid);
    let (second, told) = &mut clients[1];
    assert_ne!(own_pid(second), told.pid);
}

#[test]
fn a_login_in_transaction_mode_takes_no_server() {
    let server = Setup::new().start();
    let weir = Weir::setup().server(&server).setting("pool_mode", "transaction").start();
    let clients: Vec<_> = (0..3).map(|_| login(&weir)).collect();
    let pools = weir.console("SHOW POOLS");
    assert_eq!((pools.get(0, "cl_active"), pools.get(0, "sv_idle")), ("3", "1"));
    drop(clients);
}

#[test]
fn a_failover_before_the_first_query_is_not_noticed() {
    let mut cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(1);
    cluster.wait_streaming(1);
    let weir = Weir::setup()
        .cluster(&cluster)
        .setting("pool_mode", "session")
        .setting("topology_user", "app")
        .start();
    let (mut used, told) = login(&weir);
    assert_eq!(own_pid(&mut used), told.pid);
    let (mut idle, told) = login(&weir);
    assert!(is_there(cluster.primary(), told.pid));
    // A fast shutdown: the words are those of a terminated backend.
    cluster.primary_mut().kill(Signal::INT);
    assert_eq!(used.answer().code(), "57P01", "a used server's end is its client's");
    cluster.promote(1);
    assert_eq!(idle.value("SELECT pg_is_in_recovery()"), "f");
}
