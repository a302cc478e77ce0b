//! `-R`: a new process takes over, and no client notices.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::fs;

use bytes::BytesMut;
use common::home::Process;
use common::postgres::{Password, Setup};
use common::psql::{psql_as_service, start_pgbench};
use common::tls::Authority;
use common::wait;
use common::weir::{Weir, WeirSetup};
use common::wire::{Wire, cancel};
use postgres_protocol::message::frontend;
use rustix::process::Signal;

fn pid(wire: &mut Wire) -> String {
    wire.query("SELECT pg_backend_pid()").unwrap().one().to_owned()
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

#[track_caller]
fn ends_well(mut old: Process, weir: &Weir) {
    let status = old.wait("the old process's end");
    assert!(status.success(), "{status}\n{}", weir.log());
}

/// With a pidfile.
fn begin(change: impl FnOnce(WeirSetup) -> WeirSetup) -> (common::postgres::Postgres, Weir) {
    let server = Setup::new().start();
    let mut weir = change(Weir::setup().server(&server)).start();
    let pidfile = weir.dir().join("pid");
    weir.change(|setup| setup.setting("pidfile", pidfile.display()));
    // A pidfile counts from the start on.
    let old = weir.reboot();
    ends_well(old, &weir);
    (server, weir)
}

fn pidfile(weir: &Weir) -> String {
    fs::read_to_string(weir.dir().join("pid")).unwrap_or_default().trim().to_owned()
}

fn prepared(wire: &mut Wire, name: &str) -> String {
    let mut out = BytesMut::new();
    let formats = || std::iter::empty::<i16>();
    frontend::bind("", name, formats(), [0_u8; 0], |_, _| unreachable!(), formats(), &mut out)
        .map_err(|_| "bind")
        .unwrap();
    frontend::execute("", 0, &mut out).unwrap();
    frontend::sync(&mut out);
    wire.send(&out).unwrap();
    wire.answer().unwrap().rows[0][0].clone().unwrap()
}

#[test]
fn every_client_goes_on_with_its_session_its_transaction_and_its_answer() {
    let (server, mut weir) = begin(|setup| {
        let setup = setup.setting("pool_mode", "transaction").setting("default_pool_size", 3);
        setup.setting("ignore_startup_parameters", "none")
    });
    let mut idle = Wire::tcp_with(weir.port(), "app", "app", &[("work_mem", "77kB")]).unwrap();
    idle.query("SET timezone = 'Asia/Tokyo'; SET application_name = 'idler'").unwrap();
    let mut out = BytesMut::new();
    frontend::parse("mine", "SELECT 40 + 2", [], &mut out).unwrap();
    frontend::sync(&mut out);
    idle.send(&out).unwrap();
    idle.answer().unwrap();
    assert_eq!(prepared(&mut idle, "mine"), "42");

    let mut inside = client(&weir);
    inside.query("BEGIN; CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").unwrap();
    let inside_pid = pid(&mut inside);
    let mut failed = client(&weir);
    failed.query("BEGIN").unwrap();
    failed.query("SELECT 1/0").unwrap_err();
    let mut busy = client(&weir);
    let mut gate = server.connect("app").unwrap();
    gate.query("SELECT pg_advisory_lock(1)").unwrap();
    busy.start("SELECT pg_advisory_lock_shared(1), 'answered'").unwrap();
    weir.wait_show("SHOW POOLS", "sv_active", "3");
    let mut waiting = client(&weir);
    waiting.start("SELECT 'served'").unwrap();
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");

    let before = weir.pid().as_raw_nonzero().to_string();
    assert_eq!(pidfile(&weir), before);
    let old = weir.reboot();
    let now = weir.pid().as_raw_nonzero().to_string();
    assert_eq!(pidfile(&weir), now);

    drop(gate);
    assert_eq!(busy.answer().unwrap().get(0, "?column?"), "answered");
    assert_eq!(pid(&mut inside), inside_pid, "the same server, in the same transaction");
    assert_eq!(inside.query("SELECT n FROM kept").unwrap().one(), "7");
    inside.query("COMMIT").unwrap();
    assert_eq!(server.query("SELECT n FROM kept").one(), "7");
    assert_eq!(failed.query("SELECT 1").unwrap_err().code(), "25P02");
    failed.query("ROLLBACK").unwrap();
    assert_eq!(waiting.answer().unwrap().one(), "served");
    ends_well(old, &weir);

    assert_eq!(idle.query("SHOW timezone").unwrap().one(), "Asia/Tokyo");
    assert_eq!(idle.query("SHOW work_mem").unwrap().one(), "77kB");
    assert_eq!(prepared(&mut idle, "mine"), "42");
    let clients = weir.console("SHOW CLIENTS");
    assert!(clients.find("application_name", "idler").is_some(), "{clients:?}");
    idle.query("RESET timezone").unwrap();
    assert_ne!(idle.query("SHOW timezone").unwrap().one(), "Asia/Tokyo");
    assert_eq!(client(&weir).query("SELECT 1").unwrap().one(), "1", "new clients too");
    assert!(weir.metrics().contains("pgweir_"), "its HTTP port is the successor's");
    assert!(weir.log().contains("handed 5 clients"), "{}", weir.log());
    weir.stop();
}

#[test]
fn idle_servers_go_along_with_what_they_have_prepared() {
    let (server, mut weir) = begin(|setup| setup.setting("pool_mode", "transaction"));
    let mut one = client(&weir);
    let mut out = BytesMut::new();
    frontend::parse("q", "SELECT 'once'", [], &mut out).unwrap();
    frontend::sync(&mut out);
    one.send(&out).unwrap();
    one.answer().unwrap();
    assert_eq!(prepared(&mut one, "q"), "once");
    let before = pid(&mut one);
    let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    let old = weir.reboot();
    ends_well(old, &weir);
    assert_eq!(server.query(count).one(), "1", "no other was opened");
    assert_eq!(pid(&mut one), before);
    assert_eq!(prepared(&mut one, "q"), "once");
    let names = "SELECT string_agg(name, ',') FROM pg_prepared_statements";
    let names = one.query(names).unwrap().one().to_owned();
    assert!(!names.contains(','), "prepared once: {names}");
    let mut other = client(&weir);
    frontend::parse("another", "SELECT 'new'", [], &mut out).unwrap();
    let mut out = BytesMut::new();
    frontend::parse("another", "SELECT 'new'", [], &mut out).unwrap();
    frontend::sync(&mut out);
    other.send(&out).unwrap();
    other.answer().unwrap();
    assert_eq!(prepared(&mut other, "another"), "new");
    weir.stop();
}

#[test]
fn in_session_mode_a_client_keeps_its_server_and_what_is_on_it() {
    let (_server, mut weir) = begin(|setup| setup.setting("default_pool_size", 2));
    let mut client = Wire::unix(weir.dir(), weir.port(), "app", "app").unwrap();
    client.query("CREATE TEMP TABLE mine AS SELECT 5 AS n; SET work_mem = '99kB'").unwrap();
    let before = pid(&mut client);
    for _ in 0..2 {
        let old = weir.reboot();
        ends_well(old, &weir);
        assert_eq!(pid(&mut client), before);
    }
    assert_eq!(client.query("SELECT n FROM mine").unwrap().one(), "5");
    assert_eq!(client.query("SHOW work_mem").unwrap().one(), "99kB");
    drop(client);
    wait::until("the server reset", wait::DEADLINE, || {
        weir.console("SHOW POOLS").find("sv_idle", "1").is_some()
    });
    let mut next = self::client(&weir);
    assert_eq!(next.query("SELECT to_regclass('pg_temp.mine')").unwrap().one(), "");
    drop(next);
    weir.stop();
}

#[test]
fn who_has_tls_stays_with_the_old_process_until_it_leaves_and_can_be_cancelled() {
    let authority = Authority::new();
    let server = Setup::new().start();
    let setup = Weir::setup().server(&server).setting("pool_mode", "transaction");
    let mut weir = setup.tls(&authority.server()).start();
    let login = weir.login("app", "app").set("sslmode", "require");
    let mut gate = server.connect("app").unwrap();
    gate.query("SELECT pg_advisory_lock(1)").unwrap();
    let sql = ["-c", "SELECT pg_advisory_lock_shared(1)", "-c", "SELECT 'still here'"];
    let mut command = psql_as_service(&login, &["-A", "-t"]);
    let job = common::psql::Job::start(command.args(sql));
    weir.wait_show("SHOW CLIENTS", "tls", "TLSv1.3/TLS_AES_256_GCM_SHA384");
    let mut plain = client(&weir);
    let busy_key = plain.key();
    plain.start("SELECT pg_sleep(60)").unwrap();
    weir.wait_show("SHOW POOLS", "sv_active", "2");
    let mut old = weir.reboot();
    // The request comes to the successor, which does not know the client.
    cancel(weir.port(), busy_key).unwrap();
    assert_eq!(plain.answer().unwrap_err().code(), "57014");
    assert_eq!(plain.query("SELECT 'moved'").unwrap().one(), "moved");
    weir.wait_show("SHOW CLIENTS", "user", "app");
    assert!(old.ended().is_none());
    drop(gate);
    assert!(job.finish().ok().contains("still here"));
    ends_well(old, &weir);
    weir.stop();
}

#[test]
fn if_the_successor_dies_the_old_process_goes_on() {
    let authority = Authority::new();
    let server = Setup::new().start();
    let setup = Weir::setup().server(&server).setting("pool_mode", "transaction");
    let mut weir = setup.tls(&authority.server()).start();
    // Somebody who stays.
    let login = weir.login("app", "app").set("sslmode", "require");
    let mut command = psql_as_service(&login, &["-A", "-t"]);
    let job = common::psql::Job::start(command.args(["-c", "SELECT pg_sleep(60)"]));
    weir.wait_show("SHOW POOLS", "sv_active", "1");
    let mut inside = client(&weir);
    inside.start("BEGIN; SELECT pg_sleep(60)").unwrap();
    weir.wait_show("SHOW POOLS", "sv_active", "2");

    let old = weir.reboot();
    let mut successor = weir.return_to(old);
    successor.signal(Signal::KILL);
    successor.wait("the successor's end");
    weir.wait_log("handing over failed");
    wait::until("the old one accepts again", wait::DEADLINE, || {
        Wire::tcp(weir.port(), "app", "app").is_ok_and(|mut wire| wire.query("SELECT 1").is_ok())
    });
    wait::until("its HTTP port", wait::DEADLINE, || {
        std::net::TcpStream::connect(weir.http()).is_ok()
    });
    assert_eq!(weir.get("/healthz").0, 200);
    server.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%sleep(60)%' AND usename = 'app'");
    assert_eq!(inside.answer().unwrap_err().code(), "57014");
    inside.query("ROLLBACK").unwrap();
    drop(job);
    // And it can be tried again.
    let old = weir.reboot();
    assert_eq!(inside.query("SELECT 'again'").unwrap().one(), "again");
    ends_well(old, &weir);
    drop(inside);
    weir.stop();
}

#[test]
fn a_pause_holds_on_and_what_waits_goes_on_after_it() {
    let (_server, mut weir) = begin(|setup| setup.setting("pool_mode", "transaction"));
    let mut waiting = client(&weir);
    waiting.query("SELECT 1").unwrap();
    weir.console("PAUSE");
    weir.console("DISABLE app");
    waiting.start("SELECT 'at last'").unwrap();
    let old = weir.reboot();
    ends_well(old, &weir);
    let databases = weir.console("SHOW DATABASES");
    let row = databases.find("name", "app").unwrap();
    assert_eq!((databases.get(row, "paused"), databases.get(row, "disabled")), ("1", "1"));
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    weir.console("RESUME");
    assert_eq!(waiting.answer().unwrap().one(), "at last");
    weir.stop();
}

#[test]
fn what_clients_have_proven_opens_servers_for_the_successor_too() {
    let server = Setup::new()
        .setting("password_encryption", "scram-sha-256")
        .role("scrammer", Password::Scram("proof"))
        .hba("host all scrammer 127.0.0.1/32 scram-sha-256")
        .start();
    let verifier = server.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'scrammer'");
    let setup = Weir::setup().server(&server).user("scrammer", verifier.one());
    let setup = setup.setting("auth_type", "scram-sha-256").setting("pool_mode", "transaction");
    let mut weir = setup.start();
    let login = weir.login("scrammer", "app").password("proof");
    let mut command = psql_as_service(&login, &["-A", "-t"]);
    let sql = ["-c", "SELECT pg_sleep(0.5)", "-c", "\\! sleep 2", "-c", "SELECT 'proven'"];
    let job = common::psql::Job::start(command.args(sql));
    weir.wait_show("SHOW POOLS", "sv_active", "1");
    let old = weir.reboot();
    ends_well(old, &weir);
    weir.console("RECONNECT");
    let run = job.finish();
    assert!(run.ok().contains("proven"), "{run:?}");
    weir.stop();
}

#[test]
fn without_an_old_process_it_begins_as_ever_and_what_cannot_be_taken_over_is_said() {
    let server = Setup::new().start();
    let mut weir = Weir::setup().server(&server).user("admin", "x").start();
    let mut admin = Wire::tcp(weir.port(), "admin", "pgbouncer").unwrap();
    let error = admin.query("HANDOVER").unwrap_err();
    assert_eq!(error.code(), "42501", "{error}");
    assert_eq!(admin.query("SHOW FDS").unwrap_err().code(), "0A000");
    admin.query("SUSPEND").unwrap();
    assert!(!weir.refused_reboot().success());
    weir.wait_log("cannot hand over: suspended; RESUME first");
    admin.query("RESUME").unwrap();
    drop(admin);

    weir.signal(Signal::KILL);
    weir.wait_end();
    let _killed = weir.reboot();
    weir.wait_log("old process not found, try to continue normally");
    assert_eq!(client(&weir).query("SELECT 1").unwrap().one(), "1");
    weir.stop();
}

#[test]
fn a_busy_pgbench_sees_none_of_three_restarts() {
    let (server, mut weir) = begin(
        |setup| // As many as clients: pgbench prepares inside its transactions, and waits for nothing else meanwhile.
        setup.setting("pool_mode", "transaction").setting("default_pool_size", 10),
    );
    server.query("CREATE TABLE counted (n int PRIMARY KEY, hits bigint)");
    server.query("INSERT INTO counted SELECT g, 0 FROM generate_series(1, 10) g");
    server.query("GRANT ALL ON counted TO app");
    let script = weir.dir().join("script.sql");
    common::home::write_private(
        &script,
        "\\set n random(1, 10)\nBEGIN;\nUPDATE counted SET hits = hits + 1 WHERE n = :n;\nSELECT 1;\nEND;\n",
    );
    let script = script.display().to_string();
    let args = ["-n", "-c", "10", "-j", "2", "-T", "6", "-M", "prepared", "-f", &script];
    let job = start_pgbench(&weir.login("app", "app"), &args);
    let hits = || server.query("SELECT sum(hits) FROM counted").one().parse::<u64>().unwrap();
    for _ in 0..3 {
        let before = hits();
        wait::until("more transactions", wait::DEADLINE, || hits() > before + 100);
        let old = weir.reboot();
        ends_well(old, &weir);
    }
    let run = job.finish();
    let said = run.ok();
    assert!(said.contains("number of failed transactions: 0"), "{said}");
    let line = said.lines().find(|line| line.starts_with("number of transactions actually"));
    let count: u64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(hits(), count, "each acknowledged transaction once");
    weir.stop();
}

/// New transactions wait for a switchover that was announced to the process before.
#[test]
fn an_announced_switchover_goes_on_in_the_successor() {
    let cluster = Setup::new().sql("GRANT pg_monitor TO app").cluster(1);
    let mut weir = Weir::setup().cluster(&cluster).setting("pool_mode", "transaction").start();
    let mut idle = client(&weir);
    idle.query("SELECT 1").unwrap();
    weir.console("SWITCHOVER PREPARE app");
    let old = weir.reboot();
    ends_well(old, &weir);
    idle.start("SELECT 'served'").unwrap();
    wait::until("a client that is held", wait::DEADLINE, || {
        weir.metric("pgweir_topology_held_clients", &[("database", "app")]) == Some(1.0)
    });
    weir.wait_show("SHOW TOPOLOGY", "role", "primary");
    weir.console("SWITCHOVER DONE app");
    assert_eq!(idle.answer().unwrap().one(), "served");
    weir.stop();
}

#[test]
fn what_reads_have_to_see_goes_along() {
    let cluster = Setup::new()
        .sql("GRANT pg_monitor TO app; CREATE TABLE t (n int); ALTER TABLE t OWNER TO app")
        .cluster(1);
    let setup = Weir::setup().cluster(&cluster).setting("pool_mode", "transaction");
    // However late it is: only what is asked for counts.
    let setup = setup.setting("max_replica_lag", 0).setting("topology_user", "app");
    let mut weir = setup.start();
    let pidfile = weir.dir().join("pid");
    weir.change(|setup| setup.setting("pidfile", pidfile.display()));
    ends_well(weir.reboot(), &weir);
    let known = |weir: &Weir| {
        weir.wait_show("SHOW TOPOLOGY", "role", "replica");
        weir.wait_show("SHOW TOPOLOGY", "role", "primary");
    };
    known(&weir);
    cluster.nodes[1].query("SELECT pg_wal_replay_pause()");
    let mut writer = client(&weir);
    writer.query("INSERT INTO t VALUES (1)").unwrap();
    let token = writer.query("SHOW pgweir.lsn").unwrap().one().to_owned();
    let with = [("pgweir.min_lsn", &token[..]), ("application_name", "reader")];
    let mut reader = Wire::tcp_with(weir.port(), "app", "app", &with).unwrap();
    let old = weir.reboot();
    known(&weir);
    let read = |wire: &mut Wire| {
        wire.query("/* pgweir: route=replica */ SELECT count(*) FROM t").unwrap().one().to_owned()
    };
    assert_eq!(read(&mut reader), "1");
    ends_well(old, &weir);
    assert_eq!(reader.query("SHOW pgweir.min_lsn").unwrap().one(), token);
    let rows = weir.console("SHOW CLIENTS");
    let row = rows.find("application_name", "reader").unwrap();
    assert_eq!(rows.get(row, "waits_for"), &token[2..]);
    for reset in ["SET pgweir.min_lsn = ''", "RESET ALL"] {
        reader.query(reset).unwrap();
        assert_eq!(read(&mut reader), if reset == "RESET ALL" { "1" } else { "0" }, "{reset}");
    }
    weir.stop();
}
