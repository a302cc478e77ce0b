//! Replication connections: each on a server connection of its own, both ways, counted, and closed with the client.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::process::Command;
use std::time::Duration;

use common::psql::Job;
use common::raw::Raw;
use common::{Cluster, Login, Postgres, Setup, Weir, pg_bin, wait};

const WAIT: Duration = Duration::from_secs(30);

fn setup() -> Setup {
    Setup::new()
        .setting("wal_level", "logical")
        .hba("host all all 127.0.0.1/32 trust")
        .hba("host replication all 127.0.0.1/32 trust")
        .sql("ALTER ROLE app REPLICATION")
        .sql("CREATE TABLE noted (what text)")
        .sql("ALTER TABLE noted OWNER TO app")
}

fn weir(server: &Postgres) -> common::weir::WeirSetup {
    Weir::setup().server(server).setting("pool_mode", "transaction")
}

fn tool(login: &Login, program: &str, args: &[&str]) -> Command {
    let mut command = common::home::as_service(pg_bin(program));
    login.apply(&mut command);
    command.args(args);
    command
}

fn senders(server: &Postgres) -> String {
    server.query("SELECT count(*) FROM pg_stat_replication").one().to_owned()
}

#[test]
fn identify_system_answers_as_the_server_does_and_startup_parameters_are_passed_on() {
    let server = setup().start();
    let weir = weir(&server).start();
    let direct = server.query("SELECT system_identifier FROM pg_control_system()").one().to_owned();
    for kind in ["database", "true", "ON", "1"] {
        let parameters = [
            ("replication", kind),
            ("application_name", "walrus"),
            ("options", "-c wal_sender_timeout=77s"),
        ];
        let (mut client, welcome) = Raw::login(weir.port(), 0, &parameters).unwrap();
        let answer = client.query("IDENTIFY_SYSTEM");
        assert_eq!(answer.rows[0][0], direct, "{kind}: {answer:?}");
        let sender =
            format!("SELECT application_name FROM pg_stat_activity WHERE pid = {}", welcome.pid);
        assert_eq!(server.query(&sender).one(), "walrus", "the process id is the server's");
        assert_eq!(client.value("SHOW wal_sender_timeout"), "77s");
        drop(client);
        wait::until("its server is closed", WAIT, || server.query(&sender).rows.is_empty());
    }
    for wrong in ["maybe", "DATABASE"] {
        let told = Raw::login(weir.port(), 0, &[("replication", wrong)]).err().unwrap();
        let direct = Raw::login(server.port(), 0, &[("replication", wrong)]).err().unwrap();
        assert_eq!((told.code(), told.message()), (direct.code(), direct.message()));
    }
    // An ordinary client afterwards gets an ordinary server.
    let (mut client, _) = Raw::login(weir.port(), 0, &[("replication", "off")]).unwrap();
    assert_eq!(client.value("SHOW wal_sender_timeout"), "1min");
    weir.wait_log("replication=database");
}

#[test]
fn a_replication_connection_counts_in_pool_size_and_gives_its_place_back() {
    let server = setup().start();
    let weir = weir(&server).setting("default_pool_size", "1").start();
    let (mut plain, _) = Raw::login(weir.port(), 0, &[]).unwrap();
    assert_eq!(plain.value("SELECT 1"), "1");
    let (mut replica, _) = Raw::login(weir.port(), 0, &[("replication", "database")]).unwrap();
    plain.start("SELECT 2");
    weir.wait_show("SHOW POOLS", "cl_waiting", "1");
    assert_eq!(replica.query("IDENTIFY_SYSTEM").rows.len(), 1);
    drop(replica);
    assert_eq!(plain.answer().one(), "2");
}

#[test]
fn a_refusal_comes_in_pgbouncers_words_with_the_servers_as_its_detail() {
    let server = setup().sql("ALTER ROLE app NOREPLICATION").start();
    let weir = weir(&server).start();
    let told = Raw::login(weir.port(), 0, &[("replication", "true")]).err().unwrap();
    let direct = Raw::login(server.port(), 0, &[("replication", "true")]).err().unwrap();
    assert_eq!((told.code(), told.message().as_str()), (direct.code(), "login failed"));
    assert_eq!(told.field(b'D').unwrap(), direct.message().as_bytes());
    let (mut plain, _) = Raw::login(weir.port(), 0, &[]).unwrap();
    assert_eq!(plain.value("SELECT 1"), "1");
}

