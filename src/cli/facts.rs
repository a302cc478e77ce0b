//! What a server says of itself to whoever may log in.

use crate::server::Connection;
use crate::server::query::{self, QueryError};

/// See the module's words.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) version_number: u32,
    pub(super) in_recovery: bool,
    pub(super) max_connections: u32,
    pub(super) reserved: u32,
    pub(super) password_encryption: String,
    pub(super) system_identifier: Option<u64>,
}

impl Facts {
    /// Asks.
    ///
    /// # Errors
    /// As [`query::simple`].
    pub(super) async fn ask(connection: &mut Connection) -> Result<Self, QueryError> {
        const FACTS: &str = "SELECT pg_catalog.current_setting('server_version'), \
        pg_catalog.current_setting('server_version_num'), pg_catalog.pg_is_in_recovery(), \
        pg_catalog.current_setting('max_connections'), \
        pg_catalog.current_setting('superuser_reserved_connections'), \
        pg_catalog.current_setting('reserved_connections', true), \
        pg_catalog.current_setting('password_encryption')";
        const SYSTEM: &str = "SELECT system_identifier FROM pg_catalog.pg_control_system()";
        let rows = query::simple(connection, FACTS).await?;
        let row: Vec<&str> = rows
            .first()
            .into_iter()
            .flatten()
            .map(|value| value.as_deref().unwrap_or(""))
            .collect();
        let &[version, number, in_recovery, max, superuser, reserved, encryption] = row.as_slice()
        else {
            return Err(QueryError::Protocol(format!("{} columns instead of 7", row.len())));
        };
        let number_of = |text: &str| text.parse::<u32>().unwrap_or(0);
        // Not everybody may ask; then it stays unknown.
        let system = match query::simple(connection, SYSTEM).await {
            Ok(rows) => rows.into_iter().flatten().next().flatten(),
            Err(QueryError::Refused(response)) if !response.is_fatal() => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            // Debian's has its package's version behind it.
            version: version.split_whitespace().next().unwrap_or("").to_owned(),
            version_number: number_of(number),
            in_recovery: in_recovery == "t",
            max_connections: number_of(max),
            reserved: number_of(superuser).saturating_add(number_of(reserved)),
            password_encryption: encryption.to_owned(),
            system_identifier: system.and_then(|id| id.parse::<i64>().ok()).map(i64::cast_unsigned),
        })
    }
}
