//! `auth_type = hba` and `cert`: who may come from where, and how they prove who they are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use common::home::{Home, own_name};
use common::raw::Raw;
use common::tls::Authority;
use common::weir::run_pgweir;
use common::{Login, Postgres, Setup, Weir, WeirSetup, Wire, psql};

fn asking(server: &Postgres) -> WeirSetup {
    Weir::setup().server(server).setting("pool_mode", "transaction")
}

fn app(weir: &Weir) -> Login {
    weir.login("app", "app").password("secret")
}

/// SQLSTATE and text of the refusal that a login without a password gets; `Ok` if it is let in.
fn knock(weir: &Weir, user: &str, database: &str) -> Result<(), (String, String)> {
    words(Wire::tcp(weir.port(), user, database))
}

fn knock_unix(weir: &Weir, user: &str, database: &str) -> Result<(), (String, String)> {
    words(Wire::unix(weir.dir(), weir.port(), user, database))
}

fn words(login: Result<Wire, common::ServerError>) -> Result<(), (String, String)> {
    let mut wire = login.map_err(|error| (error.code().to_owned(), error.to_string()))?;
    assert_eq!(wire.query("SELECT 42").unwrap().one(), "42");
    Ok(())
}

#[track_caller]
fn assert_refused(answer: Result<(), (String, String)>, code: &str, text: &str) {
    let (found, words) = answer.expect_err("must be refused");
    assert_eq!(found, code, "{words}");
    assert!(words.contains(text), "{words}");
}

#[test]
fn the_first_line_that_fits_decides_how_a_client_is_asked() {
    let server = Setup::new().start();
    let weir = asking(&server)
        .database(&format!(
            "free = host=127.0.0.1 port={} dbname=app user=app password=secret",
            server.port()
        ))
        .user("ann", "secret")
        .hba("# who may come")
        .hba("local all all reject")
        .hba("host all ann 127.0.0.1/32 reject")
        .hba("host free all 127.0.0.0 255.0.0.0 trust")
        .hba("host app app 127.0.0.1/32 scram-sha-256")
        .hba("host app app all trust")
        .start();
    assert_refused(knock(&weir, "ann", "free"), "28000", "login rejected");
    assert_refused(knock_unix(&weir, "app", "free"), "28000", "login rejected");
    assert_eq!(knock(&weir, "app", "free"), Ok(()));
    assert_refused(knock(&weir, "nobody", "free"), "28000", "\"trust\" authentication failed");
    assert_eq!(psql(&app(&weir), "SELECT 42").ok(), "42");
    let wrong = psql(&weir.login("app", "app").password("wrong"), "SELECT 42");
    assert!(wrong.failed().contains("SASL authentication failed"));
    assert_refused(knock(&weir, "app", "other"), "28000", "no authentication method is found");
    assert_refused(knock(&weir, "bob", "app"), "28000", "no authentication method is found");
    weir.wait_log("rejected by line 3 of auth_hba_file");
    assert_eq!(weir.metric("pgweir_auth_failures_total", &[("reason", "hba")]), Some(4.0));
    weir.stop();
}

#[test]
fn each_password_method_of_a_line_asks_as_its_auth_type_does() {
    let server = Setup::new().start();
    for method in ["password", "md5", "scram-sha-256"] {
        let weir = asking(&server).hba(&format!("host all all all {method}")).start();
        assert_eq!(psql(&app(&weir), "SELECT 42").ok(), "42", "{method}");
        for user in ["app", "nobody"] {
            let run = psql(&weir.login(user, "app").password("wrong"), "SELECT 42");
            assert!(run.failed().contains("authentication failed"), "{method}: {}", run.failed());
        }
        weir.stop();
    }
}

#[test]
fn hostssl_and_hostnossl_lines_tell_tls_apart() {
    let server = Setup::new().start();
    let weir = asking(&server)
        .tls(&Authority::new().server())
        .hba("hostnossl all all all reject")
        .hba("hostssl all all all scram-sha-256")
        .start();
    let login = |sslmode: &str| app(&weir).set("PGSSLMODE", sslmode);
    assert_eq!(psql(&login("require"), "SELECT 42").ok(), "42");
    assert!(psql(&login("disable"), "SELECT 42").failed().contains("login rejected"));
    weir.stop();
}

#[test]
fn a_bad_line_is_skipped_with_a_warning_that_names_it_and_the_rest_is_used() {
    let server = Setup::new().start();
    let weir = asking(&server)
        .hba("host all all all gss")
        .hba("host all all samenet reject")
        .hba("host app app all trust")
        .start();
    assert_eq!(knock(&weir, "app", "app"), Ok(()));
    let log = weir.log();
    let warning = "hba.conf:1: hba line 1: \"gss\" is no method";
    assert!(log.lines().any(|line| line.contains("WARNING") && line.contains(warning)), "{log}");
    assert!(log.contains("could not parse hba config line 1"), "{log}");
    assert!(log.contains("hba line 2: samenet is not supported"), "{log}");
    weir.stop();
}

