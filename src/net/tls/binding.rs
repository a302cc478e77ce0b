//! What SCRAM binds a login to: the server's certificate.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::der;

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
