//! `auth_type = ldap`, and lines of `auth_hba_file` with it: a real directory (slapd) judges the password.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "a test may look at the clock")]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::ldap::{self, Directory};
use common::login::log_in as log_in_to;
use common::tls::Authority;
use common::{Password, Postgres, Setup, Weir, WeirSetup, Wire, managers, psql, wait};

/// A password that no other text contains.
const PASSWORD: &str = "Xyzzy-4711";
/// Of who looks for users in the directory.
const READER_PASSWORD: &str = "Plugh-0815";

const BASE: &str = "dc=example,dc=org";

/// Two users, one with a name to be careful with; two that share an address; one in a corner; who looks for them; and an
/// entry that leads elsewhere.
fn entries() -> String {
    let person = |dn: &str, uid: &str, mail: &str, password: &str| {
        format!(
            "dn: {dn},{BASE}\nobjectClass: inetOrgPerson\ncn: {uid}\nsn: {uid}\nuid: {uid}\nmail: {mail}\n\
             userPassword: {password}\n\n"
        )
    };
    [
        person("uid=ann", "ann", "ann@example.org", PASSWORD),
        person("uid=smith\\2c joe", "smith, joe", "joe@example.org", PASSWORD),
        person("cn=one", "one", "twin@example.org", PASSWORD),
        person("cn=two", "two", "twin@example.org", PASSWORD),
        person("cn=reader", "reader", "reader@example.org", READER_PASSWORD),
        format!("dn: ou=guests,{BASE}\nobjectClass: organizationalUnit\nou: guests\n\n"),
        person("uid=eve,ou=guests", "eve", "eve@example.org", PASSWORD),
        format!(
            "dn: ou=elsewhere,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\n\
             ref: ldap://127.0.0.1:1/{BASE}\n\n"
        ),
    ]
    .concat()
}

fn is_installed() -> bool {
    managers::are_installed(&ldap::PROGRAMS)
}

#[test]
fn a_skipped_directory_is_named() {
    eprintln!("directory (LDAP): {}", if is_installed() { "tested" } else { "skipped" });
}

/// A server with the directory's users, who log in there with the same password.
fn server() -> Postgres {
    Setup::new()
        .role("ann", Password::Scram(PASSWORD))
        .role("\"smith, joe\"", Password::Scram(PASSWORD))
        .hba("host all ann,\"smith, joe\" 127.0.0.1/32 scram-sha-256")
        .hba("host all app 127.0.0.1/32 trust")
        .start()
}

fn asking(server: &Postgres, options: &str) -> WeirSetup {
    Weir::setup()
        .server(server)
        .setting("pool_mode", "transaction")
        .setting("auth_type", "ldap")
        .setting("auth_ldap_options", options)
}

/// To the database that all tests use.
fn log_in(weir: &Weir, user: &str, password: &str) -> Result<String, (String, String)> {
    log_in_to(weir, user, password, "app")
}

fn admitted(user: &str) -> Result<String, (String, String)> {
    Ok(user.to_owned())
}

fn not_confirmed() -> Result<String, (String, String)> {
    Err(("28000".to_owned(), "LDAP authentication failed".to_owned()))
}

/// Ends it; whatever it has logged, no password is among it.
#[track_caller]
fn stop(weir: Weir) {
    let log = weir.log();
    assert!(!log.contains(PASSWORD) && !log.contains(READER_PASSWORD), "{log}");
    weir.stop();
}

// ---- the ways to a name ----

#[test]
fn a_built_name_with_the_right_password_is_let_in_and_goes_on_to_the_server_with_it() {
    if !is_installed() {
        return;
    }
    let (server, directory) = (server(), Directory::start(&entries()));
    let options = format!(
        "ldapserver=127.0.0.1 ldapport={} ldapprefix=\"uid=\" ldapsuffix=\",{BASE}\"",
        directory.port()
    );
    let weir = asking(&server, &options).start();
    assert_eq!(log_in(&weir, "ann", PASSWORD), admitted("ann"));
    assert_eq!(log_in(&weir, "smith, joe", PASSWORD), admitted("smith, joe"));
    for (user, password) in [("ann", "wrong"), ("app", "secret"), ("nobody", PASSWORD)] {
        assert_eq!(log_in(&weir, user, password), not_confirmed(), "{user}");
    }
    let empty = ("28P01".to_owned(), "empty password returned by client".to_owned());
    assert_eq!(log_in(&weir, "ann", ""), Err(empty));
    // Unescaped, these would be names of others.
    for user in ["eve,ou=guests", "ann+uid=ann", "ann\\", "reader,cn=reader", "#616e6e", "*"] {
        assert_eq!(log_in(&weir, user, PASSWORD), not_confirmed(), "{user}");
    }
    weir.wait_log("does not let \"uid=ann,dc=example,dc=org\" in: invalid credentials (49)");
    let failures = |reason| weir.metric("pgweir_auth_failures_total", &[("reason", reason)]);
    assert!(failures("password").unwrap() >= 4.0);
    stop(weir);
}

