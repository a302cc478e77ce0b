//! Who may log in: clients to pgweir by every method, and pgweir to servers by every method.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::login::log_in;
use common::{Password, Postgres, Setup, Weir, WeirSetup, psql};

/// A password that no other text contains.
const PASSWORD: &str = "Xyzzy-4711";

fn refused(code: &str, text: &str) -> Result<String, (String, String)> {
    Err((code.to_owned(), text.to_owned()))
}

fn admitted(user: &str) -> Result<String, (String, String)> {
    Ok(user.to_owned())
}

/// A server with a role `ann`, reached with this method.
fn server(method: &str, password: Password<'_>) -> Postgres {
    Setup::new()
        .role("ann", password)
        .hba(&format!("host all ann 127.0.0.1/32 {method}"))
        .hba("host all pooler 127.0.0.1/32 scram-sha-256")
        .hba("host all app 127.0.0.1/32 trust")
        .start()
}

fn stored(server: &Postgres, role: &str) -> String {
    let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'");
    server.query(&sql).one().to_owned()
}

fn md5_of(server: &Postgres, password: &str, user: &str) -> String {
    server.query(&format!("SELECT 'md5' || md5('{password}{user}')")).one().to_owned()
}

fn asking(server: &Postgres, auth_type: &str) -> WeirSetup {
    Weir::setup().server(server).setting("pool_mode", "transaction").setting("auth_type", auth_type)
}

// ---- clients to pgweir ----

#[test]
fn trust_admits_known_users_whatever_their_password_and_refuses_unknown_ones() {
    let server = Setup::new().start();
    let weir = asking(&server, "trust").start();
    assert_eq!(log_in(&weir, "app", "wrong", "app"), admitted("app"));
    let answer = log_in(&weir, "nobody", "secret", "app");
    assert_eq!(answer, refused("28000", "\"trust\" authentication failed"));
    weir.stop();
}

#[test]
fn a_right_password_is_admitted_and_a_wrong_one_refused_by_plain_md5_and_scram() {
    let server = Setup::new().start();
    let hash = md5_of(&server, "secret", "app");
    let verifier = stored(&server, "app");
    for (auth_type, secret, words) in [
        ("plain", "secret", "password authentication failed"),
        ("plain", &hash, "password authentication failed"),
        ("plain", &verifier, "password authentication failed"),
        ("md5", "secret", "password authentication failed"),
        ("md5", &hash, "password authentication failed"),
        // As PostgreSQL does, md5 asks for SCRAM where only a SCRAM verifier is stored.
        ("md5", &verifier, "SASL authentication failed"),
        ("scram-sha-256", "secret", "SASL authentication failed"),
        ("scram-sha-256", &verifier, "SASL authentication failed"),
    ] {
        let weir = asking(&server, auth_type).user("app", secret).start();
        assert_eq!(log_in(&weir, "app", "secret", "app"), admitted("app"), "{auth_type} {secret}");
        let answer = log_in(&weir, "app", "wrong", "app");
        assert_eq!(answer, refused("28P01", words), "{auth_type} {secret}");
        let run = psql(&weir.login("app", "app").password("secret"), "SELECT 42");
        assert_eq!(run.ok(), "42", "{auth_type} {secret}");
        weir.stop();
    }
}

#[test]
fn any_admits_every_name_to_an_entry_that_forces_a_user_and_nobody_to_another() {
    let server = Setup::new().start();
    let port = server.port();
    let weir = asking(&server, "any")
        .database(&format!(
            "forced = host=127.0.0.1 port={port} dbname=app user=app password=secret"
        ))
        .start();
    assert_eq!(log_in(&weir, "whoever", "whatever", "forced"), admitted("app"));
    let answer = log_in(&weir, "app", "secret", "app");
    assert_eq!(answer, refused("F0000", "bouncer config error"));
    weir.wait_log("auth_type=any requires forced user");
    weir.stop();
}

