//! What must fit together within `[pgbouncer]`.

use crate::config::databases::is_reserved;
use crate::config::error::{ConfigError, Place};
use crate::config::model::{AuthType, Settings, SslMode};

/// Tells what does not. `place`: where a setting stands.
pub(super) fn check(
    settings: &Settings,
    place: &dyn Fn(&str) -> Option<Place>,
    problems: &mut Vec<ConfigError>,
) {
    let tls = &settings.client_tls;
    if tls.mode != SslMode::Disable && (tls.key_file.is_none() || tls.cert_file.is_none()) {
        let at = place("client_tls_sslmode");
        problems.push(ConfigError::ClientTlsWithoutCertificate { at });
    }
    if settings.http_auth_token.is_some() && settings.http_auth_token_file.is_some() {
        problems.push(ConfigError::TwoHttpTokens { at: place("http_auth_token_file") });
    }
    let missing = match settings.auth_type {
        AuthType::Cert if tls.mode != SslMode::VerifyFull => {
            Some(("cert", "client_tls_sslmode=verify-full"))
        }
        AuthType::Cert if tls.ca_file.is_none() => Some(("cert", "client_tls_ca_file")),
        AuthType::Hba if settings.auth_hba_file.is_none() => Some(("hba", "auth_hba_file")),
        AuthType::Ldap if settings.auth_ldap_options.is_none() => {
            Some(("ldap", "auth_ldap_options"))
        }
        _ => None,
    };
    if let Some((auth_type, setting)) = missing {
        let at = place("auth_type");
        problems.push(ConfigError::AuthTypeRequires { at, auth_type, setting });
    }
    if let Some(name) = settings.auth_dbname.as_ref().filter(|name| is_reserved(name)) {
        let (at, name) = (place("auth_dbname"), name.clone());
        problems.push(ConfigError::ReservedAuthDatabase { at, name });
    }
}