#[test]
fn a_name_is_looked_for_by_attribute_filter_or_url() {
    if !is_installed() {
        return;
    }
    let (server, directory) = (server(), Directory::start(&entries()));
    let port = directory.port();
    let at = format!("ldapserver=127.0.0.1 ldapport={port} ldapbasedn=\"{BASE}\"");
    let reader = format!("ldapbinddn=\"cn=reader,{BASE}\" ldapbindpasswd={READER_PASSWORD}");
    let mut weir = asking(&server, &at).start();
    for options in [
        at.clone(),
        format!("{at} {reader}"),
        format!("{at} ldapsearchattribute=cn"),
        format!("{at} ldapscope=one ldapsearchfilter=\"(|(uid=$username)(mail=$username))\""),
        format!("{at} ldapsearchfilter=\"uid=$username\""),
        format!("ldapurl=\"ldap://127.0.0.1:{port}/{BASE}?uid?sub\""),
        format!(
            "ldapurl=\"ldap://127.0.0.1:{port}/dc=example%2Cdc=org??sub?(|(uid=$username)(mail=$username))\" {reader}"
        ),
    ] {
        weir.change(|setup| setup.setting("auth_ldap_options", &options));
        weir.reload();
        assert_eq!(log_in(&weir, "ann", PASSWORD), admitted("ann"), "{options}");
        assert_eq!(log_in(&weir, "smith, joe", PASSWORD), admitted("smith, joe"), "{options}");
        // Unescaped, the last three would find others or everybody.
        for user in ["app", "*", "a*", "x)(uid=ann", "ann)(uid=*"] {
            assert_eq!(log_in(&weir, user, PASSWORD), not_confirmed(), "{user} {options}");
        }
        assert_eq!(log_in(&weir, "ann", "wrong"), not_confirmed(), "{options}");
    }
    let shown = weir.console("SHOW CONFIG");
    assert!(!format!("{shown:?}").contains(READER_PASSWORD), "{shown:?}");
    let at_twins = format!("{at} ldapsearchattribute=mail");
    weir.change(|setup| setup.setting("auth_ldap_options", &at_twins));
    weir.reload();
    assert_eq!(log_in(&weir, "twin@example.org", PASSWORD), not_confirmed());
    weir.wait_log("has more than one entry that fits \"(mail=twin@example.org)\"");
    weir.wait_log("has no entry that fits \"(uid=x\\\\29\\\\28uid=ann)\"");

    let stranger = format!("{at} ldapbinddn=\"cn=reader,{BASE}\" ldapbindpasswd=wrong");
    weir.change(|setup| setup.setting("auth_ldap_options", &stranger));
    weir.reload();
    assert_eq!(log_in(&weir, "ann", PASSWORD), not_confirmed());
    weir.wait_log("refused (bind as ldapbinddn");
    stop(weir);
}

// ---- who is asked how ----

