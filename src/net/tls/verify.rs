//! How much of a peer's certificate is checked.
//!
//! No check (`prefer`, `require`) still means that the peer holds the key of the certificate it shows; the handshake's
//! signature is always verified. Certificates that are not checked need not be to webpki's taste: the version 1
//! certificates that PostgreSQL's manual teaches to make are taken, as OpenSSL takes them.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};

use super::files::Authorities;
use super::{der, name, trust};

/// How much of a server's certificate is checked.
#[derive(Debug)]
pub(super) enum Check {
    Nothing,
    Chain(Authorities),
    ChainAndName(Authorities),
}

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) check: Check,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn chain(
        &self,
        authorities: &Authorities,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let known = &authorities.certificates;
        if let Some(verdict) = trust::beyond_webpki(known, &self.algorithms, certificate, now) {
            return verdict;
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
        server: &ServerName<'_>,
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
                name::verify(certificate, server)?;
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
        signature_of_1_2(&self.algorithms, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signature_of_1_3(&self.algorithms, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Of clients, every certificate is checked against the authorities.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    /// For all that webpki verifies; `None` if the file has no authority, only clients' own certificates.
    pub(super) webpki: Option<Arc<dyn ClientCertVerifier>>,
    /// The authorities, as they stand in the file.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Whether a client may show none.
    pub(super) optional: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.as_ref().map_or(&[], |webpki| webpki.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match trust::beyond_webpki(&self.authorities, &self.algorithms, certificate, now) {
            Some(verdict) => verdict.map(|()| ClientCertVerified::assertion()),
            None => match &self.webpki {
                Some(webpki) => webpki.verify_client_cert(certificate, intermediates, now),
                None => Err(rustls::CertificateError::UnknownIssuer.into()),
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signature_of_1_2(&self.algorithms, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signature_of_1_3(&self.algorithms, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn signature_of_1_2(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let key = der::public_key(certificate).ok_or(BAD_CERTIFICATE)?;
    let candidates = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
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

fn signature_of_1_3(
    algorithms: &WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let key = der::public_key(certificate).ok_or(BAD_CERTIFICATE)?;
    let key = SubjectPublicKeyInfoDer::from(key.whole);
    rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
}

const BAD_CERTIFICATE: rustls::Error =
    rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
