use std::time::Duration;

use super::*;
use crate::config::model::SslMode;
use crate::config::values::TIME;

#[test]
fn every_default_is_a_value_its_setting_allows_and_is_shown_as_the_table_has_it() {
    for setting in all() {
        let mut settings = blank();
        let default = setting.default.unwrap_or("");
        assert_eq!(setting.apply(&mut settings, default), Ok(()), "{}", setting.key);
        assert!(setting.is_default(default), "{}", setting.key);
    }
    for (key, value, default, _) in Settings::default().shown() {
        assert_eq!(value, default, "{key}");
    }
}

#[test]
fn no_setting_is_listed_twice() {
    for (i, setting) in all().enumerate() {
        let first = all().position(|other| other.key == setting.key);
        assert_eq!(first, Some(i), "{}", setting.key);
    }
}

const OF_TLS: &[&str] =
    &["mode", "key_file", "cert_file", "ca_file", "protocols", "ciphers", "ciphers13", "ecdhcurve"];

/// The field in which two settings differ first, as Debug names it.
fn differing_field(a: &Settings, b: &Settings) -> String {
    let (a, b) = (format!("{a:?}"), format!("{b:?}"));
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let name = |text: &str| text.rsplit([' ', '(']).next().unwrap().to_owned();
    let (before, _) = a[..same].rsplit_once(": ").expect("a field's name comes first");
    match name(before) {
        field if OF_TLS.contains(&field.as_str()) => {
            let (outer, _) = before.rsplit_once(": TlsSettings").expect("is within one");
            match field.as_str() {
                "mode" => format!("{}_sslmode", name(outer)),
                "ciphers13" => format!("{}13_ciphers", name(outer)),
                field => format!("{}_{field}", name(outer)),
            }
        }
        field => field,
    }
}

#[test]
fn every_effective_setting_writes_the_field_of_its_name_and_no_other() {
    let samples = [
        "tlsv1.3",
        "CHACHA20",
        "TLS_AES_128_GCM_SHA256",
        "X25519",
        "0",
        "1",
        "statement",
        "any",
        "ldapserver=x ldapsuffix=y",
        "verify-full",
        "2",
        "127.0.0.1:1",
        "off",
        "newest",
        "error",
        "session",
        "local0",
        "json",
    ];
    let before = Settings::default();
    for setting in all().filter(|setting| setting.is_effective()) {
        let mut settings = Settings::default();
        let changed = samples
            .iter()
            .any(|text| setting.apply(&mut settings, text).is_ok() && settings != before);
        assert!(changed, "{}", setting.key);
        assert_eq!(differing_field(&before, &settings), setting.key);

        let others = all().filter(|other| other.differs(&before, &settings));
        assert_eq!(others.map(|other| other.key).collect::<Vec<_>>(), [setting.key]);

        let mut copied = Settings::default();
        setting.copy(&settings, &mut copied);
        assert_eq!(copied, settings, "{}", setting.key);
    }
}

#[test]
fn defaults_are_pgbouncers() {
    let settings = Settings::default();
    assert_eq!(settings.listen_port, 6432);
    assert_eq!(settings.unix_socket_mode, 0o777);
    assert_eq!(settings.unix_socket_dir.as_deref(), Some(std::path::Path::new("/tmp")));
    assert_eq!(settings.server_tls.mode, SslMode::Prefer);
    assert_eq!(settings.client_tls.mode, SslMode::Disable);
    assert_eq!(settings.track_extra_parameters, ["IntervalStyle"]);
    assert_eq!(settings.query_wait_timeout, Some(Duration::from_secs(120)));
    assert!(settings.log_connections && settings.tcp_keepalive);
}

#[test]
fn a_setting_without_effect_has_its_value_checked_and_shows_its_default() {
    let mut settings = Settings::default();
    let setting = find("dns_zone_check_period").expect("is pgbouncer's");
    assert_eq!(setting.apply(&mut settings, "1m"), Err(TIME.to_owned()));
    assert_eq!(setting.apply(&mut settings, "60"), Ok(()));
    let shown = settings.shown().into_iter().find(|row| row.0 == setting.key);
    assert_eq!(shown, Some((setting.key, Some("0".to_owned()), Some("0".to_owned()), true)));
}

#[test]
fn a_value_out_of_range_says_what_is_allowed() {
    let mut settings = Settings::default();
    let mut refusal = |key: &str, text: &str| {
        find(key).expect("exists").apply(&mut settings, text).expect_err("is refused")
    };
    assert_eq!(refusal("listen_port", "65536"), "a whole number from 0 to 65535");
    assert_eq!(refusal("listen_port", "http"), "a whole number");
    assert_eq!(refusal("pool_mode", "txn"), "session, transaction, statement");
    assert!(refusal("auth_ldap_options", "ldapserver=x").contains("ldapbasedn must be given"));
    #[cfg(not(feature = "pam"))]
    assert!(refusal("auth_type", "pam").contains("cargo feature \"pam\""));
    assert_eq!(refusal("stats_period", "0"), format!("{TIME}, and at least 0.001"));
    assert_eq!(refusal("unix_socket_mode", "99999"), "octal permissions, such as 0770");
}

#[test]
fn the_documentation_is_what_the_table_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, markdown()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == markdown(), "docs/settings.md is stale; run UPDATE_DOCS=1 cargo test");
}
