//! Who a client is by what others say of it: its certificate's authority, or the operating system.

use super::refusal::{AuthError, Method, Reason};
use crate::config::ident::IdentMaps;

/// What a client shows of itself in TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// There is no TLS.
    NoTls,
    /// No certificate, or one that nobody has checked.
    NoCertificate,
    /// A checked certificate, DER.
    Certificate(&'a [u8]),
}

/// Whom a client claims to be, and where that is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The user name it gave.
    pub user: &'a str,
    /// Whether there is such a user.
    pub exists: bool,
    /// The ident map that the name goes through; without one it must be the same.
    pub map: Option<&'a str>,
    /// All ident maps.
    pub maps: &'a IdentMaps,
}

impl Claim<'_> {
    /// Method `cert`: the certificate's common name must be the user, or be mapped to it.
    ///
    /// # Errors
    /// It is not.
    pub fn by_certificate(&self, shown: Shown<'_>) -> Result<(), AuthError> {
        let name = match shown {
            Shown::NoTls => Err(Reason::NoTls),
            Shown::NoCertificate => Err(Reason::NoCertificate),
            Shown::Certificate(der) => common_name(der).ok_or(Reason::NoCommonName),
        };
        name.and_then(|name| self.check(&name)).map_err(|reason| self.error(Method::Cert, reason))
    }

    /// Method `peer`: the owner of the process at the other end must be the user, or be mapped to it. `owner`: the
    /// system's name for it; `None` where there is none, or no Unix-domain socket.
    ///
    /// # Errors
    /// It is not.
    pub fn by_peer(&self, owner: Option<&str>) -> Result<(), AuthError> {
        owner
            .ok_or(Reason::NoOwner)
            .and_then(|owner| self.check(owner))
            .map_err(|reason| self.error(Method::Peer, reason))
    }

    fn check(&self, name: &str) -> Result<(), Reason> {
        match self.map {
            None if name != self.user => return Err(Reason::OtherName { name: name.to_owned() }),
            Some(map) if !self.maps.allows(map, name, self.user) => {
                return Err(Reason::NotMapped { map: map.to_owned(), name: name.to_owned() });
            }
            _ => {}
        }
        if self.exists { Ok(()) } else { Err(Reason::UnknownUser) }
    }

    fn error(&self, method: Method, reason: Reason) -> AuthError {
        AuthError { user: self.user.to_owned(), method, reason }
    }
}

/// The common name of a certificate's subject. `None` if it has not exactly one: of two, one would be somebody else.
fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?;
    if names.next().is_some() {
        return None;
    }
    let name = name.as_str().ok()?;
    (!name.is_empty() && !name.contains('\0')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;
    use crate::config::ident;

    fn certificate(names: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "ann");
        for name in names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    fn reason(result: Result<(), AuthError>) -> Reason {
        result.expect_err("is refused").reason
    }

    #[test]
    fn a_certificate_admits_whom_it_names_and_nobody_else() {
        let none = IdentMaps::default();
        let der = certificate(&["ann"]);
        let claim = |user| Claim { user, exists: true, map: None, maps: &none };
        assert_eq!(claim("ann").by_certificate(Shown::Certificate(&der)), Ok(()));
        for (user, shown, expected) in [
            ("bob", Shown::Certificate(&der[..]), Reason::OtherName { name: "ann".to_owned() }),
            ("Ann", Shown::Certificate(&der), Reason::OtherName { name: "ann".to_owned() }),
            ("ann", Shown::Certificate(&certificate(&[])), Reason::NoCommonName),
            ("ann", Shown::Certificate(b"\x30\x82"), Reason::NoCommonName),
            ("ann", Shown::NoCertificate, Reason::NoCertificate),
            ("ann", Shown::NoTls, Reason::NoTls),
        ] {
            let error = claim(user).by_certificate(shown).expect_err("is refused");
            assert_eq!(error.reason, expected);
            assert_eq!(error.client_message(), "certificate authentication failed");
        }
        let absent = Claim { exists: false, ..claim("ann") };
        assert_eq!(reason(absent.by_certificate(Shown::Certificate(&der))), Reason::UnknownUser);
    }

    #[test]
    fn a_map_says_whom_a_name_may_be() {
        let maps = ident::parse("m \"Ann Smith\" ann\nm root all", Path::new("ident")).0;
        let der = certificate(&["Ann Smith"]);
        let claim = |user, map| Claim { user, exists: true, map: Some(map), maps: &maps };
        assert_eq!(claim("ann", "m").by_certificate(Shown::Certificate(&der)), Ok(()));
        let error =
            claim("bob", "m").by_certificate(Shown::Certificate(&der)).expect_err("no line");
        assert!(error.to_string().contains("ident map: m does not have a match"), "{error}");
        assert_eq!(claim("bob", "m").by_peer(Some("root")), Ok(()));
        // With a map the same name is not enough.
        let error = claim("ann", "m").by_peer(Some("ann")).expect_err("no line");
        assert!(error.to_string().contains("ident map m cannot be matched"), "{error}");
        assert!(claim("ann", "absent").by_peer(Some("root")).is_err());
    }

    #[test]
    fn a_peer_is_whom_the_system_names() {
        let none = IdentMaps::default();
        let claim = |user| Claim { user, exists: true, map: None, maps: &none };
        assert_eq!(claim("ann").by_peer(Some("ann")), Ok(()));
        for owner in [None, Some("bob")] {
            let error = claim("ann").by_peer(owner).expect_err("is refused");
            assert_eq!(
                (error.client_message(), error.sqlstate()),
                ("unix socket login rejected", "28000")
            );
        }
    }
}
