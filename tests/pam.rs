//! `auth_type = pam`: the system's PAM judges the password. With the cargo feature `pam`; without it, such a
//! configuration is refused.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "a test may look at the clock")]

mod common;

use common::Weir;

#[cfg(not(feature = "pam"))]
#[test]
fn without_the_feature_it_is_refused_and_the_feature_named() {
    let refused = Weir::setup().setting("auth_type", "pam").try_start().expect_err("is refused");
    let words = "this pgweir was built without the cargo feature \"pam\"";
    assert!(refused.log.contains(words), "{}", refused.log);
}

#[test]
fn skipped_pam_is_named() {
    let tested = cfg!(feature = "pam") && common::pam::is_possible();
    eprintln!(
        "PAM: {}",
        if tested { "tested" } else { "skipped (it takes the feature pam, and root)" }
    );
}

#[cfg(feature = "pam")]
mod with_the_feature {
    use std::time::{Duration, Instant};

    use super::*;
    use common::home::{Home, service_name};
    use common::pam::{Pam, checker, is_possible, seen};
    use common::weir::WeirSetup;
    use common::{Password, Postgres, Run, Setup, Wire, psql};

    /// A password that no other text contains.
    const PASSWORD: &str = "Xyzzy-4711";
    /// The same as /etc/shadow has it: `openssl passwd -6 -salt pgweir Xyzzy-4711`.
    const HASH: &str = "$6$pgweir$eN6frQSW8DScH3JuwV4Gcac4njMFRUxVkHASHk3exNT7DYSgOqV52xwPV5H1lxl0GU7aMf/LNMAYH0TrJh22f0";

    /// A server that asks `ann` for the password, and trusts the others.
    fn server() -> Postgres {
        Setup::new()
            .role("ann", Password::Scram(PASSWORD))
            .hba("host all ann 127.0.0.1/32 scram-sha-256")
            .hba("host all app 127.0.0.1/32 trust")
            .start()
    }

    fn asking(server: &Postgres, pam: &Pam) -> WeirSetup {
        Weir::setup()
            .server(server)
            .pam(pam)
            .setting("pool_mode", "transaction")
            .setting("auth_type", "pam")
            .setting("admin_users", "ann")
    }

    fn log_in(weir: &Weir, user: &str, password: &str) -> Run {
        psql(&weir.login(user, "app").password(password), "SELECT current_user")
    }

    #[track_caller]
    fn assert_refused(run: &Run, words: &str) {
        assert!(run.failed().contains(words), "{}", run.failed());
    }

    #[track_caller]
    fn stop(weir: Weir) {
        let log = weir.log();
        assert!(!log.contains(PASSWORD), "{log}");
        weir.stop();
    }

    #[test]
    fn pam_is_told_user_password_and_origin_and_the_server_is_given_the_password() {
        if !is_possible() {
            return;
        }
        let (server, home) = (server(), Home::new());
        let check = checker(&home, PASSWORD);
        let lines = format!(
            "auth required pam_exec.so expose_authtok {}\naccount required pam_permit.so\n",
            check.display()
        );
        let pam = Pam::new(&home, "pam.d", &lines);
        let own = format!("own = host=127.0.0.1 port={} dbname=app auth_user=app", server.port());
        let weir = asking(&server, &pam).database(&own).start();
        assert_eq!(log_in(&weir, "ann", PASSWORD).ok(), "ann");
        assert_eq!(seen(&home), ["pgbouncer auth ann 127.0.0.1"]);
        let unix = psql(&weir.unix_login("ann", "app").password(PASSWORD), "SELECT 42");
        assert_eq!(unix.ok(), "42");
        assert_eq!(seen(&home)[1..], ["pgbouncer auth ann unix"]);
        assert_refused(&log_in(&weir, "ann", "wrong"), "PAM authentication failed");
        assert_refused(&log_in(&weir, "app", "secret"), "PAM authentication failed");
        assert_eq!(seen(&home).len(), 4);
        weir.wait_log("user \"ann\" (pam): PAM does not confirm the password");
        let console = psql(&weir.login("ann", "pgbouncer").password(PASSWORD), "SHOW VERSION");
        assert!(console.ok().contains("pgweir"), "{console:?}");
        let entry = psql(&weir.login("ann", "own").password(PASSWORD), "SELECT 42");
        assert_refused(&entry, "bouncer config error");
        weir.wait_log("pam does not go with the entry's auth_user");
        assert_eq!(weir.metric("pgweir_auth_failures_total", &[("reason", "password")]), Some(2.0));
        stop(weir);
    }

    #[test]
    fn the_account_is_looked_at_too() {
        if !is_possible() {
            return;
        }
        let (server, home) = (server(), Home::new());
        let lines = |account: &str| {
            format!("auth required pam_permit.so\naccount required pam_{account}.so\n")
        };
        let weir = asking(&server, &Pam::new(&home, "open", &lines("permit"))).start();
        assert_eq!(log_in(&weir, "ann", PASSWORD).ok(), "ann");
        stop(weir);
        let weir = asking(&server, &Pam::new(&home, "closed", &lines("deny"))).start();
        assert_refused(&log_in(&weir, "ann", PASSWORD), "PAM authentication failed");
        weir.wait_log("PAM has confirmed the password, and does not let the user in");
        stop(weir);
    }

    #[test]
    fn a_password_of_the_systems_own_is_checked_by_pam_unix() {
        if !is_possible() {
            return;
        }
        let (server, home, me) = (Setup::new().start(), Home::new(), service_name());
        let lines = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n";
        let pam = Pam::new(&home, "pam.d", lines).shadow(&home, &me, HASH);
        let entry = format!("app = host=127.0.0.1 port={} dbname=app user=app", server.port());
        let weir = asking(&server, &pam).database(&entry).start();
        assert_eq!(log_in(&weir, &me, PASSWORD).ok(), "app");
        assert_refused(&log_in(&weir, &me, "wrong"), "PAM authentication failed");
        assert_refused(
            &log_in(&weir, "nobody-of-that-name", PASSWORD),
            "PAM authentication failed",
        );
        stop(weir);
    }

    #[test]
    fn a_module_that_hangs_holds_up_nobody_else_and_not_the_end() {
        if !is_possible() {
            return;
        }
        let (server, home) = (server(), Home::new());
        let lines = "auth [success=ignore default=1] pam_succeed_if.so user = ann\n\
                     auth required pam_exec.so /bin/sleep 20\n\
                     auth required pam_permit.so\naccount required pam_permit.so\n";
        let weir = asking(&server, &Pam::new(&home, "pam.d", lines))
            .setting("client_login_timeout", "1.5")
            .start();
        std::thread::scope(|scope| {
            let hanging: Vec<_> =
                (0..4).map(|_| scope.spawn(|| log_in(&weir, "ann", PASSWORD))).collect();
            while !hanging.iter().all(|login| login.is_finished()) {
                let begun = Instant::now();
                assert_eq!(log_in(&weir, "app", "secret").ok(), "app");
                assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            }
            for login in hanging {
                assert_refused(&login.join().unwrap(), "client_login_timeout");
            }
        });
        let mut other = Wire::tcp(server.port(), "app", "app").unwrap();
        assert_eq!(other.query("SELECT 42").unwrap().one(), "42");
        let begun = Instant::now();
        stop(weir);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
