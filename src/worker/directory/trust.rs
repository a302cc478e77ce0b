//! How a directory's certificate is checked: as OpenLDAP's ldap.conf says, since pgbouncer (which uses that library) does
//! what it says.
//!
//! A later one counts: the system's ldap.conf, the file that `LDAPCONF` names, `LDAPTLS_CACERT` and `LDAPTLS_REQCERT` in
//! the environment. Without all of it the certificate must come from one of the system's authorities, and bear the name.

use std::path::{Path, PathBuf};

use crate::net::tls::DirectoryTrust;

/// Where the system keeps it: Debian, and others.
const FILES: [&str; 2] = ["/etc/ldap/ldap.conf", "/etc/openldap/ldap.conf"];

/// What this system says.
pub(super) fn of_system() -> DirectoryTrust {
    let variable = |name: &str| std::env::var_os(name);
    let mut said = Said::default();
    let named = variable("LDAPCONF").map(PathBuf::from);
    for file in FILES.iter().map(Path::new).chain(named.as_deref()) {
        match std::fs::read_to_string(file) {
            Ok(text) => said.read(&text, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("cannot read {}: {error}", file.display()),
        }
    }
    if let Some(file) = variable("LDAPTLS_CACERT") {
        said.authorities = Some(("LDAPTLS_CACERT".to_owned(), file.into()));
    }
    if let Some(word) = variable("LDAPTLS_REQCERT") {
        said.demand(&word.to_string_lossy());
    }
    said.trust()
}

#[derive(Default)]
struct Said {
    /// Who says it, and the file.
    authorities: Option<(String, PathBuf)>,
    anybody: bool,
}

impl Said {
    fn read(&mut self, text: &str, file: &Path) {
        for line in text.lines() {
            let line = line.trim();
            let Some((option, value)) = line.split_once(char::is_whitespace) else { continue };
            let value = value.trim();
            if option.eq_ignore_ascii_case("TLS_CACERT") {
                let setting = format!("TLS_CACERT in {}", file.display());
                self.authorities = Some((setting, value.into()));
            } else if option.eq_ignore_ascii_case("TLS_REQCERT") {
                self.demand(value);
            }
        }
    }

    fn demand(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        self.anybody = match word.as_str() {
            "never" | "allow" => true,
            "try" | "demand" | "hard" => false,
            _ => return tracing::warn!("TLS_REQCERT {word:?} in ldap.conf is not understood"),
        };
    }

    fn trust(self) -> DirectoryTrust {
        match self.authorities {
            _ if self.anybody => DirectoryTrust::Anybody,
            Some((setting, file)) => DirectoryTrust::File { setting, file },
            None => DirectoryTrust::System,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(texts: &[&str]) -> DirectoryTrust {
        let mut said = Said::default();
        for text in texts {
            said.read(text, Path::new("ldap.conf"));
        }
        said.trust()
    }

    #[test]
    fn the_certificate_is_checked_unless_a_file_says_otherwise() {
        assert_eq!(trust(&[]), DirectoryTrust::System);
        assert_eq!(trust(&["# TLS_REQCERT never\nBASE dc=x\nwibble"]), DirectoryTrust::System);
        assert_eq!(trust(&["TLS_REQCERT never"]), DirectoryTrust::Anybody);
        assert_eq!(trust(&["tls_reqcert\t Allow "]), DirectoryTrust::Anybody);
        assert_eq!(trust(&["TLS_REQCERT perhaps"]), DirectoryTrust::System);
        assert_eq!(trust(&["TLS_REQCERT never", "TLS_REQCERT demand"]), DirectoryTrust::System);
    }

    #[test]
    fn the_authorities_are_those_of_the_last_file_that_names_some() {
        let found = trust(&["TLS_CACERT /a", "TLS_CACERT\t/b c.pem\nTLS_CRLCHECK none"]);
        let setting = "TLS_CACERT in ldap.conf".to_owned();
        assert_eq!(found, DirectoryTrust::File { setting, file: "/b c.pem".into() });
    }
}
