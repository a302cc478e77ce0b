//! Whether a certificate comes from an authority, in two cases where OpenSSL says yes and webpki does not look.
//!
//! - The certificate stands in the authorities' file itself: self-signed, server and authority at once.
//! - It is of X.509's first version, as `openssl x509 -req` has made them by the manual's instructions for decades, and
//!   signed by an authority of the file. It has no extensions, so it can say neither what it is for nor that it is an
//!   authority; the last is why only the end of a chain may be one.

use rustls::CertificateError::{BadEncoding, BadSignature, Expired, NotValidYet, UnknownIssuer};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::der;

/// Those two cases; `None` for every other certificate, which is webpki's to verify.
pub(super) fn beyond_webpki(
    authorities: &[CertificateDer<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> Option<Result<(), rustls::Error>> {
    if authorities.iter().any(|known| known == certificate) {
        return Some(in_time(certificate, now));
    }
    der::is_version_1(certificate).then(|| {
        in_time(certificate, now)?;
        signed_by_one_of(authorities, algorithms, certificate, now)
    })
}

/// Whether a certificate of the authorities' file may sign others, as OpenSSL's `X509_check_ca` has it: the file may also
/// hold peers' own certificates, and those must not make others. webpki does not ask this of the ends of its chains.
pub(super) fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let Ok(usage) = parsed.key_usage() else { return false };
    if usage.as_ref().is_some_and(|usage| !usage.value.key_cert_sign()) {
        return false;
    }
    let of_old =
        || der::is_version_1(certificate) && der::issuer(certificate) == der::subject(certificate);
    match parsed.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.ca,
        Ok(None) => usage.is_some() || of_old(),
        Err(_) => false,
    }
}

fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    match der::validity(certificate) {
        Some((from, _)) if now.as_secs() < from => Err(NotValidYet.into()),
        Some((_, until)) if now.as_secs() > until => Err(Expired.into()),
        Some(_) => Ok(()),
        None => Err(BadEncoding.into()),
    }
}

fn signed_by_one_of(
    authorities: &[CertificateDer<'_>],
    algorithms: &WebPkiSupportedAlgorithms,
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let issuer = der::issuer(certificate).ok_or(BadEncoding)?;
    let signed = der::signed(certificate).ok_or(BadEncoding)?;
    // There may be several of that name: an old one and its successor.
    let mut verdict = Err(UnknownIssuer.into());
    let named = authorities.iter().filter(|known| der::subject(known) == Some(issuer));
    for authority in named.filter(|known| may_sign(known)) {
        let Some(key) = der::public_key(authority) else { continue };
        let is_right = algorithms.all.iter().any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == key.algorithm
                && algorithm.signature_alg_id().as_ref() == signed.algorithm
                && algorithm.verify_signature(key.bits, signed.message, signed.signature).is_ok()
        });
        verdict = if is_right { in_time(authority, now) } else { Err(BadSignature.into()) };
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}
