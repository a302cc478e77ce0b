//! TLS: from files to rustls configurations.
//!
//! - `files` — keys and certificates from the files that the settings name
//! - `negotiation` — versions, cipher suites and curves
//! - `verify` — how much of a peer's certificate is checked; `trust`, `name` — what of it webpki leaves out
//! - `binding` — the hash of a certificate that SCRAM binds to
//! - `der` — the few fields of a certificate that those two need
//! - `error` — why TLS settings cannot be used

mod binding;
mod der;
mod error;
mod files;
mod name;
mod negotiation;
#[cfg(test)]
mod tests;
mod trust;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};

pub use self::binding::server_end_point;
pub use self::error::TlsError;
use self::files::{Authorities, Side};
pub use self::negotiation::cipher_name;
use self::negotiation::{provider, versions};
use self::verify::{Check, ClientVerifier, Verifier};
use crate::config::{SslMode, TlsSettings};

/// The protocol name of PostgreSQL in TLS's ALPN; a must for direct TLS, harmless otherwise.
pub const ALPN: &[u8] = b"postgresql";

/// What clients are met with.
#[derive(Clone, Debug)]
pub struct Acceptor {
    /// For their handshakes.
    pub config: Arc<rustls::ServerConfig>,
    /// What they bind a SCRAM login to: see [`server_end_point`], of our certificate.
    pub end_point: Option<Arc<[u8]>>,
    /// When our certificate expires, Unix time.
    pub expires: Option<i64>,
}

/// What clients are met with. Not for [`SslMode::Disable`].
///
/// # Errors
/// A file is missing, cannot be read, or does not hold what it should.
pub fn acceptor(settings: &TlsSettings) -> Result<Acceptor, TlsError> {
    let side = Side { name: "client", settings };
    let provider = provider(settings);
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(settings))
        .expect(SUITES_FOR_ALL);
    // As in pgbouncer: with authorities a certificate may be shown in the other modes too, and is then checked.
    let optional = !settings.mode.verifies();
    let builder = match settings.ca_file.is_none() && optional {
        true => builder.with_no_client_auth(),
        false => {
            let authorities = side.authorities()?;
            let Authorities { roots, certificates, file } = authorities;
            let algorithms = provider.signature_verification_algorithms;
            let wrong = |error: VerifierBuilderError| side.wrong("ca", &file, error.to_string());
            let webpki = (!roots.is_empty())
                .then(|| {
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                        .build()
                })
                .transpose()
                .map_err(wrong)?;
            let verifier =
                ClientVerifier { webpki, authorities: certificates, algorithms, optional };
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    };
    let Some(identity) = side.identity()? else {
        let missing = if settings.key_file.is_none() { "key" } else { "cert" };
        return Err(TlsError::NotSet {
            setting: side.setting(missing),
            because: "to allow TLS connections from clients, client_tls_key_file and client_tls_cert_file must be set"
                .to_owned(),
        });
    };
    let end_point = identity.chain.first().and_then(server_end_point).map(Arc::from);
    let expires = identity.chain.first().and_then(|certificate| {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        Some(parsed.validity().not_after.timestamp())
    });
    let mut config = builder.with_cert_resolver(side.certified(identity, &provider)?);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Whoever wrote a list means its order.
    config.ignore_client_order =
        settings.ciphers.suites.is_some() || settings.ciphers13.suites.is_some();
    resumption(&mut config);
    Ok(Acceptor { config: Arc::new(config), end_point, expires })
}

/// What browsers and scrapers are met with (`http_tls_key_file`, `http_tls_cert_file`); `None` if neither is set.
///
/// # Errors
/// As [`acceptor`].
pub fn http_config(
    key_file: Option<&Path>,
    cert_file: Option<&Path>,
) -> Result<Option<Arc<rustls::ServerConfig>>, TlsError> {
    let settings = TlsSettings {
        mode: SslMode::Require,
        key_file: key_file.map(Path::to_owned),
        cert_file: cert_file.map(Path::to_owned),
        ca_file: None,
        protocols: Default::default(),
        ciphers: Default::default(),
        ciphers13: Default::default(),
        ecdhcurve: Default::default(),
    };
    let side = Side { name: "http", settings: &settings };
    let Some(identity) = side.identity()? else { return Ok(None) };
    let provider = Arc::new(ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect(SUITES_FOR_ALL)
        .with_no_client_auth()
        .with_cert_resolver(side.certified(identity, &provider)?);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    resumption(&mut config);
    Ok(Some(Arc::new(config)))
}

/// Clients may resume their sessions, from tickets that only this configuration can read: a reload ends them, so that
/// what it says of certificates holds for everybody. Nothing is kept here, however many sessions there are.
fn resumption(config: &mut rustls::ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // One will do for a client that comes back one by one; libpq throws all of them away.
    config.send_tls13_tickets = 1;
    match ring::Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        Err(error) => {
            tracing::warn!("no TLS session tickets: {error}");
            config.send_tls13_tickets = 0;
        }
    }
}

/// What servers are met with. Not for [`SslMode::Disable`].
///
/// # Errors
/// As [`acceptor`].
pub fn client_config(settings: &TlsSettings) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let side = Side { name: "server", settings };
    let provider = provider(settings);
    let check = match settings.mode {
        SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => Check::Nothing,
        SslMode::VerifyCa => Check::Chain(side.authorities()?),
        SslMode::VerifyFull => Check::ChainAndName(side.authorities()?),
    };
    let verifier = Verifier { check, algorithms: provider.signature_verification_algorithms };
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(settings))
        .expect(SUITES_FOR_ALL)
        .dangerous() // All of what a verifier must do is in `Verifier`.
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match side.identity()? {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(side.certified(identity, &provider)?),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// How much of a directory's certificate is checked, and against what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryTrust {
    /// Nothing.
    Anybody,
    /// Chain and name, against the system's authorities.
    System,
    /// Chain and name, against those of a file.
    File {
        /// Who names it, for messages.
        setting: String,
        /// The file.
        file: PathBuf,
    },
}

/// What directories (LDAP) are met with.
///
/// # Errors
/// As [`acceptor`].
pub fn directory_config(trust: DirectoryTrust) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let check = match trust {
        DirectoryTrust::Anybody => Check::Nothing,
        DirectoryTrust::System => Check::ChainAndName(Authorities::of_system()?),
        DirectoryTrust::File { setting, file } => {
            Check::ChainAndName(Authorities::read(&setting, file)?)
        }
    };
    let verifier = Verifier { check, algorithms: provider.signature_verification_algorithms };
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect(SUITES_FOR_ALL)
        .dangerous() // All of what a verifier must do is in `Verifier`.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

const SUITES_FOR_ALL: &str = "settings leave cipher suites for both versions, and curves";