#[test]
fn a_line_of_the_hba_file_asks_the_directory_for_whom_it_fits() {
    if !is_installed() {
        return;
    }
    let (server, directory) = (server(), Directory::start(&entries()));
    let port = directory.port();
    let own = format!("own = host=127.0.0.1 port={} dbname=app auth_user=app", server.port());
    let weir = Weir::setup()
        .server(&server)
        .database(&own)
        .database(&format!("forced = host=127.0.0.1 port={} dbname=app user=app", server.port()))
        .setting("admin_users", "ann")
        .hba(&format!("host all ann all ldap \"ldapserver\"=127.0.0.1,ldapport={port} ldapbasedn=\"{BASE}\" # who"))
        .hba(&format!("host all eve all ldap ldapserver=127.0.0.1 ldapport={port} ldapbasedn=\"{BASE}\" ldaptls=2"))
        .hba("host all all all trust")
        .start();
    assert_eq!(log_in(&weir, "ann", PASSWORD), admitted("ann"));
    assert_eq!(log_in(&weir, "ann", "wrong"), not_confirmed());
    assert_eq!(log_in_to(&weir, "ann", PASSWORD, "forced"), admitted("app"));
    assert_eq!(log_in(&weir, "app", ""), admitted("app"));
    let console = psql(&weir.login("ann", "pgbouncer").password(PASSWORD), "SHOW VERSION");
    assert!(console.ok().contains("pgweir"), "{console:?}");
    let config_error = ("F0000".to_owned(), "bouncer config error".to_owned());
    assert_eq!(log_in_to(&weir, "ann", PASSWORD, "own"), Err(config_error.clone()));
    weir.wait_log("ldap does not go with the entry's auth_user");
    // A line that cannot be meant refuses whom it fits: the next, looser one is not for him.
    assert_eq!(log_in(&weir, "eve", PASSWORD), Err(config_error));
    assert!(weir.log().contains("ldaptls is \"2\"; allowed: 0, 1; this line refuses everyone"));
    stop(weir);
}

#[test]
fn options_that_cannot_be_meant_are_refused_at_the_start() {
    let refused = |setup: WeirSetup| setup.try_start().expect_err("must not start").log;
    let log = refused(Weir::setup().setting("auth_type", "ldap"));
    assert!(log.contains("auth_type=ldap requires auth_ldap_options"), "{log}");
    let options = format!("ldapserver=h ldapprefix=a ldapbindpasswd={READER_PASSWORD}");
    let setup = Weir::setup().setting("auth_type", "ldap").setting("auth_ldap_options", options);
    let log = refused(setup);
    assert!(log.contains("ldapprefix and ldapbindpasswd together; allowed: "), "{log}");
    assert!(!log.contains(READER_PASSWORD), "{log}");
}

// ---- the way to the directory ----

#[test]
fn tls_checks_the_directorys_certificate_and_name_as_ldap_conf_says() {
    if !is_installed() {
        return;
    }
    let server = server();
    let directory = Directory::start(&entries());
    let elsewhere = Authority::new().sign("other.example", &["other.example"]);
    let other = Directory::start_with(&entries(), &elsewhere);
    let start_tls = |directory: &Directory| {
        format!(
            "ldapserver=127.0.0.1 ldapport={} ldaptls=1 ldapprefix=\"uid=\" ldapsuffix=\",{BASE}\"",
            directory.port()
        )
    };
    let ldaps = |directory: &Directory| {
        format!("ldapurl=\"ldaps://localhost:{}/{BASE}?uid?sub\"", directory.tls_port())
    };
    let ways: [&dyn Fn(&Directory) -> String; 2] = [&start_tls, &ldaps];
    for way in ways {
        let trusting = |variable: &str, value: String, directory: &Directory| {
            asking(&server, &way(directory)).env(variable, value).start()
        };
        let weir = trusting("LDAPTLS_CACERT", directory.authority(), &directory);
        assert_eq!(log_in(&weir, "ann", PASSWORD), admitted("ann"), "{}", weir.log());
        assert_eq!(log_in(&weir, "ann", "wrong"), not_confirmed());
        stop(weir);
        // Signed by whom it should be, for another name.
        let weir = trusting("LDAPTLS_CACERT", other.authority(), &other);
        assert_eq!(log_in(&weir, "ann", PASSWORD), not_confirmed());
        weir.wait_log("no directory can be reached");
        stop(weir);
        // Signed by somebody.
        let conf = directory.file("strict.conf", "TLS_REQCERT demand\n");
        let weir = trusting("LDAPCONF", conf, &directory);
        assert_eq!(log_in(&weir, "ann", PASSWORD), not_confirmed());
        stop(weir);
        let conf = other.file("lax.conf", "TLS_REQCERT never\n");
        let weir = trusting("LDAPCONF", conf, &other);
        assert_eq!(log_in(&weir, "ann", PASSWORD), admitted("ann"), "{}", weir.log());
        stop(weir);
    }
    assert!(directory.log().contains("STARTTLS"), "{}", directory.log());
}

