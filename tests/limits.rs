//! Limits and modes: who gets a server, for how long, and who is told no.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Password, Postgres, Setup, Weir, WeirSetup, Wire, wait};

fn start(mode: &str, change: impl FnOnce(WeirSetup) -> WeirSetup) -> (Postgres, Weir) {
    let server = Setup::new().start();
    let weir = change(Weir::setup().server(&server).setting("pool_mode", mode)).start();
    (server, weir)
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

#[test]
fn max_client_conn_refuses_one_too_many_and_lets_in_again_when_one_has_left() {
    let (_server, weir) = start("transaction", |setup| setup.setting("max_client_conn", 2));
    let first = client(&weir);
    let _second = client(&weir);
    let refused = Wire::tcp(weir.port(), "app", "app").err().unwrap();
    assert_eq!(refused.code(), "53300");
    assert!(
        refused.to_string().contains("no more connections allowed (max_client_conn)"),
        "{refused}"
    );
    drop(first);
    wait::ok("a place", std::time::Duration::from_secs(30), || {
        Wire::tcp(weir.port(), "app", "app")
    });
    weir.stop();
}

#[test]
fn who_waits_longer_than_query_wait_timeout_is_told_so_and_nobody_else() {
    let (_server, weir) = start("transaction", |setup| {
        setup.setting("default_pool_size", 1).setting("query_wait_timeout", 1)
    });
    let (mut holder, mut waiter) = (client(&weir), client(&weir));
    holder.query("BEGIN").unwrap();
    let refused = waiter.query("SELECT 1").unwrap_err();
    assert_eq!(refused.code(), "53300");
    assert!(refused.to_string().contains("query_wait_timeout"), "{refused}");
    holder.query("COMMIT").unwrap();
    assert_eq!(client(&weir).query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn those_who_wait_are_served_in_the_order_they_came() {
    let (server, weir) = start("transaction", |setup| setup.setting("default_pool_size", 1));
    server.login("postgres", "app");
    let mut holder = client(&weir);
    holder.query("CREATE TABLE served (place serial, who int)").unwrap();
    holder.query("BEGIN").unwrap();
    let mut waiting = Vec::new();
    for who in 0..5 {
        let mut waiter = client(&weir);
        waiting.push(std::thread::spawn(move || {
            waiter.query(&format!("INSERT INTO served (who) VALUES ({who})")).unwrap();
        }));
        weir.wait_show("SHOW POOLS", "cl_waiting", &(who + 1).to_string());
    }
    holder.query("COMMIT").unwrap();
    waiting.into_iter().for_each(|waiter| waiter.join().unwrap());
    let order =
        holder.query("SELECT string_agg(who::text, '' ORDER BY place) FROM served").unwrap();
    assert_eq!(order.one(), "01234");
    weir.stop();
}

#[test]
fn a_session_keeps_its_server_and_leaves_nothing_to_the_next() {
    let (_server, weir) = start("session", |setup| setup.setting("default_pool_size", 1));
    let mut first = client(&weir);
    first.query("CREATE TEMP TABLE mine (n int)").unwrap();
    let pid = first.query("SELECT pg_backend_pid()").unwrap().one().to_owned();
    first.query("SELECT * FROM mine").unwrap();
    drop(first);
    let mut second = client(&weir);
    assert_eq!(second.query("SELECT pg_backend_pid()").unwrap().one(), pid);
    assert_eq!(second.query("SELECT * FROM mine").unwrap_err().code(), "42P01");
    drop(second);
    weir.stop();
}

#[test]
fn statement_mode_refuses_transaction_blocks() {
    let (_server, weir) = start("statement", |setup| setup);
    let mut client = client(&weir);
    assert_eq!(client.query("SELECT 1").unwrap().one(), "1");
    let refused = client.query("BEGIN").unwrap_err();
    assert!(
        refused.to_string().contains("transaction blocks not allowed in statement pooling mode"),
        "{refused}"
    );
    weir.stop();
}

#[test]
fn a_client_that_leaves_in_a_transaction_does_not_leave_its_server_to_others() {
    let (server, weir) = start("transaction", |setup| setup.setting("default_pool_size", 1));
    let mut rude = client(&weir);
    rude.query("CREATE TABLE t (n int)").unwrap();
    rude.query("BEGIN").unwrap();
    rude.query("INSERT INTO t VALUES (1)").unwrap();
    drop(rude);
    let mut next = client(&weir);
    assert_eq!(next.query("SELECT count(*) FROM t").unwrap().one(), "0");
    // A backend whose connection was closed takes a moment to end.
    wait::until("the end of the server that was closed", wait::DEADLINE, || {
        server.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").one() == "1"
    });
    weir.stop();
}

#[test]
fn clients_keep_their_settings_on_a_shared_server() {
    let (_server, weir) = start("transaction", |setup| setup.setting("default_pool_size", 1));
    let (mut a, mut b) = (client(&weir), client(&weir));
    a.query("SET TimeZone = 'Asia/Tokyo'").unwrap();
    b.query("SET TimeZone = 'Europe/Berlin'").unwrap();
    b.query("SET application_name = 'it''s b'").unwrap();
    for _ in 0..3 {
        assert_eq!(a.query("SHOW TimeZone").unwrap().one(), "Asia/Tokyo");
        assert_eq!(b.query("SHOW TimeZone").unwrap().one(), "Europe/Berlin");
        assert_eq!(b.query("SHOW application_name").unwrap().one(), "it's b");
    }
    weir.stop();
}

#[test]
fn with_server_reset_query_always_nothing_leaks_between_transactions() {
    let (_server, weir) = start("transaction", |setup| {
        setup.setting("default_pool_size", 1).setting("server_reset_query_always", 1)
    });
    let (mut a, mut b) = (client(&weir), client(&weir));
    a.query("SET work_mem = '7MB'").unwrap();
    assert_ne!(b.query("SHOW work_mem").unwrap().one(), "7MB");
    weir.stop();
}

fn other(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "other", "app").unwrap()
}

/// A server with the roles `app` and `other`, and pgweir before it in transaction mode.
fn start_for_two(change: impl FnOnce(WeirSetup, &Postgres) -> WeirSetup) -> (Postgres, Weir) {
    let server = Setup::new().role("other", Password::None).start();
    let setup = Weir::setup().server(&server).setting("pool_mode", "transaction").user("other", "");
    let weir = change(setup, &server).start();
    (server, weir)
}

/// Column of one database's row in SHOW DATABASES.
fn of_database(weir: &Weir, name: &str, column: &str) -> String {
    let rows = weir.console("SHOW DATABASES");
    rows.get(rows.find("name", name).unwrap(), column).to_owned()
}

/// Column of one user's row in SHOW USERS.
fn of_user(weir: &Weir, name: &str, column: &str) -> String {
    let rows = weir.console("SHOW USERS");
    rows.get(rows.find("name", name).unwrap(), column).trim().to_owned()
}

fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait::until(what, wait::DEADLINE, condition);
}

#[test]
fn at_max_db_connections_an_idle_server_of_another_user_makes_room() {
    let (server, weir) = start_for_two(|setup, _| setup.setting("max_db_connections", 1));
    let (mut a, mut b) = (client(&weir), other(&weir));
    for _ in 0..3 {
        assert_eq!(a.query("SELECT current_user").unwrap().one(), "app");
        assert_eq!(b.query("SELECT current_user").unwrap().one(), "other");
    }
    assert!(weir.log().contains("closing because: evicted"));
    assert_eq!(of_database(&weir, "app", "max_connections"), "1");
    assert_eq!(of_database(&weir, "app", "current_connections"), "1");
    assert_eq!(of_user(&weir, "other", "current_connections"), "1");
    let count = "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('app', 'other')";
    wait_until("one server connection", || server.query(count).one() == "1");
    weir.stop();
}

#[test]
fn at_max_db_connections_who_needs_a_server_waits_until_another_user_has_done_with_his() {
    let (_server, weir) = start_for_two(|setup, _| setup.setting("max_db_connections", 1));
    let (mut a, mut b, mut c) = (client(&weir), client(&weir), other(&weir));
    a.query("BEGIN").unwrap();
    c.start("SELECT current_user").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    b.start("SELECT 2").unwrap();
    wait_until("two to wait", || {
        let rows = weir.console("SHOW POOLS");
        (0..rows.rows.len()).filter(|row| rows.get(*row, "cl_waiting") == "1").count() == 2
    });
    a.query("COMMIT").unwrap();
    // The server stays with its user while one of its clients waits; then it makes room.
    b.answer().unwrap();
    assert_eq!(c.answer().unwrap().one(), "other");
    weir.stop();
}

#[test]
fn a_raised_max_db_connections_serves_who_waits_and_a_lowered_one_closes_what_is_too_many() {
    let (_server, mut weir) = start_for_two(|setup, _| setup.setting("max_db_connections", 1));
    let (mut a, mut b) = (client(&weir), other(&weir));
    a.query("BEGIN").unwrap();
    b.start("SELECT current_user").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    weir.change(|setup| setup.setting("max_db_connections", 2));
    weir.reload();
    assert_eq!(b.answer().unwrap().one(), "other");
    assert_eq!(of_database(&weir, "app", "current_connections"), "2");
    b.query("BEGIN").unwrap();
    weir.console("SET max_db_connections = 1");
    a.query("COMMIT").unwrap();
    assert_eq!(of_database(&weir, "app", "current_connections"), "1");
    b.query("COMMIT").unwrap();
    assert_eq!(b.query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn a_databases_own_limit_counts_before_the_global_one_and_its_hosts_are_counted_together() {
    let (server, weir) = start_for_two(|setup, server| {
        let port = server.port();
        setup
            .setting("max_db_connections", 5)
            .setting("max_user_connections", 9)
            .setting("server_round_robin", 1)
            .database(&format!(
                "pair = host=127.0.0.1,localhost port={port} dbname=app max_db_connections=2"
            ))
    });
    assert_eq!(of_database(&weir, "pair", "max_connections"), "2");
    assert_eq!(of_database(&weir, "app", "max_connections"), "5");
    assert_eq!(of_user(&weir, "app", "max_user_connections"), "9");
    let mut clients: Vec<Wire> =
        (0..3).map(|_| Wire::tcp(weir.port(), "app", "pair").unwrap()).collect();
    let mut third = clients.pop().unwrap();
    clients.iter_mut().for_each(|client| drop(client.query("BEGIN").unwrap()));
    third.start("SELECT 3").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    assert_eq!(of_database(&weir, "pair", "current_connections"), "2");
    clients[0].query("COMMIT").unwrap();
    assert_eq!(third.answer().unwrap().one(), "3");
    drop(server);
    weir.stop();
}

#[test]
fn max_user_connections_counts_over_all_databases() {
    let (_server, weir) = start_for_two(|setup, server| {
        setup
            .database(&format!("again = host=127.0.0.1 port={} dbname=app", server.port()))
            .section("[users]\napp = max_user_connections=1")
    });
    let mut a = client(&weir);
    let mut b = Wire::tcp(weir.port(), "app", "again").unwrap();
    a.query("BEGIN").unwrap();
    b.start("SELECT 'b'").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    // Another user is not concerned.
    assert_eq!(other(&weir).query("SELECT current_user").unwrap().one(), "other");
    assert_eq!(of_user(&weir, "app", "current_connections"), "1");
    assert_eq!(of_user(&weir, "app", "max_user_connections"), "1");
    a.query("COMMIT").unwrap();
    assert_eq!(b.answer().unwrap().one(), "b");
    weir.stop();
}

#[test]
fn under_load_over_several_workers_no_limit_is_exceeded_and_everybody_is_served() {
    let (_server, weir) = start_for_two(|setup, server| {
        setup
            .setting("workers", 3)
            .setting("max_db_connections", 3)
            .setting("max_user_connections", 4)
            .database(&format!("again = host=127.0.0.1 port={} dbname=app", server.port()))
    });
    let threads: Vec<_> = (0..12)
        .map(|n| {
            let (user, database) = (["app", "other"][n % 2], ["app", "again"][n / 2 % 2]);
            let mut wire = Wire::tcp(weir.port(), user, database).unwrap();
            std::thread::spawn(move || {
                for _ in 0..150 {
                    assert_eq!(wire.query("SELECT current_user").unwrap().one(), user);
                }
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        for database in ["app", "again"] {
            let count: u32 = of_database(&weir, database, "current_connections").parse().unwrap();
            assert!(count <= 3, "{count} connections of {database}");
        }
        for user in ["app", "other"] {
            let count: u32 = of_user(&weir, user, "current_connections").parse().unwrap();
            assert!(count <= 4, "{count} connections of {user}");
        }
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    weir.stop();
}

#[test]
fn min_pool_size_is_kept_while_a_client_is_there_and_outlasts_server_idle_timeout() {
    let (_server, weir) = start_for_two(|setup, _| {
        setup
            .setting("min_pool_size", 3)
            .setting("default_pool_size", 2)
            .setting("server_idle_timeout", "0.1")
    });
    let a = client(&weir);
    weir.wait_show("SHOW POOLS", "sv_idle", "2");
    // Rounds of the janitor pass: each would close what is idle too long.
    assert!(!weir.log().contains("server idle timeout"));
    drop(a);
    weir.console("SET min_pool_size = 0");
    weir.wait_log("closing because: server idle timeout");
    weir.wait_show("SHOW POOLS", "sv_idle", "0");
    weir.stop();
}

#[test]
fn a_database_with_a_forced_user_has_min_pool_size_connections_before_its_first_client() {
    let (server, mut weir) = start_for_two(|setup, server| {
        setup.database(&format!(
            "ready = host=127.0.0.1 port={} dbname=app user=app min_pool_size=2",
            server.port()
        ))
    });
    wait_until("two servers", || of_database(&weir, "ready", "current_connections") == "2");
    assert_eq!(of_database(&weir, "ready", "min_pool_size"), "2");
    let port = server.port();
    weir.change(|setup| {
        setup.database(&format!(
            "late = host=127.0.0.1 port={port} dbname=app user=other min_pool_size=1"
        ))
    });
    weir.reload();
    wait_until("one server", || of_database(&weir, "late", "current_connections") == "1");
    weir.stop();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the wait itself is what is looked at")]
fn the_reserve_is_opened_for_who_has_waited_reserve_pool_timeout_and_no_more() {
    let (_server, weir) = start_for_two(|setup, _| {
        setup
            .setting("default_pool_size", 1)
            .setting("reserve_pool_timeout", "0.5")
            .section("[users]\napp = reserve_pool_size=1")
    });
    let (mut a, mut b, mut c) = (client(&weir), client(&weir), client(&weir));
    a.query("BEGIN").unwrap();
    let begun = std::time::Instant::now();
    b.query("BEGIN").unwrap();
    assert!(begun.elapsed() >= std::time::Duration::from_millis(500));
    assert!(weir.log().contains("taking connection from reserve_pool"));
    assert_eq!(of_user(&weir, "app", "reserve_pool_size"), "1");
    c.start("SELECT 3").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    b.query("COMMIT").unwrap();
    assert_eq!(c.answer().unwrap().one(), "3");
    assert_eq!(of_database(&weir, "app", "current_connections"), "2");
    // The user's own number counts before the global one, and a user without one has none.
    let (mut d, mut e) = (other(&weir), other(&weir));
    d.query("BEGIN").unwrap();
    e.start("SELECT 5").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    weir.console("SET reserve_pool_size = 1");
    assert_eq!(e.answer().unwrap().one(), "5");
    drop((a, d));
    weir.stop();
}

#[test]
fn clients_per_database_and_per_user_are_limited_and_a_reload_counts_at_once() {
    let (_server, mut weir) = start_for_two(|setup, server| {
        setup
            .database(&format!(
                "small = host=127.0.0.1 port={} dbname=app max_db_client_connections=2",
                server.port()
            ))
            .section("[users]\nother = max_user_client_connections=1")
    });
    let log_in = |weir: &Weir, user: &str, database: &str| Wire::tcp(weir.port(), user, database);
    let first = log_in(&weir, "app", "small").unwrap();
    let _second = log_in(&weir, "other", "small").unwrap();
    let refused = log_in(&weir, "app", "small").err().unwrap();
    assert_eq!(refused.code(), "53300");
    let text = "FATAL 53300: client connections exceeded (max_db_client_connections)";
    assert_eq!(refused.to_string(), text);
    let refused = log_in(&weir, "other", "app").err().unwrap();
    let text = "FATAL 53300: client connections exceeded (max_user_client_connections)";
    assert_eq!(refused.to_string(), text);
    assert_eq!(of_database(&weir, "small", "max_client_connections"), "2");
    assert_eq!(of_database(&weir, "small", "current_client_connections"), "2");
    assert_eq!(of_user(&weir, "other", "max_user_client_connections"), "1");
    assert_eq!(of_user(&weir, "other", "current_client_connections"), "1");
    drop(first);
    wait::ok("a place", wait::DEADLINE, || log_in(&weir, "app", "small"));
    weir.change(|setup| setup.setting("max_user_client_connections", 1));
    weir.reload();
    let _third = wait::ok("a place", wait::DEADLINE, || log_in(&weir, "app", "app"));
    assert_eq!(log_in(&weir, "app", "app").err().unwrap().to_string(), text);
    weir.stop();
}
