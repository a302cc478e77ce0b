//! TLS: from files to rustls configurations.
//!
//! - `files` — keys and certificates from the files that the settings name
//! - `verify` — how much of a server's certificate is checked
//! - `binding` — the hash of a certificate that SCRAM binds to
//! - `der` — the few fields of a certificate that those two need

mod binding;
mod der;
mod error;
mod files;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

pub use self::binding::server_end_point;
pub use self::error::TlsError;
use self::files::{Identity, Side};
use self::verify::{Check, Verifier};
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
}

/// What clients are met with. Not for [`SslMode::Disable`].
///
/// # Errors
/// A file is missing, cannot be read, or does not hold what it should.
pub fn acceptor(settings: &TlsSettings) -> Result<Acceptor, TlsError> {
    let side = Side { name: "client", settings };
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3");
    let builder = match settings.mode {
        SslMode::VerifyCa | SslMode::VerifyFull => {
            let authorities = side.authorities()?;
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.roots), provider)
                    .build()
                    .map_err(|error: VerifierBuilderError| {
                        side.wrong("ca", &authorities.file, error.to_string())
                    })?;
            builder.with_client_cert_verifier(verifier)
        }
        SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => {
            builder.with_no_client_auth()
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
    let Identity { chain, key, cert_file } = identity;
    let end_point = chain.first().and_then(server_end_point).map(Arc::from);
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| side.wrong("cert", &cert_file, identity_error(&error)))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Acceptor { config: Arc::new(config), end_point })
}

/// What servers are met with. Not for [`SslMode::Disable`].
///
/// # Errors
/// As [`acceptor`].
pub fn client_config(settings: &TlsSettings) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let side = Side { name: "server", settings };
    let provider = Arc::new(ring::default_provider());
    let check = match settings.mode {
        SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => Check::Nothing,
        SslMode::VerifyCa => Check::Chain(side.authorities()?),
        SslMode::VerifyFull => Check::ChainAndName(side.authorities()?),
    };
    let verifier = Verifier { check, algorithms: provider.signature_verification_algorithms };
    let builder = client_builder(provider)
        .dangerous() // All of what a verifier must do is in `Verifier`.
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match side.identity()? {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key, cert_file }) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| side.wrong("cert", &cert_file, identity_error(&error)))?,
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

fn client_builder(
    provider: Arc<CryptoProvider>,
) -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier> {
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
}

fn identity_error(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the certificate does not belong to the private key".to_owned()
        }
        error => format!("cannot be used with its private key: {error}"),
    }
}
