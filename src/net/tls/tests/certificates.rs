//! Certificates and keys as bytes and files.

use super::*;

/// One DER element, its length in two bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x82][..], &(content.len() as u16).to_be_bytes(), content].concat()
}

#[test]
fn certificates_of_version_1_are_taken_where_nothing_is_checked() {
    // As `openssl x509 -req` makes them, which PostgreSQL's manual teaches: no version field.
    let files = Files::new();
    let version_3 = CertificateDer::from_pem_file(files.path("server.pem")).unwrap();
    let at = version_3.windows(5).position(|field| field == [0xa0, 3, 2, 1, 2]).unwrap();
    let (_, rest) = version_3.split_at(at + 5);
    let tbs_length = usize::from(u16::from_be_bytes([version_3[at - 2], version_3[at - 1]]));
    let tbs_length =
        if version_3[at - 3] == 0x82 { tbs_length } else { usize::from(version_3[at - 1]) };
    let (fields, signature) = rest.split_at(tbs_length - 5);
    let version_1 = element(0x30, &[&element(0x30, fields), signature].concat());
    let version_1 = CertificateDer::from(version_1);
    assert!(ParsedCertificate::try_from(&version_1).is_err(), "webpki does not take it");
    assert!(server_end_point(&version_1).is_some());
    for version in VERSIONS {
        let connects = |key, mode, ca| {
            let server = server_showing(version_1.clone(), &files.path(key), version);
            let client = client_config(&files.settings(mode, None, ca)).unwrap();
            handshake(client, server, "db.example").is_ok()
        };
        assert!(connects("server.key", SslMode::Require, None), "{version:?}");
        assert!(!connects("client.key", SslMode::Require, None), "{version:?}");
        assert!(!connects("server.key", SslMode::VerifyCa, Some("ca.pem")), "{version:?}");
    }
}

#[test]
fn the_channel_binding_hashes_with_the_certificates_own_hash() {
    for (algorithm, bytes) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Some(32)),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Some(48)),
        (&rcgen::PKCS_ED25519, None),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["db.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let hash = server_end_point(certificate.der());
        assert_eq!(hash.as_ref().map(Vec::len), bytes);
        if bytes == Some(32) {
            assert_eq!(hash.unwrap(), Sha256::digest(certificate.der()).to_vec());
        }
    }
}

#[test]
fn no_truncation_or_change_of_a_certificate_makes_the_walk_panic() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let walk = |bytes: &[u8]| {
        let _ =
            (der::signature_hash(bytes), der::validity(bytes), der::public_key(bytes).is_some());
    };
    let whole = certificate.der().to_vec();
    for length in 0..whole.len() {
        walk(&whole[..length]);
        assert_eq!(der::signature_hash(&whole[..length]), None);
        for value in [0, 0x7f, 0x80, 0x83, 0x84, 0xff] {
            let mut changed = whole.clone();
            changed[length] = value;
            walk(&changed);
        }
    }
}

#[test]
fn the_times_of_a_certificate_are_read_in_both_forms() {
    for (from, until, expected) in [
        ((1970, 1, 1), (2000, 2, 29), (0, 951_782_400)),
        ((2024, 12, 31), (2051, 3, 1), (1_735_603_200, 2_561_241_600)),
    ] {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(der::validity(certificate.der()), Some(expected));
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_setting_and_name() {
    let files = Files::new();
    files.write("empty.pem", "");
    files.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let server =
        |cert, ca, mode| acceptor(&files.settings(mode, cert, ca)).unwrap_err().to_string();
    let client =
        |cert, ca, mode| client_config(&files.settings(mode, cert, ca)).unwrap_err().to_string();
    let told = |text: String, parts: &[&str]| {
        assert!(parts.iter().all(|part| text.contains(part)) && !text.contains('\n'), "{text}");
    };
    told(
        server(None, None, SslMode::Prefer),
        &["client_tls_key_file is not set", "client_tls_cert_file"],
    );
    told(server(SERVER, None, SslMode::VerifyFull), &["client_tls_ca_file is not set"]);
    told(client(None, None, SslMode::VerifyCa), &["server_tls_ca_file is not set", "verify-ca"]);
    let absent = Some(("absent.pem", "server.key"));
    told(
        server(absent, None, SslMode::Require),
        &["client_tls_cert_file", "absent.pem", "No such file"],
    );
    let empty = Some(("empty.pem", "server.key"));
    told(
        server(empty, None, SslMode::Require),
        &["client_tls_cert_file", "empty.pem", "no certificate"],
    );
    let keyless = Some(("server.pem", "ca.pem"));
    told(
        server(keyless, None, SslMode::Require),
        &["client_tls_key_file", "ca.pem", "no private key"],
    );
    let locked = Some(("server.pem", "encrypted.key"));
    told(server(locked, None, SslMode::Require), &["client_tls_key_file", "is encrypted"]);
    let mixed = Some(("server.pem", "client.key"));
    told(
        client(mixed, None, SslMode::Require),
        &["server_tls_cert_file", "does not belong to the private key"],
    );
    let mut half = files.settings(SslMode::Require, SERVER, None);
    half.key_file = None;
    told(client_config(&half).unwrap_err().to_string(), &["server_tls_key_file is not set"]);
}

#[test]
fn keys_are_taken_in_every_form_that_openssl_writes_and_encrypted_ones_told_apart() {
    let files = Files::new();
    let openssl = |arguments: &str| files.openssl(arguments);
    openssl("genrsa -traditional -out DIR/pkcs1.key 2048");
    openssl("pkcs8 -topk8 -nocrypt -in DIR/pkcs1.key -out DIR/pkcs8.key");
    openssl("ecparam -name prime256v1 -genkey -out DIR/ec.key"); // with EC PARAMETERS in front
    openssl("genpkey -algorithm ed25519 -out DIR/ed25519.key");
    openssl("pkcs8 -topk8 -passout pass:x -in DIR/pkcs1.key -out DIR/locked8.key");
    openssl("rsa -traditional -aes128 -passout pass:x -in DIR/pkcs1.key -out DIR/locked1.key");
    let made = |key: &str| {
        openssl(&format!("req -x509 -new -subj /CN=db.example -key DIR/{key} -out DIR/{key}.pem"));
        let cert = format!("{key}.pem");
        acceptor(&files.settings(SslMode::Require, Some((&cert, key)), None))
    };
    let client = client_config(&files.settings(SslMode::Require, None, None)).unwrap();
    for key in ["pkcs1.key", "pkcs8.key", "ec.key", "ed25519.key"] {
        let acceptor = made(key).unwrap();
        assert!(handshake(client.clone(), acceptor.config, "db.example").is_ok(), "{key}");
        assert_eq!(acceptor.end_point.is_some(), key != "ed25519.key", "{key}");
    }
    for key in ["locked8.key", "locked1.key"] {
        let settings = files.settings(SslMode::Require, Some(("pkcs1.key.pem", key)), None);
        let error = acceptor(&settings).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("is encrypted"), "{error}");
    }
}
