//! TLS: from files to rustls configurations, and how much of a peer's certificate is checked.
//!
//! No certificate check (`prefer`, `require`) still means that the peer holds the key of the certificate it shows; the
//! handshake's signature is always verified. Certificates that are not checked need not be to webpki's taste: the
//! version 1 certificates that PostgreSQL's manual teaches to make are taken, as OpenSSL takes them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::config::{SslMode, TlsSettings};

/// The protocol name of PostgreSQL in TLS's ALPN; a must for direct TLS, harmless otherwise.
pub const ALPN: &[u8] = b"postgresql";

/// Why the TLS settings of one side cannot be used. Each names the setting and the file.
#[derive(Debug)]
pub enum TlsError {
    /// A file is needed and not given.
    NotSet {
        /// The setting that is missing.
        setting: String,
        /// What needs it.
        because: String,
    },
    /// A file cannot be read.
    Unreadable {
        /// The setting that names it.
        setting: String,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's content is not what it should be.
    Content {
        /// The setting that names it.
        setting: String,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { setting, because } => write!(f, "{setting} is not set; {because}"),
            Self::Unreadable { setting, file, source } => {
                write!(f, "{setting}: cannot read {}: {source}", file.display())
            }
            Self::Content { setting, file, what } => {
                write!(f, "{setting}: {}: {what}", file.display())
            }
        }
    }
}

impl std::error::Error for TlsError {}

/// What clients are met with. Not for [`SslMode::Disable`].
///
/// # Errors
/// A file is missing, cannot be read, or does not hold what it should.
pub fn server_config(settings: &TlsSettings) -> Result<Arc<rustls::ServerConfig>, TlsError> {
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
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| side.wrong("cert", &cert_file, identity_error(&error)))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// What servers are met with. Not for [`SslMode::Disable`].
///
/// # Errors
/// As [`server_config`].
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

/// `client_tls_*` or `server_tls_*`.
struct Side<'a> {
    name: &'static str,
    settings: &'a TlsSettings,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_file: PathBuf,
}

#[derive(Debug)]
struct Authorities {
    roots: RootCertStore,
    /// As they stand in the file: a server may show one of them itself.
    certificates: Vec<CertificateDer<'static>>,
    file: PathBuf,
}

impl Side<'_> {
    fn setting(&self, what: &str) -> String {
        format!("{}_tls_{what}_file", self.name)
    }

    fn wrong(&self, what: &str, file: &Path, wrong: String) -> TlsError {
        TlsError::Content { setting: self.setting(what), file: file.to_owned(), what: wrong }
    }

    fn read(&self, what: &str, file: &Path) -> Result<Vec<u8>, TlsError> {
        std::fs::read(file).map_err(|source| TlsError::Unreadable {
            setting: self.setting(what),
            file: file.to_owned(),
            source,
        })
    }

    fn certificates(
        &self,
        what: &str,
        file: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let text = self.read(what, file)?;
        let found = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.wrong(what, file, format!("not PEM: {error}")))?;
        if found.is_empty() {
            return Err(self.wrong(what, file, "no certificate (PEM) in it".to_owned()));
        }
        Ok(found)
    }

    /// Key and certificate; `None` if neither is set.
    fn identity(&self) -> Result<Option<Identity>, TlsError> {
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
            let what = match error {
                pem::Error::NoItemsFound if text.windows(9).any(|word| word == b"ENCRYPTED") => {
                    "the key is encrypted; decrypt it with openssl pkey".to_owned()
                }
                pem::Error::NoItemsFound => "no private key (PEM) in it".to_owned(),
                error => format!("not PEM: {error}"),
            };
            self.wrong("key", key_file, what)
        })?;
        Ok(Some(Identity { chain, key, cert_file: cert_file.clone() }))
    }

    fn authorities(&self) -> Result<Authorities, TlsError> {
        let Some(file) = self.settings.ca_file.clone() else {
            return Err(TlsError::NotSet {
                setting: self.setting("ca"),
                because: format!("{}_tls_sslmode = verify-ca and verify-full need it", self.name),
            });
        };
        let certificates = self.certificates("ca", &file)?;
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        if usable == 0 {
            return Err(self.wrong("ca", &file, "none of its certificates can be read".to_owned()));
        }
        Ok(Authorities { roots, certificates, file })
    }
}

