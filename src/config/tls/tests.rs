use super::*;

fn suites(text: &str) -> Vec<&'static str> {
    let suites = Ciphers::read(text).expect("is allowed").suites.expect("is a choice");
    suites.iter().map(|suite| suite.name).collect()
}

#[test]
fn versions_are_chosen_by_name_and_word() {
    for (text, versions) in [
        ("secure", Versions::Both),
        ("all", Versions::Both),
        ("TLSv1.3", Versions::Only13),
        ("tlsv1.2", Versions::Only12),
        ("tlsv1.0,tlsv1.1, tlsv1.2", Versions::Only12),
        ("all,!tlsv1.2", Versions::Only13),
        ("tlsv1.3:tlsv1.2", Versions::Both),
    ] {
        assert_eq!(Protocols::read(text).map(|read| read.versions), Ok(versions), "{text}");
    }
    for text in ["", "tlsv1.4", "secure,!all", "ssl3,tlsv1.2"] {
        assert!(Protocols::read(text).is_err(), "{text}");
    }
}

#[test]
fn the_keywords_of_pgbouncer_leave_the_choice_to_the_library() {
    for text in ["default", "secure", "fast", "normal", "all", "DEFAULT", ""] {
        assert_eq!(Ciphers::read(text).map(|read| read.suites), Ok(None), "{text}");
    }
}

#[test]
fn cipher_lists_are_read_as_openssl_reads_them() {
    let all: Vec<_> = SUITES_12.iter().map(|suite| suite.name).collect();
    assert_eq!(suites("HIGH:MEDIUM:+3DES:!aNULL"), all, "PostgreSQL's default");
    assert_eq!(suites("HIGH:!aNULL:!MD5"), all);
    assert_eq!(suites("ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
    assert_eq!(suites("EECDH+AESGCM+aRSA"), [all[3], all[4]]);
    assert_eq!(suites("CHACHA20:ECDSA"), [all[2], all[5], all[0], all[1]]);
    assert_eq!(suites("HIGH:!aRSA:aRSA"), all[..3], "! is for good");
    assert_eq!(suites("HIGH:-aRSA:aRSA"), all, "- is not");
    assert_eq!(suites("HIGH:+ECDSA"), [all[3], all[4], all[5], all[0], all[1], all[2]]);
    assert_eq!(suites("AES128:AES256:@STRENGTH"), [all[0], all[3], all[1], all[4]]);
    assert_eq!(suites("HIGH:@SECLEVEL=2"), all);
    for text in ["AES256-SHA", "RC4", "wibble", "!ALL", "HIGH:!ALL", "aRSA+ECDSA", ":"] {
        let refusal = Ciphers::read(text).expect_err(text);
        assert!(refusal.contains("ECDHE-RSA-AES256-GCM-SHA384"), "{text}: {refusal}");
    }
}

#[test]
fn suites_of_tls_1_3_go_by_their_full_names() {
    let read = |text| {
        let suites = Ciphers13::read(text)?.suites;
        Ok::<_, Allowed>(suites.map(|of| of.iter().map(|suite| suite.name).collect::<Vec<_>>()))
    };
    assert_eq!(read(""), Ok(None));
    assert_eq!(
        read("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"),
        Ok(Some(vec!["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]))
    );
    let some = read("TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256");
    assert_eq!(some, Ok(Some(vec!["TLS_AES_128_GCM_SHA256"])));
    for text in ["TLS_AES_128_CCM_SHA256", "HIGH", "TLS_AES_128_GCM_SHA256:wibble"] {
        let refusal = read(text).expect_err(text);
        assert!(refusal.contains("failed to set the TLSv1.3 cipher suites"), "{refusal}");
    }
}

#[test]
fn curves_go_by_the_names_of_openssl_and_nist() {
    let read = |text| Curves::read(text).map(|read| read.groups);
    assert_eq!(read("auto"), Ok(None));
    assert_eq!(read("none"), Ok(None));
    assert_eq!(read("prime256v1"), Ok(Some(vec![0x17])));
    assert_eq!(read("P-384:X25519"), Ok(Some(vec![0x18, 0x1d])));
    for text in ["", "secp521r1", "auto:X25519", "p256"] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn what_has_no_effect_is_noted() {
    let note = |key: &str, text: &str| without_effect(key, text).unwrap_or_default();
    assert_eq!(
        note("client_tls_ciphers", "HIGH:AES256-SHA:!MD5:RC4"),
        "client_tls_ciphers names what chooses no cipher that pgweir has: AES256-SHA, RC4"
    );
    assert!(note("server_tls_protocols", "tlsv1.1,tlsv1.2").contains("1.2 and 1.3 only"));
    assert!(note("server_tls13_ciphers", OTHER_SUITES_13[0]).contains(OTHER_SUITES_13[0]));
    assert!(note("client_tls_ecdhcurve", "none").contains("as auto"));
    for (key, text) in [
        ("client_tls_ciphers", "default"),
        ("client_tls_ciphers", "fast"),
        ("client_tls_ciphers", "HIGH:!aNULL"),
        ("client_tls_protocols", "secure"),
        ("client_tls_ecdhcurve", "X25519"),
        ("client_tls13_ciphers", ""),
        ("listen_port", "1"),
    ] {
        assert_eq!(without_effect(key, text), None, "{key} {text}");
    }
}