#[test]
fn a_line_with_a_method_that_cannot_be_used_refuses_whom_it_fits() {
    let server = Setup::new().start();
    let weir = asking(&server).hba("host all app all pam").hba("host all all all trust").start();
    assert_refused(knock(&weir, "app", "app"), "F0000", "bouncer config error");
    assert!(weir.log().contains("pam: it works as auth_type only"));
    weir.stop();
}

#[test]
fn names_come_from_files_beside_the_file() {
    let server = Setup::new().start();
    let weir = asking(&server)
        .file_setting("auth_ident_file", "# unused as a map\n\"app\" x y\n")
        .hba("host all @auth_ident_file all trust")
        .start();
    assert_eq!(knock(&weir, "app", "app"), Ok(()));
    assert_refused(knock(&weir, "z", "app"), "28000", "no authentication method is found");
    weir.stop();
}

#[test]
fn a_reload_reads_the_rules_again_and_keeps_the_old_ones_if_the_file_is_gone() {
    let server = Setup::new().start();
    let mut weir = asking(&server).hba("host all all all trust").start();
    let mut staying = Wire::tcp(weir.port(), "app", "app").unwrap();
    weir.change(|setup| setup.no_hba().hba("host all app all reject").setting("auth_type", "hba"));
    assert_eq!(knock(&weir, "app", "app"), Ok(()), "not before the reload");
    weir.reload();
    assert_refused(knock(&weir, "app", "app"), "28000", "login rejected");
    assert_eq!(staying.query("SELECT 1").unwrap().one(), "1", "who is in stays in");

    std::fs::remove_file(weir.dir().join("hba.conf")).unwrap();
    // The console too is reached through the rules, but for its own user on the Unix socket.
    let run = weir.try_console("RELOAD");
    assert!(run.failed().contains("RELOAD failed"), "{}", run.failed());
    assert_refused(knock(&weir, "app", "app"), "28000", "login rejected");
    weir.stop();
}

#[test]
fn peer_admits_whom_the_system_names_by_name_or_by_map() {
    let server = Setup::new().start();
    let me = own_name();
    let forced =
        format!("app = host=127.0.0.1 port={} dbname=app user=app password=secret", server.port());
    let weir = Weir::setup()
        .database(&forced)
        .database(&forced.replace("app =", "mapped ="))
        .user(&me, "")
        .user("ann", "")
        .user("bob", "")
        .file_setting("auth_ident_file", &format!("m {me} ann\nm other bob\nm {me} unknown\n"))
        .hba("local mapped all peer map=m")
        .hba("local all all peer")
        .hba("host all all all peer")
        .start();
    assert_eq!(knock_unix(&weir, &me, "app"), Ok(()));
    assert_eq!(knock_unix(&weir, "ann", "mapped"), Ok(()));
    for (user, database) in
        [("ann", "app"), ("bob", "mapped"), (me.as_str(), "mapped"), ("unknown", "mapped")]
    {
        assert_refused(knock_unix(&weir, user, database), "28000", "unix socket login rejected");
    }
    assert_refused(knock(&weir, &me, "app"), "28000", "unix socket login rejected");
    weir.wait_log("ident map m cannot be matched");
    weir.stop();
}

/// psql with a client certificate, or without one.
fn with_certificate(weir: &Weir, user: &str, certificate: Option<&common::tls::Files>) -> Login {
    let login = weir.login(user, "app").set("PGSSLMODE", "require");
    match certificate {
        // psql prompts for no password: whoever asks for one is refused.
        None => login.set("PGSSLCERT", "/nonexistent").set("PGSSLKEY", "/nonexistent"),
        Some(files) => login
            .set("PGSSLCERT", &files.cert.display().to_string())
            .set("PGSSLKEY", &files.key.display().to_string()),
    }
}

#[test]
fn a_certificate_admits_its_common_name_and_hba_maps_it() {
    let server = Setup::new().start();
    let (home, authority) = (Home::new(), Authority::new());
    let own = authority.client("app").write(home.path(), "own");
    let other = authority.client("Ann Smith").write(home.path(), "other");
    let base = asking(&server)
        .database(&format!(
            "app = host=127.0.0.1 port={} dbname=app user=app password=secret",
            server.port()
        ))
        .user("ann", "")
        .tls(&authority.server())
        .setting("client_tls_sslmode", "verify-full");
    let global = base.clone().setting("auth_type", "cert").start();
    let run =
        |weir: &Weir, user: &str, files| psql(&with_certificate(weir, user, files), "SELECT 42");
    assert_eq!(run(&global, "app", Some(&own)).ok(), "42");
    for user in ["ann", "nobody"] {
        let failed = run(&global, user, Some(&own));
        assert!(
            failed.failed().contains("certificate authentication failed"),
            "{}",
            failed.failed()
        );
    }
    let plain = psql(&global.login("app", "app").set("PGSSLMODE", "disable"), "SELECT 42");
    assert!(plain.failed().contains("SSL required"), "{}", plain.failed());
    assert_refused(knock_unix(&global, "app", "app"), "28000", "certificate authentication failed");
    global.wait_log("TLS certificate name mismatch");
    global.wait_log("TLS connection required");
    global.stop();

    let mapped = base
        .file_setting("auth_ident_file", "m \"Ann Smith\" ann\n")
        .hba("hostssl all ann all cert map=m")
        .hba("hostssl all all all cert")
        .start();
    assert_eq!(run(&mapped, "ann", Some(&other)).ok(), "42");
    assert_eq!(run(&mapped, "app", Some(&own)).ok(), "42");
    assert!(run(&mapped, "ann", Some(&own)).failed().contains("certificate authentication failed"));
    mapped.wait_log("ident map: m does not have a match");
    mapped.stop();
}