fn identity_error(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the certificate does not belong to the private key".to_owned()
        }
        error => format!("cannot be used with its private key: {error}"),
    }
}

/// How much of a server's certificate is checked.
#[derive(Debug)]
enum Check {
    Nothing,
    Chain(Authorities),
    ChainAndName(Authorities),
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn chain(
        &self,
        authorities: &Authorities,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let wrong = |error: rustls::CertificateError| Err(rustls::Error::InvalidCertificate(error));
        // A self-signed certificate that is its own authority: webpki refuses it for being a CA's, OpenSSL does not.
        if authorities.certificates.iter().any(|known| known == certificate) {
            return match der::validity(certificate) {
                Some((from, _)) if now.as_secs() < from => {
                    wrong(rustls::CertificateError::NotValidYet)
                }
                Some((_, until)) if now.as_secs() > until => {
                    wrong(rustls::CertificateError::Expired)
                }
                Some(_) => Ok(()),
                None => wrong(rustls::CertificateError::BadEncoding),
            };
        }
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &authorities.roots,
            intermediates,
            now,
            self.algorithms.all,
        )
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.check {
            Check::Nothing => {}
            Check::Chain(authorities) => {
                self.chain(authorities, certificate, intermediates, now)?
            }
            Check::ChainAndName(authorities) => {
                self.chain(authorities, certificate, intermediates, now)?;
                rustls::client::verify_server_name(
                    &ParsedCertificate::try_from(certificate)?,
                    name,
                )?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = der::public_key(certificate).ok_or(BAD_CERTIFICATE)?;
        let candidates =
            self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        let valid = candidates.flat_map(|(_, algorithms)| *algorithms).any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == key.algorithm
                && algorithm.verify_signature(key.bits, message, signed.signature()).is_ok()
        });
        if valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature))
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = der::public_key(certificate).ok_or(BAD_CERTIFICATE)?;
        let key = SubjectPublicKeyInfoDer::from(key.whole);
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

const BAD_CERTIFICATE: rustls::Error =
    rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding);