#[test]
fn pg_recvlogical_streams_changes_through() {
    let server = setup().start();
    let weir = weir(&server).start();
    let login = weir.login("app", "app");
    let args = ["-d", "app", "-S", "slot", "-P", "test_decoding", "--create-slot"];
    Job::start(&mut tool(&login, "pg_recvlogical", &args)).finish().ok();
    let args = ["-d", "app", "-S", "slot", "--start", "-f", "-", "-F", "1", "-s", "1"];
    let mut stream = Job::start(&mut tool(&login, "pg_recvlogical", &args));
    wait::until("it streams", WAIT, || senders(&server) == "1");
    weir.wait_show("SHOW CLIENTS", "replication", "logical");
    weir.wait_show("SHOW SERVERS", "replication", "logical");
    server.query("INSERT INTO noted SELECT 'change number ' || i FROM generate_series(1, 3000) i");
    // The client's own words go the other way: it confirms what it has written.
    let confirmed =
        "SELECT confirmed_flush_lsn >= (SELECT pg_current_wal_lsn()) FROM pg_replication_slots";
    let end = server.query("SELECT pg_current_wal_lsn()").one().to_owned();
    let confirmed = confirmed.replace("(SELECT pg_current_wal_lsn())", &format!("'{end}'"));
    wait::until("it confirms", WAIT, || server.query(&confirmed).one() == "t");
    stream.signal(common::Signal::INT);
    let out = format!("{:?}", stream.finish());
    assert!(out.contains("change number 3000"), "{}", &out[..out.len().min(2000)]);
    wait::until("its server is closed", WAIT, || senders(&server) == "0");
}

#[test]
fn pg_basebackup_copies_a_whole_server_with_its_wal() {
    let server = setup().start();
    // pg_basebackup and pg_receivewal ask for a database of this name, whatever they are told.
    let entry = format!("replication = host=127.0.0.1 port={} dbname=app", server.port());
    let weir = weir(&server).database(&entry).start();
    let dir = weir.dir().join("copy");
    let args =
        ["-D", dir.to_str().unwrap(), "-X", "stream", "--checkpoint=fast", "-d", "dbname=app"];
    Job::start(&mut tool(&weir.login("app", "app"), "pg_basebackup", &args)).finish().ok();
    assert!(dir.join("backup_manifest").exists() && dir.join("pg_wal").is_dir());
    let verified = common::home::as_service(pg_bin("pg_verifybackup")).arg(&dir).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn pg_receivewal_streams_where_no_database_has_the_name_and_ends_when_told_to() {
    let server = setup().start();
    // As people write it; on the server there is no such database.
    let entry = format!("replication = host=127.0.0.1 port={}", server.port());
    for mode in ["transaction", "statement", "session"] {
        let weir = weir(&server).database(&entry).setting("pool_mode", mode).start();
        let dir = weir.dir().join("wal");
        std::fs::create_dir(&dir).unwrap();
        common::home::give(&dir);
        let args = ["-D", dir.to_str().unwrap()];
        let mut stream = Job::start(&mut tool(&weir.login("app", "app"), "pg_receivewal", &args));
        let streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        wait::until("it streams", WAIT, || server.query(streams).one() == "1");
        weir.wait_show("SHOW CLIENTS", "replication", "physical");
        server.query("INSERT INTO noted VALUES ('before the switch')");
        server.query("SELECT pg_switch_wal()");
        wait::until("a whole file", WAIT, || {
            let names = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name());
            names.into_iter().any(|name| !name.to_string_lossy().ends_with(".partial"))
        });
        stream.signal(common::Signal::INT);
        stream.finish().ok();
        wait::until("its server is closed", WAIT, || senders(&server) == "0");
    }
}

#[test]
fn where_the_entry_follows_roles_it_goes_to_the_primary() {
    let cluster = Cluster::start(1);
    for attrs in ["read-write", "any"] {
        let entry = cluster
            .entry("app")
            .replace("target_session_attrs=read-write", &format!("target_session_attrs={attrs}"));
        let weir = Weir::setup().database(&entry).setting("topology_user", "app").start();
        cluster.primary().query("ALTER ROLE app REPLICATION");
        let (mut client, _) = Raw::login(weir.port(), 0, &[("replication", "database")]).unwrap();
        assert_eq!(client.value("SELECT pg_is_in_recovery()"), "f", "{attrs}");
    }
}

#[test]
fn of_several_replication_parameters_one_counts_for_the_rules_and_for_the_server() {
    let server = setup().start();
    let weir = weir(&server).start();
    // For PostgreSQL the first would count: then this were SQL in a database, let in by the rules for physical replication.
    let parameters = [("replication", "database"), ("replication", "true")];
    let (mut client, _) = Raw::login(weir.port(), 0, &parameters).unwrap();
    assert_eq!(client.query("IDENTIFY_SYSTEM").rows.len(), 1);
    let refused = client.query("SELECT 1");
    assert!(refused.message().contains("physical replication"), "{refused:?}");
    weir.wait_log("replication=yes");
}
