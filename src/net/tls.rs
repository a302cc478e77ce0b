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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::IpAddr;

    use super::*;

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
                files.write(
                    &format!("{file}.pem"),
                    leaf.signed_by(&leaf_key, &issuer).unwrap().pem(),
                );
                files.write(&format!("{file}.key"), leaf_key.serialize_pem());
            }
            let (params, key) = authority("second");
            files.write("other-ca.pem", params.self_signed(&key).unwrap().pem());
            // A self-signed certificate as `openssl req -x509` makes it: an authority, and a server's at once.
            let (mut params, key) = authority("self");
            params.subject_alt_names =
                vec![rcgen::SanType::DnsName("db.example".try_into().unwrap())];
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

        fn write(&self, name: &str, content: impl AsRef<[u8]>) {
            std::fs::File::create(self.path(name)).unwrap().write_all(content.as_ref()).unwrap();
        }

        fn settings(
            &self,
            mode: SslMode,
            cert: Option<(&str, &str)>,
            ca: Option<&str>,
        ) -> TlsSettings {
            TlsSettings {
                mode,
                cert_file: cert.map(|(cert, _)| self.path(cert)),
                key_file: cert.map(|(_, key)| self.path(key)),
                ca_file: ca.map(|ca| self.path(ca)),
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
        let server = server_config(&files.settings(SslMode::Require, SERVER, None)).unwrap();
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
            server_config(&settings).unwrap()
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
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
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
    fn a_tls_1_2_server_is_met_too_and_its_signature_checked() {
        let files = Files::new();
        let chain = CertificateDer::pem_file_iter(files.path("server.pem")).unwrap();
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(files.path("server.key")).unwrap();
        let server =
            rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
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
    fn clients_must_show_a_certificate_of_the_authority_when_it_is_verified() {
        let files = Files::new();
        let connects = |mode, server_ca, identity| {
            let server = server_config(&files.settings(mode, SERVER, server_ca)).unwrap();
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
    fn the_protocol_name_is_agreed_on_and_another_one_refused() {
        let files = Files::new();
        let server = server_config(&files.settings(SslMode::Prefer, SERVER, None)).unwrap();
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
            let _ = (
                der::signature_hash(bytes),
                der::validity(bytes),
                der::public_key(bytes).is_some(),
            );
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
        let server = |cert, ca, mode| {
            server_config(&files.settings(mode, cert, ca)).unwrap_err().to_string()
        };
        let client = |cert, ca, mode| {
            client_config(&files.settings(mode, cert, ca)).unwrap_err().to_string()
        };
        let told = |text: String, parts: &[&str]| {
            assert!(parts.iter().all(|part| text.contains(part)) && !text.contains('\n'), "{text}");
        };
        told(
            server(None, None, SslMode::Prefer),
            &["client_tls_key_file is not set", "client_tls_cert_file"],
        );
        told(server(SERVER, None, SslMode::VerifyFull), &["client_tls_ca_file is not set"]);
        told(
            client(None, None, SslMode::VerifyCa),
            &["server_tls_ca_file is not set", "verify-ca"],
        );
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
        let server = server_config(&files.settings(SslMode::Require, identity, None)).unwrap();
        let client =
            client_config(&files.settings(SslMode::VerifyFull, None, Some("third-ca.pem")))
                .unwrap();
        assert!(matches!(
            ServerName::try_from("10.0.0.1"),
            Ok(ServerName::IpAddress(IpAddr::V4(_)))
        ));
        assert!(handshake(client.clone(), server.clone(), "10.0.0.1").is_ok());
        assert!(handshake(client, server, "10.0.0.2").is_err());
    }
}
