//! What both sides agree on: versions, ciphers, curves, protocol names, resumption.

use super::*;

#[test]
fn a_tls_1_2_server_is_met_too_and_its_signature_checked() {
    let files = Files::new();
    let chain = CertificateDer::pem_file_iter(files.path("server.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(files.path("server.key")).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let server = Arc::new(server);
    for (mode, ca) in [(SslMode::Require, None), (SslMode::VerifyFull, Some("ca.pem"))] {
        let client = client_config(&files.settings(mode, None, ca)).unwrap();
        let (client, _) = handshake(client, server.clone(), "db.example").unwrap();
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    }
}

#[test]
fn the_protocol_name_is_agreed_on_and_another_one_refused() {
    let files = Files::new();
    let server = acceptor(&files.settings(SslMode::Prefer, SERVER, None)).unwrap().config;
    let client = client_config(&files.settings(SslMode::Prefer, None, None)).unwrap();
    let (_, met) = handshake(client.clone(), server.clone(), "db.example").unwrap();
    assert_eq!(met.alpn_protocol(), Some(ALPN));
    let with = |protocols: Vec<Vec<u8>>| {
        let mut config = rustls::ClientConfig::clone(&client);
        config.alpn_protocols = protocols;
        handshake(Arc::new(config), server.clone(), "db.example")
    };
    assert!(with(vec![b"http/1.1".to_vec()]).is_err());
    let (_, met) = with(Vec::new()).unwrap();
    assert_eq!(met.alpn_protocol(), None, "older clients name none");
}

/// The settings with these keys set, of a client that checks nothing or of a server.
fn negotiating(files: &Files, side: &str, keys: &[(&str, &str)]) -> TlsSettings {
    let mut settings = Settings::default();
    for (key, value) in keys {
        let setting = crate::config::settings::find(&format!("{side}_{key}")).unwrap();
        setting.apply(&mut settings, value).unwrap();
    }
    let (tls, identity) = match side {
        "client" => (settings.client_tls, SERVER),
        _ => (settings.server_tls, None),
    };
    let of_files = files.settings(SslMode::Require, identity, None);
    TlsSettings {
        protocols: tls.protocols,
        ciphers: tls.ciphers,
        ciphers13: tls.ciphers13,
        ecdhcurve: tls.ecdhcurve,
        ..of_files
    }
}

#[test]
fn versions_ciphers_and_curves_are_negotiated_as_the_settings_of_both_sides_say() {
    let files = Files::new();
    let negotiated = |ours: &[(&str, &str)], theirs: &[(&str, &str)]| {
        let server = acceptor(&negotiating(&files, "client", ours)).unwrap().config;
        let client = client_config(&negotiating(&files, "server", theirs)).unwrap();
        let (client, _) = handshake(client, server, "db.example").ok()?;
        let suite = cipher_name(client.negotiated_cipher_suite()?.suite());
        Some((client.protocol_version()?, suite, client.negotiated_key_exchange_group()?.name()))
    };
    use rustls::NamedGroup::{X25519, secp256r1, secp384r1};
    use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
    let best_13 = "TLS_AES_256_GCM_SHA384";
    let best_12 = "ECDHE-ECDSA-AES256-GCM-SHA384";
    assert_eq!(negotiated(&[], &[]), Some((TLSv1_3, best_13, X25519)));
    let only_12 = [("tls_protocols", "tlsv1.2")];
    let only_13 = [("tls_protocols", "tlsv1.3")];
    assert_eq!(negotiated(&only_12, &[]), Some((TLSv1_2, best_12, X25519)));
    assert_eq!(negotiated(&[], &only_12), Some((TLSv1_2, best_12, X25519)));
    assert_eq!(negotiated(&only_12, &only_13), None);
    // An order that was written down counts, whatever the other side would like best.
    let ours = [
        ("tls13_ciphers", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"),
        ("tls_ciphers", "CHACHA20:AESGCM"),
        ("tls_ecdhcurve", "secp384r1"),
    ];
    let (chacha_13, chacha_12) = ("TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305");
    assert_eq!(negotiated(&ours, &[]), Some((TLSv1_3, chacha_13, secp384r1)));
    assert_eq!(negotiated(&ours, &only_12), Some((TLSv1_2, chacha_12, secp384r1)));
    let theirs = [("tls13_ciphers", "TLS_AES_128_GCM_SHA256")];
    let p256 = [("tls_ecdhcurve", "prime256v1")];
    assert_eq!(negotiated(&p256, &theirs), Some((TLSv1_3, "TLS_AES_128_GCM_SHA256", secp256r1)));
    assert_eq!(negotiated(&[("tls13_ciphers", best_13)], &[theirs[0], only_13[0]]), None);
}

#[test]
fn a_client_resumes_its_session_until_the_configuration_is_read_anew() {
    let files = Files::new();
    for version in ["tlsv1.3", "tlsv1.2"] {
        let settings = negotiating(&files, "client", &[("tls_protocols", version)]);
        let client = client_config(&negotiating(&files, "server", &[])).unwrap();
        let kind = |server: &Acceptor| {
            let (mut client, mut server) =
                handshake(client.clone(), server.config.clone(), "db.example").unwrap();
            // The ticket of TLS 1.3 comes behind the handshake.
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
            client.handshake_kind().unwrap()
        };
        let first = acceptor(&settings).unwrap();
        assert_eq!(kind(&first), rustls::HandshakeKind::Full, "{version}");
        assert_eq!(kind(&first), rustls::HandshakeKind::Resumed, "{version}");
        let reread = acceptor(&settings).unwrap();
        assert_eq!(kind(&reread), rustls::HandshakeKind::Full, "{version}");
    }
}
