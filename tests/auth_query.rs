//! Users that `auth_file` lacks: `auth_query`, `auth_user` and `auth_dbname`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::{Login, Password, Postgres, Setup, Weir, WeirSetup, psql};

/// A password that no other text contains.
const PASSWORD: &str = "Xyzzy-4711";

/// A server where `ann` and the asking user have SCRAM secrets and have to prove it.
fn server() -> Postgres {
    let server = Setup::new()
        .role("ann", Password::Scram(PASSWORD))
        .hba("host all ann 127.0.0.1/32 scram-sha-256")
        .hba("host all pooler 127.0.0.1/32 scram-sha-256")
        .hba("host all app 127.0.0.1/32 trust")
        .start();
    server.query("CREATE ROLE pooler LOGIN SUPERUSER PASSWORD 'pooler-secret'");
    server
}

fn asking(server: &Postgres) -> WeirSetup {
    Weir::setup()
        .server(server)
        .setting("pool_mode", "transaction")
        .setting("auth_type", "scram-sha-256")
        .setting("auth_user", "pooler")
        .user("pooler", "pooler-secret")
}

fn ann(weir: &Weir, database: &str) -> Login {
    weir.login("ann", database).password(PASSWORD)
}

fn superuser(server: &Postgres, database: &str) -> Login {
    Login::unix(server.socket_dir(), server.port(), "postgres", database)
}

#[track_caller]
fn assert_refused(login: &Login, text: &str) {
    let run = psql(login, "SELECT 1");
    assert!(run.failed().contains(text), "{}", run.failed());
}

const WHO: &str = "SELECT current_user";

#[test]
fn a_scram_secret_from_the_query_admits_the_client_and_opens_the_server_with_its_keys() {
    let server = server();
    let weir = asking(&server).start();
    assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann");
    assert_refused(&weir.login("ann", "app").password("wrong"), "SASL authentication failed");
    assert_refused(&weir.login("nobody", "app").password("wrong"), "SASL authentication failed");
    weir.wait_log("no such user in auth_file, nor through auth_query");
    weir.stop();
}

#[test]
fn users_of_the_file_are_not_asked_for() {
    let server = server();
    // The file's secret differs from the server's, so that it shows which one counted.
    let weir = asking(&server).user("app", "of-the-file").start();
    server.query("ALTER ROLE app PASSWORD 'of-the-server'");
    assert_eq!(psql(&weir.login("app", "app").password("of-the-file"), WHO).ok(), "app");
    assert_refused(
        &weir.login("app", "app").password("of-the-server"),
        "SASL authentication failed",
    );
    assert!(
        !weir
            .console("SHOW POOLS")
            .rows
            .iter()
            .flatten()
            .any(|value| { value.as_deref() == Some("pooler") })
    );
    weir.stop();
}

#[test]
fn a_database_entry_has_its_own_auth_user_query_and_database() {
    let server = server();
    server.query("CREATE DATABASE users");
    psql(
        &superuser(&server, "users"),
        "CREATE TABLE logins (name text, secret text); INSERT INTO logins VALUES ('carl', 'carls-own');
         GRANT SELECT ON logins TO app",
    )
    .ok();
    let port = server.port();
    let weir = asking(&server)
        .database(&format!("users = host=127.0.0.1 port={port} dbname=users"))
        .database(&format!(
            "own = host=127.0.0.1 port={port} dbname=app user=app auth_user=app auth_dbname=users \
             auth_query='SELECT name, secret FROM logins WHERE name = $1'"
        ))
        .start();
    assert_eq!(psql(&weir.login("carl", "own").password("carls-own"), WHO).ok(), "app");
    assert_refused(&ann(&weir, "own"), "SASL authentication failed");
    assert_refused(&weir.login("carl", "app").password("carls-own"), "SASL authentication failed");
    assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann");

    weir.console("DISABLE users");
    assert_refused(
        &weir.login("carl", "own").password("carls-own"),
        "authentication database \"users\" is disabled",
    );
    weir.stop();
}

#[test]
fn the_console_and_unknown_databases_need_auth_dbname() {
    let server = server();
    let mut weir = asking(&server).setting("admin_users", "ann").start();
    assert_refused(&ann(&weir, "pgbouncer"), "SASL authentication failed");
    weir.change(|setup| setup.setting("auth_dbname", "app"));
    weir.signal(common::Signal::HUP);
    weir.wait_log("got SIGHUP");
    common::wait::until("auth_dbname to be in force", common::wait::DEADLINE, || {
        psql(&ann(&weir, "pgbouncer"), "SHOW VERSION").status.success()
    });
    assert_refused(&ann(&weir, "absent"), "no such database: absent");
    weir.change(|setup| setup.setting("auth_dbname", "absent"));
    weir.signal(common::Signal::HUP);
    common::wait::until("auth_dbname to be in force", common::wait::DEADLINE, || {
        psql(&ann(&weir, "app"), "SELECT 1").stderr.contains("bouncer config error")
    });
    weir.wait_log("authentication database \"absent\" is not configured.");
    weir.stop();
}

#[test]
fn the_console_cannot_be_the_auth_dbname() {
    let refused = asking(&server()).setting("auth_dbname", "pgbouncer").try_start();
    let log = refused.expect_err("must not start").log;
    assert!(
        log.contains("cannot use the reserved \"pgbouncer\" database as an auth_dbname"),
        "{log}"
    );
}

/// Through a query of this text, what ann is told when she knows her password.
fn refusal_with(server: &Postgres, query: &str) -> (String, String) {
    let weir = asking(server).setting("auth_query", query).start();
    let words = psql(&ann(&weir, "app"), "SELECT 1").failed().to_owned();
    let log = weir.log();
    weir.stop();
    (words, log)
}