/// The channel binding `tls-server-end-point` (RFC 5929, section 4.1): the certificate, hashed with the hash of its own
/// signature, or SHA-256 where that is MD5 or SHA-1. `None` if the signature has no hash (Ed25519) or is not known.
pub fn server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(match der::signature_hash(certificate)? {
        der::Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        der::Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        der::Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        der::Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// As much DER as is needed to find a few fields of a certificate (RFC 5280, section 4.1). Every length is checked
/// against what is there; nothing is indexed.
mod der {
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const OID: u8 = 0x06;
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    const SEQUENCE: u8 = 0x30;
    const CONTEXT_0: u8 = 0xa0;

    /// What a certificate's signature was made over, after RFC 5929's rule for the weak ones.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Hash {
        Sha224,
        Sha256,
        Sha384,
        Sha512,
    }

    /// SubjectPublicKeyInfo.
    pub(super) struct PublicKey<'a> {
        pub(super) whole: &'a [u8],
        /// Content of the AlgorithmIdentifier, as webpki compares it.
        pub(super) algorithm: &'a [u8],
        pub(super) bits: &'a [u8],
    }

    struct Element<'a> {
        tag: u8,
        content: &'a [u8],
        /// With tag and length.
        whole: &'a [u8],
    }

    /// Takes one element off the front.
    fn take<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
        let (&tag, rest) = input.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // 0x80 is the indefinite length, which DER has not; more than three bytes no certificate needs.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let (whole, _) = input.split_at_checked(input.len() - rest.len())?;
        *input = rest;
        Some(Element { tag, content, whole })
    }

    /// Takes one element that must have `tag`.
    fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<Element<'a>> {
        take(input).filter(|element| element.tag == tag)
    }

    /// The TBSCertificate's content, and what follows it in the Certificate.
    fn split(mut certificate: &[u8]) -> Option<(&[u8], &[u8])> {
        let mut outer = expect(&mut certificate, SEQUENCE)?.content;
        let tbs = expect(&mut outer, SEQUENCE)?.content;
        Some((tbs, outer))
    }

    /// The fields from `validity` on.
    fn from_validity(certificate: &[u8]) -> Option<&[u8]> {
        let (mut fields, _) = split(certificate)?;
        if fields.first() == Some(&CONTEXT_0) {
            take(&mut fields)?; // version; absent in version 1
        }
        expect(&mut fields, INTEGER)?; // serialNumber
        expect(&mut fields, SEQUENCE)?; // signature
        expect(&mut fields, SEQUENCE)?; // issuer
        Some(fields)
    }

    pub(super) fn public_key(certificate: &[u8]) -> Option<PublicKey<'_>> {
        let mut fields = from_validity(certificate)?;
        expect(&mut fields, SEQUENCE)?; // validity
        expect(&mut fields, SEQUENCE)?; // subject
        let key = expect(&mut fields, SEQUENCE)?;
        let mut inner = key.content;
        let algorithm = expect(&mut inner, SEQUENCE)?.content;
        // The first byte counts the unused bits at the end: none, in a key.
        let bits = expect(&mut inner, BIT_STRING)?.content.strip_prefix(&[0])?;
        Some(PublicKey { whole: key.whole, algorithm, bits })
    }

    /// From when until when, both inclusive, in seconds since 1970.
    pub(super) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
        let mut fields = from_validity(certificate)?;
        let mut inner = expect(&mut fields, SEQUENCE)?.content;
        let from = time(&take(&mut inner)?)?;
        let until = time(&take(&mut inner)?)?;
        Some((from, until))
    }

    /// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5).
    fn time(element: &Element<'_>) -> Option<u64> {
        let digits = element.content.strip_suffix(b"Z")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (year_digits, length) = match element.tag {
            UTC_TIME => (2, 12),
            GENERALIZED_TIME => (4, 14),
            _ => return None,
        };
        let number = |digits: &[u8]| {
            digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'))
        };
        let (year, rest) =
            digits.split_at_checked(year_digits).filter(|_| digits.len() == length)?;
        let year = match (year_digits, number(year)) {
            (2, year @ 0..50) => 2000 + year,
            (2, year) => 1900 + year,
            (_, year) => year,
        };
        let [month, day, hour, minute, second] =
            <[u64; 5]>::try_from(rest.chunks(2).map(number).collect::<Vec<_>>()).ok()?;
        if !(1..=12).contains(&month)
            || !(1..=31).contains(&day)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        // Days since 1970 in the Gregorian calendar, counted with years that begin in March.
        let (year, month) =
            if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
        let days =
            365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
        // Before 1970 is long ago: 0 will do.
        Some((days.saturating_sub(719_468)) * 86_400 + hour * 3600 + minute * 60 + second)
    }

    pub(super) fn signature_hash(certificate: &[u8]) -> Option<Hash> {
        let (_, mut rest) = split(certificate)?;
        let mut algorithm = expect(&mut rest, SEQUENCE)?.content;
        let oid = expect(&mut algorithm, OID)?.content;
        match oid {
            // 1.2.840.113549.1.1.*: RSA, PKCS #1
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last] => match last {
                4 | 5 | 11 => Some(Hash::Sha256), // MD5, SHA-1, SHA-256
                12 => Some(Hash::Sha384),
                13 => Some(Hash::Sha512),
                14 => Some(Hash::Sha224),
                10 => pss_hash(algorithm),
                _ => None,
            },
            // 1.2.840.10045.4.*: ECDSA
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(Hash::Sha256), // SHA-1
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last] => match last {
                1 => Some(Hash::Sha224),
                2 => Some(Hash::Sha256),
                3 => Some(Hash::Sha384),
                4 => Some(Hash::Sha512),
                _ => None,
            },
            _ => None,
        }
    }

    /// RSASSA-PSS names its hash in the parameters; absent means SHA-1 (RFC 4055, section 3.1).
    fn pss_hash(mut parameters: &[u8]) -> Option<Hash> {
        let mut fields = expect(&mut parameters, SEQUENCE)?.content;
        if fields.first() != Some(&CONTEXT_0) {
            return Some(Hash::Sha256);
        }
        let mut tagged = expect(&mut fields, CONTEXT_0)?.content;
        let mut algorithm = expect(&mut tagged, SEQUENCE)?.content;
        match expect(&mut algorithm, OID)?.content {
            [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(Hash::Sha256), // SHA-1
            // 2.16.840.1.101.3.4.2.*
            [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
                1 => Some(Hash::Sha256),
                2 => Some(Hash::Sha384),
                3 => Some(Hash::Sha512),
                4 => Some(Hash::Sha224),
                _ => None,
            },
            _ => None,
        }
    }
}
