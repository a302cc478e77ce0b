//! Whether a server's certificate is for the host that was meant.
//!
//! A certificate without subjectAltName is taken by its common name, as libpq and pgbouncer take it: the manual's
//! instructions make such ones. webpki knows alternative names only.

use std::net::IpAddr;

use rustls::CertificateError::{BadEncoding, NotValidForName};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

/// Whether it is.
///
/// # Errors
/// It is not, or cannot be read.
pub(super) fn verify(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| BadEncoding)?;
    match parsed.subject_alternative_name() {
        Ok(None) => {}
        Ok(Some(_)) => {
            let certificate = ParsedCertificate::try_from(certificate)?;
            return rustls::client::verify_server_name(&certificate, name);
        }
        Err(_) => return Err(BadEncoding.into()),
    }
    let common_name = parsed.subject().iter_common_name().next();
    let common_name = common_name.and_then(|name| name.as_str().ok());
    match common_name {
        Some(common_name) if is_for(common_name, name) => Ok(()),
        _ => Err(NotValidForName.into()),
    }
}

/// An address must be that one; of a name, the first label may be a star, for just one label.
fn is_for(common_name: &str, name: &ServerName<'_>) -> bool {
    match name {
        ServerName::IpAddress(address) => {
            common_name.parse::<IpAddr>().is_ok_and(|read| read == IpAddr::from(*address))
        }
        ServerName::DnsName(host) => {
            let host = host.as_ref();
            match common_name.strip_prefix("*.") {
                None => common_name.eq_ignore_ascii_case(host),
                // Not for a whole top-level domain.
                Some(parent) => {
                    parent.contains('.')
                        && host.split_once('.').is_some_and(|(first, rest)| {
                            !first.is_empty() && rest.eq_ignore_ascii_case(parent)
                        })
                }
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_is_for_one_host_or_for_one_label_in_front_of_a_domain() {
        for (common_name, host, fits) in [
            ("db.example", "db.example", true),
            ("DB.Example", "db.example", true),
            ("db.example", "db.example.com", false),
            ("db.example", "xdb.example", false),
            ("*.db.example", "a.db.example", true),
            ("*.db.example", "a.b.db.example", false),
            ("*.db.example", "db.example", false),
            ("*.example", "db.example", false),
            ("*", "db", false),
            ("d*.db.example", "d1.db.example", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("*.0.0.1", "10.0.0.1", false),
            ("::1", "::1", true),
            ("", "db.example", false),
            ("db.example\0.evil.example", "db.example", false),
        ] {
            let name = ServerName::try_from(host).unwrap();
            assert_eq!(is_for(common_name, &name), fits, "{common_name} {host}");
        }
    }
}
