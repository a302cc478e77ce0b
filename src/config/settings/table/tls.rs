//! TLS, with clients and with servers.

use super::{field, live, setting};
use crate::config::settings::{Kind, Setting, State};
use crate::config::values::SSL_MODES;

pub(super) const ROWS: &[Setting] = &[
    live(
        "client_tls_sslmode",
        Kind::Choice(SSL_MODES),
        Some("disable"),
        field!(client_tls.mode),
        "How much TLS is used with clients.",
    ),
    live(
        "client_tls_key_file",
        Kind::Path,
        None,
        field!(client_tls.key_file),
        "Private key (PEM). Needed unless client_tls_sslmode is disable.",
    ),
    live(
        "client_tls_cert_file",
        Kind::Path,
        None,
        field!(client_tls.cert_file),
        "Certificate chain (PEM). Needed unless client_tls_sslmode is disable.",
    ),
    live(
        "client_tls_ca_file",
        Kind::Path,
        None,
        field!(client_tls.ca_file),
        "Certificates (PEM) that those of clients must come from, for verify-ca and verify-full.",
    ),
    live(
        "client_tls_protocols",
        Kind::List,
        Some("secure"),
        field!(client_tls.protocols),
        "Versions of TLS: tlsv1.2, tlsv1.3, secure (both). Older ones pgweir does not have; all is as secure.",
    ),
    live(
        "client_tls_ciphers",
        Kind::Text,
        Some("default"),
        field!(client_tls.ciphers),
        "Ciphers for TLS 1.2: a list in OpenSSL's words, which chooses among the ECDHE suites with AES-GCM or \
         ChaCha20. default, secure, fast, normal, all: all of them.",
    ),
    live(
        "client_tls13_ciphers",
        Kind::Text,
        None,
        field!(client_tls.ciphers13),
        "Cipher suites for TLS 1.3: TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256. \
         Empty: all of them.",
    ),
    live(
        "client_tls_ecdhcurve",
        Kind::Text,
        Some("auto"),
        field!(client_tls.ecdhcurve),
        "Curves of the key exchange: X25519, prime256v1, secp384r1. auto: all of them.",
    ),
    setting(
        "client_tls_dheparams",
        Kind::Choice(&["none", "auto", "legacy"]),
        Some("auto"),
        true,
        State::WithoutEffect("pgweir exchanges keys with curves only"),
        "Parameters of the key exchange without curves, which pgweir does not have.",
    ),
    live(
        "server_tls_sslmode",
        Kind::Choice(SSL_MODES),
        Some("prefer"),
        field!(server_tls.mode),
        "How much TLS is used with servers.",
    ),
    live(
        "server_tls_key_file",
        Kind::Path,
        None,
        field!(server_tls.key_file),
        "Private key (PEM).",
    ),
    live(
        "server_tls_cert_file",
        Kind::Path,
        None,
        field!(server_tls.cert_file),
        "Certificate chain (PEM).",
    ),
    live(
        "server_tls_ca_file",
        Kind::Path,
        None,
        field!(server_tls.ca_file),
        "Certificates (PEM) that those of servers must come from, for verify-ca and verify-full.",
    ),
    live(
        "server_tls_protocols",
        Kind::List,
        Some("secure"),
        field!(server_tls.protocols),
        "Versions of TLS: tlsv1.2, tlsv1.3, secure (both). Older ones pgweir does not have; all is as secure.",
    ),
    live(
        "server_tls_ciphers",
        Kind::Text,
        Some("default"),
        field!(server_tls.ciphers),
        "Ciphers for TLS 1.2: a list in OpenSSL's words, which chooses among the ECDHE suites with AES-GCM or \
         ChaCha20. default, secure, fast, normal, all: all of them.",
    ),
    live(
        "server_tls13_ciphers",
        Kind::Text,
        None,
        field!(server_tls.ciphers13),
        "Cipher suites for TLS 1.3: TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256. \
         Empty: all of them.",
    ),
];