#[test]
fn a_cert_line_without_checked_certificates_refuses_everyone() {
    let server = Setup::new().start();
    let (home, authority) = (Home::new(), Authority::new());
    let own = authority.client("app").write(home.path(), "own");
    let weir = asking(&server)
        .tls(&authority.server())
        .setting("client_tls_sslmode", "require")
        .setting("client_tls_ca_file", "")
        .hba("host all all all cert")
        .start();
    let run = psql(&with_certificate(&weir, "app", Some(&own)), "SELECT 42");
    assert!(run.failed().contains("certificate authentication failed"), "{}", run.failed());
    weir.wait_log("TLS client certificate required");
    assert!(weir.log().contains("cert needs client_tls_ca_file"));
    weir.stop();
}

#[test]
fn a_cert_line_counts_where_certificates_are_optional_and_who_has_none_is_let_in_by_others() {
    let server = Setup::new().start();
    let (home, authority) = (Home::new(), Authority::new());
    let own = authority.client("app").write(home.path(), "own");
    let strange = Authority::new().client("app").write(home.path(), "strange");
    let weir = asking(&server)
        .tls(&authority.server())
        .setting("client_tls_sslmode", "require")
        .user("other", "secret")
        .hba("hostssl app app all cert")
        .hba("hostssl all other all scram-sha-256")
        .start();
    psql(&with_certificate(&weir, "app", Some(&own)), "SELECT 42").ok();
    psql(&with_certificate(&weir, "app", None), "SELECT 42").failed();
    psql(&with_certificate(&weir, "app", Some(&strange)), "SELECT 42").failed();
    let console = with_certificate(&weir, "other", None).password("secret");
    let refused = psql(&console, "SELECT 42");
    // Let in by pgweir; the server has no such role.
    assert!(refused.failed().contains("role \"other\" does not exist"), "{refused:?}");
    weir.stop();
}

#[test]
fn cert_and_hba_do_not_start_without_what_they_need() {
    let refused = |setup: WeirSetup| setup.try_start().expect_err("must not start").log;
    let tls = Weir::setup().tls(&Authority::new().server());
    let log = refused(tls.setting("auth_type", "cert"));
    assert!(log.contains("auth_type=cert requires client_tls_sslmode=verify-full"), "{log}");
    let log = refused(Weir::setup().setting("auth_type", "hba"));
    assert!(log.contains("auth_type=hba requires auth_hba_file"), "{log}");
}

#[test]
fn check_names_file_and_line_of_what_is_wrong_in_hba_and_ident_files() {
    let home = Home::new();
    let hba = home.file(
        "hba.conf",
        "host all all all trust\nhost all all all wibble\nhost all all all pam\n",
    );
    let ident = home.file("ident.conf", "m a\n");
    let ini = home.file(
        "pgweir.ini",
        &format!(
            "[databases]\napp = host=db\n[pgbouncer]\nauth_type = hba\nauth_hba_file = {}\nauth_ident_file = {}\n",
            hba.display(),
            ident.display()
        ),
    );
    let run = run_pgweir(&["check", "--static", &ini.display().to_string()]);
    let said = run.ok();
    for words in [
        format!("{}:2: warning: hba line 2: \"wibble\" is no method", hba.display()),
        format!("{}:3: warning: hba line 3: pam: it works as auth_type only", hba.display()),
        format!("{}:1: warning: ident line 1: ", ident.display()),
    ] {
        assert!(said.contains(&words), "{words}\n{said}");
    }
}

#[test]
fn rules_for_replication_let_nobody_into_the_console() {
    let server = Setup::new().start();
    let weir = asking(&server)
        .setting("admin_users", "admin")
        .user("admin", "secret")
        .hba("host pgbouncer all all reject")
        .hba("host replication all 127.0.0.1/32 trust")
        .start();
    let mut guest = Raw::connect(weir.port());
    guest.startup(0, &[("user", "admin"), ("database", "pgbouncer"), ("replication", "true")]);
    let refused = guest.welcome().err().unwrap();
    assert_eq!(refused.message(), "the console has no replication connections");
    weir.stop();
}
