//! Certificates for tests: an authority made on the spot, and what it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::home::write_private;

/// A certificate authority.
pub struct Authority {
    /// Its own certificate, PEM: what `sslrootcert` and `server_tls_ca_file` want.
    pub cert: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A signed certificate with its key, PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
    /// The certificate of who signed it.
    pub authority: String,
}

/// Where a [`Certificate`] was written.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate.
    pub cert: PathBuf,
    /// The key, readable for the service user only.
    pub key: PathBuf,
    /// The authority.
    pub authority: PathBuf,
}

impl Authority {
    /// A new one with a new key.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "pgweir test authority");
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap().pem();
        Self { cert, issuer: Issuer::new(params, key) }
    }

    /// A server's certificate, valid for `localhost` and `127.0.0.1`.
    pub fn server(&self) -> Certificate {
        self.sign("localhost", &["localhost", "127.0.0.1"])
    }

    /// A client's certificate for a user.
    pub fn client(&self, user: &str) -> Certificate {
        self.sign(user, &[])
    }

    /// A certificate with this common name and these alternative names.
    pub fn sign(&self, common_name: &str, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Certificate { cert, key: key.serialize_pem(), authority: self.cert.clone() }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// Writes `NAME.crt`, `NAME.key` and `NAME-ca.crt` to a folder, for the service user.
    pub fn write(&self, dir: &Path, name: &str) -> Files {
        let files = Files {
            cert: dir.join(format!("{name}.crt")),
            key: dir.join(format!("{name}.key")),
            authority: dir.join(format!("{name}-ca.crt")),
        };
        write_private(&files.cert, &self.cert);
        write_private(&files.key, &self.key);
        write_private(&files.authority, &self.authority);
        files
    }
}
