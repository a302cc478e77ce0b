//! Startup parameters: what a client asks for holds for its session on any server, and is what RESET returns to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use std::time::Duration;

use common::raw::{Raw, Welcome};
use common::{Setup, Weir, wait};

/// One server for all clients, so that each finds what the one before has left.
fn one_server(mode: &str) -> (common::Postgres, Weir) {
    let server = Setup::new().start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", mode)
        .setting("default_pool_size", "1")
        .start();
    (server, weir)
}

fn login(weir: &Weir, parameters: &[(&str, &str)]) -> Raw {
    Raw::login(weir.port(), 0, parameters).unwrap_or_else(|error| panic!("{error:?}")).0
}

fn refused(weir: &Weir, parameters: &[(&str, &str)]) -> (String, String, String) {
    match Raw::login(weir.port(), 0, parameters) {
        Ok(_) => panic!("{parameters:?} was accepted"),
        Err(error) => {
            let severity = String::from_utf8_lossy(error.field(b'S').unwrap()).into_owned();
            (severity, error.code().as_str().to_owned(), error.message())
        }
    }
}

#[test]
fn each_client_finds_its_own_settings_and_nobody_elses_on_one_server() {
    let (_server, weir) = one_server("transaction");
    let mut plain = login(&weir, &[]);
    let mut one = login(&weir, &[("work_mem", "1MB"), ("search_path", "pg_catalog, \"A b\"")]);
    let options = r"-c work_mem=2MB --statement-timeout=1234 -cmy.own=a\ b\\c -c DateStyle=German";
    let mut two = login(&weir, &[("options", options), ("extra_float_digits", "2")]);
    let show = "SELECT current_setting('work_mem') || '|' || current_setting('search_path') || '|' || \
                current_setting('statement_timeout') || '|' || coalesce(current_setting('my.own', true), '') || '|' || \
                current_setting('extra_float_digits') || '|' || current_setting('DateStyle')";
    for _ in 0..3 {
        assert_eq!(plain.value(show), "4MB|\"$user\", public|0||1|ISO, MDY");
        assert_eq!(one.value(show), "1MB|pg_catalog, \"A b\"|0||1|ISO, MDY");
        assert_eq!(two.value(show), r#"2MB|"$user", public|1234ms|a b\c|2|German, DMY"#);
        assert_eq!(one.value(show), "1MB|pg_catalog, \"A b\"|0||1|ISO, MDY");
    }
    weir.stop();
}

#[test]
fn what_stands_in_the_packet_beats_options_and_the_last_of_one_name_counts() {
    let (_server, weir) = one_server("transaction");
    let mut client = login(
        &weir,
        &[
            ("WORK_MEM", "3MB"),
            ("options", "-c work_mem=5MB -c work_mem=6MB -c temp_buffers=1MB -c temp_buffers=2MB"),
        ],
    );
    assert_eq!(client.value("SHOW work_mem"), "3MB");
    assert_eq!(client.value("SHOW temp_buffers"), "2MB");
    weir.stop();
}

#[test]
fn a_refused_parameter_gives_postgresqls_own_error_at_login_and_harms_nobody() {
    let (server, weir) = one_server("transaction");
    let mut other = login(&weir, &[("work_mem", "1MB")]);
    for (parameter, value) in [
        ("no_such_thing", "1"),
        ("work_mem", "much"),
        ("TimeZone", "Mars/Olympus"),
        ("client_encoding", "klingon"),
        ("shared_buffers", "1GB"),
        ("log_connections", "on"),
        ("ignore_system_indexes", "on"),
        ("session_replication_role", "replica"),
        ("server_version", "1"),
        ("role", "postgres"),
    ] {
        // What PostgreSQL says to somebody who comes directly.
        let direct = Raw::login(server.port(), 0, &[(parameter, value)]);
        let told = match direct {
            Err(error) => Some((error.code().as_str().to_owned(), error.message())),
            Ok(_) => None,
        };
        let (severity, code, text) = refused(&weir, &[(parameter, value)]);
        match told {
            // It has it in two forms; the second is an internal name for the first.
            Some((_, direct)) if parameter == "client_encoding" => {
                assert_eq!(text, direct, "{parameter}");
            }
            // Only a superuser could, and not even he after the start: we meet the second reason first.
            Some(_) if parameter == "log_connections" => assert_eq!(code, "55P02", "{text}"),
            Some(direct) => assert_eq!((code, text), direct, "{parameter}"),
            // It takes this one only before the connection is up.
            None => assert_eq!(code, "55P02", "{parameter}: {text}"),
        }
        assert_eq!(severity, "FATAL");
        assert_eq!(other.value("SHOW work_mem"), "1MB");
    }
    weir.stop();
}

#[test]
fn options_that_set_nothing_are_refused_in_pgbouncers_words() {
    let (_server, weir) = one_server("transaction");
    for bad in ["-c", "-d 5", "work_mem=1MB", "--work_mem"] {
        let (severity, code, text) = refused(&weir, &[("options", bad)]);
        assert_eq!((&severity[..], &code[..]), ("FATAL", "42601"));
        let pgbouncers = "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed";
        assert_eq!(text, pgbouncers);
    }
    weir.stop();
}

#[test]
fn ignored_parameters_are_dropped_and_options_among_them_drops_the_unknown_ones_inside() {
    let server = Setup::new().start();
    let mut weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("ignore_startup_parameters", "extra_float_digits, no_such_thing")
        .start();
    let mut client =
        login(&weir, &[("extra_float_digits", "3"), ("no_such_thing", "1"), ("work_mem", "1MB")]);
    assert_eq!(client.value("SHOW extra_float_digits"), "1", "dropped");
    assert_eq!(client.value("SHOW work_mem"), "1MB");
    let unknown = [("options", "-c work_mem=2MB -c unheard_of=1 -c also_unheard=2 -c my.own=x")];
    let (_, code, text) = refused(&weir, &unknown);
    assert_eq!(code, "42704");
    assert!(text.contains("unheard"), "{text}");

    weir.change(|setup| setup.setting("ignore_startup_parameters", "options"));
    weir.reload();
    let mut client = login(&weir, &unknown);
    assert_eq!(client.value("SHOW work_mem"), "2MB", "known ones are applied");
    assert_eq!(client.value("SHOW my.own"), "x");
    let (_, code, _) = refused(&weir, &[("options", "-c work_mem=much")]);
    assert_eq!(code, "22023", "known, and wrong");
    let (_, code, _) = refused(&weir, &[("unheard_of", "1")]);
    assert_eq!(code, "42704", "not inside options");
    weir.stop();
}

/// The values that the client was told of, after all of them.
fn told(welcome: &Welcome, name: &str) -> String {
    welcome.parameter(name).unwrap_or_default().to_owned()
}

#[test]
fn the_welcome_tells_reported_settings_as_the_server_spells_them() {
    let (_server, weir) = one_server("transaction");
    let parameters = [
        ("datestyle", "iso, dmy"),
        ("TIMEZONE", "europe/berlin"),
        ("default_transaction_read_only", "1"),
    ];
    for _ in 0..2 {
        let (_, welcome) = Raw::login(weir.port(), 0, &parameters).unwrap();
        assert_eq!(told(&welcome, "DateStyle"), "ISO, DMY");
        assert_eq!(told(&welcome, "TimeZone"), "Europe/Berlin");
        assert_eq!(told(&welcome, "default_transaction_read_only"), "on");
    }
    let (_, welcome) = Raw::login(weir.port(), 0, &[]).unwrap();
    assert_eq!(told(&welcome, "DateStyle"), "ISO, MDY");
    assert_eq!(told(&welcome, "default_transaction_read_only"), "off");
    weir.stop();
}

const ASKED: [(&str, &str); 4] =
    [("TimeZone", "Asia/Tokyo"), ("work_mem", "1MB"), ("my.own", "x"), ("application_name", "me")];
const SHOW: &str = "SELECT current_setting('TimeZone') || '|' || current_setting('work_mem') || '|' || \
                    current_setting('my.own') || '|' || current_setting('application_name')";

#[test]
fn reset_returns_to_what_the_client_asked_for_in_every_mode() {
    for mode in ["session", "transaction", "statement"] {
        let (_server, weir) = one_server(mode);
        let mut client = login(&weir, &ASKED);
        for reset in [
            "RESET TimeZone",
            "RESET work_mem",
            "RESET my.own",
            "RESET application_name",
            "RESET ALL",
            "DISCARD ALL",
        ] {
            let changed = client.query("SET TimeZone = 'Europe/Paris'");
            assert_eq!(changed.parameters.last().unwrap().1, "Europe/Paris");
            let answer = client.query(reset);
            assert_eq!(answer.error, None, "{mode}: {reset}");
            let zone = answer.parameters.iter().rev().find(|(name, _)| name == "TimeZone");
            if reset.ends_with("ALL") || reset.ends_with("TimeZone") {
                assert_eq!(
                    zone.map(|(_, value)| &value[..]),
                    Some("Asia/Tokyo"),
                    "{mode}: {reset} tells"
                );
            } else {
                client.query("SET TimeZone = 'Asia/Tokyo'");
            }
            assert_eq!(client.value(SHOW), "Asia/Tokyo|1MB|x|me", "{mode}: {reset}");
        }
        // A rolled back RESET changes nothing.
        if mode != "statement" {
            client.query("BEGIN; SET TimeZone = 'Europe/Rome'");
            client.query("RESET ALL");
            client.query("ROLLBACK");
            assert_eq!(client.value(SHOW), "Asia/Tokyo|1MB|x|me", "{mode}: ROLLBACK");
        }
        drop(client);
        weir.stop();
    }
}

#[test]
fn in_session_mode_reset_of_one_setting_leaves_alone_what_was_set_since() {
    let (_server, weir) = one_server("session");
    let mut client = login(&weir, &ASKED);
    client.query("SET work_mem = '7MB'; SET my.own = 'y'; SET application_name = 'you'");
    client.query("RESET TimeZone");
    assert_eq!(client.value(SHOW), "Asia/Tokyo|7MB|y|you");
    client.query("RESET ALL");
    assert_eq!(client.value(SHOW), "Asia/Tokyo|1MB|x|me");
    // SET LOCAL ends with its transaction.
    client.query("BEGIN; SET LOCAL work_mem = '9MB'");
    assert_eq!(client.value("SHOW work_mem"), "9MB");
    client.query("COMMIT");
    assert_eq!(client.value(SHOW), "Asia/Tokyo|1MB|x|me");
    drop(client);
    weir.stop();
}

#[test]
fn a_sessions_settings_are_gone_for_the_next_one() {
    for reset in ["DISCARD ALL", "RESET ALL", ""] {
        let server = Setup::new().start();
        let weir = Weir::setup()
            .server(&server)
            .setting("pool_mode", "session")
            .setting("default_pool_size", "1")
            .setting("server_reset_query", reset)
            .start();
        let pid = |client: &mut Raw| client.value("SELECT pg_backend_pid()");
        let mut first = login(&weir, &ASKED);
        assert_eq!(first.value(SHOW), "Asia/Tokyo|1MB|x|me");
        let server_pid = pid(&mut first);
        drop(first);
        let mut second = login(&weir, &[]);
        assert_eq!(second.value("SHOW work_mem"), "4MB", "{reset}");
        assert_ne!(second.value("SHOW TimeZone"), "Asia/Tokyo", "{reset}");
        assert_eq!(pid(&mut second), server_pid, "the same server");
        drop(second);
        let mut third = login(&weir, &ASKED);
        assert_eq!(third.value(SHOW), "Asia/Tokyo|1MB|x|me");
        assert_eq!(pid(&mut third), server_pid);
        drop(third);
        weir.stop();
    }
}

/// A role is the most delicate of all settings: nobody else may ever run by it.
#[test]
fn a_role_asked_for_at_startup_is_taken_off_before_anybody_else_runs() {
    let server = Setup::new().sql("CREATE ROLE guest; GRANT guest TO app").start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", "1")
        .start();
    let mut guest = login(&weir, &[("options", "-c role=guest -c work_mem=1MB")]);
    let mut plain = login(&weir, &[]);
    for _ in 0..2 {
        assert_eq!(guest.value("SELECT current_user"), "guest");
        assert_eq!(plain.value("SELECT current_user"), "app");
    }
    weir.stop();
}

#[test]
fn an_auth_query_does_not_run_by_a_clients_search_path() {
    let server = Setup::new()
        .sql("CREATE SCHEMA trap AUTHORIZATION app")
        .sql("CREATE TABLE secrets AS SELECT 'kim'::text AS usename, 'right'::text AS passwd")
        .sql("CREATE TABLE trap.secrets AS SELECT 'kim'::text AS usename, 'wrong'::text AS passwd")
        .sql("GRANT SELECT ON secrets, trap.secrets TO app")
        .role("kim", common::Password::Scram("right"))
        .start();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", "1")
        .setting("auth_type", "plain")
        .setting("auth_user", "app")
        .setting("auth_query", "SELECT usename, passwd FROM secrets WHERE usename = $1")
        .start();
    let trap = weir.login("app", "app").password("secret").set("PGOPTIONS", "-c search_path=trap");
    assert_eq!(common::psql(&trap, "SHOW search_path").ok().trim(), "trap");
    let kim = weir.login("kim", "app");
    assert_eq!(common::psql(&kim.clone().password("right"), "SELECT 1").ok().trim(), "1");
    assert_eq!(common::psql(&trap, "SHOW search_path").ok().trim(), "trap");
    assert!(!common::psql(&kim.password("wrong"), "SELECT 1").failed().is_empty());
    weir.stop();
}

#[test]
fn show_clients_follows_a_later_set_of_application_name() {
    let (_server, weir) = one_server("transaction");
    let mut client = login(&weir, &[("application_name", "before")]);
    let shown = |name: &str| weir.console("SHOW CLIENTS").find("application_name", name).is_some();
    assert!(shown("before"));
    client.query("SET application_name = 'after'");
    wait::until("the new name is shown", Duration::from_secs(20), || shown("after"));
    client.query("RESET application_name");
    wait::until("the first name is shown again", Duration::from_secs(20), || shown("before"));
    weir.stop();
}

/// Settings of the entry are in force where the client says nothing.
#[test]
fn settings_of_the_database_entry_hold_for_clients_that_say_nothing() {
    let server = Setup::new().start();
    let entry = format!(
        "app = host=127.0.0.1 port={} dbname=app timezone=Asia/Tokyo application_name=entry",
        server.port()
    );
    let weir = Weir::setup().database(&entry).setting("default_pool_size", "1").start();
    let show = "SELECT current_setting('TimeZone') || '|' || current_setting('application_name')";
    assert_eq!(login(&weir, &[]).value(show), "Asia/Tokyo|entry");
    let mut own = login(&weir, &[("TimeZone", "UTC"), ("application_name", "own")]);
    assert_eq!(own.value(show), "UTC|own");
    own.query("RESET ALL");
    assert_eq!(own.value(show), "UTC|own");
    drop(own);
    assert_eq!(login(&weir, &[]).value(show), "Asia/Tokyo|entry");
    weir.stop();
}
