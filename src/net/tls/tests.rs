use std::io::Write;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};

use super::*;
use crate::config::Settings;

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod negotiation;

/// A directory with two authorities, a certificate of the first for `db.example`, and its key.
struct Files(tempfile::TempDir);

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, KeyPair::generate().unwrap())
}

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let (params, key) = authority("first");
        files.write("ca.pem", params.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(params, key);
        for (file, name) in [("server", "db.example"), ("client", "joe")] {
            let leaf_key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
            files.write(&format!("{file}.pem"), leaf.signed_by(&leaf_key, &issuer).unwrap().pem());
            files.write(&format!("{file}.key"), leaf_key.serialize_pem());
        }
        let (params, key) = authority("second");
        files.write("other-ca.pem", params.self_signed(&key).unwrap().pem());
        // A self-signed certificate as `openssl req -x509` makes it: an authority, and a server's at once.
        let (mut params, key) = authority("self");
        params.subject_alt_names = vec![rcgen::SanType::DnsName("db.example".try_into().unwrap())];
        files.write("self.pem", params.self_signed(&key).unwrap().pem());
        files.write("self.key", key.serialize_pem());
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        files.write("expired.pem", params.self_signed(&key).unwrap().pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs openssl; `DIR` stands for the directory.
    fn openssl(&self, arguments: &str) {
        let arguments = arguments.replace("DIR", &self.0.path().display().to_string());
        let made = std::process::Command::new("openssl").args(arguments.split(' ')).output();
        let made = made.expect("openssl is installed");
        assert!(made.status.success(), "{arguments}: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::File::create(self.path(name)).unwrap().write_all(content.as_ref()).unwrap();
    }

    fn settings(&self, mode: SslMode, cert: Option<(&str, &str)>, ca: Option<&str>) -> TlsSettings {
        TlsSettings {
            mode,
            cert_file: cert.map(|(cert, _)| self.path(cert)),
            key_file: cert.map(|(_, key)| self.path(key)),
            ca_file: ca.map(|ca| self.path(ca)),
            ..Settings::default().client_tls
        }
    }
}

const SERVER: Option<(&str, &str)> = Some(("server.pem", "server.key"));
const CLIENT: Option<(&str, &str)> = Some(("client.pem", "client.key"));

/// Both ends, after a handshake in memory.
fn handshake(
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
    name: &str,
) -> Result<(rustls::ClientConnection, rustls::ServerConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(client, name).unwrap();
    let mut server = rustls::ServerConnection::new(server).unwrap();
    while client.is_handshaking()
        || server.is_handshaking()
        || client.wants_write()
        || server.wants_write()
    {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((client, server))
}

#[test]
fn each_sslmode_checks_as_much_of_a_server_as_it_says() {
    let files = Files::new();
    let server = acceptor(&files.settings(SslMode::Require, SERVER, None)).unwrap().config;
    let connects = |mode, ca, name| {
        let client = client_config(&files.settings(mode, None, ca)).unwrap();
        handshake(client, server.clone(), name).is_ok()
    };
    for mode in [SslMode::Allow, SslMode::Prefer, SslMode::Require] {
        assert!(connects(mode, None, "whatever.example"), "{mode:?}");
    }
    assert!(connects(SslMode::VerifyCa, Some("ca.pem"), "whatever.example"));
    assert!(!connects(SslMode::VerifyCa, Some("other-ca.pem"), "db.example"));
    assert!(connects(SslMode::VerifyFull, Some("ca.pem"), "db.example"));
    assert!(!connects(SslMode::VerifyFull, Some("ca.pem"), "whatever.example"));
    assert!(!connects(SslMode::VerifyFull, Some("ca.pem"), "127.0.0.1"));
    assert!(!connects(SslMode::VerifyFull, Some("other-ca.pem"), "db.example"));
}

#[test]
fn a_self_signed_certificate_can_be_its_own_authority() {
    let files = Files::new();
    let server = |cert| {
        let settings = files.settings(SslMode::Require, Some((cert, "self.key")), None);
        acceptor(&settings).unwrap().config
    };
    let connects = |cert, mode, name| {
        let client = client_config(&files.settings(mode, None, Some(cert))).unwrap();
        handshake(client, server(cert), name).is_ok()
    };
    assert!(connects("self.pem", SslMode::VerifyCa, "whatever.example"));
    assert!(connects("self.pem", SslMode::VerifyFull, "db.example"));
    assert!(!connects("self.pem", SslMode::VerifyFull, "whatever.example"));
    assert!(!connects("expired.pem", SslMode::VerifyCa, "db.example"));
    assert!(connects("expired.pem", SslMode::Require, "db.example"), "require checks nothing");
}

/// A server that shows `certificate` and signs with the key in `key_file`, whether or not they fit.
fn server_showing(
    certificate: CertificateDer<'static>,
    key_file: &Path,
    version: &'static rustls::SupportedProtocolVersion,
) -> Arc<rustls::ServerConfig> {
    let key = PrivateKeyDer::from_pem_file(key_file).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![certificate], key);
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    Arc::new(config)
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn a_server_without_the_key_of_its_certificate_is_refused_even_where_nothing_is_checked() {
    let files = Files::new();
    let certificate = CertificateDer::from_pem_file(files.path("server.pem")).unwrap();
    for version in VERSIONS {
        let connects = |key, mode, ca| {
            let server = server_showing(certificate.clone(), &files.path(key), version);
            let client = client_config(&files.settings(mode, None, ca)).unwrap();
            handshake(client, server, "db.example").is_ok()
        };
        for (mode, ca) in [(SslMode::Require, None), (SslMode::VerifyFull, Some("ca.pem"))] {
            assert!(connects("server.key", mode, ca));
            assert!(!connects("client.key", mode, ca), "{version:?} {mode:?}");
        }
    }
}

#[test]
fn clients_must_show_a_certificate_of_the_authority_when_it_is_verified() {
    let files = Files::new();
    let connects = |mode, server_ca, identity| {
        let server = acceptor(&files.settings(mode, SERVER, server_ca)).unwrap().config;
        let client = client_config(&files.settings(SslMode::Require, identity, None)).unwrap();
        handshake(client, server, "db.example")
            .map(|(_, server)| server.peer_certificates().is_some())
    };
    assert_eq!(connects(SslMode::Require, None, None), Ok(false));
    assert_eq!(connects(SslMode::Require, None, CLIENT), Ok(false));
    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        assert_eq!(connects(mode, Some("ca.pem"), CLIENT), Ok(true));
        assert!(connects(mode, Some("ca.pem"), None).is_err());
        assert!(connects(mode, Some("other-ca.pem"), CLIENT).is_err());
    }
}

#[test]
fn a_peer_that_stands_in_the_file_of_authorities_makes_no_others() {
    let files = Files::new();
    // As two peers that are known by their own certificates.
    let params = CertificateParams::new(vec!["joe".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    files.write("pinned.pem", params.self_signed(&key).unwrap().pem());
    files.write("pinned.key", key.serialize_pem());
    let issuer = Issuer::new(params, key);
    let minted_key = KeyPair::generate().unwrap();
    let minted = CertificateParams::new(vec!["db.example".to_owned()]).unwrap();
    files.write("minted.pem", minted.signed_by(&minted_key, &issuer).unwrap().pem());
    files.write("minted.key", minted_key.serialize_pem());
    // Of the first version too, which cannot say that it is no authority's.
    files.openssl("req -new -key DIR/minted.key -out DIR/minted.csr -subj /CN=db.example");
    files.openssl("x509 -req -in DIR/minted.csr -CA DIR/pinned.pem -CAkey DIR/pinned.key -set_serial 7 -days 9 -out DIR/minted-1.pem");
    let pinned = ("pinned.pem", "pinned.key");
    for (identity, right) in [
        (pinned, true),
        (("minted.pem", "minted.key"), false),
        (("minted-1.pem", "minted.key"), false),
    ] {
        let of_server = files.settings(SslMode::VerifyFull, SERVER, Some("pinned.pem"));
        let client = files.settings(SslMode::Require, Some(identity), None);
        let client = client_config(&client).unwrap();
        let server = acceptor(&of_server).unwrap().config;
        assert_eq!(handshake(client, server, "db.example").is_ok(), right, "client {identity:?}");

        let verified = files.settings(SslMode::VerifyCa, None, Some("pinned.pem"));
        let client = client_config(&verified).unwrap();
        let server = files.settings(SslMode::Require, Some(identity), None);
        let server = acceptor(&server).unwrap().config;
        assert_eq!(handshake(client, server, "db.example").is_ok(), right, "server {identity:?}");
    }
}

#[test]
fn a_server_is_verified_by_its_address_when_its_certificate_has_it() {
    let files = Files::new();
    let (params, key) = authority("third");
    files.write("third-ca.pem", params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["10.0.0.1".to_owned()]).unwrap();
    files.write("by-address.pem", leaf.signed_by(&leaf_key, &issuer).unwrap().pem());
    files.write("by-address.key", leaf_key.serialize_pem());
    let identity = Some(("by-address.pem", "by-address.key"));
    let server = acceptor(&files.settings(SslMode::Require, identity, None)).unwrap().config;
    let client =
        client_config(&files.settings(SslMode::VerifyFull, None, Some("third-ca.pem"))).unwrap();
    assert!(matches!(ServerName::try_from("10.0.0.1"), Ok(ServerName::IpAddress(IpAddr::V4(_)))));
    assert!(handshake(client.clone(), server.clone(), "10.0.0.1").is_ok());
    assert!(handshake(client, server, "10.0.0.2").is_err());
}

/// Certificates by the instructions of PostgreSQL's manual ("Creating Certificates"): an authority, and what it signs
/// is of version 1 and has a common name only.
fn by_the_manual(files: &Files) {
    for authority in ["root", "stranger"] {
        files.openssl(&format!(
            "req -new -x509 -nodes -newkey rsa:2048 -subj /CN=root -days 30 -keyout DIR/{authority}.key -out DIR/{authority}.pem"
        ));
    }
    for (leaf, authority) in [("leaf", "root"), ("strange", "stranger")] {
        files.openssl(&format!(
            "req -new -nodes -newkey rsa:2048 -subj /CN=db.example -keyout DIR/{leaf}.key -out DIR/{leaf}.csr"
        ));
        files.openssl(&format!(
            "x509 -req -in DIR/{leaf}.csr -days 20 -CA DIR/{authority}.pem -CAkey DIR/{authority}.key -CAcreateserial -out DIR/{leaf}.pem"
        ));
    }
}

#[test]
fn certificates_by_the_manual_are_verified_as_openssl_does() {
    let files = Files::new();
    by_the_manual(&files);
    let leaf = CertificateDer::from_pem_file(files.path("leaf.pem")).unwrap();
    let connects = |mode, ca, (cert, key), name| {
        let server =
            acceptor(&files.settings(SslMode::Require, Some((cert, key)), None)).unwrap().config;
        let client = client_config(&files.settings(mode, None, Some(ca))).unwrap();
        handshake(client, server, name).map(drop)
    };
    let (leaf_files, strange) = (("leaf.pem", "leaf.key"), ("strange.pem", "strange.key"));
    assert_eq!(connects(SslMode::VerifyCa, "root.pem", leaf_files, "whatever.example"), Ok(()));
    assert_eq!(connects(SslMode::VerifyFull, "root.pem", leaf_files, "db.example"), Ok(()));
    assert!(connects(SslMode::VerifyFull, "root.pem", leaf_files, "whatever.example").is_err());
    // Signed by another authority that calls itself the same, or that has another name.
    assert!(connects(SslMode::VerifyCa, "root.pem", strange, "db.example").is_err());
    assert!(connects(SslMode::VerifyCa, "ca.pem", leaf_files, "db.example").is_err());

    // Clients' too.
    let admitted = |(cert, key), ca| {
        let server = acceptor(&files.settings(SslMode::VerifyFull, SERVER, Some(ca))).unwrap();
        let client =
            client_config(&files.settings(SslMode::Require, Some((cert, key)), None)).unwrap();
        handshake(client, server.config, "db.example").is_ok()
    };
    assert!(admitted(leaf_files, "root.pem"));
    assert!(!admitted(strange, "root.pem"));
    assert!(!admitted(leaf_files, "ca.pem"));
    assert!(admitted(("self.pem", "self.key"), "self.pem"), "one that stands in the file itself");

    // Neither before their time nor after it, and what was changed is refused.
    let authorities = [CertificateDer::from_pem_file(files.path("root.pem")).unwrap()];
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let at = |certificate: &CertificateDer<'_>, days: i64| {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap() + days * 86_400;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now as u64));
        trust::beyond_webpki(&authorities, &algorithms, certificate, now)
    };
    use rustls::CertificateError::{Expired, NotValidYet};
    assert_eq!(at(&leaf, 1), Some(Ok(())));
    assert_eq!(at(&leaf, -2), Some(Err(NotValidYet.into())));
    assert_eq!(at(&leaf, 25), Some(Err(Expired.into())), "the authority is still valid then");
    for position in 0..leaf.len() {
        let mut changed = leaf.to_vec();
        changed[position] ^= 0x01;
        let verdict = at(&CertificateDer::from(changed), 1);
        assert_ne!(verdict, Some(Ok(())), "byte {position}");
    }
}
