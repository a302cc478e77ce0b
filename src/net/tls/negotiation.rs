//! What may be negotiated: versions, cipher suites and curves, from the settings to rustls.

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};

use crate::config::TlsSettings;
use crate::config::tls::{SUITES_12, SUITES_13, Suite, Versions};

/// The cryptography for these settings.
pub(super) fn provider(settings: &TlsSettings) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    let all = std::mem::take(&mut provider.cipher_suites);
    let of = |chosen: &Option<Vec<&'static Suite>>, suites: &'static [Suite]| {
        let chosen = chosen.clone().unwrap_or_else(|| suites.iter().collect());
        let numbers = chosen.into_iter().map(|suite| suite.number);
        numbers.filter_map(|number| all.iter().find(|suite| u16::from(suite.suite()) == number))
    };
    let new = of(&settings.ciphers13.suites, SUITES_13);
    provider.cipher_suites = new.chain(of(&settings.ciphers.suites, SUITES_12)).copied().collect();
    if let Some(groups) = &settings.ecdhcurve.groups {
        let all = std::mem::take(&mut provider.kx_groups);
        let group = |number: &u16| all.iter().find(|group| u16::from(group.name()) == *number);
        provider.kx_groups = groups.iter().filter_map(group).copied().collect();
    }
    Arc::new(provider)
}

/// The versions for these settings.
pub(super) fn versions(settings: &TlsSettings) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static ONLY_12: [&SupportedProtocolVersion; 1] = [&TLS12];
    static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
    match settings.protocols.versions {
        Versions::Both => &BOTH,
        Versions::Only12 => &ONLY_12,
        Versions::Only13 => &ONLY_13,
    }
}

/// OpenSSL's name of a cipher suite, which is what pgbouncer shows.
pub fn cipher_name(suite: rustls::CipherSuite) -> &'static str {
    let mut known = SUITES_13.iter().chain(SUITES_12);
    known.find(|known| known.number == u16::from(suite)).map_or("?", |known| known.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tls::CURVES;

    #[test]
    fn the_tables_have_what_the_library_has_and_no_more() {
        let library = ring::default_provider();
        let mut suites: Vec<u16> =
            library.cipher_suites.iter().map(|suite| suite.suite().into()).collect();
        let mut known: Vec<u16> =
            SUITES_12.iter().chain(SUITES_13).map(|suite| suite.number).collect();
        suites.sort_unstable();
        known.sort_unstable();
        assert_eq!(suites, known);
        let groups: Vec<u16> = library.kx_groups.iter().map(|group| group.name().into()).collect();
        assert_eq!(groups, CURVES.iter().map(|(_, group)| *group).collect::<Vec<_>>());
        for suite in &library.cipher_suites {
            // IANA's name and OpenSSL's are the same but for the punctuation, and for a WITH that is left out.
            let squeezed = |name: &str| {
                let parts = name.split(['_', '-']);
                let skipped = ["TLS13", "TLS", "WITH", "SHA256"];
                parts.filter(|part| !skipped.contains(part)).collect::<String>()
            };
            let iana = squeezed(&format!("{:?}", suite.suite()));
            assert_eq!(squeezed(cipher_name(suite.suite())), iana);
        }
    }
}
