//! Keys and certificates from the files that the settings name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::der;
use super::error::TlsError;
use super::trust;
use crate::config::TlsSettings;

/// `client_tls_*`, `server_tls_*` or `http_tls_*`.
pub(super) struct Side<'a> {
    pub(super) name: &'static str,
    pub(super) settings: &'a TlsSettings,
}

pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) cert_file: PathBuf,
}

#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) roots: RootCertStore,
    /// As they stand in the file: a server may show one of them itself.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) file: PathBuf,
}

impl Side<'_> {
    pub(super) fn setting(&self, what: &str) -> String {
        format!("{}_tls_{what}_file", self.name)
    }

    pub(super) fn wrong(&self, what: &str, file: &Path, wrong: String) -> TlsError {
        TlsError::Content { setting: self.setting(what), file: file.to_owned(), what: wrong }
    }

    fn read(&self, what: &str, file: &Path) -> Result<Vec<u8>, TlsError> {
        read(&self.setting(what), file)
    }

    fn certificates(
        &self,
        what: &str,
        file: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.setting(what), file)
    }

    /// Key and certificate; `None` if neither is set.
    pub(super) fn identity(&self) -> Result<Option<Identity>, TlsError> {
        let (cert_file, key_file) = match (&self.settings.cert_file, &self.settings.key_file) {
            (Some(cert_file), Some(key_file)) => (cert_file, key_file),
            (None, None) => return Ok(None),
            (cert_file, _) => {
                let (missing, set) =
                    if cert_file.is_none() { ("cert", "key") } else { ("key", "cert") };
                return Err(TlsError::NotSet {
                    setting: self.setting(missing),
                    because: format!(
                        "{} is, and one is of no use without the other",
                        self.setting(set)
                    ),
                });
            }
        };
        let chain = self.certificates("cert", cert_file)?;
        let text = self.read("key", key_file)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            // In its label (PKCS #8), or in a header within (Proc-Type).
            let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
            let what = match error {
                _ if encrypted => "the key is encrypted; decrypt it with openssl pkey".to_owned(),
                pem::Error::NoItemsFound => "no private key (PEM) in it".to_owned(),
                error => format!("not PEM: {error}"),
            };
            self.wrong("key", key_file, what)
        })?;
        Ok(Some(Identity { chain, key, cert_file: cert_file.clone() }))
    }

    /// Makes what is shown to peers of it. Not by rustls's own way, which looks at the certificate with webpki: that
    /// takes none of version 1, and how we look to others is for them to judge.
    pub(super) fn certified(
        &self,
        identity: Identity,
        provider: &CryptoProvider,
    ) -> Result<Arc<SingleCertAndKey>, TlsError> {
        let Identity { chain, key, cert_file } = identity;
        let wrong = |what: String| self.wrong("cert", &cert_file, what);
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| wrong(format!("cannot be used with its private key: {error}")))?;
        let certified = chain.first().and_then(|leaf| der::public_key(leaf));
        let certified =
            certified.ok_or_else(|| wrong("the certificate cannot be read".to_owned()))?;
        if key.public_key().is_some_and(|own| own.as_ref() != certified.whole) {
            return Err(wrong("the certificate does not belong to the private key".to_owned()));
        }
        Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
    }

    pub(super) fn authorities(&self) -> Result<Authorities, TlsError> {
        let Some(file) = self.settings.ca_file.clone() else {
            return Err(TlsError::NotSet {
                setting: self.setting("ca"),
                because: format!("{}_tls_sslmode = verify-ca and verify-full need it", self.name),
            });
        };
        Authorities::read(&self.setting("ca"), file)
    }
}

impl Authorities {
    /// Those of a file that this setting names.
    pub(super) fn read(setting: &str, file: PathBuf) -> Result<Self, TlsError> {
        let certificates = certificates(setting, &file)?;
        let mut readable = RootCertStore::empty();
        let (usable, _) = readable.add_parsable_certificates(certificates.iter().cloned());
        if usable == 0 {
            let what = "none of its certificates can be read".to_owned();
            return Err(TlsError::Content { setting: setting.to_owned(), file, what });
        }
        Ok(Self::of(certificates, file))
    }

    /// Those of the system.
    pub(super) fn of_system() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(TlsError::NotSet {
                setting: "TLS_CACERT (ldap.conf)".to_owned(),
                because: format!("the system names no authorities: [{}]", errors.join("; ")),
            });
        }
        Ok(Self::of(found.certs, PathBuf::new()))
    }

    fn of(certificates: Vec<CertificateDer<'static>>, file: PathBuf) -> Self {
        let mut roots = RootCertStore::empty();
        let signers = certificates.iter().filter(|certificate| trust::may_sign(certificate));
        roots.add_parsable_certificates(signers.cloned());
        Self { roots, certificates, file }
    }
}

fn read(setting: &str, file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|source| TlsError::Unreadable {
        setting: setting.to_owned(),
        file: file.to_owned(),
        source,
    })
}

fn certificates(setting: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |what: String| TlsError::Content {
        setting: setting.to_owned(),
        file: file.to_owned(),
        what,
    };
    let text = read(setting, file)?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(format!("not PEM: {error}")))?;
    if found.is_empty() {
        return Err(wrong("no certificate (PEM) in it".to_owned()));
    }
    Ok(found)
}