#[test]
fn without_a_directory_logins_are_refused_in_time_and_nobody_else_is_disturbed() {
    if !is_installed() {
        return;
    }
    let (server, mut directory) = (server(), Directory::start(&entries()));
    let line = |user: &str, servers: &str, port: u16| {
        format!(
            "host all {user} all ldap ldapserver=\"{servers}\" ldapport={port} ldapprefix=\"uid=\" ldapsuffix=\",{BASE}\""
        )
    };
    // It takes connections, and never says a word.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let weir = Weir::setup()
        .server(&server)
        .setting("pool_mode", "transaction")
        .setting("client_login_timeout", "2")
        // Nobody listens at the first address.
        .hba(&line("ann", "127.0.0.2 127.0.0.1", directory.port()))
        .hba(&line("mute", "127.0.0.1", silent.local_addr().unwrap().port()))
        .hba("host all all all trust")
        .start();
    assert_eq!(log_in(&weir, "ann", PASSWORD), admitted("ann"), "{}", weir.log());

    let mut other = Wire::tcp(weir.port(), "app", "app").unwrap();
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let waiting: Vec<_> =
            (0..8).map(|_| scope.spawn(|| log_in(&weir, "mute", PASSWORD))).collect();
        while !waiting.iter().all(|login| login.is_finished()) {
            let asked = Instant::now();
            assert_eq!(other.query("SELECT 42").unwrap().one(), "42");
            assert_eq!(log_in(&weir, "app", ""), admitted("app"));
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        for login in waiting {
            let late = ("57P01".to_owned(), "client_login_timeout".to_owned());
            assert_eq!(login.join().unwrap(), Err(late));
        }
    });

    directory.stop();
    let begun = Instant::now();
    assert_eq!(log_in(&weir, "ann", PASSWORD), not_confirmed());
    assert!(begun.elapsed() < wait::DEADLINE);
    weir.wait_log("no directory can be reached: 127.0.0.2:");
    let lookups = weir.metric("pgweir_auth_failures_total", &[("reason", "lookup")]);
    assert_eq!(lookups, Some(1.0));
    assert_eq!(other.query("SELECT 42").unwrap().one(), "42");
    stop(weir);
}

/// What is no directory, or a hostile one: its answer.
fn answering(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 1024]);
            let _ = stream.read(&mut request);
            let _ = stream.write_all(&answer);
            let _ = stream.read(&mut request);
        }
    });
    port
}

#[test]
fn an_answer_that_makes_no_sense_is_a_refused_login_and_no_more() {
    let server = server();
    let mut nested = Vec::new();
    for _ in 0..100_000 {
        let length = u32::try_from(nested.len()).unwrap();
        let mut outer = length.to_be_bytes().to_vec();
        outer.reverse();
        nested.extend([outer, vec![0x84, 0x30]].concat());
    }
    nested.reverse();
    let answers = [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nServer: none of yours, I am afraid\r\n\r\n\r\n\r\n"
            .to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and a long, long, long, long, long, long, long, banner\r\n"
            .to_vec(),
        vec![0x30, 0],
        vec![0x30, 3, 2, 1, 1],
        vec![0x30, 5, 2, 1, 1, 0x61, 0],
        vec![0x30, 12, 2, 1, 1, 0x61, 7, 10, 1, 0, 4, 0, 4, 1],
        vec![0x30, 12, 2, 1, 1, 0x61, 7, 10, 1, 0, 4, 0, 4, 0x80],
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        nested,
    ];
    let weir = asking(&server, "ldapserver=127.0.0.1 ldapsuffix=x")
        .setting("client_login_timeout", "5")
        .start();
    let mut weir = weir;
    for answer in answers {
        let shown = format!("{:?}", &answer[..answer.len().min(20)]);
        let port = answering(answer);
        weir.change(|setup| {
            setup.setting(
                "auth_ldap_options",
                format!("ldapserver=127.0.0.1 ldapport={port} ldapsuffix=x"),
            )
        });
        weir.reload();
        let refused = log_in(&weir, "ann", PASSWORD).expect_err(&shown);
        assert!(["28000", "57P01"].contains(&refused.0.as_str()), "{shown}: {refused:?}");
    }
    stop(weir);
}