#[test]
fn an_md5_secret_does_not_do_for_scram() {
    let server = Setup::new().start();
    let hash = md5_of(&server, "secret", "app");
    let weir = asking(&server, "scram-sha-256").user("app", &hash).start();
    let answer = log_in(&weir, "app", "secret", "app");
    assert_eq!(answer, refused("28P01", "SASL authentication failed"));
    weir.wait_log("an md5 secret is stored, which cannot serve this auth_type");
    weir.stop();
}

#[test]
fn a_plain_login_against_a_scram_secret_works_again_and_again_and_after_the_secret_has_changed() {
    let server = Setup::new().role("ann", Password::Scram(PASSWORD)).start();
    let old = stored(&server, "ann");
    let mut weir = asking(&server, "plain").user("ann", &old).start();
    for _ in 0..2 {
        assert_eq!(log_in(&weir, "ann", PASSWORD, "app"), admitted("ann"));
        let answer = log_in(&weir, "ann", "wrong", "app");
        assert_eq!(answer, refused("28P01", "password authentication failed"));
    }
    server.query("ALTER ROLE ann PASSWORD 'Another-1'");
    let new = stored(&server, "ann");
    weir.change(|setup| setup.user("ann", &new).user("admin", "x").setting("auth_type", "plain"));
    weir.signal(common::Signal::HUP);
    common::wait::until("the new secret to be in force", common::wait::DEADLINE, || {
        log_in(&weir, "ann", "Another-1", "app") == admitted("ann")
    });
    let answer = log_in(&weir, "ann", PASSWORD, "app");
    assert_eq!(answer, refused("28P01", "password authentication failed"));
    weir.stop();
}

#[test]
fn an_unknown_user_is_refused_in_the_same_words_as_a_wrong_password() {
    let server = Setup::new().start();
    for auth_type in ["plain", "md5", "scram-sha-256"] {
        let weir = asking(&server, auth_type).start();
        let wrong = log_in(&weir, "app", "wrong", "app");
        assert_eq!(log_in(&weir, "nobody", "wrong", "app"), wrong, "{auth_type}");
        assert_eq!(wrong.unwrap_err().0, "28P01");
        weir.stop();
    }
}

#[test]
fn an_unknown_database_is_named_only_to_those_who_have_logged_in() {
    let server = Setup::new().start();
    for auth_type in ["md5", "scram-sha-256"] {
        let weir = asking(&server, auth_type).start();
        let known = log_in(&weir, "app", "wrong", "app");
        assert_eq!(log_in(&weir, "app", "wrong", "x"), known, "{auth_type}");
        let answer = log_in(&weir, "app", "secret", "x");
        assert_eq!(answer, refused("3D000", "no such database: x"), "{auth_type}");
        weir.stop();
    }
}

// ---- pgweir to servers ----

#[test]
fn a_server_is_answered_by_every_method_with_the_plain_password_of_the_auth_file() {
    let scram = Password::Scram(PASSWORD);
    let md5 = Password::Md5(PASSWORD);
    for (method, password) in [
        ("trust", Password::None),
        ("password", md5),
        ("password", scram),
        ("md5", md5),
        ("md5", scram),
        ("scram-sha-256", scram),
    ] {
        let server = server(method, password);
        let weir = asking(&server, "md5").user("ann", PASSWORD).start();
        assert_eq!(log_in(&weir, "ann", PASSWORD, "app"), admitted("ann"), "{method} {password:?}");
        weir.stop();
    }
}

#[test]
fn an_md5_hash_in_the_auth_file_opens_a_server_that_asks_for_md5() {
    let server = server("md5", Password::Md5(PASSWORD));
    let weir = asking(&server, "md5").user("ann", &md5_of(&server, PASSWORD, "ann")).start();
    assert_eq!(log_in(&weir, "ann", PASSWORD, "app"), admitted("ann"));
    weir.stop();
}

#[test]
fn the_same_scram_secret_on_both_sides_opens_the_server_with_keys_from_the_clients_proof() {
    let server = server("scram-sha-256", Password::Scram(PASSWORD));
    let weir = asking(&server, "scram-sha-256").user("ann", &stored(&server, "ann")).start();
    let answer = log_in(&weir, "ann", "wrong", "app");
    assert_eq!(answer, refused("28P01", "SASL authentication failed"));
    assert_eq!(log_in(&weir, "ann", PASSWORD, "app"), admitted("ann"));
    weir.stop();
}

