//! How much of a server's certificate is checked.
//!
//! No check (`prefer`, `require`) still means that the peer holds the key of the certificate it shows; the handshake's
//! signature is always verified. Certificates that are not checked need not be to webpki's taste: the version 1
//! certificates that PostgreSQL's manual teaches to make are taken, as OpenSSL takes them.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::der;
use super::files::Authorities;

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