#[test]
fn a_query_that_does_not_give_name_and_secret_of_that_user_is_a_mistake_of_the_operators() {
    let server = server();
    for (query, why) in [
        ("SELECT rolpassword FROM pg_authid WHERE rolname = $1", "gives 1 columns"),
        ("SELECT rolname, rolpassword, 1 FROM pg_authid WHERE rolname = $1", "gives 3 columns"),
        ("SELECT 'bob', rolpassword FROM pg_authid WHERE rolname = $1", "gave another name"),
        ("SELECT $1, n::text FROM generate_series(1, 2) AS n", "2 different rows"),
        ("SELECT wibble($1)", "wibble"),
    ] {
        let (words, log) = refusal_with(&server, query);
        assert!(words.contains("bouncer config error"), "{query}: {words}");
        assert!(!words.contains(why), "{query}: {words}");
        assert!(log.contains("auth_query failed") && log.contains(why), "{query}: {log}");
    }
}

#[test]
fn a_user_without_a_password_is_refused_as_one_with_a_wrong_one() {
    let server = server();
    server.query("CREATE ROLE bare LOGIN");
    let weir = asking(&server).start();
    assert_refused(&weir.login("bare", "app").password("x"), "SASL authentication failed");
    weir.wait_log("the user has no password stored");
    weir.stop();
}

#[test]
fn a_password_past_valid_until_and_a_role_that_may_not_log_in_do_not_open_the_door() {
    // CVE-2025-2291.
    let server = server();
    server.query("CREATE ROLE group_of_people PASSWORD 'x'");
    let weir = asking(&server).start();
    server.query("ALTER ROLE ann VALID UNTIL '2099-01-01'");
    assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann");
    server.query("ALTER ROLE ann VALID UNTIL '2001-01-01'");
    assert_refused(&ann(&weir, "app"), "SASL authentication failed");
    assert_refused(
        &weir.login("group_of_people", "app").password("x"),
        "SASL authentication failed",
    );
    server.query("ALTER ROLE ann VALID UNTIL 'infinity'");
    assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann");
    weir.stop();
}

#[test]
fn a_clients_search_path_does_not_decide_what_the_query_finds() {
    // CVE-2025-12819: search_path of the startup packet went to the connection that runs auth_query.
    let server = server();
    psql(
        &superuser(&server, "app"),
        "CREATE SCHEMA evil;
         CREATE TABLE evil.pg_authid AS
             SELECT 'ann'::name AS rolname, 'evil-password'::text AS rolpassword, true AS rolcanlogin,
                    NULL::timestamptz AS rolvaliduntil;
         CREATE FUNCTION evil.lookup(text) RETURNS TABLE (n text, s text) LANGUAGE sql AS
             $$ SELECT $1, 'evil-password'::text $$;
         CREATE FUNCTION public.lookup(text) RETURNS TABLE (n text, s text) LANGUAGE sql AS
             $$ SELECT rolname::text, rolpassword::text FROM pg_catalog.pg_authid WHERE rolname = $1 $$;
         GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT SELECT ON evil.pg_authid TO PUBLIC",
    )
    .ok();
    let path = "evil, pg_catalog, public";
    for query in [None, Some("SELECT * FROM lookup($1)")] {
        let mut setup = asking(&server)
            .setting("track_extra_parameters", "search_path, IntervalStyle")
            // One server: what a client left behind on it would be met by the query.
            .setting("default_pool_size", 1);
        if let Some(query) = query {
            setup = setup.setting("auth_query", query);
        }
        let weir = setup.start();
        // The auth_user as a client of the same pool that the query uses, with that path.
        let pooler = weir.login("pooler", "app").password("pooler-secret");
        let own =
            pooler.clone().set("PGOPTIONS", &format!("-c search_path={}", path.replace(' ', "")));
        let _ = psql(&own, "SELECT 1");
        for evil in ["evil-password", "wrong"] {
            let login = weir.login("ann", "app").password(evil);
            assert_refused(&login, "SASL authentication failed");
            let with_path =
                login.set("PGOPTIONS", &format!("-c search_path={}", path.replace(' ', "")));
            psql(&with_path, "SELECT 1").failed();
        }
        assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann", "{query:?}");
        weir.stop();
    }
}

#[test]
fn settings_that_a_client_left_on_a_server_are_put_back_before_the_query() {
    let server = server();
    server.query("ALTER ROLE pooler SET DateStyle = 'ISO, MDY'");
    // A query whose answer depends on a setting that clients may change.
    let weir = asking(&server)
        .setting("default_pool_size", 1)
        .setting(
            "auth_query",
            "SELECT rolname::text, CASE current_setting('DateStyle') WHEN 'ISO, MDY' THEN rolpassword END \
             FROM pg_authid WHERE rolname = $1",
        )
        .start();
    assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann");
    let pooler = weir.login("pooler", "app").password("pooler-secret");
    assert_eq!(psql(&pooler, "SET DateStyle = 'German'; SHOW DateStyle").ok(), "German, DMY");
    assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann", "not as the client before left it");
    weir.stop();
}

#[test]
fn strangers_leave_nothing_behind_however_many_databases_they_name() {
    let server = server();
    let weir = asking(&server)
        .database(&format!("* = host=127.0.0.1 port={}", server.port()))
        .setting("query_wait_timeout", 5)
        .start();
    for number in 0..5 {
        let login = weir.login("nobody", &format!("made_up_{number}")).password("x");
        psql(&login, "SELECT 1").failed();
    }
    let pools = weir.console("SHOW POOLS");
    for number in 0..5 {
        assert_eq!(pools.find("database", &format!("made_up_{number}")), None);
    }
    assert_eq!(psql(&ann(&weir, "app"), WHO).ok(), "ann");
    weir.stop();
}