#[test]
fn a_secret_unknown_to_the_auth_file_is_asked_for_as_auth_user() {
    let server = server("scram-sha-256", Password::Scram(PASSWORD));
    server.query("CREATE ROLE pooler LOGIN SUPERUSER PASSWORD 'pooler-secret'");
    let weir = asking(&server, "scram-sha-256")
        .setting("auth_user", "pooler")
        .user("pooler", "pooler-secret")
        .start();
    assert_eq!(log_in(&weir, "ann", PASSWORD, "app"), admitted("ann"));
    let wrong = log_in(&weir, "ann", "wrong", "app");
    assert_eq!(wrong, refused("28P01", "SASL authentication failed"));
    assert_eq!(log_in(&weir, "nobody", PASSWORD, "app"), wrong, "an unknown user looks the same");
    weir.stop();
}

#[test]
fn a_forced_user_is_who_the_server_sees_whoever_logged_in() {
    let server = server("scram-sha-256", Password::Scram(PASSWORD));
    let entry = format!(
        "app = host=127.0.0.1 port={} dbname=app user=ann password={PASSWORD}",
        server.port()
    );
    let weir = Weir::setup()
        .database(&entry)
        .setting("pool_mode", "transaction")
        .setting("auth_type", "scram-sha-256")
        .start();
    assert_eq!(log_in(&weir, "app", "secret", "app"), admitted("ann"));
    let answer = log_in(&weir, "app", PASSWORD, "app");
    assert_eq!(answer, refused("28P01", "SASL authentication failed"), "the client's own counts");
    weir.stop();
}

#[test]
fn a_server_that_refuses_the_password_is_quoted_to_the_client() {
    let server = server("scram-sha-256", Password::Scram(PASSWORD));
    let weir = asking(&server, "plain").user("ann", "outdated").start();
    let answer = log_in(&weir, "ann", "outdated", "app");
    assert_eq!(answer, refused("28P01", "password authentication failed for user \"ann\""));
    assert_eq!(log_in(&weir, "app", "secret", "app"), admitted("app"), "others are unharmed");
    weir.stop();
}

#[test]
fn no_password_and_no_secret_appears_in_the_log() {
    let server = server("scram-sha-256", Password::Scram(PASSWORD));
    server.query("CREATE ROLE pooler LOGIN SUPERUSER PASSWORD 'Plugh-1234'");
    let (port, verifier) = (server.port(), stored(&server, "ann"));
    for auth_type in ["plain", "md5", "scram-sha-256"] {
        let weir = asking(&server, auth_type)
            .database(&format!(
                "forced = host=127.0.0.1 port={port} dbname=app user=ann password={PASSWORD}"
            ))
            .database(&format!(
                "wrong = host=127.0.0.1 port={port} dbname=app user=ann password=Wrong-8765"
            ))
            .database(&format!("asked = host=127.0.0.1 port={port} dbname=app auth_user=pooler"))
            .user("pooler", "Plugh-1234")
            .setting("verbose", 3)
            .start();
        log_in(&weir, "app", "secret", "forced").unwrap();
        log_in(&weir, "app", "secret", "wrong").unwrap_err();
        log_in(&weir, "app", "Wrong-8765", "app").unwrap_err();
        log_in(&weir, "ann", PASSWORD, "asked").unwrap();
        log_in(&weir, "ann", "Wrong-8765", "asked").unwrap_err();
        weir.console("SHOW DATABASES");
        weir.console("SHOW USERS");
        weir.console("RELOAD");
        let log = weir.log();
        let key = verifier.rsplit(':').next().unwrap();
        for secret in [PASSWORD, "Plugh-1234", "Wrong-8765", &verifier, key] {
            assert!(!log.contains(secret), "{auth_type}: {secret} in\n{log}");
        }
        weir.stop();
    }
}
